#!/usr/bin/env python3
"""Three instances on one database sell exactly the stock, no more and no less.

Every strategy that protects the cluster, combined and direct: 1,000 units, 3,000 buyers on 96
connections. Then coupons and lotteries, which have a limit per user too.
"""

import unittest

from cluster import Load, TestCase, ledger, lock_servers

UNITS = 1000
BUYERS = 3000
STRATEGIES = ["optimistic", "conditional", "row-lock", "lock-table", "redis-lock", "zookeeper-lock",
              "etcd-lock"]
MODES = {"combined": 256, "direct": 1}
HONEST = {"lock-busy", "lock-lost", "contention", "overloaded", "backend-unavailable", "outcome-unknown"}


class Oversell(TestCase):
    def sell(self, strategy, mode):
        database = self.mysql()
        cluster = self.cluster(database.store, 3, stock__strategy=strategy,
                               combine__max_batch=MODES[mode], **lock_servers())
        put = cluster.call("PUT", "/v1/stock/HOT", {"quantity": UNITS})
        self.assertEqual((put.status, put.body["version"]), (201, 1))
        requests = [("/v1/stock/HOT/deduct", {"quantity": 1, "user_id": f"u{i}"}, f"buy-{i}")
                    for i in range(BUYERS)]
        load = Load(cluster.ports, requests).run()
        self.check_answers(load, strategy)
        self.check_ledger(load, cluster, strategy)
        self.assert_reconciles(database.store)

    def check_answers(self, load, strategy):
        self.assertFalse(load.broken)
        for status, kind in load.first_answers:
            self.assertIn(status, (200, 409, 503), load.first_answers)
            if status == 503:
                self.assertIn(kind.rpartition("/")[2], HONEST)
        sold = load.successes()
        self.assertEqual(len(sold), UNITS)
        self.assertEqual(sorted(a.body["version"] for a in sold.values()), list(range(2, UNITS + 2)))
        for answer in sold.values():
            self.assertEqual(answer.body["remaining"], UNITS + 1 - answer.body["version"])
            self.assertEqual(answer.body["strategy"], strategy)
        for key in load.answers.keys() - sold.keys():
            refused = load.answers[key].body
            self.assertEqual(refused["type"], "/problems/out-of-stock")
            self.assertEqual((refused["remaining"], refused["version"]), (0, UNITS + 1))

    def check_ledger(self, load, cluster, strategy):
        for instance in cluster.instances:
            product = instance.call("GET", "/v1/stock/HOT").body
            self.assertEqual((product["remaining"], product["version"]), (0, UNITS + 1))
        rows = ledger(cluster.ports[1], "stock/HOT")
        self.assertEqual([row["version"] for row in rows], list(range(1, UNITS + 2)))
        by_key = {row["request_key"]: row for row in rows[1:]}
        self.assertEqual(by_key.keys(), load.successes().keys())
        for key, answer in load.successes().items():
            self.assertEqual(by_key[key]["version"], answer.body["version"])
            self.assertEqual(by_key[key]["remaining"], answer.body["remaining"])
            self.assertEqual(by_key[key]["strategy"], strategy)
        tokens = [row["token"] for row in rows[1:]]
        self.assertEqual(tokens, sorted(tokens), "fencing tokens never decrease")


def add_sale(strategy, mode):
    def test(self):
        self.sell(strategy, mode)

    setattr(Oversell, f"test_{strategy.replace('-', '_')}_{mode}", test)


for each_strategy in STRATEGIES:
    for each_mode in MODES:
        add_sale(each_strategy, each_mode)


class Limits(TestCase):
    """Coupons and lotteries on three instances; each user sends several requests at once."""

    USERS = 120
    TRIES = 5

    def cluster_for(self, strategy):
        database = self.mysql()
        cluster = self.cluster(database.store, 3, coupon__strategy=strategy,
                               lottery__strategy=strategy, **lock_servers())
        return database, cluster

    def requests(self, path):
        return [(path, {"user_id": f"u{i % self.USERS}"}, f"try-{i}")
                for i in range(self.USERS * self.TRIES)]

    def issue(self, strategy):
        database, cluster = self.cluster_for(strategy)
        total = self.USERS + 60  # less than two for each user
        put = cluster.call("PUT", "/v1/coupons/SPRING", {"total": total, "per_user_limit": 2})
        self.assertEqual(put.status, 201)
        load = Load(cluster.ports, self.requests("/v1/coupons/SPRING/issue")).run()
        issued = [a.body for a in load.successes().values()]
        self.assertEqual(len(issued), total, load.first_answers)
        self.assertEqual(len({coupon["code"] for coupon in issued}), total)
        users = [coupon["user_id"] for coupon in issued]
        self.assertLessEqual(max(users.count(user) for user in set(users)), 2)
        refusals = {a.body["type"] for a in load.answers.values() if a.status != 201}
        self.assertLessEqual(refusals, {"/problems/coupon-exhausted", "/problems/limit-reached"})
        campaign = cluster.call("GET", "/v1/coupons/SPRING").body
        self.assertEqual((campaign["issued"], campaign["remaining"]), (total, 0))
        self.assert_reconciles(database.store)

    def draw(self, strategy):
        database, cluster = self.cluster_for(strategy)
        wheel = {"draws_per_user": 1, "blank_weight": 10, "prizes": [
            {"prize": "gold", "quantity": 1, "weight": 50},
            {"prize": "silver", "quantity": 10, "weight": 50}]}
        self.assertEqual(cluster.call("PUT", "/v1/lotteries/WHEEL", wheel).status, 201)
        load = Load(cluster.ports, self.requests("/v1/lotteries/WHEEL/draw")).run()
        drawn = [a.body for a in load.successes().values()]
        self.assertEqual(sorted(d["user_id"] for d in drawn), sorted(f"u{i}" for i in range(self.USERS)))
        self.assertEqual({a.body["type"] for a in load.answers.values() if a.status == 409},
                         {"/problems/already-drawn"})
        won = [d["prize"] for d in drawn if d["prize"]]
        prizes = {p["prize"]: p for p in cluster.call("GET", "/v1/lotteries/WHEEL").body["prizes"]}
        for name, quantity in (("gold", 1), ("silver", 10)):
            self.assertLessEqual(won.count(name), quantity)
            self.assertEqual(prizes[name]["won"], won.count(name))
        self.assert_reconciles(database.store)


def add_limits(strategy):
    name = strategy.replace("-", "_")
    setattr(Limits, f"test_coupons_{name}", lambda self: self.issue(strategy))
    setattr(Limits, f"test_lottery_{name}", lambda self: self.draw(strategy))


for each_strategy in STRATEGIES:
    add_limits(each_strategy)

if __name__ == "__main__":
    unittest.main()
