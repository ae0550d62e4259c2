"""Faults of a lock holder: it is paused past the end of its lease, or learns too late of its loss."""

import time

from cluster import await_true
from registry import LOCKS, SERVER_LOCKS, fault
from scene import TTL_MS

TTL_S = TTL_MS / 1000
# One product, so every waiter waits for the lock of the paused holder.
ONE = {"skus": 1}
# Without the database's constraints, so that only the strategy's demand on the row protects. And without
# repeated keys, because their uniqueness is one of the constraints.
UNCONSTRAINED = {"lab": "on", "lab.belts": "off", "combine.max_batch": 1}
ONCE = {"scenario": "deduct", "mix": None, "users": None, "skus": 1, "duplicate": None, "retry": None}


def others_go_on(scene, saving=True):
    """Waits until another instance takes the expired lock and, if `saving`, commits."""
    if saving:
        scene.await_more("others' commits", lambda: scene.done(only=[1, 2]), by=5, limit_s=20)
    else:
        scene.await_more("others' locks", lambda: scene.acquired(only=[1, 2]), limit_s=20)


# A lock that is kept for many rounds, and serves many counters.
KEPT = {"lock.tenure_ms": 1000, "lock.partitions": 2}


@fault("paused-holder-of-partition", 1, LOCKS, KEPT, load=ONE, transfers=LOCKS)
@fault("paused-holder", 1, LOCKS, load=ONE, transfers=LOCKS)
def paused_holder(scene):
    """The holder's process is stopped past the end of its lease, at each critical point, and continues."""
    for point in scene.some(["before-load", "before-save", "before-commit", "in-commit"]):
        with scene.paused(0, point, "stop"):
            # From before-commit on the stopped process also holds the row lock.
            others_go_on(scene, saving=point in ("before-load", "before-save"))
        if point == "in-commit":
            # Only its release asks for the lock, and finds out if the lock server answers at once.
            scene.bit(f"lock taken by others during a stop {point}")
        else:
            await_true(lambda: scene.harm(only=[0]) > 0)
            scene.bit(f"holder found out after its stop {point}", scene.harm(only=[0]))


# With lanes, because in direct mode another worker may be stopped while it holds the row lock.
@fault("paused-reader", 1, ("optimistic",), {"combine.max_batch": 256}, ONE, transfers=("optimistic",))
def paused_reader(scene):
    """An instance is stopped between reading and writing, while the others write."""
    with scene.paused(0, "before-save", "stop"):
        others_go_on(scene)
    await_true(lambda: scene.harm(only=[0]) > 0)
    scene.bit("save refused after a stop before-save", scene.harm(only=[0]))


def overlap(scene):
    """The holder is stopped after its last check of the lease. The next holder reads the old row and waits
    for its row lock. Then both continue."""
    with scene.paused(0, "in-commit", "stop"):
        others_go_on(scene, saving=False)
        await_true(lambda: scene.database.sql(
            "SELECT 1 FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'"
            " AND trx_query LIKE 'UPDATE counter%'", database=""), 20)


@fault("paused-holder-without-belts", 1, LOCKS, UNCONSTRAINED, ONCE, soak=False)
def paused_holder_without_belts(scene):
    """Without the database's constraints: fence and version alone refuse a holder that read too early."""
    before = scene.harm(only=[1, 2])
    overlap(scene)
    await_true(lambda: scene.harm(only=[1, 2]) > before)
    scene.bit("stale writes refused", scene.harm(only=[1, 2]) - before)


@fault("paused-holder-without-fence", 1, LOCKS, {**UNCONSTRAINED, "lock.fence": "off"}, ONCE, soak=False,
       convicts=("versions-without-gap", "no-oversell", "conservation"))
def paused_holder_without_fence(scene):
    """The same with lock.fence=off: only the lock is left, and the checker must find the violation."""
    overlap(scene)


@fault("stuck-worker", 2, LOCKS, {"lock.max_hold_ms": 2500}, ONE)
def stuck_worker(scene):
    """A worker is stuck while its lease is renewed: it loses the lock at the hard deadline."""
    with scene.paused(0, "before-save", "wait"):
        begin = time.monotonic()
        others_go_on(scene)
        if time.monotonic() - begin < TTL_S:
            raise AssertionError("the lease was not renewed")
    await_true(lambda: scene.harm(only=[0]) > 0)
    scene.bit("stuck holder found out", scene.harm(only=[0]))


@fault("renewal-delayed", 3, SERVER_LOCKS, load=ONE)
def renewal_delayed(scene):
    """The holder is alive, but its renewals reach the lock server too late."""
    with scene.paused(0, "before-save", "wait"):
        scene.link(0).do("hold up")
        others_go_on(scene)
    await_true(lambda: scene.harm(only=[0]) > 0)
    scene.link(0).do("pass")
    scene.bit("silent loss found out", scene.harm(only=[0]))


@fault("late-release", 4, LOCKS, load=ONE)
def late_release(scene):
    """A lock is released after its lease expired: the new owner keeps it."""
    with scene.paused(0, "before-leave", "stop"):
        others_go_on(scene)
        with scene.paused(1, "before-save", "wait"):
            # Instance 1 holds the lock and renews it. Instance 0 continues and releases.
            scene.resume(0)
            await_true(lambda: scene.lost(only=[0]) > 0)
            before = scene.done(only=[2])
            time.sleep(0.5)
            if scene.done(only=[2]) > before:
                raise AssertionError("a late release freed the lock of another owner")
    scene.bit("late release that freed nothing", scene.lost(only=[0]))
