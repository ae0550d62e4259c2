#!/usr/bin/env python3
"""Whichever row is missing from the books of a shop, reconciliation notices: it looks from each table to the
others and back."""

import contextlib
import os
import shutil
import sqlite3
import unittest

from cluster import run
from shop import ShopCase

NOT_BOOKS = {"schema_migrations", "lock_row"}


class MissingRows(ShopCase):
    def open_shop(self):
        """One of each: what was sold, issued, drawn, earned, spent, moved, held, confirmed, released, ordered,
        redeemed, refunded, cancelled and rolled back; and a noun of each kind that nothing has happened to."""
        sku, user = self.put(50), self.user(points=90)
        self.put(1)
        self.campaign()
        self.assertEqual(self.post(f"/v1/stock/{sku}/deduct", {"quantity": 2}).status, 200)
        for points in ({"points": 5, "order_id": "o-1"}, {"points": 3}):
            self.assertEqual(self.post(f"/v1/points/{user}/earn", points).status, 200)
        moved = self.post("/v1/points/transfers", {"from": user, "to": self.name("user"), "points": 4})
        self.assertEqual(moved.status, 200, moved)
        for _ in range(2):
            lottery = self.name("lottery")
            put = self.call("PUT", f"/v1/lotteries/{lottery}", {
                "draws_per_user": 2, "blank_weight": 0, "prizes": [{"prize": "gold", "quantity": 3, "weight": 1}]})
            self.assertEqual(put.status, 201, put)
        self.assertEqual(self.post(f"/v1/lotteries/{lottery}/draw", {"user_id": user}).status, 200)
        self.reserve(user, (sku, 2))
        for way, body in (("confirm", {}), ("release", {})):
            ended = self.post(f"/v1/reservations/{self.reserve(user, (sku, 2))}/{way}", body)
            self.assertEqual(ended.status, 200, ended)
        self.code(user)
        redeemed = self.post("/v1/coupons/redeem", {"code": self.code(user, discount_percent=10), "user_id": user})
        self.assertEqual(redeemed.status, 201, redeemed)
        self.placed(user, (sku, 1))
        order = self.placed(user, (sku, 3), code=self.code(user, discount_percent=10), points=20)["order_id"]
        self.assertIn(self.refund(order, (0, 1)).status, (200, 201))
        for placed in (self.placed(user, reservation=self.reserve(user, (sku, 1))), self.placed(user, (sku, 1))):
            self.assertIn(self.cancel(placed["order_id"]).status, (200, 201))
        self.placed(user, reservation=self.reserve(user, (sku, 1)))

    def rows(self, database):
        """The condition that finds each row of the books."""
        for table, in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            if table in NOT_BOOKS:
                continue
            columns = [row[1] for row in database.execute(f"PRAGMA table_info({table})")]
            rows = database.execute(f"SELECT {', '.join(f'quote({column})' for column in columns)} FROM {table}")
            rows = rows.fetchall()
            self.assertTrue(rows, table)
            for row in rows:
                yield f"{table} WHERE " + " AND ".join(f"{c} IS {v}" for c, v in zip(columns, row))

    def test_each_missing_row_is_a_finding(self):
        self.open_shop()
        path = self.service.store.removeprefix("sqlite:")
        damaged = os.path.join(self.database.directory, "damaged.db")
        with contextlib.closing(sqlite3.connect(path)) as database:
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            rows = list(self.rows(database))
        missed = []
        for row in rows:
            shutil.copy(path, damaged)
            with contextlib.closing(sqlite3.connect(damaged)) as database, database:
                self.assertEqual(database.execute(f"DELETE FROM {row}").rowcount, 1)
            done = run("reconcile", f"--store=sqlite:{damaged}")
            if done.returncode != 1:
                missed.append(f"{row}: {done.stdout}{done.stderr}")
        self.assertEqual(missed, [], "\n".join(missed))


if __name__ == "__main__":
    unittest.main()
