#!/usr/bin/env python3
"""A refusal is a read: its values must have been true at the version that it names."""

import threading
import unittest

from cluster import TestCase, await_true


class Refusals(TestCase):
    """Between reading the counter and reading the user's coupons or draws, another session gives the
    user the last one. A lock on the second table forces this order."""

    def setUp(self):
        self.database = self.mysql()
        self.servers = self.cluster(self.database.store)

    def refused(self, path, table, counter, reason, row):
        with self.database.locked(table) as run:
            answers = []
            client = threading.Thread(target=lambda: answers.append(
                self.servers.call("POST", path, {"user_id": "ann"}, "late")))
            client.start()
            await_true(self.database.waiting)  # the service has read the counter at version 1
            self.database.sql(
                f"BEGIN; UPDATE counter SET version = 2 WHERE name = '{counter}';"
                "INSERT INTO ledger (counter, version, delta, remaining, request_key, leg, fingerprint,"
                f" user_id, reason, strategy, token, created_at) SELECT name, 2, 0, remaining, 'early', 0,"
                f" 1, 'ann', '{reason}', 'conditional', 0, 1 FROM counter WHERE name = '{counter}'; COMMIT")
            run(f"INSERT INTO {table} {row}")
        client.join()
        return answers[0]

    def test_already_drawn(self):
        prizes = [{"prize": "gold", "quantity": 5, "weight": 1}]
        self.servers.call("PUT", "/v1/lotteries/W", {"draws_per_user": 1, "blank_weight": 1, "prizes": prizes})
        answer = self.refused("/v1/lotteries/W/draw", "draw", "lottery/W", "draw",
                              "(lottery, user_id, slot, version, created_at) VALUES ('W', 'ann', 1, 2, 1)")
        self.assert_problem(answer, 409, "already-drawn")
        self.assertEqual(answer.body["version"], 2)

    def test_limit_reached(self):
        self.servers.call("PUT", "/v1/coupons/C", {"total": 5, "per_user_limit": 1})
        answer = self.refused("/v1/coupons/C/issue", "coupon", "coupon/C", "issue",
                              "(campaign, user_id, slot, code, version, created_at)"
                              " VALUES ('C', 'ann', 1, 'code', 2, 1)")
        self.assert_problem(answer, 409, "limit-reached")
        self.assertEqual(answer.body["version"], 2)


if __name__ == "__main__":
    unittest.main()
