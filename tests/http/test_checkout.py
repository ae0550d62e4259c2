#!/usr/bin/env python3
"""Ten thousand orders of one to five of 50 products, while one of three instances is killed and comes back.

128 clients order, half of them with points; some then cancel or ask for refunds. After half of the orders an
instance gets SIGKILL. Each order, cancellation and refund must have all its rows or none, and all of them one order
across the counters. The products nearly suffice, so that some orders are refused.
HOLDFAST_CHECKOUT=row-lock/direct,etcd-lock/combined takes these strategies and modes instead.
"""

import os
import unittest

from cluster import TestCase, await_true, lock_servers
from loader import Running, urls

ORDERS = 10000
CASES = os.environ.get("HOLDFAST_CHECKOUT", "conditional/combined").split(",")
MODES = {"combined": 256, "direct": 1}
# Each number of products is as frequent as the others: three on average.
LOAD = ("--scenario", "checkout", "--mix", "order=1", "--duration", "5m", "--connections", 128,
        "--skus", 50, "--lines", 5, "--stock", 500, "--accounts", 50, "--balance", 1000,
        "--duplicate", "5%", "--retry", 20, "--timeout", "10s", "--quiet")


class Checkout(TestCase):
    def check_out(self, strategy, mode):
        self.database = self.mysql()
        names = {f"{endpoint}__strategy": strategy for endpoint in ("stock", "points", "reservation", "order")}
        servers = self.cluster(self.database.store, 3, **names, combine__max_batch=MODES[mode], **lock_servers())
        with Running(*urls(servers.ports), *LOAD) as load:
            self.await_orders(load, ORDERS // 2)
            servers.instances[1].kill()
            servers.restart(1)
            self.await_orders(load, ORDERS)
            result = load.end()
        self.check_report(result)
        self.assertGreater(self.created(servers.instances[1]), 0, "the killed instance does not work again")
        self.assert_reconciles(self.database.store)

    def await_orders(self, load, n):
        """Waits until there are n orders, and three products for each."""
        try:
            await_true(lambda: self.count("orders") >= n and self.count("order_item") >= 3 * n, 60)
        except AssertionError:
            self.fail(f"{self.count('orders')} orders, and not {n}: {load.end()}")

    def check_report(self, result):
        self.assertEqual(result.report["check"]["violations"], 0, result)
        looked_at = {i["slug"]: i["looked_at"] for i in result.report["check"]["invariants"]}
        for slug in ("operations-whole", "order-across-counters"):
            self.assertGreaterEqual(looked_at[slug], ORDERS, result)
        self.assertGreater(result.report["outcomes"]["unknown"], 0, f"the kill has hit no request: {result}")
        self.assertGreater(result.report["problems"].get("out-of-stock", 0), 0, result)

    def count(self, table):
        return int(self.database.sql(f"SELECT COUNT(*) FROM {table}")[0][0])

    def created(self, instance):
        """How many orders this process has accepted."""
        return sum(value for (name, labels), value in instance.metrics()
                   if name == "holdfast_http_requests_total" and 'status="201"' in labels)


def add(strategy, mode):
    def test(self):
        self.check_out(strategy, mode)

    setattr(Checkout, f"test_{strategy.replace('-', '_')}_{mode}", test)


for case in CASES:
    add(*case.split("/"))

if __name__ == "__main__":
    unittest.main()
