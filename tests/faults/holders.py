"""The holder of a lock stands still past the end of its lease, or is told too late that it lost it."""

import time

from cluster import await_true
from registry import LOCKS, SERVER_LOCKS, fault
from scene import TTL_MS

TTL_S = TTL_MS / 1000
# One product: who waits, waits for the lock that the paused one has.
ONE = {"skus": 1}
# Without the database's own belts, so that the strategy's demand on the row is all there is; and
# without repeated keys, as their uniqueness is a belt.
UNBELTED = {"lab": "on", "lab.belts": "off", "combine.max_batch": 1}
ONCE = {"scenario": "deduct", "mix": None, "users": None, "skus": 1, "duplicate": None, "retry": None}


def others_go_on(scene, saving=True):
    """Somebody else takes the lock after the lease's end, and saves if it can."""
    if saving:
        scene.await_more("others' commits", lambda: scene.done(only=[1, 2]), by=5, limit_s=20)
    else:
        scene.await_more("others' locks", lambda: scene.acquired(only=[1, 2]), limit_s=20)


@fault("paused-holder", 1, LOCKS, load=ONE)
def paused_holder(scene):
    """The holder's process is stopped past the lease's end, wherever it hurts, and goes on."""
    for point in scene.some(["before-load", "before-save", "before-commit", "in-commit"]):
        with scene.paused(0, point, "stop"):
            # From before-commit on the stopped one has the row's own lock as well.
            others_go_on(scene, saving=point in ("before-load", "before-save"))
        await_true(lambda: scene.harm(only=[0]) > 0)
        scene.bit(f"holder found out after its stop {point}", scene.harm(only=[0]))


# With lanes: in direct mode another worker may be stopped with the row's lock.
@fault("paused-reader", 1, ("optimistic",), {"combine.max_batch": 256}, ONE)
def paused_reader(scene):
    """Who has read and not written yet is stopped while others write."""
    with scene.paused(0, "before-save", "stop"):
        others_go_on(scene)
    await_true(lambda: scene.harm(only=[0]) > 0)
    scene.bit("save refused after a stop before-save", scene.harm(only=[0]))


def overlap(scene):
    """The holder has looked at its lease for the last time and is stopped; the next holder reads the
    row as it was before, and waits for it to save; both go on."""
    with scene.paused(0, "in-commit", "stop"):
        others_go_on(scene, saving=False)
        await_true(lambda: scene.database.sql(
            "SELECT 1 FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'"
            " AND trx_query LIKE 'UPDATE counter%'", database=""), 20)


@fault("paused-holder-without-belts", 1, LOCKS, UNBELTED, ONCE, soak=False)
def paused_holder_without_belts(scene):
    """Without the database's belts: fence and version alone refuse who read before a late commit."""
    before = scene.harm(only=[1, 2])
    overlap(scene)
    await_true(lambda: scene.harm(only=[1, 2]) > before)
    scene.bit("stale writes refused", scene.harm(only=[1, 2]) - before)


@fault("paused-holder-without-fence", 1, LOCKS, {**UNBELTED, "lock.fence": "off"}, ONCE, soak=False,
       convicts=("versions-without-gap", "no-oversell", "conservation"))
def paused_holder_without_fence(scene):
    """The same with lock.fence=off: what is left is a lock, and the checker must see the harm."""
    overlap(scene)


@fault("stuck-worker", 2, LOCKS, {"lock.max_hold_ms": 2500}, ONE)
def stuck_worker(scene):
    """A worker is stuck with the lock while its lease is renewed: until the hard deadline."""
    with scene.paused(0, "before-save", "wait"):
        begin = time.monotonic()
        others_go_on(scene)
        if time.monotonic() - begin < TTL_S:
            raise AssertionError("the lease was not renewed")
    await_true(lambda: scene.harm(only=[0]) > 0)
    scene.bit("stuck holder found out", scene.harm(only=[0]))


@fault("renewal-delayed", 3, SERVER_LOCKS, load=ONE)
def renewal_delayed(scene):
    """The holder lives, and what it says to the lock server arrives too late."""
    with scene.paused(0, "before-save", "wait"):
        scene.link(0).do("hold up")
        others_go_on(scene)
    await_true(lambda: scene.harm(only=[0]) > 0)
    scene.link(0).do("pass")
    scene.bit("silent loss found out", scene.harm(only=[0]))


@fault("late-release", 4, LOCKS, load=ONE)
def late_release(scene):
    """A lock is released after its lease ended and another one has it: that one keeps it."""
    with scene.paused(0, "before-leave", "stop"):
        others_go_on(scene)
        with scene.paused(1, "before-save", "wait"):
            # Instance 1 has the lock, and renews it. The first one goes on, and releases.
            scene.resume(0)
            await_true(lambda: scene.lost(only=[0]) > 0)
            before = scene.done(only=[2])
            time.sleep(0.5)
            if scene.done(only=[2]) > before:
                raise AssertionError("a late release freed another one's lock")
    scene.bit("late release that freed nothing", scene.lost(only=[0]))
