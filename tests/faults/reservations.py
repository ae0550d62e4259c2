"""Faults around the moment when a hold expires: a confirmation that waits past it, sweepers that meet, a clock
that is put back, a COMMIT without an answer."""

import concurrent.futures
import contextlib
import os
import time

from callers import ask, rows_by_key, slug
from cluster import await_true, call
from registry import NotHere, fault
from scene import INSTANCES, SLACK_S, TIMEOUT_MS

EVERY = range(INSTANCES)
NEVER_MS = 3600000
# An instance that does only what the scene asks of it, and waits long for that.
QUIET = {"reservation__sweep_ms": NEVER_MS, "request__timeout_ms": 20000, "workers": 1}


def put(scene, sku, quantity):
    answer = scene.instances[0].call("PUT", f"/v1/stock/{sku}", {"quantity": quantity, "price_cents": 100})
    if answer.status not in (200, 201):
        raise AssertionError(answer)


def reserve(scene, i, sku, ttl_s, key):
    """Reserves one unit. Returns the reservation and its moment."""
    body = {"ttl_s": ttl_s, "lines": [{"sku": sku, "quantity": 1}]}
    answer = ask(scene, i, "/v1/reservations", body, key)
    if answer.status != 201:
        raise AssertionError(answer)
    return answer.body["reservation_id"], answer.body["expires_at_ms"]


def await_moment(scene, moment_ms):
    """Waits until the database's time is past this moment."""
    await_true(lambda: scene.database.sql(
        f"SELECT UNIX_TIMESTAMP(NOW(3)) * 1000 >= {moment_ms}", database="") == [["1"]], 20)


def end_of(scene, reservation):
    """The row that ended the only hold of a reservation."""
    rows = [row for group in rows_by_key(scene).values() for row in group
            if row.counter.startswith("hold/") and f"/{reservation}/" in row.counter and row.delta < 0]
    if len(rows) != 1:
        raise AssertionError(f"{reservation} ended {len(rows)} times: {rows}")
    return rows[0]


@contextlib.contextmanager
def confirmation_paused(scene, action, sku):
    """A confirmation that was decided in time and then paused at one more instance before it saves, until its
    moment is past. Yields the instance, the reservation, its moment and the answer to come. `action`: as for
    a pause point."""
    with concurrent.futures.ThreadPoolExecutor() as pool:
        for n in range(5):  # a machine that is busy may confirm too late
            file = scene.new_file()
            i = scene.add(pause=f"before-save@reservation:1:{file}:{action}", **QUIET)
            reservation, moment_ms = reserve(scene, 0, sku, 2, f"in-time-{sku}-{n}")
            answer = pool.submit(call, scene.instances[i].port, "POST",
                                 f"/v1/reservations/{reservation}/confirm", {}, f"confirm-in-time-{sku}-{n}")
            await_true(lambda f=file, a=answer: os.path.exists(f) or a.done(), 20)
            if os.path.exists(file):
                break
            put(scene, sku, 1)
        else:
            raise AssertionError("never confirmed in time")
        try:
            await_moment(scene, moment_ms)
            yield i, reservation, moment_ms, answer
        finally:
            os.unlink(file)
            scene.resume(i)


# The sweeper would expire the hold that this scene leaves alone.
@fault("decided-in-time", 22, settings={"reservation.sweep_ms": NEVER_MS}, workload="reservations")
def decided_in_time(scene):
    """A confirmation is decided before its moment and committed after it: it counts."""
    put(scene, "LAST", 1)
    with confirmation_paused(scene, "wait", "LAST") as (_, reservation, moment_ms, answer):
        pass
    row = end_of(scene, reservation)
    if answer.result().status != 200 or row.reason != "confirm" or row.created_at_ms >= moment_ms:
        raise AssertionError(f"expires at {moment_ms}: {answer.result()}, {row}")
    scene.bit("confirmations committed after their moment")
    scene.restart(0, reservation__sweep_ms=100)


@fault("expired-meanwhile", 22, workload="reservations")
def expired_meanwhile(scene):
    """An instance is stopped between load and save of a confirmation, and another sells what has expired."""
    put(scene, "LAST", 1)
    with confirmation_paused(scene, "stop", "LAST") as (i, reservation, moment_ms, answer):
        await_true(lambda: scene.is_stopped(i))
        deduct = ("/v1/stock/LAST/deduct", {"quantity": 1}, "buyer")
        if scene.strategy == "row-lock":  # the stopped transaction has the row
            bought = scene.instances[1].call("POST", *deduct, timeout_s=TIMEOUT_MS / 1000 + SLACK_S)
            if bought.status != 503:
                raise AssertionError(f"sold while its row was locked: {bought}")
        else:
            bought = ask(scene, 1, *deduct)
            if bought.status != 200:
                raise AssertionError(f"refused although the hold had expired: {bought}")
    # The second request is refused.
    bought, confirmed = ask(scene, 1, *deduct), answer.result()
    row = end_of(scene, reservation)
    first = {"confirm": (200, 409), "expire": (409, 200)}[row.reason]
    if (confirmed.status, bought.status) != first or \
            (row.created_at_ms >= moment_ms) != (row.reason == "expire"):
        raise AssertionError(f"expires at {moment_ms}: {confirmed}, {bought}, {row}")
    if (scene.strategy == "row-lock") != (row.reason == "confirm"):
        raise AssertionError(f"not the one that was first: {row}")
    scene.bit(f"refused for the other's {row.reason}")


def sweeper_lag(scene, i):
    return sum(value for series, value in scene.instances[i].metrics()
               if series[0].startswith("holdfast_sweeper_lag_"))


# With the load tester's mix: the only replays of reservations are then those of the sweepers.
@fault("sweepers-at-once", 22, settings={"reservation.sweep_ms": 10})
def sweepers_at_once(scene):
    """Three sweepers find the same holds at once: each hold goes back once."""
    holds = 40
    put(scene, "SWEPT", holds)
    made = [reserve(scene, n, "SWEPT", 1, f"swept-{n}") for n in range(holds)]
    with scene.database.held("START TRANSACTION; UPDATE counter SET version = version WHERE name = 'stock/SWEPT'"):
        await_true(lambda: all(sweeper_lag(scene, i) > 0 for i in EVERY), 20)
    await_true(lambda: scene.instances[0].call("GET", "/v1/stock/SWEPT").body["remaining"] == holds, 30)
    for reservation, moment_ms in made:
        row = end_of(scene, reservation)
        if row.reason != "expire" or row.created_at_ms < moment_ms:
            raise AssertionError(f"expires at {moment_ms}: {row}")
    scene.bit("holds swept", holds)
    scene.bit("expiries that another sweeper had done", scene.count("holdfast_replays_total",
                                                                    'endpoint="reservation"'))


@fault("clock-put-back", 22, settings={"reservation.sweep_ms": NEVER_MS}, soak=False, workload="reservations")
def clock_put_back(scene):
    """The database's clock is put back: what has expired stays expired, and what is held stays held."""
    mysql = scene.stack["mysql"]
    if mysql.clock_library() is None:
        raise NotHere("the package faketime is not installed")
    put(scene, "GONE", 1)
    put(scene, "SEEN", 1)
    put(scene, "KEPT", 2)
    scene.exits.callback(mysql.machine_clock)
    mysql.own_clock()
    scene.recover_all(time.monotonic(), 10)
    gone, _ = reserve(scene, 0, "GONE", 1, "gone")
    seen, moment_ms = reserve(scene, 0, "SEEN", 1, "seen")
    await_moment(scene, moment_ms)
    confirm(scene, gone, 409, "before")
    await_state(scene, seen, "expired")
    kept, _ = reserve(scene, 0, "KEPT", 15, "kept")
    left, left_until_ms = reserve(scene, 0, "KEPT", 1, "left")
    mysql.set_clock(-60)
    await_true(lambda: now_ms(scene) < left_until_ms - 30000)
    for name, reservation in (("gone", gone), ("seen", seen)):
        confirm(scene, reservation, 409, name)
        await_state(scene, reservation, "expired")
        if end_of(scene, reservation).reason != "expire":
            raise AssertionError(f"it was expired before: {end_of(scene, reservation)}")
    confirm(scene, kept, 200, "kept")
    if ask(scene, 1, "/v1/stock/KEPT/deduct", {"quantity": 1}, "early").status != 409:
        raise AssertionError("sold although it is held")
    scene.await_more("transactions in the past", scene.done, by=20)
    mysql.set_clock(0)
    await_moment(scene, left_until_ms)
    if ask(scene, 1, "/v1/stock/KEPT/deduct", {"quantity": 1}, "late").status != 200:
        raise AssertionError(f"still held: {left}")
    scene.bit("clock put back")
    scene.restart(0, reservation__sweep_ms=100)


def await_state(scene, reservation, state):
    await_true(lambda: scene.instances[1].call("GET", f"/v1/reservations/{reservation}").body.get("state") == state)


def now_ms(scene):
    ((now,),) = scene.database.sql("SELECT UNIX_TIMESTAMP(NOW(3)) * 1000", database="")
    return float(now)


def confirm(scene, reservation, status, name):
    for i in EVERY:
        answer = ask(scene, i, f"/v1/reservations/{reservation}/confirm", {}, f"confirm-{name}-{i}")
        if answer.status != (status if i == 0 else 409):
            raise AssertionError(f"confirmed {name}: {answer}")


def unanswered(scene, path, body, key):
    """Sends a request to one more instance, which loses the answer to its COMMIT, and again until it is known.
    Returns the answer."""
    i = scene.add(**QUIET)
    if scene.probe(i).status != 200:  # connects to the database
        raise AssertionError("a new instance does not work")
    scene.link(i, "mysql").do("lose 1 );COMMIT")  # with the ledger's rows in front, not that of a lock
    first = scene.instances[i].call("POST", path, body, key)
    if scene.link(i, "mysql").lost() != 1:
        raise AssertionError("no COMMIT was lost")
    answer = ask(scene, 0, path, body, key)
    if first.status != 503 and (first.status, first.body) != (answer.status, answer.body):
        raise AssertionError(f"one key, several answers: {first}, {answer}")
    if first.status == 503 and slug(first) != "outcome-unknown":
        raise AssertionError(first)
    scene.bit("answers lost")
    return answer


@fault("confirm-unanswered", 8, workload="reservations")
def confirm_unanswered(scene):
    """The answer to the COMMIT of a confirmation is lost, and the client asks again: it is sold once."""
    put(scene, "LAST", 1)
    reservation, _ = reserve(scene, 0, "LAST", 30, "last")
    answer = unanswered(scene, f"/v1/reservations/{reservation}/confirm", {}, "confirm-last")
    if answer.status != 200 or end_of(scene, reservation).key != "confirm-last":
        raise AssertionError(f"{answer}, {end_of(scene, reservation)}")
