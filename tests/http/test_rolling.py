#!/usr/bin/env python3
"""Restarts that no client notices: an instance that is told to stop says so first (drain.delay_ms), and
goes on serving until whoever sends it requests has had the time to look."""

import http.client
import signal
import time
import unittest

from cluster import TestCase, await_true

DELAY_MS = 1500


class Announced(TestCase):
    """From the signal to the end of the delay."""

    def setUp(self):
        self.service = self.cluster(self.sqlite().store, drain__delay_ms=DELAY_MS)
        self.assertEqual(self.service.call("PUT", "/v1/stock/A", {"quantity": 50}).status, 201)

    def tell(self):
        """SIGTERM; comes back when /readyz says so."""
        began = time.monotonic()
        self.service.instances[0].signal(signal.SIGTERM)
        await_true(lambda: self.service.call("GET", "/readyz").status == 503)
        return began

    def test_it_says_so_and_goes_on_serving(self):
        began = self.tell()
        self.assertIs(self.service.call("GET", "/readyz").body["draining"], True)
        self.assertEqual(self.service.call("GET", "/livez").status, 200)
        done = self.service.call("POST", "/v1/stock/A/deduct", {"quantity": 1}, key="late")
        self.assertEqual((done.status, done.body["remaining"]), (200, 49), done)
        self.assertEqual(self.service.instances[0].wait(), 0)
        self.assertGreaterEqual(time.monotonic() - began, DELAY_MS / 1000)

    def test_a_kept_connection_is_ended_with_an_answer(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.service.ports[0], timeout=10)
        self.addCleanup(connection.close)
        for expected in (None, "close"):
            connection.request("GET", "/v1/stock/A")
            answer = connection.getresponse()
            self.assertEqual((answer.status, answer.getheader("Connection")), (200, expected))
            answer.read()
            if expected is None:
                self.tell()

    def test_a_second_signal_ends_the_delay(self):
        self.tell()
        self.service.instances[0].signal(signal.SIGTERM)
        self.assertEqual(self.service.instances[0].wait(0.5), 128 + signal.SIGTERM)


if __name__ == "__main__":
    unittest.main()
