#!/usr/bin/env python3
"""Measures what the locks cost: each against its upper limit, and waiting in a queue against spinning.

    locks.py [--seconds N] [--rounds N] [--connections N] [--workers N] [PART...]

PARTs are `direct` and `waiting`; the default is both. Each round measures everything once, in turns, so
that the machine's noise affects all alike. The results are ratios of medians.

direct   One instance, one hot SKU, one transaction per operation. T is the rate of what a section does
         (read, update, insert, commit) in a single thread without a lock. Z is the rate at which a single
         client of the lock server can create, list and delete a node. A lock server that writes each step
         to disk needs both in sequence, so the limit is 1 / (1/T + 1/Z). Redis writes nothing to disk, so
         its limit is T.
waiting  One hot key, used by three instances of the service, and by three processes that only lock. It
         compares lock.wait=notify with spin: the rate, the processor time of Redis, and the share of the
         time in which the lock was held. If that share is near 1, the holds are the limit, and better
         waiting cannot raise the rate.

Needs the environment of `./dev bench`.
"""

import argparse
import collections
import os
import re
import statistics
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(HERE)), "loadtest", "scorecard"))
import ceilings  # noqa: E402
import load  # noqa: E402
from rows import cluster, lock_settings, new_database  # noqa: E402

SERVERS = {"redis-lock": None, "zookeeper-lock": "zookeeper", "etcd-lock": "etcd"}
BARS = {"redis-lock": 0.55, "zookeeper-lock": 0.6, "etcd-lock": 0.6}
WAITING_BAR = 3
SATURATED = 0.9  # share of the time held, above which the holds are the limit
INSTANCES = 3
CYCLES = re.compile(r"([\d.]+) acquisitions/s, Redis CPU ([\d.]+) %")


def transactions(options):
    """Returns T."""
    database = new_database("mariadb")
    try:
        return ceilings.run_probe(options, "raw_commits", database.store, 1, 1, 1, options.seconds, "fenced")
    finally:
        database.drop()


def cycles(server, options):
    """Returns Z."""
    address = cluster.need(f"HOLDFAST_TEST_{server.upper()}")
    return ceilings.run_probe(options, f"{server}_pairs", address, 1, options.seconds, "list")


def held_s(servers):
    """Returns how many seconds the instances have held the guard so far."""
    return sum(value for instance in servers.instances for (name, _), value in instance.metrics()
               if name == "holdfast_guard_hold_seconds_sum")


def service(strategy, wait, instances, options):
    """Measures instances in direct mode on one hot SKU."""
    def work(servers):
        report, cores = load.run_load(
            servers.ports, load.service_pids(servers), options.seconds, "--scenario", "deduct", "--skus", "1",
            "--stock", str(load.STOCK), "--connections", str(options.connections))
        load.check_alive(servers)
        sample = load.sample(report, cores, load.service_metrics(servers))
        if sample["violations"]:
            raise load.Failed(f"{strategy}: {sample['violations']} violations")
        return {"rate": sample["rate"], "p99_ms": sample["p99_ms"], "redis": cores.get("redis", 0.0),
                "held": held_s(servers) / report["duration_s"], "cpu": cores}
    settings = {**lock_settings(), "stock__strategy": strategy, "combine__max_batch": 1, "lock__wait": wait,
                "workers": options.workers}
    return load.with_servers("mariadb", instances, settings, work)


def locks_alone(wait, options):
    """Measures redis-lock without the service and without a database."""
    command = [os.path.join(ceilings.PROBES, "lock_cycles"), "redis-lock", str(INSTANCES), "8",
               str(options.seconds), wait]
    done = subprocess.run(command, capture_output=True, text=True, check=False,
                          timeout=options.seconds + load.EXTRA_S)
    found = CYCLES.search(done.stdout)
    if done.returncode or not found:
        raise load.Failed(f"lock_cycles ended with {done.returncode}: {load.brief(done.stderr)}")
    return {"rate": float(found.group(1)), "redis": float(found.group(2)) / 100}


def parts(options):
    """Returns the measurements to take, by name, of the selected parts."""
    table = {"direct": {"T": lambda: transactions(options)}, "waiting": {}}
    for server in filter(None, SERVERS.values()):
        table["direct"][f"Z {server}"] = lambda server=server: cycles(server, options)
    for strategy in SERVERS:
        table["direct"][strategy] = lambda strategy=strategy: service(strategy, "notify", 1, options)
    for wait in ("spin", "notify"):
        table["waiting"][f"service {wait}"] = lambda wait=wait: service("redis-lock", wait, INSTANCES, options)
        table["waiting"][f"locks alone {wait}"] = lambda wait=wait: locks_alone(wait, options)
    return {name: work for part in options.parts or table for name, work in table[part].items()}


def measure(options):
    """Takes all measurements. Returns a list of samples for each name; a sample is a dictionary."""
    samples = collections.defaultdict(list)
    table = parts(options)
    for number in range(options.rounds):
        for name, work in table.items():
            samples[name].append(work())
            print(f"round {number + 1}: {name}: {samples[name][-1]['rate']:,.0f}/s", file=sys.stderr, flush=True)
    return samples


def median(samples, name, of="rate"):
    return statistics.median(sample[of] for sample in samples[name])


def verdict(ratio, bar, kept):
    kept.append(ratio >= bar)
    return f"{ratio:.2f} | {bar} | {'yes' if ratio >= bar else 'NO'}"


def show_direct(samples, kept):
    total = median(samples, "T")
    print(f"T, one thread alone: {total:,.0f} transactions/s\n")
    print("| direct, 1 instance | operations/s | p99 | Z | limit | of it | bar | kept |")
    print("|---|---|---|---|---|---|---|---|")
    for strategy, server in SERVERS.items():
        z = median(samples, f"Z {server}") if server else None
        limit = ceilings.in_turn(total, z) if z else total
        rate = median(samples, strategy)
        print(f"| {strategy} | {rate:,.0f} | {median(samples, strategy, 'p99_ms'):.0f} ms |"
              f" {format(z, ',.0f') if z else '–'} | {limit:,.0f} | {verdict(rate / limit, BARS[strategy], kept)} |")
    print()


def show_waiting(samples, kept):
    print(f"| hot key, {INSTANCES} instances | spin | notify | times | bar | kept | Redis, processors |"
          " share of the time held |")
    print("|---|---|---|---|---|---|---|---|")
    for where in ("service", "locks alone"):
        names = {wait: f"{where} {wait}" for wait in ("spin", "notify")}
        rate = {wait: median(samples, name) for wait, name in names.items()}
        redis = [f"{median(samples, name, 'redis'):.3f}" for name in names.values()]
        held = [f"{median(samples, name, 'held'):.2f}" for name in names.values()] if where == "service" else []
        print(f"| {where} | {rate['spin']:,.0f} | {rate['notify']:,.0f} |"
              f" {verdict(rate['notify'] / rate['spin'], WAITING_BAR, kept)} | {' → '.join(redis)} |"
              f" {' → '.join(held) or '–'} |")
    spin_held = median(samples, "service spin", "held")
    if spin_held > SATURATED:
        print(f"\nEven with spin, the service held the lock for {spin_held:.2f} of the time: the transaction inside"
              " the lock is the limit.")
    print()


def default_workers():
    """Returns the service's default."""
    return int(re.search(r"^workers\s*=?\s*(\d+)", cluster.run("config").stdout, re.M).group(1))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--workers", type=int, default=default_workers(),
                        help="per instance; default: the service's")
    parser.add_argument("parts", nargs="*", metavar="PART", help="direct, waiting (default: both)")
    options = parser.parse_args()
    if not set(options.parts) <= {"direct", "waiting"}:
        parser.error(f"unknown part in: {' '.join(options.parts)}; expected direct or waiting")
    options.ceiling_seconds = options.seconds  # the probes' time limit depends on it
    print(f"{options.connections} connections, {options.workers} workers per instance, {options.seconds} s each,"
          f" medians of {options.rounds} rounds\n", flush=True)
    samples, kept = measure(options), []
    if "T" in samples:
        show_direct(samples, kept)
    if "service spin" in samples:
        show_waiting(samples, kept)
    return 0 if all(kept) else 1


if __name__ == "__main__":
    sys.exit(main())
