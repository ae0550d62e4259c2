"""Faults of the service itself: an instance is killed or terminated."""

import signal
import time

from cluster import await_true
from registry import ALL, LOCKS, fault
from scene import INSTANCES

POINTS = ["before-load", "before-save", "before-commit", "in-commit", "after-commit", "before-leave"]


@fault("instance-killed", 7, transfers=ALL, reservations=ALL, orders=ALL)
def instance_killed(scene):
    """kill -9 of an instance at each step of a section, one after the other."""
    # Without a lock there is nothing to leave.
    for n, point in enumerate(scene.some(POINTS if scene.strategy in LOCKS else POINTS[:-1])):
        i = n % INSTANCES
        with scene.paused(i, point, "stop"):
            scene.instances[i].kill()
            scene.bit("instances killed")
        scene.start(i)
        await_true(lambda i=i: scene.probe(i).status == 200, 20)
    # The locks of the killed instances expire.
    for i in range(INSTANCES):
        scene.await_more("transactions", lambda i=i: scene.done(only=[i]), by=5, limit_s=20)


@fault("terminated", 20)
def terminated(scene):
    """SIGTERM under load, one instance after the other: each drains, and no acknowledged operation is lost."""
    for i in range(INSTANCES):
        time.sleep(scene.random.uniform(0.1, 0.4))
        before = scene.done(only=[i])
        begin = time.monotonic()
        scene.remember(i)
        scene.instances[i].signal(signal.SIGTERM)
        if scene.instances[i].wait(15) != 0:
            raise AssertionError(f"did not drain:\n{scene.instances[i].read_log()}")
        if time.monotonic() - begin > 10:
            raise AssertionError("took more than 10 s to end")
        scene.bit("transactions before SIGTERM", before)
        scene.start(i)
        await_true(lambda i=i: scene.probe(i).status == 200, 20)
