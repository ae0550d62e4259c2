"""The database dies, loses an answer, stands still, or is full."""

import contextlib
import os
import resource
import time

import backends
from cluster import Instance, SqliteDatabase, await_true, run
from loader import Running, urls
from registry import NotHere, fault
from scene import INSTANCES, SLACK_S, TIMEOUT_MS

EVERYBODY = range(INSTANCES)
# InnoDB shows a commit before it is on the disk. Its client is not told yet, but what somebody else has
# read may be gone after a kill: a property of the database, not of what stands in front of it.
NO_READS = {"mix": "deduct=80,issue=10,draw=10"}


@fault("commit-unanswered", 8)
def commit_unanswered(scene):
    """COMMIT is carried out and its answer lost: looked up, and never blindly done again."""
    for i in EVERYBODY:  # with the rows in front of it, unlike READ COMMITTED
        scene.link(i, "mysql").do("lose 5 );COMMIT")
    await_true(lambda: all(scene.link(i, "mysql").lost() >= 5 for i in EVERYBODY), 20)
    await_true(lambda: scene.count("holdfast_unknown_commits_resolved_total") > 0)
    scene.bit("answers lost", sum(scene.link(i, "mysql").lost() for i in EVERYBODY))
    scene.bit("unknown commits resolved", scene.count("holdfast_unknown_commits_resolved_total"))


@fault("connections-killed", 8)
def connections_killed(scene):
    """KILL of every connection, whatever it does at the moment, again and again."""
    killed = 0
    for _ in range(3 if scene.brief else 10):
        rows = scene.database.sql("SELECT id FROM information_schema.processlist WHERE db ="
                                  f" '{scene.database.name}' AND id <> CONNECTION_ID()", database="")
        for (connection,) in rows:
            with contextlib.suppress(AssertionError):  # it has ended by itself
                scene.database.sql(f"KILL {connection}", database="")
                killed += 1
        time.sleep(scene.random.uniform(0.05, 0.3))
    scene.bit("connections killed", killed)
    scene.recover_all(time.monotonic())


@fault("database-killed", 9, load=NO_READS)
def database_killed(scene):
    """kill -9 of the database in a loop: what was acknowledged is there."""
    mysql = scene.stack["mysql"]
    for _ in range(1 if scene.brief else 3):
        time.sleep(scene.random.uniform(0.2, 0.8))
        mysql.kill()
        for i in EVERYBODY:
            scene.bit("requests refused", scene.refused(i) != "")
            scene.await_unready(i, "database")
        mysql.start()
        scene.recover_all(time.monotonic())


@fault("database-hangs", 9)
def database_hangs(scene):
    """The database is stopped: connections stand, and nobody answers within the deadline."""
    mysql = scene.stack["mysql"]
    mysql.stop()
    try:
        for i in EVERYBODY:
            scene.bit("requests refused", scene.refused(i) != "")
    finally:
        mysql.cont()
    scene.recover_all(time.monotonic())


@fault("row-held", 17)
def row_held(scene):
    """Somebody's idle transaction holds a row: who wants it is refused in time, others are served."""
    hold = "START TRANSACTION; UPDATE counter SET version = version WHERE name = 'stock/PROBE'"
    with scene.database.held(hold):
        for i in EVERYBODY:
            begin = time.monotonic()
            slug = scene.refused(i)
            scene.bit(f"requests refused with {slug}")
            if time.monotonic() - begin > TIMEOUT_MS / 1000 + SLACK_S:
                raise AssertionError("refused long after the deadline")
        scene.await_more("transactions on other rows", scene.done, by=10)
    scene.recover_all(time.monotonic())


def small_server(scene):
    """From now on the database is on a small file system of its own, with a copy of all its data."""
    mysql = scene.stack["mysql"]
    scene.exits.callback(mysql.move_out)
    mysql.move_in(40)
    scene.recover_all(time.monotonic())
    return mysql


def fill(path):
    """Writes until nothing more goes onto the file system."""
    with open(path, "wb", buffering=0) as file:
        for size in (1 << 20, 4096):
            with contextlib.suppress(OSError):
                while True:
                    file.write(bytes(size))


def works(scene, mysql, i):
    """Instance i does, and the server runs: MariaDB gives up, sooner or later, where there was no room to
    roll back in."""
    if mysql.process.poll() is not None:
        mysql.start()
    return scene.probe(i).status == 200


@fault("disk-full", 18, soak=False)
def disk_full(scene):
    """The database's disk is full: never a 2xx for what is not there, and it recovers."""
    if os.geteuid() != 0:
        raise NotHere("a small file system can be mounted by root only")
    mysql = small_server(scene)
    filler = mysql.inside("filler")
    fill(filler)
    for i in EVERYBODY:  # what has room in a page that is there is still done
        await_true(lambda i=i: scene.probe(i).status == 503, 60)
        scene.bit("requests refused")
    os.unlink(filler)
    await_true(lambda: all(works(scene, mysql, i) for i in EVERYBODY), 30)
    scene.recover_all(time.monotonic(), 10)


@fault("file-full", 18, ("conditional",), soak=False)
def file_full(scene):
    """SQLite may not write its file any more: the same."""
    database = SqliteDatabase()
    scene.exits.callback(database.drop)
    # Who ignores the signal is told by the call that fails.
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
        resource.prlimit(instance.process.pid, resource.RLIMIT_FSIZE, (hard, hard))
        await_true(lambda: deduct(instance) == 200)
        result = load.end()
    if result.code != 130:
        raise AssertionError(f"the load tester is not content: {result}")
    if instance.stop() != 0 or run("reconcile", f"--store={database.store}").returncode:
        raise AssertionError(f"does not end, or does not reconcile: {instance.read_log()}")


def deduct(instance):
    return instance.call("POST", "/v1/stock/S/deduct", {"quantity": 1}, os.urandom(8).hex()).status
