"""Scenes on hostile clients, at HAProxy's port."""

import contextlib
import socket
import time

from registry import scene
from stack import INSTANCES

SLOW_CLIENTS = 200
SLOW_LIMIT_S = 5  # timeout http-request
LATE_S = 1  # by then an instance has read what was forwarded to it
HIDDEN_PATH = "/metrics/hidden"  # denied by HAProxy, unknown to instances, and requested only here
HIDDEN = b"GET %s HTTP/1.1\r\nHost: holdfast\r\n\r\n" % HIDDEN_PATH.encode()
ASKING = b"GET /metrics HTTP/1.1\r\nHost: holdfast\r\n\r\n"
SPOILS = b"holdfast_build_info"  # part of the answer of /metrics, which HAProxy denies


def head(*lines):
    return b"\r\n".join([b"POST /v1/stock/PROBE/deduct HTTP/1.1", b"Host: holdfast",
                         b"Content-Type: application/json", *lines, b"", b""])


# Requests whose end is ambiguous. Each hides a second request in what one reading takes for the body.
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
    "a chunk size that overflows": head(b"Transfer-Encoding: chunked") + b"10000000000000000\r\n" + HIDDEN,
    "two Hosts": head(b"Host: elsewhere", b"Content-Length: 0") + HIDDEN,
}

# Other spellings of what HAProxy denies.
DISGUISED = {
    "an encoded path": ASKING.replace(b"/metrics", b"/%6detrics"),
    "a path with dots": ASKING.replace(b"/metrics", b"/v1/../metrics"),
    "a whole address": ASKING.replace(b"/metrics", b"http://holdfast/metrics"),
    "two slashes": ASKING.replace(b"/metrics", b"//metrics"),
    "Upgrade to HTTP/2": ASKING.replace(b"\r\n\r\n", b"\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
                                        b"HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n"),
}


def sent(port, data, limit_s=3):
    """Sends data. Returns everything that comes back."""
    answer = b""
    with socket.create_connection(("127.0.0.1", port), timeout=limit_s) as connection:
        connection.sendall(data)
        with contextlib.suppress(TimeoutError, ConnectionError):
            connection.shutdown(socket.SHUT_WR)
            while chunk := connection.recv(65536):
                answer += chunk
    return answer


def unknown_paths(stack):
    """How many requests for an unknown path each instance has read."""
    return [stack.metric(instance, "holdfast_http_requests_total", 'operation="unmatched",status="404"')
            for instance in INSTANCES]


@scene("smuggling")
def smuggling(stack):
    """No instance reads a request that HAProxy did not check."""
    before = unknown_paths(stack)
    for instance in INSTANCES:
        stack.inside(instance, 8080, "GET", HIDDEN_PATH)
    if unknown_paths(stack) != [count + 1 for count in before]:
        raise AssertionError("an instance does not count requests for the hidden path")
    before, refused = unknown_paths(stack), 0
    for name, data in SMUGGLED.items():
        answer = sent(stack.port, data)
        if unknown_paths(stack) != before:
            raise AssertionError(f"{name}, or an earlier one: an instance has read the hidden request:\n{answer[:400]}")
        refused += answer.startswith((b"HTTP/1.1 4", b"HTTP/1.0 4")) or not answer
    time.sleep(LATE_S)
    if unknown_paths(stack) != before:
        raise AssertionError("an instance has read a hidden request")
    if not stack.probe():
        raise AssertionError("afterwards other clients are not served")
    return f"{len(SMUGGLED)} attempts to hide a request, {refused} refused at once, none read by an instance"


@scene("forbidden")
def forbidden(stack):
    """No other spelling of a denied request reaches an instance."""
    if SPOILS.decode() not in stack.inside("holdfast-1", 8080, "GET", "/metrics").body:
        raise AssertionError("an instance's /metrics lacks the text that is searched for below")
    for name, data in DISGUISED.items():
        answer = sent(stack.port, data)
        if SPOILS in answer:
            raise AssertionError(f"{name}: a denied request was answered:\n{answer[:400]}")
        if b" 200 " in answer.split(b"\r\n")[0]:
            raise AssertionError(f"{name}: it was answered with 200:\n{answer[:400]}")
    if not stack.probe():
        raise AssertionError("afterwards other clients are not served")
    return f"{len(DISGUISED)} other spellings of a denied request, none was answered"


@scene("slow-clients")
def slow_clients(stack):
    """Clients that send a byte now and then get 408, and do not delay other clients."""
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
        while not worst_s or time.monotonic() - begin < 2:
            started = time.monotonic()
            if not stack.probe():
                raise AssertionError("another client was not served meanwhile")
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
        raise AssertionError(f"after {took_s:.1f} s, {told} of {SLOW_CLIENTS} got 408; {answers[0]} {answers[1]}")
    return (f"{SLOW_CLIENTS} incomplete heads and bodies were answered with 408 within {took_s:.1f} s;"
            f" meanwhile other clients waited at most {1000 * worst_s:.0f} ms, and no instance saw the slow ones")
