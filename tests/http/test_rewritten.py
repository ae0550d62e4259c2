#!/usr/bin/env python3
"""A proxy between clients and service rewrites answers. The load tester must prove the answers wrong.

The service is real and correct, and the ledger is read from it directly. So each violation that is
found comes from an answer that a client read.
"""

import http.client
import http.server
import json
import os
import tempfile
import threading
import unittest

from cluster import TestCase
from loader import load, measured, urls


def rewriting_proxy(port, rewrite):
    """A handler that passes requests on to the port, and rewrites the JSON of each answer."""

    class Proxy(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def setup(self):
            super().setup()
            self.service = http.client.HTTPConnection("127.0.0.1", port, timeout=10)

        def finish(self):
            self.service.close()
            super().finish()

        def pass_on(self):
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.service.request(self.command, self.path, body or None, dict(self.headers))
            answer = self.service.getresponse()
            value = json.loads(answer.read())
            rewrite(self.command, answer.status, value)
            text = json.dumps(value).encode()
            self.send_response(answer.status)
            for name in ("Content-Type", "Idempotent-Replayed", "Retry-After"):
                if answer.getheader(name):
                    self.send_header(name, answer.getheader(name))
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = pass_on

        def log_message(self, *_):
            pass

    return Proxy


def unchanged(_method, _status, _value):
    pass


def set_where(method, status, name, number):
    """Sets a member of the answers with this status to requests with this method."""
    def rewrite(its_method, its_status, value):
        if (its_method, its_status) == (method, status):
            value[name] = number
    return rewrite


class RewrittenAnswers(TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory(prefix="holdfast-load-")
        self.addCleanup(directory.cleanup)
        self.history = os.path.join(directory.name, "history")
        self.servers = self.cluster(self.sqlite().store, 1)

    def run_through(self, rewrite, *arguments):
        """Half of the requests go through the proxy. There are readings, sales and refusals."""
        arguments = arguments or ("--scenario", "mixed", "--mix", "deduct=50,read=50", "--stock", 30)
        proxy = http.server.ThreadingHTTPServer(
            ("127.0.0.1", 0), rewriting_proxy(self.servers.ports[0], rewrite))
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        try:
            return measured(*urls([self.servers.ports[0], proxy.server_port]), *arguments,
                            "--requests", 200, "--connections", 4, "--history", self.history)
        finally:
            proxy.shutdown()
            proxy.server_close()

    def check(self):
        return load("check", self.history, "--url", urls(self.servers.ports)[0])

    def test_an_honest_proxy_is_no_violation(self):
        result = self.run_through(unchanged)
        self.assertEqual(result.code, 0, result)
        self.assertGreater(result.report["statuses"].get("409", 0), 10, result)
        self.assertEqual(self.check().returncode, 0)

    def assert_broken(self, rewrite, slug, *arguments):
        result = self.run_through(rewrite, *arguments)
        self.assertEqual(result.code, 1, result)
        self.assertIn(slug, result.violated(), result)
        again = self.check()
        self.assertEqual(again.returncode, 1, again.stdout + again.stderr)

    def test_readings_of_less_than_nothing(self):
        self.assert_broken(set_where("GET", 200, "remaining", -1), "readings-true")

    def test_readings_at_a_version_below_zero(self):
        self.assert_broken(set_where("GET", 200, "version", -1), "real-time-order")

    def test_refusals_with_less_than_nothing(self):
        self.assert_broken(set_where("POST", 409, "remaining", -1), "readings-true")

    def test_refusals_at_a_version_below_zero(self):
        self.assert_broken(set_where("POST", 409, "version", -1), "real-time-order")

    def test_sales_that_leave_less_than_nothing(self):
        self.assert_broken(set_where("POST", 200, "remaining", -1), "nothing-lost")

    def test_transfers_whose_receiver_gets_something_else(self):
        def rewrite(method, status, value):
            if (method, status) == ("POST", 200):
                value["legs"][1]["remaining"] += 1
        self.assert_broken(rewrite, "nothing-lost", "--scenario", "points", "--mix", "transfer=1")

    def test_transfers_whose_legs_are_exchanged(self):
        def rewrite(method, status, value):
            if (method, status) == ("POST", 200):
                value["legs"].reverse()
        self.assert_broken(rewrite, "nothing-lost", "--scenario", "points", "--mix", "transfer=1")

    def test_sales_at_a_version_below_zero(self):
        self.assert_broken(set_where("POST", 200, "version", -1), "nothing-lost")


if __name__ == "__main__":
    unittest.main()
