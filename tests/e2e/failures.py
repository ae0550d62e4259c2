"""What dies or is restarted under load, and what is replaced without anybody noticing."""

import time

from engine import run
from load import MIXED, Load
from registry import scene
from stack import INSTANCES, await_that

RECOVERY_S = 5  # of a service whose database is healthy again


def words(report):
    outcomes = report["outcomes"]
    return (f"{outcomes['ok']:,} acknowledged, 0 violations, {report['retries']:,} retries,"
            f" {outcomes['error']:,} answers that were errors")


def is_loaded(stack, load):
    """Waits until the load is felt, so that what is broken next is broken under it."""
    before = sum(stack.metric(instance, "holdfast_batch_size_count") for instance in INSTANCES)
    await_that(lambda: sum(stack.metric(instance, "holdfast_batch_size_count") for instance in INSTANCES) > before + 20,
               60, "load")
    if not load.running:
        raise AssertionError("the load ended before anything was broken")


def still_loaded(load):
    if not load.running:
        raise AssertionError("the load ended before it was over")


@scene("instance-killed")
def instance_killed(stack):
    """SIGKILL for an instance in the middle of its work, and a start."""
    stack.set_strategy("conditional")
    with Load(stack, 20, **MIXED) as load:
        is_loaded(stack, load)
        stack.kill("holdfast-2")
        await_that(lambda: stack.servers() == 1, 20, "HAProxy leaves it out")
        stack.start("holdfast-2")
        took_s = await_that(lambda: stack.probe("holdfast-2"), 60, "it works again")
        stack.settle()
        still_loaded(load)
        report = load.finish()
    return f"{words(report)}; at work {took_s:.1f} s after its start"


@scene("redis-restarted")
def redis_restarted(stack):
    """The lock server of all that is done goes and comes back."""
    stack.set_strategy("redis-lock")
    with Load(stack, 20, **MIXED) as load:
        is_loaded(stack, load)
        before = sum(stack.metric(instance, "holdfast_reconnects_total", "redis-lock") for instance in INSTANCES)
        stack.restart("redis")
        took_s = await_that(lambda: all(stack.probe(instance) for instance in INSTANCES), 60, "locks are had again")
        felt = sum(stack.metric(instance, "holdfast_reconnects_total", "redis-lock") for instance in INSTANCES) - before
        still_loaded(load)
        report = load.finish()
    stack.set_strategy("conditional")
    if felt <= 0:
        raise AssertionError("nobody noticed that Redis was restarted")
    return f"{words(report)}; {felt:.0f} reconnects, both instances at work {took_s:.1f} s after Redis' start"


def answers(stack):
    """Whether MySQL is well, as its health check sees it, but asked at once."""
    test = stack.inspect(stack.container("mysql"))[0]["Config"]["Healthcheck"]["Test"]
    command = ["sh", "-c", test[1]] if test[0] == "CMD-SHELL" else test[1:]
    return run("docker", "exec", stack.container("mysql"), *command, check=False).returncode == 0


def recovered(stack):
    """Seconds from MySQL's health until both instances do work again."""
    down_s = await_that(lambda: answers(stack), 120, "MySQL is healthy", 0.05)
    begin = time.monotonic()
    for instance in INSTANCES:
        await_that(lambda instance=instance: stack.probe(instance), 60, f"{instance} works again", 0.02)
    took_s = time.monotonic() - begin
    if took_s > RECOVERY_S:
        raise AssertionError(f"at work {took_s:.1f} s after MySQL was healthy, not {RECOVERY_S}")
    return f"MySQL healthy {down_s:.1f} s after its start, both instances at work {took_s:.2f} s after that"


@scene("mysql-restarted")
def mysql_restarted(stack):
    """The database is shut down in order, and started."""
    with Load(stack, 30, **MIXED) as load:
        is_loaded(stack, load)
        stack.restart("mysql")
        told = recovered(stack)
        still_loaded(load)
        report = load.finish()
    return f"{words(report)}; {told}"


@scene("mysql-killed")
def mysql_killed(stack):
    """SIGKILL for the database in the middle of its commits: what was acknowledged is there."""
    with Load(stack, 30, **MIXED) as load:
        is_loaded(stack, load)
        stack.kill("mysql")
        await_that(lambda: not stack.probe(), 20, "its absence is felt", 0.02)
        stack.start("mysql")
        told = recovered(stack)
        still_loaded(load)
        report = load.finish()
    return f"{words(report)}, every acknowledged operation in the ledger; {told}"


@scene("rolling")
def rolling(stack):
    """Each instance is replaced by a new one, under an open loop that tries nothing twice."""
    stack.set_strategy("conditional")
    stack.settle()
    before = {instance: stack.container(instance) for instance in INSTANCES}
    with Load(stack, 45, scenario="mixed", skus=3, users=2000, rate=150, connections=64) as load:
        is_loaded(stack, load)
        for instance in INSTANCES:
            stack.replace(instance)
            stack.settle()
        still_loaded(load)
        report = load.finish()
    if any(stack.container(instance) == container for instance, container in before.items()):
        raise AssertionError("an instance was not replaced")
    outcomes = report["outcomes"]
    if outcomes["error"] or outcomes["unknown"] or report["retries"] or report["timeouts"]:
        raise AssertionError(f"requests failed: {outcomes} {report['statuses']} {report['problems']}")
    return (f"both instances replaced under {report['rate']:.0f} requests/s: {report['requests']:,} requests,"
            f" 0 failed, 0 retried, 0 violations, p99 {report['latency_ms']['p99']:.0f} ms")
