"""The Docker engine of a run: the machine's own if it answers, else a private one.

A private engine has its own network namespace (with bridges and packet filters), mounts and processes. So
nothing of it outlives the run, and it disturbs no other engine. A pair of virtual interfaces connects it to
the outside, for the packages that images are built from. Its images stay in its directory for the next run.
"""

import contextlib
import ctypes
import ipaddress
import os
import shutil
import signal
import subprocess
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
IMAGES = ("holdfast:e2e", "holdfast-load:e2e", "holdfast-offline/*")
PACKAGES = ["docker.io", "docker-compose", "iptables", "iproute2"]
START_S, STOP_S = 60, 30
CLONE_NEWNET = 0x40000000
PATH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"  # for dockerd and iptables


class Unavailable(Exception):
    """There is no engine and none can be started. The text is one line for the user."""


def run(*command, check=True, timeout=60, **options):
    """Runs a command to its end. Its output is text."""
    options.setdefault("env", dict(os.environ, PATH=PATH))
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=timeout,
                          stdin=subprocess.DEVNULL, check=False, **options)
    if check and done.returncode:
        raise AssertionError(f"{' '.join(map(str, command))}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done


def found(program):
    return shutil.which(program, path=PATH)


def answers(host=None):
    """Whether the engine at this address, or the default one, answers."""
    if not found("docker"):
        return False
    where = ["-H", host] if host else []
    try:
        return run("docker", *where, "info", check=False, timeout=20).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def install(names):
    """Installs missing Debian packages without starting their services."""
    script = f'. "{ROOT}/tests/support/packages.sh"; packages_ensure "$@"'
    try:
        done = run("bash", "-euc", script, "bash", *names, check=False, timeout=900)
    except subprocess.TimeoutExpired:
        raise Unavailable(f"{' '.join(names)}: not installed in 15 minutes") from None
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip() or "failed").splitlines()[-1]
        raise Unavailable(f"{' '.join(names)} cannot be installed: {last}")


def enter(namespace):
    """Moves this thread, and the processes it starts, into the network namespace of the file."""
    if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), CLONE_NEWNET) != 0:
        raise AssertionError(f"setns: {os.strerror(ctypes.get_errno())}")


class Machine:
    """The machine's own engine."""

    private = False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def join(self):
        """Published ports are on this machine's loopback already."""

    def remove_images(self):
        """Deletes the images of the stack."""
        for pattern in IMAGES:
            there = run("docker", "image", "ls", "--quiet", pattern).stdout.split()
            if there:
                run("docker", "image", "rm", "--force", *sorted(set(there)), check=False, timeout=120)


class Private:
    """A private engine, with its state in `directory`. Needs root."""

    private = True

    def __init__(self, directory):
        self.directory = directory
        self.socket = f"unix://{directory}/docker.sock"
        self.process = None
        self.undo = []
        self.home = None
        self.forgets = False

    def __enter__(self):
        os.makedirs(self.directory, exist_ok=True)
        self.home = open("/proc/self/ns/net", "rb")
        try:
            self.start()
            self.connect_outside()
            self.await_answer()
            os.environ["DOCKER_HOST"] = self.socket
            self.sweep()
        except BaseException:
            self.__exit__()
            raise
        return self

    @staticmethod
    def sweep():
        """Deletes containers, networks and volumes of an earlier run that was killed. No other run uses them."""
        left = run("docker", "ps", "--all", "--quiet").stdout.split()
        if left:
            run("docker", "rm", "--force", "--volumes", *left)
        run("docker", "network", "prune", "--force")
        run("docker", "volume", "prune", "--force")

    # ---- the process ---------------------------------------------------------------------------

    def start(self):
        dockerd = ["dockerd", "--data-root", f"{self.directory}/data", "--exec-root", f"{self.directory}/exec",
                   "--pidfile", f"{self.directory}/docker.pid", "--host", self.socket,
                   "--exec-opt", "native.cgroupdriver=cgroupfs"]
        shutil.rmtree(f"{self.directory}/exec", ignore_errors=True)  # left by an engine that was killed
        for name in ("docker.pid", "docker.sock"):
            if os.path.lexists(f"{self.directory}/{name}"):
                os.unlink(f"{self.directory}/{name}")
        with open(f"{self.directory}/dockerd.log", "wb") as log:
            self.process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "unshare", "--net", "--mount", "--pid", "--fork",
                 "--kill-child=KILL", "--mount-proc", "sh", "-c", 'ip link set lo up && exec "$@"', "sh", *dockerd],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                env=dict(os.environ, PATH=PATH))

    def await_answer(self):
        end = time.monotonic() + START_S
        while not answers(self.socket):
            if self.process.poll() is not None or time.monotonic() > end:
                raise Unavailable(f"no Docker engine answers, and a private one does not start: {self.last_log_line()}")
            time.sleep(0.2)

    def last_log_line(self):
        with open(f"{self.directory}/dockerd.log", encoding="utf-8", errors="replace") as log:
            lines = [line for line in log.read().splitlines() if line.strip()]
        return lines[-1] if lines else "its log is empty"

    # ---- its network -----------------------------------------------------------------------------

    def connect_outside(self):
        """Connects its network to the outside. Without that the engine works, but cannot build images."""
        here, there = self.free_addresses()
        name, process = f"hf-e2e-{os.getpid() % 100000}", self.process.pid
        end = time.monotonic() + 10
        while os.readlink(f"/proc/{process}/ns/net") == os.readlink("/proc/self/ns/net"):
            if self.process.poll() is not None or time.monotonic() > end:
                raise Unavailable(f"no network namespace for a private engine: {self.last_log_line()}")
            time.sleep(0.02)
        within = ["nsenter", "--target", process, "--net", "ip"]
        try:
            self.undo.append(["ip", "link", "delete", name])
            run("ip", "link", "add", name, "type", "veth", "peer", "name", "uplink", "netns", process)
            run("ip", "address", "add", f"{here}/30", "dev", name)
            run("ip", "link", "set", name, "up")
            run(*within, "address", "add", f"{there}/30", "dev", "uplink")
            run(*within, "link", "set", "uplink", "up")
            run(*within, "route", "add", "default", "via", here)
            self.forward(there, name)
        except AssertionError as error:
            print(f"e2e: the private engine cannot reach the outside: {str(error).splitlines()[-1]}", flush=True)

    def forward(self, there, name):
        path = "/proc/sys/net/ipv4/ip_forward"
        with open(path, encoding="ascii") as file:
            before = file.read().strip()
        if before != "1":
            self.undo.append(["sh", "-c", f"echo {before} > {path}"])
            run("sh", "-c", f"echo 1 > {path}")
        for rule in (["-t", "nat", "{}", "POSTROUTING", "-s", there, "-j", "MASQUERADE"],
                     ["{}", "FORWARD", "-i", name, "-j", "ACCEPT"], ["{}", "FORWARD", "-o", name, "-j", "ACCEPT"]):
            self.undo.append(["iptables", "-w", *[word.replace("{}", "-D") for word in rule]])
            run("iptables", "-w", *[word.replace("{}", "-I") for word in rule])

    @staticmethod
    def free_addresses():
        """Two addresses of a network that only this machine's default route covers."""
        routes = [ipaddress.ip_network(line.split()[0], strict=False)
                  for line in run("ip", "-4", "route", "show").stdout.splitlines()
                  if line[:1].isdigit()]
        for candidate in ipaddress.ip_network("10.213.0.0/16").subnets(new_prefix=30):
            if not any(candidate.overlaps(route) for route in routes):
                return tuple(map(str, candidate.hosts()))
        raise Unavailable("no free addresses for a private engine")

    def join(self):
        """Moves this thread into the engine's network, where published ports are on loopback."""
        with open(f"/proc/{self.process.pid}/ns/net", "rb") as namespace:
            enter(namespace)

    def remove_images(self):
        """Deletes all its data, once it has ended."""
        self.forgets = True

    # ---- tear down -------------------------------------------------------------------------------

    def __exit__(self, *_):
        os.environ.pop("DOCKER_HOST", None)
        enter(self.home)  # the commands to undo are for the machine's network
        self.home.close()
        self.stop()
        while self.undo:
            run(*self.undo.pop(), check=False)
        for name in ("exec", "data") if self.forgets else ("exec",):
            shutil.rmtree(f"{self.directory}/{name}", ignore_errors=True)

    def stop(self):
        """Terminates the engine. Remaining processes die with its process namespace."""
        if self.process is None or self.process.poll() is not None:
            return
        with contextlib.suppress(OSError, ValueError, subprocess.TimeoutExpired):
            with open(f"/proc/{self.process.pid}/task/{self.process.pid}/children", encoding="ascii") as children:
                os.kill(int(children.read().split()[0]), signal.SIGTERM)
            self.process.wait(STOP_S)
            return
        self.process.kill()
        self.process.wait()


def choose(kind, directory):
    """The machine's engine or a private one, by kind: `machine`, `private`, or `auto` (the machine's if it answers)."""
    if kind != "private" and answers():
        return Machine()
    if kind == "machine":
        raise Unavailable("no Docker engine answers")
    if os.geteuid() != 0:
        raise Unavailable("no Docker engine answers, and starting one needs root")
    if not all(found(program) for program in ("docker", "dockerd", "iptables", "ip")):
        install(PACKAGES)
    return Private(directory)
