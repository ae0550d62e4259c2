"""Network faults of one instance: cut off from the lock server or the database, both ways or one, or slow."""

import time

from cluster import await_true
from registry import ALL, SERVER_LOCKS, fault

WAYS = ["refuse", "hold both", "hold up", "swallow down"]


def cut_off(scene, name, dependency):
    link = scene.link(0, name)
    for way in scene.some(WAYS):
        link.do(way)
        scene.bit(f"requests refused in time with {way}", scene.refused(0) != "")
        scene.await_unready(0, dependency, 20)
        scene.await_more("others' transactions", lambda: scene.done(only=[1, 2]), by=5, limit_s=30)
        link.do("pass")
        link.do("cut")  # swallowed bytes are not resent, so the connection is unusable
        scene.recover(0, time.monotonic())


@fault("partition-lock-server", 10, SERVER_LOCKS, transfers=SERVER_LOCKS, orders=SERVER_LOCKS)
def partition_lock_server(scene):
    """One instance is cut off from the lock server, in both directions or in one."""
    cut_off(scene, scene.lock_server, scene.strategy)


@fault("partition-database", 10, transfers=ALL)
def partition_database(scene):
    """One instance is cut off from the database, in both directions or in one."""
    cut_off(scene, "mysql", "database")


# Of one pair of accounts: where writers come in random order, a slow one may never come.
@fault("slow-network", 10, transfers=("conditional", "row-lock", *SERVER_LOCKS))
def slow_network(scene):
    """Latency between one instance and its servers: slow, but correct."""
    before = scene.done(only=[0])
    for link in scene.links[0].values():
        link.do("delay 15")
    time.sleep(1.5)
    # Where the lock order is random the slow instance may need many attempts.
    await_true(lambda: scene.done(only=[0]) > before, 30)
    scene.bit("slow transactions", scene.done(only=[0]) - before)
