#!/usr/bin/env python3
"""Measures operations on points against deducts: one counter, two counters, and both at once.

    points.py [--seconds N] [--rounds N] [--engine mariadb|sqlite]

Every row runs on one instance with an empty database, under the default strategy. Each round measures all
rows in turns, those that are compared one after the other, so that the machine's noise affects both alike.
The results are medians of each round's ratio.

earn, transfer  256 clients earn points of one account, and transfer points between 1,000 accounts, compared
                with as many deducts of one SKU and of 1,000.
pair            64 clients transfer points between two accounts, in both directions at once.
starvation      256 clients change one account, first alone, then while 32 clients transfer points from this
                account to 1,000 others. A transfer must not wait much longer than a change of one account,
                and the changes must keep their rate.

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

CLIENTS = 256
PLENTY = load.STOCK  # units of a SKU, points of an account
POINTS = ("--scenario", "points", "--balance", PLENTY)
DEDUCT, EARN = "deduct, one SKU", "earn, one account"
DEDUCTS, TRANSFER = "deduct, 1,000 SKUs", "transfer, 1,000 accounts"
PAIR = "transfer, two accounts, both directions"
ALONE, BESIDE, TRANSFERS = "changes of one account", "the same, beside transfers", "transfers beside them"
ROWS = {
    DEDUCT: ("--scenario", "deduct", "--stock", PLENTY, "--connections", CLIENTS),
    EARN: (*POINTS, "--accounts", 1, "--mix", "earn=1", "--connections", CLIENTS),
    DEDUCTS: ("--scenario", "deduct", "--stock", PLENTY, "--skus", 1000, "--connections", CLIENTS),
    TRANSFER: (*POINTS, "--accounts", 1000, "--mix", "transfer=1", "--connections", CLIENTS),
    PAIR: (*POINTS, "--accounts", 2, "--mix", "transfer=1", "--connections", 64),
}
BARS = [
    ("earn / deduct, one counter", (EARN, "rate"), (DEDUCT, "rate"), ">=", 0.5),
    ("transfer / deduct, 1,000 counters", (TRANSFER, "rate"), (DEDUCTS, "rate"), ">=", 0.3),
    ("pair: p99 / p50", (PAIR, "p99"), (PAIR, "p50"), "<=", 10),
    ("starvation: p99 of transfers / of changes", (TRANSFERS, "p99"), (BESIDE, "p99"), "<=", 3),
    ("starvation: rate of changes beside / alone", (BESIDE, "rate"), (ALONE, "rate"), ">=", 0.7),
]
HOT = ("--scenario", "points", "--resource", "HOT", "--no-setup", "--accounts", 1, "--mix", "earn=1,spend=1")
TEMPLATE = """POST /v1/points/transfers
Content-Type: application/json
Idempotency-Key: {{key}}

{"from":"HOT","to":"COLD-{{random 1000}}","points":1}
"""


def run(servers, options, *arguments):
    """Returns a sample. A violation or an error ends the benchmark, because it would be other work."""
    report, _ = load.run_load(servers.ports, load.service_pids(servers), options.seconds, *map(str, arguments))
    load.check_alive(servers)
    outcomes, latency = report["outcomes"], report["latency_ms"]
    if outcomes["error"] or outcomes["unknown"] or not outcomes["ok"]:
        raise load.Failed(f"{arguments}: {outcomes} {report['problems']}")
    if report.get("check") and load.read_check(report)[0]:
        raise load.Failed(f"{arguments}: violations {load.read_check(report)[1]}")
    return {"rate": report["ok_rate"], "p50": latency["p50"], "p99": latency["p99"]}


def measure_row(options, *arguments):
    return load.with_servers(options.engine, 1, {}, lambda servers: run(servers, options, *arguments))


def measure_starvation(options):
    """Returns the samples of the three rows. Unchecked: each run sees the other's changes."""
    def work(servers):
        answer = servers.call("POST", "/v1/points/HOT/earn", {"points": PLENTY}, "balance")
        if answer.status != 200:
            raise load.Failed(f"{answer}")
        hot = (*HOT, "--connections", CLIENTS, "--no-check")
        alone = run(servers, options, *hot)
        with tempfile.NamedTemporaryFile("w") as template, concurrent.futures.ThreadPoolExecutor() as threads:
            template.write(TEMPLATE)
            template.flush()
            beside = threads.submit(run, servers, options, *hot)
            transfers = threads.submit(run, servers, options, "--template", template.name, "--connections", 32)
            return {ALONE: alone, BESIDE: beside.result(), TRANSFERS: transfers.result()}
    return load.with_servers(options.engine, 1, {}, work)


def measure(options):
    """Takes all measurements. Returns a list of samples for each row."""
    samples = collections.defaultdict(list)
    for number in range(options.rounds):
        found = {name: measure_row(options, *arguments) for name, arguments in ROWS.items()}
        found.update(measure_starvation(options))
        for name, sample in found.items():
            samples[name].append(sample)
            print(f"round {number + 1}: {name}: {sample['rate']:,.0f}/s", file=sys.stderr, flush=True)
    return samples


def show(samples):
    """Prints the medians, and the ratios beside their bars. Returns whether all bars were kept."""
    def median(name, of):
        return statistics.median(sample[of] for sample in samples[name])

    print("| row | operations/s | p50 | p99 |\n|---|---|---|---|")
    for name in samples:
        print(f"| {name} | {median(name, 'rate'):,.0f} | {median(name, 'p50'):.1f} ms | {median(name, 'p99'):.1f} ms |")
    print("\n| ratio | | bar | kept |\n|---|---|---|---|")
    kept = []
    for what, (above, of), (below, of_below), sign, bar in BARS:
        ratio = statistics.median(one[of] / other[of_below] for one, other in zip(samples[above], samples[below]))
        kept.append(ratio >= bar if sign == ">=" else ratio <= bar)
        print(f"| {what} | {ratio:.2f} | {sign} {bar} | {'yes' if kept[-1] else 'NO'} |")
    return all(kept)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--engine", choices=("mariadb", "sqlite"), default="mariadb")
    options = parser.parse_args()
    print(f"One instance, {options.engine}, {CLIENTS} clients, {options.seconds} s a row, medians of"
          f" {options.rounds} rounds\n", flush=True)
    return 0 if show(measure(options)) else 1


if __name__ == "__main__":
    sys.exit(main())
