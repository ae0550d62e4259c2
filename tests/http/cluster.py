"""Support for the black-box tests: private databases, service processes and HTTP clients.

Uses only the standard library. The environment names the program (HOLDFAST_BIN) and the servers
(HOLDFAST_TEST_MYSQL, HOLDFAST_TEST_REDIS, HOLDFAST_TEST_ZOOKEEPER). Without its server a test is
skipped, or fails if HOLDFAST_TEST_REQUIRE is set.
"""

import asyncio
import collections
import contextlib
import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import unittest
import urllib.parse

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BINARY = os.environ.get("HOLDFAST_BIN", os.path.join(ROOT, "build/dev/service/holdfast"))
START_S = 20

Answer = collections.namedtuple("Answer", "status headers body")


def need(variable):
    """The value of an environment variable that names a server. If unset: skips or fails the test."""
    value = os.environ.get(variable, "")
    if not value:
        if os.environ.get("HOLDFAST_TEST_REQUIRE"):
            raise AssertionError(f"{variable} is not set")
        raise unittest.SkipTest(f"{variable} is not set")
    return value


def clean_environment():
    """This process's environment without HOLDFAST_ settings."""
    return {k: v for k, v in os.environ.items() if not k.startswith("HOLDFAST_")}


# ---- databases -------------------------------------------------------------------------------------


class MysqlDatabase:
    """An empty database on the test server, dropped when the test ends."""

    count = 0

    def __init__(self):
        self.server = urllib.parse.urlsplit(need("HOLDFAST_TEST_MYSQL"))
        MysqlDatabase.count += 1
        self.name = f"holdfast_http_{os.getpid()}_{MysqlDatabase.count}"
        self.sql(f"CREATE DATABASE {self.name} CHARACTER SET utf8mb4", database="")
        self.store = self.server._replace(path="/" + self.name).geturl()

    def sql(self, statement, database=None):
        """Runs a statement. Returns the rows as lists of text."""
        database = self.name if database is None else database
        command, environment = self.client()
        command += ["-e", statement] + ([database] if database else [])
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise AssertionError(f"{statement}: {done.stderr}")
        return [line.split("\t") for line in done.stdout.splitlines()]

    def client(self):
        """Command and environment of a client that prints only rows."""
        command = [shutil.which("mariadb") or "mysql", "--no-defaults", "--protocol=tcp"]
        command += ["-h", self.server.hostname]
        command += ["-P", str(self.server.port), "-u", self.server.username]
        command += ["--batch", "--skip-column-names", "--unbuffered"]
        return command, dict(os.environ, MYSQL_PWD=urllib.parse.unquote(self.server.password or ""))

    @contextlib.contextmanager
    def held(self, statements):
        """Opens a transaction, executes the statements and commits when the block ends. Yields a
        function that executes one more statement in it."""
        command, environment = self.client()
        with subprocess.Popen(command + [self.name], env=environment, stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, text=True) as session:
            print(f"{statements}; SELECT 'done';", file=session.stdin, flush=True)
            if session.stdout.readline() != "done\n":
                raise AssertionError(f"not executed: {statements}")
            yield lambda statement: print(f"{statement};", file=session.stdin, flush=True)
            print("COMMIT;", file=session.stdin, flush=True)
            session.stdin.close()

    def locked(self, table):
        """Locks the table: other sessions that read or write it wait until the block ends."""
        return self.held(f"LOCK TABLES {table} WRITE")

    def waiting(self):
        """Ids of the connections to this database that wait for a table or row lock."""
        return [row[0] for row in self.sql(
            "SELECT p.id FROM information_schema.processlist p"
            " LEFT JOIN information_schema.innodb_trx t ON t.trx_mysql_thread_id = p.id"
            f" WHERE p.db = '{self.name}'"
            " AND (p.state LIKE 'Waiting for table%' OR t.trx_state = 'LOCK WAIT')", database="")]

    def drop(self):
        self.sql(f"DROP DATABASE IF EXISTS {self.name}", database="")


class SqliteDatabase:
    """An SQLite file in a temporary directory, deleted when the test ends."""

    def __init__(self):
        self.directory = tempfile.mkdtemp(prefix="holdfast-http-")
        self.store = f"sqlite:{self.directory}/test.db"

    def drop(self):
        shutil.rmtree(self.directory, ignore_errors=True)


def await_true(condition, limit_s=10):
    end = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > end:
            raise AssertionError("it does not come")
        time.sleep(0.15)  # InnoDB caches innodb_trx for 0.1 s after each query


# ---- processes -------------------------------------------------------------------------------------


def run(*arguments, environment=None, timeout=60):
    """Runs `holdfast ARGUMENTS` and waits for it."""
    variables = clean_environment()
    variables.update(environment or {})
    return subprocess.run([BINARY, *arguments], env=variables, capture_output=True, text=True,
                          timeout=timeout, check=False)


def flags(settings):
    """Turns {"lock.ttl_ms": 5} into ["--lock.ttl_ms=5"]."""
    return [f"--{name}={value}" for name, value in settings.items()]


class Instance:
    """One `holdfast serve`, on a new port or on the port of an earlier instance. `prefix` is a
    command that runs it."""

    def __init__(self, store, settings, port=0, environment=None, prefix=()):
        self.log = tempfile.TemporaryFile()
        variables = clean_environment()
        variables.update(environment or {})
        self.process = subprocess.Popen(
            [*prefix, BINARY, "serve", f"--listen=127.0.0.1:{port}", f"--store={store}",
             *flags(settings)],
            env=variables, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        self.port = None

    def read_log(self):
        # The process writes at the offset that it shares with this file object: pread does not move it.
        file = self.log.fileno()
        return os.pread(file, os.fstat(file).st_size, 0).decode()

    def await_listening(self):
        end = time.monotonic() + START_S
        while time.monotonic() < end:
            found = re.search(r"listening on \S*:(\d+)\n", self.read_log())
            if found:
                self.port = int(found.group(1))
                return self
            if self.process.poll() is not None:
                break
            time.sleep(0.01)
        log = self.read_log()
        self.kill()
        raise AssertionError(f"does not serve (exit {self.process.returncode}):\n{log}")

    def signal(self, number):
        self.process.send_signal(number)

    def wait(self, timeout=15):
        """The exit code; raises an error with the log if the process does not end."""
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"did not end in {timeout} s:\n{self.read_log()}") from None

    def stop(self):
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
        return self.wait()

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        return self.process.returncode

    def call(self, method, path, body=None, key=None, **others):
        return call(self.port, method, path, body, key, **others)

    def metrics(self):
        """Every series of /metrics as ((name, labels), value)."""
        text = self.call("GET", "/metrics").body
        return [(re.match(r"([a-z_]+)(?:{(.*)})?$", series).groups(), float(value))
                for series, _, value in (line.rpartition(" ") for line in text.splitlines()
                                         if not line.startswith("#"))]


class Cluster:
    """Several instances on one database. Use with `with`."""

    def __init__(self, store, count=1, environment=None, **settings):
        # Keyword arguments spell the dots of setting names as __.
        self.settings = {name.replace("__", "."): value for name, value in settings.items()}
        self.environment = environment
        self.store = store
        self.count = count
        self.instances = []

    def __enter__(self):
        if self.store.startswith("mysql:"):
            done = run("migrate", "up", f"--store={self.store}")
            if done.returncode:
                raise AssertionError(f"migrate up: {done.stdout}{done.stderr}")
        try:
            for _ in range(self.count):
                self.start_one()
            for instance in self.instances:
                instance.await_listening()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for instance in self.instances:
            if instance.process.poll() is None:
                instance.signal(signal.SIGTERM)
        for instance in self.instances:
            instance.wait()
            instance.log.close()
        self.instances = []

    def start_one(self):
        self.instances.append(Instance(self.store, self.settings, environment=self.environment))
        return self.instances[-1]

    def restart(self, i):
        """Starts instance i, whose process has ended, again on its port."""
        old = self.instances[i]
        old.log.close()
        self.instances[i] = Instance(self.store, self.settings, old.port, self.environment).await_listening()

    @property
    def ports(self):
        return [instance.port for instance in self.instances]

    def call(self, *arguments, **named):
        return self.instances[0].call(*arguments, **named)


def lock_servers():
    """Settings for the lock servers of the test stack."""
    return {"redis": need("HOLDFAST_TEST_REDIS"), "zookeeper": need("HOLDFAST_TEST_ZOOKEEPER"),
            "etcd": need("HOLDFAST_TEST_ETCD")}


# ---- one request at a time -------------------------------------------------------------------------


def call(port, method, path, body=None, key=None, timeout_s=30, **headers):
    """Sends one request on a new connection. A dict is sent as JSON, text and bytes unchanged."""
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    if key is not None:
        sent["Idempotency-Key"] = key
    if isinstance(body, (dict, list)):
        body = json.dumps(body)
    if body is not None:
        sent.setdefault("Content-Type", "application/json")
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)
    try:
        connection.request(method, path, body=body, headers=sent)
        response = connection.getresponse()
        text = response.read().decode()
        is_json = "json" in response.getheader("Content-Type", "")
        return Answer(response.status, response.headers, json.loads(text) if is_json and text else text)
    finally:
        connection.close()


def ledger(port, counter, **headers):
    """All ledger rows of a counter."""
    rows, after = [], 0
    while after is not None:
        path = f"/v1/ledger?counter={counter}&after_version={after}&limit=1000"
        page = call(port, "GET", path, **headers)
        if page.status != 200:
            raise AssertionError(page)
        rows += page.body["rows"]
        after = page.body["next_after_version"]
    return rows


# ---- many requests at once -------------------------------------------------------------------------


def at_once(*functions):
    """The results of functions that run at the same time."""
    results = [None] * len(functions)
    begin = threading.Barrier(len(functions))

    def run(i):
        begin.wait()
        results[i] = functions[i]()

    threads = [threading.Thread(target=run, args=(i,)) for i in range(len(functions))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


class KeepAlive:
    """A persistent connection for asyncio."""

    def __init__(self, port):
        self.port = port
        self.reader = self.writer = None

    async def post(self, path, body, key):
        """Returns status, headers and body. Raises OSError or EOFError if the connection breaks."""
        if not self.writer:
            self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
        data = json.dumps(body).encode()
        self.writer.write(
            f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            f"Idempotency-Key: {key}\r\nContent-Length: {len(data)}\r\n\r\n".encode() + data)
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {}
        for line in head[1:]:
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        text = await self.reader.readexactly(int(headers.get("content-length", "0")))
        if headers.get("connection", "").lower() == "close":
            self.close()
        return Answer(int(head[0].split()[1]), headers, json.loads(text))

    def close(self):
        if self.writer:
            self.writer.close()
        self.reader = self.writer = None


class Load:
    """Sends requests (path, body, key) over many connections, spread over the ports.

    A request answered with 503 is retried with the same key. `answers` maps each key to its last
    answer. A key whose connection broke is in `broken` and is not retried; with `stop_on_break` its
    connection sends nothing more.
    """

    def __init__(self, ports, requests, connections=96, limit_s=120, stop_on_break=False):
        self.ports = ports
        self.requests = collections.deque(requests)
        self.connections = connections
        self.limit_s = limit_s
        self.stop_on_break = stop_on_break
        self.answers = {}
        self.first_answers = collections.Counter()  # by status and type, with all retried 503s
        self.broken = set()

    def run(self):
        asyncio.run(asyncio.wait_for(self.run_all(), self.limit_s))
        return self

    async def run_all(self):
        ports = [self.ports[i % len(self.ports)] for i in range(self.connections)]
        await asyncio.gather(*(self.work(port) for port in ports))

    async def work(self, port):
        connection = KeepAlive(port)
        try:
            while self.requests:
                request = self.requests.popleft()
                if not await self.send(connection, *request) and self.stop_on_break:
                    return
        finally:
            connection.close()

    async def send(self, connection, path, body, key):
        while True:
            try:
                answer = await connection.post(path, body, key)
            except (OSError, EOFError):  # IncompleteReadError is an EOFError
                connection.close()
                self.broken.add(key)
                return False
            kind = answer.body.get("type", "") if isinstance(answer.body, dict) else ""
            self.first_answers[(answer.status, kind)] += 1
            if answer.status != 503:
                self.answers[key] = answer
                return True
            if "retry-after" not in answer.headers:
                raise AssertionError(f"503 without Retry-After: {answer}")
            await asyncio.sleep(0.02)

    def successes(self):
        return {key: a for key, a in self.answers.items() if 200 <= a.status < 300}


class TestCase(unittest.TestCase):
    """Assertions and helpers that all black-box tests share."""

    maxDiff = None

    def mysql(self):
        database = MysqlDatabase()
        self.addCleanup(database.drop)
        return database

    def sqlite(self):
        database = SqliteDatabase()
        self.addCleanup(database.drop)
        return database

    def cluster(self, *arguments, **settings):
        """A cluster that runs until the test ends."""
        cluster = Cluster(*arguments, **settings)
        cluster.__enter__()
        self.addCleanup(cluster.__exit__)
        return cluster

    def assert_problem(self, answer, status, slug):
        self.assertEqual(answer.status, status, answer)
        self.assertEqual(answer.headers["Content-Type"], "application/problem+json")
        self.assertEqual(answer.body["type"], "/problems/" + slug, answer)
        self.assertEqual(answer.body["status"], status)

    def assert_reconciles(self, store):
        done = run("reconcile", f"--store={store}")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
