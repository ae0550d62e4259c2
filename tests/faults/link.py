"""A proxy between an instance and a server that can spoil the connection: see support/proxy_program.c."""

import contextlib
import os
import subprocess

from backends import WITH_PARENT
from cluster import ROOT

PROXY = os.environ.get("HOLDFAST_PROXY", os.path.join(ROOT, "build/dev/tests/proxy"))


class Link:
    def __init__(self, target):
        self.process = subprocess.Popen([*WITH_PARENT, PROXY, target], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline())

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def tell(self, command):
        print(command, file=self.process.stdin, flush=True)
        return self.process.stdout.readline().strip()

    def do(self, command):
        answer = self.tell(command)
        if answer != "ok":
            raise AssertionError(f"{command}: {answer}")

    def lost(self):
        """How many answers `lose` has discarded."""
        return int(self.tell("lost"))

    def ports(self):
        """The local ports of its connections to the server."""
        sockets = set()
        directory = f"/proc/{self.process.pid}/fd"
        for fd in os.listdir(directory):
            with contextlib.suppress(OSError):
                sockets.add(os.readlink(f"{directory}/{fd}"))
        with open("/proc/net/tcp", encoding="ascii") as file:
            rows = [line.split() for line in file.readlines()[1:]]
        return {int(row[1].partition(":")[2], 16) for row in rows if f"socket:[{row[9]}]" in sockets}

    def close(self):
        if self.process.poll() is None:
            self.process.stdin.close()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
