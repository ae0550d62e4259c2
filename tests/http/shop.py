"""Helpers for the tests of orders and codes: a service that the tests of a class share, and its calls."""

import itertools

from cluster import TestCase, at_once


class ShopCase(TestCase):
    """Subclasses choose the database. Each test uses names of its own."""

    @classmethod
    def setUpClass(cls):
        cls.owner = cls("run_nothing")
        cls.database = cls.owner.make_database()
        cls.service = cls.owner.cluster(cls.database.store)
        cls.numbers = itertools.count()

    @classmethod
    def tearDownClass(cls):
        cls.owner.doCleanups()

    def tearDown(self):
        self.assert_reconciles(self.service.store)

    def run_nothing(self):
        """Exists so that the class can own a cluster."""

    def make_database(self):
        return self.sqlite()

    # ---- calls

    def call(self, *arguments, **named):
        return self.service.call(*arguments, **named)

    def key(self):
        return f"key-{next(self.numbers)}"

    def name(self, prefix):
        return f"{prefix}-{next(self.numbers)}"

    def post(self, path, body, key=None):
        return self.call("POST", path, body, key or self.key())

    def put(self, quantity, price_cents=1000):
        """The sku of a new product."""
        sku = self.name("sku")
        put = self.call("PUT", f"/v1/stock/{sku}", {"quantity": quantity, "price_cents": price_cents})
        self.assertEqual(put.status, 201, put)
        return sku

    def user(self, points=0):
        user = self.name("user")
        if points:
            self.assertEqual(self.post(f"/v1/points/{user}/earn", {"points": points}).status, 200)
        return user

    def campaign(self, **terms):
        campaign = self.name("campaign")
        put = self.call("PUT", f"/v1/coupons/{campaign}", {"total": 1000, "per_user_limit": 100, **terms})
        self.assertEqual(put.status, 201, put)
        return campaign

    def code(self, user, campaign=None, **terms):
        """A new code of the user."""
        issued = self.post(f"/v1/coupons/{campaign or self.campaign(**terms)}/issue", {"user_id": user})
        self.assertEqual(issued.status, 201, issued)
        return issued.body["code"]

    def place(self, user, *lines, key=None, **body):
        """Places an order of (sku, quantity) lines."""
        if lines:
            body["lines"] = [{"sku": sku, "quantity": quantity} for sku, quantity in lines]
        return self.post("/v1/orders", {"user_id": user, **body}, key)

    def placed(self, *arguments, **named):
        answer = self.place(*arguments, **named)
        self.assertEqual(answer.status, 201, answer)
        return answer.body

    def reserve(self, user, *lines, ttl_s=600):
        body = {"lines": [{"sku": sku, "quantity": quantity} for sku, quantity in lines], "ttl_s": ttl_s}
        answer = self.post("/v1/reservations", {"user_id": user, **body} if user else body)
        self.assertEqual(answer.status, 201, answer)
        return answer.body["reservation_id"]

    def refund(self, order, *lines, key=None, **body):
        """Refunds (line, quantity) or (line, quantity, restock)."""
        if lines:
            body["lines"] = [dict(zip(("line", "quantity", "restock"), line)) for line in lines]
        return self.post(f"/v1/orders/{order}/refunds", body, key)

    def cancel(self, order, key=None):
        return self.post(f"/v1/orders/{order}/cancel", {}, key)

    def order(self, order):
        return self.call("GET", f"/v1/orders/{order}").body

    def stock(self, sku):
        return self.call("GET", f"/v1/stock/{sku}").body["remaining"]

    def points(self, user):
        return self.call("GET", f"/v1/points/{user}").body["points"]

    def uses(self, code):
        return self.call("GET", f"/v1/coupons/codes/{code}").body["uses_left"]

    # ---- assertions

    def assert_field(self, answer, field, status=422, slug="invalid-field"):
        self.assert_problem(answer, status, slug)
        self.assertEqual(answer.body.get("field"), field, answer)

    def assert_replayed(self, again, first):
        self.assertEqual((again.status, again.body), (first.status, first.body))
        self.assertEqual(again.headers["Idempotent-Replayed"], "true")

    def assert_failed(self, answer, slug, *counters):
        """A 409 of this type that names exactly these counters."""
        self.assert_problem(answer, 409, slug)
        self.assertEqual([leg["counter"] for leg in answer.body["failed"]], list(counters), answer)

    def twice_each(self, *requests):
        """Sends each request (path, body) twice with one key, all at once. One answer for each request. Both
        are accepted, with the same answer, or both are refused."""
        keyed = [(path, body, self.key()) for path, body in requests]
        answers = at_once(*[lambda r=request: self.post(*r) for request in keyed * 2])
        for first, second in zip(answers[:len(keyed)], answers[len(keyed):]):
            self.assertEqual(first.status, second.status, (first, second))
            self.assertEqual(first.body == second.body or first.status == 409, True, (first, second))
        return answers[:len(keyed)]
