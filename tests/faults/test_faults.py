#!/usr/bin/env python3
"""The fault suite as a gate: red if the service serves nothing. What a failed scene leaves is kept, and a server
that does not start again is told from a fault of the service."""

import contextlib
import io
import os
import sys
import tempfile
import types
import unittest
from unittest import mock

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "http")]

import backends  # noqa: E402
import callers  # noqa: E402
import faults  # noqa: E402
import logs  # noqa: E402
import scene  # noqa: E402
from cluster import await_true, need  # noqa: E402
from refused import REFUSALS, refusing  # noqa: E402
from registry import Fault  # noqa: E402


# Its set-up needs no POST, which the dummy refuses, so that the workload itself is judged.
LOAD = {"scenario": "deduct", "mix": None, "users": None}


def fault(act, workload="mixed"):
    return Fault("test", 0, ("conditional",), act, {}, LOAD, False, (), workload, "")


believed = []  # workloads that found nothing wrong


def judge_workload(played):
    history = played.logs.path("history.jsonl")  # until it is there the load tester does not know Ctrl-C
    await_true(lambda: played.endpoint != "stock" or os.path.exists(history))
    played.bit("nothing in particular")
    played.workload.judge()
    believed.append(played.workload)


class TestStack:
    """The servers of ./dev test in place of private ones."""

    def __init__(self, directory):
        self.directory = directory
        self.damages = ""
        self.renewed = 0

    def __getitem__(self, name):
        url = need(f"HOLDFAST_TEST_{name.upper()}")
        return types.SimpleNamespace(url=url, address=url.rpartition("@")[2].partition("/")[0])

    def logs(self):
        return {"mysql": os.path.join(self.directory, "mysql-server")}

    def revive(self):
        pass

    def damage(self):
        return self.damages

    def renew(self):
        self.renewed += 1


class Case(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory(prefix="holdfast-faults-")
        self.addCleanup(directory.cleanup)
        self.stack = TestStack(directory.name)
        self.kept = os.path.join(directory.name, "kept")
        self.output = io.StringIO()
        for where, name, value in ((logs, "KEPT", self.kept), (scene, "INSTANCES", 1), (scene, "LOADED_S", 2),
                                   (callers, "OUTCOME_S", 0.5)):
            patch = mock.patch.object(where, name, value)
            patch.start()
            self.addCleanup(patch.stop)

    def play(self, act, workload="mixed"):
        with contextlib.redirect_stdout(self.output):
            return faults.play(self.stack, "conditional", [fault(act, workload)], 1, True)


class RedWithoutService(Case):
    def test_every_refusal(self):
        for answer, to in (("503", "all"), *REFUSALS):
            for workload in ("mixed", "transfers") if to == "work" else ("mixed",):
                with self.subTest(answer=answer, to=to, workload=workload), refusing(answer, to):
                    self.assertEqual(self.play(judge_workload, workload), ["failed"], self.output.getvalue())
        self.assertEqual(believed, [])

    def test_nothing_played_is_not_green(self):
        for ends, code in ((["held"], 0), (["skipped"], faults.SKIPPED), (None, 1)):
            tally = faults.Tally()
            if ends:
                tally.add(ends)
            with contextlib.redirect_stdout(self.output):
                self.assertEqual(tally.close(), code)


class WhatIsLeft(Case):
    def test_logs_of_a_failed_scene_are_kept(self):
        def fail(played):
            with open(self.stack.logs()["mysql"], "a", encoding="utf-8") as log:
                log.write("written by the server meanwhile\n")
            played.restart(0)
            raise AssertionError("it is wrong")

        with open(self.stack.logs()["mysql"], "w", encoding="utf-8") as log:
            log.write("written by the server before\n")
        self.assertEqual(self.play(fail), ["failed"])
        told = self.output.getvalue()
        directory = os.path.join(self.kept, "test-conditional-1")
        self.assertIn(f"logs: {directory}", told)
        self.assertEqual(sorted(os.listdir(directory)), ["history.jsonl", "instance-0.log", "ledger.tsv", "load.json",
                                                         "load.log", "mysql.log"])
        texts = {}
        for name in os.listdir(directory):
            with open(os.path.join(directory, name), encoding="utf-8") as file:
                texts[name] = file.read()
        self.assertEqual(texts["instance-0.log"].count("listening on"), 2)  # before its restart, and after it
        self.assertIn('"holdfast_history"', texts["history.jsonl"])
        self.assertIn("stock/PROBE", texts["ledger.tsv"])
        self.assertEqual(texts["mysql.log"], "written by the server meanwhile\n")
        self.assertIn("written by the server meanwhile", told)
        self.assertEqual(self.stack.renewed, 1)
        self.assertEqual(self.play(fail), ["failed"])
        self.assertTrue(os.path.exists(directory + "-2"))

    def test_nothing_is_left_of_a_scene_that_held(self):
        self.assertEqual(self.play(lambda played: played.bit("nothing")), ["held"], self.output.getvalue())
        self.assertEqual(os.listdir(self.stack.directory), [])
        self.assertEqual(self.stack.renewed, 0)

    def test_a_server_that_fails_is_not_our_fault(self):
        """The scene is played again with new servers. If they fail too, it has no end: exit code 3."""
        def once(played):
            played.bit("nothing")
            if self.stack.renewed == 0:
                raise backends.ServerFailed("mysql did not start: ended with 1")

        def always(_):
            raise backends.ServerFailed("mysql did not start: ended with 1")

        def damaged(played):
            self.stack.damages = "mysql: table is corrupt" if self.stack.renewed == 3 else ""
            once(played)
            if self.stack.damages:
                raise AssertionError("rows are missing")

        tally = faults.Tally()
        for act, ends in ((once, ["server", "held"]), (always, ["server", "server"]), (damaged, ["server", "held"])):
            with mock.patch.object(scene, "WORKLOADS", {"mixed": mock.MagicMock()}), \
                    mock.patch.object(scene.Scene, "is_loaded", lambda _: True), \
                    mock.patch.object(scene.Scene, "judge", lambda _: None):
                played = self.play(act)
            self.assertEqual(played, ends, self.output.getvalue())
            tally.add(played)
        self.assertIn("no fault of the service: mysql did not start: ended with 1", self.output.getvalue())
        self.assertEqual((tally.ends["held"], tally.ends["server"], tally.servers_failed), (2, 1, 4))
        with contextlib.redirect_stdout(self.output):
            self.assertEqual(tally.close(), faults.SERVERS_FAILED)

    def test_a_server_that_does_not_start_again(self):
        with tempfile.TemporaryDirectory(prefix="holdfast-faults-") as directory:
            redis = backends.Redis(directory)
            try:
                redis.start().kill()
                redis.command = ["sh", "-c", "echo the file is corrupt; exit 7"]
                with self.assertRaisesRegex(backends.ServerFailed, "(?s)redis did not start: ended with 7.*corrupt"):
                    redis.start()
            finally:
                redis.close()


if __name__ == "__main__":
    unittest.main()
