#!/usr/bin/env python3
"""Every acknowledged operation is in the ledger, however the process ends."""

import asyncio
import signal
import socket
import time
import unittest

from cluster import Cluster, Load, TestCase, ledger

UNITS = 1000000


class Ending(TestCase):
    """Loads all instances, signals the first one meanwhile, and checks the ledger."""

    def requests(self, run):
        return [("/v1/stock/HOT/deduct", {"quantity": 1}, f"{run}-{i}") for i in range(200000)]

    def end_under_load(self, cluster, run, number, after_s=0.7):
        """Signals the first instance under load. Returns load, exit code and the time until its end."""
        first = cluster.instances[0]
        load = Load([first.port], self.requests(run), connections=48, stop_on_break=True)

        async def both():
            working = asyncio.gather(load.run_all())
            await asyncio.sleep(after_s)
            began = time.monotonic()
            first.signal(number)
            await asyncio.wait_for(working, 20)
            code = await asyncio.to_thread(first.wait)
            return code, time.monotonic() - began

        code, took_s = asyncio.run(both())
        self.assertGreater(len(load.successes()), 20, load.first_answers)
        return load, code, took_s

    def check_ledger(self, load, port, store):
        rows = ledger(port, "stock/HOT")
        self.assertEqual([row["version"] for row in rows], list(range(1, len(rows) + 1)))
        by_key = {row["request_key"]: row for row in rows}
        for key, answer in load.successes().items():
            self.assertIn(key, by_key, "answered, and not in the ledger")
            self.assertEqual(by_key[key]["version"], answer.body["version"])
            self.assertEqual(by_key[key]["remaining"], answer.body["remaining"])
        self.assert_reconciles(store)

    def restart_and_check(self, load, store, **settings):
        with Cluster(store, 1, **settings) as again:
            self.check_ledger(load, again.ports[0], store)
            # A request whose answer was lost is retried and takes effect once.
            before = again.call("GET", "/v1/stock/HOT").body["version"]
            known = {row["request_key"] for row in ledger(again.ports[0], "stock/HOT")}
            for key in sorted(load.broken)[:20]:
                answer = again.call("POST", "/v1/stock/HOT/deduct", {"quantity": 1}, key)
                self.assertEqual(answer.status, 200)
                replayed = answer.headers.get("Idempotent-Replayed") == "true"
                self.assertEqual(replayed, key in known)
                before += not replayed
            self.assertEqual(again.call("GET", "/v1/stock/HOT").body["version"], before)
            self.assert_reconciles(store)

    def end(self, store, number, **settings):
        cluster = self.cluster(store, 1, **settings)
        self.assertEqual(cluster.call("PUT", "/v1/stock/HOT", {"quantity": UNITS}).status, 201)
        load, code, took_s = self.end_under_load(cluster, "first", number)
        if number == signal.SIGTERM:
            self.assertEqual(code, 0, cluster.instances[0].read_log())
            self.assertLess(took_s, 10)
        else:
            self.assertEqual(code, -number)
        self.restart_and_check(load, store, **settings)

    def test_terminate_sqlite(self):
        self.end(self.sqlite().store, signal.SIGTERM)

    def test_terminate_sqlite_direct(self):
        self.end(self.sqlite().store, signal.SIGTERM, combine__max_batch=1)

    def test_kill_sqlite(self):
        self.end(self.sqlite().store, signal.SIGKILL)

    def test_terminate_mysql(self):
        self.end(self.mysql().store, signal.SIGTERM)

    def test_terminate_mysql_direct(self):
        self.end(self.mysql().store, signal.SIGTERM, combine__max_batch=1)

    def test_kill_mysql(self):
        self.end(self.mysql().store, signal.SIGKILL)

    def test_kill_mysql_with_lock_table(self):
        """The killed holder's lock expires and the next waiter acquires it."""
        self.end(self.mysql().store, signal.SIGKILL, stock__strategy="lock-table", lock__ttl_ms=1000)


class StuckClients(TestCase):
    """Clients that stall do not keep the process from ending."""

    def connect(self, port, text=b""):
        connection = socket.create_connection(("127.0.0.1", port))
        self.addCleanup(connection.close)
        connection.sendall(text)
        return connection

    def test_terminate(self):
        cluster = self.cluster(self.sqlite().store)
        port = cluster.ports[0]
        self.assertEqual(cluster.call("PUT", "/v1/stock/A", {"quantity": 5}).status, 201)
        for _ in range(20):
            self.connect(port)
            self.connect(port, b"POST /v1/stock/A/ded")
            self.connect(port, b"POST /v1/stock/A/deduct HTTP/1.1\r\nHost: a\r\nIdempotency-Key: k\r\n"
                               b"Content-Type: application/json\r\nContent-Length: 15\r\n\r\n{\"quan")
            self.connect(port, b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n")
        time.sleep(0.3)
        began = time.monotonic()
        cluster.instances[0].signal(signal.SIGTERM)
        self.assertEqual(cluster.instances[0].wait(), 0)
        self.assertLess(time.monotonic() - began, 10)

    def test_second_signal_ends_at_once(self):
        cluster = self.cluster(self.sqlite().store)
        self.connect(cluster.ports[0], b"POST /v1/stock/A/deduct HTTP/1.1\r\nHost: a\r\nIdempotency-Key: k\r\n"
                                       b"Content-Type: application/json\r\nContent-Length: 15\r\n\r\n{")
        time.sleep(0.2)
        cluster.instances[0].signal(signal.SIGTERM)
        time.sleep(0.3)
        cluster.instances[0].signal(signal.SIGTERM)
        self.assertEqual(cluster.instances[0].wait(), 128 + signal.SIGTERM)

    def test_interrupt_is_a_drain_too(self):
        cluster = self.cluster(self.sqlite().store)
        cluster.instances[0].signal(signal.SIGINT)
        self.assertEqual(cluster.instances[0].wait(), 0)


if __name__ == "__main__":
    unittest.main()
