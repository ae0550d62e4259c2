"""Support for tests of holdfast-load: runs it, and a constant server as its target.

The environment names the programs: HOLDFAST_LOAD, CONSTANT_SERVER.
"""

import contextlib
import json
import os
import signal
import subprocess
import tempfile

from cluster import ROOT, clean_environment

LOAD = os.environ.get("HOLDFAST_LOAD", os.path.join(ROOT, "build/dev/loadtest/holdfast-load"))
CONSTANT = os.environ.get("CONSTANT_SERVER", os.path.join(ROOT, "build/dev/tests/constant"))


def urls(ports):
    return [f"http://127.0.0.1:{port}" for port in ports]


def start(*arguments, environment=None, **options):
    """Starts `holdfast-load ARGUMENTS` and returns the process."""
    variables = clean_environment()
    variables.update(environment or {})
    return subprocess.Popen([LOAD, *map(str, arguments)], env=variables, stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


def finish(process, timeout=120):
    """Waits for the process. Returns its exit code, stdout and stderr as text."""
    try:
        process.stdout, process.stderr = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise
    return process


def load(*arguments, timeout=120, **options):
    """Runs `holdfast-load ARGUMENTS` and waits for it."""
    return finish(start(*arguments, **options), timeout)


class Result:
    """A run and its JSON report."""

    def __init__(self, process, report):
        self.code, self.text, self.error = process.returncode, process.stdout, process.stderr
        self.report = report

    def __str__(self):
        return f"exit {self.code}\n{self.text}\n{self.error}"

    def violated(self):
        """Slugs of the violated invariants."""
        return [i["slug"] for i in self.report["check"]["invariants"] if i["violations"]]


def measured(*arguments, timeout=120, **options):
    """Runs `holdfast-load run ARGUMENTS --json FILE`; report is None if none was written."""
    with tempfile.TemporaryDirectory(prefix="holdfast-load-") as directory:
        path = os.path.join(directory, "report.json")
        process = load("run", *arguments, "--json", path, timeout=timeout, **options)
        report = None
        if os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                report = json.load(file)
        return Result(process, report)


class Running:
    """`holdfast-load run ARGUMENTS --json FILE`, which runs until it is stopped; use with `with`."""

    def __init__(self, *arguments, **options):
        self.directory = tempfile.TemporaryDirectory(prefix="holdfast-load-")
        self.path = os.path.join(self.directory.name, "report.json")
        self.process = start("run", *arguments, "--json", self.path, **options)

    def __enter__(self):
        return self

    def end(self, timeout=120):
        """Stops the load as Ctrl-C does; it still checks and reports."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        finish(self.process, timeout)
        report = None
        if os.path.exists(self.path):
            with open(self.path, encoding="utf-8") as file:
                report = json.load(file)
        return Result(self.process, report)

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()
        self.directory.cleanup()


def history(path):
    """Head, attempts and closing line (or None) of a history."""
    with open(path, encoding="utf-8") as file:
        lines = [json.loads(line) for line in file]
    end = lines.pop() if lines and "end" in lines[-1] else None
    return lines[0], lines[1:], end


@contextlib.contextmanager
def constant(*arguments):
    """A server that always sends the same answer. Yields its URL."""
    with subprocess.Popen([CONSTANT, *map(str, arguments)], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, text=True) as server:
        try:
            yield f"http://127.0.0.1:{int(server.stdout.readline())}"
        finally:
            server.stdin.close()
            try:
                server.wait(5)
            except subprocess.TimeoutExpired:
                server.kill()
