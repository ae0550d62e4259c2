#!/usr/bin/env python3
"""What a newcomer gets wrong at the first start. Each ends, or serves and waits, with one sentence that names
the setting, its value without the secret, and what to do."""

import os
import socket
import unittest

from cluster import Instance, TestCase, need, run

SECRET = "pass-word-of-a-newcomer"


class Newcomer(TestCase):
    def setUp(self):
        self.database = self.mysql()
        self.account = f"new_{os.getpid()}"
        self.database.sql(f"CREATE USER {self.account}@'%' IDENTIFIED BY '{SECRET}'")
        self.addCleanup(self.database.sql, f"DROP USER {self.account}@'%'", database="")
        self.grant("ALL")

    def grant(self, rights):
        self.database.sql(f"GRANT {rights} ON {self.database.name}.* TO {self.account}@'%'")

    def store(self, user=None, secret=SECRET, host=None, name=None, scheme="mysql"):
        at = host or f"{self.database.server.hostname}:{self.database.server.port}"
        return f"{scheme}://{user or self.account}:{secret}@{at}/{name or self.database.name}"

    def assert_sentence(self, log, level, words):
        self.assertNotIn(SECRET, log)
        lines = [line for line in log.splitlines() if f" {level}" in line and all(word in line for word in words)]
        self.assertEqual(len(lines), 1, f"{words} in\n{log}")

    def ends(self, code, words, *arguments, store=None):
        with self.subTest(words):
            done = run("serve", "--listen=127.0.0.1:0", f"--store={store or self.sqlite().store}", *arguments)
            self.assertEqual(done.returncode, code, done.stderr)
            if "error " in done.stderr:
                self.assert_sentence(done.stderr, "error", words)
            else:
                self.assertEqual([word for word in words if word not in done.stderr], [], done.stderr)
            self.assertNotIn(SECRET, done.stderr)

    def serve(self, store, settings):
        service = Instance(store, {name.replace("__", "."): value for name, value in settings.items()})
        self.addCleanup(service.log.close)
        self.addCleanup(service.kill)
        return service.await_listening()

    def waits(self, words, store, **settings):
        """It serves, /readyz says no, and the log says why."""
        with self.subTest(words):
            service = self.serve(store, settings)
            service.call("GET", "/readyz")
            service.call("POST", "/v1/stock/S/deduct", {"quantity": 1}, "k")
            self.assert_sentence(service.read_log(), "warning", words)
            self.assertEqual(service.stop(), 0)

    def test_host_password_database_schema(self):
        mine = f"{self.account}:***@"
        self.ends(1, ["store mysql://", mine, "no-such-host.invalid", "correct the host's name"],
                  store=self.store(host="no-such-host.invalid:3306"))
        self.ends(1, ["store mysql://", mine, "Access denied", "check the user and the password"],
                  store=self.store(secret=SECRET + "x"))
        self.ends(1, ["store mysql://", "/nowhere", "Unknown database", "CREATE DATABASE"],
                  store=self.database.store.replace(self.database.name, "nowhere"))
        self.ends(2, ["store mysql://", mine, "out of date", "run `holdfast migrate up`"], store=self.store())
        for words in (["migrate", "up"], ["migrate", "status"], ["migrate", "down"]):
            done = run(*words, f"--store={self.store(secret=SECRET + 'x')}")
            self.assertEqual(done.returncode, 2)
            self.assertIn("check the user and the password", done.stderr)

    def test_rights(self):
        self.assertEqual(run("migrate", "up", f"--store={self.database.store}").returncode, 0)
        self.database.sql(f"REVOKE ALL ON {self.database.name}.* FROM {self.account}@'%'")
        for rights, missing in (("SELECT, INSERT, UPDATE", "DELETE"), ("SELECT, INSERT, DELETE", "UPDATE"),
                                ("SELECT, UPDATE, DELETE", "INSERT")):
            self.grant(rights)
            self.ends(1, ["store mysql://", f"{missing} command denied", "for table", "grant the account"],
                      store=self.store())
            self.database.sql(f"REVOKE ALL ON {self.database.name}.* FROM {self.account}@'%'")
        self.grant("SELECT, INSERT, UPDATE, DELETE")
        service = self.serve(self.store(), {})
        self.assertEqual(service.call("GET", "/readyz").status, 200)
        self.addCleanup(self.database.sql, "SET GLOBAL read_only = 0", database="")
        self.database.sql("SET GLOBAL read_only = 1")  # all other tests use an exempt account
        self.waits(["store", "takes no writes", "name a server that takes writes"], self.store())

    def test_ports_and_schemes(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            listen = f"127.0.0.1:{taken.getsockname()[1]}"
            self.ends(1, ["listen", listen, "Address already in use", "stop the program"], f"--listen={listen}")
        self.ends(2, ["store", "unknown scheme", "postgres://new_", ":***@", "mysql://"], store=self.store(scheme="postgres"))
        self.ends(2, ["redis", "http://:***@h:1", "redis://"], f"--redis=http://:{SECRET}@h:1")
        self.ends(2, ["zookeeper", "redis://h", "host[:port]"], "--zookeeper=redis://h")
        self.ends(2, ["etcd", "mysql://u:***@h", "https://"], f"--etcd=mysql://u:{SECRET}@h")

    def test_redis_without_its_password(self):
        """The stack's Redis has none; a user without rights is as good."""
        at = need("HOLDFAST_TEST_REDIS")
        self.waits([f"redis {at}", "WRONGPASS", "check the user and the password"], self.sqlite().store,
                   redis=f"redis://unknown:{SECRET}@{at}", stock__strategy="redis-lock")

    def test_zookeeper_without_its_path(self):
        at = f"{need('HOLDFAST_TEST_ZOOKEEPER')}/new{os.getpid()}/shop"
        service = self.cluster(self.sqlite().store, zookeeper=at, stock__strategy="zookeeper-lock")
        service.call("PUT", "/v1/stock/S", {"quantity": 1})
        self.assertEqual(service.call("POST", "/v1/stock/S/deduct", {"quantity": 1}, "k").status, 200)


if __name__ == "__main__":
    unittest.main()
