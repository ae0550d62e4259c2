#!/usr/bin/env python3
"""The fault suite: faults.py list | run [NAME...] | soak; --help says more.

Each fault runs once for every strategy that it applies to, on three instances under load. The history
checker decides. A fault that had no effect fails. The same seed makes the same choices.

The logs of a scene that failed are kept; its message names the directory. If a server did not start again, or has
damaged its own files, that proves nothing about the service: the scene is played again with new servers.
Exit codes: 1 a scene failed, 3 none failed but servers kept some from their end, 77 servers are not installed.
"""

import argparse
import collections
import os
import random
import shutil
import signal
import sys
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "http")]

from backends import ServerFailed, Stack  # noqa: E402
from cluster import BINARY  # noqa: E402
from registry import ALL, NotHere, faults  # noqa: E402
from scene import LOCK_SERVERS, Scene, setting_names, usable_strategies  # noqa: E402
import clients  # noqa: E402,F401
import databases  # noqa: E402,F401
import holders  # noqa: E402,F401
import lock_servers  # noqa: E402,F401
import network  # noqa: E402,F401
import orders  # noqa: E402,F401
import power_cuts  # noqa: E402,F401
import processes  # noqa: E402,F401
import reservations  # noqa: E402,F401

REQUIRED = bool(os.environ.get("HOLDFAST_TEST_REQUIRE"))  # what is missing fails, and is not skipped
SERVERS = ("mariadbd", "mariadb", "redis-server", "java", "etcd")
SKIPPED = 77  # tells ctest
SERVERS_FAILED = 3


def outcome(scene, chosen):
    """Runs the faults one after the other and judges the scene."""
    for fault in chosen:
        fault.act(scene)
    slugs = [slug for fault in chosen for slug in fault.convicts]
    if slugs:
        scene.convict(*slugs)
    else:
        scene.judge()


def play(stack, strategy, chosen, seed, brief, again=True):
    """Plays one scene, and a second time if servers kept the first one from its end. Returns a list of what
    became of both: held, skipped, failed, or server."""
    begin = time.monotonic()
    names = ", ".join(fault.name for fault in chosen)
    print(f"-- {names}: {strategy}, seed {seed}", flush=True)
    settings, load = {}, {}
    for fault in chosen:
        settings.update(fault.settings)
        load.update(fault.load)
    scene = Scene(stack, strategy, seed, settings, load, brief, chosen[0].workload)
    try:
        with scene:
            outcome(scene, chosen)
    except NotHere as reason:
        print(f"   SKIPPED: {reason}", flush=True)
        scene.logs.delete()
        return ["failed" if REQUIRED else "skipped"]
    except Exception as error:  # any error: the remaining scenes still run
        server = scene.damage or (str(error) if isinstance(error, ServerFailed) else "")
        traceback.print_exc(file=sys.stdout)
        if scene.logs is not None:
            scene.logs.show()
            print(f"   logs: {scene.logs.keep(f'{names}-{strategy}-{seed}'.replace(', ', '+'))}")
        print(f"   {'SERVER' if server else 'FAILED'}: {names}: {strategy}: {type(error).__name__}, after"
              f" {time.monotonic() - begin:.1f} s; again: ./dev test faults {chosen[0].name} --seed {seed}")
        if server:
            print(f"   no fault of the service: {server}")
        sys.stdout.flush()
        stack.renew()
        if not server:
            return ["failed"]
        return ["server"] + (play(stack, strategy, chosen, seed, brief, again=False) if again else [])
    felt = "; ".join(f"{what}: {times}" for what, times in scene.bites.items())
    slowest = f"; recovered within {scene.slowest_s:.2f} s" if scene.slowest_s else ""
    print(f"   held, {time.monotonic() - begin:.1f} s; {felt}{slowest}", flush=True)
    return ["held"]


class Tally:
    """Counts the scenes by what became of them."""

    def __init__(self):
        self.ends = collections.Counter()
        self.servers_failed = 0

    def add(self, ends):
        self.ends[ends[-1]] += 1
        self.servers_failed += ends.count("server")

    def close(self):
        """Prints the sum. Returns the exit code."""
        held, failed, unproven, skipped = (self.ends[end] for end in ("held", "failed", "server", "skipped"))
        print(f"== {self.ends.total()} scenes, {failed} failed, {unproven} without an end because servers failed;"
              f" servers failed {self.servers_failed} times")
        if failed or unproven:
            return 1 if failed else SERVERS_FAILED
        return 0 if held else SKIPPED if skipped else 1


def applicable(fault, usable, wanted):
    known = setting_names()
    missing = [name for name in fault.settings if name not in known]
    if missing:
        print(f"-- {fault.name}: SKIPPED: this build has no setting {', '.join(missing)}")
        if REQUIRED:
            raise AssertionError(f"{fault.name} cannot be played")
        return []
    return [name for name in fault.strategies if name in usable and (not wanted or name in wanted)]


def usable_here(stack):
    """The strategies that this build can use, with the servers that there are."""
    usable = usable_strategies(stack)
    missing = [name for name in ALL if name not in usable]
    if missing:
        print(f"-- SKIPPED: strategies that cannot be used: {', '.join(missing)}")
        if REQUIRED or len(missing) == len(ALL):
            raise AssertionError(f"not usable: {', '.join(missing)}")
    return usable


def run_faults(stack, options):
    usable = usable_here(stack)
    chosen = [faults[name] for name in options.names or faults if name not in options.without]
    tally = Tally()
    for fault in chosen:
        for strategy in applicable(fault, usable, options.strategy):
            tally.add(play(stack, strategy, [fault], options.seed, options.brief))
    return tally.close()


def soak(stack, options):
    """Plays scenes of up to three faults, chosen by the seed, until the time is over."""
    usable = usable_here(stack)
    choice = random.Random(options.seed)
    end, tally = time.monotonic() + 60 * options.minutes, Tally()
    while time.monotonic() < end:
        strategy = choice.choice([name for name in usable if not options.strategy or name in options.strategy])
        fitting = [f for f in faults.values() if f.soak and f.name not in options.without
                   and strategy in f.strategies and set(f.settings) <= setting_names()]
        first = choice.choice(fitting)
        beside = [f for f in fitting if f != first and f.settings == first.settings
                  and f.load in ({}, first.load) and f.workload == first.workload]
        chosen = [first, *choice.sample(beside, min(2, len(beside)))]
        tally.add(play(stack, strategy, chosen, choice.randrange(1 << 30), brief=True))
    return tally.close()


def show():
    for fault in sorted(faults.values(), key=lambda f: f.number):
        print(f"{fault.number:3} {fault.name:32} {fault.why}")
    return 0


def parse():
    parser = argparse.ArgumentParser(prog="./dev test faults", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=("list", "run", "soak"))
    parser.add_argument("names", nargs="*", metavar="NAME", help="faults as listed by `list`; default: all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--strategy", action="append", help="only this strategy; repeatable")
    parser.add_argument("--without", action="append", default=[], metavar="NAME", help="leave this fault out; repeatable")
    parser.add_argument("--brief", action="store_true", help="run one variant of each fault")
    parser.add_argument("--minutes", type=float, default=10, help="duration of a soak")
    options = parser.parse_intermixed_args()
    unknown = [name for name in options.names + options.without if name not in faults]
    if unknown:
        parser.error(f"no such fault: {', '.join(unknown)}; there are {', '.join(faults)}")
    return options


def main():
    options = parse()
    if options.command == "list":
        return show()
    if not os.path.exists(BINARY):
        print(f"faults: {BINARY} is not built", file=sys.stderr)
        return 2
    missing = [name for name in SERVERS if not shutil.which(name)]
    if missing:
        print(f"faults: not installed: {', '.join(missing)}", file=sys.stderr)
        return 1 if REQUIRED else SKIPPED
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with Stack() as stack:
        try:
            stack.start(["mysql", *LOCK_SERVERS.values()])
            return (soak if options.command == "soak" else run_faults)(stack, options)
        except ServerFailed as error:  # not in a scene
            print(f"faults: no fault of the service: {error}", file=sys.stderr)
            return SERVERS_FAILED


if __name__ == "__main__":
    sys.exit(main())
