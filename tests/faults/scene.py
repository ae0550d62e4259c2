"""A scene: three instances on private servers under load, with proxies ("links") in between.

A fault is a function of a scene. It does its harm, shows that the harm had an effect (`bit`), and undoes
it. Then the scene checks what must hold after every fault: each instance works again, the load tester's
checker finds no violation in what clients saw, the database reconciles, and every instance exits with 0
on SIGTERM.
"""

import contextlib
import functools
import os
import random
import re
import signal
import time

import backends
from cluster import Instance, MysqlDatabase, await_true, ledger, run
from link import Link
from logs import Logs
from workloads import WORKLOADS

LOCK_SERVERS = {"redis-lock": "redis", "zookeeper-lock": "zookeeper", "etcd-lock": "etcd"}
ENDPOINTS = ("stock", "coupon", "lottery", "points", "reservation", "order")
INSTANCES = 3
TTL_MS = 1000
TIMEOUT_MS = 3000
SETTINGS = {"lock.ttl_ms": TTL_MS, "lock.wait_ms": 2000, "request.timeout_ms": TIMEOUT_MS, "workers": 4}
# Tolerance for a noisy machine, added to times that the service guarantees.
SLACK_S = 2.5
RECOVERY_S = 2
LOADED_S = 20


class NeverBit(AssertionError):
    """The fault had no effect, so the scene proves nothing."""


class Scene:
    """Use with `with`. `settings` extend those of every instance, `load` the load tester's flags. `workload`:
    a name in workloads.py."""

    def __init__(self, stack, strategy, seed, settings=None, load=None, brief=False, workload="mixed"):
        self.brief = brief
        self.stack = stack
        self.strategy = strategy
        self.seed = seed
        self.random = random.Random(f"{seed} {strategy}")
        self.lock_server = LOCK_SERVERS.get(strategy)
        self.settings = dict(SETTINGS, **{f"{endpoint}.strategy": strategy
                                          for endpoint in ENDPOINTS})
        # Direct mode (1) and lanes take different paths through the engine.
        self.settings["combine.max_batch"] = self.random.choice((1, 256))
        self.settings.update(settings or {})
        self.load = load or {}
        self.database = None
        self.workload = None
        self.start_workload = WORKLOADS[workload]
        self.endpoint = self.start_workload.endpoint
        self.size = INSTANCES
        self.instances = []
        self.links = []
        self.past = {}  # metrics of instances that have exited
        self.bites = {}
        self.slowest_s = 0
        self.probes = 0
        self.acknowledged = {}
        self.files = 0
        self.damage = ""  # what a failed scene left wrong with the servers themselves
        self.logs = None  # kept by the caller if the scene failed
        self.exits = contextlib.ExitStack()

    # ---- set up and tear down ------------------------------------------------------------------

    def __enter__(self):
        try:
            self.begin()
        except BaseException:
            self.give_up()
            raise
        return self

    def begin(self):
        mysql = self.stack["mysql"]
        os.environ["HOLDFAST_TEST_MYSQL"] = mysql.url
        self.exits.callback(self.stack.revive)
        self.logs = Logs(self.stack.directory, self.stack.logs())
        self.database = MysqlDatabase()
        self.exits.callback(self.drop)
        done = run("migrate", "up", f"--store={self.database.store}")
        if done.returncode:
            raise AssertionError(f"migrate up: {done.stdout}{done.stderr}")
        self.exits.callback(self.kill_instances)
        for _ in range(INSTANCES):
            self.add(wait=False)
        for instance in self.instances:
            instance.await_listening()
        answer = self.instances[0].call("PUT", "/v1/stock/PROBE", {"quantity": 1000000})
        if answer.status != 201:
            raise AssertionError(answer)
        self.workload = self.start_workload(self)
        await_true(self.is_loaded, LOADED_S)

    def is_loaded(self):
        self.workload.check()
        return self.done() > 20

    def __exit__(self, *failed):
        if failed[0] is not None and not issubclass(failed[0], KeyboardInterrupt):
            self.give_up()
            return
        try:
            self.exits.close()
        except BaseException:
            self.logs.add_servers()
            raise
        self.logs.delete()

    def give_up(self):
        """Ends a scene that failed. Collects the logs, and looks for damage, while its tables are still there."""
        try:
            self.stack.revive()
            if self.workload is not None:
                self.workload.save(self.logs)
            self.kill_instances()
            self.damage = self.stack.damage()
            if self.database is not None:
                self.save_ledger()
            self.exits.close()
        except backends.ServerFailed as error:  # while a fault was undone
            self.damage = self.damage or str(error)
        if self.logs is not None:
            self.logs.add_servers()

    def save_ledger(self):
        with contextlib.suppress(AssertionError):
            rows = self.database.sql("SELECT * FROM ledger ORDER BY counter, version, leg")
            self.logs.add("ledger.tsv", "".join("\t".join(row) + "\n" for row in rows))

    def drop(self):
        # May time out while a connection still uses it; the servers are deleted with the run anyway.
        with contextlib.suppress(AssertionError):
            self.database.drop()

    def kill_instances(self):
        for instance in self.instances:
            if instance is not None:
                instance.kill()
        self.save_instances()

    def save_instances(self):
        """Adds the logs of the instances that have ended to the scene's."""
        for i, instance in enumerate(self.instances):
            if instance is not None and not instance.log.closed and instance.process.poll() is not None:
                self.logs.add(f"instance-{i}.log", instance.read_log())
                instance.log.close()

    # ---- instances -----------------------------------------------------------------------------

    def add(self, **named):
        """Starts one more instance, behind links of its own; `named` as for `start`. The workload uses only
        those with which the scene began. Returns its number."""
        i = len(self.instances)
        self.links.append({})
        for name in filter(None, ("mysql", self.lock_server)):
            link = Link(self.stack[name].address)
            self.links[i][name] = link
            self.exits.callback(link.close)
        self.instances.append(None)
        self.start(i, **named)
        return i

    def start(self, i, wait=True, pause=None, **settings):
        """Starts instance i, on its earlier port if it had one. Setting names have __ for dots."""
        own = dict(self.settings)
        store = self.database.store
        for name, link in self.links[i].items():
            if name == "mysql":
                store = re.sub(r":\d+/", f":{link.port}/", store)
            else:
                own[name] = f"http://{link.address}" if name == "etcd" else link.address
        own.update({name.replace("__", "."): value for name, value in settings.items()})
        before = self.instances[i]
        self.save_instances()
        self.instances[i] = Instance(store, own, before.port if before else 0,
                                     {"HOLDFAST_PAUSE": pause} if pause else None,
                                     backends.WITH_PARENT)
        if wait:
            self.instances[i].await_listening()
        return self.instances[i]

    def remember(self, i):
        """Saves the metrics of an instance before it exits."""
        for series, value in self.instances[i].metrics():
            if series[0].startswith("holdfast_"):
                self.past[series] = self.past.get(series, 0) + value

    def restart(self, i, **named):
        """Stops instance i with SIGTERM and starts it again."""
        self.remember(i)
        code = self.instances[i].stop()
        if code != 0:
            raise AssertionError(f"ended with {code}:\n{self.instances[i].read_log()}")
        return self.start(i, **named)

    @contextlib.contextmanager
    def paused(self, i, point, action, times=20):
        """Restarts instance i and pauses it at the point until the end of the block. `stop` stops the
        whole process, `wait` only the worker that reached the point."""
        file = self.new_file()
        self.restart(i, pause=f"{point}@{self.endpoint}:{times}:{file}:{action}")
        await_true(lambda: os.path.exists(file), 30)
        if action == "stop":
            await_true(lambda: self.is_stopped(i))
        try:
            yield
        finally:
            os.unlink(file)
            self.resume(i)

    def new_file(self):
        """The path of a file that does not exist yet, for a pause."""
        self.files += 1
        return f"{self.stack.directory}/paused-{os.getpid()}-{self.files}"

    def resume(self, i):
        if self.instances[i].process.poll() is None:
            self.instances[i].signal(signal.SIGCONT)

    def is_stopped(self, i):
        with open(f"/proc/{self.instances[i].process.pid}/stat", encoding="ascii") as file:
            return file.read().rpartition(")")[2].split()[0] == "T"

    def some(self, choices):
        """All choices in a seeded order; only the first of them in a brief scene."""
        shuffled = self.random.sample(choices, len(choices))
        return shuffled[:1] if self.brief else shuffled

    def link(self, i, name=None):
        """The link of instance i to a server. Default: the strategy's lock server or, if it has none,
        the database."""
        return self.links[i][name or self.lock_server or "mysql"]

    # ---- metrics -------------------------------------------------------------------------------

    def count(self, name, labels="", only=None):
        """Sum of a metric over all running instances and those that have exited, or over `only` these."""
        total = 0 if only is not None else sum(
            value for series, value in self.past.items() if series[0] == name and labels in (series[1] or ""))
        for i in range(len(self.instances)) if only is None else only:
            with contextlib.suppress(OSError):
                total += sum(value for series, value in self.instances[i].metrics()
                             if series[0] == name and labels in (series[1] or ""))
        return total

    def harm(self, only=None):
        """How often a lock was found lost, a stale token refused, or a conflict found."""
        names = ("holdfast_guard_lost_total", "holdfast_stale_tokens_refused_total",
                 "holdfast_conflicts_total")
        return sum(self.count(name, only=only) for name in names)

    def acquired(self, only=None):
        """How often the guard of the workload's endpoint was entered."""
        return self.count("holdfast_guard_acquired_total", f'endpoint="{self.endpoint}"', only)

    def done(self, only=None):
        """Committed transactions of the workload's endpoint."""
        return self.count("holdfast_commit_seconds_count", f'endpoint="{self.endpoint}"', only)

    def lost(self, only=None):
        return self.count("holdfast_guard_lost_total", only=only)

    def bit(self, what, times=1):
        """Records that the fault had an effect, so many times. Raises NeverBit for zero."""
        if times <= 0:
            raise NeverBit(f"the fault never bit: no {what}")
        self.bites[what] = self.bites.get(what, 0) + int(times)

    def await_more(self, what, read, by=1, limit_s=15):
        """Waits until the value of `read` has grown."""
        before = read()
        try:
            await_true(lambda: read() >= before + by, limit_s)
        except AssertionError:
            raise AssertionError(f"{what}: no more than {before} after {limit_s} s") from None

    # ---- probes --------------------------------------------------------------------------------

    def probe(self, i, timeout_s=TIMEOUT_MS / 1000 + SLACK_S):
        """One deduction at instance i, of a product that the load does not use."""
        self.probes += 1
        key = f"probe-{self.probes}"
        answer = self.instances[i].call("POST", "/v1/stock/PROBE/deduct", {"quantity": 1}, key,
                                        timeout_s=timeout_s)
        if answer.status == 200:
            self.acknowledged[key] = answer.body["version"]
        elif answer.status != 503 or not answer.headers["Retry-After"]:
            raise AssertionError(f"expected 200, or 503 with Retry-After: {answer}")
        return answer

    def refused(self, i):
        """Checks that a probe is answered 503 by its deadline. Returns the slug of the problem."""
        begin = time.monotonic()
        try:
            answer = self.probe(i)
        except TimeoutError:
            raise AssertionError(f"no answer {time.monotonic() - begin:.1f} s after a request whose"
                                 f" deadline was {TIMEOUT_MS} ms") from None
        if answer.status != 503:
            raise AssertionError(f"succeeded although its backend was unavailable: {answer}")
        return answer.body["type"].rpartition("/")[2]

    def unready(self, i):
        """The dependencies that /readyz of instance i reports as unavailable."""
        answer = self.instances[i].call("GET", "/readyz")
        if answer.status != (200 if answer.body["ready"] else 503):
            raise AssertionError(answer)
        return [name for name, state in answer.body["dependencies"].items() if not state["ok"]]

    def await_unready(self, i, name, limit_s=10):
        await_true(lambda: name in self.unready(i), limit_s)

    def recover(self, i, since, limit_s=RECOVERY_S):
        """Checks that instance i works again within limit_s after `since`."""
        while self.probe(i).status != 200:
            if time.monotonic() - since > limit_s + 10:
                raise AssertionError(f"instance {i} does not recover")
            time.sleep(0.02)
        took_s = time.monotonic() - since
        if took_s > limit_s:
            raise AssertionError(f"instance {i} recovered after {took_s:.2f} s, not {limit_s}")
        self.slowest_s = max(self.slowest_s, took_s)

    def recover_all(self, since, limit_s=RECOVERY_S):
        for i in range(len(self.instances)):
            self.recover(i, since, limit_s)

    # ---- the verdict ---------------------------------------------------------------------------

    def settle(self):
        """Ends all link faults and waits until every instance works."""
        for links in self.links:
            for link in links.values():
                link.do("pass")
        for i in range(len(self.instances)):
            await_true(lambda: self.probe(i).status == 200, 20)

    def settle_under_load(self):
        self.settle()
        self.await_more("transactions after the fault", self.done, by=30, limit_s=20)

    def judge(self):
        """Checks what must hold after every fault."""
        self.settle_under_load()
        self.workload.judge()
        rows = {row["request_key"]: row for row in ledger(self.instances[0].port, "stock/PROBE")}
        for key, version in self.acknowledged.items():
            if key not in rows or rows[key]["version"] != version:
                raise AssertionError(f"{key} was acknowledged with version {version}: {rows.get(key)}")
        self.stop_instances()
        done = run("reconcile", f"--store={self.database.store}", "--reservation.sweep_ms=60000")
        if done.returncode:
            raise AssertionError(f"does not reconcile: {done.stdout}{done.stderr}")

    def convict(self, *slugs):
        """Checks that the checker found one of these violations, where a protection was switched off."""
        self.settle_under_load()
        result = self.workload.stop()
        if result.code != 1 or not set(slugs) & set(result.violated()):
            raise AssertionError(f"the checker did not find the violation: {result}")
        self.bit("violations found", result.report["check"]["violations"])
        self.stop_instances()

    def stop_instances(self):
        for i, instance in enumerate(self.instances):
            code = instance.stop()
            if code != 0:
                raise AssertionError(f"instance {i} ended with {code}:\n{instance.read_log()}")


def usable_strategies(stack):
    """The usable strategies with cluster scope, as a service with all lock servers lists them."""
    settings = {"redis": stack["redis"].address, "zookeeper": stack["zookeeper"].address,
                "lab": "off"}
    if "etcd" in setting_names():
        settings["etcd"] = f"http://{stack['etcd'].address}"
    instance = Instance(f"sqlite:{stack.directory}/strategies.db", settings, prefix=backends.WITH_PARENT)
    try:
        listed = instance.await_listening().call("GET", "/v1/strategies").body["strategies"]
    finally:
        instance.stop()
        instance.log.close()
    return [s["name"] for s in listed if s["scope"] == "cluster" and s["usable"] and not s["lab_only"]]


@functools.cache
def setting_names():
    return set(re.findall(r"^ *(?:--)?([a-z_]+(?:\.[a-z_]+)?) ", run("--help").stdout, re.MULTILINE))
