#!/usr/bin/env python3
"""Measures what clients that repeat a request cost the clients that do not.

    replays.py [--seconds N] [--rounds N] [--engine mariadb|sqlite]

192 clients deduct from one SKU, first alone, then while 64 more clients repeat one deduct of that SKU, and then
while these 64 repeat a thousand. Each round measures the three on one instance with an empty database, under the
default strategy. The results are medians of each round's ratio.

Needs the environment of `./dev bench`.
"""

import argparse
import collections
import concurrent.futures
import os
import statistics
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(HERE)), "loadtest", "scorecard"))
import load  # noqa: E402

CLIENTS, REPEATING = 192, 64
ALONE, ONE, MANY = "deducts alone", "deducts beside one key that repeats", "deducts beside 1,000 keys that repeat"
KEYS = {ALONE: None, ONE: "again", MANY: "again-{{random 1000}}"}
BARS = {ONE: 0.8}
TEMPLATE = """POST /v1/stock/S-0/deduct
Content-Type: application/json
Idempotency-Key: %s

{"quantity":1}
"""


def run(servers, options, key, clients):
    """Returns the rate. Any refusal ends the benchmark, because it would be other work."""
    with tempfile.NamedTemporaryFile("w") as template:
        template.write(TEMPLATE % key)
        template.flush()
        report, _ = load.run_load(servers.ports, load.service_pids(servers), options.seconds, "--scenario", "template",
                                  "--template", template.name, "--connections", str(clients))
    load.check_alive(servers)
    outcomes = report["outcomes"]
    if not outcomes["ok"] or outcomes["ok"] < report["operations"] * 0.99:
        raise load.Failed(f"{outcomes} {report['problems']}")
    return report["ok_rate"]


def measure_row(servers, options, name):
    """Returns the rates of the deducts and of the replays."""
    with concurrent.futures.ThreadPoolExecutor() as threads:
        replays = threads.submit(run, servers, options, KEYS[name], REPEATING) if KEYS[name] else None
        return run(servers, options, "{{key}}", CLIENTS), replays.result() if replays else 0


def measure(options):
    """Returns a list of pairs of rates for each row."""
    rates = collections.defaultdict(list)

    def work(servers):
        answer = servers.call("PUT", "/v1/stock/S-0", {"quantity": load.STOCK})
        if answer.status != 201:
            raise load.Failed(f"{answer}")
        for name in KEYS:
            rates[name].append(measure_row(servers, options, name))
            print(f"round {len(rates[name])}: {name}: {rates[name][-1][0]:,.0f}/s and {rates[name][-1][1]:,.0f}/s",
                  file=sys.stderr, flush=True)
    for _ in range(options.rounds):
        load.with_servers(options.engine, 1, {}, work)
    return rates


def show(rates):
    """Prints the medians, and the ratios beside the bar. Returns whether it was kept."""
    print("| row | deducts/s | replays/s | of the rate alone | bar |\n|---|---|---|---|---|")
    kept = True
    for name, pairs in rates.items():
        ratio = statistics.median(one[0] / alone[0] for one, alone in zip(pairs, rates[ALONE]))
        bar = BARS.get(name)
        kept = kept and (bar is None or ratio >= bar)
        print(f"| {name} | {statistics.median(pair[0] for pair in pairs):,.0f} |"
              f" {statistics.median(pair[1] for pair in pairs):,.0f} | {ratio:.2f} |"
              f" {f'>= {bar}' if bar else '-'} |")
    return kept


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--engine", choices=("mariadb", "sqlite"), default="mariadb")
    options = parser.parse_args()
    print(f"One instance, {options.engine}, {CLIENTS} clients and {REPEATING} that repeat, {options.seconds} s a row,"
          f" medians of {options.rounds} rounds\n", flush=True)
    return 0 if show(measure(options)) else 1


if __name__ == "__main__":
    sys.exit(main())
