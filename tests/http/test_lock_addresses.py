#!/usr/bin/env python3
"""Addresses of Redis, ZooKeeper and etcd as people write them, against real servers: what works, what is
refused at the start, and what is said of a server that cannot be used."""

import shutil
import socket
import subprocess
import tempfile
import time
import unittest
import urllib.parse

from authority import make_certificates
from cluster import Instance, Load, TestCase, await_true, need, run
from ports import free_port

SECRET = "s3:c/r@%t"  # needs escapes
PASSWORD = urllib.parse.quote(SECRET, safe="")


class Addresses(TestCase):
    strategy = None
    server = None
    folder = None

    @classmethod
    def start_server(cls, port, *command):
        """Starts a server of the class's own, and stops it at the end of the class."""
        if shutil.which(command[0]) is None:
            raise unittest.SkipTest(f"{command[0]} is not installed")
        cls.server = subprocess.Popen(command, cwd=cls.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        cls.addClassCleanup(cls.server.wait)
        cls.addClassCleanup(cls.server.terminate)
        end = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                return
            except OSError:
                if time.monotonic() > end or cls.server.poll() is not None:
                    raise
                time.sleep(0.02)

    @classmethod
    def make_folder(cls):
        folder = tempfile.mkdtemp(prefix="hf-lock-", dir="/tmp")  # a socket's path is short
        cls.addClassCleanup(shutil.rmtree, folder, True)
        return folder

    def serve(self, address):
        settings = {"stock.strategy": self.strategy, self.strategy.removesuffix("-lock"): address,
                    "request.timeout_ms": "700ms"}
        service = Instance(self.sqlite().store, settings)
        self.addCleanup(service.log.close)
        self.addCleanup(service.kill)
        service.await_listening()
        service.call("PUT", "/v1/stock/S", {"quantity": 10})
        return service

    def deduct(self, address):
        """Serves with this address. Returns the status of a deduct and the log."""
        service = self.serve(address)
        status = service.call("POST", "/v1/stock/S/deduct", {"quantity": 1}, "k").status
        log = service.read_log()
        self.assertEqual(service.stop(), 0)
        for secret in (SECRET, PASSWORD):
            self.assertNotIn(secret, log)
        return status, log

    def assert_table(self, accepted, refused):
        """`accepted`: addresses, None or words of the log with 503. `refused`: addresses, words of the error."""
        for address, words in accepted:
            with self.subTest(address):
                status, log = self.deduct(address)
                self.assertEqual(status, 503 if words else 200, log)
                self.assertIn(words or "", log)
        setting = self.strategy.removesuffix("-lock")
        for address, words in refused:
            with self.subTest(address):
                done = run("serve", f"--store={self.sqlite().store}", f"--{setting}={address}")
                self.assertEqual(done.returncode, 2, done)
                for word in (setting, "expected" if words is None else words):
                    self.assertIn(word, done.stderr)
                self.assertNotIn(PASSWORD, done.stderr)


class Redis(Addresses):
    strategy = "redis-lock"

    @classmethod
    def setUpClass(cls):
        need("HOLDFAST_TEST_REDIS")
        cls.folder = cls.make_folder()
        make_certificates(cls.folder)
        cls.port, cls.tls = free_port(), free_port()
        cls.start_server(cls.port, "redis-server", "--tls-port", str(cls.tls), "--tls-auth-clients", "no",
                         "--tls-ca-cert-file", f"{cls.folder}/ours.pem",
                         "--tls-cert-file", f"{cls.folder}/server.pem", "--tls-key-file", f"{cls.folder}/server.key",
                         "--port", str(cls.port), "--bind", "127.0.0.1", "--save", "",
                         "--dir", cls.folder, "--requirepass", SECRET, "--unixsocket", f"{cls.folder}/s")

    def keys(self, database):
        done = subprocess.run(["redis-cli", "-p", str(self.port), "-n", str(database), "dbsize"],
                              env={"REDISCLI_AUTH": SECRET, "PATH": "/usr/bin:/bin"}, capture_output=True,
                              text=True, check=True)
        return int(done.stdout)

    def test_table(self):
        at = f"127.0.0.1:{self.port}"
        ours, other = f"?ca={self.folder}/ours.pem", f"?ca={self.folder}/other.pem"
        named = f"rediss://:{PASSWORD}@localhost:{self.tls}"
        numbered = f"rediss://:{PASSWORD}@127.0.0.1:{self.tls}"
        self.assert_table(
            [(f"redis://:{PASSWORD}@{at}", None),
             (f"default:{PASSWORD}@{at}", None),
             (f"redis://default:{PASSWORD}@localhost:{self.port}/7", None),
             (f"unix://:{PASSWORD}@{self.folder}/s?db=8", None),
             (at, f"redis {at}"),
             (at, "NOAUTH"),
             (named + ours, None),
             (named + "/3?tls=unverified", None),
             (numbered + ours + "&tls=verify-ca", None),
             (numbered + ours, "redis 127.0.0.1"),
             (named + other, "certificate"),
             (named, "certificate"),
             (named.replace("rediss", "redis"), "redis localhost"),
             (f"rediss://localhost:{self.port}{ours}", "redis localhost"),
             (f"redis://:wrong@{at}", "WRONGPASS"),
             (f"unix:{self.folder}/none", f"redis {self.folder}/none")],
            [(f"redis://{PASSWORD}@{at}", ":password@"),
             (f"redis://:{PASSWORD}@{at}/shop", "number"),
             (f"redis://:{PASSWORD}@{at}?ssl=true", None),
             (f"rediss://:{PASSWORD}@{at}?tls=off", "contradicts"),
             (f"unix:{self.folder}/s?tls=on", "Unix socket"),
             (f"http://:{PASSWORD}@{at}", "unknown scheme"),
             ("::1", "brackets"),
             (f"{at},127.0.0.1:1", "even number"),
             ("unix:", None)])
        self.assertGreater(self.keys(7), 0)
        self.assertGreater(self.keys(8), 0)

    def test_hand_over_between_instances_with_tls(self):
        address = f"rediss://:{PASSWORD}@localhost:{self.tls}?ca={self.folder}/ours.pem"
        cluster = self.cluster(self.mysql().store, 2, redis=address, stock__strategy="redis-lock",
                               combine__max_batch=1)
        cluster.call("PUT", "/v1/stock/S", {"quantity": 100})
        load = Load(cluster.ports, [("/v1/stock/S/deduct", {"quantity": 1}, f"k{i}") for i in range(150)],
                    connections=16).run()
        self.assertEqual(len(load.successes()), 100)
        for instance in cluster.instances:
            self.assertNotIn("warning", instance.read_log())


class Zookeeper(Addresses):
    strategy = "zookeeper-lock"

    def test_table(self):
        servers = need("HOLDFAST_TEST_ZOOKEEPER")
        folder = f"t{time.time_ns()}"
        self.assert_table(
            [(f"zookeeper://{servers}", None),
             (f"127.0.0.1:1,{servers}/{folder}/shops/one", None),
             (f"ann:{PASSWORD}@{servers}/{folder}/private", None),
             (f"ann:{PASSWORD}@{servers}/{folder}/private", None),
             (f"bob:{PASSWORD}@{servers}/{folder}/private", "not authenticated")],
            [(f"{servers}//x", "empty"),
             (f"{servers},", "no host"),
             (f"http://{servers}", "unknown scheme"),
             (f"ann@{servers}", "user:password@"),
             ("zk:0", "port"),
             (f"{servers}/x,{servers}/y", "last host")])

    def test_away_at_the_start(self):
        port = free_port()
        service = self.serve(f"127.0.0.1:{port}/shop")
        self.assertEqual(service.call("POST", "/v1/stock/S/deduct", {"quantity": 1}, "k").status, 503)
        await_true(lambda: f"zookeeper 127.0.0.1:{port}/shop: not connected" in service.read_log())
        self.assertEqual(service.call("POST", "/v1/stock/S/deduct", {"quantity": 1}, "k").status, 503)
        self.assertEqual(service.read_log().count("not connected"), 1)


class Etcd(Addresses):
    strategy = "etcd-lock"

    @classmethod
    def setUpClass(cls):
        need("HOLDFAST_TEST_ETCD")
        cls.folder = cls.make_folder()
        make_certificates(cls.folder)
        cls.port = free_port()
        url = f"https://127.0.0.1:{cls.port}"
        cls.start_server(cls.port, "etcd", "--name", "e", "--data-dir", f"{cls.folder}/data",
                         "--listen-client-urls", url, "--advertise-client-urls", url,
                         "--listen-peer-urls", "unix://127.0.0.1:0", "--logger", "zap",
                         "--initial-advertise-peer-urls", "unix://127.0.0.1:0",
                         "--initial-cluster", "e=unix://127.0.0.1:0", "--unsafe-no-fsync",
                         "--cert-file", f"{cls.folder}/server.pem", "--key-file", f"{cls.folder}/server.key")

    def test_table(self):
        ours, other = f"?ca={self.folder}/ours.pem", f"?ca={self.folder}/other.pem"
        named, numbered = f"https://localhost:{self.port}", f"https://127.0.0.1:{self.port}"
        self.assert_table(
            [(named + ours, None),
             (named + "?tls=unverified", None),
             (numbered + ours + "&tls=verify-ca", None),
             (named + other, "etcd " + named),
             (named, "certificate"),
             (numbered + ours, "etcd " + numbered),
             (f"http://localhost:{self.port}", "etcd http://localhost:")],
            [(f"http://localhost:{self.port}{ours}", "https://"),
             (f"grpc://localhost:{self.port}", "unknown scheme"),
             (named + "?tls=perhaps", "verify-full"),
             (named + "/v3", None),
             (f"https://{PASSWORD}@localhost", "user:password@")])


if __name__ == "__main__":
    unittest.main()
