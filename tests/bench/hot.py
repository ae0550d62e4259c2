#!/usr/bin/env python3
"""The hot path against its ceilings, all in one run, so that the figures can be compared.

    hot.py [--seconds N] [--connections N] [--rounds N] [ROW ...]

E is the server's own rate on an empty POST, R that of raw batched commits of the same rows into the
same tables (256 a transaction, two connections, no service). One request needs both, so with no
overlap at all 1 / (1/E + 1/R) is what they leave; every row is given as a ratio to that bound, and
to the row it is best compared with. Rounds are interleaved and the median is shown: machines are
noisy, and what disturbs one row should disturb all.

Needs wrk, HOLDFAST_BIN, RAW_COMMITS, and the servers of ./dev test in the environment; `./dev bench`
sees to all of that.
"""

import argparse
import os
import re
import statistics
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "http"))
import cluster  # noqa: E402

STOCK = 1000000


def wrk(port, seconds, connections, *arguments):
    """2xx a second. More than a few other answers end the benchmark: it would not be the same work."""
    done = subprocess.run(
        ["wrk", "-t1", f"-c{connections}", f"-d{seconds}", "-s", os.path.join(HERE, "deduct.lua"),
         f"http://127.0.0.1:{port}", "--", *arguments],
        capture_output=True, text=True, check=True, timeout=seconds + 30)
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", done.stdout).group(1))
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", done.stdout)
    refused_rate = float(refused.group(1)) / seconds if refused else 0
    if "Socket errors" in done.stdout or refused_rate > rate / 100:
        sys.exit(f"wrk: {done.stdout}")
    return rate - refused_rate


def raw(store, connections, seconds):
    done = subprocess.run([os.environ["RAW_COMMITS"], store, str(connections), "256", str(seconds)],
                          capture_output=True, text=True, check=True)
    return float(done.stdout)


class Row:
    """One configuration of the service under wrk."""

    def __init__(self, name, store, skus=1, **settings):
        self.name, self.store, self.skus, self.settings = name, store, skus, settings
        self.rates = []

    def measure(self, options):
        settings = {"lab": "true", **cluster.lock_servers(), **self.settings}
        with cluster.Cluster(self.store, 1, **settings) as servers:
            port = servers.ports[0]
            for number in range(self.skus):
                answer = servers.call("PUT", f"/v1/stock/BENCH-{number}", {"quantity": STOCK})
                assert answer.status in (200, 201), answer
            self.rates.append(wrk(port, options.seconds, options.connections, *self.target()))

    def target(self):
        return ("", str(self.skus))

    @property
    def rate(self):
        return statistics.median(self.rates)


class Empty(Row):
    def target(self):
        return ("/v1/lab/empty",)


class Raw(Row):
    def measure(self, options):
        self.rates.append(raw(self.store, 2, options.seconds))


def rows(mysql, sqlite):
    return [
        Empty("E: empty POST", mysql),
        Raw("R: raw commits, MariaDB", mysql),
        Row("conditional", mysql, stock__strategy="conditional"),
        Row("conditional, direct", mysql, stock__strategy="conditional", combine__max_batch=1),
        Row("conditional, 1,000 SKUs", mysql, skus=1000, stock__strategy="conditional"),
        Row("optimistic", mysql, stock__strategy="optimistic"),
        Row("optimistic, direct", mysql, stock__strategy="optimistic", combine__max_batch=1),
        Row("optimistic, 1,000 SKUs", mysql, skus=1000, stock__strategy="optimistic"),
        Row("redis-lock", mysql, stock__strategy="redis-lock"),
        Row("redis-lock, 1,000 SKUs", mysql, skus=1000, stock__strategy="redis-lock"),
        Row("zookeeper-lock", mysql, stock__strategy="zookeeper-lock"),
        Row("zookeeper-lock, 1,000 SKUs", mysql, skus=1000, stock__strategy="zookeeper-lock"),
        Raw("R: raw commits, SQLite", sqlite),
        Row("conditional, SQLite", sqlite, stock__strategy="conditional"),
    ]


def report(table):
    rate = {row.name: row.rate for row in table}
    e, r, lite = (rate.get(k, 0) for k in ("E: empty POST", "R: raw commits, MariaDB", "R: raw commits, SQLite"))
    bound = 1 / (1 / e + 1 / r) if e and r else 0
    lite_bound = 1 / (1 / e + 1 / lite) if e and lite else 0
    versus = {"conditional": "conditional, direct", "optimistic": "optimistic, direct",
              "redis-lock": "conditional", "zookeeper-lock": "conditional",
              **{f"{name}, 1,000 SKUs": name
                 for name in ("conditional", "optimistic", "redis-lock", "zookeeper-lock")}}
    print("| row | operations/s | of the bound | compared with |\n|---|---|---|---|")
    for row in table:
        limit = lite_bound if "SQLite" in row.name else bound
        share = f"{row.rate / limit:.2f}" if limit and ":" not in row.name else ""
        other = versus.get(row.name)
        against = f"{row.rate / rate[other]:.2f} x {other}" if other in rate else ""
        print(f"| {row.name} | {row.rate:,.0f} | {share} | {against} |")
    print(f"\nbound, MariaDB: {bound:,.0f}/s; bound, SQLite: {lite_bound:,.0f}/s")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--connections", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("rows", nargs="*", help="only rows that contain one of these words")
    options = parser.parse_args()
    mysql, sqlite = cluster.MysqlDatabase(), cluster.SqliteDatabase()
    try:
        table = rows(mysql.store, sqlite.store)
        if options.rows:
            table = [row for row in table if any(word in row.name for word in options.rows)]
        cluster.run("migrate", "up", f"--store={mysql.store}").check_returncode()
        cluster.run("migrate", "up", f"--store={sqlite.store}").check_returncode()
        for number in range(options.rounds):
            for row in table:
                row.measure(options)
                print(f"round {number + 1}: {row.name}: {row.rates[-1]:,.0f}", file=sys.stderr)
        report(table)
    finally:
        mysql.drop()
        sqlite.drop()


if __name__ == "__main__":
    main()
