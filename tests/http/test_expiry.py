#!/usr/bin/env python3
"""Between the cart and the till: three instances, 100 units, 300 users who reserve at once.

A third of those who have something reserved confirm, a third release, a third walk away. At the very
millisecond at which the last reservation expires 100 buyers come. Each unit is sold exactly once, and no
buyer is told that the product is sold out while a reservation that has expired has the goods: so as many buyers get
a unit as were not confirmed. Under every strategy that protects the cluster, combined and direct.
HOLDFAST_EXPIRY_ROUNDS=20 repeats everything.
"""

import os
import time
import unittest

from cluster import Load, TestCase, ledger, lock_servers

UNITS, USERS, BUYERS = 100, 300, 100
STRATEGIES = ["optimistic", "conditional", "row-lock", "lock-table", "redis-lock", "zookeeper-lock",
              "etcd-lock"]
MODES = {"combined": 256, "direct": 1}
ROUNDS = int(os.environ.get("HOLDFAST_EXPIRY_ROUNDS", "1"))


class Expiry(TestCase):
    def sell(self, strategy, mode):
        database = self.mysql()
        names = {f"{endpoint}__strategy": strategy for endpoint in ("stock", "reservation")}
        cluster = self.cluster(database.store, 3, **names, combine__max_batch=MODES[mode], **lock_servers())
        for n in range(ROUNDS):
            self.sell_once(cluster, f"HOT-{n}")
        self.assert_reconciles(database.store)

    def sell_once(self, cluster, sku):
        self.assertEqual(cluster.call("PUT", f"/v1/stock/{sku}", {"quantity": UNITS}).status, 201)
        reserved = self.reserve(cluster, sku)
        expires_at_ms = max(body["expires_at_ms"] for body in reserved)
        confirmed = self.resolve(cluster, reserved)
        time.sleep(max(0.0, expires_at_ms / 1000 - time.time()))
        bought = Load(cluster.ports, [(f"/v1/stock/{sku}/deduct", {"quantity": 1}, f"buy-{sku}-{i}")
                                      for i in range(BUYERS)], BUYERS).run()
        self.assertFalse(bought.broken)
        self.assertEqual(len(bought.successes()), UNITS - confirmed)
        for key in bought.answers.keys() - bought.successes().keys():
            self.assertEqual(bought.answers[key].body["type"], "/problems/out-of-stock")
        rows = ledger(cluster.ports[0], f"stock/{sku}")
        self.assertEqual([row["version"] for row in rows], list(range(1, len(rows) + 1)))
        self.assertEqual(rows[-1]["remaining"], 0)
        self.check_holds(cluster, sku, reserved)

    def reserve(self, cluster, sku):
        lines = [{"sku": sku, "quantity": 1}]
        load = Load(cluster.ports, [("/v1/reservations", {"user_id": f"{sku}-u{i}", "ttl_s": 1, "lines": lines},
                                     f"reserve-{sku}-{i}") for i in range(USERS)], USERS).run()
        self.assertFalse(load.broken)
        reserved = [answer.body for answer in load.successes().values()]
        # On a slow machine the first ones expire before the last user comes, who then gets their goods.
        self.assertGreaterEqual(len(reserved), UNITS)
        return reserved

    def resolve(self, cluster, reserved):
        """A third each: confirm, release, nothing. Returns how many were confirmed."""
        steps = ("confirm", "release")
        load = Load(cluster.ports, [(f"/v1/reservations/{body['reservation_id']}/{steps[i % 3]}", {},
                                     f"{steps[i % 3]}-{body['reservation_id']}")
                                    for i, body in enumerate(reserved) if i % 3 < 2]).run()
        self.assertFalse(load.broken)
        for key in load.answers.keys() - load.successes().keys():
            self.assertEqual(load.answers[key].body["type"], "/problems/reservation-expired")
        return sum(key.startswith("confirm-") for key in load.successes())

    def check_holds(self, cluster, sku, reserved):
        """Each is resolved once, and decided on in time."""
        for body in reserved:
            rows = ledger(cluster.ports[0], f"hold/{sku}/{body['reservation_id']}/0")
            self.assertEqual([(row["version"], row["delta"]) for row in rows], [(1, 1), (2, -1)])
            expired = rows[1]["created_at_ms"] >= body["expires_at_ms"]
            self.assertEqual(rows[1]["reason"] == "expire", expired, rows)


def add(strategy, mode):
    def test(self):
        self.sell(strategy, mode)

    setattr(Expiry, f"test_{strategy.replace('-', '_')}_{mode}", test)


for each_strategy in STRATEGIES:
    for each_mode in MODES:
        add(each_strategy, each_mode)

if __name__ == "__main__":
    unittest.main()
