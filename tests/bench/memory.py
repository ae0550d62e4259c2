#!/usr/bin/env python3
"""Resident memory at 1,024 open connections under load, and its slope over many requests.

    memory.py [--requests N] [--connections N]

Runs hot deducts on MariaDB in slices until N requests were answered, and prints the resident memory
after each slice. The slope is a line fitted through the second half: caches and pools have filled by
then, and what still grows is a leak. Needs what hot.py needs.
"""

import argparse
import re

import hot
from hot import cluster

SLICE_S = 20


def resident_kib(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        return int(re.search(r"VmRSS:\s+(\d+)", status.read()).group(1))


def slope(points):
    """Bytes a request, by least squares over (requests, KiB)."""
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
                put = servers.call("PUT", "/v1/stock/BENCH-0", {"quantity": hot.STOCK})
                assert put.status in (200, 201), put
                answered += int(SLICE_S * hot.wrk(servers.ports[0], SLICE_S, options.connections, "", "1"))
                points.append((answered, resident_kib(pid)))
                print(f"{answered:>12,} requests  {points[-1][1] / 1024:6.1f} MiB", flush=True)
    finally:
        database.drop()
    later = points[len(points) // 2:]
    print(f"most: {max(p[1] for p in points) / 1024:.1f} MiB, slope of the second half: "
          f"{slope(later):.4f} bytes a request")


if __name__ == "__main__":
    main()
