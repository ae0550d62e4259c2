#!/usr/bin/env python3
"""A client may shut down its sending side after the request (RFC 9112, section 9.6): it is answered.

Other connections of the same HTTP thread decide whether the library reads the end of the stream before
it sends the answer, so the tests keep some open."""

import socket
import time
import unittest
from concurrent.futures import ThreadPoolExecutor

from cluster import TestCase, ledger

OPEN_CONNECTIONS = 16  # several on each HTTP thread


def connect(port):
    connection = socket.create_connection(("127.0.0.1", port), timeout=10)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def get(path):
    return f"GET {path} HTTP/1.1\r\nHost: test\r\n\r\n".encode()


def deduct(key, headers=""):
    body = '{"quantity": 1}'
    return (f"POST /v1/stock/S/deduct HTTP/1.1\r\nHost: test\r\nIdempotency-Key: {key}\r\n{headers}"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}").encode()


def exchange(port, pieces, pause_s=0.0):
    """Sends the pieces, shuts the sending side down, and returns all that the server sends."""
    with connect(port) as connection:
        for number, piece in enumerate(pieces):
            if number > 0:
                time.sleep(pause_s)
            connection.sendall(piece)
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        while received := connection.recv(65536):
            answer += received
        return answer


def halves(request, at):
    return [request[:at], request[at:]]


class HalfClosed(TestCase):
    def setUp(self):
        self.servers = self.cluster(self.sqlite().store)
        self.port = self.servers.ports[0]
        self.servers.call("PUT", "/v1/stock/S", {"quantity": 1000000})
        self.others = [connect(self.port) for _ in range(OPEN_CONNECTIONS)]
        for other in self.others:  # each has made a request, and is idle
            self.addCleanup(other.close)
            other.sendall(get("/livez"))
            self.assertIn(b" 200 ", other.recv(4096))

    def check(self, answer):
        self.assertEqual(answer.count(b"HTTP/1.1 200 OK"), 1, answer)

    def test_reads(self):
        for path in ("/v1/stock/S", "/livez", "/readyz", "/metrics", "/v1/ledger?counter=stock/S"):
            for _ in range(50):
                self.check(exchange(self.port, [get(path)]))

    def test_deducts_are_answered_and_counted_once(self):
        length = len(deduct("key-00000"))
        ways = [(lambda request: [request], 0, "")] * 9000
        ways += [(lambda request, at=at: halves(request, at), 0, "")  # two segments, cut at every byte
                 for at in range(1, length)] * 4
        ways += [(lambda request, at=at: halves(request, at), 0.005, "")  # the first is read alone
                 for at in range(1, length, 7)]
        ways += [(lambda request: [request[n:n + 1] for n in range(len(request))], 0, "")] * 20  # byte by byte
        ways += [(lambda request: [request], 0, "Connection: close\r\n")] * 300
        keys = [f"key-{n:05}" for n in range(len(ways))]

        def send(key, way):
            pieces_of, pause_s, headers = way
            self.check(exchange(self.port, pieces_of(deduct(key, headers)), pause_s))

        with ThreadPoolExecutor(8) as threads:
            list(threads.map(send, keys, ways))  # raises the first failure
        rows = ledger(self.port, "stock/S")
        self.assertEqual(sorted(row["request_key"] for row in rows if row["reason"] == "deduct"), keys)

    def test_two_requests_in_one_segment(self):
        for n in range(100):
            answer = exchange(self.port, [deduct(f"first-{n}") + deduct(f"second-{n}")])
            self.assertEqual(answer.count(b"HTTP/1.1 200 OK"), 2, answer)

    def test_an_incomplete_request_changes_nothing(self):
        request = deduct("incomplete")
        for at in range(1, len(request)):
            self.assertNotIn(b" 200 ", exchange(self.port, [request[:at]]))
        self.assertNotIn("incomplete", [row["request_key"] for row in ledger(self.port, "stock/S")])


if __name__ == "__main__":
    unittest.main()
