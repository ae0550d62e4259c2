"""Faults of the database: it dies, loses an answer, hangs, or its disk is full."""

import contextlib
import os
import resource
import time

import backends
from cluster import Instance, SqliteDatabase, await_true, run
from loader import Running, urls
from registry import ALL, NotHere, fault
from scene import INSTANCES, SLACK_S, TIMEOUT_MS

EVERY = range(INSTANCES)
# InnoDB makes a commit visible before it is durable. Its client has no answer yet, but a value that another
# client has read may be gone after a kill: a property of the database, not of the service. A refusal has read
# its version too, so each coupon and each draw is of a new user.
NO_READS = {"mix": "deduct=80,issue=10,draw=10", "users": 1000000}


@fault("commit-unanswered", 8, transfers=ALL, reservations=ALL, orders=ALL)
def commit_unanswered(scene):
    """COMMIT is executed and its answer lost: the outcome is looked up, never blindly retried."""
    for i in EVERY:  # matches the rows before COMMIT, which `READ COMMITTED` does not have
        scene.link(i, "mysql").do("lose 5 );COMMIT")
    await_true(lambda: all(scene.link(i, "mysql").lost() >= 5 for i in EVERY), 20)
    await_true(lambda: scene.count("holdfast_unknown_commits_resolved_total") > 0)
    scene.bit("answers lost", sum(scene.link(i, "mysql").lost() for i in EVERY))
    scene.bit("unknown commits resolved", scene.count("holdfast_unknown_commits_resolved_total"))


@fault("connections-killed", 8)
def connections_killed(scene):
    """KILL of every database connection, at any moment, repeatedly."""
    killed = 0
    for _ in range(3 if scene.brief else 10):
        rows = scene.database.sql("SELECT id FROM information_schema.processlist WHERE db ="
                                  f" '{scene.database.name}' AND id <> CONNECTION_ID()", database="")
        for (connection,) in rows:
            with contextlib.suppress(AssertionError):  # the connection has ended meanwhile
                scene.database.sql(f"KILL {connection}", database="")
                killed += 1
        time.sleep(scene.random.uniform(0.05, 0.3))
    scene.bit("connections killed", killed)
    scene.recover_all(time.monotonic())


@fault("database-killed", 9, load=NO_READS, transfers=ALL)
def database_killed(scene):
    """kill -9 of the database, three times: no acknowledged operation is lost."""
    mysql = scene.stack["mysql"]
    for _ in range(1 if scene.brief else 3):
        time.sleep(scene.random.uniform(0.2, 0.8))
        mysql.kill()
        for i in EVERY:
            scene.bit("requests refused", scene.refused(i) != "")
            scene.await_unready(i, "database")
        mysql.start()
        scene.recover_all(time.monotonic())


@fault("database-hangs", 9)
def database_hangs(scene):
    """The database hangs: connections stay open, requests are refused by their deadline."""
    mysql = scene.stack["mysql"]
    mysql.stop()
    try:
        for i in EVERY:
            scene.bit("requests refused", scene.refused(i) != "")
    finally:
        mysql.cont()
    scene.recover_all(time.monotonic())


@fault("row-held", 17)
def row_held(scene):
    """An idle transaction holds a row: requests for it are refused in time, all others succeed."""
    hold = "START TRANSACTION; UPDATE counter SET version = version WHERE name = 'stock/PROBE'"
    with scene.database.held(hold):
        for i in EVERY:
            begin = time.monotonic()
            slug = scene.refused(i)
            scene.bit(f"requests refused with {slug}")
            if time.monotonic() - begin > TIMEOUT_MS / 1000 + SLACK_S:
                raise AssertionError("refused long after the deadline")
        scene.await_more("transactions on other rows", scene.done, by=10)
    scene.recover_all(time.monotonic())


def small_server(scene):
    """Moves the database, with all its data, to a small file system until the scene ends."""
    mysql = scene.stack["mysql"]
    scene.exits.callback(mysql.move_out)
    mysql.move_in(40)
    scene.recover_all(time.monotonic())
    return mysql


def fill(path):
    """Writes until the file system is full."""
    with open(path, "wb", buffering=0) as file:
        for size in (1 << 20, 4096):
            with contextlib.suppress(OSError):
                while True:
                    file.write(bytes(size))


def works(scene, mysql, i):
    """Whether instance i works. Restarts MariaDB if it has exited: it does, sooner or later, if it has no
    room for a rollback."""
    if mysql.process.poll() is not None:
        mysql.start()
    return scene.probe(i).status == 200


@fault("disk-full", 18, soak=False)
def disk_full(scene):
    """The database's disk is full: no 2xx for an operation that was not saved, and it recovers."""
    if os.geteuid() != 0:
        raise NotHere("only root can mount a small file system")
    mysql = small_server(scene)
    filler = mysql.inside("filler")
    fill(filler)
    for i in EVERY:  # changes that fit into existing pages still succeed
        await_true(lambda i=i: scene.probe(i).status == 503, 60)
        scene.bit("requests refused")
        scene.await_unready(i, "database")
    os.unlink(filler)
    await_true(lambda: all(works(scene, mysql, i) for i in EVERY), 30)
    scene.recover_all(time.monotonic(), 10)


@fault("file-full", 18, ("conditional",), soak=False)
def file_full(scene):
    """SQLite's file has reached its size limit: the same."""
    database = SqliteDatabase()
    scene.exits.callback(database.drop)
    # With SIGXFSZ ignored, write fails with EFBIG instead of killing the process.
    instance = Instance(database.store, {}, prefix=[*backends.WITH_PARENT, "sh", "-c",
                                                    "trap '' XFSZ; exec \"$@\"", "sh"])
    scene.exits.callback(instance.kill)
    instance.await_listening().call("PUT", "/v1/stock/S", {"quantity": 1000000})
    _, hard = resource.prlimit(instance.process.pid, resource.RLIMIT_FSIZE)
    with Running(*urls([instance.port]), "--connections=8", "--duration=1h", "--think=2ms") as load:
        await_true(lambda: deduct(instance) == 200)
        resource.prlimit(instance.process.pid, resource.RLIMIT_FSIZE, (400000, hard))
        await_true(lambda: deduct(instance) >= 500)
        scene.bit("requests refused")
        ready = instance.call("GET", "/readyz")
        if (ready.status, ready.body["dependencies"]["database"].get("why")) != (503, "full"):
            raise AssertionError(f"the file is full: {ready}")
        resource.prlimit(instance.process.pid, resource.RLIMIT_FSIZE, (hard, hard))
        await_true(lambda: deduct(instance) == 200)
        result = load.end()
    if result.code != 130:
        raise AssertionError(f"the load tester failed or found violations: {result}")
    if instance.stop() != 0 or run("reconcile", f"--store={database.store}").returncode:
        raise AssertionError(f"does not exit with 0, or does not reconcile: {instance.read_log()}")


def deduct(instance):
    return instance.call("POST", "/v1/stock/S/deduct", {"quantity": 1}, os.urandom(8).hex()).status
