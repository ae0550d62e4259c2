"""Scenes on failures: parts die or restart under load, and instances are replaced without a failed request."""

import time

from engine import run
from load import FICKLE, MIXED, Load
from registry import scene
from stack import INSTANCES, await_that

RECOVERY_S = 5  # from the health of MySQL until the instances work


def words(report):
    outcomes = report["outcomes"]
    return (f"{outcomes['ok']:,} acknowledged, 0 violations, {report['retries']:,} retries,"
            f" {outcomes['error']:,} answered with an error")


def is_loaded(stack, load):
    """Waits until the load has arrived, so that the following fault happens under load."""
    before = sum(stack.metric(instance, "holdfast_batch_size_count") for instance in INSTANCES)
    await_that(lambda: sum(stack.metric(instance, "holdfast_batch_size_count") for instance in INSTANCES) > before + 20,
               60, "load")
    if not load.running:
        raise AssertionError("the load ended before the fault")


def still_loaded(load):
    if not load.running:
        raise AssertionError("the load ended before the scene")


@scene("instance-killed")
def instance_killed(stack):
    """SIGKILL for an instance under load, and a restart."""
    stack.set_strategy("conditional")
    with Load(stack, 20, **MIXED) as load:
        is_loaded(stack, load)
        stack.kill("holdfast-2")
        await_that(lambda: stack.servers() == 1, 20, "HAProxy removes it")
        stack.start("holdfast-2")
        took_s = await_that(lambda: stack.probe("holdfast-2"), 60, "it works again")
        stack.settle()
        still_loaded(load)
        report = load.finish()
    return f"{words(report)}; working {took_s:.1f} s after its start"


def hot_place(stack):
    """The instance that does all the work now, or None if there is no such instance."""
    before = [stack.metric(instance, "holdfast_batch_size_sum") for instance in INSTANCES]
    time.sleep(1)
    done = [stack.metric(instance, "holdfast_batch_size_sum") - earlier for instance, earlier in zip(INSTANCES, before)]
    return INSTANCES[done.index(max(done))] if max(done) > 0.95 * sum(done) else None


@scene("routed")
def routed(stack):
    """One hot counter: HAProxy sends its requests to one instance. That one is killed under load and comes back."""
    stack.set_strategy("conditional")
    stack.settle()
    with Load(stack, 40, scenario="deduct", skus=1, connections=32, **FICKLE) as load:
        is_loaded(stack, load)
        await_that(lambda: hot_place(stack), 20, "one instance does all the work")
        place = hot_place(stack)
        other = next(instance for instance in INSTANCES if instance != place)
        stack.kill(place)
        await_that(lambda: stack.servers() == 1, 20, "HAProxy removes it")
        before = stack.metric(other, "holdfast_batch_size_sum")
        await_that(lambda: stack.metric(other, "holdfast_batch_size_sum") > before + 20, 20, "the other one takes over")
        stack.start(place)
        stack.settle()
        took_s = await_that(lambda: hot_place(stack) == place, 20, "it does all the work again")
        still_loaded(load)
        report = load.finish()
    return f"{words(report)}; {place} had the hot counter before, and {took_s:.1f} s after its return"


@scene("redis-restarted")
def redis_restarted(stack):
    """The lock server of every endpoint is restarted under load."""
    stack.set_strategy("redis-lock")
    with Load(stack, 20, **MIXED) as load:
        is_loaded(stack, load)
        before = sum(stack.metric(instance, "holdfast_reconnects_total", "redis-lock") for instance in INSTANCES)
        stack.restart("redis")
        took_s = await_that(lambda: all(stack.probe(instance) for instance in INSTANCES), 60, "locks are acquired again")
        felt = sum(stack.metric(instance, "holdfast_reconnects_total", "redis-lock") for instance in INSTANCES) - before
        still_loaded(load)
        report = load.finish()
    stack.set_strategy("conditional")
    if felt <= 0:
        raise AssertionError("no instance reconnected to Redis")
    return f"{words(report)}; {felt:.0f} reconnects, both instances working {took_s:.1f} s after Redis' start"


def answers(stack):
    """Runs MySQL's health check now. True if it is healthy."""
    test = stack.inspect(stack.container("mysql"))[0]["Config"]["Healthcheck"]["Test"]
    command = ["sh", "-c", test[1]] if test[0] == "CMD-SHELL" else test[1:]
    return run("docker", "exec", stack.container("mysql"), *command, check=False).returncode == 0


def recovered(stack):
    """Waits until MySQL is healthy and both instances work. Returns a text with both times."""
    down_s = await_that(lambda: answers(stack), 120, "MySQL is healthy", 0.05)
    begin = time.monotonic()
    for instance in INSTANCES:
        await_that(lambda instance=instance: stack.probe(instance), 60, f"{instance} works again", 0.02)
    took_s = time.monotonic() - begin
    if took_s > RECOVERY_S:
        raise AssertionError(f"working {took_s:.1f} s after MySQL was healthy, not {RECOVERY_S}")
    return f"MySQL healthy {down_s:.1f} s after its start, both instances working {took_s:.2f} s after that"


@scene("mysql-restarted")
def mysql_restarted(stack):
    """The database is shut down cleanly and restarted under load."""
    with Load(stack, 30, **MIXED) as load:
        is_loaded(stack, load)
        stack.restart("mysql")
        told = recovered(stack)
        still_loaded(load)
        report = load.finish()
    return f"{words(report)}; {told}"


@scene("mysql-killed")
def mysql_killed(stack):
    """SIGKILL for the database during commits: no acknowledged operation is lost."""
    with Load(stack, 30, **MIXED) as load:
        is_loaded(stack, load)
        stack.kill("mysql")
        await_that(lambda: not stack.probe(), 20, "requests fail", 0.02)
        stack.start("mysql")
        told = recovered(stack)
        still_loaded(load)
        report = load.finish()
    return f"{words(report)}, every acknowledged operation in the ledger; {told}"


@scene("rolling")
def rolling(stack):
    """Each instance is replaced by a new one, under an open loop without retries."""
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
