#!/usr/bin/env python3
"""POST /v1/reconciliation: the report of a running service, one at a time, without delaying requests."""

import concurrent.futures
import json
import os
import signal
import socket
import sqlite3
import tempfile
import time
import unittest

from cluster import TestCase, await_true, call, run

SHOWN_MAX = 1000
TIMES = ("started_at_ms", "took_ms")


def reconcile(port, **headers):
    return call(port, "POST", "/v1/reconciliation", **headers)


class ReportOnSqlite(TestCase):
    def database(self):
        return self.sqlite()

    def change(self, database, *statements):
        """Writes to the database directly, past the service."""
        connection = sqlite3.connect(database.store.removeprefix("sqlite:"))
        for statement in statements:
            connection.execute(statement)
        connection.commit()
        connection.close()

    def shop(self):
        database = self.database()
        service = self.cluster(database.store)
        service.call("PUT", "/v1/stock/R", {"quantity": 10})
        service.call("PUT", "/v1/coupons/C", {"total": 5, "per_user_limit": 1})
        service.call("PUT", "/v1/lotteries/L", {"draws_per_user": 2, "blank_weight": 1, "prizes": [
            {"prize": "gold", "quantity": 3, "weight": 1}]})
        for i in range(3):
            service.call("POST", "/v1/stock/R/deduct", {"quantity": 1}, f"r-{i}")
        service.call("POST", "/v1/coupons/C/issue", {"user_id": "ann"}, "c-0")
        service.call("POST", "/v1/lotteries/L/draw", {"user_id": "ann"}, "l-0")
        return database, service

    def report(self, service):
        answer = reconcile(service.ports[0])
        self.assertEqual((answer.status, answer.headers["Content-Type"]), (200, "application/json"))
        self.assertTrue(answer.body["complete"])
        return answer.body

    def assert_as_by_command(self, report, store):
        command = json.loads(run("reconcile", "--json", f"--store={store}").stdout)
        for time_of in TIMES:
            self.assertIsInstance(command.pop(time_of), int)
            self.assertIsInstance(report.pop(time_of), int)
        self.assertEqual(report, command)

    def test_clean(self):
        database, service = self.shop()
        report = self.report(service)
        self.assertEqual((report["clean"], report["findings"], report["finding_count"]), (True, [], 0))
        self.assertEqual((report["counters"], report["coupons"], report["draws"]), (4, 1, 1))
        self.assertAlmostEqual(report["started_at_ms"] / 1000, time.time(), delta=60)
        self.assert_as_by_command(report, database.store)
        metrics = service.call("GET", "/metrics").body
        self.assertRegex(metrics, r'operation="reconcile",status="200"[^\n]* 1\n')

    def test_finding(self):
        database, service = self.shop()
        self.change(database, "UPDATE counter SET remaining = remaining + 2 WHERE name = 'stock/R'")
        report = self.report(service)
        self.assertFalse(report["clean"])
        self.assertEqual([(f["check"], f["where"], f["expected"], f["found"]) for f in report["findings"]],
                         [("last-remaining", "stock/R", 7, 9)])
        self.assert_as_by_command(report, database.store)
        self.change(database, "UPDATE counter SET remaining = remaining - 2 WHERE name = 'stock/R'")
        self.assertTrue(self.report(service)["clean"])

    def test_more_findings_than_are_shown(self):
        database, service = self.shop()
        rows = ",".join(f"('points/LOST-{i}', 1, 1, 0)" for i in range(SHOWN_MAX + 200))
        self.change(database, f"INSERT INTO counter (name, remaining, version, fence) VALUES {rows}")
        report = self.report(service)
        self.assertEqual(len(report["findings"]), SHOWN_MAX)
        self.assertEqual((report["findings_shown"], report["finding_count"], report["clean"]),
                         (SHOWN_MAX, SHOWN_MAX + 200, False))


    def test_compensation(self):
        database, service = self.shop()
        service.call("PUT", "/v1/stock/Q", {"quantity": 5})
        held = service.call("POST", "/v1/reservations", {"ttl_s": 600, "lines": [{"sku": "R", "quantity": 2}]}, "v-0")
        self.assertEqual(held.status, 201, held)
        self.change(database, "UPDATE counter SET remaining = remaining + 2 WHERE name = 'stock/Q'",
                    "DELETE FROM hold")
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "proposals")
            words = ("reconcile", f"--store={database.store}")
            found = run(*words, "--compensate", path)
            self.assertEqual(found.returncode, 1, found)
            with open(path, encoding="ascii") as file:
                drift, lost = [json.loads(line) for line in file]
            self.assertEqual(drift["changes"], [{"counter": "stock/Q", "version": 1, "remaining": 7, "delta": -2,
                                                 "ledger_delta": 0}])
            self.assertEqual([(c["delta"], c["ledger_delta"]) for c in lost["changes"]], [(-2, -2), (2, 2)])
            self.assertIn("expected 5, found 7", drift["why"])
            self.assertEqual(run(*words, "--compensate", path).returncode, 2)  # it is not overwritten
            self.assertEqual(run(*words).returncode, 1)  # nothing has changed so far

            # The goods sell on before the proposals are applied.
            self.assertEqual(service.call("POST", "/v1/stock/R/deduct", {"quantity": 1}, "r-9").status, 200)
            applied = run(*words, "--apply", path)
            self.assertEqual(applied.returncode, 1, applied)
            self.assertIn(drift["key"] + "  stock/Q: applied", applied.stdout)
            self.assertIn("REFUSED, its counter has moved", applied.stdout)
            os.remove(path)
            again = json.loads(run(*words, "--json", "--compensate", path).stdout)
            self.assertEqual([finding["check"] for finding in again["findings"]], ["hold-without-record"])
            for words_of in ("applied\n", "applied before\n"):
                applied = run(*words, "--apply", path)
                self.assertEqual(applied.returncode, 0, applied)
                self.assertIn(words_of, applied.stdout)
        self.assertTrue(self.report(service)["clean"])
        self.assertEqual(service.call("GET", "/v1/stock/R").body["remaining"], 6)
        rows = service.call("GET", "/v1/ledger?counter=stock/R").body["rows"]
        self.assertEqual((rows[-1]["reason"], rows[-1]["delta"]), ("compensate", 2))

    def test_apply_of_what_is_no_proposal(self):
        database, _ = self.shop()
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "proposals")
            change = '{"counter":"stock/R","version":4,"remaining":7,"delta":1,"ledger_delta":1}'
            good = '{"key":"compensate 1","check":"a","why":"b","changes":[%s]}\n' % change
            with open(path, "w", encoding="ascii") as file:
                file.write(good + "\n" + good.replace("compensate 1", "r-1"))
            applied = run("reconcile", f"--store={database.store}", "--apply", path)
            self.assertEqual((applied.returncode, applied.stdout), (2, ""))
            self.assertIn("line 3: the key", applied.stderr)
        self.assertTrue(json.loads(run("reconcile", "--json", f"--store={database.store}").stdout)["clean"])


class ReportOnMysql(ReportOnSqlite):
    def database(self):
        return self.mysql()

    def change(self, database, *statements):
        for statement in statements:
            database.sql(statement)


class WhoMay(TestCase):
    def test_only_the_administrator(self):
        service = self.cluster(self.sqlite().store, auth__admin_token="boss", auth__client_token="shop")
        port = service.ports[0]
        self.assert_problem(reconcile(port), 401, "unauthorized")
        self.assert_problem(reconcile(port, Authorization="Bearer wrong"), 401, "unauthorized")
        self.assert_problem(reconcile(port, Authorization="Bearer shop"), 403, "forbidden")
        self.assertEqual(reconcile(port, Authorization="Bearer boss").status, 200)

    def test_only_by_post(self):
        answer = self.cluster(self.sqlite().store).call("GET", "/v1/reconciliation")
        self.assert_problem(answer, 405, "method-not-allowed")
        self.assertEqual(answer.headers["Allow"], "POST")


class Long(TestCase):
    """A long reconciliation: it waits for a table that another session has locked."""

    def setUp(self):
        self.database = self.mysql()
        self.service = self.cluster(self.database.store, request__timeout_ms=300, workers=2)
        self.port = self.service.ports[0]
        self.service.call("PUT", "/v1/stock/R", {"quantity": 1000})
        self.pool = concurrent.futures.ThreadPoolExecutor()
        self.addCleanup(self.pool.shutdown)

    def begin(self):
        """Sends the request without reading the answer. The table must be locked."""
        answer = self.pool.submit(reconcile, self.port)
        await_true(self.database.waiting)
        return answer

    def leave(self):
        """Sends the request and disconnects."""
        with socket.create_connection(("127.0.0.1", self.port)) as connection:
            connection.sendall(b"POST /v1/reconciliation HTTP/1.1\r\nHost: a\r\n\r\n")
            await_true(self.database.waiting)

    def test_one_at_a_time_and_the_shop_goes_on(self):
        with self.database.locked("draw"):
            first = self.begin()
            # Longer than a request's deadline, and more requests than workers.
            for i in range(20):
                second = reconcile(self.port)
                self.assert_problem(second, 409, "reconciliation-running")
                self.assertGreater(int(second.headers["Retry-After"]), 0)
                sold = self.service.call("POST", "/v1/stock/R/deduct", {"quantity": 1}, f"r-{i}")
                self.assertEqual(sold.status, 200, sold)
                self.assertEqual(self.service.call("GET", "/readyz").status, 200)
                time.sleep(0.05)
            self.assertFalse(first.done())
        answer = first.result(10)
        # Later sales are not in the snapshot.
        self.assertEqual((answer.status, answer.body["clean"], answer.body["ledger_rows"]), (200, True, 1))
        again = reconcile(self.port)
        self.assertEqual((again.status, again.body["clean"], again.body["ledger_rows"]), (200, True, 21))

    def test_client_that_goes_away(self):
        with self.database.locked("draw"):
            self.leave()
            self.assertEqual(reconcile(self.port).status, 409)
        await_true(lambda: reconcile(self.port).status == 200)
        await_true(lambda: "\nholdfast_http_connections 1\n" in self.service.call("GET", "/metrics").body)

    def test_database_that_ends_the_connection(self):
        with self.database.locked("draw"):
            first = self.begin()
            for connection in self.database.waiting():
                self.database.sql(f"KILL {connection}")
            self.assert_problem(first.result(10), 503, "backend-unavailable")
        self.assertEqual(reconcile(self.port).status, 200)

    def end(self):
        """Stops the service, which must not wait for the table."""
        began = time.monotonic()
        self.service.instances[0].signal(signal.SIGTERM)
        self.assertEqual(self.service.instances[0].wait(), 0, self.service.instances[0].read_log())
        self.assertLess(time.monotonic() - began, 5)

    def test_service_that_is_told_to_stop(self):
        with self.database.locked("draw"):
            first = self.begin()
            self.end()
            answer = first.result(1)
            self.assert_problem(answer, 503, "overloaded")
            self.assertIn("Retry-After", answer.headers)

    def test_service_that_is_told_to_stop_when_the_client_has_gone(self):
        with self.database.locked("draw"):
            self.leave()
            self.end()


class LongOnSqlite(TestCase):
    """A reconciliation that never ends, because it reads an endless result."""

    def test_one_at_a_time_and_the_end(self):
        database = self.sqlite()
        service = self.cluster(database.store, request__timeout_ms=300)
        service.call("PUT", "/v1/stock/R", {"quantity": 1000})
        connection = sqlite3.connect(database.store.removeprefix("sqlite:"))
        connection.execute("ALTER TABLE draw RENAME TO draw_kept")
        connection.execute("CREATE VIEW draw AS WITH RECURSIVE endless(x) AS"
                           " (SELECT 1 UNION ALL SELECT x + 1 FROM endless) SELECT x FROM endless")
        connection.commit()
        connection.close()
        with concurrent.futures.ThreadPoolExecutor() as pool:
            first = pool.submit(reconcile, service.ports[0])
            time.sleep(0.5)
            self.assert_problem(reconcile(service.ports[0]), 409, "reconciliation-running")
            sold = service.call("POST", "/v1/stock/R/deduct", {"quantity": 1}, "r")
            self.assertEqual(sold.status, 200, sold)
            self.assertFalse(first.done())
            began = time.monotonic()
            service.instances[0].signal(signal.SIGTERM)
            self.assertEqual(service.instances[0].wait(), 0, service.instances[0].read_log())
            self.assertLess(time.monotonic() - began, 5)
            self.assert_problem(first.result(1), 503, "overloaded")


if __name__ == "__main__":
    unittest.main()
