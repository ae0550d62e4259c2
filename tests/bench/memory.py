#!/usr/bin/env python3
"""Measures the service with many open connections, of which 256 deduct and the others are idle: its resident
memory, and whether the idle ones slow the active ones down. Exit code 1 if a bar is missed.

    memory.py [--rounds N] [--seconds N]
    memory.py --growth [--requests N] [--connections N]

Each measurement has a service and a MariaDB database of its own; a round measures each number of connections once.
An idle connection has made one request.

--growth instead sends hot deducts on all connections in slices until N requests have been answered, and prints the
resident memory after each slice. The slope is that of a line fitted through the second half. Caches and pools are
full by then, so any further growth is a leak. Both need wrk and the environment of `./dev bench`.
"""

import argparse
import os
import re
import statistics
import sys
from typing import NamedTuple

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "http")]
import cluster  # noqa: E402
import strangers  # noqa: E402
import wrk  # noqa: E402

ACTIVE = 256
LEVELS = (ACTIVE, 1024, 4096, 10000)
SPARE = 64  # connections of the service for probes, so that no idle one gives way to them
MEMORY_MIB = 128  # at most, at the highest level
RATE = 0.9  # at least, at the highest level, of that without idle connections
SLICE_S = 20
STOCK = 1000000
MAY_REFUSE = 0.01
REQUEST = b"GET /livez HTTP/1.1\r\nHost: bench\r\n\r\n"


class Measured(NamedTuple):
    mib: float
    rate: float
    p99_ms: float


def status_kib(pid, name):
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        return int(re.search(rf"{name}:\s+(\d+)", status.read()).group(1))


def open_connections(servers):
    return {name: value for (name, _), value in servers.instances[0].metrics()}["holdfast_http_connections"]


def deduct(servers, seconds, connections, may_refuse):
    put = servers.call("PUT", "/v1/stock/BENCH-0", {"quantity": STOCK})
    assert put.status in (200, 201), put
    return wrk.run(f"http://127.0.0.1:{servers.ports[0]}", "deduct.lua", seconds, connections, may_refuse)


def measure(store, level, seconds):
    with cluster.Cluster(store, http__connections=max(LEVELS) + SPARE) as servers:
        with strangers.Strangers(servers.ports[0], level - ACTIVE, sends=REQUEST):
            cluster.await_true(lambda: open_connections(servers) >= level - ACTIVE)
            answers = deduct(servers, seconds, ACTIVE, 0.0)
            if open_connections(servers) < level - ACTIVE:
                raise wrk.Failed(f"the service did not keep {level} connections open; see its limit of open files "
                                 f"(ulimit -Hn) and http.connections:\n{servers.instances[0].read_log()}")
            mib = status_kib(servers.instances[0].process.pid, "VmHWM") / 1024
    return Measured(mib, answers.rate, answers.p99 * 1000)


def print_bar(text, value, unit, bar, met):
    print(f"{text}: {value:.2f}{unit} (bar: {bar}): {'met' if met else 'MISSED'}")
    return met


def check_levels(options):
    rounds = []
    for number in range(options.rounds):
        levels = LEVELS if number % 2 == 0 else LEVELS[::-1]
        rounds.append({level: with_database(measure, level, options.seconds) for level in levels})
    print(f"{'connections':>11}  {'most MiB':>8}  {'rate/s':>7}  {'of ' + str(ACTIVE):>6}  {'p99 ms':>6}")
    for level in LEVELS:
        one = Measured(*(statistics.median(values) for values in zip(*(found[level] for found in rounds))))
        ratio = statistics.median(found[level].rate / found[ACTIVE].rate for found in rounds)
        print(f"{level:>11,}  {one.mib:>8.1f}  {one.rate:>7,.0f}  {ratio:>6.2f}  {one.p99_ms:>6.1f}")
    # `one` and `ratio` are those of the highest level now.
    met = print_bar(f"resident memory at {level:,} connections", one.mib, " MiB", f"at most {MEMORY_MIB}",
                    one.mib <= MEMORY_MIB)
    return print_bar(f"rate at {level:,} connections, of that at {ACTIVE}", ratio, "", f"at least {RATE}",
                     ratio >= RATE) and met


def slope(points):
    """Returns bytes per request, by least squares over (requests, KiB)."""
    n = len(points)
    x, y = (sum(p[i] for p in points) / n for i in (0, 1))
    spread = sum((p[0] - x) ** 2 for p in points)
    return 1024 * sum((p[0] - x) * (p[1] - y) for p in points) / spread if spread else 0.0


def print_growth(store, options):
    points, answered = [], 0
    with cluster.Cluster(store) as servers:
        pid = servers.instances[0].process.pid
        while answered < options.requests:
            answers = deduct(servers, SLICE_S, options.connections, MAY_REFUSE)
            answered += int(SLICE_S * answers.rate * (1 - answers.refused))
            points.append((answered, status_kib(pid, "VmRSS")))
            print(f"{answered:>12,} requests  {points[-1][1] / 1024:6.1f} MiB", flush=True)
    later = points[len(points) // 2:]
    print(f"most: {max(p[1] for p in points) / 1024:.1f} MiB, slope of the second half: "
          f"{slope(later):.4f} bytes per request")


def with_database(work, *arguments):
    database = cluster.MysqlDatabase()
    try:
        return work(database.store, *arguments)
    finally:
        database.drop()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--growth", action="store_true")
    parser.add_argument("--requests", type=int, default=10000000)
    parser.add_argument("--connections", type=int, default=1024)
    options = parser.parse_args()
    if options.growth:
        with_database(print_growth, options)
        return 0
    return 0 if check_levels(options) else 1


if __name__ == "__main__":
    sys.exit(main())
