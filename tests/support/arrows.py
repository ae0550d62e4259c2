#!/usr/bin/env python3
"""Arrows between rooms run one way, and no files form a circle.

    tests/support/arrows.py [BUILD]     BUILD: a build folder, whose object files show the calls

Three checks over service/ and loadtest/:

rooms    a file includes only headers of its own room and of the rooms that its row names. A row
         names only rows above it, so no two rooms can know each other, directly or in a circle.
circles  no object file needs a symbol of one that needs, perhaps through others, its own.
places   SQL, database clients, HTTP, lock clients and the end of the process stand in one place.

Prints each line that breaks a rule and exits with 1.
"""
import collections
import json
import os
import re
import subprocess
import sys

ROOT = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../.."))

# A room, then the rooms that it may use besides its own. A file without a folder is its own room.
ROOMS = {
    "service": [
        ("base", ""),
        ("domain", "base"),
        ("store/db", "base"),
        ("store/tables", "base domain store/db"),
        ("store/migrate", "base store/db"),
        ("store/reconcile", "base domain store/db store/tables"),
        ("guard", "base domain store/db"),
        ("guard/redis", "base domain guard"),
        ("guard/zookeeper", "base domain guard"),
        ("guard/etcd", "base domain guard"),
        ("guard/strategy", "base domain store/tables guard guard/redis guard/zookeeper guard/etcd"),
        ("config", "base guard guard/strategy"),
        ("metrics", "base domain guard guard/strategy"),
        ("engine/facts", "base domain store/db store/tables"),
        ("engine", "base domain store/db store/tables guard guard/strategy metrics engine/facts"),
        ("http/wire", "base domain"),
        ("http", "base domain engine http/wire"),
        ("http/lab", "base domain store/db store/tables store/migrate store/reconcile guard"
                     " guard/strategy metrics engine http"),
        ("http/api", "base domain store/db store/tables store/reconcile guard guard/strategy metrics"
                     " engine http/wire http http/lab"),
        ("http/server", "base domain guard/strategy metrics engine http/wire http http/lab http/api"),
        ("app", "base store/db store/migrate store/tables guard config metrics engine http/lab"
                " http/server"),
        ("commands", "base config store/db store/migrate store/reconcile store/tables http/server app"),
        ("main", "base config store/db commands"),
    ],
    "loadtest": [
        ("base", ""),
        ("measure", "base"),
        ("history", "base"),
        ("control", "base history"),
        ("check", "base history control"),
        ("report", "base measure history check"),
        ("run", "base measure history control report"),
        ("commands", ""),
        ("command_check", "base history control check report commands"),
        ("command_run", "base measure history control check report run commands"),
        ("main", "base run commands"),
    ],
}

# What is looked for outside comments, and the paths where alone it may stand (regular expressions).
PLACES = [
    ("SQL", r'"[^"]*\b(SELECT .* FROM|INSERT INTO|UPDATE [a-z_]+ SET|DELETE FROM|CREATE TABLE)\b',
     "service/store/"),
    ("database clients", r"#include <(mysql|mariadb|sqlite3)", "service/store/db/"),
    ("HTTP", r'#include <microhttpd|\bMHD_|"(Idempotency-Key|Content-Type|Retry-After|Allow)',
     "service/http/|service/guard/etcd/client.c|loadtest/"),
    ("lock clients", r"#include <(hiredis|zookeeper)", "service/guard/|loadtest/scorecard/"),
    ("libcurl", r"#include <curl", "service/guard/etcd/|service/guard/redis/connection|service/guard/tls|"
     "loadtest/control/|loadtest/scorecard/"),
    ("the end of the process", r"(^|[^a-z_])_?exit\(", "service/main.c|service/commands/serve.c|loadtest/"),
    ("unbounded printing", r"\bv?sprintf\(", "nowhere"),
    ("I/O, clock or threads", r"#include <(pthread|stdio|time|sys/|unistd|stdatomic)",
     "(?!service/domain/)"),
]

failures = 0


def complain(what, lines):
    global failures
    failures += 1
    print(f"arrows: {what}")
    for line in lines:
        print(f"    {line}")


def sources(top):
    for folder, _, names in os.walk(os.path.join(ROOT, top)):
        for name in sorted(names):
            if name.endswith((".c", ".h")):
                yield os.path.relpath(os.path.join(folder, name), ROOT)


def room_of(name):
    return os.path.dirname(name) or name.partition(".")[0]


def check_rooms(top, table):
    allowed, seen = {}, set()
    for room, uses in table:
        below = set(uses.split())
        if not below <= seen:
            complain(f"{top}: the row of '{room}' names rooms that are not above it",
                     sorted(below - seen))
        allowed[room] = below | {room}
        seen.add(room)
    for path in sources(top):
        if path.startswith("loadtest/scorecard/"):
            continue  # probes: programs of their own, which use the service's rooms as they like
        room = room_of(os.path.relpath(path, top))
        if room not in allowed:
            complain(f"{path}: '{room}' has no row in tests/support/arrows.py", [])
            continue
        with open(os.path.join(ROOT, path), encoding="utf-8") as file:
            includes = re.findall(r'^#include "([^"]+)"', file.read(), re.M)
        wrong = [name for name in includes if room_of(name) not in allowed[room]]
        if wrong:
            complain(f"{path} may not include", wrong)


def check_places():
    for top in ROOMS:
        for path in sources(top):
            with open(os.path.join(ROOT, path), encoding="utf-8") as file:
                code = [(n, line.rstrip()) for n, line in enumerate(file, 1)
                        if not re.match(r" *(//|\*)", line)]
            for what, pattern, where in PLACES:
                if re.match(where, path):
                    continue
                hits = [f"{n}: {line}" for n, line in code if re.search(pattern, line)]
                if hits:
                    complain(f"{path}: {what} may stand only in {where}", hits)


def calls(build):
    """For each source file of an object: the files that define the symbols which it needs."""
    defines, needs = {}, {}
    with open(os.path.join(build, "compile_commands.json"), encoding="utf-8") as file:
        units = json.load(file)
    for unit in units:
        path = os.path.relpath(unit["file"], ROOT)
        if not path.startswith(("service/", "loadtest/")):
            continue
        obj = re.search(r" -o (\S+)", unit["command"]).group(1)
        listing = subprocess.run(["nm", "-P", os.path.join(unit["directory"], obj)], check=True,
                                 capture_output=True, text=True).stdout
        needs[path] = set()
        for line in listing.splitlines():
            symbol, kind = line.split()[:2]
            if kind == "U":
                needs[path].add(symbol)
            elif kind in "TDRBVW":
                defines.setdefault(symbol, path)
    return {path: {defines[s] for s in wanted if s in defines} - {path}
            for path, wanted in needs.items()}


def circles(graph):
    """Strongly connected components of more than one node (Tarjan, 1972)."""
    index, low, stack, found = {}, {}, [], []

    def visit(node):
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in graph.get(node, ()):
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            at = stack.index(node)
            if len(stack) - at > 1:
                found.append(sorted(stack[at:]))
            del stack[at:]

    sys.setrecursionlimit(10000)
    for node in list(graph):
        if node not in index:
            visit(node)
    return found


def main():
    for top, table in ROOMS.items():
        check_rooms(top, table)
    check_places()
    if len(sys.argv) > 1:
        graph = calls(sys.argv[1])
        for circle in circles(graph):
            complain("a circle of files", [f"{a} needs {b}" for a in circle
                                           for b in sorted(graph[a]) if b in circle])
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
