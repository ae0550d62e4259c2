#!/usr/bin/env python3
"""Connections beyond `http.connections`: silent ones give way, and probes are always answered."""

import contextlib
import http.client
import socket
import sqlite3
import threading
import time
import unittest

import loader
from cluster import TestCase, await_true
from strangers import Strangers

ANSWER_S = 1
LIMIT = 4096    # the default of http.connections
STRANGERS = 5000
AT_ONCE = 0     # as a number of reconnects per second
GRACE_S = 0.3   # a connection that has been idle for less does not give way


class Client:
    """A connection that stays open between requests."""

    def __init__(self, port):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        self.connection.connect()

    def get(self, path):
        self.connection.request("GET", path)
        answer = self.connection.getresponse()
        answer.read()
        return answer

    def close(self):
        self.connection.close()


class Served(TestCase):
    servers = None

    def ended(self, reason):
        return {labels: value for (name, labels), value in self.servers.instances[0].metrics()
                if name == "holdfast_http_connections_ended_total"}[f'reason="{reason}"']


class SilentStrangers(Served):
    def setUp(self):
        self.servers = self.cluster(self.sqlite().store)
        self.port = self.servers.ports[0]
        self.servers.call("PUT", "/v1/stock/S", {"quantity": 1000000})

    def check_served(self, times):
        for n in range(times):
            for method, path, body in (("GET", "/livez", None), ("POST", "/v1/stock/S/deduct", {"quantity": 1})):
                begin = time.monotonic()
                answer = self.servers.call(method, path, body, f"key-{n}", timeout_s=10)
                self.assertEqual(answer.status, 200, answer)
                self.assertLess(time.monotonic() - begin, ANSWER_S, path)

    def test_new_clients_are_served(self):
        for sends, reconnects in (
                (b"", AT_ONCE), (b"GET /livez HTT", 500),
                (b"POST /v1/stock/S/deduct HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n", 500)):
            with self.subTest(sends=sends), Strangers(self.port, STRANGERS, reconnects, sends):
                self.check_served(10)

    def test_a_client_between_requests_keeps_its_connection(self):
        client = Client(self.port)
        self.addCleanup(client.close)
        self.assertEqual(client.get("/livez").status, 200)
        with Strangers(self.port, STRANGERS):
            await_true(lambda: self.ended("limit-no-request") > LIMIT)
            self.assertEqual(client.get("/livez").status, 200)
        self.assertEqual(self.ended("limit-idle"), 0)
        lines = [line for line in self.servers.instances[0].read_log().splitlines() if "gave way" in line]
        self.assertEqual(len(lines), 1, lines)


class Limit(Served):
    """A small limit, so that few clients reach it."""

    LIMIT = 8

    def start(self, **settings):
        self.database = self.sqlite()
        self.servers = self.cluster(self.database.store, http__connections=self.LIMIT, **settings)
        self.port = self.servers.ports[0]
        self.servers.call("PUT", "/v1/stock/S", {"quantity": 1000000})

    def check_probe(self, path, status=200):
        begin = time.monotonic()
        self.assertEqual(self.servers.call("GET", path, timeout_s=10).status, status, path)
        self.assertLess(time.monotonic() - begin, ANSWER_S, path)

    def test_the_longest_idle_gives_way(self):
        self.start()
        clients = []

        def add():
            clients.append(Client(self.port))
            self.addCleanup(clients[-1].close)
            self.assertEqual(clients[-1].get("/livez").status, 200)

        for _ in range(self.LIMIT):
            add()
        time.sleep(GRACE_S)
        for n in range(4):
            add()
            self.assertEqual(clients[n].connection.sock.recv(1), b"")
        for client in clients[4:]:
            self.assertEqual(client.get("/livez").status, 200)

    def test_young_strangers_do_not_displace_an_idle_client(self):
        self.start()
        client = Client(self.port)
        self.addCleanup(client.close)
        self.assertEqual(client.get("/livez").status, 200)
        time.sleep(GRACE_S)
        with Strangers(self.port, 2 * self.LIMIT):  # all within the grace
            await_true(lambda: self.ended("limit-no-request") > 0)
            self.assertEqual(client.get("/livez").status, 200)
        self.assertEqual(self.ended("limit-idle"), 0)

    def test_probes_are_answered_while_all_requests_wait(self):
        self.start(request__timeout_ms=20000)
        answers = []

        def deduct(key):
            answers.append(self.servers.call("POST", "/v1/stock/S/deduct", {"quantity": 1}, key).status)

        threads = [threading.Thread(target=deduct, args=(f"key-{n}",)) for n in range(self.LIMIT)]
        path = self.database.store.removeprefix("sqlite:")
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as writer:
            writer.execute("BEGIN IMMEDIATE")
            for thread in threads:
                thread.start()
            await_true(lambda: "\nholdfast_http_connections 9\n" in self.servers.call("GET", "/metrics").body)
            with Strangers(self.port, 400):
                for _ in range(5):
                    self.check_probe("/livez")
                    self.check_probe("/metrics")
                    self.check_probe("/readyz")
                    refused = self.servers.call("POST", "/v1/stock/S/deduct", {"quantity": 1}, "more", timeout_s=10)
                    self.assert_problem(refused, 503, "overloaded")
            self.assertEqual(answers, [])
            writer.execute("COMMIT")
        for thread in threads:
            thread.join()
        self.assertEqual(answers, [200] * self.LIMIT)

    def test_more_clients_than_the_limit_are_served_in_turn(self):
        self.start()
        process = loader.start("run", f"http://127.0.0.1:{self.port}", "--connections", 300, "--timeout", "2s",
                               "--think", "30ms", "--duration", "2s", "--no-check", "--quiet")
        while process.poll() is None:
            for path in ("/livez", "/metrics"):
                self.check_probe(path)
        text = loader.finish(process).stdout
        self.assertIn("timeouts 0 ", text)

    def test_a_connection_without_a_request_ends_early(self):
        self.start(request__timeout_ms=300)
        client = Client(self.port)
        self.addCleanup(client.close)
        self.assertEqual(client.get("/livez").status, 200)
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as silent:
            self.assertEqual(silent.recv(1), b"")  # no 408: there was no request
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as slow:
            slow.sendall(b"GET /liv")
            self.assertIn(b" 408 ", slow.recv(4096))
        self.assertEqual(client.get("/livez").status, 200)
        self.assertEqual([self.ended("no-request"), self.ended("slow-request")], [1, 1])

    def test_clients_that_do_not_read_give_way(self):
        self.start(request__timeout_ms=300)

        def gave_way():
            client = socket.socket()
            self.addCleanup(client.close)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect(("127.0.0.1", self.port))
            client.sendall(b"GET /openapi.yaml HTTP/1.1\r\nHost: a\r\n\r\n" * 200)
            return self.ended("limit-unread") > 0

        await_true(gave_way)


class IdleConnections(Served):
    def test_each_is_looked_at_although_they_are_many(self):
        """Of those that have made a request, every one that begins another and never ends it is answered."""
        self.servers = self.cluster(self.sqlite().store, request__timeout_ms=300)
        port = self.servers.ports[0]
        with Strangers(port, 2500, AT_ONCE, b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n"):
            clients = [Client(port) for _ in range(6)]
            for client in clients:
                self.addCleanup(client.close)
                self.assertEqual(client.get("/livez").status, 200)
            time.sleep(1)  # until each has been looked at
            for client in clients:
                client.connection.sock.sendall(b"GET /liv")
            for client in clients:
                self.assertIn(b" 408 ", client.connection.sock.recv(4096))


if __name__ == "__main__":
    unittest.main()
