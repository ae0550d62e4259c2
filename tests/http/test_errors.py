#!/usr/bin/env python3
"""Every error number of MySQL and MariaDB that the service knows, at every step of a deduct.

Each case has a product of its own, whose name says which statement fails with which number and how often.
A client never gets a 500. It gets the result, or a 503 that promises no more than is true; and then its
retry with the same key finds that the deduct was executed once.
"""

import concurrent.futures
import re
import unittest
import urllib.parse

from cluster import TestCase, await_true, call, run
from mysql_wire import Answer, Fault, Wire

STEPS = {  # the statements of a deduct, as the service sends them
    "begin": r"START TRANSACTION(?= READ WRITE|;)",
    "update": r"UPDATE counter [^;]*",
    "select": r"SELECT name, remaining[^;]*",
    "insert": r"INSERT INTO ledger [^;]*",
    "commit": r"COMMIT(?=$)",
}
ROLLED_BACK = (1205, 1213, 1062)  # certain, also at COMMIT
CONFLICTS = (1020, 1317, 8002, 8005, 8022, 8028, 9007, 6002, 6005, 1297, 3024, 1969)
ELSEWHERE = {1290: "read-only", 1792: "read-only", 1836: "read-only", 1047: "not-ready", 3032: "not-ready",
             4094: "not-ready", 6400: "not-ready", 1123: "not-ready", 9001: "not-ready", 9002: "not-ready",
             9003: "not-ready", 9004: "not-ready", 9005: "not-ready", 1665: "misconfigured"}
UNCERTAIN = (3100, 3101, 1180, 1105)
LOST = (2006, 2013, 1053, 1927, 1158, 1159, 1160, 1161, 1184, 4031)
BUSY = (1040, 1041, 1135, 1203, 1206, 1226, 1637)
UNKNOWN = (1644, 65000)  # means nothing to the service
KNOWN = ROLLED_BACK + CONFLICTS + tuple(ELSEWHERE) + UNCERTAIN + LOST + BUSY
STOCK = 100
ONCE, ALWAYS = 1, 1 << 30


class Case:
    """`after`: COMMIT succeeds on the server, and is answered with the error. Otherwise it rolls back."""

    def __init__(self, step, number, times, after=False):
        self.fault = Fault(STEPS[step], number, after, times)
        self.step, self.number, self.after = step, number, after
        self.sku = f"{step}-{number}-{'once' if times == ONCE else 'always'}-{'after' if after else 'before'}"
        self.first = self.last = None

    def deduct(self, port):
        return call(port, "POST", f"/v1/stock/{self.sku}/deduct", {"quantity": 1}, "key-" + self.sku)


def cases():
    """Each number once at each step, and for as long as the client tries at two steps."""
    for number in KNOWN:
        for step in STEPS:
            yield Case(step, number, ONCE)
        for step in "update", "commit":
            yield Case(step, number, ALWAYS)
    for number in set(KNOWN + UNKNOWN) - set(ROLLED_BACK):
        yield Case("commit", number, ALWAYS, after=True)
    for number in UNKNOWN:
        yield Case("commit", number, ONCE)


class Errors(TestCase):
    def setUp(self):
        self.database = self.mysql()
        if "MariaDB" not in self.database.sql("SELECT VERSION()")[0][0]:
            self.skipTest("the proxy needs MariaDB's BEGIN NOT ATOMIC")
        self.faults = {}
        server = self.database.server
        self.wire = Wire((server.hostname, server.port), self.choose)
        self.addCleanup(self.wire.close)
        login = server.netloc.rpartition("@")[0]
        self.store = urllib.parse.urlunsplit(("mysql", f"{login}@127.0.0.1:{self.wire.port}",
                                              "/" + self.database.name, "", ""))

    def choose(self, text):
        """The fault of the product that the packet is about."""
        found = re.search(r"stock/([A-Za-z0-9-]+)", text)
        return self.faults.get(found.group(1)) if found else None

    def at_once(self, function, over):
        with concurrent.futures.ThreadPoolExecutor(24) as pool:
            return list(pool.map(function, over))

    def remaining(self):
        return {name.removeprefix("stock/"): int(number) for name, number
                in self.database.sql("SELECT name, remaining FROM counter")}

    def check_first(self, case):
        """What the client is told while the fault lasts."""
        answer = case.first
        if answer.status == 200:
            return
        self.assertEqual(answer.status, 503, (case.sku, answer))
        self.assertIn("Retry-After", answer.headers, case.sku)
        if case.after:
            self.assert_problem(answer, 503, "outcome-unknown")

    def play(self, service, all_cases):
        """Deducts once from the product of each case with its fault, and again without."""
        self.at_once(lambda case: self.assertEqual(
            service.call("PUT", f"/v1/stock/{case.sku}", {"quantity": STOCK}).status, 201), all_cases)
        self.faults = {case.sku: case.fault for case in all_cases}
        for case, answer in zip(all_cases, self.at_once(lambda case: case.deduct(service.port), all_cases)):
            case.first = answer
        self.faults = {}
        after_first = self.remaining()
        for case, answer in zip(all_cases, self.at_once(lambda case: case.deduct(service.port), all_cases)):
            case.last = answer
        after_last = self.remaining()
        for case in all_cases:
            with self.subTest(case.sku):
                self.check_first(case)
                if case.first.status == 200:
                    self.assertEqual(after_first[case.sku], STOCK - 1)
                self.assertEqual(case.last.status, 200, case.last)
                self.assertEqual(after_last[case.sku], STOCK - 1)
        rows = dict(self.database.sql("SELECT counter, COUNT(*) FROM ledger WHERE request_key <> ''"
                                      " AND request_key IS NOT NULL GROUP BY counter"))
        self.assertEqual({rows["stock/" + case.sku] for case in all_cases}, {"1"})

    def test_every_number_at_every_step(self):
        """In direct mode, so that no case shares its transaction with another one."""
        service = self.cluster(self.store, combine__max_batch=1, workers=16, request__timeout_ms=2000)
        service = service.instances[0]
        all_cases = list(cases())
        self.play(service, all_cases)
        unmet = {case.sku for case in all_cases if not case.fault.met}
        self.assertEqual(unmet, set())
        for case in all_cases:
            if case.number in ELSEWHERE and case.fault.left > 1 and not case.after:
                with self.subTest(case.sku):
                    self.assert_problem(case.first, 503,
                                        "outcome-unknown" if case.step == "commit" else "backend-unavailable")
        await_true(lambda: service.call("GET", "/readyz").status == 200)

    def test_reasons(self):
        """/readyz, the log and the metrics name the reason; one connection replaces the other."""
        service = self.cluster(self.store, workers=1).instances[0]
        for reason, number in {reason: number for number, reason in ELSEWHERE.items()}.items():
            with self.subTest(number):
                case = Case("update", number, ALWAYS)
                self.assertEqual(service.call("PUT", f"/v1/stock/{case.sku}", {"quantity": 1}).status, 201)
                self.faults = {case.sku: case.fault}
                before = dict(service.metrics())
                self.assert_problem(case.deduct(service.port), 503, "backend-unavailable")
                ready = service.call("GET", "/readyz")
                self.assertEqual((ready.status, ready.body["dependencies"]["database"]["why"]), (503, reason))
                self.assertIn(f"the database cannot be used ({reason}): {number}", service.read_log())
                self.faults = {}
                await_true(lambda: service.call("GET", "/readyz").status == 200)
                self.assertEqual(case.deduct(service.port).status, 200)
                after = dict(service.metrics())
                reconnects = ("holdfast_reconnects_total", 'backend="database"')
                self.assertGreater(after[reconnects], before[reconnects])

    def test_start(self):
        """A server that logs statements would refuse every change with 1665: the service does not start."""
        self.assertEqual(run("migrate", "up", f"--store={self.database.store}").returncode, 0)
        self.wire.choose = lambda text: Answer("SELECT @@log_bin.*", 1)
        done = run("serve", "--listen=127.0.0.1:0", f"--store={self.store}", timeout=20)
        self.assertEqual(done.returncode, 2, done)
        self.assertIn("binlog_format=ROW", done.stderr)


if __name__ == "__main__":
    unittest.main()
