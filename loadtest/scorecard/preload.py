#!/usr/bin/env python3
"""Deducts in front of a large ledger, with random and with time-ordered idempotency keys.

    preload.py [--rows N] [--seconds N] [--keys KIND ...]

Every operation inserts its key into the ledger's index. Random keys (UUIDv4) go anywhere in it: once it is
larger than the database's buffer pool, each insert reads a page from the disk. Keys that begin with the time
(UUIDv7) go to its end, whose pages are in memory. An empty database does not show this, so a row here begins
with 20 million rows whose keys are of the same kind. One instance, conditional, combined, 1,000 SKUs, MariaDB
with the buffer pool of the test stack (256 MiB); each kind also on an empty ledger. The load tester cannot
check a run with such keys, so these rows are only measured; a refusal or an error fails them.

Needs the environment of `./dev bench`. Loading takes minutes; it prints how long.
"""

import argparse
import sys
import time

import load
from rows import MANY, WORKERS, cluster, new_database

CHUNK = 1000000  # rows of a transaction
COUNTERS = 1000
INSERT = """
SET SESSION unique_checks = 0, foreign_key_checks = 0;
INSERT INTO ledger (counter, version, delta, remaining, request_key, leg, fingerprint, reason, strategy, token,
                    created_at)
SELECT CONCAT('stock/old-', LPAD(n DIV {each}, 4, '0')), n % {each} + 2, -1, {each} - n % {each} - 1, {key}, 0, 1,
       'deduct', 'conditional', 0, {now} - {rows} + n
FROM (SELECT seq AS n, MD5(seq) AS m FROM seq_{begin}_to_{end}) AS numbers"""
# Digits of a UUID of RFC 9562. The times of UUIDv7 end now, a row a millisecond.
KEYS = {
    "uuid4": "CONCAT_WS('-', LEFT(m, 8), MID(m, 9, 4), CONCAT('4', MID(m, 13, 3)), CONCAT('a', MID(m, 16, 3)),"
             " MID(m, 19, 12))",
    "uuid7": "CONCAT_WS('-', LEFT(LPAD(LOWER(HEX({now} - {rows} + n)), 12, '0'), 8),"
             " RIGHT(LOWER(HEX({now} - {rows} + n)), 4), CONCAT('7', MID(m, 1, 3)), CONCAT('a', MID(m, 4, 3)),"
             " MID(m, 7, 12))",
}


def say(text):
    print(text, file=sys.stderr, flush=True)


def statements(keys, rows, now_ms):
    """The INSERTs that fill an empty ledger, in the order of its primary key."""
    each = -(-rows // COUNTERS)
    key = KEYS[keys].format(now=now_ms, rows=rows)
    for begin in range(0, rows, CHUNK):
        yield INSERT.format(key=key, each=each, now=now_ms, rows=rows, begin=begin,
                            end=min(begin + CHUNK, rows) - 1)


def fill(database, keys, rows):
    """Without the index on the keys, which is then built by sorting: inserting random keys one by one would
    take as long as the load that is to be measured."""
    began = time.monotonic()
    database.sql("ALTER TABLE ledger DROP INDEX ledger_request")
    for number, statement in enumerate(statements(keys, rows, int(time.time() * 1000)), 1):
        database.sql(statement)
        say(f"{keys}: {min(number * CHUNK, rows):,} rows, {time.monotonic() - began:.0f} s")
    database.sql("ALTER TABLE ledger ADD CONSTRAINT ledger_request UNIQUE (request_key, leg)")
    say(f"{keys}: indexed, {time.monotonic() - began:.0f} s")
    return time.monotonic() - began


def page_reads(database):
    return int(database.sql("SHOW GLOBAL STATUS LIKE 'Innodb_buffer_pool_reads'")[0][1])


def run(database, servers, keys, options):
    before = page_reads(database)
    report, cores = load.run_load(
        servers.ports, load.service_pids(servers), options.seconds, "--scenario", "deduct", "--skus", str(MANY),
        "--stock", str(load.STOCK), "--connections", str(options.connections), "--keys", keys, "--no-check")
    ok, latency = report["outcomes"]["ok"], report["ok_latency_ms"]
    if not ok or ok < report["operations"]:
        raise load.Failed(f"not all were answered 2xx: {report['outcomes']} {report['problems']}")
    return {"rate": report["ok_rate"], "p50_ms": latency["p50"], "p99_ms": latency["p99"],
            "reads": (page_reads(database) - before) / ok, "database_us": 1e6 * cores["database"] / report["ok_rate"]}


def measure(keys, rows, options):
    database = new_database("mariadb")
    try:
        with cluster.Cluster(database.store, 1, workers=WORKERS, stock__strategy="conditional") as servers:
            loading_s = fill(database, keys, rows) if rows else 0
            return {**run(database, servers, keys, options), "loading_s": loading_s}
    finally:
        database.drop()


def line(keys, rows, sample):
    return (f"| {rows:,} | {keys} | {sample['rate']:,.0f} | {sample['p50_ms']:.1f} ms | {sample['p99_ms']:.1f} ms |"
            f" {sample['reads']:.2f} | {sample['database_us']:.1f} |"
            f" {sample['loading_s']:.0f} s |")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--rows", type=int, default=20000000, help="in the ledger before the load (20 million)")
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--connections", type=int, default=256)
    parser.add_argument("--keys", nargs="+", choices=tuple(KEYS), default=list(KEYS))
    options = parser.parse_args()
    print("| rows before | keys | operations/s | p50 | p99 | pages read/op | database µs/op | loading |\n"
          + "|---" * 8 + "|", flush=True)
    for rows in 0, options.rows:
        for keys in options.keys:
            print(line(keys, rows, measure(keys, rows, options)), flush=True)


if __name__ == "__main__":
    main()
