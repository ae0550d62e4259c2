"""The ceilings: what each row could reach at most, measured in the same run by programs that do nothing else.

A ceiling is measured like a row; `needs` says which ones a row is divided by, and `limit` how. All of
it is in the report's words as well: METHOD.
"""

import csv
import dataclasses
import os
import tempfile

import load
from load import Failed, brief, run_watched
from processes import stack_pids
from rows import BATCHES, ENGINES, MANY, PARTITIONS, ROOT, WORKERS, cluster, new_database

PROBES = os.environ.get("HOLDFAST_PROBES", os.path.join(ROOT, "build/release/loadtest/scorecard"))
LOCK_SERVERS = {"redis-lock": "redis", "zookeeper-lock": "zookeeper", "etcd-lock": "etcd"}
IN_FLIGHT = {"zookeeper": 256, "etcd": 64}
REDIS_CLIENTS = 50
LOCK_TABLE_COMMITS = 3  # acquire the lock, do the work, release the lock

EMPTY_REQUEST = """POST /v1/lab/empty
Content-Type: application/json
Idempotency-Key: {{key}}

{"quantity":1,"user_id":"{{user}}"}
"""

METHOD = [
    "Combined rows are divided by the rate of an empty POST and batched commits done one"
    " after the other, 1 / (1/E + 1/R). E: the service's own rate on a POST that is parsed and answered"
    " but runs nothing. R: the rows of 256 operations in one transaction, without the service, on one"
    " row or over 1,000. It does not include the lock of a locking strategy: the ratio shows that cost.",
    "Direct rows without a guard (optimistic, conditional, row-lock, none) are divided by one-row commits"
    " on as many connections as the instances have workers: the database may write the commits of"
    " several connections to the disk together.",
    "Direct rows that hold something until the commit is on the disk (mutex and the locks), on one hot"
    " SKU, are divided by one-row commits on one connection, because no other operation can commit meanwhile."
    " Over 1,000 SKUs they are divided like the rows without a guard.",
    "Lock servers limit direct rows too: there the ceiling is the lower of the commits and the lock"
    " server's own pairs of acquire and release. Redis: SET NX PX and DEL by redis-benchmark, 50 clients,"
    " 1 / (1/SET + 1/DEL). ZooKeeper: create and delete of an ephemeral node, 256 in flight on one"
    " session of its C client, asynchronous. etcd: a transaction that creates a key with a lease if it"
    " does not exist, and its delete, through the JSON gateway, 64 clients of libcurl. lock-table commits"
    " three times for an operation, so its ceiling is a third of the commits.",
    "Half load: an open loop at half of the rate that the row reached in the same round.",
    "Deducts and coupons: two load testers at the same time, with half of the connections each. The rate is"
    " their sum, a latency the higher one; the coupons are checked by the service's reconciliation.",
    "Every ratio is the median of the ratios of each round.",
    "A ratio above 1 is possible: the ceilings are other programs with other numbers of threads, and"
    " three instances share the processors of one. Compare ratios within a panel.",
    "Conflicts and the like are per 1,000 operations that succeeded: conflicts, saves whose condition on the"
    " row failed, and deadlocks; run again, sections that the service retried because of them;"
    " lock busy, guards that could not be acquired; errors, requests that were answered 5xx or not at all,"
    " which the load tester does not retry.",
    "Processors busy: how many each program kept busy while requests were sent, in user and system time."
    " CPU µs an operation is that divided by the rate; all instances together. Of the lock servers the"
    " table shows the one that the strategy uses. On a noisy machine it is steadier than the rate.",
    f"Partitioned: combined, with lock.partitions = {PARTITIONS}, so that a section takes few locks.",
    "Routed: the load tester sends all operations on a product to the same instance, as a proxy does that"
    " hashes the path; any: to whichever of the instances.",
    "Every row starts on an empty database, and its whole history is checked against the ledger after"
    " the load. none runs in laboratory mode without the database's own checks: it is the bug,"
    " shown on purpose.",
]


@dataclasses.dataclass(frozen=True)
class Empty:
    """E."""

    name = "Empty POST (E)"
    what = "POST /v1/lab/empty by the load tester, one instance"

    def measure(self, options):
        def work(servers):
            with tempfile.NamedTemporaryFile("w", suffix=".http") as template:
                template.write(EMPTY_REQUEST)
                template.flush()
                report, cores = load.run_load(servers.ports, load.service_pids(servers), options.ceiling_seconds,
                                              "--scenario", "template", "--template", template.name,
                                              "--connections", str(options.connections))
            if not report["outcomes"]["ok"] or report["outcomes"]["ok"] < report["operations"] * 0.99:
                raise Failed(f"not all were answered 2xx: {report['outcomes']}")
            return {"rate": report["ok_rate"], "cpu": cores}
        return load.with_servers("mariadb", 1, {"lab": "on", "workers": WORKERS}, work)


def run_probe(options, program, *arguments):
    """Runs a program that prints one number, the rate."""
    path = os.path.join(PROBES, program)
    if not os.path.exists(path):
        raise Failed(f"{path} was not built")
    code, output, errors, processes = run_watched([path, *map(str, arguments)], stack_pids(), "probe",
                                                  options.ceiling_seconds + load.EXTRA_S)
    if code:
        raise Failed(f"{program} ended with {code}: {brief(errors)}")
    return {"rate": float(output), "cpu": processes.cores()}


@dataclasses.dataclass(frozen=True)
class Commits:
    """R with a batch of 256, and durable one-row commits with a batch of one."""

    engine: str
    connections: int
    batch: int
    counters: int

    @property
    def name(self):
        kind = "One-row commits" if self.batch == 1 else "Batched commits (R)"
        rows = "one row" if self.counters == 1 else f"{self.counters:,} rows"
        return f"{kind}, {rows}, {ENGINES[self.engine]}, {self.connections} conn."

    @property
    def what(self):
        return "an operation's rows in the service's own tables, no service"

    def measure(self, options):
        database = new_database(self.engine)
        try:
            return run_probe(options, "raw_commits", database.store, self.connections, self.batch,
                             self.counters, options.ceiling_seconds)
        finally:
            database.drop()


@dataclasses.dataclass(frozen=True)
class Redis:
    """One of Redis' two commands, by redis-benchmark."""

    command: str

    @property
    def name(self):
        return f"Redis {self.command.split()[0]}"

    @property
    def what(self):
        return f"redis-benchmark, {REDIS_CLIENTS} clients: {self.command}"

    def run(self, options, n):
        host, port = cluster.need("HOLDFAST_TEST_REDIS").rsplit(":", 1)
        command = ["redis-benchmark", "-h", host, "-p", port, "-n", str(n), "-c", str(REDIS_CLIENTS),
                   "-r", "100000", "--csv", "-q", *self.command.split()]
        code, output, errors, processes = run_watched(command, stack_pids(), "probe",
                                                      options.ceiling_seconds + load.EXTRA_S)
        lines = list(csv.reader(output.splitlines()))
        if code or not lines or len(lines[-1]) < 2:
            raise Failed(f"redis-benchmark ended with {code}: {brief(errors or output)}")
        return {"rate": float(lines[-1][1]), "cpu": processes.cores()}

    def measure(self, options):
        """redis-benchmark counts requests, not seconds: a small run estimates how many fill the time."""
        rate = self.run(options, 10000)["rate"]
        return self.run(options, max(10000, int(rate * options.ceiling_seconds)))


@dataclasses.dataclass(frozen=True)
class Pairs:
    """Pairs of acquire and release per second at ZooKeeper or etcd."""

    server: str

    @property
    def name(self):
        return {"zookeeper": "ZooKeeper create + delete", "etcd": "etcd txn + delete"}[self.server]

    @property
    def what(self):
        return f"{self.server}_pairs, {IN_FLIGHT[self.server]} at once: pairs a second"

    def measure(self, options):
        address = cluster.need(f"HOLDFAST_TEST_{self.server.upper()}")
        return run_probe(options, f"{self.server}_pairs", address, IN_FLIGHT[self.server],
                         options.ceiling_seconds)


REDIS_SET = Redis("SET lock:__rand_int__ x NX PX 10000")
REDIS_DEL = Redis("DEL lock:__rand_int__")

# A run of all rows measures these even if no row needs them: they describe the machine.
ALWAYS = [Empty(), Commits("mariadb", 1, 1, 1), Commits("mariadb", 2, BATCHES["combined"], 1), REDIS_SET,
          REDIS_DEL, Pairs("zookeeper"), Pairs("etcd")]


def warm_up(rows):
    """What a run measures before its rows so that no row pays for a cold server: ZooKeeper's JVM compiles its code
    in the first seconds, in which it is three times slower."""
    uses_zookeeper = any(LOCK_SERVERS.get(row.strategy.name) == "zookeeper" for row in rows)
    return [Pairs("zookeeper")] if uses_zookeeper else []


def commits(row):
    """The commits that a row is divided by. SQLite always has one writer."""
    counters = 1 if row.spread == "hot" else MANY
    if row.mode != "direct":
        return Commits(row.engine, 1 if row.engine == "sqlite" else 2, BATCHES["combined"], counters)
    alone = row.engine == "sqlite" or (row.spread == "hot" and row.strategy.held_across_commit)
    return Commits(row.engine, 1 if alone else WORKERS * int(row.instances), 1, counters)


def needs(row):
    if row.mode != "direct":
        return [Empty(), commits(row)]
    server = LOCK_SERVERS.get(row.strategy.name)
    locks = {None: [], "redis": [REDIS_SET, REDIS_DEL]}.get(server, [Pairs(server)])
    return [commits(row), *locks]


def in_turn(*rates):
    """The rate of doing one after the other."""
    return 1 / sum(1 / rate for rate in rates)


def limit(row, rates):
    """The row's ceiling, from the rates that it needs, and its description. None if a rate is missing."""
    found = [rates.get(ceiling) for ceiling in needs(row)]
    if not all(found):
        return None, "not measured"
    if row.mode != "direct":
        return in_turn(*found), "empty POST, then batched commits"
    held = " on one connection" if needs(row)[0].connections == 1 else ""
    if row.strategy.name == "lock-table":
        return found[0] / LOCK_TABLE_COMMITS, f"a third of one-row commits{held}"
    if len(found) == 1:
        return found[0], f"one-row commits{held}"
    pairs = in_turn(*found[1:])
    if pairs < found[0]:
        return pairs, "pairs of the lock server"
    return found[0], f"one-row commits{held}"
