#!/usr/bin/env python3
"""Measures reservations and orders against deducts.

    orders.py [--seconds N] [--rounds N] [--engine mariadb|sqlite]

Every row runs on one instance with an empty database, under the default strategy, with 256 clients. Each
round measures all rows in turns, those that are compared one after the other, so that the machine's noise
affects both alike. The results are medians of each round's ratio.

hot     deducts of one SKU, beside reservations of that SKU, reservations that are confirmed in turn, and
        orders of one line of it
spread  deducts of 1,000 SKUs, beside orders of three of them

Needs the environment of `./dev bench`, and wrk for the confirmations, whose ids are in the answers.
"""

import argparse
import collections
import os
import statistics
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(os.path.dirname(HERE)), "loadtest", "scorecard")]
import load  # noqa: E402
import wrk  # noqa: E402

CLIENTS = 256
SKUS = 1000
PLENTY = load.STOCK
HOT, ANY = "S-0", "S-{{random 1000}}"


def template(path, body):
    return f"POST {path}\nContent-Type: application/json\nIdempotency-Key: {{{{key}}}}\n\n{body}\n"


def lines(*skus):
    return '"lines":[' + ",".join(f'{{"sku":"{sku}","quantity":1}}' for sku in skus) + "]"


def order(*skus):
    return template("/v1/orders", '{"user_id":"{{user}}",' + lines(*skus) + "}")


DEDUCT, DEDUCTS = "deduct, one SKU", "deduct, 1,000 SKUs"
RESERVE, CONFIRM = "reserve, one SKU", "reserve and confirm in turn, one SKU"
ORDER, ORDERS = "order of one line, one SKU", "order of three of 1,000 SKUs"
TEMPLATES = {
    DEDUCT: template(f"/v1/stock/{HOT}/deduct", '{"quantity":1}'),
    RESERVE: template("/v1/reservations", '{"ttl_s":600,' + lines(HOT) + "}"),
    ORDER: order(HOT),
    DEDUCTS: template(f"/v1/stock/{ANY}/deduct", '{"quantity":1}'),
    ORDERS: order(ANY, ANY, ANY),
}
BARS = [
    ("reserve / deduct", RESERVE, DEDUCT, 0.5),
    ("reserve and confirm / deduct", CONFIRM, DEDUCT, 0.5),
    ("order of one line / deduct", ORDER, DEDUCT, 0.4),
    ("order of three of 1,000 SKUs / deduct of 1,000 SKUs", ORDERS, DEDUCTS, 0.2),
]


def put_products(servers):
    for number in range(SKUS):
        answer = servers.call("PUT", f"/v1/stock/S-{number}", {"quantity": PLENTY, "price_cents": 100})
        if answer.status not in (200, 201):
            raise load.Failed(f"{answer}")


def run_template(servers, options, text):
    with tempfile.NamedTemporaryFile("w", suffix=".http") as file:
        file.write(text)
        file.flush()
        report, _ = load.run_load(servers.ports, load.service_pids(servers), options.seconds, "--scenario", "template",
                                  "--template", file.name, "--connections", str(CLIENTS))
    outcomes = report["outcomes"]
    if not outcomes["ok"] or outcomes["ok"] < report["operations"] * 0.99:
        raise load.Failed(f"{outcomes} {report['problems']}")
    return report["ok_rate"]


def run_confirm(servers, options):
    return wrk.run(f"http://127.0.0.1:{servers.ports[0]}", "confirm.lua", options.seconds, CLIENTS).rate


def measure_row(options, name):
    def work(servers):
        put_products(servers)
        return run_confirm(servers, options) if name == CONFIRM else run_template(servers, options, TEMPLATES[name])
    return load.with_servers(options.engine, 1, {}, work)


def measure(options):
    """Returns a list of rates for each row."""
    rates = collections.defaultdict(list)
    for number in range(options.rounds):
        for name in (DEDUCT, RESERVE, CONFIRM, ORDER, DEDUCTS, ORDERS):
            rates[name].append(measure_row(options, name))
            print(f"round {number + 1}: {name}: {rates[name][-1]:,.0f}/s", file=sys.stderr, flush=True)
    return rates


def show(rates):
    """Prints the medians, and the ratios beside their bars. Returns whether all bars were kept."""
    print("| row | operations/s |\n|---|---|")
    for name, values in rates.items():
        print(f"| {name} | {statistics.median(values):,.0f} |")
    print("\n| ratio | | bar | kept |\n|---|---|---|---|")
    kept = []
    for what, above, below, bar in BARS:
        ratio = statistics.median(one / other for one, other in zip(rates[above], rates[below]))
        kept.append(ratio >= bar)
        print(f"| {what} | {ratio:.2f} | >= {bar} | {'yes' if kept[-1] else 'NO'} |")
    return all(kept)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--engine", choices=("mariadb", "sqlite"), default="mariadb")
    options = parser.parse_args()
    print(f"One instance, {options.engine}, {CLIENTS} clients, {options.seconds} s a row, medians of"
          f" {options.rounds} rounds\n", flush=True)
    return 0 if show(measure(options)) else 1


if __name__ == "__main__":
    sys.exit(main())
