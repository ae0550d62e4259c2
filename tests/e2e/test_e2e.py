#!/usr/bin/env python3
"""The scenes of `./dev e2e` as gates: red if the service serves nothing. Needs no Docker: the containers are
one instance of support/dummy.py, and the load tester runs beside it."""

import contextlib
import io
import os
import sys
import tempfile
import time
import unittest
from unittest import mock

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "http")]

import e2e  # noqa: E402
import failures  # noqa: E402
import load  # noqa: E402
import observed  # noqa: E402
import stack  # noqa: E402
import strategies  # noqa: E402
from cluster import Cluster, call  # noqa: E402
from loader import LOAD  # noqa: E402
from refused import REFUSALS, WORK, refusing  # noqa: E402
from registry import scenes  # noqa: E402

OF_CONTAINERS = ("config", "contained")  # they ask Docker, and not the service
FEW = ("instance-killed", "reconciliation")


class StandIn(stack.Stack):
    """All containers look well, whatever is done to them. Their service is the dummy at this port."""

    def __init__(self, port, directory):
        super().__init__([], True)
        self.port, self.directory = port, directory
        self.up = len(stack.INSTANCES)
        os.makedirs(f"{directory}/reports", exist_ok=True)

    def words(self, *arguments, **_):
        """Of `compose run … load run …` only the load tester's own words."""
        at = arguments.index("load") + 1
        return [LOAD, *(word.replace("haproxy:8080", f"127.0.0.1:{self.port}").replace("/reports", f"{self.directory}/reports")
                        for word in arguments[at:])]

    def inside(self, host, port, method, path, body=None, key=None, admin=False):
        return call(self.port, method, path, body, key)

    def containers(self, service=None):
        return []

    def container(self, service):
        return service

    def inspect(self, *containers):
        return [{"Config": {"Healthcheck": {"Test": ["CMD", "true"]}}}]

    def kill(self, service):
        self.up -= service in stack.INSTANCES

    stop = kill

    def start(self, service):
        self.up += service in stack.INSTANCES

    def restart(self, service):
        pass

    replace = restart

    def servers(self):
        return self.up


def hurry(condition, _, what, pause_s=0.1):
    return WAIT(condition, 0.5, what, pause_s)


WAIT = stack.await_that


class Scenes(unittest.TestCase):
    def setUp(self):
        for module in (stack, failures, observed):
            self.enterContext(mock.patch.object(module, "await_that", hurry))
        for module in (failures, load):
            self.enterContext(mock.patch.object(module, "run", return_value=mock.Mock(returncode=0)))
        self.enterContext(mock.patch.object(strategies, "SECONDS", 1))
        self.enterContext(mock.patch.object(e2e, "show_logs"))
        self.enterContext(mock.patch.object(observed, "time", mock.Mock(monotonic=time.monotonic)))
        self.enterContext(mock.patch.dict(load.MIXED, retry=0))

    def test_every_refusal(self):
        for answer, to in REFUSALS:
            names = [name for name in scenes if name not in OF_CONTAINERS and ((answer, to) == WORK[0] or name in FEW)]
            with refusing(answer, to), Cluster("sqlite:none") as servers, tempfile.TemporaryDirectory() as directory:
                for name in names:
                    told = io.StringIO()
                    with self.subTest(answer=answer, to=to, scene=name), contextlib.redirect_stdout(told):
                        held = e2e.play(StandIn(servers.ports[0], directory), name, scenes[name])
                        self.assertFalse(held, told.getvalue())
                        self.assertIn("FAILED", told.getvalue())


if __name__ == "__main__":
    unittest.main()
