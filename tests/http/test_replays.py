#!/usr/bin/env python3
"""Repeated requests beside new ones: what they cost the batch that they share.

A session locks the product's row, so that one deduct waits in the database and every later request waits in
the lane. They make one batch when the session ends.
"""

import unittest
from concurrent.futures import ThreadPoolExecutor

from cluster import TestCase, await_true

LOCK = "START TRANSACTION; UPDATE counter SET remaining = remaining WHERE name = 'stock/S'"
REPEATED, NEW = 20, 5


class Replays(TestCase):
    def setUp(self):
        self.database = self.mysql()
        self.servers = self.cluster(self.database.store)
        self.assertEqual(self.servers.call("PUT", "/v1/stock/S", {"quantity": 1000}).status, 201)

    def deduct(self, key):
        return self.servers.call("POST", "/v1/stock/S/deduct", {"quantity": 1}, key)

    def total(self, name):
        return sum(value for (series, _), value in self.servers.instances[0].metrics() if series == name)

    def queue(self, keys):
        """Sends these requests while a deduct holds the lane. Returns the answers, and by how much these two
        metrics have grown: batches, and attempts that were repeated."""
        names = "holdfast_batch_size_count", "holdfast_section_retries_total"
        with ThreadPoolExecutor(len(keys) + 1) as threads:
            with self.database.held(LOCK):
                holder = threads.submit(self.deduct, f"holder-{keys[-1]}")
                await_true(self.database.waiting)
                before = [self.total(name) for name in names]
                answers = [threads.submit(self.deduct, key) for key in keys]
                await_true(lambda: self.total("holdfast_queue_depth") > len(keys))
            self.assertEqual(holder.result().status, 200)
            return [answer.result() for answer in answers], [self.total(name) - was for name, was in zip(names, before)]

    def check(self, answers, n_replays):
        self.assertEqual({answer.status for answer in answers}, {200})
        replays = [answer for answer in answers if answer.headers.get("Idempotent-Replayed") == "true"]
        self.assertEqual(len(replays), n_replays)

    def test_one_key_repeated(self):
        """Is found before the save, so that no transaction is repeated; all repeats together."""
        first = self.deduct("again")
        answers, (batches, retries) = self.queue(["again"] * REPEATED + [f"new-{i}" for i in range(NEW)])
        self.check(answers, REPEATED)
        self.assertEqual({answer.body["version"] for answer in answers[:REPEATED]}, {first.body["version"]})
        self.assertEqual((batches, retries), (1, 0))
        self.assert_reconciles(self.database.store)

    def test_a_first_request_repeated(self):
        """One has the effect, and the others get its answer from one look-up behind it."""
        answers, (batches, retries) = self.queue(["first"] * REPEATED)
        self.check(answers, REPEATED - 1)
        self.assertEqual(len({answer.body["version"] for answer in answers}), 1)
        self.assertEqual((batches, retries), (1, 0))
        self.assert_reconciles(self.database.store)

    def test_many_keys_repeated(self):
        keys = [f"again-{i}" for i in range(REPEATED)]
        versions = [self.deduct(key).body["version"] for key in keys]
        answers, (batches, retries) = self.queue(keys + [f"new-{i}" for i in range(NEW)])
        self.check(answers, REPEATED)
        self.assertEqual([answer.body["version"] for answer in answers[:REPEATED]], versions)
        self.assertEqual((batches, retries), (1, 0))
        self.assert_reconciles(self.database.store)

    def test_keys_that_another_instance_has_met(self):
        """Are found when the save collides with them: one repeated transaction, whatever their number."""
        other = self.cluster(self.database.store)
        keys = [f"other-{i}" for i in range(REPEATED)]
        for key in keys:
            self.assertEqual(other.call("POST", "/v1/stock/S/deduct", {"quantity": 1}, key).status, 200)
        answers, (batches, retries) = self.queue(keys + [f"new-{i}" for i in range(NEW)])
        self.check(answers, REPEATED)
        self.assertEqual((batches, retries), (1, 1))
        self.assert_reconciles(self.database.store)


if __name__ == "__main__":
    unittest.main()
