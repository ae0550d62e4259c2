"""Processor time of processes while something runs: utime + stime of /proc/PID/stat."""

import os
import threading
import time

INTERVAL_S = 0.05
TICKS = os.sysconf("SC_CLK_TCK")
STACK = {"mysql": "database", "redis": "redis", "zookeeper": "zookeeper", "etcd": "etcd"}


def cpu_seconds(pid):
    """0 for a process that has ended."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stat:
            fields = stat.read().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICKS


def stack_pids():
    """The private stack's servers, from the files where ./dev keeps their process ids."""
    directory, found = os.environ.get("HOLDFAST_STACK", ""), {}
    for server, name in STACK.items():
        try:
            with open(os.path.join(directory, server + ".pid"), encoding="ascii") as file:
                found[name] = [int(file.read().split()[0])]
        except (OSError, ValueError, IndexError):
            pass
    return found


class Processes:
    """Samples the processes periodically. Use with `with`, then ask for the time between two moments."""

    def __init__(self, pids):
        self.pids = pids  # name -> process ids
        self.samples = []  # (wall clock, {name: seconds so far})
        self.done = threading.Event()
        self.thread = threading.Thread(target=self.watch, daemon=True)

    def look(self):
        used = {name: sum(map(cpu_seconds, pids)) for name, pids in self.pids.items()}
        self.samples.append((time.time(), used))

    def watch(self):
        while not self.done.wait(INTERVAL_S):
            self.look()

    def __enter__(self):
        self.look()
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.done.set()
        self.thread.join()

    def cores(self, from_s=None, to_s=None):
        """How many processors each name kept busy between two times of the wall clock."""
        inside = [s for s in self.samples
                  if (from_s is None or s[0] >= from_s) and (to_s is None or s[0] <= to_s)]
        if len(inside) < 2:
            return {}
        (begin, before), (end, after) = inside[0], inside[-1]
        return {name: max(0.0, after[name] - before[name]) / (end - begin) for name in self.pids}
