"""Faults of an order with several lines: one line is blocked, its lock cannot be had, a COMMIT has no answer."""

import concurrent.futures
import contextlib
import itertools
import os
import time

from callers import ask, rows_by_key
from cluster import await_true, call
from registry import LOCKS, SERVER_LOCKS, fault
from reservations import EVERY, QUIET, put, unanswered
from scene import SLACK_S

# Long enough to tell a request that waits for an order until that is given up, after two seconds, from one
# that waits until its deadline.
PATIENCE_MS = 8000
PATIENT = {"request.timeout_ms": PATIENCE_MS, "lock.wait_ms": PATIENCE_MS}
GIVEN_UP_S = 2 + SLACK_S


def order(name, *skus):
    return ("/v1/orders", {"user_id": "reader-0", "order_id": name,
                           "lines": [{"sku": sku, "quantity": 1} for sku in skus]}, name)


def only_what_needs_it(scene, name, blocked):
    """While `blocked`, a context of this name, keeps STUCK from everyone: at every instance an order that needs it
    is refused in time, deducts of its other line need not wait until then, and an order with that line succeeds.
    After that the first succeeds too, once."""
    for sku in ("FREE-1", "FREE-2", "STUCK"):
        put(scene, sku, 100000)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        with blocked():
            for i in EVERY:
                stuck = pool.submit(timed, scene, i, order(f"stuck-{name}-{i}", "FREE-1", "STUCK"))
                slowest_s = 0
                for n in itertools.count():
                    deduct = ("/v1/stock/FREE-1/deduct", {"quantity": 1}, f"deduct-{name}-{i}-{n}")
                    answer, took_s = timed(scene, i, deduct)
                    slowest_s = max(slowest_s, took_s)
                    if answer.status != 200 or took_s > GIVEN_UP_S:
                        raise AssertionError(f"delayed by a line that it does not need: {answer}, {took_s:.1f} s")
                    if stuck.done():
                        break
                # Behind another order that is stuck it may be refused: it waits for a second line too.
                answer = ask(scene, i, *order(f"free-{name}-{i}", "FREE-1", "FREE-2"))
                if answer.status != 201:
                    raise AssertionError(answer)
                answer, took_s = stuck.result()
                if answer.status != 503 or took_s > PATIENCE_MS / 1000 + SLACK_S:
                    raise AssertionError(f"{answer} after {took_s:.1f} s")
                scene.bit("orders refused in time")
                scene.bit("ms that others waited for it", 1000 * slowest_s)
            scene.await_more("transactions on other rows", scene.done, by=10)
    for i in EVERY:
        await_whole(scene, i, f"stuck-{name}-{i}")


def timed(scene, i, request):
    """The answer to one request, and how long it took, in seconds."""
    begin = time.monotonic()
    answer = scene.instances[i].call("POST", *request)
    return answer, time.monotonic() - begin


def await_whole(scene, i, name):
    """The order succeeds now, and has both its lines and its own row."""
    answer = ask(scene, i, *order(name, "FREE-1", "STUCK"))
    rows = rows_by_key(scene)[name]
    if answer.status != 201 or {row.counter for row in rows} != {"stock/FREE-1", "stock/STUCK", f"order/{name}"} \
            or len(rows) != 3:
        raise AssertionError(f"{answer}: {rows}")


@fault("line-blocked", 17, settings=PATIENT, workload="orders")
def line_blocked(scene):
    """An idle transaction holds the row of an order's second line: only what needs that line waits."""
    only_what_needs_it(scene, "row", lambda: scene.database.held(
        "START TRANSACTION; UPDATE counter SET version = version WHERE name = 'stock/STUCK'"))


@contextlib.contextmanager
def lock_held(scene):
    """One more instance holds the lock of STUCK, and renews it."""
    file = scene.new_file()
    i = scene.add(pause=f"before-save@stock:1:{file}:wait", **QUIET)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        answer = pool.submit(call, scene.instances[i].port, "POST", "/v1/stock/STUCK/deduct", {"quantity": 1},
                             f"holder-{i}")
        await_true(lambda: os.path.exists(file), 20)
        try:
            yield
        finally:
            os.unlink(file)
    if answer.result().status != 200:
        raise AssertionError(answer.result())


@fault("line-locked", 17, LOCKS, PATIENT, workload="orders")
def line_locked(scene):
    """Another holder has the lock of an order's second line: only what needs that line waits."""
    only_what_needs_it(scene, "lock", lambda: lock_held(scene))


@fault("partition-between-lines", 10, SERVER_LOCKS, workload="orders")
def partition_between_lines(scene):
    """An instance that waits for the lock of an order's second line is cut off from the lock server: the order
    is whole, and its first line is free again."""
    for sku in ("FREE-1", "STUCK"):
        put(scene, sku, 100000)
    for way in scene.some(["refuse", "hold both"]):
        name = way.replace(" ", "-")
        with concurrent.futures.ThreadPoolExecutor() as pool:
            with lock_held(scene):
                failed = scene.count("holdfast_guard_enter_failed_total", only=[0])
                cut = pool.submit(call, scene.instances[0].port, "POST", *order(f"cut-{name}", "FREE-1", "STUCK"))
                await_true(lambda: scene.count("holdfast_guard_enter_failed_total", only=[0]) > failed
                           or cut.done())
                scene.link(0).do(way)
            await_whole(scene, 1, f"other-{name}")
            if cut.result().status != 503:
                raise AssertionError(f"succeeded without its locks: {cut.result()}")
        scene.link(0).do("pass")
        scene.link(0).do("cut")
        scene.recover(0, time.monotonic())
        await_whole(scene, 0, f"cut-{name}")
        scene.bit(f"orders cut off with {way}")


@fault("order-unanswered", 8, workload="orders")
def order_unanswered(scene):
    """The answers to the COMMITs of an order, a refund and a cancellation are lost, and the client asks again:
    each happens once."""
    for sku in ("FREE-1", "STUCK"):
        put(scene, sku, 100000)
    back = {"lines": [{"line": 0, "quantity": 1, "restock": True}]}
    for status, request in ((201, order("unanswered", "FREE-1", "STUCK")),
                            (200, ("/v1/orders/unanswered/refunds", back, "unanswered-refund")),
                            (200, ("/v1/orders/unanswered/cancel", {}, "unanswered-cancel"))):
        answer = unanswered(scene, *request)
        if answer.status != status:
            raise AssertionError(answer)
    rows = [row for group in rows_by_key(scene).values() for row in group
            if row.counter in ("order/unanswered", "stock/FREE-1", "stock/STUCK") and row.key.startswith("unanswered")]
    deltas = sorted((row.counter, row.delta) for row in rows)
    if deltas != [("order/unanswered", -1), ("order/unanswered", -1), ("order/unanswered", 2), ("stock/FREE-1", -1),
                  ("stock/FREE-1", 1), ("stock/STUCK", -1), ("stock/STUCK", 1)]:
        raise AssertionError(f"not once: {rows}")
