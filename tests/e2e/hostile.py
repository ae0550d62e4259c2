"""Clients that mean harm, at HAProxy's port."""

import contextlib
import socket
import time

from registry import scene
from stack import INSTANCES

SLOW_CLIENTS = 200
SLOW_LIMIT_S = 5  # timeout http-request
LATE_S = 1  # what an instance was made to read, it has read by then
HIDDEN_PATH = "/metrics/hidden"  # HAProxy refuses it, instances do not know it, and nobody else asks for it
HIDDEN = b"GET %s HTTP/1.1\r\nHost: holdfast\r\n\r\n" % HIDDEN_PATH.encode()
ASKING = b"GET /metrics HTTP/1.1\r\nHost: holdfast\r\n\r\n"
SPOILS = b"holdfast_build_info"  # what /metrics would say, which HAProxy lets nobody ask for


def head(*lines):
    return b"\r\n".join([b"POST /v1/stock/PROBE/deduct HTTP/1.1", b"Host: holdfast",
                         b"Content-Type: application/json", *lines, b"", b""])


# Two readings of where a request ends. Each hides a request where one of them sees a body.
SMUGGLED = {
    "Content-Length with chunked": head(b"Content-Length: 4", b"Transfer-Encoding: chunked") + b"0\r\n\r\n" + HIDDEN,
    "chunked with a long Content-Length":
        head(b"Transfer-Encoding: chunked", b"Content-Length: %d" % (len(HIDDEN) + 5)) + b"0\r\n\r\n" + HIDDEN,
    "two Content-Lengths": head(b"Content-Length: 0", b"Content-Length: %d" % len(HIDDEN)) + HIDDEN,
    "a list of Content-Lengths": head(b"Content-Length: 0, %d" % len(HIDDEN)) + HIDDEN,
    "a signed Content-Length": head(b"Content-Length: +%d" % len(HIDDEN)) + HIDDEN,
    "an unknown Transfer-Encoding": head(b"Transfer-Encoding: xchunked", b"Content-Length: 0") + HIDDEN,
    "stacked Transfer-Encodings": head(b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity")
    + b"0\r\n\r\n" + HIDDEN,
    "a blank before the colon": head(b"Transfer-Encoding : chunked", b"Content-Length: 0") + HIDDEN,
    "a folded line": head(b"Transfer-Encoding:\r\n chunked", b"Content-Length: 0") + HIDDEN,
    "a bare CR": head(b"X: a\rTransfer-Encoding: chunked", b"Content-Length: 0") + HIDDEN,
    "a NUL": head(b"X: a\0b", b"Content-Length: 0") + HIDDEN,
    "a size of chunk that wraps": head(b"Transfer-Encoding: chunked") + b"10000000000000000\r\n" + HIDDEN,
    "two Hosts": head(b"Host: elsewhere", b"Content-Length: 0") + HIDDEN,
}

# Other ways to write what HAProxy forbids.
DISGUISED = {
    "an encoded path": ASKING.replace(b"/metrics", b"/%6detrics"),
    "a path with dots": ASKING.replace(b"/metrics", b"/v1/../metrics"),
    "a whole address": ASKING.replace(b"/metrics", b"http://holdfast/metrics"),
    "two slashes": ASKING.replace(b"/metrics", b"//metrics"),
    "Upgrade to HTTP/2": ASKING.replace(b"\r\n\r\n", b"\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
                                        b"HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n"),
}


def sent(port, data, limit_s=3):
    """All that comes back."""
    answer = b""
    with socket.create_connection(("127.0.0.1", port), timeout=limit_s) as connection:
        connection.sendall(data)
        with contextlib.suppress(TimeoutError, ConnectionError):
            connection.shutdown(socket.SHUT_WR)
            while chunk := connection.recv(65536):
                answer += chunk
    return answer


def unknown_paths(stack):
    """How many requests for a path that it does not know each instance has read."""
    return [stack.metric(instance, "holdfast_http_requests_total", 'operation="unmatched",status="404"')
            for instance in INSTANCES]


@scene("smuggling")
def smuggling(stack):
    """No instance is made to read a request that HAProxy did not judge."""
    before = unknown_paths(stack)
    for instance in INSTANCES:
        stack.inside(instance, 8080, "GET", HIDDEN_PATH)
    if unknown_paths(stack) != [count + 1 for count in before]:
        raise AssertionError("an instance that reads what is hidden below does not count it")
    before, refused = unknown_paths(stack), 0
    for name, data in SMUGGLED.items():
        answer = sent(stack.port, data)
        if unknown_paths(stack) != before:
            raise AssertionError(f"{name}, or one before it: an instance has read what was hidden:\n{answer[:400]}")
        refused += answer.startswith((b"HTTP/1.1 4", b"HTTP/1.0 4")) or not answer
    time.sleep(LATE_S)
    if unknown_paths(stack) != before:
        raise AssertionError("an instance has read what was hidden")
    if not stack.probe():
        raise AssertionError("afterwards nobody else is served")
    return f"{len(SMUGGLED)} tries to hide a request, {refused} refused at once, no instance has read one"


@scene("forbidden")
def forbidden(stack):
    """What HAProxy keeps to itself is not had by writing it in another way."""
    if SPOILS.decode() not in stack.inside("holdfast-1", 8080, "GET", "/metrics").body:
        raise AssertionError("an instance does not say what is looked for below")
    for name, data in DISGUISED.items():
        answer = sent(stack.port, data)
        if SPOILS in answer:
            raise AssertionError(f"{name}: what HAProxy forbids was answered:\n{answer[:400]}")
        if b" 200 " in answer.split(b"\r\n")[0]:
            raise AssertionError(f"{name}: it was carried out:\n{answer[:400]}")
    if not stack.probe():
        raise AssertionError("afterwards nobody else is served")
    return f"{len(DISGUISED)} ways to ask for it, none was answered"


@scene("slow-clients")
def slow_clients(stack):
    """Who sends a letter now and then is sent away, and keeps nobody else waiting."""
    before = max(stack.metric(i, "holdfast_http_connections") for i in INSTANCES)
    with contextlib.ExitStack() as exits:
        begin = time.monotonic()
        slow = [exits.enter_context(socket.create_connection(("127.0.0.1", stack.port), timeout=20))
                for _ in range(SLOW_CLIENTS)]
        for connection in slow[::2]:
            connection.sendall(b"POST /v1/stock/PROBE/deduct HTTP/1.1\r\nHost: holdfast\r\nX")
        for connection in slow[1::2]:
            connection.sendall(head(b"Content-Length: 60000") + b'{"quan')
        worst_s = 0
        while time.monotonic() - begin < 2:
            started = time.monotonic()
            if not stack.probe():
                raise AssertionError("somebody else was not served meanwhile")
            worst_s = max(worst_s, time.monotonic() - started)
            for connection in slow:
                connection.sendall(b"x")
        held = max(stack.metric(i, "holdfast_http_connections") for i in INSTANCES) - before
        if held > SLOW_CLIENTS / 4:
            raise AssertionError(f"they hold {held:.0f} connections of an instance")
        answers = [connection.recv(1000) for connection in slow]
        took_s = time.monotonic() - begin
    told = sum(b" 408 " in answer[:20] for answer in answers)
    if took_s > SLOW_LIMIT_S + 3 or told < SLOW_CLIENTS:
        raise AssertionError(f"after {took_s:.1f} s, {told} of {SLOW_CLIENTS} were told 408; {answers[0]} {answers[1]}")
    return (f"{SLOW_CLIENTS} heads and bodies that did not come were sent away with 408 within {took_s:.1f} s;"
            f" meanwhile others waited {1000 * worst_s:.0f} ms at most, and the instances did not see them")
