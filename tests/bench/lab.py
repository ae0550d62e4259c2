#!/usr/bin/env python3
"""Measures what a laboratory in use costs the shop beside it.

    lab.py [--seconds N] [--rounds N] [--engine mariadb|sqlite] [--connections N]

Clients deduct from 1,000 SKUs of one instance, first alone, then while the laboratory of the same process plays the
scenario `lost-update` again and again, watched as a page watches it. Each round measures both on one instance with an
empty database. The result is the median of each round's ratio.

Needs the environment of `./dev bench`.
"""

import argparse
import os
import statistics
import sys
import threading

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(HERE)), "loadtest", "scorecard"))
import load  # noqa: E402

BAR = 0.8
SKUS = 1000
PAUSE_S = 1  # a person looks at a run before the next one


class Visitor(threading.Thread):
    """Plays one run after the other."""

    def __init__(self, servers):
        super().__init__()
        self.servers = servers
        self.leaves = threading.Event()
        self.runs = 0
        self.failure = None

    def play(self):
        answer = self.servers.call("POST", "/v1/lab/runs", {"scenario": "lost-update"})
        if answer.status != 201:
            raise load.Failed(f"{answer}")
        path, after, state = answer.headers["Location"], 0, "running"
        while state not in ("ended", "failed"):
            body = self.servers.call("GET", f"{path}?after={after}&wait_ms=1000").body
            after, state = body["next_after"], body["state"]
        if state == "failed" or body["verdict"]["excess"] == 0:
            raise load.Failed(f"{body}")
        self.runs += 1

    def run(self):
        try:
            while not self.leaves.wait(PAUSE_S):
                self.play()
        except (load.Failed, OSError, KeyError) as failure:
            self.failure = failure


def deduct(servers, options):
    report, _ = load.run_load(servers.ports, load.service_pids(servers), options.seconds, "--scenario", "deduct",
                              "--skus", str(SKUS), "--stock", str(load.STOCK),
                              "--connections", str(options.connections))
    load.check_alive(servers)
    return report["ok_rate"]


def measure(options):
    """Returns a list of pairs of rates: alone, and beside the laboratory."""
    pairs = []

    def work(servers):
        alone = deduct(servers, options)
        visitor = Visitor(servers)
        visitor.start()
        try:
            beside = deduct(servers, options)
        finally:
            visitor.leaves.set()
            visitor.join()
        if visitor.failure or not visitor.runs:
            raise load.Failed(f"the laboratory has played {visitor.runs} runs: {visitor.failure}")
        pairs.append((alone, beside))
        print(f"round {len(pairs)}: {alone:,.0f}/s alone, {beside:,.0f}/s beside {visitor.runs} runs",
              file=sys.stderr, flush=True)
    for _ in range(options.rounds):
        load.with_servers(options.engine, 1, {"lab": "on"}, work)
    return pairs


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--seconds", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--engine", choices=("mariadb", "sqlite"), default="sqlite")
    options = parser.parse_args()
    pairs = measure(options)
    ratio = statistics.median(beside / alone for alone, beside in pairs)
    print(f"One instance, {options.engine}, {options.connections} clients, {SKUS} SKUs, medians of {options.rounds}"
          f" rounds:\n{statistics.median(alone for alone, _ in pairs):,.0f} deducts/s alone,"
          f" {statistics.median(beside for _, beside in pairs):,.0f}/s beside the laboratory:"
          f" {ratio:.2f} (bar {BAR})")
    return 0 if ratio >= BAR else 1


if __name__ == "__main__":
    sys.exit(main())
