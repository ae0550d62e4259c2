#!/usr/bin/env python3
"""Measures the service's resident memory with 1,024 connections under load, and how it grows.

    memory.py [--requests N] [--connections N]

Sends hot deducts to MariaDB in slices until N requests have been answered, and prints the resident memory
after each slice. The slope is that of a line fitted through the second half. Caches and pools are full by
then, so any further growth is a leak. Needs wrk and the environment of `./dev bench`.
"""

import argparse
import os
import re
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "http")]
import cluster  # noqa: E402
import wrk  # noqa: E402

SLICE_S = 20
STOCK = 1000000
MAY_REFUSE = 0.01


def resident_kib(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        return int(re.search(r"VmRSS:\s+(\d+)", status.read()).group(1))


def slope(points):
    """Returns bytes per request, by least squares over (requests, KiB)."""
    n = len(points)
    x, y = (sum(p[i] for p in points) / n for i in (0, 1))
    spread = sum((p[0] - x) ** 2 for p in points)
    return 1024 * sum((p[0] - x) * (p[1] - y) for p in points) / spread if spread else 0.0


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--requests", type=int, default=10000000)
    parser.add_argument("--connections", type=int, default=1024)
    options = parser.parse_args()
    database = cluster.MysqlDatabase()
    points, answered = [], 0
    try:
        with cluster.Cluster(database.store) as servers:
            pid = servers.instances[0].process.pid
            while answered < options.requests:
                put = servers.call("PUT", "/v1/stock/BENCH-0", {"quantity": STOCK})
                assert put.status in (200, 201), put
                answers = wrk.run(f"http://127.0.0.1:{servers.ports[0]}", "deduct.lua", SLICE_S, options.connections,
                                  MAY_REFUSE)
                answered += int(SLICE_S * answers.rate * (1 - answers.refused))
                points.append((answered, resident_kib(pid)))
                print(f"{answered:>12,} requests  {points[-1][1] / 1024:6.1f} MiB", flush=True)
    finally:
        database.drop()
    later = points[len(points) // 2:]
    print(f"most: {max(p[1] for p in points) / 1024:.1f} MiB, slope of the second half: "
          f"{slope(later):.4f} bytes per request")


if __name__ == "__main__":
    main()
