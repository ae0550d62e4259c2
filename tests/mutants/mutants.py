#!/usr/bin/env python3
"""Mutants: mistakes in the code of operations on several counters, each of which a test must find every time.

A mutant is a list of edits. They are made in a copy of the sources, which is built beside the real build, and
the test that must find the mistake runs again and again. First the same tests run on the unchanged copy, where
they must pass. The tests need no servers: SQLite is enough.
"""

import argparse
import collections
import os
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TREE = os.path.join(ROOT, "build", "mutants")
RUN_S = 120  # a test that hangs has found the mistake too

# A test: its name, what to build for it, its command, where it runs, and its environment.
Test = collections.namedtuple("Test", "name target command folder environment")
Mutant = collections.namedtuple("Mutant", "name why test edits")
Edit = collections.namedtuple("Edit", "file old new")

PROGRAMS = os.path.join(TREE, "build/dev/tests")


# Which of nine parts of the strategies has only this one.
PARTS = {"mutex": 2, "optimistic": 3}


def conformance(module, case, strategy):
    """One group of a conformance program, for one strategy."""
    name = f"conformance_{module}"
    return Test(name, name, [os.path.join(PROGRAMS, name)], PROGRAMS,
                {"CK_RUN_CASE": case, "HOLDFAST_TEST_PART": f"{PARTS[strategy]}/9"})


def unit(module):
    return Test(f"test_{module}", f"test_{module}", [os.path.join(PROGRAMS, f"test_{module}")], PROGRAMS, {})


def http(name):
    return Test(name, "holdfast", [sys.executable, "-m", "unittest", name], os.path.join(TREE, "tests/http"),
                {"HOLDFAST_BIN": os.path.join(TREE, "build/dev/service/holdfast"), "PYTHONDONTWRITEBYTECODE": "1"})


RESERVATIONS = conformance("reservations", "every strategy", "optimistic")
TRANSFERS = conformance("transfers", "every strategy", "mutex")
ORDERS = conformance("orders", "every strategy", "optimistic")

LINEAR = [  # searches that do not rely on an order
    Edit("service/engine/batch_fill.c", "#include <stdlib.h>", "#include <search.h>\n#include <stdlib.h>"),
    Edit("service/engine/batch_fill.c", "bsearch(&counter, keys, n_keys,", "lfind(&counter, keys, &n_keys,"),
    Edit("service/store/tables/counter.c", "#include <stdlib.h>", "#include <search.h>\n#include <stdlib.h>"),
    Edit("service/store/tables/counter.c", "bsearch(db_row_text(row, 0), load->counters, load->n,",
         "lfind(db_row_text(row, 0), load->counters, &load->n,"),
]

MUTANTS = [
    Mutant("last-leg-dropped", "a transfer posts what it takes, and not what it gives", TRANSFERS, [
        Edit("service/domain/points.c", "    view_post_leg(view, 1, points);\n", "")]),
    Mutant("last-row-dropped", "the last leg's row is missing in the ledger", TRANSFERS, [
        Edit("service/engine/batch_save.c", "leg < work->n_postings; leg++)",
             "(leg == 0 || leg + 1 < work->n_postings); leg++)")]),
    Mutant("legs-in-two-transactions", "the first counter is committed before the second is written",
           conformance("steps", "one of two counters", "optimistic"), [
        Edit("service/store/tables/counter.c", "        if (changes[i].before.version != 0)\n            rc = save_one",
             "        if (i > 0) {\n            rc = db_commit(db);\n            if (rc == RC_OK)\n"
             "                rc = db_begin(db, DB_BEGIN_WRITE_LATE);\n        }\n"
             "        if (rc == RC_OK && changes[i].before.version != 0)\n            rc = save_one")]),
    Mutant("replay-with-one-leg", "a repeated transfer is answered with the first leg's result only",
           conformance("random_points", "every strategy", "optimistic"), [
        Edit("service/engine/batch_replays.c",
             "i < operation_n_legs(operation); i++) {\n        struct leg *leg", "i < 1; i++) {\n        struct leg *leg")]),
    Mutant("unsorted-keys", "guards are entered in the order in which the client names the counters", TRANSFERS, [
        Edit("service/engine/engine_workers.c", "    qsort(pick->keys, pick->n, sizeof pick->keys[0], compare_keys);\n",
             ""), *LINEAR]),
    Mutant("unsorted-lanes", "the same for the lanes of a pick", unit("lanes"), [
        Edit("service/engine/lanes.c",
             "    qsort(ret_pick->lanes, ret_pick->n, sizeof ret_pick->lanes[0], compare_lanes);\n",
             "")]),
    Mutant("kept-without-check", "a lock that was lost is kept for the next round", unit("tenure"), [
        Edit("service/engine/tenure.c", " && section_held(section)", "")]),
    Mutant("partition-of-another-counter", "an operation locks the partition of its first counter only",
           unit("lanes"), [
        Edit("service/engine/lanes.c", "operation_leg(job->operation, leg)->counter;",
             "operation_leg(job->operation, 0)->counter;")]),
    Mutant("redeemed-apart", "the code is redeemed in a transaction of its own, before the order's", ORDERS, [
        Edit("service/http/api/order.c", '#include "store/tables/order.h"',
             '#include "store/db/db.h"\n#include "store/tables/order.h"'),
        Edit("service/http/api/order.c",
             '    struct leg *leg = basket_add(call, "code", code.code);\n    leg->may_create = true;\n'
             "    leg->opening = code.terms.uses_per_code;\n    leg->amount = -1;\n"
             "    leg->barred = priced && !terms_allow(&code.terms, order->subtotal_cents, code.now_ms);\n"
             "    leg->refusal = leg->barred ? RC_COUPON_NOT_REDEEMABLE : RC_COUPON_REDEEMED;\n    return RC_OK;\n",
             "    char counter[COUNTER_NAME_MAX + 1];\n    order->code_leg = 0;\n"
             '    text_format(counter, sizeof counter, "code/%s", code.code);\n'
             "    struct db_value name[] = {db_text(counter)};\n"
             '    return db_exec(db, "INSERT INTO counter VALUES (?, 0, 1, 0)", name, 1, NULL) == RC_OK'
             " ? RC_OK : RC_COUPON_REDEEMED;\n")]),
    Mutant("rolled-back-twice", "a rollback does not notice that another one came first", ORDERS, [
        Edit("service/http/api/redemption.c", "    leg->demanded_version = version;", "    (void)version;")]),
    Mutant("refund-without-order", "a refund leaves the order's own counter alone", ORDERS, [
        Edit("service/http/api/refund.c", "    call->operation.leg.amount -= units;\n", ""),
        Edit("service/http/api/refund.c", "    own->demanded_version = version;", "    (void)version;")]),
    Mutant("lines-checked-apart", "lines are checked one by one, and their sum takes what is there", ORDERS, [
        Edit("service/http/api/order.c", "    leg->amount = -wanted->quantity;\n",
             "    leg->amount = -wanted->quantity;\n    leg->partial = true;\n    leg->at_least = 1;\n")]),
    Mutant("self-transfer-doubles", "who transfers to themselves is given what they had before, and more",
           http("test_api.Embedded.test_points_are_earned_spent_and_transferred"), [
        Edit("service/http/api/points.c", "strcmp(transfer->from, transfer->to) == 0", "transfer->from[0] == '\\0'"),
        Edit("service/domain/points.c",
             "    view_post_leg(view, 0, -points);\n    view_post_leg(view, 1, points);\n",
             "    const struct counter *to = &view->counters[view->legs[1]];\n"
             "    int64_t had = to->remaining;\n    view_post_leg(view, 0, -points);\n"
             "    view_post_leg(view, 1, had + points - to->remaining);\n")]),
    Mutant("confirm-without-time", "a hold is confirmed, released or extended as long as it is there", RESERVATIONS, [
        Edit("service/domain/reservation.c", "bool due = view->now_ms >= view->expires_at_ms, gone",
             "bool due = false, gone")]),
    Mutant("process-clock", "the clock of an instance, which is two seconds ahead, decides what has expired",
           conformance("reservation_races", "every strategy", "optimistic"), [
        Edit("service/engine/batch.c", '#include "base/text.h"', '#include "base/clock.h"\n#include "base/text.h"'),
        Edit("service/engine/batch.c", ".now_ms = batch->now_ms,", ".now_ms = clock_wall_ms() + 2000,")]),
    Mutant("extend-without-version", "an extension gives the hold no version", RESERVATIONS, [
        Edit("service/domain/reservation.c",
             "        view_post_leg(view, i, 0);\n    for (size_t i = 0; i < operation_n_legs(operation); i++)\n"
             "        view_post_child(view, i, 0);\n", "        view_post_leg(view, i, 0);\n")]),
    Mutant("refused-before-expiring", "sold out, although holds that are due have the goods", RESERVATIONS, [
        Edit("service/engine/batch_expiry.c", "    if (!find_roots(batch, wanted))\n",
             "    if (!find_roots(batch, wanted) || true)\n")]),
]


def copy_tree():
    """Brings the copy to the state of the sources. What is equal stays untouched, and is not built again."""
    listed = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT,
                            capture_output=True, check=True)
    for name in os.fsdecode(listed.stdout).split("\0"):
        source, target = os.path.join(ROOT, name), os.path.join(TREE, name)
        if not os.path.isfile(source):
            continue
        with open(source, "rb") as file:
            data = file.read()
        write_if_changed(target, data)
        os.chmod(target, os.stat(source).st_mode)


def write_if_changed(path, data):
    if os.path.exists(path):
        with open(path, "rb") as file:
            if file.read() == data:
                return
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(data)


def mutate(mutant):
    for file, old, new in mutant.edits:
        path = os.path.join(TREE, file)
        with open(path, encoding="utf-8") as source:
            text = source.read()
        if text.count(old) != 1:
            raise SystemExit(f"mutants: {mutant.name} does not fit: {file} has {text.count(old)} times: {old.strip()}")
        with open(path, "w", encoding="utf-8") as source:
            source.write(text.replace(old, new))


def build(*targets):
    for command in (["cmake", "--preset", "dev", "-DHOLDFAST_WERROR=OFF"],
                    ["cmake", "--build", "build/dev", "--target", *targets]):
        done = subprocess.run(command, cwd=TREE, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"mutants: {' '.join(command)}:\n{done.stdout}{done.stderr}")


def passes(test):
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("HOLDFAST_", "CK_"))}
    with subprocess.Popen(test.command, cwd=test.folder, env={**clean, **test.environment},
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            return process.wait(RUN_S) == 0
        except subprocess.TimeoutExpired:
            process.terminate()  # at SIGTERM, libcheck ends the process of the test that hangs, too
            return False


def main():
    parser = argparse.ArgumentParser(prog="./dev mutants", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(m.name for m in MUTANTS))
    parser.add_argument("--runs", type=int, default=20, help="of each test; default 20")
    options = parser.parse_args()
    chosen = [mutant for mutant in MUTANTS if not options.names or mutant.name in options.names]
    if len(chosen) < len(options.names):
        parser.error(f"there are {', '.join(mutant.name for mutant in MUTANTS)}")
    copy_tree()
    build(*sorted({mutant.test.target for mutant in chosen}))
    for mutant in chosen:
        if not passes(mutant.test):
            raise SystemExit(f"mutants: without {mutant.name} its test fails too")
    survived = 0
    for mutant in chosen:
        copy_tree()
        mutate(mutant)
        build(mutant.test.target)
        red = sum(not passes(mutant.test) for _ in range(options.runs))
        survived += red < options.runs
        print(f"{mutant.name}: found {red} of {options.runs} times by {mutant.test.name} ({mutant.why})", flush=True)
    copy_tree()
    return 1 if survived else 0


if __name__ == "__main__":
    sys.exit(main())
