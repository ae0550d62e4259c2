#!/usr/bin/env python3
"""Every row of raw_requests.py, sent over a socket in several ways.

A client gets one whole answer for a request, and a refusal is a problem document. After a request whose end is
not certain the connection is closed, and the bytes that follow it are not carried out as a request."""

import json
import re
import socket
import unittest

from cluster import TestCase, ledger
from raw_requests import GOOD, HOST, LENGTH, LIVEZ, POST, BODY, ROWS

HIDDEN = POST + GOOD.replace(b"KEY", b"hidden.KEY") + LENGTH + b"\r\n" + BODY
PROBE = LIVEZ + HOST + b"\r\n"


def exchange(port, pieces):
    """All bytes that the server sends until it closes the connection."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        received = b""
        try:
            for piece in pieces:
                connection.sendall(piece)
        except (BrokenPipeError, ConnectionResetError):
            pass  # refused early; the answer can still be read
        try:
            while data := connection.recv(65536):
                received += data
        except ConnectionResetError:
            pass
        return received


def answers_in(data, head_at):
    """The answers as (status, fields, body); the one at `head_at` is to a HEAD. Raises AssertionError for bytes
    that are no answer."""
    answers = []
    while data:
        head, end, data = data.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        if not end or not re.fullmatch(r"HTTP/1\.1 [1-5]\d\d [ -~]+", lines[0]):
            raise AssertionError(f"not an answer: {head[:200]}")
        fields = dict(line.lower().split(": ", 1) for line in lines[1:])
        length = 0 if len(answers) == head_at else int(fields["content-length"])
        if len(data) < length:
            raise AssertionError(f"an answer is cut off: {lines}")
        answers.append((int(lines[0].split()[1]), fields, data[:length]))
        data = data[length:]
    return answers


class Raw(TestCase):
    def setUp(self):
        self.servers = self.cluster(self.sqlite().store, request__timeout_ms=5000)
        self.port = self.servers.ports[0]
        self.servers.call("PUT", "/v1/stock/S", {"quantity": 1000000})
        self.carried_out = []

    def counted(self):
        """How many answers the service has counted, without those that give the count."""
        return sum(value for (name, labels), value in self.servers.instances[0].metrics()
                   if name == "holdfast_http_requests_total" and 'operation="metrics"' not in labels)

    def check(self, row, way, before, cut):
        """Sends the row behind this many good requests, cut into pieces."""
        key = f"{ROWS.index(row)}.{way}".encode()
        last = HIDDEN.replace(b"KEY", key) if row.closes else \
            PROBE.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
        answers = answers_in(exchange(self.port, cut(PROBE * before + row.request.replace(b"KEY", key) + last)),
                             before if row.request.startswith(b"HEAD ") else None)
        self.assertEqual([status for status, _, _ in answers[:before]], [200] * before)
        answers = answers[before:]
        if not row.closes:
            self.assertEqual(len(answers), 2, "the next request is not answered")
            self.assertEqual(answers.pop()[0], 200)
        if answers or None not in row.statuses:
            self.assertEqual(len(answers), 1, answers)
        for status, fields, body in answers:
            self.assertIn(status, row.statuses, body)
            if row.closes:
                self.assertEqual(fields.get("connection"), "close", fields)
            if status == 200:
                self.carried_out += [key.decode()] if b"KEY" in row.request else []
            else:
                self.assertEqual(fields.get("content-type"), "application/problem+json", body)
                problem = json.loads(body)
                self.assertEqual(problem["status"], status)
                self.assertTrue(problem["type"].startswith("/problems/"), problem)
        return before + len(answers) + (not row.closes)

    def check_all(self, way, before, cut):
        count = self.counted()
        for row in ROWS:
            with self.subTest(row.name, way=way):
                count += self.check(row, way, before, cut)
        self.assertEqual(self.counted(), count, "requests were counted that were not answered, or the reverse")
        keys = [line["request_key"] for line in ledger(self.port, "stock/S") if line["reason"] == "deduct"]
        self.assertEqual(sorted(keys), sorted(self.carried_out))

    def test_alone(self):
        self.check_all("alone", 0, lambda request: [request])

    def test_behind_a_good_request(self):
        self.check_all("behind", 1, lambda request: [request])

    def test_in_pieces(self):
        self.check_all("pieces", 0, lambda request: [request[:len(request) // 3], request[len(request) // 3:]])

    def test_the_table_is_whole(self):
        names = [row.name for row in ROWS]
        self.assertEqual(sorted(names), sorted(set(names)))
        self.assertGreaterEqual(len(ROWS), 80)


if __name__ == "__main__":
    unittest.main()
