#!/usr/bin/env python3
"""Orders, cancellations and refunds: everything or nothing, once, and no more given back than was taken."""

import random
import unittest

from cluster import at_once, await_true, ledger
from shop import ShopCase


class OnSqlite(ShopCase):
    # ---- place

    def test_an_order_takes_everything_at_once(self):
        mug, cup, user = self.put(5, 1000), self.put(3, 333), self.user(points=100)
        code = self.code(user, discount_percent=10, min_cents=500)
        answer = self.place(user, (mug, 2), (cup, 1), order_id=self.name("order"), code=code, points=40,
                            points_earn=23)
        self.assertEqual(answer.status, 201, answer)
        order = answer.body["order_id"]
        self.assertEqual(answer.headers["Location"], f"/v1/orders/{order}")
        created_at_ms = answer.body["created_at_ms"]
        record = {
            "order_id": order, "state": "placed", "user_id": user, "reservation_id": None, "code": code,
            "lines": [{"sku": mug, "quantity": 2, "refunded": 0, "price_cents": 1000},
                      {"sku": cup, "quantity": 1, "refunded": 0, "price_cents": 333}],
            "subtotal_cents": 2333, "discount_cents": 233, "total_cents": 2100, "refunded_cents": 0,
            "points_spent": 40, "points_earned": 23, "points_returned": 0, "points_taken": 0,
            "created_at_ms": created_at_ms}
        legs = [{"counter": f"order/{order}", "remaining": 3, "version": 1},
                {"counter": f"stock/{mug}", "remaining": 3, "version": 2},
                {"counter": f"stock/{cup}", "remaining": 2, "version": 2},
                {"counter": f"code/{code}", "remaining": 0, "version": 1},
                {"counter": f"points/{user}", "remaining": 83, "version": 2}]
        self.assertEqual(answer.body, {**record, "legs": legs, "strategy": "conditional"})
        got = self.call("GET", f"/v1/orders/{order}")
        self.assertEqual((got.body, got.headers["ETag"]), ({**record, "version": 1}, '"v1"'))
        self.assertEqual(self.call("GET", f"/v1/orders/{order}", If_None_Match='"v1"').status, 304)
        for leg in legs:
            row = ledger(self.service.ports[0], leg["counter"])[-1]
            self.assertEqual((row["reason"], row["order_id"], row["user_id"]), ("order", order, user))

    def test_bad_fields_are_named(self):
        sku, line = self.put(5), {"sku": "x", "quantity": 1}
        for body, field in (
                ({}, "lines"), ({"lines": []}, "lines"), ({"lines": {}}, "lines"),
                ({"lines": [1]}, "lines[0]"), ({"lines": [line, {"sku": "x"}]}, "lines[1].quantity"),
                ({"lines": [{"sku": "a/b", "quantity": 1}]}, "lines[0].sku"),
                ({"lines": [{"sku": "x", "quantity": 0}]}, "lines[0].quantity"),
                ({"lines": [{"sku": "x", "quantity": 1000001}]}, "lines[0].quantity"),
                ({"lines": [line], "order_id": "a/b"}, "order_id"),
                ({"lines": [line], "code": "c" * 25}, "code"), ({"lines": [line], "code": ""}, "code"),
                ({"lines": [line], "points": 0}, "points"), ({"lines": [line], "points_earn": -1}, "points_earn"),
                ({"lines": [line], "reservation": "a b"}, "reservation"),
                ({"lines": [line], "user_id": "a b"}, "user_id")):
            self.assert_field(self.post("/v1/orders", {"user_id": "ann", **body}), field)
        self.assert_field(self.post("/v1/orders", {"lines": [line]}), "user_id")
        # An account of points has a narrower name than a user.
        for points in ({"points": 1}, {"points_earn": 1}):
            self.assert_field(self.place("ann@shop.example", (sku, 1), **points), "user_id")
        self.assertEqual(self.place("ann@shop.example", (sku, 1)).status, 201)
        for unknown in ({"price_cents": 1}, {"total_cents": 1}):
            self.assert_problem(self.place("ann", (sku, 1), **unknown), 422, "unknown-field")
        self.assert_field(self.post("/v1/orders", {"user_id": "ann", "lines": [{**line, "price_cents": 1}]}),
                          "lines[0].price_cents", slug="unknown-field")
        for order in ("cancel", "refunds"):
            self.assert_problem(self.post(f"/v1/orders/unknown/{order}", {} if order == "cancel" else {"points": 1}),
                                404, "not-found")
        self.assert_problem(self.call("GET", "/v1/orders/unknown"), 404, "not-found")

    def test_an_unknown_product_is_named(self):
        sku, user = self.put(5), self.user()
        for body in {}, {"code": self.code(user)}:
            answer = self.place(user, (sku, 1), (sku, 1), ("never-put", 1), **body)
            self.assert_problem(answer, 404, "not-found")
            self.assertEqual(answer.body["failed"], [{"index": 1, "counter": "stock/never-put", "type": "not-found",
                                                      "remaining": 0, "version": 0}])
        self.assertEqual(self.stock(sku), 5)

    def test_the_largest_order_is_added_up_exactly(self):
        sku = self.put(10**12, 10**11)
        order = self.placed("ann", *[(sku, 10**6)] * 50)
        self.assertEqual(order["subtotal_cents"], 5 * 10**18)
        self.assertEqual(self.refund(order["order_id"], (0, 1)).body["refunded_cents"], 10**11)
        self.assertEqual(self.cancel(order["order_id"]).body["refunded_cents"], 5 * 10**18 - 10**11)

    def test_everything_that_is_missing_is_named(self):
        """And nothing is taken: no row is left of the line that was there (vendure#1738)."""
        there, gone, few, user = self.put(1), self.put(0), self.put(1), self.user(points=10)
        self.assert_failed(self.place(user, (there, 1), (gone, 1)), "out-of-stock", f"stock/{gone}")
        code = self.code(user, min_cents=10**9)
        order = self.name("order")
        answer = self.place(user, (there, 1), (gone, 1), (few, 2), order_id=order, code=code, points=11)
        self.assert_failed(answer, "out-of-stock", f"stock/{gone}", f"stock/{few}", f"code/{code}",
                           f"points/{user}")
        self.assertEqual([(leg.get("index"), leg["type"], leg["remaining"], leg["version"])
                          for leg in answer.body["failed"]],
                         [(1, "out-of-stock", 0, 1), (2, "out-of-stock", 1, 1),
                          (None, "coupon-not-redeemable", 0, 0), (None, "not-enough-points", 10, 1)])
        self.assertEqual((answer.body["remaining"], answer.body["version"]), (0, 1))
        for sku, left in (there, 1), (gone, 0), (few, 1):
            self.assertEqual(self.stock(sku), left)
            self.assertEqual(len(ledger(self.service.ports[0], f"stock/{sku}")), 1)
        for counter in f"order/{order}", f"code/{code}":
            self.assertEqual(ledger(self.service.ports[0], counter), [])
        self.assertEqual(self.points(user), 10)
        self.assert_problem(self.call("GET", f"/v1/orders/{order}"), 404, "not-found")

    def test_a_product_without_a_price_is_not_sold(self):
        mug, bare, user, key = self.put(5, 1000), self.name("sku"), self.user(), self.key()
        self.call("PUT", f"/v1/stock/{bare}", {"quantity": 5})
        reservation = self.reserve(user, (bare, 1))
        for body in {}, {"code": self.code(user, min_cents=1500)}, {"reservation": reservation}:
            answer = self.place(user, (mug, 1), (bare, 2), **body, key=key)
            self.assert_failed(answer, "price-missing", f"stock/{bare}")
            self.assertEqual((answer.body["failed"][0]["index"], answer.body["failed"][0]["type"]),
                             (1, "price-missing"))
            self.assertIn("PATCH /v1/stock/{sku}", answer.body["detail"])
        self.assertEqual((self.stock(mug), self.stock(bare)), (5, 4))
        self.assert_failed(self.place(user, (mug, 6), (bare, 1)), "out-of-stock", f"stock/{mug}", f"stock/{bare}")
        self.assertEqual(self.call("PATCH", f"/v1/stock/{bare}", {"price_cents": 0}).status, 200)  # a gift
        order = self.place(user, (mug, 1), (bare, 2), reservation=reservation, key=key)
        self.assertEqual((order.status, order.body["total_cents"]), (201, 1000), order)

    def test_a_refused_order_may_come_again_under_its_key(self):
        sku, key = self.put(1), self.key()
        self.assert_failed(self.place("ann", (sku, 2), key=key), "out-of-stock", f"stock/{sku}")
        self.post(f"/v1/stock/{sku}/restock", {"quantity": 1})
        self.assertEqual(self.place("ann", (sku, 2), key=key).body["legs"][1]["remaining"], 0)

    def test_lines_of_one_product_add_up(self):
        """medusa#16502: each line alone finds enough."""
        sku = self.put(5, 7)
        self.assert_failed(self.place("ann", (sku, 3), (sku, 3)), "out-of-stock", f"stock/{sku}")
        self.assertEqual(self.stock(sku), 5)
        order = self.placed("ann", (sku, 3), (sku, 2))
        self.assertEqual(order["lines"], [{"sku": sku, "quantity": 5, "refunded": 0, "price_cents": 7}])
        self.assertEqual((order["subtotal_cents"], self.stock(sku)), (35, 0))

    def test_up_to_fifty_products(self):
        skus = [self.put(1, 1 + i) for i in range(51)]
        ten = self.placed("ann", *[(sku, 1) for sku in skus[:10]])
        self.assertEqual((ten["total_cents"], len(ten["legs"])), (55, 11))
        self.cancel(ten["order_id"])
        user = self.user(points=5)
        fifty = self.placed(user, *[(sku, 1) for sku in skus[:50]], code=self.code(user), points=5)
        self.assertEqual([line["sku"] for line in self.order(fifty["order_id"])["lines"]], skus[:50])
        self.assertEqual(len(fifty["legs"]), 53)
        self.assert_field(self.place("ann", *[(sku, 1) for sku in skus]), "lines")
        self.assert_field(self.place("ann", *[(skus[50], 1)] * 51), "lines")
        self.assertEqual(self.stock(skus[50]), 1)
        closed = self.refund(fifty["order_id"], *[(i, 1, True) for i in range(50)], points=5, code=True)
        self.assertEqual((closed.body["refunded_cents"], len(closed.body["legs"])), (1275, 53))
        self.assertEqual([self.stock(sku) for sku in skus], [1] * 51)

    def test_an_order_id_is_used_once(self):
        sku, order, key = self.put(9), self.name("order"), self.key()
        first = self.place("ann", (sku, 1), order_id=order, key=key)
        again = self.place("ann", (sku, 1), order_id=order)
        self.assert_failed(again, "order-exists", f"order/{order}")
        self.assert_failed(self.place("bob", (sku, 99), order_id=order), "order-exists", f"order/{order}",
                           f"stock/{sku}")
        self.assertEqual(self.stock(sku), 8)
        for change in ({"order_id": "other"}, {"user_id": "bob"}, {"points_earn": 1}, {"code": "c"},
                       {"reservation": "r"}, {"lines": [{"sku": sku, "quantity": 2}]}):
            body = {"user_id": "ann", "order_id": order, "lines": [{"sku": sku, "quantity": 1}], **change}
            if not {"code", "reservation"} & set(change):  # these are looked for first
                self.assert_problem(self.post("/v1/orders", body, key), 422, "idempotency-mismatch")
        self.assert_replayed(self.place("ann", (sku, 1), order_id=order, key=key), first)
        racers = at_once(*[lambda: self.place("ann", (sku, 1), order_id=order + "-r") for _ in range(6)])
        self.assertEqual(sorted(answer.status for answer in racers), [201] + [409] * 5)
        self.assertEqual(self.stock(sku), 7)

    def test_an_order_without_an_id_gets_one(self):
        sku, key = self.put(9), self.key()
        first = self.place("ann", (sku, 1), key=key)
        self.assertRegex(first.body["order_id"], r"^[0-9A-Z]{20}$")
        self.assertNotEqual(self.placed("ann", (sku, 1))["order_id"], first.body["order_id"])
        self.assert_replayed(self.place("ann", (sku, 1), key=key), first)
        self.assertEqual(self.stock(sku), 7)

    def test_orders_in_opposite_directions_at_once(self):
        one, other = self.put(100), self.put(100)
        answers = at_once(*[lambda lines=lines: self.place("ann", *lines) for lines in
                            ([(one, 1), (other, 1)], [(other, 1), (one, 1)]) * 8])
        self.assertEqual({answer.status for answer in answers}, {201}, answers)
        self.assertEqual((self.stock(one), self.stock(other)), (84, 84))

    def test_the_last_unit_is_sold_once(self):
        scarce, plenty = self.put(3), self.put(100)
        answers = at_once(*[lambda: self.place("ann", (plenty, 1), (scarce, 1)) for _ in range(16)])
        self.assertEqual(sorted(answer.status for answer in answers), [201] * 3 + [409] * 13)
        self.assertEqual((self.stock(scarce), self.stock(plenty)), (0, 97))

    # ---- codes

    def test_one_code_in_two_orders_at_once(self):
        """shopware#11245: a voucher that is checked before its lock is used twice."""
        for _ in range(5):
            sku, user = self.put(100, 500), self.user()
            code = self.code(user, discount_cents=300)
            answers = at_once(*[lambda: self.place(user, (sku, 1), code=code) for _ in range(6)])
            self.assertEqual(sorted(answer.status for answer in answers), [201] + [409] * 5)
            for answer in answers:
                if answer.status == 409:
                    self.assert_failed(answer, "coupon-redeemed", f"code/{code}")
                else:
                    self.assertEqual(answer.body["total_cents"], 200)
            self.assertEqual((self.stock(sku), self.uses(code)), (99, 0))

    def test_a_discount_is_never_more_than_the_goods(self):
        sku, user = self.put(100, 199), self.user()
        self.assertEqual(self.placed(user, (sku, 1), code=self.code(user, discount_cents=500))["total_cents"], 0)
        self.assertEqual(self.placed(user, (sku, 1), code=self.code(user, discount_percent=100))["total_cents"], 0)
        third = self.placed(user, (sku, 1), code=self.code(user, discount_percent=33))
        self.assertEqual((third["discount_cents"], third["total_cents"]), (65, 134))  # rounded down
        self.assertEqual(self.placed(user, (sku, 1), code=self.code(user))["discount_cents"], 0)

    def test_a_code_that_does_not_apply_sells_nothing(self):
        sku, user = self.put(5, 100), self.user()
        code = self.code(user, discount_percent=10, min_cents=300)
        self.assert_failed(self.place(user, (sku, 2), code=code), "coupon-not-redeemable", f"code/{code}")
        for name, body in (user, {"code": "unknown"}), ("bob", {"code": code}):
            self.assert_problem(self.place(name, (sku, 3), **body), 404, "not-found")
        self.assertEqual((self.stock(sku), self.uses(code)), (5, 1))
        self.assertEqual(self.placed(user, (sku, 3), code=code)["total_cents"], 270)

    # ---- points

    def test_points_that_are_spent_must_be_there_before(self):
        """An order cannot pay with the points that it earns."""
        sku, user = self.put(9), self.user(points=5)
        answer = self.place(user, (sku, 1), points=6, points_earn=100)
        self.assert_failed(answer, "not-enough-points", f"points/{user}")
        self.assertEqual((self.points(user), self.stock(sku)), (5, 9))
        self.placed(user, (sku, 1), points=5, points_earn=100)
        self.assertEqual(self.points(user), 100)
        new = self.user()
        self.assert_failed(self.place(new, (sku, 1), points=1, points_earn=9), "not-enough-points", f"points/{new}")
        self.assert_problem(self.call("GET", f"/v1/points/{new}"), 404, "not-found")
        self.placed(new, (sku, 1), points_earn=9)
        self.assertEqual(self.points(new), 9)

    def test_points_of_a_refunded_order_are_not_kept(self):
        """odoo#257854: earn, refund, keep the points. odoo#212922: taken back twice."""
        sku, user = self.put(9), self.user()
        order = self.placed(user, (sku, 3), points_earn=100)["order_id"]
        self.assertEqual(self.refund(order, (0, 1)).body["points_taken"], 33)
        self.assertEqual((self.points(user), self.order(order)["points_taken"]), (67, 33))
        key = self.key()
        second = self.refund(order, (0, 2), key=key)
        self.assertEqual((second.body["points_taken"], second.body["points_short"], self.points(user)), (67, 0, 0))
        self.assert_replayed(self.refund(order, (0, 2), key=key), second)
        self.assert_problem(self.cancel(order), 409, "order-closed")
        self.assertEqual(self.points(user), 0)

    def test_points_that_are_spent_elsewhere_are_reported(self):
        """Nothing goes below zero, and what is short is not taken later from other points."""
        sku, user = self.put(9), self.user()
        order = self.placed(user, (sku, 2), points_earn=100)["order_id"]
        self.post(f"/v1/points/{user}/spend", {"points": 80})
        first = self.refund(order, (0, 1)).body
        self.assertEqual((first["points_taken"], first["points_short"], self.points(user)), (20, 30, 0))
        self.post(f"/v1/points/{user}/earn", {"points": 200})
        second = self.refund(order, (0, 1)).body
        self.assertEqual((second["points_taken"], second["points_short"], self.points(user)), (50, 0, 150))
        self.assertEqual(self.order(order)["points_taken"], 70)

    # ---- from a reservation

    def test_an_order_takes_what_is_reserved(self):
        one, other = self.put(5, 10), self.put(5, 100)
        reservation = self.reserve("ann", (one, 5), (other, 2))
        self.assert_failed(self.place("bob", (one, 1)), "out-of-stock", f"stock/{one}")
        order = self.placed("ann", reservation=reservation)
        self.assertEqual([(line["sku"], line["quantity"]) for line in order["lines"]], [(one, 5), (other, 2)])
        self.assertEqual((order["total_cents"], order["reservation_id"]), (250, reservation))
        self.assertEqual((self.stock(one), self.stock(other)), (0, 3))
        self.assertEqual(self.call("GET", f"/v1/reservations/{reservation}").body["state"], "confirmed")
        self.assert_problem(self.place("ann", reservation=reservation), 409, "reservation-resolved")
        self.assert_problem(self.post(f"/v1/reservations/{reservation}/release", {}), 409, "reservation-resolved")
        self.cancel(order["order_id"])
        self.assertEqual((self.stock(one), self.stock(other)), (5, 5))

    def test_an_order_takes_a_part_of_what_is_reserved(self):
        """The rest goes back to the stock at once, also of products that the order does not name."""
        one, other = self.put(5), self.put(5)
        reservation = self.reserve("ann", (one, 4), (other, 3))
        order = self.placed("ann", (one, 1), reservation=reservation)
        self.assertEqual(len(order["lines"]), 1)
        self.assertEqual((self.stock(one), self.stock(other)), (4, 5))
        self.assert_problem(self.post(f"/v1/reservations/{reservation}/confirm", {}), 409, "reservation-resolved")

    def test_an_order_takes_more_than_is_reserved(self):
        one, more = self.put(5), self.put(5)
        reservation = self.reserve("ann", (one, 3))
        refused = self.place("ann", (more, 1), (one, 6), reservation=reservation)
        self.assert_failed(refused, "out-of-stock", f"stock/{one}")
        self.assertEqual((refused.body["failed"][0]["index"], refused.body["failed"][0]["remaining"]), (1, 2))
        self.assertEqual(self.call("GET", f"/v1/reservations/{reservation}").body["state"], "held")
        order = self.placed("ann", (more, 1), (one, 5), reservation=reservation)
        self.assertEqual([(line["sku"], line["quantity"]) for line in order["lines"]], [(more, 1), (one, 5)])
        self.assertEqual((self.stock(one), self.stock(more)), (0, 4))

    def test_a_reservation_belongs_to_its_user(self):
        sku = self.put(5)
        reservation, anonymous = self.reserve("ann", (sku, 2)), self.reserve(None, (sku, 2))
        for name in ("bob", "an", "anna"):
            self.assert_problem(self.place(name, reservation=reservation), 404, "not-found")
        self.assert_problem(self.place("ann", reservation="UNKNOWN"), 404, "not-found")
        self.assertEqual(self.stock(sku), 1)
        self.placed("bob", reservation=anonymous)
        self.placed("ann", reservation=reservation)
        self.assertEqual(self.stock(sku), 1)

    def test_an_order_from_an_expired_reservation_is_refused(self):
        sku = self.put(5)
        reservation = self.reserve("ann", (sku, 5), ttl_s=1)
        answers = []

        def is_refused():
            answers.append(self.place("ann", (sku, 6), reservation=reservation))  # never accepted
            return answers[-1].body["type"] != "/problems/out-of-stock"

        await_true(is_refused)
        self.assert_problem(answers[-1], 409, "reservation-expired")
        self.assertEqual(self.stock(sku), 5)

    def test_one_reservation_in_two_orders_at_once(self):
        sku = self.put(20)
        reservation = self.reserve("ann", (sku, 10))
        answers = at_once(*[lambda: self.place("ann", reservation=reservation) for _ in range(6)])
        self.assertEqual(sorted(answer.status for answer in answers), [201] + [409] * 5)
        self.assertEqual(self.stock(sku), 10)

    def test_at_most_fifty_products_with_those_of_the_reservation(self):
        skus = [self.put(1, 1) for _ in range(51)]
        reservation = self.reserve("ann", *[(sku, 1) for sku in skus[:50]])
        self.assert_field(self.place("ann", (skus[50], 1), reservation=reservation), "lines")
        self.assertEqual(len(self.placed("ann", reservation=reservation)["lines"]), 50)
        self.assertEqual([self.stock(sku) for sku in skus], [0] * 50 + [1])

    # ---- replays

    def test_first_answers_stand_after_the_state_has_moved_on(self):
        sku, user = self.put(9, 100), self.user(points=50)
        code = self.code(user, discount_percent=10)
        reservation = self.reserve(user, (sku, 2))
        order, keys = self.name("order"), [self.key() for _ in range(3)]

        def place():
            return self.place(user, (sku, 3), order_id=order, code=code, points=20, points_earn=9,
                              reservation=reservation, key=keys[0])

        def refund():
            return self.refund(order, (0, 1, True), points=5, key=keys[1])

        firsts = [place(), refund(), self.cancel(order, key=keys[2])]
        self.assertEqual([first.status for first in firsts], [201, 200, 200])
        campaign = self.call("GET", f"/v1/coupons/codes/{code}").body["campaign"]
        self.call("PUT", f"/v1/coupons/{campaign}", {"total": 9, "per_user_limit": 9, "valid_until_ms": 1})
        self.call("PUT", f"/v1/stock/{sku}", {"quantity": 0, "price_cents": 7})
        self.post(f"/v1/points/{user}/spend", {"points": self.points(user)})
        for again, first in zip((place, refund, lambda: self.cancel(order, key=keys[2])), firsts):
            self.assert_replayed(again(), first)
            self.assert_replayed(again(), first)
        self.assertEqual((self.stock(sku), self.points(user)), (0, 0))
        for lines, points, code in (((0, 1),), 5, False), (((0, 2, True),), 5, False), (((0, 1, True),), 6, False), (
                ((0, 1, True),), 5, True):
            self.assert_problem(self.refund(order, *lines, points=points, code=code, key=keys[1]), 422,
                                "idempotency-mismatch")
        self.assert_problem(self.refund(order, (0, 1, True), points=5, key=keys[2]), 422, "idempotency-mismatch")

    # ---- refund and cancel

    def test_bad_refunds_are_refused_by_field(self):
        order = self.placed("ann", (self.put(9), 3))["order_id"]
        for body, field in (({}, "lines"), ({"reason": "x"}, "lines"), ({"code": False}, "lines"),
                            ({"lines": []}, "lines"), ({"lines": [1]}, "lines[0]"),
                            ({"lines": [{"quantity": 1}]}, "lines[0].line"),
                            ({"lines": [{"line": 0}]}, "lines[0].quantity"),
                            ({"lines": [{"line": -1, "quantity": 1}]}, "lines[0].line"),
                            ({"lines": [{"line": 50, "quantity": 1}]}, "lines[0].line"),
                            ({"lines": [{"line": 0, "quantity": 0}]}, "lines[0].quantity"),
                            ({"lines": [{"line": 0, "quantity": 1, "restock": 1}]}, "lines[0].restock"),
                            ({"points": 0}, "points"), ({"points": 1, "reason": "x" * 201}, "reason")):
            self.assert_field(self.post(f"/v1/orders/{order}/refunds", body), field)
        self.assert_field(self.post(f"/v1/orders/{order}/cancel", {"reason": ""}), "reason")
        for path in "cancel", "refunds":
            self.assert_problem(self.post(f"/v1/orders/{order}/{path}", {"cents": 1}), 422, "unknown-field")
        self.assertEqual(self.order(order)["version"], 1)

    def test_no_more_is_refunded_than_was_sold(self):
        sku, user = self.put(9), self.user(points=9)
        order = self.placed(user, (sku, 3), points=5)["order_id"]
        for lines, points in (([(0, 4)], {}), ([(0, 2), (0, 2)], {}), ([(1, 1)], {}), ([], {"points": 6})):
            self.assert_problem(self.refund(order, *lines, **points), 409, "refund-exceeds-order")
        refunded = self.refund(order, (0, 1), (0, 1, True)).body  # two of one line add up
        self.assertEqual((refunded["legs"][0]["remaining"], self.stock(sku)), (1, 7))
        self.assert_problem(self.refund(order, (0, 2)), 409, "refund-exceeds-order")
        self.assertEqual((self.order(order)["state"], self.points(user)), ("partially_refunded", 4))

    def test_a_refund_restocks_only_what_it_says(self):
        sku = self.put(9)
        order = self.placed("ann", (sku, 4))["order_id"]
        self.refund(order, (0, 1, False))
        self.assertEqual(self.stock(sku), 5)
        self.refund(order, (0, 1, True))
        self.assertEqual(self.stock(sku), 6)
        self.cancel(order)  # restocks what was not refunded before
        self.assertEqual(self.stock(sku), 8)

    def test_refunds_in_cents_add_up_to_the_total(self):
        draw = random.Random(7)
        for _ in range(6):
            quantities = [draw.randint(1, 4) for _ in range(3)]
            skus = [self.put(9, draw.randint(1, 999)) for _ in quantities]
            user = self.user()
            order = self.placed(user, *zip(skus, quantities),
                                code=self.code(user, discount_percent=draw.randint(1, 99)))
            units = [line for line, quantity in enumerate(quantities) for _ in range(quantity)]
            draw.shuffle(units)
            refunded = 0
            for left, line in enumerate(units):
                cents = self.refund(order["order_id"], (line, 1)).body["refunded_cents"]
                self.assertGreaterEqual(cents, 0)
                refunded += cents
                record = self.order(order["order_id"])
                self.assertEqual(record["refunded_cents"], refunded)
                self.assertLessEqual(refunded, order["total_cents"])
                self.assertEqual(record["state"] == "refunded", left == len(units) - 1)
            self.assertEqual(refunded, order["total_cents"])

    def test_a_cancellation_after_a_refund_gives_back_the_rest(self):
        """nopCommerce#5595."""
        sku, user = self.put(9, 999), self.user(points=100)
        code = self.code(user, discount_percent=10)
        order = self.placed(user, (sku, 3), code=code, points=50, points_earn=31)
        refund = self.refund(order["order_id"], (0, 1, True), points=20, code=True).body
        self.assertEqual((self.points(user), self.uses(code)), (50 + 31 + 20 - refund["points_taken"], 1))
        cancel = self.cancel(order["order_id"]).body
        self.assertEqual(refund["refunded_cents"] + cancel["refunded_cents"], order["total_cents"])
        self.assertEqual(refund["points_returned"] + cancel["points_returned"], 50)
        self.assertEqual(refund["points_taken"] + cancel["points_taken"], 31)
        self.assertEqual((self.points(user), self.uses(code), self.stock(sku)), (100, 1, 9))
        record = self.order(order["order_id"])
        self.assertEqual((record["state"], record["refunded_cents"]), ("cancelled", order["total_cents"]))

    def test_the_code_comes_back_once(self):
        sku, user = self.put(9), self.user()
        code = self.code(user, uses_per_code=3)
        order = self.placed(user, (sku, 2), code=code)["order_id"]
        self.placed(user, (sku, 1), code=code)
        self.assertEqual(self.uses(code), 1)
        self.refund(order, code=True)
        self.assertEqual((self.uses(code), self.order(order)["state"]), (2, "partially_refunded"))
        self.refund(order, (0, 1), code=True)
        self.cancel(order)
        self.assertEqual(self.uses(code), 2)

    def test_a_closed_order_gives_nothing_back(self):
        sku, user = self.put(9), self.user(points=9)
        cancelled = self.placed(user, (sku, 1), points=3)["order_id"]
        refunded = self.placed(user, (sku, 1), points=3)["order_id"]
        self.cancel(cancelled)
        self.refund(refunded, (0, 1))
        before = self.stock(sku), self.points(user)
        for order in cancelled, refunded:
            for answer in (self.cancel(order), self.refund(order, (0, 1)), self.refund(order, points=1)):
                self.assert_problem(answer, 409, "order-closed")
                self.assertEqual((answer.body["remaining"], answer.body["version"]), (0, 2))
        self.assertEqual((self.stock(sku), self.points(user)), before)

    def test_everything_at_once_and_twice_gives_back_once(self):
        """Refunds, a cancellation and a rollback in any order, each sent twice and in parallel."""
        draw = random.Random(12)
        for turn in range(8):
            sku, user = self.put(10, 333), self.user(points=100)
            code = self.code(user, discount_percent=15)
            order = self.placed(user, (sku, 3), code=code, points=40, points_earn=17)
            redemption = f"{code}:1"
            path = f"/v1/orders/{order['order_id']}"
            requests = [(f"{path}/refunds", {"lines": [{"line": 0, "quantity": 1, "restock": True}]}),
                        (f"{path}/refunds", {"lines": [{"line": 0, "quantity": 2, "restock": True}],
                                             "points": 40, "code": True}),
                        (f"{path}/refunds", {"points": 25, "code": True}),
                        (f"{path}/cancel", {}),
                        (f"/v1/redemptions/{redemption}/rollback", {"reason": "x"})]
            draw.shuffle(requests)
            answers = self.twice_each(*(requests[:-1] if turn % 2 else requests))
            done = [answer.body for answer in answers if answer.status == 200]
            for answer in answers:
                self.assertIn(answer.status, (200, 409), answer)
            self.cancel(order["order_id"])  # what is still open, if anything is
            record = self.order(order["order_id"])
            if record["state"] == "cancelled":
                self.assertEqual((self.points(user), self.uses(code)), (100, 1))
                self.assertEqual((record["points_returned"], record["points_taken"]), (40, 17))
            self.assertEqual(self.stock(sku), 10)
            self.assertEqual(record["refunded_cents"], order["total_cents"])
            self.assertLessEqual(sum(body["refunded_cents"] for body in done), order["total_cents"])
            self.assertLessEqual(self.points(user), 100)
            self.assertLessEqual(self.uses(code), 1)

    def test_points_and_refunds_at_once(self):
        """The account moves between the reading of the order and its refund."""
        sku, user = self.put(9), self.user(points=500)
        order = self.placed(user, (sku, 6), points=60, points_earn=90)["order_id"]
        refunds = [lambda: self.refund(order, (0, 1), points=10) for _ in range(6)]
        spends = [lambda: self.post(f"/v1/points/{user}/spend", {"points": 10}) for _ in range(6)]
        answers = at_once(*refunds, *spends)
        self.assertEqual({answer.status for answer in answers}, {200}, answers)
        self.assertEqual((self.points(user), self.order(order)["state"]), (440, "refunded"))


class OnMysql(OnSqlite):
    def make_database(self):
        return self.mysql()


if __name__ == "__main__":
    unittest.main()
