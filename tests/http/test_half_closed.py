#!/usr/bin/env python3
"""A client may shut down its sending side after the request (RFC 9112, section 9.6): it is answered.

Other connections of the same HTTP thread decide whether the library reads the end of the stream before
it sends the answer, so the tests keep some open."""

import itertools
import socket
import time
import unittest

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
        keys = (f"key-{n}" for n in itertools.count())
        sent = []

        def send(pieces_of, pause_s=0.0, headers=""):
            key = next(keys)
            self.check(exchange(self.port, pieces_of(deduct(key, headers)), pause_s))
            sent.append(key)

        length = len(deduct("key-0"))
        for _ in range(9000):
            send(lambda request: [request])
        for at in range(1, length):  # two segments, cut at every byte
            for _ in range(4):
                send(lambda request, at=at: halves(request, at))
        for at in range(1, length, 7):  # the same, and the server has read the first before the second comes
            send(lambda request, at=at: halves(request, at), pause_s=0.005)
        for _ in range(20):  # byte by byte
            send(lambda request: [request[n:n + 1] for n in range(len(request))])
        for _ in range(100):
            send(lambda request: [request], headers="Connection: close\r\n")
        rows = ledger(self.port, "stock/S")
        self.assertEqual(sorted(row["request_key"] for row in rows if row["reason"] == "deduct"), sorted(sent))

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
