#!/usr/bin/env python3
"""Bad inputs over a socket that are no row of raw_requests.py: sizes, bodies, keys, slow clients.

HOLDFAST_URL names a running server in lab mode with a request.timeout_ms of 2000. Without it the
tests start a server.
"""

import json
import os
import socket
import threading
import time
import unittest
import urllib.parse

from cluster import Instance, SqliteDatabase

TIMEOUT_MS = 2000
HOST = b"Host: shop.example\r\n"
JSON = b"Content-Type: application/json\r\n"


def key(name):
    return b"Idempotency-Key: " + name.encode() + b"\r\n"


class Connection:
    """A socket that sends exact bytes and reads responses."""

    def __init__(self, address):
        self.socket = socket.create_connection(address, timeout=15)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass  # already refused; the answer may still be readable
        return self

    def _more(self):
        try:
            data = self.socket.recv(65536)
        except ConnectionResetError:
            data = b""
        self.buffer += data
        return bool(data)

    def response(self):
        """The next response as (status, headers, body); None at the end of the connection."""
        while b"\r\n\r\n" not in self.buffer:
            if not self._more():
                return None
        head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        headers = {n.strip().lower(): v.strip() for n, _, v in (x.partition(":") for x in lines[1:])}
        status = int(lines[0].split()[1])
        if status == 100:
            return status, headers, b""
        if "content-length" in headers:
            length = int(headers["content-length"])
            while len(self.buffer) < length and self._more():
                pass
            body, self.buffer = self.buffer[:length], self.buffer[length:]
        else:
            while self._more():
                pass
            body, self.buffer = self.buffer, b""
        return status, headers, body

    def ends(self):
        """True if the server closes the connection without another answer. Old versions of the
        HTTP library send the head of a refusal twice."""
        while self._more():
            pass
        return b"HTTP/1.1 2" not in self.buffer


class BadInputs(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.instance = cls.database = None
        url = os.environ.get("HOLDFAST_URL")
        if url:
            parts = urllib.parse.urlsplit(url)
            cls.address = (parts.hostname, parts.port)
        else:
            cls.database = SqliteDatabase()
            cls.instance = Instance(cls.database.store,
                                    {"lab": "on", "request.timeout_ms": TIMEOUT_MS})
            cls.instance.await_listening()
            cls.address = ("127.0.0.1", cls.instance.port)
        cls.names = 0

    @classmethod
    def tearDownClass(cls):
        if cls.instance:
            cls.instance.signal(15)
            cls.instance.wait()
            cls.database.drop()

    def connect(self):
        return Connection(self.address)

    def sku(self, quantity=100):
        """A new product."""
        BadInputs.names += 1
        sku = f"BAD-{os.getpid()}-{BadInputs.names}"
        body = json.dumps({"quantity": quantity}).encode()
        with self.connect() as c:
            c.send(b"PUT /v1/stock/" + sku.encode() + b" HTTP/1.1\r\n" + HOST + JSON +
                   b"Content-Length: %d\r\n\r\n" % len(body) + body)
            self.assertEqual(c.response()[0], 201)
        return sku

    def remaining(self, sku):
        with self.connect() as c:
            c.send(b"GET /v1/stock/" + sku.encode() + b" HTTP/1.1\r\n" + HOST + b"\r\n")
            return json.loads(c.response()[2])["remaining"]

    def deduct(self, sku, name, extra=b"", body=b'{"quantity":1}'):
        return (b"POST /v1/stock/" + sku.encode() + b"/deduct HTTP/1.1\r\n" + HOST + JSON + key(name) +
                extra + b"Content-Length: %d\r\n\r\n" % len(body) + body)

    def answer(self, data):
        with self.connect() as c:
            return c.send(data).response()

    def post(self, path, body, *lines, media=JSON):
        head = b"".join(line + b"\r\n" for line in lines)
        return self.answer(b"POST " + path.encode() + b" HTTP/1.1\r\n" + HOST + media + head +
                           b"Content-Length: %d\r\n\r\n" % len(body) + body)

    # ---- framing: refused after the header section; the connection is closed

    def test_in_single_bytes(self):
        sku = self.sku()
        for name, fields in {"bare LF": b"X: a\n", "NUL": b"X: a\0b\r\n", "folded": b"X: a\r\n b\r\n",
                             "two lengths": b"Content-Length: 0\r\n"}.items():
            with self.subTest(name), self.connect() as c:
                for byte in self.deduct(sku, "slow", fields):
                    c.send(bytes([byte]))
                self.assertEqual(c.response()[0], 400)
                self.assertTrue(c.ends())
        self.assertEqual(self.remaining(sku), 100)

    def test_ids_that_are_not_ids(self):
        for sku in (b"a%20b", b"%C3%A4", b"a%2Fb", b"a'b", b"a%22b", b"a;b", b"a*", b"A" * 65,
                    b"a%5Cb", b"%24%7Bx%7D", b"a,b", b"(a)"):
            with self.subTest(sku):
                status, _, body = self.answer(b"GET /v1/stock/" + sku + b" HTTP/1.1\r\n" + HOST + b"\r\n")
                self.assertEqual(status, 422, body)
                self.assertEqual(json.loads(body)["field"], "sku")
        self.assertIn(self.answer(b"GET /v1/stock/" + b"A" * 10000 + b" HTTP/1.1\r\n" + HOST +
                                  b"\r\n")[0], (414,))
        self.assertEqual(self.answer(b"GET /v1/stock/" + b"A" * 5000 + b" HTTP/1.1\r\n" + HOST +
                                     b"\r\n")[0], 414)

    def test_methods(self):
        for method in (b"POST", b"DELETE", b"PATCH", b"OPTIONS", b"TRACE"):
            with self.subTest(method):
                status, headers, _ = self.answer(method + b" /livez HTTP/1.1\r\n" + HOST + b"\r\n")
                self.assertEqual((status, headers["allow"]), (405, "GET, HEAD"))
        status, headers, _ = self.answer(b"DELETE /v1/stock/A HTTP/1.1\r\n" + HOST + b"\r\n")
        self.assertEqual((status, headers["allow"]), (405, "GET, HEAD, PUT, PATCH"))

    def test_too_large(self):
        sku = self.sku()
        line = b"POST /v1/stock/" + sku.encode() + b"/deduct HTTP/1.1\r\n" + HOST + JSON + key("large")
        for size in (65537, 300000, 4000000):
            with self.subTest(chunked=size), self.connect() as c:
                c.send(line + b"Transfer-Encoding: chunked\r\n\r\n")
                c.send(b"1000\r\n" + b" " * 4096 + b"\r\n")
                for _ in range(size // 4096):
                    c.send(b"1000\r\n" + b" " * 4096 + b"\r\n")
                answer = c.send(b"0\r\n\r\n").response()
                self.assertEqual(answer[0], 413)
                self.assertTrue(c.ends())
        whole = b'{"quantity":1' + b" " * (65536 - 14) + b"}"
        self.assertEqual(self.answer(self.deduct(sku, "whole", body=whole))[0], 200)

    def test_a_refused_head_request_has_no_body(self):
        with self.connect() as c:
            c.send(b"HEAD /livez HTTP/1.1\r\n" + HOST + b"A: b\r\n" * 70 + b"\r\n")
            status, headers, body = c.response()
            self.assertEqual((status, body), (431, b""))
            self.assertGreater(int(headers["content-length"]), 0)

    # ---- unusual but valid

    def test_accepted(self):
        sku = self.sku()
        chunked = (b"POST /v1/stock/" + sku.encode() + b"/deduct HTTP/1.1\r\n" + HOST + JSON +
                   key("chunked") + b"Transfer-Encoding: chunked\r\n\r\n"
                   b"4\r\n{\"qu\r\na\r\nantity\":1}\r\n0\r\n\r\n")
        self.assertEqual(self.answer(chunked)[0], 200)
        self.assertEqual(self.answer(self.deduct(sku, '"quoted"'))[0], 200)
        replay = self.answer(self.deduct(sku, "quoted"))
        self.assertEqual((replay[0], replay[1].get("idempotent-replayed")), (200, "true"))
        self.assertEqual(self.answer(b"GET /v1/stock/%42" + sku[1:].encode() + b" HTTP/1.1\r\n" + HOST +
                                     b"\r\n")[0], 200)
        self.assertEqual(self.answer(b"GET /livez HTTP/1.0\r\n\r\n")[0], 200)
        self.assertEqual(self.answer(b"HEAD /livez HTTP/1.0\r\n\r\n")[0], 200)
        self.assertEqual(self.answer(b"GET /livez HTTP/1.1\r\nhost:a\r\nx:\r\nY: a\tb \r\n\r\n")[0], 200)
        self.assertEqual(self.remaining(sku), 98)

    def test_expect_continue(self):
        sku = self.sku()
        body = b'{"quantity":1}'
        head = self.deduct(sku, "expect", b"Expect: 100-continue\r\n")[:-len(body)]
        with self.connect() as c:
            self.assertEqual(c.send(head).response()[0], 100)
            self.assertEqual(c.send(body).response()[0], 200)
        with self.connect() as c:  # refused without "100 Continue"
            c.send(head.replace(b"Content-Type: application/json", b"Content-Type: text/plain"))
            self.assertEqual(c.response()[0], 415)

    def test_pipelined_requests_are_answered_in_order(self):
        sku = self.sku()
        with self.connect() as c:
            c.send(b"".join(self.deduct(sku, f"p{i}") for i in range(20)))
            versions = [json.loads(c.response()[2])["version"] for _ in range(20)]
        self.assertEqual(versions, sorted(versions))
        self.assertEqual(self.remaining(sku), 80)

    def test_a_refusal_leaves_the_connection_open(self):
        sku = self.sku()
        with self.connect() as c:
            for data, status in ((self.deduct(sku, "a", body=b'{"quantity":0}'), 422),
                                 (self.deduct(sku, "a", body=b"{"), 400),
                                 (b"GET /nothing HTTP/1.1\r\n" + HOST + b"\r\n", 404),
                                 (self.deduct("NO-SUCH", "a"), 404),
                                 (self.deduct(sku, "a").replace(b"deduct", b"borrow"), 404),
                                 (self.deduct(sku, "a").replace(b"application", b"text"), 415),
                                 (self.deduct(sku, "a"), 200)):
                answer = c.send(data).response()
                self.assertEqual(answer[0], status, answer[2])

    # ---- bodies

    def test_bodies_that_are_not_json(self):
        sku = self.sku()
        path = f"/v1/stock/{sku}/deduct"
        deep = b'{"quantity":' + b"[" * 16 + b"]" * 16 + b"}"
        for body in (b"", b" ", b"{", b"quantity=1", b"[1]", b'"a"', b"1", b"null", b'{"quantity":1}x',
                     b'{"quantity":1}{}', b'{"quantity":1,}', b'{"quantity":01}', b"{'quantity':1}",
                     b'{"quantity":1,"quantity":2}', b'{"quantity":1,"quant\\u0069ty":2}',
                     b'\xef\xbb\xbf{"quantity":1}', b'\xff\xfe{\0', b'{"quantity":1,"user_id":"\xff"}',
                     b'{"user_id":"a\\u0000b","quantity":1}', b'{"quantity":NaN}', deep,
                     b"[" * 60000, b'{"a":' * 10000, b'{"quantity":1}\0'):
            with self.subTest(body[:40]):
                status, headers, text = self.post(path, body, b"Idempotency-Key: j")
                self.assertEqual(status, 400, text)
                self.assertEqual(headers["content-type"], "application/problem+json")
                self.assertEqual(json.loads(text)["type"], "/problems/malformed-request")
        self.assertEqual(self.remaining(sku), 100)

    def test_fields(self):
        sku = self.sku()
        path = f"/v1/stock/{sku}/deduct"
        for value in (b"0", b"-1", b"1000001", b"1.0", b"1e0", b'"1"', b"true", b"null", b"[1]", b"{}",
                      b"99999999999999999999", b"-99999999999999999999"):
            with self.subTest(value):
                status, _, text = self.post(path, b'{"quantity":' + value + b"}", b"Idempotency-Key: f")
                self.assertEqual(status, 422, text)
                self.assertEqual(json.loads(text)["type"], "/problems/invalid-field")
        for field in ("price", "version", "token", "fence", "remaining", "Quantity", "quantity ", "",
                      "ä" * 100, "x" * 5000):
            with self.subTest(field[:20]):
                body = json.dumps({"quantity": 1, field: 1}, ensure_ascii=False).encode()
                status, _, text = self.post(path, body, b"Idempotency-Key: f")
                self.assertEqual(status, 422, text)
                self.assertEqual(json.loads(text)["type"], "/problems/unknown-field")
        for user in ("", "a b", "a\r\nb", "a\x7fb", "ä", "A" * 129):
            with self.subTest(user[:20]):
                status, _, text = self.post(path, json.dumps({"quantity": 1, "user_id": user}).encode(),
                                            b"Idempotency-Key: f")
                self.assertEqual((status, json.loads(text)["field"]), (422, "user_id"))
        self.assertEqual(self.post(path, b"{}", b"Idempotency-Key: f")[0], 422)
        self.assertEqual(self.remaining(sku), 100)

    def test_keys(self):
        sku = self.sku()
        path, body = f"/v1/stock/{sku}/deduct", b'{"quantity":1}'
        status, _, text = self.post(path, body)
        self.assertEqual((status, json.loads(text)["type"]), (400, "/problems/idempotency-key-missing"))
        for value in (b"", b'""', b"a b", b"x" * 65, b'"a', b'a"b', b'"a b"', b"\xc3\xa4", b'"a\\"'):
            with self.subTest(value):
                self.assertEqual(self.post(path, body, b"Idempotency-Key: " + value)[0], 400)
        self.assertEqual(self.post(path, body, b"Idempotency-Key: " + b"x" * 64)[0], 200)

    def test_queries(self):
        for query, status in (("limit=0", 422), ("limit=1001", 422), ("limit=", 422), ("limit=1x", 422),
                              ("limit=99999999999999999999", 422), ("after=a%20b", 422), ("page=2", 422),
                              ("limit", 400), ("%ff=1", 422), ("limit=1&after=A", 200), ("", 200)):
            with self.subTest(query):
                answer = self.answer(b"GET /v1/stock?" + query.encode() + b" HTTP/1.1\r\n" + HOST + b"\r\n")
                self.assertEqual(answer[0], status, answer[2])
        for target, field in ((b"/v1/stock?limit=1&limit=2", "limit"), (b"/v1/stock?after=A&after=A", "after"),
                              (b"/v1/ledger?counter=a/b&limit=1&counter=a/b", "counter"),
                              (b"/v1/stock/A?limit=1", "limit"), (b"/v1/coupons/A?user_id=a", "user_id"),
                              (b"/livez?x=1", "x"), (b"/readyz?x=", "x"), (b"/metrics?name=a", "name"),
                              (b"/openapi.yaml?v=1", "v"), (b"/v1/strategies?a=b", "a")):
            with self.subTest(target):
                status, _, body = self.answer(b"GET " + target + b" HTTP/1.1\r\n" + HOST + b"\r\n")
                self.assertEqual((status, json.loads(body)["field"]), (422, field))
        for query in ("", "counter=x", "counter=/a", "counter=a/", "counter=a/b%00",
                      "counter=stock/A&after_version=-1"):
            with self.subTest(query):
                answer = self.answer(b"GET /v1/ledger?" + query.encode() + b" HTTP/1.1\r\n" + HOST + b"\r\n")
                self.assertIn(answer[0], (400, 422), answer[2])

    def test_queries_of_changes(self):
        sku = self.sku()
        for line in (b"POST /v1/stock/%s/deduct?quantity=9", b"PUT /v1/stock/%s?quantity=9",
                     b"POST /v1/reconciliation?quantity=9", b"PUT /v1/strategies/deduct?quantity=9"):
            line = line.replace(b"%s", sku.encode())
            with self.subTest(line):
                status, _, body = self.answer(line + b" HTTP/1.1\r\n" + HOST + JSON + key("query") +
                                              b"Content-Length: 14\r\n\r\n{\"quantity\":1}")
                self.assertEqual((status, json.loads(body).get("field")), (422, "quantity"))
                self.assertEqual(json.loads(body)["type"], "/problems/unknown-field")
        self.assertEqual(self.remaining(sku), 100)
        self.assertEqual(self.answer(self.deduct(sku, "query").replace(b"deduct ", b"deduct? "))[0], 200)

    # ---- timeouts

    def assert_ended_in_time(self, first, drip, early=False):
        """Sends `first`, then single bytes, and expects the end soon after the timeout."""
        with self.connect() as c:
            began = time.monotonic()
            c.send(first)
            c.socket.settimeout(0.2)
            seen = b""
            while time.monotonic() - began < 3 * TIMEOUT_MS / 1000:
                if drip:
                    c.send(drip)
                try:
                    data = c.socket.recv(4096)
                except socket.timeout:
                    continue
                except (ConnectionResetError, BrokenPipeError):
                    break
                seen += data
                if not data:
                    break
            took = time.monotonic() - began
        self.assertLess(took, 2 * TIMEOUT_MS / 1000)
        self.assertGreater(took, TIMEOUT_MS / 1000 * 0.9)
        if seen:
            self.assertTrue(seen.startswith(b"HTTP/1.1 408"), seen[:80])

    def test_slow_clients(self):
        sku = self.sku()
        cases = {
            "request line": (b"GET /live", b"z"),
            "request line, then nothing": (b"GET /live", b""),
            "header": (b"GET /livez HTTP/1.1\r\nX: ", b"a"),
            "header, then nothing": (b"GET /livez HTTP/1.1\r\nHost: a\r\n", b""),
            "body": (self.deduct(sku, "slow-body", body=b" " * 5000)[:-4990], b" "),
            "body, then nothing": (self.deduct(sku, "slow-body")[:-3], b""),
            "chunks": (b"POST /v1/stock/A/deduct HTTP/1.1\r\n" + HOST + JSON + key("c") +
                       b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
        }
        failures = []

        def watch(name, first, drip):
            try:
                self.assert_ended_in_time(first, drip)
            except AssertionError as error:
                failures.append(f"{name}: {error}")

        threads = [threading.Thread(target=watch, args=(n, *c)) for n, c in cases.items()]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(failures, [])
        self.assertEqual(self.remaining(sku), 100)

    def test_second_slow_request_on_a_connection(self):
        with self.connect() as c:
            c.send(b"GET /livez HTTP/1.1\r\n" + HOST + b"\r\n")
            self.assertEqual(c.response()[0], 200)
            time.sleep(0.6)
            began = time.monotonic()
            c.socket.settimeout(0.2)
            ended = False
            while not ended and time.monotonic() - began < 3 * TIMEOUT_MS / 1000:
                c.send(b"G")
                try:
                    ended = not c.socket.recv(4096)
                except socket.timeout:
                    pass
                except ConnectionResetError:
                    ended = True
            self.assertTrue(ended)

    def test_an_idle_connection_is_left_alone(self):
        with self.connect() as c:
            for _ in range(2):
                c.send(b"GET /livez HTTP/1.1\r\n" + HOST + b"\r\n")
                self.assertEqual(c.response()[0], 200)
                time.sleep(1.5 * TIMEOUT_MS / 1000)
            c.send(b"GET /livez HTTP/1.1\r\n" + HOST + b"\r\n")
            self.assertEqual(c.response()[0], 200)

    def test_clients_that_go_away(self):
        sku = self.sku()
        for n in range(200):
            with self.connect() as c:
                c.send(self.deduct(sku, f"gone-{n}")[:None if n % 2 else -3])
        deadline = time.monotonic() + 5
        while self.remaining(sku) > 0 and time.monotonic() < deadline:
            time.sleep(0.05)
        self.assertEqual(self.remaining(sku), 0)
        with self.connect() as c:
            self.assertEqual(c.send(self.deduct(sku, "gone-1")).response()[0], 200)


if __name__ == "__main__":
    unittest.main()
