"""The stack of docker-compose.yml as a project of its own: start it, send requests, break it, take it down.

Requests use HAProxy's published port, like those of any client. An instance's own address and Prometheus
have no published port: requests to them are sent from inside HAProxy's container, over its networks.
"""

import concurrent.futures
import contextlib
import functools
import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.parse

from cluster import Answer, call
from engine import ROOT, Unavailable, found, install, run

OFFLINE = "deploy/offline/docker-compose.offline.yml"
INSTANCES = ("holdfast-1", "holdfast-2")
ENDPOINTS = ("stock", "coupon", "lottery", "points")
SECRETS = ("HOLDFAST_AUTH_ADMIN_TOKEN", "HOLDFAST_AUTH_CLIENT_TOKEN", "MYSQL_ROOT_PASSWORD", "MYSQL_PASSWORD",
           "REDIS_PASSWORD", "GRAFANA_PASSWORD")
PROJECT_LABEL = "com.docker.compose.project"
UP_S, BUILD_S = 180, 3600
# A relay for a container that has only bash: copies stdin to the address, and its answer to stdout.
RELAY = 'exec 3<>/dev/tcp/$0/$1 && cat >&3 && cat <&3'


def compose_command():
    """The command of Compose v2 or docker-compose 1.29. Installs the latter if there is neither."""
    if run("docker", "compose", "version", check=False).returncode == 0:
        return ["docker", "compose"]
    if not found("docker-compose"):
        install(["docker-compose"])
    if not found("docker-compose"):
        raise Unavailable("no Compose: neither `docker compose` nor docker-compose")
    return ["docker-compose"]


def free_port():
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]


def await_that(condition, limit_s, what, pause_s=0.2):
    """Waits until the condition holds. Returns the seconds that it took."""
    begin = time.monotonic()
    while not condition():
        if time.monotonic() - begin > limit_s:
            raise AssertionError(f"not within {limit_s} s: {what}")
        time.sleep(pause_s)
    return time.monotonic() - begin


class Stack:
    """Use with `with`. Deletes everything except images at the end."""

    def __init__(self, compose, offline, database="mysql", keep=False):
        self.project = f"holdfast-e2e-{os.getpid()}"
        self.offline, self.database, self.keep = offline, database, keep
        self.compose_words = compose
        self.secrets = {name: secrets.token_hex(16) for name in SECRETS}
        self.port = None
        self.directory = None
        self.volumes = set()
        self.probes = 0

    # ---- compose ---------------------------------------------------------------------------------

    def __enter__(self):
        self.directory = tempfile.mkdtemp(prefix="holdfast-e2e-")
        self.port = free_port()
        os.makedirs(f"{self.directory}/reports")
        os.chmod(f"{self.directory}/reports", 0o777)  # the load tester runs as another user
        settings = {**self.secrets, "HOLDFAST_PORT": self.port, "HOLDFAST_TAG": "e2e",
                    "HOLDFAST_OFFLINE_DATABASE": self.database,
                    "HOLDFAST_HOT_RATE": 200}  # a slow machine reaches it too
        with open(f"{self.directory}/env", "w", encoding="ascii") as file:
            file.writelines(f"{name}={value}\n" for name, value in settings.items())
        return self

    def __exit__(self, *_):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)  # an interrupt would leave it half done
        if self.keep:
            print(f"e2e: kept: {' '.join(self.words('down', '--volumes'))} takes it down;"
                  f" HAProxy is at http://127.0.0.1:{self.port}", flush=True)
            return
        try:
            self.down()
        finally:
            shutil.rmtree(self.directory, ignore_errors=True)

    def words(self, *arguments, offline=None):
        files = ["-f", f"{ROOT}/docker-compose.yml"]
        if self.offline if offline is None else offline:
            files += ["-f", f"{ROOT}/{OFFLINE}"]
        return [*self.compose_words, "-p", self.project, "--env-file", f"{self.directory}/env", *files,
                "--profile", "observe", "--profile", "load", *arguments]

    @staticmethod
    def environment():
        """This process's environment without the variables that would override compose's env file."""
        return {name: value for name, value in os.environ.items()
                if not re.match("HOLDFAST_|MYSQL_|REDIS_|GRAFANA_|COMPOSE_", name)}

    def compose(self, *arguments, timeout=120, **others):
        return run(*self.words(*arguments, **others), timeout=timeout, env=self.environment(), cwd=ROOT)

    @staticmethod
    def build_offline():
        """Builds the images from Debian packages. Call it outside of a private engine's network."""
        if not found("debootstrap"):
            install(["debootstrap"])
        run(f"{ROOT}/deploy/offline/build.sh", timeout=BUILD_S)

    def build(self):
        """Pulls the third-party images, unless offline, and builds those of the service."""
        if not self.offline:
            self.compose("pull", "--quiet", "haproxy", "mysql", "redis", "zookeeper", "etcd", "prometheus",
                         "grafana", timeout=BUILD_S)
        self.compose("build", "migrate", "load", timeout=BUILD_S)

    def services(self):
        listed = self.compose("config", "--services").stdout.split()
        return [name for name in listed if name != "load" and not (self.offline and name == "grafana")]

    def up(self):
        """Starts all services. Returns the seconds until all of them are healthy."""
        begin = time.monotonic()
        self.compose("up", "-d", *self.services(), timeout=UP_S)
        for service in self.services():
            if service not in ("migrate", "promtool"):
                await_that(lambda service=service: self.health(service) == "healthy", UP_S, f"{service} healthy", 0.5)
        return time.monotonic() - begin

    def down(self):
        with contextlib.suppress(AssertionError, subprocess.TimeoutExpired):
            self.note_volumes()
        with contextlib.suppress(AssertionError, subprocess.TimeoutExpired):
            self.compose("down", "--volumes", "--remove-orphans", "--timeout", "10", timeout=180)
        left = self.leftovers()  # compose was interrupted, or does not know all of them
        for kind, words in (("containers", ("rm", "--force", "--volumes")), ("networks", ("network", "rm")),
                            ("volumes", ("volume", "rm", "--force"))):
            if left[kind]:
                run("docker", *words, *left[kind], timeout=120, check=False)

    def note_volumes(self):
        """Records the mounted volumes, because an image's own volumes have no label of the project."""
        containers = self.containers()
        for container in self.inspect(*containers) if containers else ():
            self.volumes.update(mount["Name"] for mount in container["Mounts"] if mount["Type"] == "volume")

    def leftovers(self):
        """The existing containers, networks and volumes of this project."""
        ask = {"containers": ("ps", "--all"), "networks": ("network", "ls"), "volumes": ("volume", "ls")}
        ours = f"label={PROJECT_LABEL}={self.project}"
        left = {kind: run("docker", *words, "--quiet", "--filter", ours).stdout.split() for kind, words in ask.items()}
        there = run("docker", "volume", "ls", "--quiet").stdout.split()
        left["volumes"] = sorted(self.volumes.intersection(there).union(left["volumes"]))
        return left

    # ---- containers ------------------------------------------------------------------------------

    def containers(self, service=None):
        words = ["--filter", f"label={PROJECT_LABEL}={self.project}"]
        if service:
            words += ["--filter", f"label=com.docker.compose.service={service}"]
        return run("docker", "ps", "--all", "--quiet", *words).stdout.split()

    def container(self, service):
        ids = self.containers(service)
        if len(ids) != 1:
            raise AssertionError(f"{len(ids)} containers of {service}")
        return ids[0]

    @functools.cached_property
    def haproxy(self):
        return self.container("haproxy")  # no scene replaces it

    def inspect(self, *containers):
        return json.loads(run("docker", "inspect", *containers).stdout)

    def health(self, service):
        state = self.inspect(self.container(service))[0]["State"]
        if state["Status"] in ("exited", "dead"):
            raise AssertionError(f"{service} has ended with {state['ExitCode']}:\n{self.log(service)}")
        return state.get("Health", {}).get("Status", state["Status"])

    def kill(self, service):
        run("docker", "kill", "--signal", "KILL", self.container(service))

    def start(self, service):
        run("docker", "start", self.container(service))

    def stop(self, service):
        run("docker", "stop", "--time", "20", self.container(service), timeout=60)

    def restart(self, service):
        run("docker", "restart", "--time", "60", self.container(service), timeout=120)

    def replace(self, service):
        """Replaces a container by a new one, as for a new version."""
        self.stop(service)
        self.note_volumes()
        run("docker", "rm", self.container(service))
        self.compose("up", "-d", "--no-deps", service)

    def log(self, service, lines=15):
        done = run("docker", "logs", "--tail", lines, self.container(service), check=False)
        return done.stdout + done.stderr

    # ---- requests ----------------------------------------------------------------------------------

    def bearer(self, admin):
        return f"Bearer {self.secrets[SECRETS[0] if admin else SECRETS[1]]}"

    def call(self, method, path, body=None, key=None, admin=False, timeout_s=20):
        """Sends one request to HAProxy."""
        return call(self.port, method, path, body, key, timeout_s, Authorization=self.bearer(admin))

    def inside(self, host, port, method, path, body=None, key=None, admin=False):
        """Sends one request to an address inside the stack's networks."""
        head = [f"{method} {path} HTTP/1.0", f"Host: {host}", f"Authorization: {self.bearer(admin)}"]
        data = b"" if body is None else json.dumps(body).encode()
        head += ["Content-Type: application/json", f"Content-Length: {len(data)}"] if body is not None else []
        head += [f"Idempotency-Key: {key}"] if key else []
        done = subprocess.run(
            ["docker", "exec", "--interactive", self.haproxy, "bash", "-c", RELAY, host, str(port)],
            input="\r\n".join([*head, "", ""]).encode() + data, capture_output=True, timeout=20, check=False)
        first, _, text = done.stdout.partition(b"\r\n\r\n")
        lines = first.decode("latin-1").split("\r\n")
        if not lines[0].startswith("HTTP/"):
            raise OSError(f"{host}:{port}: no answer: {done.stderr.decode()}")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
        is_json = "json" in headers.get("content-type", "")
        return Answer(int(lines[0].split()[1]), headers, json.loads(text) if is_json else text.decode())

    def metric(self, instance, name, labels=""):
        """The sum of an instance's series of this name whose labels contain the text."""
        text = self.inside(instance, 8080, "GET", "/metrics").body
        return sum(float(line.rpartition(" ")[2]) for line in text.splitlines()
                   if re.match(rf"{name}[{{ ]", line) and labels in line)

    def query(self, expression):
        """The result of a Prometheus query."""
        words = urllib.parse.urlencode({"query": expression})
        return self.prometheus(f"/api/v1/query?{words}")["result"]

    def prometheus(self, path):
        answer = self.inside("prometheus", 9090, "GET", path)
        if answer.status != 200 or answer.body["status"] != "success":
            raise AssertionError(f"Prometheus on {path}: {answer}")
        return answer.body["data"]

    def set_strategies(self, names, instances=INSTANCES):
        """Sets each endpoint's strategy at each instance, because the setting is per instance."""
        def put(where):
            instance, endpoint = where
            body = {"strategy": names[endpoint]}
            answer = self.inside(instance, 8080, "PUT", f"/v1/strategies/{endpoint}", body, admin=True)
            if answer.status != 200:
                raise AssertionError(f"{instance}, {endpoint} with {names[endpoint]}: {answer}")

        with concurrent.futures.ThreadPoolExecutor() as pool:
            list(pool.map(put, ((instance, endpoint) for instance in instances for endpoint in names)))

    def set_strategy(self, name, instances=INSTANCES):
        self.set_strategies(dict.fromkeys(ENDPOINTS, name), instances)

    def probe(self, instance=None):
        """Deducts one unit of a product that the load does not use. True if that succeeded."""
        self.probes += 1
        request = ("POST", "/v1/stock/PROBE/deduct", {"quantity": 1}, f"probe-{self.probes}")
        try:
            answer = self.inside(instance, 8080, *request) if instance else self.call(*request)
        except (OSError, ValueError):
            return False
        if answer.status == 404:
            self.call("PUT", "/v1/stock/PROBE", {"quantity": 1000000}, admin=True)
        return answer.status == 200

    def servers(self):
        """The number of instances to which HAProxy sends requests."""
        text = self.inside("haproxy", 8404, "GET", "/metrics").body
        return int(float(re.search(r'^haproxy_backend_active_servers\{proxy="holdfast"\} (\S+)', text, re.M)[1]))

    def settle(self, instances=INSTANCES):
        """Waits until every instance works and HAProxy sends requests to all of them."""
        for instance in instances:
            await_that(lambda instance=instance: self.probe(instance), 60, f"{instance} works")
        await_that(lambda: self.servers() == len(instances), 30, f"HAProxy sends requests to {len(instances)}")
