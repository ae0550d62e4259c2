#!/usr/bin/env python3
"""Administration without lost updates: entity tags and conditions, PUT and PATCH, lists, names of users."""

import http.client
import threading
import unittest

from cluster import TestCase, at_once, await_true, ledger

WHEEL = {"draws_per_user": 9, "blank_weight": 1, "prizes": [{"prize": "gold", "quantity": 5, "weight": 1}]}
# Of each noun: its path, two representations to PUT, and an operation that changes it.
NOUNS = {
    "stock": ("/v1/stock/{}", {"quantity": 5}, {"title": "Mug"}, "/deduct", {"quantity": 1}),
    "coupon": ("/v1/coupons/{}", {"total": 5, "per_user_limit": 9}, {"total": 6, "per_user_limit": 9},
               "/issue", {"user_id": "ann"}),
    "lottery": ("/v1/lotteries/{}", WHEEL, {**WHEEL, "blank_weight": 2}, "/draw", {"user_id": "ann"}),
}


class OnSqlite(TestCase):
    """And, below, on MySQL."""

    def make_database(self):
        return self.sqlite()

    def setUp(self):
        self.database = self.make_database()
        self.service = self.cluster(self.database.store)

    def tearDown(self):
        self.assert_reconciles(self.service.store)

    def call(self, *arguments, **named):
        return self.service.call(*arguments, **named)

    def put(self, path, body, if_match=None, if_none_match=None):
        conditions = {"If_Match": if_match, "If_None_Match": if_none_match}
        return self.call("PUT", path, body, **{k: v for k, v in conditions.items() if v is not None})

    # ---- entity tags

    def test_each_get_has_the_version_as_entity_tag(self):
        for noun, (path, put, _, operation, body) in NOUNS.items():
            self.put(path.format("T"), put)
            self.assert_tagged(path.format("T"), lambda p=path, o=operation, b=body, n=noun:
                               self.call("POST", p.format("T") + o, b, "tag-" + n))
        self.call("POST", "/v1/points/ann/earn", {"points": 5}, "tag-1")
        self.assert_tagged("/v1/points/ann",
                           lambda: self.call("POST", "/v1/points/ann/spend", {"points": 1}, "tag-2"))

    def assert_tagged(self, path, change):
        def get(method="GET", **conditions):
            return self.call(method, path, **conditions)

        first = get()
        self.assertEqual((first.status, first.headers["ETag"]), (200, '"v1"'))
        self.assertEqual(first.headers["Cache-Control"], "no-cache")
        self.assertEqual(get("HEAD").headers["ETag"], '"v1"')
        for tag in ('"v1"', 'W/"v1"', '"x", "v1"', "*", '"v9" ,, W/"v1"'):
            for method in ("GET", "HEAD"):
                answer = get(method, If_None_Match=tag)
                self.assertEqual((answer.status, answer.body, answer.headers["ETag"]), (304, "", '"v1"'), tag)
                self.assertEqual(answer.headers["Cache-Control"], "no-cache")
        for tag in ('"v2"', '"1"', '"v01"'):
            self.assertEqual(get(If_None_Match=tag).body, first.body, tag)
        self.assertEqual(get(If_Match='"v1"').body, first.body)
        self.assert_problem(get(If_Match='W/"v1"'), 412, "version-mismatch")
        self.assert_problem(get(If_Match="v1"), 400, "malformed-request")
        self.assertEqual(change().status // 100, 2)
        second = get(If_None_Match='"v1"')
        self.assertEqual((second.status, second.headers["ETag"], second.body["version"]), (200, '"v2"', 2))
        self.assertEqual(get(If_None_Match='"v1", "v2"').status, 304)
        missing = self.call("GET", path + "-missing", If_None_Match="*", If_Match_="x")
        self.assert_problem(missing, 404, "not-found")
        self.assertNotIn("ETag", missing.headers)
        self.assertEqual(missing.headers["Cache-Control"], "no-store")

    def test_an_answer_that_was_not_modified_keeps_the_connection(self):
        self.put("/v1/stock/SAME", {"quantity": 5})
        connection = http.client.HTTPConnection("127.0.0.1", self.service.ports[0], timeout=10)
        self.addCleanup(connection.close)
        lengths = set()
        for tag, status in ('"v1"', 304), ('"v2"', 200), ('"v1"', 304):
            connection.request("GET", "/v1/stock/SAME", headers={"If-None-Match": tag})
            answer = connection.getresponse()
            self.assertEqual((answer.status, len(answer.read()) > 0), (status, status == 200))
            lengths.add(answer.headers["Content-Length"])
        self.assertEqual(len(lengths), 1)  # that of the whole answer, as RFC 9110, 8.6 demands

    # ---- conditions of changes

    def test_of_two_administrators_with_the_same_version_one_wins(self):
        for number, (path, first, *_) in zip(("quantity", "total", "blank_weight"), NOUNS.values()):
            path = path.format("RACE")
            self.put(path, first)
            for i in range(10):
                tag = self.call("GET", path).headers["ETag"]
                bodies = [{**first, number: 10 + 2 * i + k} for k in range(2)]
                answers = at_once(*[lambda p=path, b=body, t=tag: self.put(p, b, if_match=t) for body in bodies])
                self.assertEqual(sorted(answer.status for answer in answers), [200, 412], answers)
                winner = answers[0] if answers[0].status == 200 else answers[1]
                self.assertEqual(self.call("GET", path).body, winner.body)

    def test_a_condition_that_fails_changes_nothing(self):
        for path, first, second, *_ in NOUNS.values():
            path = path.format("COND")
            for tag in ('"v1"', "*", 'W/"v1"', '"v0"'):
                self.assert_problem(self.put(path, first, if_match=tag), 412, "version-mismatch")
            self.assert_problem(self.call("GET", path), 404, "not-found")
            self.assertEqual(self.put(path, first, if_none_match="*").status, 201)
            before = self.call("GET", path)
            for condition in ({"if_none_match": "*"}, {"if_none_match": 'W/"v1"'}, {"if_match": '"v2"'},
                              {"if_match": 'W/"v1"'}, {"if_match": '"v2", "1"'}):
                self.assert_problem(self.put(path, second, **condition), 412, "version-mismatch")
            for condition in ({"if_match": "v1"}, {"if_match": ""}, {"if_match": '"v1", *'},
                              {"if_match": "*", "if_none_match": "*"}):
                self.assert_problem(self.put(path, second, **condition), 400, "malformed-request")
            self.assertEqual(self.call("GET", path).body, before.body)
            self.assertEqual(self.put(path, second, if_match='"v7","v1"').body["version"], 2)
            self.assertEqual(self.put(path, first, if_match="*").status, 200)
            self.assertNotIn("ETag", self.put(path, first).headers)
        page = self.call("GET", "/problems/version-mismatch")
        self.assertEqual((page.status, "412" in page.body), (200, True))

    def test_other_calls_refuse_a_condition_instead_of_ignoring_it(self):
        self.put("/v1/stock/POST", {"quantity": 5})
        for header in ("If-Match", "If-None-Match"):
            for method, path, body in (("POST", "/v1/stock/POST/deduct", {"quantity": 1}),
                                       ("PUT", "/v1/strategies/stock", {"strategy": "mutex"})):
                answer = self.call(method, path, body, "post", **{header: "*"})
                self.assert_problem(answer, 422, "unknown-field")
                self.assertEqual(answer.body["field"], header)
            self.assertEqual(self.call("GET", "/v1/stock", **{header: '"v1"'}).status, 200)
        self.assertEqual(self.call("GET", "/v1/stock/POST").body["remaining"], 5)

    # ---- products

    def test_a_put_without_quantity_keeps_the_stock(self):
        new = self.put("/v1/stock/KEEP", {"title": "Mug"})
        self.assert_problem(new, 422, "invalid-field")
        self.assertEqual(new.body["field"], "quantity")
        self.assertIn("does not exist yet", new.body["expected"])
        self.put("/v1/stock/KEEP", {"quantity": 10})
        self.call("POST", "/v1/stock/KEEP/deduct", {"quantity": 3}, "keep-1")
        kept = self.put("/v1/stock/KEEP", {"title": "Mug", "price_cents": 5})
        self.assertEqual(kept.body, {"sku": "KEEP", "title": "Mug", "price_cents": 5, "remaining": 7, "version": 3})
        self.assertEqual(self.put("/v1/stock/KEEP", {}).body, kept.body)
        row = ledger(self.service.ports[0], "stock/KEEP")[-1]
        self.assertEqual((row["version"], row["delta"], row["reason"]), (3, 0, "adjust"))

    def test_a_put_is_idempotent_and_stock_may_be_large(self):
        for quantity in (1000001, 10**12):
            first = self.put("/v1/stock/LARGE", {"quantity": quantity})
            self.assertEqual((first.status // 100, first.body["remaining"]), (2, quantity))
            self.assertEqual(self.put("/v1/stock/LARGE", {"quantity": quantity}).body, first.body)
        self.assertEqual(len(ledger(self.service.ports[0], "stock/LARGE")), 2)
        self.assertEqual(self.call("POST", "/v1/stock/LARGE/deduct", {"quantity": 7}, "l-1").body["remaining"],
                         10**12 - 7)
        self.assertEqual(self.put("/v1/stock/LARGE", {"title": "Sand"}).body["remaining"], 10**12 - 7)
        for quantity in (10**12 + 1, -1, "5", None, 1.0):
            self.assert_problem(self.put("/v1/stock/LARGE", {"quantity": quantity}), 422, "invalid-field")
        for quantity in (1000001, 0):  # an operation moves at most a million
            refused = self.call("POST", "/v1/stock/LARGE/deduct", {"quantity": quantity}, "l-2")
            self.assert_problem(refused, 422, "invalid-field")

    def test_patch_changes_title_and_price_alone(self):
        def patch(body, **headers):
            return self.call("PATCH", "/v1/stock/PATCH", body, **headers)

        self.assert_problem(patch({"title": "Mug"}), 404, "not-found")
        self.assert_problem(patch({"title": "Mug"}, If_Match="*"), 412, "version-mismatch")
        self.put("/v1/stock/PATCH", {"quantity": 10})
        self.call("POST", "/v1/stock/PATCH/deduct", {"quantity": 3}, "patch-1")
        product = {"sku": "PATCH", "title": "Mug", "price_cents": None, "remaining": 7, "version": 3}
        self.assertEqual((patch({"title": "Mug"}).body, patch({"title": "Mug"}).status), (product, 200))
        product.update(price_cents=0, version=4)
        self.assertEqual(patch({"price_cents": 0}).body, product)
        self.assert_problem(patch({"title": "Cup"}, If_Match='"v3"'), 412, "version-mismatch")
        product.update(title="Cup", price_cents=9, version=5)
        self.assertEqual(patch({"title": "Cup", "price_cents": 9}, If_Match='"v4"').body, product)
        for body in ({"quantity": 5}, {"title": "x", "remaining": 1}, {"version": 4}):
            self.assert_problem(patch(body), 422, "unknown-field")
        for body in ({}, {"title": ""}, {"title": None}, {"price_cents": -1}, {"price_cents": "1"}):
            self.assert_problem(patch(body), 422, "invalid-field")
        self.assert_problem(self.call("PATCH", "/v1/stock/PATCH"), 415, "unsupported-media-type")
        self.assertEqual(self.call("GET", "/v1/stock/PATCH").body, product)

    # ---- lists

    def pages(self, path, limit, between=lambda: None):
        items, after = [], ""
        while after is not None:
            page = self.call("GET", f"{path}?limit={limit}" + (f"&after={after}" if after else "")).body
            self.assertLessEqual(len(page["items"]), limit)
            items += page["items"]
            after = page["next_after"]
            between()
        return items

    def test_each_noun_is_listed_as_one_get_tells_it(self):
        for noun, (path, put, _, operation, body) in NOUNS.items():
            base = path.removesuffix("/{}")
            self.assertEqual(self.call("GET", base).body, {"items": [], "next_after": None})
            names = ["10", "A", "_", "a", "b"]
            for i, name in enumerate(reversed(names)):
                self.put(path.format(name), put)
                for k in range(i):
                    self.call("POST", path.format(name) + operation, body, f"list-{noun}-{name}-{k}")
            alone = [self.call("GET", path.format(name)).body for name in names]
            self.assertEqual(self.call("GET", base).body, {"items": alone, "next_after": None})
            for limit in (1, 2, 5):
                self.assertEqual(self.pages(base, limit), alone)
            for query in ("limit=0", "limit=1001", "after=a/b", "after="):
                self.assert_problem(self.call("GET", f"{base}?{query}"), 422, "invalid-field")
            self.assert_problem(self.call("GET", f"{base}?limit=1&colour=red"), 422, "unknown-field")

    def test_a_cursor_misses_nothing_while_items_change(self):
        for noun, (path, put, other, operation, body) in NOUNS.items():
            stay = [f"s{i:02}" for i in range(12)]
            for name in stay:
                self.put(path.format(name), put)
            turn = iter(range(1000))

            def disturb(noun=noun, path=path, put=put, other=other, operation=operation, body=body):
                i = next(turn)
                self.put(path.format(f"r{i}"), put)  # in front of the cursor, and behind it
                self.put(path.format(f"s{(7 * i) % 12:02}x"), put)
                self.put(path.format(f"s{(5 * i) % 12:02}"), other)
                self.call("POST", path.format(f"s{(11 * i) % 12:02}") + operation, body, f"turn-{noun}-{i}")

            items = self.pages(path.removesuffix("/{}"), 3, disturb)
            names = [next(iter(item.values())) for item in items]
            self.assertEqual(names, sorted(set(names)))
            self.assertLessEqual(set(stay), set(names))

    # ---- names of users and orders

    def test_users_and_orders_have_the_names_that_the_shop_gave_them(self):
        for noun, (path, put, *_) in NOUNS.items():
            self.put(path.format("NAMES"), {"coupon": {"total": 9, "per_user_limit": 1},
                                            "lottery": {**WHEEL, "draws_per_user": 1}}.get(noun, put))
        names = ["ann.b+c@shop.example", "auth0|123", "gid://shop/Customer/1", "\\'\"%00?;--", "~" * 128]
        for i, name in enumerate(names):
            sold = self.call("POST", "/v1/stock/NAMES/deduct",
                             {"quantity": 1, "user_id": name, "order_id": name[::-1]}, f"names-{i}")
            self.assertEqual(sold.status, 200, sold)
            for path, refusal in (("/v1/coupons/NAMES/issue", "limit-reached"),
                                  ("/v1/lotteries/NAMES/draw", "already-drawn")):
                first = self.call("POST", path, {"user_id": name, "order_id": name}, f"{path}-{i}")
                self.assertEqual((first.status // 100, first.body.get("user_id")), (2, name), first)
                replay = self.call("POST", path, {"user_id": name, "order_id": name}, f"{path}-{i}")
                self.assertEqual((replay.body, "Idempotent-Replayed" in replay.headers), (first.body, True))
                again = self.call("POST", path, {"user_id": name}, f"{path}-{i}-again")
                self.assert_problem(again, 409, refusal)
            earned = self.call("POST", "/v1/points/names/earn", {"points": 1, "order_id": name}, f"earn-{i}")
            self.assertEqual(earned.status, 200, earned)
        rows = ledger(self.service.ports[0], "stock/NAMES")[1:]
        self.assertEqual([(row["user_id"], row["order_id"]) for row in rows],
                         [(name, name[::-1]) for name in names])


class OnMysql(OnSqlite):
    def make_database(self):
        return self.mysql()

    def race(self, held, request, then, meanwhile=()):
        """What a request is answered that waits for a lock. While it waits, `meanwhile` is executed by
        another session, then `then` by the one that holds the lock."""
        with held as execute:
            answers = []
            client = threading.Thread(target=lambda: answers.append(request()))
            client.start()
            await_true(self.database.waiting)
            for statement in meanwhile:
                self.database.sql(statement)
            for statement in then:
                execute(statement)
        client.join()
        return answers[0]

    def test_the_condition_is_decided_under_the_lock_of_the_write(self):
        changes = [
            "UPDATE counter SET version = 2 WHERE name = '{0}'",
            "INSERT INTO ledger (counter, version, delta, remaining, leg, fingerprint, reason, strategy, token,"
            " created_at) SELECT name, 2, 0, remaining, 0, 0, 'adjust', 'admin', 0, 1 FROM counter"
            " WHERE name = '{0}'"]
        for noun, (path, first, second, *_) in NOUNS.items():
            path = path.format("HELD")
            self.put(path, first)
            statements = [statement.format(f"{noun}/HELD") for statement in changes]
            answer = self.race(self.database.held(f"BEGIN; {statements[0]}"),
                               lambda p=path, s=second: self.put(p, s, if_match='"v1"'), then=statements[1:])
            self.assert_problem(answer, 412, "version-mismatch")
            self.assertEqual(self.put(path, second, if_match='"v2"').body["version"], 3)

    def test_what_another_has_created_between_two_reads_is_seen(self):
        """The service reads that there is no counter; before it reads the noun, both are created."""
        nouns = {"stock": ("product", "(sku) VALUES ('NEW')", ["stock/NEW"]),
                 "coupon": ("campaign", "(campaign, total, per_user_limit, limit_version)"
                            " VALUES ('NEW', 5, 9, 1)", ["coupon/NEW"]),
                 "lottery": ("lottery", "VALUES ('NEW', 9, 1, 1)", ["lottery/NEW", "prize/NEW/gold"])}
        for noun, (table, row, counters) in nouns.items():
            path, body, *_ = NOUNS[noun]
            created = [f"INSERT INTO counter VALUES ('{name}', 5, 1, 0);"
                       "INSERT INTO ledger (counter, version, delta, remaining, leg, fingerprint, reason, strategy,"
                       f" token, created_at) VALUES ('{name}', 1, 5, 5, 0, 0, 'opening', 'admin', 0, 1)"
                       for name in counters]
            created.append("INSERT INTO prize VALUES ('NEW', 'gold', 5, 1)")
            for condition, status in ({"if_none_match": "*"}, 412), ({}, 200):
                with self.subTest(noun, condition=condition):
                    answer = self.race(self.database.locked(table),
                                       lambda p=path.format("NEW"), b=body, c=condition: self.put(p, b, **c),
                                       meanwhile=created, then=[f"INSERT INTO {table} {row}"])
                    self.assertEqual(answer.status, status, answer)
                    if status == 200:
                        self.assertEqual((answer.body["version"], answer.body["remaining"]), (1, 5))
                self.database.sql("DELETE FROM prize; DELETE FROM counter; DELETE FROM ledger;"
                                f"DELETE FROM {table}")


if __name__ == "__main__":
    unittest.main()
