#!/usr/bin/env python3
"""Measures `holdfast-load check` on a history of many transfers between accounts, and some readings.

    checker.py [--transfers N] [--accounts N] [--readings PERCENT]

Writes a correct history and its ledger, checks them, and prints the processor time and the memory of the
check. Needs HOLDFAST_LOAD; `./dev bench checker` sets it.
"""

import argparse
import os
import random
import subprocess
import sys
import tempfile

BALANCE = 1000000
STEP_NS = 20000  # between two operations that take effect
SPAN_NS = 64 * STEP_NS  # so about 64 are in flight at once


def write_history(path, options, accounts):
    """Returns of each account its changes, in order: twice the operation's number, plus 1 if it takes."""
    chance = random.Random(1)
    changes = [[] for _ in accounts]
    remaining = [BALANCE] * len(accounts)
    with open(path, "w", encoding="ascii") as file:
        counters = ",".join(f'{{"name":"{name}","kind":"points","version":1,"remaining":{BALANCE}}}'
                            for name in accounts)
        file.write('{"holdfast_history":1,"run":"b","scenario":"points","started_at_ms":1,"targets":["http://x"],'
                   f'"counters":[{counters}]}}\n')
        attempts = transfers = 0
        while transfers < options.transfers:
            taken = SPAN_NS + attempts * STEP_NS
            times = (f'"invoke_ns":{taken - chance.randrange(1, SPAN_NS)},'
                     f'"complete_ns":{taken + chance.randrange(1, SPAN_NS)},"outcome":"ok","status":200')
            giver, taker = chance.sample(range(len(accounts)), 2)
            head = f'{{"op":{attempts},"attempt":0,"kind":'
            if chance.randrange(100) < options.readings:
                file.write(f'{head}"read","counter":"{accounts[giver]}","target":0,{times},'
                           f'"version":{len(changes[giver]) + 1},"remaining":{remaining[giver]}}}\n')
            else:
                transfers += 1
                for account, leg in ((giver, 0), (taker, 1)):
                    changes[account].append(2 * attempts + leg)
                    remaining[account] += 2 * leg - 1
                file.write(f'{head}"transfer","counter":"{accounts[giver]}","target":0,"key":"b-{attempts}",'
                           f'"user":"u{giver}","quantity":1,{times},"version":{len(changes[giver]) + 1},'
                           f'"remaining":{remaining[giver]},"more":[["{accounts[taker]}",1,'
                           f'{len(changes[taker]) + 1},{remaining[taker]}]]}}\n')
            attempts += 1
        file.write(f'{{"end":true,"attempts":{attempts}}}\n')
    return changes


def write_ledger(path, accounts, changes):
    givers = {change // 2: account for account, list_ in enumerate(changes) for change in list_ if change % 2 == 0}
    with open(path, "w", encoding="ascii") as file:
        file.write('{"holdfast_ledger":1,"run":"b"}\n')
        for name, list_ in zip(accounts, changes):
            takes = sum(change % 2 for change in list_)
            file.write(f'{{"final":"{name}","version":{len(list_) + 1},'
                       f'"remaining":{BALANCE + 2 * takes - len(list_)}}}\n')
        for name, list_ in zip(accounts, changes):
            remaining = BALANCE
            for version, change in enumerate(list_, 2):
                delta = 2 * (change % 2) - 1
                remaining += delta
                file.write(f'{{"counter":"{name}","version":{version},"delta":{delta},"remaining":{remaining},'
                           f'"leg":{change % 2},"token":0,"key":"b-{change // 2}","user":"u{givers[change // 2]}",'
                           '"reason":"transfer","strategy":"conditional"}\n')
        file.write(f'{{"end":true,"rows":{sum(map(len, changes))}}}\n')


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--transfers", type=int, default=1000000)
    parser.add_argument("--accounts", type=int, default=1000)
    parser.add_argument("--readings", type=int, default=10, metavar="PERCENT")
    options = parser.parse_args()
    accounts = [f"points/u{i}" for i in range(options.accounts)]
    with tempfile.TemporaryDirectory() as directory:
        history, ledger = (os.path.join(directory, name) for name in ("history", "ledger"))
        write_ledger(ledger, accounts, write_history(history, options, accounts))
        with subprocess.Popen([os.environ["HOLDFAST_LOAD"], "check", history, "--ledger", ledger],
                              stdout=subprocess.PIPE, text=True) as checker:
            print(checker.stdout.read())
            _, status, usage = os.wait4(checker.pid, 0)
            checker.returncode = os.waitstatus_to_exitcode(status)
    print(f"{options.transfers} transfers between {options.accounts} accounts: "
          f"{usage.ru_utime + usage.ru_stime:.1f} s of processor time, {usage.ru_maxrss / 1024:.0f} MiB")
    return checker.returncode


if __name__ == "__main__":
    sys.exit(main())
