#!/usr/bin/env python3
"""Rolling restarts without failed requests. An instance that must stop announces it first and serves on
for drain.delay_ms, until the load balancer has noticed.

Two instances run behind HAProxy, under an open-loop load without retries. Each instance is replaced
in turn, and no request may fail. The control does the same without the delay; there some requests
must fail, otherwise the load proves nothing.
"""

import contextlib
import csv
import http.client
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import unittest

from cluster import ROOT, TestCase, await_true, clean_environment
from loader import Running
from ports import free_port

DELAY_MS = 1500
BEHIND_PROXY_MS = 2000

HAPROXY = os.path.join(ROOT, "deploy/haproxy/haproxy.cfg")
# Replaces the settings for containers.
HERE = [(r"log stdout .*", "stats socket {directory}/control level admin"),
        (r"bind :8080", "bind 127.0.0.1:{port}"),
        (r"bind :8404", "bind 127.0.0.1:{watch}"),
        (r"parse-resolv-conf", "nameserver none 127.0.0.1:53"),
        (r"server-template holdfast .*", "{servers}"),
        (r"server-template hot .*", "{servers}"),
        (r"server-template changes .*", "{servers}"),
        (r"server-template grafana .*", "")]
BACKENDS = ("holdfast", "hot")
# So that a failed request shows.
NO_RETRIES = [(r"retries 3", "retries 0"),
              (r"option redispatch 1", "no option redispatch"),
              (r"retry-on .*", "retry-on none")]


class Announced(TestCase):
    """The behaviour from the signal to the end of the delay."""

    def setUp(self):
        self.service = self.cluster(self.sqlite().store, drain__delay_ms=DELAY_MS)
        self.assertEqual(self.service.call("PUT", "/v1/stock/A", {"quantity": 50}).status, 201)

    def tell(self):
        """Sends SIGTERM and waits until /readyz reports draining."""
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


def config_here(changes, **values):
    """The project's HAProxy configuration, adapted to this machine."""
    with open(HAPROXY, encoding="utf-8") as file:
        text = file.read()
    for pattern, replacement in changes:
        text, found = re.subn(rf"(?m)^    {pattern}$", "    " + replacement.format(**values), text)
        if found != 1:
            raise AssertionError(f"{HAPROXY} has {found} lines {pattern}")
    return text


def need_haproxy():
    """Skips or fails the test if HAProxy is not installed."""
    if not shutil.which("haproxy"):
        if os.environ.get("HOLDFAST_TEST_REQUIRE"):
            raise AssertionError("haproxy is not installed")
        raise unittest.SkipTest("haproxy is not installed")


class Balancer:
    """HAProxy in front of these ports; use with `with`. It repeats requests only with `retries`. `changes` are
    further changes of its configuration; `servers` are other servers than these ports;
    `environment` are its variables."""

    def __init__(self, ports, retries=False, changes=(), servers=None, environment=None):
        self.environment = environment or {}
        self.directory = tempfile.TemporaryDirectory(prefix="holdfast-haproxy-")
        self.port = free_port()
        self.names = [f"instance{i + 1}" for i in range(len(ports))]
        self.config = os.path.join(self.directory.name, "haproxy.cfg")
        servers = servers or "\n    ".join(f"server {name} 127.0.0.1:{port}" for name, port in zip(self.names, ports))
        with open(self.config, "w", encoding="utf-8") as file:
            file.write(config_here([*HERE, *([] if retries else NO_RETRIES), *changes], directory=self.directory.name,
                                   port=self.port, watch=free_port(), servers=servers))
        self.process = None

    def __enter__(self):
        self.process = subprocess.Popen(["haproxy", "-q", "-db", "-f", self.config],
                                        env=clean_environment() | self.environment)
        try:
            await_true(lambda: set(self.states()) == {"UP"})
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(10)
        self.directory.cleanup()

    def command(self, text):
        """What HAProxy answers to a command."""
        with socket.socket(socket.AF_UNIX) as control:
            control.connect(os.path.join(self.directory.name, "control"))
            control.sendall(text.encode() + b"\n")
            with control.makefile() as answer:
                return answer.read()

    def set_state(self, i, state):
        """`maint`: an instance gets no requests; `ready`: it gets them once its health checks succeed."""
        for backend in BACKENDS:
            self.command(f"set server {backend}/{self.names[i]} state {state}")

    def statistics(self, column):
        """A column of HAProxy's statistics: for each instance, the entries of both backends."""
        lines = self.command("show stat").removeprefix("# ").splitlines()
        found = {(row["pxname"], row["svname"]): row[column] for row in csv.DictReader(lines)}
        return [[found[backend, name] for backend in BACKENDS] for name in self.names]

    def states(self):
        """The state of each instance in HAProxy: UP, DOWN, MAINT, ...; `?` while the backends do not agree."""
        with contextlib.suppress(OSError):
            return [one if one == other else "?" for one, other in self.statistics("status")]
        return []


class Rolling(TestCase):
    """Two instances behind HAProxy are replaced in turn under load."""

    def setUp(self):
        need_haproxy()

    def replace(self, servers, i):
        old = servers.instances[i]
        old.signal(signal.SIGTERM)
        self.assertEqual(old.wait(), 0, old.read_log())
        servers.restart(i)

    def roll(self, delay_ms):
        """Runs the load while every instance is replaced. Returns its report."""
        database = self.mysql()
        servers = self.cluster(database.store, 2, drain__delay_ms=delay_ms)
        with Balancer(servers.ports) as balancer, Running(
                f"http://127.0.0.1:{balancer.port}", "--scenario", "deduct", "--arrival", "open", "--rate",
                600, "--connections", 32, "--duration", "60s", "--quiet") as load:
            time.sleep(0.5)
            for i in range(2):
                self.replace(servers, i)
                # The next instance stops only after this one is ready again.
                await_true(lambda: balancer.states() == ["UP", "UP"])
            time.sleep(0.5)
            result = load.end()
        self.assert_reconciles(database.store)
        return result

    def test_no_request_fails(self):
        result = self.roll(BEHIND_PROXY_MS)
        self.assertEqual(result.report["outcomes"]["error"], 0, result)
        self.assertEqual(result.report["check"]["violations"], 0, result)
        self.assertEqual(result.report["statuses"].keys(), {"200"}, result)
        self.assertGreater(result.report["outcomes"]["ok"], 500, result)

    def test_without_the_delay_some_do(self):
        result = self.roll(0)
        self.assertGreater(result.report["outcomes"]["error"], 0, result)
        self.assertEqual(result.report["check"]["violations"], 0, result)


if __name__ == "__main__":
    unittest.main()
