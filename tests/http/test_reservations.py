#!/usr/bin/env python3
"""Reservations over HTTP: every call and refusal, expiry with and without the sweeper, to the millisecond,
the limit of a user, and instances that are killed between two calls."""

import concurrent.futures
import os
import signal
import sqlite3
import time
import unittest

from cluster import Instance, TestCase, await_true, ledger

NEVER_MS = 3600000  # for the sweeper
WHOLE = {"ttl_s": 60, "lines": [{"sku": "A", "quantity": 1}]}


def move_expiry(store, at_ms):
    """Moves the expiry of all reservations of an SQLite database: the tests need not wait."""
    database = sqlite3.connect(store.removeprefix("sqlite:"), timeout=10)
    with database:
        database.execute("UPDATE hold SET expires_at = ?", (at_ms,))
        database.execute("UPDATE reservation SET expires_at = ?", (at_ms,))
    database.close()


def now_ms():
    return time.time_ns() // 1000000


def await_ms(at_ms):
    while now_ms() < at_ms:
        time.sleep(0.0005)


class Reserving(TestCase):
    """Calls; each test has products of its own."""

    service = None

    def put(self, **quantities):
        for sku, quantity in quantities.items():
            self.assertIn(self.service.call("PUT", f"/v1/stock/{sku}", {"quantity": quantity}).status,
                          (200, 201))

    def reserve(self, key, lines, ttl_s=60, **more):
        listed = [{"sku": sku, "quantity": quantity} for sku, quantity in lines]
        return self.service.call("POST", "/v1/reservations", {"ttl_s": ttl_s, "lines": listed, **more}, key)

    def reserved(self, key, lines, **more):
        """The id of a new reservation."""
        done = self.reserve(key, lines, **more)
        self.assertEqual(done.status, 201, done)
        return done.body["reservation_id"]

    def change(self, name, identity, key, body=None):
        return self.service.call("POST", f"/v1/reservations/{identity}/{name}", body or {}, key)

    def get(self, identity):
        return self.service.call("GET", f"/v1/reservations/{identity}").body

    def stock(self, sku):
        """What is in stock and what is reserved."""
        body = self.service.call("GET", f"/v1/stock/{sku}?include=reserved").body
        return body["remaining"], body["reserved"]

    def next_release(self, sku):
        return self.service.call("GET", f"/v1/stock/{sku}?include=reserved").body.get("next_release_at_ms")

    def restart(self, store, environment=None):
        """Starts an instance in the place of the one that has ended."""
        self.service.instances[0].log.close()
        self.service.instances[0] = Instance(store, {}, environment=environment).await_listening()
        return self.service.instances[0]

    def reasons(self, counter):
        return [row["reason"] for row in ledger(self.service.ports[0], counter)]


class Calls(Reserving):
    """On embedded SQLite, with default settings."""

    @classmethod
    def setUpClass(cls):
        cls.owner = cls("run_nothing")
        cls.service = cls.owner.cluster(cls.owner.sqlite().store)

    @classmethod
    def tearDownClass(cls):
        cls.owner.doCleanups()

    def run_nothing(self):
        """Exists so that the class can own a cluster."""

    def test_reserved_and_confirmed(self):
        self.put(C1=5)
        made = self.reserve("c1-a", [("C1", 2)], user_id="ann@example.com", order_id="o-1")
        identity = made.body["reservation_id"]
        self.assertEqual((made.status, made.headers["Location"]), (201, f"/v1/reservations/{identity}"))
        self.assertEqual((made.body["state"], made.body["lines"], made.body["expires_in_ms"]),
                         ("held", [{"sku": "C1", "quantity": 2}], 60000))
        self.assertEqual(made.body["legs"], [{"counter": "stock/C1", "remaining": 3, "version": 2}])
        self.assertEqual(self.stock("C1"), (3, 2))
        self.assertEqual(self.next_release("C1"), made.body["expires_at_ms"])
        self.assertTrue({"reserved", "next_release_at_ms"}.isdisjoint(self.service.call("GET", "/v1/stock/C1").body))
        got = self.get(identity)
        self.assertEqual((got["state"], got["user_id"], got["order_id"], got["expires_at_ms"]),
                         ("held", "ann@example.com", "o-1", made.body["expires_at_ms"]))
        self.assertTrue(0 < got["expires_in_ms"] <= 60000)
        done = self.change("confirm", identity, "c1-b", {"order_id": "o-1"})
        self.assertEqual((done.status, done.body["state"]), (200, "confirmed"))
        self.assertEqual(self.stock("C1"), (3, 0))
        self.assertIsNone(self.next_release("C1"))
        self.assertEqual((self.get(identity)["state"], self.get(identity)["expires_in_ms"]),
                         ("confirmed", 0))

    def test_replays(self):
        self.put(R1=5)
        first = self.reserve("r1-a", [("R1", 2)])
        identity = first.body["reservation_id"]
        again = self.reserve("r1-a", [("R1", 2)])
        self.assertEqual((again.status, again.body), (201, first.body))
        self.assertEqual(again.headers["Location"], first.headers["Location"])
        self.assertEqual(again.headers["Idempotent-Replayed"], "true")
        self.assert_problem(self.reserve("r1-a", [("R1", 1)]), 422, "idempotency-mismatch")
        self.assert_problem(self.reserve("r1-a", [("R1", 2)], ttl_s=61), 422, "idempotency-mismatch")
        for name, body in (("extend", {"ttl_s": 90}), ("confirm", {})):
            done = self.change(name, identity, f"r1-{name}", body)
            replay = self.change(name, identity, f"r1-{name}", body)
            self.assertEqual((replay.status, replay.body), (200, done.body))
            self.assertEqual(replay.headers["Idempotent-Replayed"], "true")
        self.assertEqual(self.stock("R1"), (3, 0))

    def test_a_resolved_reservation_says_how(self):
        self.put(F1=5)
        for name, state in (("confirm", "confirmed"), ("release", "released")):
            identity = self.reserved(f"f1-{name}", [("F1", 1)])
            self.assertEqual(self.change(name, identity, f"f1-{name}-a").status, 200)
            for other, body in (("confirm", {}), ("release", {"reason": "late"}), ("extend", {"ttl_s": 5})):
                refused = self.change(other, identity, f"f1-{name}-{other}", body)
                self.assert_problem(refused, 409, "reservation-resolved")
                self.assertEqual(refused.body["state"], state)

    def test_confirmed_in_part(self):
        self.put(P1=5, P2=5, P3=5)
        identity = self.reserved("p-a", [("P1", 3), ("P2", 2), ("P3", 1)])
        for lines, field in ([{"sku": "P1", "quantity": 4}], "lines"), ([{"sku": "P9", "quantity": 1}], "lines"):
            refused = self.change("confirm", identity, "p-b", {"lines": lines})
            self.assert_problem(refused, 422, "invalid-field")
            self.assertEqual(refused.body["field"], field)
        lines = [{"sku": "P1", "quantity": 1}, {"sku": "P2", "quantity": 2}]
        self.assertEqual(self.change("confirm", identity, "p-b", {"lines": lines}).status, 200)
        self.assertEqual([self.stock(sku) for sku in ("P1", "P2", "P3")], [(4, 0), (3, 0), (5, 0)])

    def test_extended(self):
        self.put(E1=1)
        made = self.reserve("e-a", [("E1", 1)], ttl_s=60).body
        longer = self.change("extend", made["reservation_id"], "e-b", {"ttl_s": 600})
        self.assertGreaterEqual(longer.body["expires_at_ms"], made["expires_at_ms"] + 500000)
        shorter = self.change("extend", made["reservation_id"], "e-c", {"ttl_s": 1})
        self.assert_problem(shorter, 409, "reservation-longer")
        again = self.change("extend", made["reservation_id"], "e-b", {"ttl_s": 600})
        self.assertEqual((again.status, again.body), (200, longer.body))
        self.assertEqual(self.get(made["reservation_id"])["expires_at_ms"], longer.body["expires_at_ms"])

    def test_lines_of_one_product_are_added_up(self):
        self.put(S1=3)
        self.assert_problem(self.reserve("s-a", [("S1", 2), ("S1", 2)]), 409, "out-of-stock")
        self.assertEqual(self.stock("S1"), (3, 0))
        made = self.reserve("s-b", [("S1", 1), ("S1", 2)])
        self.assertEqual(made.body["lines"], [{"sku": "S1", "quantity": 3}])

    def test_fifty_lines(self):
        skus = [f"M{i}" for i in range(51)]
        self.put(**{sku: 1 for sku in skus})
        refused = self.reserve("m-a", [(sku, 1) for sku in skus])
        self.assert_problem(refused, 422, "invalid-field")
        self.assertEqual(refused.body["field"], "lines")
        identity = self.reserved("m-b", [(sku, 1) for sku in skus[:50]])
        self.assertEqual(len(self.get(identity)["lines"]), 50)
        self.assertEqual(len(self.change("confirm", identity, "m-c").body["legs"]), 50)
        self.assertEqual(self.stock("M49"), (0, 0))

    def test_sold_out_names_all_lines_and_the_next_release(self):
        self.put(O1=1, O2=1, O3=1)
        first = self.reserve("o-a", [("O2", 1)]).body
        refused = self.reserve("o-c", [("O1", 1), ("O2", 1), ("O3", 2)])
        self.assert_problem(refused, 409, "out-of-stock")
        self.assertEqual(refused.body["failed"], [
            {"index": 1, "counter": "stock/O2", "type": "out-of-stock", "remaining": 0, "version": 2,
             "next_release_at_ms": first["expires_at_ms"]},
            {"index": 2, "counter": "stock/O3", "type": "out-of-stock", "remaining": 1, "version": 1}])
        self.assertEqual((refused.body["remaining"], refused.body["version"],
                          refused.body["next_release_at_ms"]), (0, 2, first["expires_at_ms"]))
        self.assertEqual(self.stock("O1"), (1, 0))
        deduct = self.service.call("POST", "/v1/stock/O2/deduct", {"quantity": 1}, "o-d")
        self.assert_problem(deduct, 409, "out-of-stock")
        self.assertEqual(deduct.body["next_release_at_ms"], first["expires_at_ms"])

    def test_refusals_by_field(self):
        self.put(A=9)
        line = {"sku": "A", "quantity": 1}
        for change, field in (
                ({"ttl_s": 0}, "ttl_s"), ({"ttl_s": 86401}, "ttl_s"), ({"ttl_s": "60"}, "ttl_s"),
                ({"lines": []}, "lines"), ({"lines": {}}, "lines"), ({"lines": [1]}, "lines[0]"),
                ({"lines": [line, {"sku": "A"}]}, "lines[1].quantity"),
                ({"lines": [{**line, "quantity": 0}]}, "lines[0].quantity"),
                ({"lines": [{**line, "sku": "a b"}]}, "lines[0].sku"),
                ({"lines": [{**line, "price": 1}]}, "lines[0].price"),
                ({"user_id": "a b"}, "user_id"), ({"user_id": "x" * 129}, "user_id"),
                ({"order_id": ""}, "order_id"), ({"price": 1}, "price")):
            refused = self.service.call("POST", "/v1/reservations", {**WHOLE, **change}, "by-field")
            self.assertEqual((refused.status, refused.body["field"]), (422, field), refused)
        for name in WHOLE:
            body = {key: value for key, value in WHOLE.items() if key != name}
            refused = self.service.call("POST", "/v1/reservations", body, "by-field")
            self.assertEqual((refused.status, refused.body["field"]), (422, name))
        self.assert_problem(self.service.call("POST", "/v1/reservations", WHOLE), 400,
                            "idempotency-key-missing")
        self.assert_problem(self.reserve("by-field", [("NOBODY", 1)]), 404, "not-found")
        identity = self.reserved("by-field-a", [("A", 1)])
        for name, body, field in (("confirm", {"lines": []}, "lines"), ("confirm", {"ttl_s": 1}, "ttl_s"),
                                  ("release", {"reason": ""}, "reason"),
                                  ("release", {"reason": "x" * 201}, "reason"),
                                  ("extend", {}, "ttl_s"), ("extend", {"ttl_s": 86401}, "ttl_s")):
            refused = self.change(name, identity, "by-field-b", body)
            self.assertEqual((refused.status, refused.body["field"]), (422, field), refused)
        for method, path in (("GET", "/v1/reservations/NOBODY"), ("POST", "/v1/reservations/NOBODY/confirm")):
            body = {} if method == "POST" else None
            self.assert_problem(self.service.call(method, path, body, "nobody"), 404, "not-found")
        refused = self.service.call("GET", "/v1/stock/A?include=all")
        self.assertEqual((refused.status, refused.body["field"]), (422, "include"))

    def test_listed_by_user_and_state(self):
        self.put(L1=9)
        made = sorted(self.reserved(f"l-{i}", [("L1", 1)], user_id="lea@example.com") for i in range(4))
        self.reserved("l-other", [("L1", 1)], user_id="leo@example.com")
        self.change("confirm", made[1], "l-confirm")
        self.change("release", made[2], "l-release")
        path = "/v1/reservations?user_id=lea%40example.com"

        def listed(query):
            page = self.service.call("GET", path + query).body
            return [item["reservation_id"] for item in page["items"]], page["next_after"]

        self.assertEqual(listed(""), (made, None))
        self.assertEqual(listed("&limit=3"), (made[:3], made[2]))
        self.assertEqual(listed(f"&limit=3&after={made[2]}"), (made[3:], None))
        for state, expected in (("held", [made[0], made[3]]), ("confirmed", [made[1]]),
                                ("released", [made[2]]), ("expired", [])):
            self.assertEqual(listed(f"&state={state}"), (expected, None))
        for query, field in (("", "user_id"), ("?user_id=", "user_id"), ("?user_id=a&state=open", "state"),
                             ("?user_id=a&limit=0", "limit"), ("?user_id=a&after=%20", "after"),
                             ("?user_id=a&sku=b", "sku")):
            refused = self.service.call("GET", "/v1/reservations" + query)
            self.assertEqual((refused.status, refused.body["field"]), (422, field), query)


class Expiry(Reserving):
    """What happens at expires_at, and who writes it down."""

    def serve(self, sweep_ms=NEVER_MS, **settings):
        self.store = self.sqlite().store
        self.service = self.cluster(self.store, reservation__sweep_ms=sweep_ms, **settings)
        return self.service

    def test_a_get_of_the_product_expires_what_is_due(self):
        self.serve()
        self.put(A=5)
        identity = self.reserved("a", [("A", 2)], ttl_s=600)
        move_expiry(self.store, now_ms())
        self.assertEqual(self.reasons("stock/A"), ["opening", "reserve"])
        listed = self.service.call("GET", "/v1/stock").body["items"][0]
        self.assertEqual(listed["remaining"], 3)  # lists may lag behind
        self.assertEqual(self.stock("A"), (5, 0))
        self.assertEqual(self.reasons("stock/A"), ["opening", "reserve", "expire"])
        self.assertEqual(self.get(identity)["state"], "expired")
        self.assert_reconciles(self.store)

    def test_a_get_of_the_reservation_expires_it(self):
        self.serve()
        self.put(A=5, B=5)
        identity = self.reserved("a", [("A", 2), ("B", 1)], ttl_s=600, user_id="ann")
        move_expiry(self.store, now_ms())
        for state, count in (("expired", 1), ("held", 0)):
            page = self.service.call("GET", f"/v1/reservations?user_id=ann&state={state}").body
            self.assertEqual([item["state"] for item in page["items"]], [state] * count)
        self.assertEqual((self.get(identity)["state"], self.get(identity)["expires_in_ms"]), ("expired", 0))
        for sku in "AB":
            self.assertEqual(self.reasons(f"stock/{sku}"), ["opening", "reserve", "expire"])
        # The clock is put back: the answer stands.
        move_expiry(self.store, now_ms() + 600000)
        self.assertEqual(self.get(identity)["state"], "expired")
        for name, body in (("confirm", {}), ("release", {}), ("extend", {"ttl_s": 5})):
            refused = self.change(name, identity, f"late-{name}", body)
            self.assert_problem(refused, 409, "reservation-expired")
            self.assertEqual(refused.body["state"], "expired")
        move_expiry(self.store, 1)  # otherwise they have expired early
        self.assert_reconciles(self.store)

    def test_a_buyer_gets_what_is_due(self):
        self.serve()
        self.put(A=3)
        for i in range(3):
            self.reserved(f"a-{i}", [("A", 1)], ttl_s=600)
        self.assert_problem(self.reserve("b", [("A", 3)]), 409, "out-of-stock")
        move_expiry(self.store, now_ms())
        self.assertEqual(self.reserve("b", [("A", 3)]).status, 201)
        self.assertEqual(self.stock("A"), (0, 3))
        self.assert_reconciles(self.store)

    def test_the_sweeper_writes_it_down(self):
        self.serve(sweep_ms=20)
        self.put(A=5)
        self.reserved("a", [("A", 2)], ttl_s=600)
        move_expiry(self.store, now_ms())
        await_true(lambda: self.reasons("stock/A") == ["opening", "reserve", "expire"])
        self.assert_reconciles(self.store)

    def test_to_the_millisecond(self):
        """A confirmation counts if it was decided before expires_at, and only then."""
        self.serve()
        self.put(A=40)
        made = [self.reserve(f"a-{i}", [("A", 1)], ttl_s=600).body["reservation_id"] for i in range(40)]
        at_ms = now_ms() + 1000
        move_expiry(self.store, at_ms)

        def confirm(i):
            await_ms(at_ms + i - 20)
            return self.change("confirm", made[i], f"c-{i}").status

        with concurrent.futures.ThreadPoolExecutor(40) as pool:
            statuses = list(pool.map(confirm, range(40)))
        self.assertEqual(statuses[20:], [409] * 20)
        rows = ledger(self.service.ports[0], "stock/A")
        confirmed = {row["request_key"]: row["created_at_ms"] for row in rows if row["reason"] == "confirm"}
        self.assertEqual(set(confirmed), {f"c-{i}" for i in range(40) if statuses[i] == 200})
        self.assertTrue(all(created_ms < at_ms for created_ms in confirmed.values()), confirmed)
        self.assertTrue(all(row["created_at_ms"] >= at_ms for row in rows if row["reason"] == "expire"))
        self.assertEqual(self.stock("A"), (40 - len(confirmed), 0))
        self.assert_reconciles(self.store)

    def test_a_drain_while_the_sweeper_sweeps(self):
        self.serve(sweep_ms=10)
        self.put(A=1000)
        for i in range(20):
            self.reserved(f"a-{i}", [("A", 50)], ttl_s=600)
        move_expiry(self.store, now_ms())
        self.assertEqual(self.service.instances[0].stop(), 0)
        self.assert_reconciles(self.store)


class Instances(Reserving):
    """Several instances, and instances that are killed."""

    def test_what_one_has_reserved_the_other_confirms(self):
        database = self.mysql()
        self.service = self.cluster(database.store, 2, reservation__sweep_ms=NEVER_MS)
        self.put(A=2)
        identity = self.reserved("a", [("A", 1)])
        late = self.reserved("b", [("A", 1)], ttl_s=1)
        other = self.service.instances[1]
        done = other.call("POST", f"/v1/reservations/{identity}/confirm", {}, "c")
        self.assertEqual(done.status, 200, done)
        self.assert_problem(self.change("release", identity, "d"), 409, "reservation-resolved")
        await_ms(self.get(late)["expires_at_ms"] + 1)
        self.assertEqual(other.call("GET", "/v1/stock/A?include=reserved").body["remaining"], 1)
        self.assertEqual(self.get(late)["state"], "expired")
        self.assert_reconciles(database.store)

    def test_a_user_reserves_from_two_instances_at_once(self):
        database = self.mysql()
        self.service = self.cluster(database.store, 2, reservation__per_user=3)
        self.put(**{f"U{i}": 5 for i in range(12)})

        def reserve(i):
            body = {"ttl_s": 60, "user_id": "ann@example.com", "lines": [{"sku": f"U{i}", "quantity": 1}]}
            return self.service.instances[i % 2].call("POST", "/v1/reservations", body, f"u-{i}")

        with concurrent.futures.ThreadPoolExecutor(12) as pool:
            answers = list(pool.map(reserve, range(12)))
        for answer in answers:
            if answer.status != 201:
                self.assert_problem(answer, 409, "reservation-limit")
        made = [answer.body["reservation_id"] for answer in answers if answer.status == 201]
        self.assertEqual(len(made), 3)
        self.assertEqual(self.reserve("u-free", [("U0", 1)]).status, 201)  # without a user
        self.assertEqual(self.reserve("u-leo", [("U0", 1)], user_id="leo").status, 201)
        extended = self.change("extend", made[0], "u-extend", {"ttl_s": 90})
        self.assertEqual((extended.status, len(extended.body["legs"])), (200, 1))
        self.assertEqual(self.change("confirm", made[0], "u-confirm").status, 200)
        self.assertEqual(self.reserve("u-next", [("U1", 1)], user_id="ann@example.com").status, 201)
        refused = self.reserve("u-last", [("U1", 1)], user_id="ann@example.com")
        self.assert_problem(refused, 409, "reservation-limit")
        self.assert_reconciles(database.store)

    def test_killed_between_reserve_and_confirm(self):
        store = self.sqlite().store
        self.service = self.cluster(store)
        self.put(A=2)
        identity = self.reserved("a", [("A", 1)])
        self.service.instances[0].kill()
        self.restart(store)
        self.assertEqual(self.reserve("a", [("A", 1)]).headers["Idempotent-Replayed"], "true")
        self.assertEqual(self.change("confirm", identity, "b").status, 200)
        self.assertEqual(self.stock("A"), (1, 0))
        self.assert_reconciles(store)

    def test_killed_while_it_confirms(self):
        """Before the commit nothing has happened; after it the repetition gets the result."""
        for point, replayed in (("in-commit", None), ("after-commit", "true")):
            database = self.sqlite()
            paused = os.path.join(database.directory, "paused")
            self.service = self.cluster(database.store)
            self.put(A=1)
            identity = self.reserved("a", [("A", 1)])
            self.service.instances[0].stop()
            stopping = self.restart(database.store, {
                "HOLDFAST_PAUSE": f"{point}@reservation:1:{paused}:wait"})
            with concurrent.futures.ThreadPoolExecutor(1) as pool:
                lost = pool.submit(stopping.call, "POST", f"/v1/reservations/{identity}/confirm", {}, "c")
                await_true(lambda: os.path.exists(paused))
                self.assertEqual(stopping.kill(), -signal.SIGKILL)
                self.assertIsNotNone(lost.exception())
            self.restart(database.store)
            done = self.change("confirm", identity, "c")
            self.assertEqual((done.status, done.headers["Idempotent-Replayed"]), (200, replayed), point)
            self.assertEqual(self.stock("A"), (0, 0))
            self.assert_reconciles(database.store)


if __name__ == "__main__":
    unittest.main()
