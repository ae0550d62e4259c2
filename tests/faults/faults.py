#!/usr/bin/env python3
"""The fault suite: faults.py list | run [NAME...] | soak; --help says more.

Each fault runs once for every strategy that it applies to, on three instances under load. The history
checker decides. A fault that had no effect fails. The same seed makes the same choices.
"""

import argparse
import os
import random
import shutil
import signal
import sys
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "http")]

from backends import Stack  # noqa: E402
from cluster import BINARY  # noqa: E402
from registry import NotHere, faults  # noqa: E402
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

SERVERS = ("mariadbd", "mariadb", "redis-server", "java", "etcd")
SKIPPED = 77  # tells ctest


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
    """Plays one scene. True if everything held. If it fails and the database's own files are damaged, which
    no client can do, it proves nothing about the service: it is played again, once, on a new server."""
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
        return not os.environ.get("HOLDFAST_TEST_REQUIRE")
    except Exception as error:  # any error: the remaining scenes still run
        traceback.print_exc(file=sys.stdout)
        print(f"   FAILED: {names}: {strategy}: {type(error).__name__}, after"
              f" {time.monotonic() - begin:.1f} s; again: ./dev test faults {chosen[0].name} --seed {seed}")
        if not scene.damage:
            return False
        print(f"   the database's own files are damaged:\n{scene.damage}", flush=True)
        stack.renew("mysql")
        return again and play(stack, strategy, chosen, seed, brief, again=False)
    felt = "; ".join(f"{what}: {times}" for what, times in scene.bites.items())
    slowest = f"; recovered within {scene.slowest_s:.2f} s" if scene.slowest_s else ""
    print(f"   held, {time.monotonic() - begin:.1f} s; {felt}{slowest}", flush=True)
    return True


def applicable(fault, usable, wanted):
    known = setting_names()
    missing = [name for name in fault.settings if name not in known]
    if missing:
        print(f"-- {fault.name}: SKIPPED: this build has no setting {', '.join(missing)}")
        return []
    return [name for name in fault.strategies if name in usable and (not wanted or name in wanted)]


def run_faults(stack, options):
    usable = usable_strategies(stack)
    chosen = [faults[name] for name in options.names or faults if name not in options.without]
    failures, scenes = 0, 0
    for fault in chosen:
        for strategy in applicable(fault, usable, options.strategy):
            scenes += 1
            failures += not play(stack, strategy, [fault], options.seed, options.brief)
    print(f"== {scenes} scenes, {failures} failed")
    return 1 if failures or not scenes else 0


def soak(stack, options):
    """Plays scenes of up to three faults, chosen by the seed, until the time is over."""
    usable = usable_strategies(stack)
    choice = random.Random(options.seed)
    end, failures, scenes = time.monotonic() + 60 * options.minutes, 0, 0
    while time.monotonic() < end:
        strategy = choice.choice([name for name in usable if not options.strategy or name in options.strategy])
        fitting = [f for f in faults.values() if f.soak and f.name not in options.without
                   and strategy in f.strategies and set(f.settings) <= setting_names()]
        first = choice.choice(fitting)
        beside = [f for f in fitting if f != first and f.settings == first.settings
                  and f.load in ({}, first.load) and f.workload == first.workload]
        chosen = [first, *choice.sample(beside, min(2, len(beside)))]
        failures += not play(stack, strategy, chosen, choice.randrange(1 << 30), brief=True)
        scenes += 1
    print(f"== {scenes} scenes in {options.minutes} minutes, {failures} failed")
    return 1 if failures else 0


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
        return 1 if os.environ.get("HOLDFAST_TEST_REQUIRE") else SKIPPED
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with Stack() as stack:
        stack.start(["mysql", *LOCK_SERVERS.values()])
        return (soak if options.command == "soak" else run_faults)(stack, options)


if __name__ == "__main__":
    sys.exit(main())
