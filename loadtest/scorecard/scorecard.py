#!/usr/bin/env python3
"""Every strategy against its ceiling, all in one run, so that the figures can be compared.

    scorecard.py [--quick] [--seconds N] [--rounds N] [--connections N] [--output DIR] [WORD ...]

Words choose rows: a strategy's name, combined, direct, hot, spread, 1, 3, mariadb, sqlite, any, routed, partitioned;
or other operations: earn, transfer, reserve, confirm, order, interleaved. Words of one kind are
alternatives. Rounds are interleaved and medians are shown: machines are noisy, and what disturbs one row
should disturb all. Prints Markdown; writes it, JSON and a page into DIR. Ends with 1 if a row could not be
measured, or if a strategy that must not violates an invariant.

Needs the programs and servers that `./dev bench` builds, starts and names in the environment.
"""

import argparse
import collections
import datetime
import os
import platform
import signal
import subprocess
import sys
import unittest

import ceilings
import load
import report
import works
from rows import ENGINES, ROOT, all_rows, choose, cluster, half_loads, quick_rows, registry

# The time of a row besides the load: create a database, start, check the ledger, stop. Measured.
OVERHEAD_S = {"hot": 1.5, "spread": 3.5}
WORK_OVERHEAD_S = 4
CEILING_OVERHEAD_S = 0.5


def say(text):
    print(text, file=sys.stderr, flush=True)


def plural(n, noun):
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def on_signal(*_):
    """Interrupts once only, because the cleanup that follows must not be interrupted."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a few rows, two rounds, under three and a half minutes")
    parser.add_argument("--seconds", type=int, help="load on each row in each round (5; quick 2)")
    parser.add_argument("--rounds", type=int, help="3; quick 2")
    parser.add_argument("--connections", type=int, default=256)
    parser.add_argument("--output", default=os.path.join(ROOT, "build/scorecard"), metavar="DIR")
    parser.add_argument("words", nargs="*", metavar="WORD", help="only rows with these words")
    options = parser.parse_args()
    options.rounds = options.rounds or (2 if options.quick else 3)
    options.seconds = options.seconds or (2 if options.quick else 5)
    options.ceiling_seconds = 1 if options.quick else min(options.seconds, 3)
    for name in ("seconds", "rounds", "connections"):
        if getattr(options, name) < 1:
            parser.error(f"--{name} must be at least 1")
    return options


def machine():
    model = "unknown processor"
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        for line in file:
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    return f"{os.cpu_count()} x {model}, Linux {platform.release()}"


def describe(options):
    now = datetime.datetime.now(datetime.timezone.utc)
    version = cluster.run("--version").stdout.strip().splitlines()
    about = (f"{now:%Y-%m-%d}, {version[0] if version else 'holdfast'}, {machine()}. {options.connections}"
             f" connections, {options.seconds} s a row,"
             f" {plural(options.rounds, 'round')}; every commit durable. The load tester, the"
             " service and the servers share the machine: read the ratios.")
    return {"format": 1, "about": about, "started_at": now.isoformat(timespec="seconds"),
            "machine": machine(), "quick": options.quick, "seconds": options.seconds,
            "rounds": options.rounds, "connections": options.connections}


class Run:
    """Measures everything once a round, and keeps the results when it is interrupted."""

    def __init__(self, options, rows, other_works=()):
        self.options = options
        self.rows = rows
        self.works = list(other_works)
        self.half_loads = half_loads(rows)
        always = ceilings.warm_up(rows) if options.words or options.quick else ceilings.ALWAYS
        self.ceilings = list(dict.fromkeys(always + [one for row in rows for one in ceilings.needs(row)]))
        self.samples = collections.defaultdict(list)
        self.failures = {}
        self.interrupted = False
        self.done = 0

    def half_loads_of(self, number):
        """Those of a round. --quick measures them in the last one only."""
        return self.half_loads if not self.options.quick or number == self.options.rounds - 1 else []

    def estimate_s(self):
        loads = [*self.rows * self.options.rounds,
                 *(half.row for number in range(self.options.rounds) for half in self.half_loads_of(number))]
        ceilings_s = len(self.ceilings) * (self.options.ceiling_seconds + CEILING_OVERHEAD_S)
        works_s = len(self.works) * (self.options.seconds + WORK_OVERHEAD_S)
        return (sum(self.options.seconds + OVERHEAD_S[row.spread] for row in loads)
                + self.options.rounds * (ceilings_s + works_s))

    def count(self):
        return self.options.rounds * (len(self.rows) + len(self.works) + len(self.ceilings)) + sum(
            len(self.half_loads_of(number)) for number in range(self.options.rounds))

    def measure_half(self, half):
        samples = self.samples[half.row]
        if half.row in self.failures or not samples:
            raise load.Failed("its row was not measured")
        rate = samples[-1]["rate"] / 2
        return {**load.measure(half.row, self.options, rate), "wanted": rate}

    def measure(self, one, work):
        self.done += 1
        place = f"[{self.done}/{self.count()}] {one.name}"
        if one in self.failures:  # in an earlier round: it is shown as failed anyway
            say(f"{place}: skipped, because it failed in an earlier round")
            return
        try:
            sample = work()
        except (load.Failed, AssertionError, OSError, ValueError, KeyError,
                subprocess.SubprocessError) as error:
            self.failures[one] = load.brief(f"{error}" or type(error).__name__)
            say(f"{place}: failed, {self.failures[one]}")
            return
        self.samples[one].append(sample)
        wrong = f", {sample['violations']:,} VIOLATIONS" if sample.get("violations") else ""
        tail = f", p99 {report.milliseconds(sample['p99_ms'])}" if "p99_ms" in sample else ""
        say(f"{place}: {sample['rate']:,.0f}/s{tail}{wrong}")

    def go(self):
        seconds = self.estimate_s()
        time = f"{seconds / 60:.0f} minutes" if seconds >= 100 else f"{seconds:.0f} seconds"
        say(f"{plural(len(self.rows), 'row')} and {plural(len(self.ceilings), 'ceiling')},"
            f" {plural(self.options.rounds, 'round')}: about {time}")
        try:
            for number in range(self.options.rounds):
                for ceiling in self.ceilings:
                    self.measure(ceiling, lambda one=ceiling: one.measure(self.options))
                for row in self.rows:
                    self.measure(row, lambda one=row: load.measure(one, self.options))
                    for work in self.works:
                        if work.of == row.words:  # one after the other: what disturbs one disturbs both
                            self.measure(work, lambda one=work: one.measure(self.options))
                for half in self.half_loads_of(number):
                    self.measure(half, lambda one=half: self.measure_half(one))
        except KeyboardInterrupt:
            self.interrupted = True
            say("interrupted")

    def document(self):
        facts = {**describe(self.options), "interrupted": self.interrupted}
        return report.build(facts, [*self.rows, *self.half_loads, *self.works], self.ceilings, self.samples,
                            self.failures)


def exit_code(document):
    if document["interrupted"]:
        return 130
    rows = document["rows"] + document["half_load"] + document["works"]
    entries = rows + document["ceilings"]
    wrong = [row for row in rows if row.get("violations") and not row["lab"]]
    return 1 if wrong or any(entry["failed"] for entry in entries) else 0


def choose_rows(options):
    rows = all_rows({engine: registry(engine) for engine in ENGINES})
    if options.quick:
        rows = quick_rows(rows)
    other_works, words = works.choose(options.words, options.quick)
    beside = [row for row in rows if row.words in {work.of for work in other_works}]
    if options.words and not words:
        return beside, other_works
    chosen = choose(rows, words)
    return chosen + [row for row in beside if row not in chosen], other_works


def main():
    options = parse_options()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, on_signal)
    try:
        run = Run(options, *choose_rows(options))
    except KeyboardInterrupt:
        return 130
    except (ValueError, AssertionError, OSError, unittest.SkipTest) as error:
        say(f"scorecard: {error}")
        return 2
    run.go()
    document = run.document()
    report.save(document, options.output)
    print(report.markdown(document))
    say(f"also in {os.path.relpath(options.output)}: scorecard.html, scorecard.json, scorecard.md")
    return exit_code(document)


if __name__ == "__main__":
    sys.exit(main())
