#!/usr/bin/env python3
"""The load gate: three instances on one database under load, checked from the clients' answers.

Healthy: every strategy that protects the cluster gets a burst, then mixed load, then transfers of points
in all directions, then reservations that expire while others want their goods, then orders, with duplicates and retries. The checker must find no violation. Sick: servers without
the protection that their strategy relies on. The checker must find violations, otherwise its silence above
proves nothing.
HOLDFAST_GATE_ROUNDS=20 repeats everything.
"""

import os
import unittest

from cluster import TestCase, lock_servers
from hostile import Hostile, answer, shop
from loader import measured, urls

STRATEGIES = ["optimistic", "conditional", "row-lock", "lock-table", "redis-lock", "zookeeper-lock",
              "etcd-lock"]
ROUNDS = int(os.environ.get("HOLDFAST_GATE_ROUNDS", "1"))
BURST = ("--arrival", "latch", "--requests", 600, "--stock", 300)
MIXED = ("--scenario", "mixed", "--duration", "2s", "--connections", 48, "--skus", 4, "--think", "2ms",
         "--users", 40, "--stock", 100)
POINTS = ("--scenario", "points", "--duration", "2s", "--connections", 48, "--accounts", 6, "--zipf", 1,
          "--think", "2ms")
RESERVE = ("--scenario", "reserve", "--duration", "3s", "--connections", 48, "--skus", 6, "--lines", 3, "--zipf", 1,
           "--stock", 60, "--ttl", "1s", "--think", "5ms")
CHECKOUT = ("--scenario", "checkout", "--duration", "3s", "--connections", 48, "--skus", 20, "--lines", 3, "--zipf", 1,
            "--accounts", 10, "--balance", 30, "--stock", 60, "--ttl", "1s", "--think", "5ms")
FICKLE = ("--duplicate", "20%", "--retry", 8)


class Gate(TestCase):
    def start(self, strategy, **settings):
        database = self.mysql()
        names = {f"{endpoint}__strategy": strategy for endpoint in ("stock", "coupon", "lottery", "points", "reservation", "order")}
        servers = self.cluster(database.store, 3, **names, **lock_servers(), **settings)
        return database, urls(servers.ports)


class Healthy(Gate):
    def pass_through(self, strategy):
        database, targets = self.start(strategy)
        for _ in range(ROUNDS):
            burst = measured(*targets, *BURST, *FICKLE, "--require", "violations==0", "--require",
                             "errors==0", "--require", "duplicates>0")
            self.assertEqual(burst.code, 0, burst)
            self.assertEqual(burst.report["check"]["ledger_rows"], 300, burst)
            for load in (MIXED, POINTS, RESERVE, CHECKOUT):
                result = measured(*targets, *load, *FICKLE, "--require", "violations==0", "--require",
                                  "replays>0", "--require", "unknown==0", "--require", "error_share<5%",
                                  "--require", "p99<2s")
                self.assertEqual(result.code, 0, result)
                for seen in ("reads", "refusals", "replays"):
                    self.assertGreater(result.report["check"][seen], 0, result)
        self.assert_reconciles(database.store)


class Absent(TestCase):
    """Servers that do nothing. The gate must not take their silence, or their haste, for health."""

    def test_a_server_that_answers_401_503_or_nothing(self):
        unauthorized, unavailable = (answer({"type": "/problems/" + slug}, status, "application/problem+json")
                                     for status, slug in ((401, "unauthorized"), (503, "backend-unavailable")))
        for sent in unauthorized, unavailable, b"":
            with Hostile(lambda request, sent=sent: sent if request.is_change() else shop(request)) as server:
                result = measured(server.url, "--arrival", "latch", "--requests", 20, "--stock", 10, "--timeout", "1s",
                                  "--require", "violations==0")
                self.assertIn(result.code, (1, 2), result)
                self.assertEqual(result.report["outcomes"]["ok"], 0, result)
        for respond in (lambda _: unauthorized), None:  # to the set-up, too
            with Hostile(respond) as server:
                result = measured(server.url, *BURST, "--timeout", "1s", "--require", "violations==0")
                self.assertEqual((result.code, result.report), (2, None), result)


class Sick(Gate):
    """Lab mode without the database's constraints (lab.belts off): only the strategy protects the rows."""

    def sicken(self, strategy, *arguments, load=BURST, **settings):
        _, targets = self.start(strategy, lab="on", lab__belts="off", combine__max_batch=1, **settings)
        for _ in range(ROUNDS):
            result = measured(*targets, *load, *arguments, "--retry", 8)
            self.assertEqual(result.code, 1, result)
            yield result

    def test_no_strategy_at_all(self):
        for result in self.sicken("none"):
            self.assertIn("versions-without-gap", result.violated(), result)
            self.assertIn(" both read version ", result.text)
            # Every row of this run is shown with the time that its client saw.
            for violation in result.report["check"]["shown"]:
                events = violation["events"]
                timed = {event["operation"] for event in events if event["from_ms"] is not None}
                self.assertLessEqual({event["operation"] for event in events}, timed, violation)

    def test_no_strategy_at_all_for_points(self):
        for result in self.sicken("none", load=POINTS):
            for slug in ("versions-without-gap", "conservation"):
                self.assertIn(slug, result.violated(), result)

    def test_no_strategy_at_all_for_reservations(self):
        for result in self.sicken("none", load=RESERVE):
            for slug in ("versions-without-gap", "holds-resolve-once"):
                self.assertIn(slug, result.violated(), result)

    def test_no_strategy_at_all_for_orders(self):
        for result in self.sicken("none", load=CHECKOUT):
            for slug in ("versions-without-gap", "conservation"):
                self.assertIn(slug, result.violated(), result)

    def test_no_demand_on_the_version(self):
        for result in self.sicken("optimistic", lab__demand="off"):
            self.assertIn("versions-without-gap", result.violated(), result)

    def test_no_unique_key(self):
        for result in self.sicken("conditional", "--duplicate", "100%"):
            self.assertIn("one-key-one-effect", result.violated(), result)

    def test_the_same_with_all_that_was_missing(self):
        # The control: the same load in lab mode and direct mode, with constraints and demands on.
        for strategy in ("optimistic", "conditional"):
            _, targets = self.start(strategy, lab="on", combine__max_batch=1)
            for _ in range(ROUNDS):
                result = measured(*targets, *BURST, "--retry", 8, "--duplicate", "100%")
                self.assertEqual(result.code, 0, result)


def add(strategy):
    def test(self):
        self.pass_through(strategy)

    setattr(Healthy, f"test_{strategy.replace('-', '_')}", test)


for name in STRATEGIES:
    add(name)

if __name__ == "__main__":
    unittest.main()
