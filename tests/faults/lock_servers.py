"""Faults of a lock server: it dies, hangs, loses its data, answers too late, or its answer is lost."""

import time

from cluster import await_true
from holders import ONE, others_go_on
from registry import LOCKS, SERVER_LOCKS, fault
from scene import INSTANCES, TIMEOUT_MS, TTL_MS
import etcd_api
import zookeeper_wire

EVERY = range(INSTANCES)
# Longer than the scene, so that only a release, never an expired lease, can free a lock.
LONG_LEASE = {"lock.ttl_ms": 30000, "lock.max_hold_ms": 60000}


def await_still(scene):
    """Waits until commits stop: holders may finish until their leases expire, later commits are an error."""
    end, done = time.monotonic() + (TTL_MS + TIMEOUT_MS) / 1000, -1
    while scene.done() > done:
        if time.monotonic() > end:
            raise AssertionError("committed without a lock")
        done = scene.done()
        time.sleep(0.5)


@fault("lock-server-killed-with-partitions", 21, SERVER_LOCKS, {"lock.tenure_ms": 1000, "lock.partitions": 2})
@fault("lock-server-killed", 21, SERVER_LOCKS)
def lock_server_killed(scene):
    """kill -9 of the lock server, repeatedly: refused in time, and working again soon after."""
    server = scene.stack[scene.lock_server]
    for _ in range(1 if scene.brief else 3):
        server.kill()
        for i in EVERY:
            scene.bit("requests refused", scene.refused(i) != "")
            scene.await_unready(i, scene.strategy)
        await_still(scene)
        server.start()
        scene.recover_all(time.monotonic())


@fault("lock-server-hangs", 21, SERVER_LOCKS)
def lock_server_hangs(scene):
    """The lock server hangs: connections stay open, no answer comes."""
    server = scene.stack[scene.lock_server]
    server.stop()
    try:
        for i in EVERY:
            scene.bit("requests refused", scene.refused(i) != "")
            scene.await_unready(i, scene.strategy)
    finally:
        server.cont()
    scene.recover_all(time.monotonic())


@fault("redis-paused", 5, ("redis-lock",), {"lock.ttl_ms": 8000})
def redis_paused(scene):
    """Redis executes requests whose senders have timed out: no lock is left without an owner."""
    redis = scene.stack["redis"]
    redis.say(f"CLIENT PAUSE {3 * TIMEOUT_MS} ALL")
    for i in EVERY:
        scene.bit("locks not acquired in time", scene.refused(i) != "")
    await_true(lambda: redis.say("PING") == "+PONG", 20)
    # An earlier holder could not release, so its lock stays until its lease expires.
    scene.recover_all(time.monotonic())


@fault("lock-asked-late", 5, ("redis-lock",), LONG_LEASE)
def lock_asked_late(scene):
    """A request for the lock is delayed past its sender's timeout, and then executed."""
    link = scene.link(0)
    before = scene.count("holdfast_guard_enter_failed_total", only=[0])
    link.do("hold up")
    await_true(lambda: scene.count("holdfast_guard_enter_failed_total", only=[0]) > before)
    link.do("pass")
    scene.bit("locks not acquired in time",
              scene.count("holdfast_guard_enter_failed_total", only=[0]) - before)
    for i in EVERY:
        scene.await_more("transactions", lambda i=i: scene.done(only=[i]), limit_s=10)


@fault("memory-lost", 6, ("redis-lock",), load=ONE)
def memory_lost(scene):
    """Redis loses its data while a lock is held: two holders, and tokens that start again."""
    redis = scene.stack["redis"]
    lose = {"FLUSHALL": lambda: redis.say("FLUSHALL"), "kill -9": redis.restart}
    for how in scene.some(list(lose)):
        with scene.paused(0, "before-save", "wait"):
            before = scene.count("holdfast_stale_tokens_refused_total")
            lose[how]()
            others_go_on(scene)
            stale = scene.count("holdfast_stale_tokens_refused_total") - before
            scene.bit(f"stale tokens refused after {how}", stale)
        await_true(lambda: scene.harm(only=[0]) > 0)
        scene.bit("first holder refused", scene.harm(only=[0]))


@fault("session-expired", 11, ("zookeeper-lock",), load=ONE)
def session_expired(scene):
    """ZooKeeper ends the session of a live client that holds a lock."""
    zookeeper = scene.stack["zookeeper"]
    with scene.paused(0, "before-save", "wait"):
        ports = scene.link(0).ports()
        ours = [s for port, s in zookeeper_wire.sessions(zookeeper).items() if port in ports]
        scene.bit("sessions ended", len(ours))
        for session in ours:
            zookeeper_wire.end_session(zookeeper, session)
        others_go_on(scene)
    await_true(lambda: scene.lost(only=[0]) > 0)
    scene.bit("locks lost with the session", scene.lost(only=[0]))
    scene.recover(0, time.monotonic())


@fault("session-cut", 11, ("zookeeper-lock",), load=ONE)
def session_cut(scene):
    """ZooKeeper is unreachable for longer than the session timeout: the lock counts as lost."""
    with scene.paused(0, "before-save", "wait"):
        scene.link(0).do("hold both")
        others_go_on(scene)
    await_true(lambda: scene.lost(only=[0]) > 0)
    scene.link(0).do("pass")
    since = time.monotonic()
    scene.bit("locks lost with the session", scene.lost(only=[0]))
    scene.recover(0, since, 4)


@fault("create-unanswered", 12, ("zookeeper-lock", "etcd-lock"), LONG_LEASE)
def create_unanswered(scene):
    """The answer to joining the queue is lost: no orphaned entry stays in the queue."""
    word = {"zookeeper": "holdfast", "etcd": "/v3/kv/txn"}[scene.lock_server]
    link = scene.link(0)
    link.do(f"lose 3 {word}")
    await_true(lambda: link.lost() >= 3, 20)
    link.do("pass")
    scene.bit("answers lost", link.lost())
    for i in EVERY:  # long before a lease expires
        scene.await_more("transactions", lambda i=i: scene.done(only=[i]), by=10, limit_s=10)


@fault("lease-revoked", 13, ("etcd-lock",), load=ONE)
def lease_revoked(scene):
    """etcd revokes the leases of the lock holder and of the waiters."""
    etcd = scene.stack["etcd"]
    with scene.paused(0, "before-save", "wait"):
        scene.bit("leases revoked", etcd_api.revoke_all(etcd))
        others_go_on(scene)
    await_true(lambda: scene.harm(only=[0]) > 0)
    scene.bit("holder found out", scene.harm(only=[0]))


@fault("unlock-unanswered", 14, LOCKS, LONG_LEASE, ONE)
def unlock_unanswered(scene):
    """The answer to a release is lost: the retry frees no other owner's lock and blocks no waiter."""
    words = {"redis-lock": "EVALSHA", "zookeeper-lock": "holdfast", "etcd-lock": "/v3/kv/",
             "lock-table": "lock_row"}
    link = scene.link(0)
    with scene.paused(0, "before-leave", "wait"):
        link.do(f"lose 1 {words[scene.strategy]}")
    await_true(lambda: link.lost() > 0, 20)
    link.do("pass")
    scene.bit("answers lost", link.lost())
    for i in EVERY:
        scene.await_more("transactions", lambda i=i: scene.done(only=[i]), by=10, limit_s=15)
