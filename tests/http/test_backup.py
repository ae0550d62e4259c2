#!/usr/bin/env python3
"""Backup and restore with deploy/backup.sh and deploy/restore.sh, as an operator runs them. The backup
is taken under load and restored into a new database, which is then checked and served."""

import gzip
import os
import subprocess
import tempfile
import time
import unittest

import cluster
from cluster import ROOT, TestCase, clean_environment, ledger
from loader import Running, urls

SKUS = 3


def script(name, store, file):
    environment = dict(clean_environment(), HOLDFAST_STORE=store, HOLDFAST=cluster.BINARY)
    return subprocess.run([os.path.join(ROOT, "deploy", name), file], env=environment,
                          capture_output=True, text=True, timeout=60, check=False)


class Backup(TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory(prefix="holdfast-backup-")
        self.addCleanup(directory.cleanup)
        self.file = os.path.join(directory.name, "backup")

    def ledgers(self, service):
        """Every product's ledger and counter."""
        found = {}
        for i in range(1, SKUS + 1):
            sku = f"load-bk-{i}"
            product = service.call("GET", f"/v1/stock/{sku}").body
            found[sku] = (ledger(service.ports[0], f"stock/{sku}"), product)
        return found

    def back_up_under_load(self, service):
        """The state just before the backup, and the state at the end."""
        with Running(*urls(service.ports), "--scenario", "mixed", "--run", "bk", "--skus", SKUS,
                     "--connections", 16, "--duration", "60s", "--quiet") as load:
            time.sleep(0.7)
            before = self.ledgers(service)
            done = script("backup.sh", service.store, self.file)
            time.sleep(0.3)
            result = load.end()
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(result.report["outcomes"]["error"], 0, result)
        self.assertEqual(result.report["check"]["violations"], 0, result)
        return before, self.ledgers(service)

    def assert_moment_between(self, restored, before, whole):
        """Has all earlier rows, not all later rows, and no gap."""
        rows = 0
        for sku, (all_rows, _) in whole.items():
            kept, product = restored[sku]
            # The restored service expires old reservations at once.
            same = sum(1 for one, other in zip(kept, all_rows) if one == other)
            self.assertEqual({row["reason"] for row in kept[same:]} - {"expire"}, set(), sku)
            self.assertEqual(kept[:same], all_rows[:same])
            self.assertGreaterEqual(same, len(before[sku][0]))
            self.assertEqual((product["version"], product["remaining"]),
                             (kept[-1]["version"], kept[-1]["remaining"]), sku)
            rows += len(all_rows) - same
        self.assertGreater(rows, 0, "the load had ended before the backup was taken")

    def round_trip(self, database, target, instances):
        service = self.cluster(database.store, instances)
        before, whole = self.back_up_under_load(service)
        done = script("restore.sh", target.store, self.file)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertRegex(done.stdout, r"clean: 0 findings in [1-9]\d* counters, [1-9]\d* ledger rows, "
                                      r"[1-9]\d* coupons, [1-9]\d* draws")
        again = self.cluster(target.store)
        restored = self.ledgers(again)
        self.assert_moment_between(restored, before, whole)
        self.assert_serves(again, restored)
        self.assert_refused(target.store, "already")

    def assert_serves(self, service, restored):
        """Used keys still replay, and versions continue without a gap."""
        rows, product = restored["load-bk-1"]
        last = [row for row in rows if row["reason"] == "deduct"][-1]
        for key, replayed, remaining in ((last["request_key"], "true", last["remaining"]),
                                         ("new", None, product["remaining"] - 1)):
            done = service.call("POST", "/v1/stock/load-bk-1/deduct",
                                {"quantity": -last["delta"], "user_id": last["user_id"]}, key=key)
            self.assertEqual((done.status, done.headers["Idempotent-Replayed"], done.body["remaining"]),
                             (200, replayed, remaining), done)

    def assert_refused(self, store, why):
        done = script("restore.sh", store, self.file)
        self.assertEqual(done.returncode, 2, done.stdout + done.stderr)
        self.assertIn(why, done.stderr)

    def test_sqlite(self):
        self.round_trip(self.sqlite(), self.sqlite(), 1)

    def test_mysql(self):
        target = self.mysql()
        self.round_trip(self.mysql(), target, 2)
        with gzip.open(self.file, "rb") as file:
            text = file.read()
        with gzip.open(self.file, "wb") as file:
            file.write(text[:len(text) // 2])
        self.assert_refused(self.mysql().store, "incomplete")

    def test_no_backup_is_half_a_backup(self):
        for store in ("sqlite:/nonexistent/a.db", "mysql://root:wrong@127.0.0.1:1/nothing", "redis:"):
            done = script("backup.sh", store, self.file)
            self.assertEqual(done.returncode, 2, done)
            self.assertEqual(os.listdir(os.path.dirname(self.file)), [], done)


if __name__ == "__main__":
    unittest.main()
