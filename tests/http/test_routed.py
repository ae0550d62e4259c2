#!/usr/bin/env python3
"""HAProxy, as shipped, sends all requests for a hot counter to one instance. That is for speed only, so the tests
take the instance away, bring it back, stall it and let it overflow, and the checker must find no violation.
"""

import collections
import signal
import time
import unittest

from cluster import TestCase, await_true, call
from loader import Running, measured
from named import NameServer, web_servers
from ports import free_port
from test_rolling import Balancer, need_haproxy

INSTANCES = 3
SKUS = [f"SKU-{i}" for i in range(60)]
FICKLE = ("--behind-proxy", "--retry", 5, "--duplicate", "5%", "--quiet")

ALL_HOT = {"HOLDFAST_HOT_RATE": "0"}
BUSY_HOT = {"HOLDFAST_HOT_RATE": "200"}  # a fifth of what is shipped, which not every machine reaches
TINY = [(r"default-server check (.*) maxconn 1000", r"default-server check \1 maxconn 4")]


def deduct(sku):
    return f"/v1/stock/{sku}/deduct"


class Routed(TestCase):
    def setUp(self):
        need_haproxy()
        self.database = self.mysql()
        self.servers = self.cluster(self.database.store, INSTANCES)

    def balance(self, **options):
        balancer = Balancer(self.servers.ports, retries=True, **options)
        self.balancer = balancer.__enter__()
        self.addCleanup(balancer.__exit__)
        self.url = f"http://127.0.0.1:{balancer.port}"

    def await_states(self, *states):
        await_true(lambda: self.balancer.states() == list(states), 15)

    def got(self):
        """How many requests each instance got so far, as [by leastconn, as the one of a hot counter]."""
        return [[int(count) for count in both] for both in self.balancer.statistics("stot")]

    def got_while(self, act):
        """How many requests each instance got meanwhile."""
        before = self.got()
        act()
        return [[now - then for now, then in zip(*both)] for both in zip(self.got(), before)]

    def where(self, method, path):
        """The instance that gets this request, and whether as that of a hot counter."""
        counts = self.got_while(lambda: call(self.balancer.port, method, path, {} if method == "POST" else None))
        (found,) = [(i, bool(hot)) for i, (other, hot) in enumerate(counts) if other or hot]
        return found

    def places(self):
        return {sku: self.where("POST", deduct(sku))[0] for sku in SKUS}

    def run_load(self, *arguments):
        return Running(self.url, "--scenario", "deduct", "--duration", "60s", *FICKLE, *arguments)

    def end(self, load):
        result = load.end()
        self.assertEqual(result.report["check"]["violations"], 0, result)
        self.assertGreater(result.report["outcomes"]["ok"], 200, result)
        self.assert_reconciles(self.database.store)
        return result


class Placed(Routed):
    """Which instance gets what, if every counter is hot."""

    def setUp(self):
        super().setUp()
        self.balance(environment=ALL_HOT)

    def test_a_counter_has_one_place_however_it_is_spelled(self):
        place = self.where("POST", "/v1/stock/SKU-1/deduct")
        self.assertTrue(place[1])
        for path in ("/v1/stock/SKU-1/restock", "/v1/stock/%53KU%2D1/deduct", "/v1/stock/SKU%2d1/deduct?a=b",
                     "http://elsewhere/v1/stock/SKU-1/deduct"):
            self.assertEqual(self.where("POST", path), place, path)
        for path in ("/v1/coupons/{}/issue", "/v1/lotteries/{}/draw", "/v1/points/{}/earn", "/v1/points/{}/spend"):
            places = {self.where("POST", path.format(sku)) for sku in SKUS[:20]}
            self.assertEqual(places, {(i, True) for i in range(INSTANCES)}, path)

    def test_other_requests_are_spread(self):
        for method, path in (("GET", deduct("A")), ("GET", "/v1/stock/A"), ("POST", "/v1/orders"),
                             ("POST", "/v1/orders/A/cancel"), ("POST", "/v1/reservations"),
                             ("POST", "/v1/reservations/A/confirm"), ("POST", "/v1/points/transfers"),
                             ("POST", "/v1/coupons/redeem"), ("POST", "/v1/redemptions/A/rollback"),
                             ("POST", "/v1/stock//deduct")):
            places = {self.where(method, path) for _ in range(2 * INSTANCES)}
            self.assertEqual(places, {(i, False) for i in range(INSTANCES)}, path)

    def test_an_instance_leaves_and_comes_back(self):
        before = self.places()
        self.assertGreater(min(collections.Counter(before.values()).values()), len(SKUS) / INSTANCES / 2)
        self.assertEqual(self.servers.instances[1].stop(), 0)
        self.await_states("UP", "DOWN", "UP")
        without = self.places()
        moved = {sku for sku in SKUS if without[sku] != before[sku]}
        self.assertEqual(moved, {sku for sku in SKUS if before[sku] == 1})
        self.assertEqual({without[sku] for sku in moved}, {0, 2})
        self.servers.restart(1)
        self.await_states("UP", "UP", "UP")
        self.assertEqual(self.places(), before)

    def test_an_instance_is_killed_under_load(self):
        with self.run_load("--skus", 12, "--connections", 24) as load:
            time.sleep(1)
            self.servers.instances[1].kill()
            self.await_states("UP", "DOWN", "UP")
            self.servers.restart(1)
            self.await_states("UP", "UP", "UP")
            back = self.got_while(lambda: time.sleep(1))
            self.end(load)
        self.assertGreater(min(hot for _, hot in back), 0, back)


class Hot(Routed):
    """Only counters with many requests are hot."""

    def hot(self):
        """The only instance that gets the hot counter's requests now, or None: none arrive, or it has just changed."""
        chosen = [i for i, (_, hot) in enumerate(self.got_while(lambda: time.sleep(0.5))) if hot]
        return chosen[0] if len(chosen) == 1 else None

    def test_only_a_hot_counter_is_routed(self):
        self.balance(environment=BUSY_HOT)
        warm = self.got_while(lambda: measured(self.url, "--arrival", "open", "--rate", 400, "--skus", 40,
                                               "--duration", "3s", *FICKLE))
        self.assertEqual([hot for _, hot in warm], [0] * INSTANCES, warm)
        self.assertGreater(min(other for other, _ in warm), 200, warm)
        hot = self.got_while(lambda: measured(self.url, "--connections", 32, "--duration", "4s", *FICKLE))
        counts = sorted(count for _, count in hot)
        self.assertEqual(counts[:-1], [0] * (INSTANCES - 1), hot)
        self.assertGreater(counts[-1], sum(other for other, _ in hot), hot)

    def test_what_is_too_much_for_the_instance_goes_to_others(self):
        self.balance(changes=TINY, environment=BUSY_HOT)
        with self.run_load("--connections", 32) as load:
            await_true(lambda: self.hot() is not None)
            counts = self.got_while(lambda: time.sleep(2))
            self.end(load)
        self.assertGreater(min(other for other, _ in counts), 20, counts)

    def test_the_instance_stalls(self):
        """It is DOWN after two failed checks. Then HAProxy chooses another one for what arrives, and after
        `timeout server` also for what it had sent to the stalled one."""
        self.balance(environment=BUSY_HOT)
        with self.run_load("--connections", 16, "--timeout", "20s") as load:
            await_true(lambda: self.hot() is not None)
            place = self.hot()
            stalled = self.servers.instances[place]
            stalled.signal(signal.SIGSTOP)
            try:
                await_true(lambda: self.balancer.states()[place] == "DOWN", 15)
                await_true(lambda: self.hot() not in (None, place), 15)
            finally:
                stalled.signal(signal.SIGCONT)
            await_true(lambda: self.hot() == place, 15)
            self.end(load)


class Named(unittest.TestCase):
    """The servers are those of a name, as shipped. Their numbers, of which the ring is made, must not change."""

    ADDRESSES = ["127.0.0.2", "127.0.0.3", "127.0.0.4"]

    def setUp(self):
        need_haproxy()
        self.port = free_port()
        self.names = self.enterContext(NameServer(self.ADDRESSES))
        self.enterContext(web_servers(self.ADDRESSES, self.port))
        here = [(r"nameserver none .*", f"nameserver none 127.0.0.1:{self.names.port}")]
        servers = f"server-template instance 1-8 holdfast:{self.port} resolvers names resolve-prefer ipv4 init-addr none"
        self.balancer = self.enterContext(Balancer([self.port] * INSTANCES, changes=here, servers=servers,
                                                   environment=ALL_HOT))

    def places(self):
        return {sku: call(self.balancer.port, "POST", deduct(sku), {}).body for sku in SKUS}

    def await_answers(self, count):
        end = self.names.answers + count
        await_true(lambda: self.names.answers > end, 30)

    def test_the_order_of_the_addresses_changes(self):
        before = self.places()
        self.assertEqual(set(before.values()), set(self.ADDRESSES))
        for _ in range(4):
            self.await_answers(3)
            self.assertEqual(self.places(), before)

    def test_an_address_leaves_and_comes_back(self):
        before = self.places()
        self.names.addresses = [self.ADDRESSES[2], self.ADDRESSES[0]]
        await_true(lambda: self.ADDRESSES[1] not in self.places().values(), 15)
        without = self.places()
        for sku in SKUS:
            if before[sku] != self.ADDRESSES[1]:
                self.assertEqual(without[sku], before[sku])
        self.names.addresses = self.ADDRESSES[::-1]
        await_true(lambda: self.places() == before, 15)


if __name__ == "__main__":
    unittest.main()
