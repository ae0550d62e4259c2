#!/usr/bin/env python3
"""Requests of every size: each is refused and leaves no row, or is carried out and answered.

The HTTP library keeps a request and the header of its answer in one block of memory for each connection.
Whatever a client makes large may use up that block. The tests grow one part of a deduct at a time, up to
twice the limit, and compare the answers with the ledger by key.

Each test takes a sample of the sizes: coarse steps, and single bytes where the answer changes.
HOLDFAST_TEST_SIZES=all takes every size.
"""

import os
import socket
import unittest
from concurrent.futures import ThreadPoolExecutor

from cluster import TestCase, ledger

ALL = os.environ.get("HOLDFAST_TEST_SIZES") == "all"
HEAD_MAX = 8192  # bytes of the header section, counting 64 more for each field
FIELDS_MAX = 64
TARGET_MAX = 4095
REFUSALS = (400, 404, 413, 414, 422, 431)
NO_ANSWER = (None, b"")
BODY = b'{"quantity": 1}'
STEP = 1 if ALL else 509  # odd, so that the samples do not share the library's alignment
EDGE = 5  # sizes on both sides of a change, one at a time

# What may be large. Each takes a number of bytes (or, in UNITS, of repetitions) and returns a request's
# beginning of blank lines, its target and its additional header fields.
PATH = b"/v1/stock/S/deduct"
SHAPES = {
    "header value": lambda n: (b"", PATH, b"X: " + b"v" * n + b"\r\n"),
    "header name": lambda n: (b"", PATH, b"n" * n + b": 1\r\n" if n else b""),
    "headers": lambda n: (b"", PATH, b"A: b\r\n" * n),
    "cookie": lambda n: (b"", PATH, b"Cookie: " + b"c" * n + b"\r\n"),
    "cookie pairs": lambda n: (b"", PATH, b"Cookie: " + b"a=1; " * n + b"\r\n"),
    "cookies": lambda n: (b"", PATH, b"Cookie: a=1\r\n" * n),
    "query": lambda n: (b"", PATH + b"?q=" + b"v" * n, b""),
    "query pairs": lambda n: (b"", PATH + b"?" + b"a=1&" * n, b""),
    "path": lambda n: (b"", b"/v1/stock/" + b"S" * (n + 1) + b"/deduct", b""),
    "blank lines": lambda n: (b"\r\n" * n, PATH, b""),
    "folded": lambda n: (b"", PATH, b"X: a\r\n" + b" b\r\n" * n),
}
UNITS = {"headers": 6, "cookie pairs": 5, "cookies": 13, "query pairs": 4, "blank lines": 2, "folded": 4}


def post(key, target=PATH, fields=b"", blank=b"", body=BODY):
    return (blank + b"POST " + target + b" HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n"
            b"Idempotency-Key: " + key.encode() + b"\r\n" + fields +
            b"Content-Length: %d\r\n\r\n" % len(body) + body)


def counted(request):
    """What counts of this request's header section, with blank lines before it; its number of fields."""
    begin = len(request) - len(request.lstrip(b"\r\n"))
    end = request.index(b"\r\n\r\n", begin) + 4
    n_fields = request.count(b"\r\n", begin, end) - 2
    return end + 64 * n_fields, n_fields


def read_answers(connection, expected):
    """Up to this many answers as (status, content type). Fewer if the server closes the connection."""
    answers, data = [], b""

    def more():
        nonlocal data
        try:
            received = connection.recv(65536)
        except ConnectionResetError:
            received = b""
        data += received
        return received

    while len(answers) < expected:
        while b"\r\n\r\n" not in data:
            if not more():
                return answers
        head, _, data = data.partition(b"\r\n\r\n")
        fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
        length = int(fields[b"content-length"])
        while len(data) < length and more():
            pass
        if len(data) < length:
            return answers
        data = data[length:]
        answers.append((int(head.split()[1]), fields.get(b"content-type", b"")))
    return answers


class Sizes(TestCase):
    def setUp(self):
        self.servers = self.cluster(self.sqlite().store, request__timeout_ms=3000)
        self.port = self.servers.ports[0]
        self.servers.call("PUT", "/v1/stock/S", {"quantity": 1000000})
        self.answered = {}  # by key: the answer
        self.sent = {}  # by key: the bytes that begin with its request

    def send(self, keys, pieces, before=0):
        """Sends the pieces on one connection; they hold a request for each key, behind `before` GETs."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for _ in range(before):
                connection.sendall(b"GET /livez HTTP/1.1\r\nHost: test\r\n\r\n")
                self.assertEqual([status for status, _ in read_answers(connection, 1)], [200])
            try:
                for piece in pieces:
                    connection.sendall(piece)
            except (BrokenPipeError, ConnectionResetError):
                pass  # refused early; the answer can still be read
            answers = read_answers(connection, len(keys))
        self.answered.update(zip(keys, answers))
        self.sent[keys[0]] = b"".join(pieces)
        return answers[0] if answers else NO_ANSWER

    # The ways to send a request of a shape and size. Each returns its answer.

    def alone(self, key, blank, target, fields):
        return self.send([key], [post(key, target, fields, blank)])

    def in_two_segments(self, key, blank, target, fields):
        request = post(key, target, fields, blank)
        return self.send([key], [request[:len(request) // 2], request[len(request) // 2:]])

    def second_on_the_connection(self, key, blank, target, fields):
        return self.send([key], [post(key, target, fields, blank)], before=1)

    def with_a_large_body(self, key, blank, target, fields):
        return self.send([key], [post(key, target, fields, blank, BODY + b" " * 30000)])

    def with_requests_behind(self, key, blank, target, fields):
        behind = [f"{key}.{n}" for n in range(40)]  # more bytes than the library reads ahead
        return self.send([key] + behind,
                         [post(key, target, fields, blank) + b"".join(post(other) for other in behind)])

    def sizes(self, shape):
        unit = UNITS.get(shape, 1)
        limit = TARGET_MAX if shape in ("query", "query pairs", "path") else HEAD_MAX
        return range(0, 2 * limit // unit, 1 if ALL else max(min(STEP, limit // 8) // unit, 1))

    def check_shape(self, way, shape):
        """Tries the sizes of one shape; halves the steps in which the answer changes."""
        answers = {}

        def key(size):
            return f"{way.__name__}.{shape.replace(' ', '-')}.{size}"

        def try_size(size):
            if size not in answers:
                answers[size] = way(key(size), *SHAPES[shape](size))

        coarse = list(self.sizes(shape))
        with ThreadPoolExecutor(4) as threads:
            list(threads.map(try_size, coarse))
            for low, high in zip(coarse, coarse[1:]):
                if answers[low] == answers[high]:
                    continue
                while high - low > 1:
                    middle = (low + high) // 2
                    try_size(middle)
                    low, high = (middle, high) if answers[middle] == answers[low] else (low, middle)
                list(threads.map(try_size, range(max(0, low - EDGE), high + EDGE)))

        where = f"{way.__name__}, {shape}"
        self.assertEqual([size for size in sorted(answers) if answers[size] == NO_ANSWER], [], f"{where}: not answered")
        for size, (status, media_type) in answers.items():
            total, n_fields = counted(self.sent[key(size)])
            self.assertIn(status, (200,) + REFUSALS, f"{where}, {size}")
            if total <= HEAD_MAX and n_fields <= FIELDS_MAX:
                self.assertNotEqual(status, 431, f"{where}, {size}: refused within the limits")
            elif shape != "blank lines":  # they have no limit of their own
                self.assertNotEqual(status, 200, f"{where}, {size}: carried out beyond the limits")
            if total <= HEAD_MAX + 256 and n_fields <= FIELDS_MAX + 4 and status != 200:
                # Far beyond the limits the HTTP library answers, before the server is asked.
                self.assertEqual(media_type, b"application/problem+json", f"{where}, {size}")
        statuses = {status for status, _ in answers.values()}
        self.assertTrue(statuses & {200, 404, 422}, f"{where}: even the smallest is refused")
        self.assertTrue(statuses & {400, 414, 431}, f"{where}: no limit")

    def check_ledger(self):
        carried_out = {row["request_key"] for row in ledger(self.port, "stock/S") if row["reason"] == "deduct"}
        acknowledged = {key for key, (status, _) in self.answered.items() if status == 200}
        self.assertEqual(carried_out - acknowledged, set(), "carried out without an answer")
        self.assertEqual(acknowledged - carried_out, set(), "acknowledged and not carried out")

    def check(self, way):
        for shape in SHAPES:
            with self.subTest(shape):
                self.check_shape(way, shape)
        self.check_ledger()

    def test_alone(self):
        self.check(self.alone)

    def test_in_two_segments(self):
        self.check(self.in_two_segments)

    def test_second_on_the_connection(self):
        self.check(self.second_on_the_connection)

    def test_with_a_large_body(self):
        self.check(self.with_a_large_body)

    def test_with_requests_behind(self):
        self.check(self.with_requests_behind)

    def test_chunked(self):
        """Chunk extensions and trailers fill the memory after the header section was judged."""
        head = post("%s", body=b"").replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
        chunk = b"%x" % len(BODY)
        shapes = {
            "extension": lambda n: chunk + b";x=" + b"v" * n + b"\r\n" + BODY + b"\r\n0\r\n\r\n",
            "trailer value": lambda n: chunk + b"\r\n" + BODY + b"\r\n0\r\nT: " + b"v" * n + b"\r\n\r\n",
            "trailers": lambda n: chunk + b"\r\n" + BODY + b"\r\n0\r\n" + b"T: v\r\n" * (n // 6) + b"\r\n",
        }

        def try_one(case):
            shape, size, behind = case
            key = f"chunked.{shape.replace(' ', '-')}.{size}.{len(behind)}"
            request = head.replace(b"%s", key.encode()) + shapes[shape](size) + behind
            # In two segments: the library makes more room when the first one has filled its buffer.
            answer = self.send([key], [request[:len(request) // 2], request[len(request) // 2:]])
            self.assertIn(answer[0], (200,) + REFUSALS, case[:2])

        cases = [(shape, size, behind) for shape in shapes for behind in (b"", post("behind") * 60)
                 for size in range(0, 4000 if shape == "extension" else 2 * HEAD_MAX, 1 if ALL else 139)]
        with ThreadPoolExecutor(4) as threads:
            list(threads.map(try_one, cases))
        self.check_ledger()


if __name__ == "__main__":
    unittest.main()
