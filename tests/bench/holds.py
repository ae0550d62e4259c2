#!/usr/bin/env python3
"""Measures what open holds cost, and how fast the sweeper ends those that are due.

    holds.py [--holds N] [--hot N] [--due N] [--seconds N] [--rounds N] [--connections N] [--engine sqlite|mysql]

Fills a database with N open holds, --hot of them on one SKU, and reconciles it. Then it compares deducts of that
SKU with deducts of a SKU that has none, by turns: while there is enough, and when both are sold out. Then it
makes --due holds of the hot SKU due, and as many of the others, and measures how long the sweeper takes while
deducts of another SKU go on. Needs wrk and the environment of `./dev bench`.
"""

import argparse
import concurrent.futures
import json
import os
import re
import sqlite3
import statistics
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "http")]
import cluster  # noqa: E402
import wrk  # noqa: E402

HOT, PLAIN, SHARE = "HOT", "PLAIN", 100  # holds of each other SKU
STOCK = 100_000_000  # more than all runs of a fast machine take

# What `reserve` leaves behind, in SQL: hold i has one unit of its SKU.
SEQUENCE = "WITH RECURSIVE n(i) AS (SELECT {low} UNION ALL SELECT i + 1 FROM n WHERE i + 1 < {high})"
ID = "SUBSTR('00000000000000000000' || i, -20)"
SKU = f"CASE WHEN i < {{hot}} THEN '{HOT}' ELSE 'S-' || CAST((i - {{hot}} - (i - {{hot}}) % {SHARE}) / {SHARE} AS INTEGER) END"
NTH = f"CASE WHEN i < {{hot}} THEN i ELSE (i - {{hot}}) % {SHARE} END"
FILL = [
    f"INSERT INTO reservation {{sequence}} SELECT {ID}, NULL, NULL, 'held', {SKU} || ' 1', {{until}} + i, 1 FROM n",
    f"INSERT INTO hold {{sequence}} SELECT 'stock/' || {SKU}, {{until}} + i, {ID}, 0, 1 FROM n",
    f"INSERT INTO counter {{sequence}} SELECT 'hold/' || {SKU} || '/' || {ID} || '/0', 1, 1, 0 FROM n",
    f"INSERT INTO ledger {{sequence}} SELECT 'hold/' || {SKU} || '/' || {ID} || '/0', 1, 1, 1, 'seed ' || i, 1, 0,"
    " NULL, NULL, 'reserve', 'conditional', 0, 1 FROM n",
    f"INSERT INTO ledger {{sequence}} SELECT 'stock/' || {SKU}, 2 + {NTH}, -1, {STOCK} - 1 - {NTH}, 'seed ' || i, 0,"
    " 0, NULL, NULL, 'reserve', 'conditional', 0, 1 FROM n",
]
SLICE = 100000  # holds a statement


class Sqlite:
    name = "sqlite"

    def __init__(self):
        self.database = cluster.SqliteDatabase()
        self.store = self.database.store

    def sql(self, *statements):
        connection = sqlite3.connect(self.store.removeprefix("sqlite:"), timeout=60)
        with connection:
            rows = [connection.execute(statement).fetchall() for statement in statements]
        connection.close()
        return rows[-1]

    def drop(self):
        self.database.drop()


class Mysql:
    name = "mysql"
    # SQL as SQLite's: || concatenates, and a sequence may be long.
    dialect = "SET SESSION sql_mode = 'PIPES_AS_CONCAT', SESSION max_recursive_iterations = 100000000"

    def __init__(self):
        self.database = cluster.MysqlDatabase()
        self.store = self.database.store

    def sql(self, *statements):
        return self.database.sql("; ".join((self.dialect, *statements)))

    def drop(self):
        self.database.drop()


ENGINES = {engine.name: engine for engine in (Sqlite, Mysql)}


def fill(database, options):
    done = cluster.run("migrate", "up", f"--store={database.store}", timeout=60)
    if done.returncode:
        sys.exit(f"migrate up: {done.stdout}{done.stderr}")
    skus = [f"S-{i}" for i in range((options.holds - options.hot) // SHARE)]
    counts = [(HOT, options.hot), (PLAIN, 0)] + [(sku, SHARE) for sku in skus]
    until = int(time.time() * 1000) + 10 ** 9
    for at in range(0, len(counts), 300):
        part = counts[at:at + 300]
        database.sql(
            "INSERT INTO product (sku) VALUES " + ",".join(f"('{sku}')" for sku, _ in part),
            "INSERT INTO counter VALUES " + ",".join(f"('stock/{sku}', {STOCK - n}, {1 + n}, 0)" for sku, n in part),
            "INSERT INTO ledger VALUES " + ",".join(
                f"('stock/{sku}', 1, {STOCK}, {STOCK}, NULL, 0, 0, NULL, NULL, 'opening', 'admin', 0, 1)"
                for sku, _ in part))
    for low in range(0, options.holds, SLICE):
        high = min(low + SLICE, options.holds)
        sequence = SEQUENCE.format(low=low, high=high)
        database.sql(*(statement.format(sequence=sequence, hot=options.hot, until=until) for statement in FILL))


def deducts(port, sku, options, seconds=None, sold_out=False):
    """Deducts of one SKU. If it is sold out all must be refused, else none."""
    answers = wrk.run(f"http://127.0.0.1:{port}", "deduct.lua", seconds or options.seconds, options.connections,
                      1.0 if sold_out else 0.0, BENCH_SKU=sku)
    if sold_out and answers.refused < 1.0:
        sys.exit(f"{sku} is sold out, and only {100 * answers.refused:.0f} % of its deducts were refused")
    return answers


def compare(servers, options, what, sold_out):
    rates = {HOT: [], PLAIN: []}
    for turn in range(options.rounds):
        for sku in (HOT, PLAIN) if turn % 2 == 0 else (PLAIN, HOT):
            rates[sku].append(deducts(servers.ports[0], sku, options, sold_out=sold_out).rate)
    hot, plain = (statistics.median(rates[sku]) for sku in (HOT, PLAIN))
    print(f"  {what}: {options.hot:,} holds {hot:,.0f}/s, none {plain:,.0f}/s: "
          f"{plain / hot:.2f} times the cost", flush=True)


def sell_out(servers):
    for sku in (HOT, PLAIN):
        put = servers.call("PUT", f"/v1/stock/{sku}", {"quantity": 0})
        assert put.status == 200, put
        answer = servers.call("POST", f"/v1/stock/{sku}/deduct", {"quantity": 1}, f"sold-out-{sku}")
        assert answer.status == 409, answer


def await_swept(servers, n):
    """Returns how many seconds pass until the only instance has swept so many holds."""
    began, swept = time.monotonic(), 0
    while swept < n:
        time.sleep(0.1)
        page = servers.call("GET", "/metrics").body
        swept = int(re.search(r"^holdfast_holds_swept_total (\d+)$", page, re.M).group(1))
    return time.monotonic() - began


def sweep(database, options, what, low, high):
    """Makes holds due while no instance runs, and then starts one."""
    with cluster.Cluster(database.store, reservation__sweep_ms=3600000) as servers:
        assert servers.call("PUT", f"/v1/stock/{PLAIN}", {"quantity": STOCK}).status == 200
        before = deducts(servers.ports[0], PLAIN, options)
    for table in ("hold", "reservation"):
        database.sql(f"UPDATE {table} SET expires_at = 1000"
                     f" WHERE reservation >= '{low:020}' AND reservation < '{high:020}'")
    n, tails = high - low, []
    with cluster.Cluster(database.store, reservation__sweep_ms=1000) as servers, \
            concurrent.futures.ThreadPoolExecutor() as pool:
        sweeping = pool.submit(await_swept, servers, n)
        while not sweeping.done():
            tails.append(deducts(servers.ports[0], PLAIN, options, 3))
        took = sweeping.result()
    tail, rate = (statistics.median(values) for values in ([one.p99 for one in tails], [one.rate for one in tails]))
    print(f"  {what}: {n:,} holds swept in {took:.1f} s ({n / took:,.0f}/s); p99 of deducts {tail * 1000:.1f} ms"
          f" meanwhile, {before.p99 * 1000:.1f} ms before; {rate:,.0f}/s and {before.rate:,.0f}/s", flush=True)


def reconcile(database):
    done = cluster.run("reconcile", "--json", f"--store={database.store}", timeout=3600)
    report = json.loads(done.stdout or "{}")
    if done.returncode or report["finding_count"] != 0:
        sys.exit(f"does not reconcile: {done.stdout[:2000]}{done.stderr}")
    print(f"  reconciled in {report['took_ms'] / 1000:.1f} s", flush=True)


def bench(database, options):
    began = time.monotonic()
    fill(database, options)
    print(f"{database.name}: {options.holds:,} holds written in {time.monotonic() - began:.0f} s", flush=True)
    reconcile(database)
    with cluster.Cluster(database.store, reservation__sweep_ms=1000) as servers:
        compare(servers, options, "deduct", False)
        sell_out(servers)
        compare(servers, options, "sold out", True)
    sweep(database, options, "on one SKU", 0, min(options.due, options.hot))
    sweep(database, options, f"on SKUs with {SHARE} holds each", options.hot,
          min(options.hot + options.due, options.holds))
    reconcile(database)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--holds", type=int, default=1000000)
    parser.add_argument("--hot", type=int, default=100000)
    parser.add_argument("--due", type=int, default=100000)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--engine", choices=ENGINES)
    options = parser.parse_args()
    for engine in [options.engine] if options.engine else ENGINES:
        database = ENGINES[engine]()
        try:
            bench(database, options)
        finally:
            database.drop()


if __name__ == "__main__":
    main()
