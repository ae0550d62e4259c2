"""One instance is cut off: from the lock server only, from the database only, in one direction only."""

import time

from cluster import await_true
from registry import SERVER_LOCKS, fault

WAYS = ["refuse", "hold both", "hold up", "swallow down"]


def cut_off(scene, name, dependency):
    link = scene.link(0, name)
    for way in scene.some(WAYS):
        link.do(way)
        scene.bit(f"requests refused in time with {way}", scene.refused(0) != "")
        scene.await_unready(0, dependency, 20)
        scene.await_more("others' transactions", lambda: scene.done(only=[1, 2]), by=5)
        link.do("pass")
        link.do("cut")  # what was swallowed is not made good: a connection that lost bytes is broken
        scene.recover(0, time.monotonic())


@fault("partition-lock-server", 10, SERVER_LOCKS)
def partition_lock_server(scene):
    """Between one instance and the lock server nothing passes, or only one way."""
    cut_off(scene, scene.lock_server, scene.strategy)


@fault("partition-database", 10)
def partition_database(scene):
    """Between one instance and the database nothing passes, or only one way."""
    cut_off(scene, "mysql", "database")


@fault("slow-network", 10)
def slow_network(scene):
    """Everything between one instance and its servers takes a while: slow, and right."""
    before = scene.done(only=[0])
    for link in scene.links[0].values():
        link.do("delay 15")
    time.sleep(1.5)
    # Where the order is luck the slow one may have to try for long.
    await_true(lambda: scene.done(only=[0]) > before, 30)
    scene.bit("slow transactions", scene.done(only=[0]) - before)
