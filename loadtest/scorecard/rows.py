"""Which rows there are: strategy x mode x SKUs x instances x engine, wherever that means something.

The service's own registry says which strategies there are and which can be used on an engine, so a
new one needs no line here.
"""

import dataclasses
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "tests", "http"))
import cluster  # noqa: E402

WORKERS = 8  # of each instance; the ceilings count with it
MANY = 1000  # SKUs, where it is not one

ENDPOINTS = ("stock", "coupon", "lottery", "points", "reservation", "order")
ENGINES = {"mariadb": "MariaDB", "sqlite": "SQLite"}
BATCHES = {"combined": 256, "direct": 1, "partitioned": 256}
PARTITIONS = 8  # lock.partitions of partitioned rows: combined, and one lock for many SKUs
SPREADS = {"hot": 1, "spread": MANY}
INSTANCES = {"mariadb": ("1", "3"), "sqlite": ("1",)}
AXES = ("strategy", "mode", "spread", "instances", "engine", "route")
ROUTES = {"any": "any", "routed": "resource"}  # --route of the load tester

# What `--quick` measures beside every strategy combined on one hot SKU.
QUICK_EXTRAS = [
    ("conditional", "direct", "hot", "3", "mariadb", "any"),
    ("optimistic", "direct", "hot", "3", "mariadb", "any"),
    ("redis-lock", "direct", "hot", "3", "mariadb", "any"),
    ("conditional", "combined", "hot", "1", "mariadb", "any"),
    ("conditional", "combined", "spread", "1", "mariadb", "any"),
    ("conditional", "combined", "spread", "3", "mariadb", "any"),
    ("zookeeper-lock", "partitioned", "spread", "3", "mariadb", "any"),
    ("conditional", "combined", "hot", "3", "mariadb", "routed"),
    ("conditional", "combined", "spread", "3", "mariadb", "routed"),
    ("conditional", "combined", "hot", "1", "sqlite", "any"),
]


@dataclasses.dataclass(frozen=True)
class Strategy:
    """A row of the registry, as GET /v1/strategies tells it."""

    name: str
    scope: str  # nothing, process, cluster
    rule: str
    lab_only: bool

    @property
    def held_across_commit(self):
        """Is something held until the commit is durable, so that no other commit can overlap it?"""
        return self.scope == "process" or self.rule == "fenced"

    @property
    def gains_by_routing(self):
        """Do instances that work on the same counter wait for each other?"""
        return self.scope == "cluster" and self.rule in ("fenced", "conditional")


@dataclasses.dataclass(frozen=True)
class Row:
    """One configuration of the service under load. The fields are words that choose rows."""

    strategy: Strategy
    mode: str
    spread: str
    instances: str
    engine: str
    route: str

    @property
    def words(self):
        return (self.strategy.name, self.mode, self.spread, self.instances, self.engine, self.route)

    @property
    def skus(self):
        return SPREADS[self.spread]

    @property
    def name(self):
        skus = "hot" if self.skus == 1 else f"{self.skus:,} SKUs"
        instances = "1 instance" if self.instances == "1" else f"{self.instances} instances"
        routed = " routed" if self.route == "routed" else ""
        return f"{self.strategy.name}, {self.mode}, {skus}, {instances}{routed}, {ENGINES[self.engine]}"

    @property
    def settings(self):
        settings = {**lock_settings(), "workers": WORKERS, "combine__max_batch": BATCHES[self.mode]}
        if self.mode == "partitioned":
            settings["lock__partitions"] = PARTITIONS
        # What protects one process only is for all endpoints or for none.
        endpoints = ENDPOINTS if self.strategy.scope == "process" else ("stock",)
        settings.update({f"{endpoint}__strategy": self.strategy.name for endpoint in endpoints})
        if self.strategy.lab_only:
            settings.update(lab="on", lab__belts="off")
        return settings


@dataclasses.dataclass(frozen=True)
class HalfLoad:
    """The row in an open loop at half of its rate, for its latencies: a closed loop at its full rate shows
    how long the queue is, which says little about a shop that is not sold out of capacity."""

    row: Row

    @property
    def name(self):
        return f"{self.row.name}, half load"


HALF_LOADS = [("conditional", "combined", spread, "1", "mariadb", "any") for spread in SPREADS]


def half_loads(rows):
    return [HalfLoad(row) for row in rows if row.words in HALF_LOADS]


def lock_settings():
    """The lock servers of the test stack, as far as this build of the service knows of them."""
    settings = cluster.lock_servers()
    etcd = os.environ.get("HOLDFAST_TEST_ETCD", "")
    known = any(line.split()[:1] == ["etcd"] for line in cluster.run("config").stdout.splitlines())
    if etcd and known:
        settings.setdefault("etcd", etcd)
    return settings


def new_database(engine):
    return cluster.MysqlDatabase() if engine == "mariadb" else cluster.SqliteDatabase()


def registry(engine):
    """The strategies that can be used on this engine, with the lock servers that there are."""
    database = new_database(engine)
    try:
        with cluster.Cluster(database.store, 1, lab="on", **lock_settings()) as servers:
            answer = servers.call("GET", "/v1/strategies")
    finally:
        database.drop()
    if answer.status != 200:
        raise AssertionError(f"GET /v1/strategies: {answer}")
    return [Strategy(one["name"], one["scope"], one["rule"], one["lab_only"])
            for one in answer.body["strategies"] if one["usable"]]


def teaches(row):
    """Left out: what protects one process only is not asked of three. Routing is for several instances that
    combine, and partitions are for locks on many SKUs. A lock server adds nothing to one file with one writer.
    Direct rows over many SKUs differ from the hot ones by what several instances do."""
    strategy = row.strategy
    if row.instances != "1" and strategy.scope == "process":
        return False
    if row.route != "any":
        return row.instances != "1" and row.mode == "combined" and strategy.gains_by_routing
    if row.engine == "sqlite":
        return row.mode != "partitioned" and strategy.rule != "fenced"
    if row.mode == "partitioned":
        return row.instances != "1" and row.spread != "hot" and strategy.rule == "fenced"
    return row.mode == "combined" or row.spread == "hot" or row.instances != "1" or strategy.scope == "process"


def all_rows(strategies):
    """`strategies`: those of each engine."""
    return [row
            for engine in strategies
            for spread in SPREADS
            for instances in INSTANCES[engine]
            for mode in BATCHES
            for route in ROUTES
            for strategy in strategies[engine]
            if teaches(row := Row(strategy, mode, spread, instances, engine, route))]


def quick_rows(rows):
    def chosen(row):
        most = "1" if row.strategy.scope == "process" else "3"
        return row.words[1:] == ("combined", "hot", most, "mariadb", "any") or row.words in QUICK_EXTRAS
    return [row for row in rows if chosen(row)]


def choose(rows, words):
    """The rows that these words choose. Words of one kind are alternatives: `conditional optimistic
    direct` is both strategies, direct only."""
    axes = [{row.words[axis] for row in rows} for axis in range(len(rows[0].words))]
    for word in words:
        if not any(word in axis for axis in axes):
            known = ", ".join(" ".join(sorted(axis)) for axis in axes)
            raise ValueError(f"no row has the word '{word}'; there are: {known}")
    wanted = [axis & set(words) or axis for axis in axes]
    chosen = [row for row in rows if all(word in axis for word, axis in zip(row.words, wanted))]
    if not chosen:
        raise ValueError(f"no row has all of: {' '.join(words)}")
    return chosen
