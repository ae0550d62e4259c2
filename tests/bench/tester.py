#!/usr/bin/env python3
"""Compares the speed of holdfast-load with wrk, against a server with a constant answer.

    tester.py [--seconds N] [--connections N] [--rounds N]

Both send the same POST with one thread and the same number of connections, in turns. The result is the
ratio of the medians. Needs wrk, HOLDFAST_LOAD and CONSTANT_SERVER; `./dev bench tester` sets them up.
"""

import argparse
import os
import statistics
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "http")]
import loader  # noqa: E402
import wrk  # noqa: E402

TEMPLATE = """POST /v1/stock/BENCH-0/deduct
Content-Type: application/json
Idempotency-Key: {{key}}

{"quantity":1}
"""
BODY = '{"sku":"BENCH-0","quantity":1,"remaining":999999,"version":2,"strategy":"conditional"}'


def with_wrk(url, options, _):
    return wrk.run(url, "deduct.lua", options.seconds, options.connections).rate


def holdfast_load(url, options, directory, *flags):
    template = os.path.join(directory, "template")
    with open(template, "w", encoding="utf-8") as file:
        file.write(TEMPLATE)
    result = loader.measured(url, "--template", template, "--duration", f"{options.seconds}s",
                             "--connections", options.connections, *flags)
    if result.code or result.report["outcomes"]["error"] or not result.report["outcomes"]["ok"]:
        sys.exit(f"holdfast-load: {result}")
    return result.report["rate"]


def with_history(url, options, directory):
    return holdfast_load(url, options, directory, "--history", os.path.join(directory, "history"))


ROWS = {"wrk": with_wrk, "holdfast-load": holdfast_load, "holdfast-load, with a history": with_history}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    rates = {name: [] for name in ROWS}
    with tempfile.TemporaryDirectory(prefix="holdfast-bench-") as directory:
        with loader.constant("--body", BODY) as url:
            for number in range(options.rounds):
                for name, measure in ROWS.items():
                    rates[name].append(measure(url, options, directory))
                    print(f"round {number + 1}: {name}: {rates[name][-1]:,.0f}", file=sys.stderr)
    first = statistics.median(rates["wrk"])
    print("| | requests/s | of wrk's |\n|---|---|---|")
    for name, measured in rates.items():
        print(f"| {name} | {statistics.median(measured):,.0f} | {statistics.median(measured) / first:.2f} |")


if __name__ == "__main__":
    main()
