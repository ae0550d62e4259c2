#!/usr/bin/env python3
"""Coupon codes: the terms of their campaigns, validated, redeemed and rolled back."""

import time
import unittest

from cluster import at_once, ledger
from shop import ShopCase

NO_TERMS = {"discount_percent": 0, "discount_cents": 0, "min_cents": 0, "valid_from_ms": 0, "valid_until_ms": 0,
            "uses_per_code": 1}
CHECK_SYMBOLS = "*~$="
HOUR_MS = 3600 * 1000


class OnSqlite(ShopCase):
    def redeem(self, code, user, key=None, **body):
        return self.post("/v1/coupons/redeem", {"code": code, "user_id": user, **body}, key)

    def redeemed(self, code, user):
        """The id of a redemption."""
        answer = self.redeem(code, user)
        self.assertEqual(answer.status, 201, answer)
        return answer.body["redemption_id"]

    def rollback(self, redemption, key=None):
        return self.post(f"/v1/redemptions/{redemption}/rollback", {"reason": "returned"}, key)

    def validate(self, code, user, **body):
        """Answers a body; needs no key."""
        answer = self.call("POST", "/v1/coupons/validate", {"code": code, "user_id": user, **body})
        self.assertEqual(answer.status, 200, answer)
        return answer.body

    # ---- terms

    def test_terms_are_put_read_and_listed(self):
        campaign = self.name("campaign")
        path = f"/v1/coupons/{campaign}"
        limits = {"total": 5, "per_user_limit": 2}
        terms = {"discount_percent": 10, "discount_cents": 0, "min_cents": 500, "valid_from_ms": 1,
                 "valid_until_ms": 2**53 - 1, "uses_per_code": 3}

        def shown(version, terms):
            return {"campaign": campaign, **limits, "issued": 0, "remaining": 5, **terms, "version": version}

        def put(**body):
            return self.call("PUT", path, {**limits, **body}).body

        self.assertEqual(put(), shown(1, NO_TERMS))
        self.assertEqual(put(**terms), shown(2, terms))
        self.assertEqual(put(**terms), shown(2, terms))  # nothing has changed
        got = self.call("GET", path)
        self.assertEqual((got.body, got.headers["ETag"]), (shown(2, terms), '"v2"'))
        listed = self.call("GET", f"/v1/coupons?after={campaign[:-1]}&limit=1000").body["items"]
        self.assertIn(shown(2, terms), listed)
        self.assertEqual(put(), shown(2, terms))  # what is not sent stays
        # A discount of one kind takes the place of one of the other.
        terms.update(discount_percent=0, discount_cents=300)
        self.assertEqual(put(discount_cents=300), shown(3, terms))
        terms.update(discount_percent=5, discount_cents=0)
        self.assertEqual(put(discount_percent=5), shown(4, terms))
        for i, change in enumerate(({"discount_percent": 0}, {"min_cents": 0}, {"valid_from_ms": 0},
                                    {"valid_until_ms": 0}, {"uses_per_code": 1})):
            terms.update(change)
            self.assertEqual(put(**change), shown(5 + i, terms))
        rows = ledger(self.service.ports[0], f"coupon/{campaign}")
        self.assertEqual([(row["delta"], row["reason"]) for row in rows[1:]], [(0, "adjust")] * 8)
        stale = self.call("PUT", path, {**limits, "min_cents": 9}, If_Match='"v8"')
        self.assert_problem(stale, 412, "version-mismatch")
        self.assertEqual(self.call("GET", path).body, shown(9, NO_TERMS))

    def test_bad_terms_are_refused_by_field(self):
        campaign = self.campaign()
        for terms, field in (({"discount_percent": 101}, "discount_percent"),
                             ({"discount_percent": -1}, "discount_percent"),
                             ({"discount_percent": 10.5}, "discount_percent"),
                             ({"discount_cents": -1}, "discount_cents"),
                             ({"discount_percent": 10, "discount_cents": 1}, "discount_cents"),
                             ({"min_cents": 2**53}, "min_cents"), ({"valid_from_ms": "2030"}, "valid_from_ms"),
                             ({"valid_from_ms": 7, "valid_until_ms": 7}, "valid_until_ms"),
                             ({"uses_per_code": 0}, "uses_per_code"),
                             ({"uses_per_code": 1000001}, "uses_per_code")):
            self.assert_field(self.call("PUT", f"/v1/coupons/{campaign}",
                                        {"total": 9, "per_user_limit": 1, **terms}), field)
        self.assertEqual(self.call("GET", f"/v1/coupons/{campaign}").body["version"], 1)

    # ---- look up and validate

    def test_a_code_is_looked_up(self):
        user = self.user()
        campaign = self.campaign(discount_percent=10, uses_per_code=2)
        code = self.code(user, campaign)
        found = {"code": code, "campaign": campaign, "user_id": user, "uses_left": 2, **NO_TERMS,
                 "discount_percent": 10, "uses_per_code": 2}
        self.assertEqual(self.call("GET", f"/v1/coupons/codes/{code}").body, found)
        self.redeemed(code, user)
        self.assertEqual(self.uses(code), 1)
        for unknown in ("unknown", "UNKN-OWN0-0000-0000-*", "a%2Fb", "a" * 64):
            self.assert_problem(self.call("GET", f"/v1/coupons/codes/{unknown}"), 404 if "%" not in unknown else 422,
                                "not-found" if "%" not in unknown else "invalid-field")

    def test_codes_with_every_check_symbol_have_a_path(self):
        user, campaign, missing = self.user(), self.campaign(per_user_limit=1000), set(CHECK_SYMBOLS)
        for _ in range(1000):
            code = self.code(user, campaign)
            if code[-1] not in missing:
                continue
            missing.remove(code[-1])
            redemption = self.redeemed(code, user)
            self.assertEqual(self.uses(code), 0)
            self.assertEqual(len(ledger(self.service.ports[0], f"code/{code}")), 1)
            self.assertEqual(self.rollback(redemption).status, 200)
            if not missing:
                return
        self.fail(f"no code ends in {missing}")

    def test_validation_tells_the_discount_or_why_there_is_none(self):
        user = self.user()
        campaign = self.campaign(discount_percent=15, min_cents=1000)
        code = self.code(user, campaign)
        self.assertEqual(self.validate(code, user), {"valid": True})
        self.assertEqual(self.validate(code, user, subtotal_cents=1999), {"valid": True, "discount_cents": 299})
        self.assertEqual(self.validate(code, user, subtotal_cents=999),
                         {"valid": False, "type": "coupon-not-redeemable"})
        for name, asked in (user, "unknown"), ("bob", code):
            self.assertEqual(self.validate(asked, name), {"valid": False, "type": "not-found"})
        self.redeemed(code, user)
        self.assertEqual(self.validate(code, user), {"valid": False, "type": "coupon-redeemed"})
        self.assertEqual(len(ledger(self.service.ports[0], f"code/{code}")), 1)
        for body, field in (({"user_id": "ann"}, "code"), ({"code": "c"}, "user_id"),
                            ({"code": "c", "user_id": "ann", "subtotal_cents": -1}, "subtotal_cents")):
            self.assert_field(self.call("POST", "/v1/coupons/validate", body), field)

    def test_a_campaign_has_a_beginning_and_an_end(self):
        now, user = int(time.time() * 1000), self.user()
        for terms, valid in (({"valid_from_ms": now - HOUR_MS, "valid_until_ms": now + HOUR_MS}, True),
                             ({"valid_from_ms": now + HOUR_MS}, False), ({"valid_until_ms": now - HOUR_MS}, False)):
            code = self.code(user, **terms)
            self.assertEqual(self.validate(code, user)["valid"], valid, terms)
            answer = self.redeem(code, user)
            if valid:
                self.assertEqual(answer.status, 201)
            else:
                self.assert_problem(answer, 409, "coupon-not-redeemable")
                self.assertEqual(ledger(self.service.ports[0], f"code/{code}"), [])

    # ---- redeem

    def test_a_code_is_redeemed_once(self):
        user = self.user()
        code, key = self.code(user), self.key()
        first = self.redeem(code, user, key, order_id="gid://shop/Order/1")
        self.assertEqual((first.status, first.body), (201, {
            "redemption_id": f"{code}:1", "state": "redeemed", "code": code, "user_id": user, "uses_left": 0,
            "legs": [{"counter": f"code/{code}", "remaining": 0, "version": 1}], "strategy": "conditional"}))
        row = ledger(self.service.ports[0], f"code/{code}")[0]
        self.assertEqual((row["reason"], row["user_id"], row["order_id"]), ("redeem", user, "gid://shop/Order/1"))
        again = self.redeem(code, user)
        self.assert_problem(again, 409, "coupon-redeemed")
        self.assertEqual((again.body["remaining"], again.body["version"]), (0, 1))
        self.assert_replayed(self.redeem(code, user, key, order_id="gid://shop/Order/1"), first)
        self.assert_problem(self.redeem(code, user, key), 422, "idempotency-mismatch")

    def test_the_code_of_another_user_is_unknown(self):
        code = self.code(self.user())
        for user, asked in ("bob", code), (self.user(), "unknown"):
            self.assert_problem(self.redeem(asked, user), 404, "not-found")
        self.assertEqual(self.uses(code), 1)

    def test_bad_fields_are_named(self):
        for body, field in (({"user_id": "ann"}, "code"), ({"code": "c", "user_id": "a b"}, "user_id"),
                            ({"code": "c" * 25, "user_id": "ann"}, "code"),
                            ({"code": "c", "user_id": "ann", "order_id": ""}, "order_id")):
            self.assert_field(self.post("/v1/coupons/redeem", body), field)
        self.assert_problem(self.post("/v1/coupons/redeem", {"code": "c", "user_id": "ann", "uses": 1}), 422,
                            "unknown-field")
        self.assert_problem(self.call("POST", "/v1/coupons/redeem", {"code": "c", "user_id": "ann"}), 400,
                            "idempotency-key-missing")

    def test_a_code_is_used_as_often_as_its_campaign_grants(self):
        user = self.user()
        code = self.code(user, uses_per_code=3)
        answers = at_once(*[lambda: self.redeem(code, user) for _ in range(10)])
        self.assertEqual(sorted(answer.status for answer in answers), [201] * 3 + [409] * 7)
        self.assertEqual({answer.body["redemption_id"] for answer in answers if answer.status == 201},
                         {f"{code}:{version}" for version in (1, 2, 3)})
        self.assertEqual(self.uses(code), 0)

    def test_uses_are_granted_when_a_code_is_first_used(self):
        user, campaign = self.user(), self.campaign(uses_per_code=2)
        used, unused = self.code(user, campaign), self.code(user, campaign)
        self.redeemed(used, user)
        self.call("PUT", f"/v1/coupons/{campaign}", {"total": 9, "per_user_limit": 9, "uses_per_code": 5})
        self.assertEqual((self.uses(used), self.uses(unused)), (1, 5))

    # ---- roll back

    def test_a_redemption_is_rolled_back_once(self):
        user, key = self.user(), self.key()
        code = self.code(user)
        redemption = self.redeemed(code, user)
        first = self.rollback(redemption, key)
        self.assertEqual((first.status, first.body), (200, {
            "redemption_id": redemption, "state": "rolled_back", "code": code, "user_id": user, "uses_left": 1,
            "legs": [{"counter": f"code/{code}", "remaining": 1, "version": 2}], "strategy": "conditional"}))
        self.assert_problem(self.rollback(redemption), 409, "already-rolled-back")
        second = self.redeemed(code, user)  # the use is there again, and is another redemption
        self.assertEqual(second, f"{code}:3")
        self.assert_problem(self.rollback(redemption), 409, "already-rolled-back")
        self.assert_replayed(self.rollback(redemption, key), first)
        self.assert_problem(self.rollback(second, key), 422, "idempotency-mismatch")
        self.assertEqual(self.uses(code), 0)

    def test_of_many_rollbacks_at_once_one_gives_back(self):
        user = self.user()
        for uses in (1, 3):
            code = self.code(user, uses_per_code=uses)
            redemptions = [self.redeemed(code, user) for _ in range(uses)]
            answers = at_once(*[lambda r=redemption: self.rollback(r) for redemption in redemptions * 4])
            self.assertEqual(sorted(answer.status for answer in answers), [200] * uses + [409] * (3 * uses))
            self.assertEqual(self.uses(code), uses)
        done = self.twice_each(*[(f"/v1/redemptions/{self.redeemed(code, user)}/rollback", {}) for _ in range(3)])
        self.assertEqual([answer.status for answer in done], [200] * 3)
        self.assertEqual(self.uses(code), 3)

    def test_a_redemption_of_an_order_comes_back_with_the_order(self):
        sku, user = self.put(9), self.user()
        code = self.code(user)
        order = self.placed(user, (sku, 1), code=code)["order_id"]
        self.assert_problem(self.rollback(f"{code}:1"), 409, "part-of-order")
        self.assertEqual(self.uses(code), 0)
        self.cancel(order)
        self.assert_problem(self.rollback(f"{code}:1"), 409, "part-of-order")
        self.assertEqual(self.uses(code), 1)

    def test_unknown_redemptions(self):
        user = self.user()
        code = self.code(user)
        self.redeemed(code, user)
        for redemption in (code, f"{code}:", f"{code}:2", f"{code}:1x", f"{code}:-1", "a:1", ":1", "x" * 64):
            self.assert_problem(self.rollback(redemption), 404, "not-found")
        self.assert_field(self.rollback("a%20b:1"), "redemption")
        self.assertEqual(self.uses(code), 0)

    def test_first_answers_stand_after_the_campaign_has_ended(self):
        user, keys = self.user(), [self.key(), self.key()]
        campaign = self.campaign(uses_per_code=2)
        code = self.code(user, campaign)
        redeemed = self.redeem(code, user, keys[0])
        rolled_back = self.rollback(redeemed.body["redemption_id"], keys[1])
        self.call("PUT", f"/v1/coupons/{campaign}", {"total": 9, "per_user_limit": 9, "valid_until_ms": 1})
        self.assert_problem(self.redeem(code, user), 409, "coupon-not-redeemable")
        self.assert_replayed(self.redeem(code, user, keys[0]), redeemed)
        self.assert_replayed(self.rollback(redeemed.body["redemption_id"], keys[1]), rolled_back)
        self.assertEqual(self.uses(code), 2)


class OnMysql(OnSqlite):
    def make_database(self):
        return self.mysql()


if __name__ == "__main__":
    unittest.main()
