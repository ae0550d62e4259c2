#!/usr/bin/env python3
"""The HTTP API as api/openapi.yaml describes it: every call, replays, refusals, limits, tokens."""

import re
import socket
import unittest

from cluster import TestCase, ledger, need

NOT_NUMBERS = [0, -1, 1.0, "1", None, True, 1000001, 10**18, [1], {}]


class Embedded(TestCase):
    """On embedded SQLite, with default settings."""

    @classmethod
    def setUpClass(cls):
        cls.cluster_owner = cls("run_nothing")
        cls.service = cls.cluster_owner.cluster(cls.cluster_owner.sqlite().store)

    @classmethod
    def tearDownClass(cls):
        cls.cluster_owner.doCleanups()

    def run_nothing(self):
        """Exists so that the class can own a cluster."""

    def call(self, *arguments, **named):
        return self.service.call(*arguments, **named)

    def deduct(self, sku, key, quantity=1, **more):
        return self.call("POST", f"/v1/stock/{sku}/deduct", {"quantity": quantity, **more}, key)

    # ---- stock

    def test_stock_is_put_read_deducted_and_restocked(self):
        put = self.call("PUT", "/v1/stock/S-1", {"title": "Käse", "price_cents": 250, "quantity": 10})
        self.assertEqual(put.status, 201)
        product = {"sku": "S-1", "title": "Käse", "price_cents": 250, "remaining": 10, "version": 1}
        self.assertEqual(put.body, product)
        self.assertEqual(self.call("GET", "/v1/stock/S-1").body, product)
        sold = self.deduct("S-1", "s1-a", 3, user_id="ann", order_id="o-1")
        self.assertEqual((sold.status, sold.body), (200, {
            "sku": "S-1", "quantity": 3, "remaining": 7, "version": 2, "strategy": "conditional"}))
        self.assertNotIn("Idempotent-Replayed", sold.headers)
        more = self.call("POST", "/v1/stock/S-1/restock", {"quantity": 5}, "s1-b")
        self.assertEqual((more.status, more.body["remaining"], more.body["version"]), (200, 12, 3))
        again = self.call("PUT", "/v1/stock/S-1", {"quantity": 4})
        self.assertEqual((again.status, again.body["title"], again.body["remaining"]), (200, "Käse", 4))
        rows = ledger(self.service.ports[0], "stock/S-1")
        self.assertEqual([(r["version"], r["delta"], r["remaining"], r["reason"]) for r in rows],
                         [(1, 10, 10, "opening"), (2, -3, 7, "deduct"), (3, 5, 12, "restock"),
                          (4, -8, 4, "adjust")])
        self.assertEqual((rows[1]["request_key"], rows[1]["user_id"], rows[1]["order_id"]),
                         ("s1-a", "ann", "o-1"))

    def test_stock_is_listed_in_pages(self):
        for sku in ("L-b", "L-a", "L-c"):
            self.call("PUT", f"/v1/stock/{sku}", {"quantity": 1})
        page = self.call("GET", "/v1/stock?after=L&limit=2").body
        self.assertEqual([item["sku"] for item in page["items"]], ["L-a", "L-b"])
        self.assertEqual(page["next_after"], "L-b")
        self.assert_problem(self.call("GET", "/v1/stock?limit=0"), 422, "invalid-field")
        self.assert_problem(self.call("GET", "/v1/stock?colour=red"), 422, "unknown-field")

    def test_names_are_compared_byte_by_byte(self):
        for sku in ("CASE", "case"):
            self.assertEqual(self.call("PUT", f"/v1/stock/{sku}", {"quantity": 1}).status, 201)

    def test_sold_out_says_what_is_left(self):
        self.call("PUT", "/v1/stock/OUT", {"quantity": 2})
        refused = self.deduct("OUT", "out-1", 3)
        self.assert_problem(refused, 409, "out-of-stock")
        self.assertEqual((refused.body["remaining"], refused.body["version"]), (2, 1))
        # A refusal is not recorded: the same key may succeed later.
        self.call("POST", "/v1/stock/OUT/restock", {"quantity": 1}, "out-2")
        self.assertEqual(self.deduct("OUT", "out-1", 3).body["remaining"], 0)

    def test_replay_gives_the_first_result(self):
        self.call("PUT", "/v1/stock/AGAIN", {"quantity": 5})
        first = self.deduct("AGAIN", "again-1", 2)
        self.deduct("AGAIN", "again-2", 1)
        second = self.deduct("AGAIN", "again-1", 2)
        self.assertEqual((second.status, second.body), (200, first.body))
        self.assertEqual(second.headers["Idempotent-Replayed"], "true")
        quoted = self.deduct("AGAIN", '"again-1"', 2)
        self.assertEqual(quoted.headers["Idempotent-Replayed"], "true")
        self.assertEqual(self.call("GET", "/v1/stock/AGAIN").body["remaining"], 2)

    def test_a_key_means_one_operation(self):
        self.call("PUT", "/v1/stock/KEY", {"quantity": 5})
        self.call("PUT", "/v1/stock/KEY2", {"quantity": 5})
        self.deduct("KEY", "key-1", 2)
        self.assert_problem(self.deduct("KEY", "key-1", 3), 422, "idempotency-mismatch")
        self.assert_problem(self.deduct("KEY", "key-1", 2, user_id="x"), 422, "idempotency-mismatch")
        self.assert_problem(self.deduct("KEY2", "key-1", 2), 422, "idempotency-mismatch")

    def test_key_is_needed_and_checked(self):
        self.assert_problem(self.deduct("KEY", None), 400, "idempotency-key-missing")
        for key in ("", "x" * 65, "two words", '"open'):
            self.assertEqual(self.deduct("KEY", key).status, 400, key)

    def test_numbers_are_whole_and_bounded(self):
        self.call("PUT", "/v1/stock/NUM", {"quantity": 5})
        for quantity in NOT_NUMBERS:
            answer = self.deduct("NUM", "num", quantity)
            self.assert_problem(answer, 422, "invalid-field")
            self.assertEqual(answer.body["field"], "quantity")
            self.assertIn("1000000", answer.body["expected"])
        # The parser fails before it knows the field, so the problem names none.
        self.assert_problem(self.deduct("NUM", "num", 10**30), 422, "invalid-field")
        self.assert_problem(self.call("POST", "/v1/stock/NUM/deduct", {}, "num"), 422, "invalid-field")

    def test_unknown_fields_are_refused(self):
        for field in ("price", "version", "token", "remaining"):
            answer = self.deduct("NUM", "unknown", 1, **{field: 1})
            self.assert_problem(answer, 422, "unknown-field")
            self.assertEqual(answer.body["field"], field)

    def test_ids_are_checked(self):
        for sku in ("a%20b", "a%0d%0ab", "%22", "x" * 65, "a%2fb", "%c3%a4", "a*b"):
            self.assertIn(self.call("GET", f"/v1/stock/{sku}").status, (400, 404, 422), sku)
        for user in ("", "a b", "x" * 129, "a\n", "a\x7f", "ä", 5, None, ["a"]):
            self.assertEqual(self.deduct("NUM", "ids", 1, user_id=user).status, 422, user)
        self.assert_problem(self.call("GET", "/v1/stock/NOBODY"), 404, "not-found")
        self.assert_problem(self.deduct("NOBODY", "nobody"), 404, "not-found")

    def test_bodies_are_one_json_object(self):
        path = "/v1/stock/NUM/deduct"
        deep = '{"quantity":' + "[" * 20 + "]" * 20 + "}"
        for body in ("", "{", "[]", "5", '{"quantity":1}x', '\ufeff{"quantity":1}',
                     '{"quantity":1,"quantity":1}', deep):
            answer = self.call("POST", path, body.encode(), "bodies")
            self.assert_problem(answer, 400, "malformed-request")
        large = self.call("POST", path, b" " * 70000 + b'{"quantity":1}', "bodies")
        self.assert_problem(large, 413, "body-too-large")
        for media in ("text/plain", "application/xml"):
            answer = self.call("POST", path, '{"quantity":1}', "bodies", Content_Type=media)
            self.assert_problem(answer, 415, "unsupported-media-type")
        self.assertNotEqual(self.call("POST", path, '{"quantity":1}', "bodies-media",
                                      Content_Type="application/json; charset=utf-8").status, 415)

    def test_paths_and_methods(self):
        self.assert_problem(self.call("GET", "/v1/nothing"), 404, "not-found")
        wrong = self.call("DELETE", "/v1/stock/NUM")
        self.assert_problem(wrong, 405, "method-not-allowed")
        self.assertEqual({m.strip() for m in wrong.headers["Allow"].split(",")}, {"GET", "HEAD", "PUT", "PATCH"})
        self.assertEqual(self.call("HEAD", "/v1/stock/NOBODY").status, 404)

    # ---- coupons and lotteries

    def test_coupons(self):
        put = self.call("PUT", "/v1/coupons/C-1", {"total": 3, "per_user_limit": 2})
        self.assertEqual((put.status, put.body), (201, {
            "campaign": "C-1", "total": 3, "per_user_limit": 2, "issued": 0, "remaining": 3,
            "discount_percent": 0, "discount_cents": 0, "min_cents": 0, "valid_from_ms": 0, "valid_until_ms": 0,
            "uses_per_code": 1, "version": 1}))

        def issue(user, key):
            return self.call("POST", "/v1/coupons/C-1/issue", {"user_id": user}, key)

        first = issue("ann", "c1-1")
        self.assertEqual(first.status, 201)
        self.assertEqual((first.body["campaign"], first.body["user_id"], first.body["remaining"],
                          first.body["version"]), ("C-1", "ann", 2, 2))
        self.assertGreaterEqual(len(first.body["code"]), 17)  # 80 bits and a check character
        replayed = issue("ann", "c1-1")
        self.assertEqual((replayed.status, replayed.body), (201, first.body))
        self.assertEqual(issue("ann", "c1-2").status, 201)
        self.assert_problem(issue("ann", "c1-3"), 409, "limit-reached")
        self.assertEqual(issue("bob", "c1-4").status, 201)
        exhausted = issue("cid", "c1-5")
        self.assert_problem(exhausted, 409, "coupon-exhausted")
        self.assertEqual((exhausted.body["remaining"], exhausted.body["version"]), (0, 4))
        self.assertEqual(self.call("GET", "/v1/coupons/C-1").body["issued"], 3)
        less = self.call("PUT", "/v1/coupons/C-1", {"total": 2, "per_user_limit": 2})
        self.assert_problem(less, 422, "invalid-field")
        more = self.call("PUT", "/v1/coupons/C-1", {"total": 4, "per_user_limit": 2})
        self.assertEqual((more.status, more.body["remaining"]), (200, 1))
        self.assertEqual(issue("cid", "c1-5").status, 201)
        self.assert_problem(self.call("POST", "/v1/coupons/NONE/issue", {"user_id": "ann"}, "c1-6"),
                            404, "not-found")
        self.assert_problem(self.call("POST", "/v1/coupons/C-1/issue", {}, "c1-7"), 422, "invalid-field")

    def test_lotteries(self):
        wheel = {"draws_per_user": 2, "blank_weight": 0, "prizes": [
            {"prize": "silver", "quantity": 2, "weight": 1}, {"prize": "gold", "quantity": 1, "weight": 1}]}
        put = self.call("PUT", "/v1/lotteries/W-1", wheel)
        self.assertEqual(put.status, 201)
        self.assertEqual([(p["prize"], p["quantity"], p["won"]) for p in put.body["prizes"]],
                         [("gold", 1, 0), ("silver", 2, 0)])

        def draw(user, key):
            return self.call("POST", "/v1/lotteries/W-1/draw", {"user_id": user}, key)

        first = draw("ann", "w1-1")
        self.assertEqual(first.status, 200)
        self.assertEqual(draw("ann", "w1-1").body, first.body)
        self.assertEqual(draw("ann", "w1-2").status, 200)
        self.assert_problem(draw("ann", "w1-3"), 409, "already-drawn")
        # An exhausted prize's weight goes to the blank, even one of weight 0.
        drawn = [first] + [draw(f"u{i}", f"w1-u{i}") for i in range(20)]
        prizes = [d.body["prize"] for d in drawn if d.status == 200]
        self.assertIn(None, prizes)
        now = self.call("GET", "/v1/lotteries/W-1").body
        self.assertLessEqual(sum(p["won"] for p in now["prizes"]), 3)
        twice = dict(wheel, prizes=[wheel["prizes"][0]] * 2)
        self.assert_problem(self.call("PUT", "/v1/lotteries/W-2", twice), 422, "invalid-field")

    def test_a_lottery_has_at_most_64_prizes(self):
        def put(first, n):
            prizes = [{"prize": f"p{i}", "quantity": 1, "weight": 1} for i in range(first, first + n)]
            return self.call("PUT", "/v1/lotteries/W-3",
                             {"draws_per_user": 1, "blank_weight": 0, "prizes": prizes})

        self.assert_problem(put(0, 65), 422, "invalid-field")
        self.assertEqual(put(0, 64).status, 201)
        answer = put(64, 1)  # the earlier ones stay, with weight 0
        self.assert_problem(answer, 422, "invalid-field")
        self.assertEqual(answer.body["field"], "prizes")
        self.assertIn("at most 64", answer.body["expected"])

    # ---- points

    def points(self, path, body, key):
        return self.call("POST", f"/v1/points/{path}", body, key)

    def test_points_are_earned_spent_and_transferred(self):
        self.assert_problem(self.call("GET", "/v1/points/p-ann"), 404, "not-found")
        self.assert_problem(self.points("p-ann/spend", {"points": 1}, "p-0"), 404, "not-found")
        earned = self.points("p-ann/earn", {"points": 100, "order_id": "o-1"}, "p-1")
        self.assertEqual((earned.status, earned.body), (200, {
            "user_id": "p-ann", "points": 100, "remaining": 100, "version": 1, "strategy": "conditional"}))
        twice = self.points("p-ann/earn", {"points": 100, "order_id": "o-1"}, "p-1b")
        self.assert_problem(twice, 409, "already-earned")
        self.assertEqual((twice.body["remaining"], twice.body["version"]), (100, 1))
        again = self.points("p-ann/earn", {"points": 100, "order_id": "o-1"}, "p-1")
        self.assertEqual((again.body, again.headers["Idempotent-Replayed"]), (earned.body, "true"))
        self.assertEqual(self.points("p-ann/spend", {"points": 30}, "p-2").body["remaining"], 70)
        refused = self.points("p-ann/spend", {"points": 71}, "p-3")
        self.assert_problem(refused, 409, "not-enough-points")
        self.assertEqual((refused.body["remaining"], refused.body["version"]), (70, 2))
        moved = {"from": "p-ann", "to": "p-bob", "points": 20}
        transfer = self.points("transfers", moved, "p-4")
        self.assertEqual((transfer.status, transfer.body), (200, {
            **moved, "strategy": "conditional",
            "legs": [{"counter": "points/p-ann", "remaining": 50, "version": 3},
                     {"counter": "points/p-bob", "remaining": 20, "version": 1}]}))
        again = self.points("transfers", moved, "p-4")
        self.assertEqual((again.body, again.headers["Idempotent-Replayed"]), (transfer.body, "true"))
        for changed in ({"points": 21}, {"to": "p-cleo"}, {"from": "p-bob", "to": "p-ann"}):
            self.assert_problem(self.points("transfers", {**moved, **changed}, "p-4"), 422, "idempotency-mismatch")
        self.assert_problem(self.points("transfers", {**moved, "points": 51}, "p-5"), 409, "not-enough-points")
        self.assert_problem(self.points("transfers", {**moved, "from": "p-unknown"}, "p-6"), 404, "not-found")
        itself = self.points("transfers", {**moved, "to": "p-ann"}, "p-7")
        self.assert_problem(itself, 422, "invalid-field")
        self.assertEqual(itself.body["field"], "to")
        self.assertEqual(self.call("GET", "/v1/points/p-bob").body,
                         {"user_id": "p-bob", "points": 20, "version": 1})
        legs = [(row["leg"], row["delta"], row["remaining"], row["request_key"])
                for name in ("p-ann", "p-bob") for row in ledger(self.service.ports[0], f"points/{name}")
                if row["reason"] == "transfer"]
        self.assertEqual(legs, [(0, -20, 50, "p-4"), (1, 20, 20, "p-4")])

    # ---- other calls

    def test_strategies_are_listed_and_set(self):
        listed = self.call("GET", "/v1/strategies").body
        by_name = {s["name"]: s for s in listed["strategies"]}
        self.assertEqual(listed["endpoints"]["lottery"], "conditional")
        self.assertFalse(by_name["none"]["usable"])
        self.assertIn("lab", by_name["none"]["why_not"])
        self.assertIn("redis", by_name["redis-lock"]["why_not"])
        self.call("PUT", "/v1/stock/STRAT", {"quantity": 9})
        try:
            for i, name in enumerate(("optimistic", "row-lock", "lock-table", "conditional")):
                put = self.call("PUT", "/v1/strategies/stock", {"strategy": name})
                self.assertEqual((put.status, put.body["strategy"]), (200, name))
                sold = self.deduct("STRAT", f"strat-{i}")
                self.assertEqual((sold.body["strategy"], sold.body["version"]), (name, i + 2))
        finally:
            self.call("PUT", "/v1/strategies/stock", {"strategy": "conditional"})
        # A replay names the strategy of the first execution.
        self.assertEqual(self.deduct("STRAT", "strat-0").body["strategy"], "optimistic")
        # Reservations change the same counters under another strategy, which mutex does not stand.
        for name in ("mutex", "none", "redis-lock", "hope"):
            refused = self.call("PUT", "/v1/strategies/stock", {"strategy": name})
            self.assert_problem(refused, 422, "invalid-field")
        unknown = self.call("PUT", "/v1/strategies/hope", {"strategy": "mutex"})
        self.assert_problem(unknown, 404, "not-found")
        header = self.call("POST", "/v1/stock/STRAT/deduct", {"quantity": 1}, "strat-x",
                           X_Holdfast_Strategy="mutex")
        self.assert_problem(header, 403, "forbidden")

    def test_health_metrics_and_documents(self):
        self.assertEqual(self.call("GET", "/livez").body, {"status": "alive"})
        ready = self.call("GET", "/readyz")
        self.assertEqual((ready.status, ready.body["ready"]), (200, True))
        self.assertTrue(ready.body["dependencies"]["database"]["ok"])
        self.call("PUT", "/v1/stock/METRIC", {"quantity": 9})
        self.deduct("METRIC", "metric-1")
        metrics = self.call("GET", "/metrics")
        self.assertTrue(metrics.headers["Content-Type"].startswith("text/plain; version=0.0.4"))
        for series in ('holdfast_http_requests_total{operation="deduct",status="200"}',
                       'holdfast_batch_size_count{endpoint="stock",strategy="conditional"}',
                       "process_resident_memory_bytes", "holdfast_build_info"):
            self.assertIn(series, metrics.body)
        self.assertIn("openapi: 3.1", self.call("GET", "/openapi.yaml").body)
        problem = self.call("GET", "/problems/out-of-stock")
        self.assertEqual((problem.status, "409" in problem.body), (200, True))
        self.assertEqual(self.call("GET", "/problems/nothing").status, 404)

    def test_ledger_is_read_in_pages(self):
        self.call("PUT", "/v1/stock/PAGE", {"quantity": 9})
        for i in range(4):
            self.deduct("PAGE", f"page-{i}")
        page = self.call("GET", "/v1/ledger?counter=stock/PAGE&after_version=1&limit=2").body
        self.assertEqual([row["version"] for row in page["rows"]], [2, 3])
        self.assertEqual(page["next_after_version"], 3)
        self.assert_problem(self.call("GET", "/v1/ledger"), 422, "invalid-field")

    def test_what_can_be_read_in_two_ways_is_refused(self):
        smuggled = b"GET /livez HTTP/1.1\r\nHost: b\r\n\r\n"
        post = b"POST /v1/stock/NUM/deduct HTTP/1.1\r\nHost: a\r\nIdempotency-Key: smuggled\r\n" \
               b"Content-Type: application/json\r\n"
        for head in (b"Host: b\r\nContent-Length: 0\r\n", b"Content-Length: 0\r\nContent-Length: 5\r\n",
                     b"Content-Length: 14\r\nTransfer-Encoding: chunked\r\n",
                     b"Transfer-Encoding: chunked, identity\r\n", b"X : a\r\nContent-Length: 0\r\n"):
            answers = self.raw(post + head + b"\r\n" + b'0\r\n\r\n' + smuggled)
            self.assertIn(answers.split(b" ", 2)[1], (b"400", b"501"), head)
            self.assertEqual(len(re.findall(rb"HTTP/1\.1 \d{3} ", answers)), 1, (head, answers))

    def raw(self, text):
        """Everything that the server sends until it closes the connection."""
        with socket.create_connection(("127.0.0.1", self.service.ports[0]), timeout=10) as connection:
            connection.sendall(text)
            answer = b""
            while piece := connection.recv(65536):
                answer += piece
            return answer


class Tokens(TestCase):
    def test_tokens(self):
        service = self.cluster(self.sqlite().store, auth__admin_token="admin-1", auth__client_token="client-1")
        admin, client = {"Authorization": "Bearer admin-1"}, {"Authorization": "Bearer client-1"}
        body = {"quantity": 5}
        self.assert_problem(service.call("PUT", "/v1/stock/A", body), 401, "unauthorized")
        self.assert_problem(service.call("PUT", "/v1/stock/A", body, **client), 403, "forbidden")
        self.assertEqual(service.call("PUT", "/v1/stock/A", body, **admin).status, 201)
        self.assert_problem(service.call("PATCH", "/v1/stock/A", {"title": "x"}, **client), 403, "forbidden")
        self.assert_problem(service.call("GET", "/v1/stock/A"), 401, "unauthorized")
        wrong = {"Authorization": "Bearer client-2"}
        self.assert_problem(service.call("GET", "/v1/stock/A", **wrong), 401, "unauthorized")
        for headers in (client, admin):
            self.assertEqual(service.call("GET", "/v1/stock/A", **headers).status, 200)
        for path in ("/v1/ledger?counter=stock/A",):
            self.assert_problem(service.call("GET", path, **client), 403, "forbidden")
        for path in ("/livez", "/readyz", "/metrics", "/openapi.yaml", "/problems/forbidden"):
            self.assertEqual(service.call("GET", path).status, 200, path)


class Laboratory(TestCase):
    def test_header_chooses_the_strategy(self):
        service = self.cluster(self.sqlite().store, lab="on")
        service.call("PUT", "/v1/stock/LAB", {"quantity": 9})
        for i, name in enumerate(("none", "mutex", "optimistic", "row-lock")):
            answer = service.call("POST", "/v1/stock/LAB/deduct", {"quantity": 1}, f"lab-{i}",
                                  X_Holdfast_Strategy=name)
            self.assertEqual((answer.status, answer.body["strategy"]), (200, name))
        wrong = service.call("POST", "/v1/stock/LAB/deduct", {"quantity": 1}, "lab-x",
                             X_Holdfast_Strategy="hope")
        self.assert_problem(wrong, 422, "invalid-field")


class Servers(TestCase):
    """With lock servers and three instances."""

    def test_three_instances_share_everything(self):
        store = self.mysql().store
        cluster = self.cluster(store, 3, redis=need("HOLDFAST_TEST_REDIS"),
                               zookeeper=need("HOLDFAST_TEST_ZOOKEEPER"))
        cluster.call("PUT", "/v1/stock/ALL", {"quantity": 100})
        version = 1
        for name in ("optimistic", "row-lock", "lock-table", "redis-lock", "zookeeper-lock", "conditional"):
            for i, instance in enumerate(cluster.instances):
                put = instance.call("PUT", "/v1/strategies/stock", {"strategy": name})
                self.assertEqual(put.status, 200, put)
                answer = instance.call("POST", "/v1/stock/ALL/deduct", {"quantity": 1}, f"{name}-{i}")
                version += 1
                self.assertEqual((answer.status, answer.body["version"], answer.body["strategy"]),
                                 (200, version, name))
                other = cluster.instances[i - 1]
                replay = other.call("POST", "/v1/stock/ALL/deduct", {"quantity": 1}, f"{name}-{i}")
                self.assertEqual(replay.body, answer.body)
                self.assertEqual(replay.headers["Idempotent-Replayed"], "true")
        self.assert_reconciles(store)

    def test_a_missing_lock_server_is_refused_honestly(self):
        store = self.mysql().store
        service = self.cluster(store, 1, redis="127.0.0.1:1", stock__strategy="redis-lock")
        service.call("PUT", "/v1/stock/DOWN", {"quantity": 1})
        answer = service.call("POST", "/v1/stock/DOWN/deduct", {"quantity": 1}, "down-1")
        self.assert_problem(answer, 503, "backend-unavailable")
        self.assertIn("Retry-After", answer.headers)
        ready = service.call("GET", "/readyz")
        self.assertEqual((ready.status, ready.body["dependencies"]["redis-lock"]["ok"]), (200, False))
        self.assertEqual(service.call("GET", "/livez").status, 200)


if __name__ == "__main__":
    unittest.main()
