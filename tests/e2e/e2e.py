#!/usr/bin/env python3
"""The whole stack, end to end: e2e.py [--offline] [--keep] [SCENE...]; --help says more.

Starts docker-compose.yml, waits until it is healthy, puts load on it through HAProxy with every strategy,
kills and restarts its parts, checks the results, and takes it down. Each scene prints one line: what it proved.
"""

import argparse
import os
import signal
import subprocess
import sys
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "http")]

import engine  # noqa: E402
from registry import scenes  # noqa: E402
from stack import Stack, compose_command  # noqa: E402
import contained  # noqa: E402,F401
import strategies  # noqa: E402,F401
import failures  # noqa: E402,F401
import hostile  # noqa: E402,F401
import observed  # noqa: E402,F401

SKIPPED = 77
LINES = 8  # printed of each log after a failure


def say(text):
    print(f"e2e: {text}", flush=True)


def show_logs(stack):
    for container in stack.inspect(*stack.containers()):
        done = engine.run("docker", "logs", "--tail", LINES, container["Id"], check=False)
        print(f"  {container['Name'][1:]}, {container['State']['Status']}, log:",
              *(done.stdout + done.stderr).splitlines()[-LINES:], sep="\n    ")


def play(stack, name, act):
    """Plays one scene. True if it held."""
    begin = time.monotonic()
    try:
        proven = act(stack)
    except Exception as error:  # any error: the remaining scenes still run
        traceback.print_exc(file=sys.stdout)
        say(f"{name}: FAILED after {time.monotonic() - begin:.1f} s: {type(error).__name__}")
        show_logs(stack)
        return False
    say(f"{name}: {proven} ({time.monotonic() - begin:.0f} s)")
    return True


def prove(stack, names):
    """Plays all scenes. Returns how many failed."""
    begin = time.monotonic()
    stack.build()
    say(f"images built or found in {time.monotonic() - begin:.0f} s")
    try:
        took_s = stack.up()
        stack.settle()
    except AssertionError:
        show_logs(stack)
        raise
    say(f"up: {len(stack.services())} services, healthy {took_s:.0f} s after `up`; project {stack.project},"
        f" HAProxy on 127.0.0.1:{stack.port}")
    return sum(not play(stack, name, act) for name, act in scenes.items() if name in names)


def perform(options, docker):
    stack = Stack(compose_command(), options.offline, options.database, options.keep)
    if options.offline:
        say("building the missing images from Debian packages, which takes minutes")
        stack.build_offline()
    docker.join()
    with stack:
        failed = prove(stack, options.scenes or list(scenes))
    if not options.keep:
        left = {kind: ids for kind, ids in stack.leftovers().items() if ids}
        if left:
            say(f"FAILED: left over: {left}")
            failed += 1
        else:
            say("down: no container, network or volume of the project is left")
    if options.remove_images:
        docker.remove_images()
    return failed


def parse():
    parser = argparse.ArgumentParser(prog="./dev e2e", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter,
                                     epilog=f"Scenes: {', '.join(scenes)}. Images stay for the next run.")
    parser.add_argument("scenes", nargs="*", metavar="SCENE", help="only these; default: all")
    parser.add_argument("--offline", action="store_true",
                        help="images from Debian packages, for machines without access to a registry")
    parser.add_argument("--database", choices=("mysql", "mariadb"), default="mysql", help="which database the offline images have")
    parser.add_argument("--engine", choices=("auto", "machine", "private"), default="auto",
                        help="the machine's Docker engine, or a private one; auto: the machine's if it answers")
    parser.add_argument("--directory", default=os.path.join(engine.ROOT, ".stack/e2e"),
                        help="where a private engine keeps its images (.stack/e2e)")
    parser.add_argument("--keep", action="store_true", help="leave the stack running; not with a private engine")
    parser.add_argument("--remove-images", action="store_true", help="delete the images at the end")
    parser.add_argument("--may-skip", action="store_true", help="exit with 0, not 77, if there is no engine")
    options = parser.parse_args()
    unknown = [name for name in options.scenes if name not in scenes]
    if unknown:
        parser.error(f"no such scene: {', '.join(unknown)}; there are {', '.join(scenes)}")
    return options


def main():
    options = parse()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs ignore SIGINT by default
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.signal(signal.SIGHUP, lambda *_: sys.exit(129))
    begin = time.monotonic()
    try:
        docker = engine.choose(options.engine, options.directory)
        if docker.private and options.keep:
            raise engine.Unavailable("--keep needs the machine's own engine: a private one ends with the run")
        with docker:
            failed = perform(options, docker)
    except (AssertionError, subprocess.TimeoutExpired) as error:
        print(error)
        say("FAILED before any scene could run")
        return 1
    except engine.Unavailable as reason:
        say(f"skipped: {reason}")
        return 0 if options.may_skip else SKIPPED
    except KeyboardInterrupt:
        return 130
    say(f"{'all held' if not failed else f'{failed} FAILED'}, {time.monotonic() - begin:.0f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
