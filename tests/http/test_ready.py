#!/usr/bin/env python3
"""`holdfast ready`, the health check of the container: its exit code is the result."""

import contextlib
import json
import signal
import socket
import time
import unittest

from cluster import TestCase, await_true, run


def ready(address):
    return run("ready", f"--listen={address}", timeout=10)


@contextlib.contextmanager
def listening():
    """A port that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


class Ready(TestCase):
    @staticmethod
    def names():
        """["localhost"] if this machine resolves that name."""
        with contextlib.suppress(OSError):
            socket.getaddrinfo("localhost", 80)
            return ["localhost"]
        return []

    def test_ready_and_draining(self):
        service = self.cluster(self.sqlite().store, drain__delay_ms=20000)
        for host in ("127.0.0.1", "0.0.0.0", *self.names()):
            with self.subTest(host):
                done = ready(f"{host}:{service.ports[0]}")
                self.assertEqual((done.returncode, done.stderr), (0, ""))
                self.assertIs(json.loads(done.stdout)["ready"], True)
        service.instances[0].signal(signal.SIGTERM)
        await_true(lambda: ready(f"127.0.0.1:{service.ports[0]}").returncode == 1)
        self.assertIs(json.loads(ready(f"127.0.0.1:{service.ports[0]}").stdout)["draining"], True)
        service.instances[0].signal(signal.SIGTERM)  # the second signal ends the delay
        self.assertEqual(service.instances[0].wait(), 128 + signal.SIGTERM)

    def test_connection_refused(self):
        with listening() as port:
            pass
        done = ready(f"127.0.0.1:{port}")
        self.assertEqual((done.returncode, "refused" in done.stderr), (1, True), done)

    def test_silence_is_no_answer(self):
        with listening() as port:
            began = time.monotonic()
            done = ready(f"127.0.0.1:{port}")
        self.assertEqual((done.returncode, "timed out" in done.stderr), (1, True), done)
        self.assertLess(time.monotonic() - began, 5)

    def test_no_address(self):
        for address, code in (("8080", 2), ("127.0.0.1:0", 2), ("127.0.0.1:http", 2), ("nowhere.invalid:80", 1)):
            with self.subTest(address):
                self.assertEqual(ready(address).returncode, code)


if __name__ == "__main__":
    unittest.main()
