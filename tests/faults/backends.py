"""The servers behind the service, as private processes that a fault can stop, kill and restart.

Their command lines are those of tests/support/stack.sh: its functions print them. A server dies with
the process that started it, so an interrupted run leaves nothing behind. The small file system for the
full-disk fault is mounted in a mount namespace of the server's own and disappears with it.
"""

import glob
import http.client
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

from cluster import ROOT

START_S = 30
WITH_PARENT = ["setpriv", "--pdeathsig", "KILL"]


def ask_stack(directory, words):
    """The output of stack.sh functions, for a stack in this directory."""
    script = f'. "{ROOT}/tests/support/stack.sh"; dir=$1; stack_init "$dir" || exit; {words}'
    done = subprocess.run(["bash", "-c", script, "bash", directory], capture_output=True, check=False)
    if done.returncode:
        raise AssertionError(f"{words}: {done.stdout.decode()}{done.stderr.decode()}")
    return done.stdout.decode()


class ServerFailed(AssertionError):
    """A private server does not start, or does not start again. That is no fault of the service."""


class Backend:
    """One server: start, kill, stop, cont, restart."""

    name = None

    def __init__(self, directory):
        self.directory = directory
        variable = f"STACK_{self.name.upper()}_PORT"
        self.port = int(ask_stack(directory, f'port=$(stack_free_port "${variable}") &&'
                                             f' {variable}=$port && stack_save "$dir" && echo "$port"'))
        self.log = open(f"{directory}/{self.name}.log", "ab")
        self.process = None
        self.command = None

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def start(self, wait=True):
        if self.command is None:
            words = f'stack_spawn() {{ shift 2; printf "%s\\0" "$@"; }}; stack_start_{self.name} "$dir"'
            self.command = ask_stack(self.directory, words).split("\0")[:-1]
        self.process = subprocess.Popen(
            [*WITH_PARENT, *self.wrapped()], cwd=f"{self.directory}/{self.name}",
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        if wait:
            self.await_answer()
        return self

    def wrapped(self):
        return self.command

    def await_answer(self):
        """Returns when it answers. Raises ServerFailed if it ends, or does not answer in time."""
        end = time.monotonic() + START_S
        while not self.answers():
            code = self.process.poll()
            if code is not None or time.monotonic() > end:
                what = f"ended with {code}" if code is not None else f"does not answer after {START_S} s"
                raise ServerFailed(f"{self.name} did not start: {what}\n{self.last_words()}")
            time.sleep(0.15)

    def answers(self):
        raise NotImplementedError

    def last_words(self):
        """The end of the server's log, for a message."""
        with open(self.log.name, errors="replace", encoding="utf-8") as log:
            return "".join(log.readlines()[-30:])

    def kill(self):
        """SIGKILL: like a power cut, nothing more is written."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
        if self.process is not None:
            self.process.wait()

    def stop(self):
        """SIGSTOP: the server hangs. Connections stay open, but no answer comes."""
        self.process.send_signal(signal.SIGSTOP)

    def cont(self):
        self.process.send_signal(signal.SIGCONT)

    def restart(self):
        self.kill()
        self.start()

    def close(self):
        self.kill()
        self.log.close()


class Mysql(Backend):
    name = "mysql"

    def __init__(self, directory):
        super().__init__(directory)
        self.password = ask_stack(directory, 'echo "$STACK_PASSWORD"').strip()
        self.room = None  # a process whose mount namespace holds the small file system
        self.clock = None  # the file that says how far its clock is from the machine's

    @property
    def url(self):
        """The address with which tests create their databases."""
        return f"mysql://root:{self.password}@{self.address}/holdfast_test"

    def wrapped(self):
        # Without native AIO a write ends before its thread does: after SIGKILL and wait, no write of the
        # old process can reach a file that the new one has read.
        command = [*self.command, "--innodb-log-file-size=32M", "--innodb-use-native-aio=OFF"]
        if self.clock is not None:
            return ["env", f"LD_PRELOAD={self.clock_library()}", f"FAKETIME_TIMESTAMP_FILE={self.clock}",
                    "FAKETIME_NO_CACHE=1", "FAKETIME_DONT_FAKE_MONOTONIC=1", *command]
        if self.room is None:
            return command
        data = re.escape(f"{self.directory}/mysql") + "(?=/|$)"
        small = [re.sub(data, self.small, word) for word in command]
        return ["nsenter", f"--mount=/proc/{self.room.pid}/ns/mnt", *small]

    @property
    def small(self):
        return f"{self.directory}/small"

    def inside(self, name=""):
        """A path on the small file system, as seen from outside of its namespace."""
        return f"/proc/{self.room.pid}/root{self.small}/{name}"

    def move_in(self, room_mb):
        """Moves the data to a small file system with room_mb MB left. It outlives the server process."""
        self.process.terminate()
        self.process.wait(30)
        used = subprocess.run(["du", "-sm", f"{self.directory}/mysql"], capture_output=True, text=True,
                              check=True).stdout.split()[0]
        script = (f'mkdir -p "$1" && mount -t tmpfs -o size={int(used) + room_mb}m tmpfs "$1"'
                  ' && cp -a "$2/." "$1" && echo ready && exec sleep infinity')
        self.room = subprocess.Popen(
            [*WITH_PARENT, "unshare", "--mount", "sh", "-c", script, "sh", self.small, f"{self.directory}/mysql"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self.log)
        if self.room.stdout.readline() != b"ready\n":
            raise ServerFailed(f"{self.name}: no small file system:\n{self.last_words()}")
        self.start()

    def move_out(self):
        """Returns to the original data directory, with its data as of move_in."""
        self.kill()
        if self.room is not None:
            self.room.kill()
            self.room.communicate()
            self.room = None
        self.start()

    @staticmethod
    def clock_library():
        """The library of the package faketime, or None."""
        return next(iter(glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")), None)

    def own_clock(self):
        """Starts the server again, with a clock that set_clock moves."""
        self.clock = f"{self.directory}/clock"
        self.set_clock(0)
        self.restart()

    def set_clock(self, seconds):
        """Sets its clock so many seconds behind (-) or ahead of (+) the machine's."""
        with open(f"{self.clock}.new", "w", encoding="ascii") as file:
            file.write(f"{seconds:+d}\n")
        os.replace(file.name, self.clock)

    def machine_clock(self):
        self.clock = None
        self.restart()

    def client(self, program, *words):
        return subprocess.run(
            [program, "--no-defaults", "--protocol=tcp", "-h", "127.0.0.1", "-P", str(self.port), "-u", "root",
             *words],
            env=dict(os.environ, MYSQL_PWD=self.password), capture_output=True, text=True, check=False)

    def answers(self):
        return self.client("mariadb", "--connect-timeout=2", "-e", "USE holdfast_test").returncode == 0

    def damage(self):
        """What the server says is wrong with its own files: it does not start, or CHECK TABLE finds an error.
        No client can cause that. Empty if all is well, and on the small file system, which may be full."""
        if self.room is not None:
            return ""
        try:
            if self.process.poll() is not None:
                self.start()
        except ServerFailed as error:
            return str(error)
        done = self.client("mariadb-check", "--all-databases", "--check", "--extended", "--silent")
        return done.stdout + done.stderr


class Redis(Backend):
    name = "redis"

    def answers(self):
        return self.say("PING") == "+PONG"

    def say(self, words):
        """Sends one command line. Returns the first line of the answer, or None."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), 2) as connection:
                connection.settimeout(5)
                connection.sendall(words.encode() + b"\r\n")
                return connection.makefile().readline().strip()
        except OSError:
            return None


class Zookeeper(Backend):
    name = "zookeeper"

    def answers(self):
        """Uses `srvr`: `ruok` answers up to two seconds before the server is ready for anything else, and a
        request that comes too early is never answered."""
        return "Mode: " in (self.say("srvr", 1) or "")

    def say(self, word, timeout_s=5):
        """Sends a four-letter word. Returns the answer, or None."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), 2) as connection:
                connection.settimeout(timeout_s)
                connection.sendall(word.encode())
                return connection.makefile().read()
        except OSError:
            return None


class Etcd(Backend):
    name = "etcd"

    def answers(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=2)
        try:
            connection.request("GET", "/health")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


class Stack:
    """The requested servers, in a temporary directory. Use with `with`."""

    kinds = {kind.name: kind for kind in (Mysql, Redis, Zookeeper, Etcd)}

    def __init__(self):
        self.directory = tempfile.mkdtemp(prefix="holdfast-faults-")
        self.backends = {}

    def __enter__(self):
        return self

    def __getitem__(self, name):
        """The server of this name, started if it does not run."""
        if name not in self.backends:
            self.backends[name] = self.kinds[name](self.directory)
        backend = self.backends[name]
        if backend.process is None or backend.process.poll() is not None:
            backend.start()
        return backend

    def logs(self):
        """The path of each server's log."""
        return {name: backend.log.name for name, backend in self.backends.items()}

    def revive(self):
        """Ends what a fault has done to running servers."""
        for backend in self.backends.values():
            if backend.process.poll() is None:
                backend.cont()

    def damage(self):
        """See Mysql.damage."""
        return self.backends["mysql"].damage()

    def renew(self):
        """Replaces all servers by new ones without data."""
        names = list(self.backends)
        for name in names:
            self.backends.pop(name).close()
            shutil.rmtree(f"{self.directory}/{name}", ignore_errors=True)
        self.start(names)

    def start(self, names):
        """Starts these servers in parallel."""
        for name in names:
            if name not in self.backends:
                self.backends[name] = self.kinds[name](self.directory).start(wait=False)
        for name in names:
            for left in (2, 1, 0):
                try:
                    self.backends[name].await_answer()
                    break
                except ServerFailed:  # another process took the port meanwhile
                    self.backends[name].close()
                    if not left:
                        raise
                    self.backends[name] = self.kinds[name](self.directory).start(wait=False)

    def __exit__(self, *_):
        for backend in self.backends.values():
            backend.close()
        for _ in range(50):  # a killed server may still be releasing its files
            shutil.rmtree(self.directory, ignore_errors=True)
            if not os.path.exists(self.directory):
                break
            time.sleep(0.1)
