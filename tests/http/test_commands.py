#!/usr/bin/env python3
"""The commands migrate, reconcile and config; the settings that serve refuses; exit codes."""

import concurrent.futures
import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import threading
import time
import unittest

from cluster import BINARY, TestCase, await_true, clean_environment, run


class Config(TestCase):
    def shown(self, *arguments, **environment):
        done = run("config", *arguments, environment=environment)
        self.assertEqual(done.returncode, 0, done.stderr)
        shown = {}
        for line in done.stdout.splitlines():
            name, _, rest = line.partition("=")
            value, _, origin = rest.partition("#")
            shown[name.strip()] = (value.strip(), origin.strip())
        return shown

    def write(self, text):
        path = os.path.join(self.sqlite().store.removeprefix("sqlite:") + ".ini")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def test_order_of_precedence(self):
        path = self.write("workers = 3\nlock.ttl_ms = 300\nqueue.limit = 30\n")
        shown = self.shown("--config", path, "--queue.limit=50", HOLDFAST_LOCK_TTL_MS="400",
                           HOLDFAST_QUEUE_LIMIT="40")
        self.assertEqual(shown["workers"], ("3", f"{path} line 1"))
        self.assertEqual(shown["lock.ttl_ms"], ("400", "environment HOLDFAST_LOCK_TTL_MS"))
        self.assertEqual(shown["queue.limit"], ("50", "flag --queue.limit"))
        self.assertEqual(shown["listen"], ("127.0.0.1:8080", "default"))

    def test_secrets_are_masked(self):
        shown = self.shown("--store", "mysql://u:secret@h:1/d", "--auth.admin_token", "secret")
        self.assertEqual(shown["store"][0], "mysql://u:***@h:1/d")
        self.assertEqual(shown["auth.admin_token"][0], "***")

    def test_variables_of_others(self):
        """Those that Kubernetes makes for a Service called holdfast-mysql, and an empty one of Compose."""
        others = {"HOLDFAST_MYSQL_SERVICE_HOST": "10.0.0.1", "HOLDFAST_REDIS_PORT": "tcp://10.0.0.1:6379",
                  "HOLDFAST_WORKERS": ""}
        done = run("config", environment=others)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stderr.count("warning"), 1, done.stderr)
        for name in ("HOLDFAST_MYSQL_SERVICE_HOST", "HOLDFAST_REDIS_PORT"):
            self.assertIn(name, done.stderr)

    def test_secrets_from_files(self):
        path = self.write("s3cret\n")
        variable = {"HOLDFAST_AUTH_ADMIN_TOKEN_FILE": path}
        self.assertEqual(self.shown(**variable)["auth.admin_token"],
                         ("***", "file of HOLDFAST_AUTH_ADMIN_TOKEN_FILE"))
        both = run("config", environment={**variable, "HOLDFAST_AUTH_ADMIN_TOKEN": "x"})
        self.assertEqual((both.returncode, "both set" in both.stderr), (2, True), both)

    def test_mistakes_are_named(self):
        path = self.write("# one\nworker = 3\n")
        for arguments, environment, words in (
                (["--lok.ttl_ms=5"], {}, ["--lok.ttl_ms", "lock.ttl_ms"]),
                (["--lock.ttl_ms=soon"], {}, ["--lock.ttl_ms", "soon", "whole number"]),
                (["--stock.strategy=hope"], {}, ["hope", "zookeeper-lock"]),
                ([], {"HOLDFAST_WORKER": "3"}, ["HOLDFAST_WORKER", "HOLDFAST_WORKERS"]),
                (["--config", path], {}, [path, "line 2", "worker"]),
                (["--config", "/nowhere.ini"], {}, ["/nowhere.ini"]),
                (["stray"], {}, ["stray"])):
            for command in ("config", "serve"):
                done = run(command, *arguments, environment=environment)
                self.assertEqual(done.returncode, 2, done)
                for word in words:
                    self.assertIn(word, done.stderr)

    def test_help_and_version(self):
        self.assertIn("--lock.ttl_ms", run("--help").stdout)
        for command in ("serve", "migrate", "reconcile", "config"):
            done = run(command, "--help")
            self.assertEqual((done.returncode, command in done.stdout), (0, True))
        self.assertTrue(run("version").stdout.startswith("holdfast "))
        for arguments in ((), ("hope",)):
            self.assertEqual(run(*arguments).returncode, 2)


class Serve(TestCase):
    def refused(self, *arguments, code=2):
        done = run("serve", "--listen=127.0.0.1:0", *arguments)
        self.assertEqual(done.returncode, code, done.stderr)
        return done.stderr

    def test_embedded_database_migrates_itself(self):
        store = self.sqlite().store
        with self.subTest("first start"):
            self.assertEqual(self.cluster(store).call("GET", "/readyz").status, 200)
        self.assertEqual(run("migrate", "status", f"--store={store}").returncode, 0)

    def test_other_databases_must_be_up_to_date(self):
        store = self.mysql().store
        self.assertIn("migrate", self.refused(f"--store={store}"))
        self.assertEqual(run("migrate", "up", f"--store={store}").returncode, 0)
        self.assertEqual(self.cluster(store).call("GET", "/readyz").status, 200)

    def test_refusals_name_what_is_missing(self):
        store = self.sqlite().store
        self.assertIn("redis", self.refused(f"--store={store}", "--stock.strategy=redis-lock"))
        self.assertIn("lab", self.refused(f"--store={store}", "--coupon.strategy=none"))
        self.assertIn("token", self.refused(f"--store={store}", "--listen=0.0.0.0:0"))
        self.assertIn("sqlite:PATH", self.refused("--store=oracle:x"))
        for listen in ("8080", "localhost", "localhost:http", "::1:8080", "127.0.0.1:65536"):
            self.assertIn("host:port", self.refused(f"--store={store}", f"--listen={listen}"))

    def test_what_a_restart_may_mend(self):
        """1 and not 2, so that the supervisor restarts it."""
        store = f"--store={self.sqlite().store}"
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            said = self.refused(store, f"--listen=127.0.0.1:{port}", code=1)
            self.assertIn(f'"127.0.0.1:{port}" (setting listen): Address already in use; stop', said)
        self.assertIn("does not have", self.refused(store, "--listen=192.0.2.1:0", code=1))
        self.assertIn("no.invalid", self.refused(store, "--listen=no.invalid:0", code=1))
        self.refused("--store=mysql://root:x@127.0.0.1:1/none", code=1)

    def test_all_addresses_of_a_name(self):
        """In a mount namespace with its own /etc/hosts."""
        hosts = self.sqlite().directory + "/hosts"
        with open(hosts, "w", encoding="ascii") as file:
            file.write("127.0.0.1 shop.test\n127.0.0.2 shop.test\n127.0.0.3 shop.test\n")
        alone = ["unshare", "--map-root-user", "--mount", "sh", "-euc",
                 f'mount --bind {hosts} /etc/hosts; exec "$@"', "sh"]
        if subprocess.run([*alone, "true"], capture_output=True, check=False).returncode:
            self.skipTest("unshare is not permitted")
        command = [*alone, BINARY, "serve", f"--store={self.sqlite().store}"]
        service = subprocess.Popen([*command, "--listen=shop.test:0"], env=clean_environment(),
                                   stderr=subprocess.PIPE, text=True)
        self.addCleanup(service.stderr.close)
        self.addCleanup(service.wait)
        self.addCleanup(service.terminate)
        port = next(int(found.group(1)) for line in service.stderr
                    if (found := re.search(r"listening on shop.test:(\d+)", line)))
        for address in ["127.0.0.1", "127.0.0.2", "127.0.0.3"] * 3:
            with socket.create_connection((address, port), timeout=5) as client:
                client.sendall(b"GET /livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                self.assertTrue(client.recv(100).startswith(b"HTTP/1.1 200 "), address)
        with socket.create_server(("127.0.0.3", 0)) as taken:  # a client might use that program
            command.append(f"--listen=shop.test:{taken.getsockname()[1]}")
            refused = subprocess.run(command, env=clean_environment(), capture_output=True, text=True, check=False)
            self.assertEqual(refused.returncode, 1, refused)
            self.assertIn("Address already in use", refused.stderr)

    def test_all_interfaces(self):
        tokens = ["--auth.admin_token=a", "--auth.client_token=c"]
        for listen in ("*:0", ":0", "http://0.0.0.0:0", "[::]:0"):
            if "::" in listen and not os.path.exists("/proc/net/if_inet6"):
                continue
            service = subprocess.Popen(
                [BINARY, "serve", f"--listen={listen}", f"--store={self.sqlite().store}", *tokens],
                env=clean_environment(), stderr=subprocess.PIPE, text=True)
            with service.stderr:
                port = next(int(found.group(1)) for line in service.stderr
                            if (found := re.search(r"listening on .*:(\d+)$", line.rstrip())))
                ready = run("ready", "--listen", re.sub(r"0$", str(port), listen))
                service.terminate()
                service.wait()
            self.assertEqual((ready.returncode, ready.stderr), (0, ""), listen)

    def test_signal_before_it_serves(self):
        """As the first process of a container, to which the kernel gives no default action for signals."""
        alone = ["unshare", "--map-root-user", "--pid", "--fork"]
        if subprocess.run([*alone, "true"], capture_output=True, check=False).returncode:
            self.skipTest("unshare is not permitted")
        with socket.create_server(("127.0.0.1", 0)) as silent:
            store = f"--store=mysql://u:p@127.0.0.1:{silent.getsockname()[1]}/d"
            for words in (["serve", "--listen=127.0.0.1:0"], ["migrate", "up"]):
                with subprocess.Popen([*alone, BINARY, *words, store], env=clean_environment(),
                                      stderr=subprocess.DEVNULL) as parent:
                    connection = silent.accept()[0]  # it waits for the server's greeting
                    self.addCleanup(connection.close)
                    with open(f"/proc/{parent.pid}/task/{parent.pid}/children", encoding="ascii") as file:
                        first = int(file.read())
                    os.kill(first, signal.SIGTERM)
                    self.assertEqual(parent.wait(1), 128 + signal.SIGTERM, words)


class Laboratory(TestCase):
    def test_instances_take_the_belts_off_at_once(self):
        database = self.mysql()
        cluster = self.cluster(database.store, 3, lab="on", lab__belts="off")
        for instance in cluster.instances:
            self.assertEqual(instance.call("GET", "/readyz").status, 200)
        status = run("migrate", "status", "--json", f"--store={database.store}")
        self.assertEqual(json.loads(status.stdout)["belts"], "off")

    def test_the_belts_of_a_shop_stay_on(self):
        """Only an empty database, or one without its belts, is a laboratory. The command takes them off any."""
        for database in (self.sqlite(), self.mysql()):
            service = self.cluster(database.store)
            self.assertEqual(service.call("PUT", "/v1/stock/S", {"quantity": 2}).status, 201)
            self.assertEqual(service.instances[0].stop(), 0)
            refused = run("serve", "--listen=127.0.0.1:0", f"--store={database.store}", "--lab", "--lab.belts=off",
                          timeout=20)
            self.assertEqual(refused.returncode, 2, refused)
            for words in ("lab.belts", "empty database", "migrate belts-off"):
                self.assertIn(words, refused.stderr)
            status = run("migrate", "status", "--json", f"--store={database.store}")
            self.assertEqual(json.loads(status.stdout)["belts"], "on", status)
            self.assertEqual(run("migrate", "belts-off", f"--store={database.store}").returncode, 0)
            service = self.cluster(database.store, lab="on", lab__belts="off")
            self.assertEqual(service.call("GET", "/v1/stock/S").status, 200)

    def test_a_key_that_took_effect_twice_is_replayed(self):
        """Without belts one key may have several rows. Each mode answers it from one of them."""
        for batch in (1, 256):
            database = self.mysql()
            service = self.cluster(database.store, lab="on", lab__belts="off", combine__max_batch=batch)
            sell = ("POST", "/v1/stock/S/deduct", {"quantity": 1}, "twice")
            give = ("POST", "/v1/points/ann/earn", {"points": 9}, "points")
            move = ("POST", "/v1/points/transfers", {"from": "ann", "to": "bob", "points": 9}, "moved")
            self.assertEqual(service.call("PUT", "/v1/stock/S", {"quantity": 1}).status, 201)
            first = [service.call(*request) for request in (sell, give, move)]
            self.assertEqual([answer.status for answer in first], [200] * 3, first)
            database.sql("INSERT INTO ledger SELECT * FROM ledger WHERE request_key IN ('twice', 'moved')")
            for request, answer in ((sell, first[0]), (move, first[2])):
                again = service.call(*request)
                self.assertEqual((again.status, again.body), (200, answer.body), again)

    def remaining_after_another_writer(self, demand):
        """Of 10 the service sells one, and another session takes five just before the service saves."""
        database = self.mysql()
        paused = self.sqlite().directory + "/paused"
        service = self.cluster(database.store, environment={
            "HOLDFAST_PAUSE": f"before-save@stock:1:{paused}:wait"},
            lab="on", lab__demand=demand, stock__strategy="optimistic")
        service.call("PUT", "/v1/stock/R", {"quantity": 10})
        with concurrent.futures.ThreadPoolExecutor() as pool:
            sold = pool.submit(service.call, "POST", "/v1/stock/R/deduct", {"quantity": 1}, "r")
            await_true(lambda: os.path.exists(paused))
            database.sql("UPDATE counter SET remaining = 5, version = 2")
            os.remove(paused)
            self.assertEqual(sold.result(10).status, 200)
        return service.call("GET", "/v1/stock/R").body["remaining"]

    def test_demand(self):
        self.assertEqual(self.remaining_after_another_writer("on"), 4)
        self.assertEqual(self.remaining_after_another_writer("off"), 9)


class MigrateOnSqlite(TestCase):
    def database(self):
        return self.sqlite()

    def migrate(self, store, *arguments):
        return run("migrate", *arguments, f"--store={store}")

    def test_up_down_status(self):
        store = self.database().store
        if store.startswith("mysql:"):
            self.assertIn("pending", self.migrate(store, "status").stdout)
        up = self.migrate(store, "up")
        self.assertEqual(up.returncode, 0, up.stderr)
        self.assertNotIn("pending", self.migrate(store, "status").stdout)
        self.assertEqual(self.migrate(store, "up").returncode, 0)
        down = self.migrate(store, "down")
        self.assertEqual(down.returncode, 0, down.stderr)
        self.assertIn("pending", self.migrate(store, "status").stdout)
        self.assertEqual(self.migrate(store, "up").returncode, 0)
        for arguments in ((), ("sideways",), ("down", "x"), ("up", "1")):
            self.assertEqual(self.migrate(store, *arguments).returncode, 2, arguments)

    def test_runners_at_once_do_it_once(self):
        store = self.database().store
        command = [BINARY, "migrate", "up", f"--store={store}"]
        runners = [subprocess.Popen(command, env=clean_environment(), stdout=subprocess.PIPE,
                                    stderr=subprocess.STDOUT, text=True) for _ in range(4)]
        for runner in runners:
            output = runner.communicate(timeout=60)[0]
            self.assertEqual(runner.returncode, 0, output)


class MigrateBesideAnotherWriter(TestCase):
    def test_it_waits(self):
        """Another process holds the write lock of a file that is not in WAL mode yet."""
        store = self.sqlite().store
        other = sqlite3.connect(store.removeprefix("sqlite:"), isolation_level=None)
        self.addCleanup(other.close)
        other.execute("BEGIN IMMEDIATE")
        runner = subprocess.Popen([BINARY, "migrate", "up", f"--store={store}"],
                                  env=clean_environment(), stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, text=True)
        with self.assertRaises(subprocess.TimeoutExpired):
            runner.wait(timeout=0.5)
        other.execute("ROLLBACK")
        output = runner.communicate(timeout=60)[0]
        self.assertEqual(runner.returncode, 0, output)


class MigrateOnMysql(MigrateOnSqlite):
    def database(self):
        return self.mysql()

    def test_edited_migration_is_refused(self):
        database = self.mysql()
        self.assertEqual(self.migrate(database.store, "up").returncode, 0)
        database.sql("UPDATE schema_migrations SET checksum = 'another'")
        refused = self.migrate(database.store, "up")
        self.assertEqual(refused.returncode, 2, refused)
        self.assertIn("checksum", refused.stdout + refused.stderr)
        serve = run("serve", "--listen=127.0.0.1:0", f"--store={database.store}")
        self.assertEqual(serve.returncode, 2, serve)


class Reconcile(TestCase):
    def sold(self):
        database = self.mysql()
        service = self.cluster(database.store)
        service.call("PUT", "/v1/stock/R", {"quantity": 10})
        for i in range(3):
            service.call("POST", "/v1/stock/R/deduct", {"quantity": 1}, f"r-{i}")
        return database

    def reconcile(self, database, *arguments):
        return run("reconcile", *arguments, f"--store={database.store}")

    def test_clean(self):
        database = self.sold()
        self.assertEqual(self.reconcile(database).returncode, 0)
        report = self.reconcile(database, "--json")
        self.assertEqual(report.returncode, 0)
        self.assertEqual(json.loads(report.stdout)["findings"], [])

    def test_findings(self):
        for statement, where in (
                ("UPDATE counter SET remaining = remaining + 2 WHERE name = 'stock/R'", "stock/R"),
                ("DELETE FROM ledger WHERE counter = 'stock/R' AND version = 3", "stock/R"),
                ("UPDATE ledger SET remaining = 5 WHERE counter = 'stock/R' AND version = 2", "stock/R")):
            database = self.sold()
            database.sql(statement)
            found = self.reconcile(database)
            self.assertEqual(found.returncode, 1, statement)
            self.assertIn(where, found.stdout)
            report = json.loads(self.reconcile(database, "--json").stdout)
            self.assertGreater(len(report["findings"]), 0)
            self.assertIn(where, report["findings"][0]["where"])

    def test_while_the_service_runs(self):
        database = self.mysql()
        service = self.cluster(database.store)
        service.call("PUT", "/v1/stock/R", {"quantity": 100000})
        done = threading.Event()

        def sell():
            i = 0
            while not done.is_set():
                service.call("POST", "/v1/stock/R/deduct", {"quantity": 1}, f"busy-{i}")
                i += 1

        seller = threading.Thread(target=sell)
        seller.start()
        try:
            for _ in range(5):
                self.assertEqual(self.reconcile(database).returncode, 0)
                time.sleep(0.05)
        finally:
            done.set()
            seller.join()

    def test_could_not_run(self):
        self.assertEqual(run("reconcile", "--store=mysql://root:x@127.0.0.1:1/none").returncode, 2)
        self.assertEqual(run("reconcile", "--store=oracle:x").returncode, 2)
        self.assertEqual(run("reconcile", "--hope").returncode, 2)

    def test_words_that_are_refused(self):
        database = self.sold()
        for words in (["now"], ["--json", "--json"], ["--compensate"], ["--apply"], ["--apply", "f", "--json"],
                      ["--compensate", "f", "--apply", "f"], ["--apply", "/nowhere/f"], ["--compensate", "/nowhere/f"]):
            refused = self.reconcile(database, *words)
            self.assertEqual((refused.returncode, refused.stdout), (2, ""), words)
            self.assertTrue(refused.stderr.startswith("holdfast reconcile: "), refused.stderr)


if __name__ == "__main__":
    unittest.main()
