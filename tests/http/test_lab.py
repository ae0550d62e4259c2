#!/usr/bin/env python3
"""/v1/lab/runs: a crowd beside the shop, its record, its verdict, and requests that are stepped by hand."""

import collections
import glob
import os
import tempfile
import threading
import time
import unittest

from cluster import TestCase, await_true

ENDED = ("ended", "cancelled", "failed")


class Laboratory(TestCase):
    def setUp(self):
        self.shop = self.sqlite()

    def open(self, **settings):
        folder = tempfile.TemporaryDirectory(prefix="holdfast-lab-test-")
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.service = self.cluster(self.shop.store, environment={"TMPDIR": self.folder}, lab="on",
                                    **settings)
        return self.service

    def start(self, scenario="lost-update", **settings):
        answer = self.service.call("POST", "/v1/lab/runs", dict(settings, scenario=scenario))
        self.assertEqual(answer.status, 201, answer)
        self.assertEqual(answer.headers["Location"], f"/v1/lab/runs/{answer.body['run']}")
        return answer.body["run"]

    def watch(self, run):
        """Follows the run to its end. Returns it with all its events."""
        events, after = [], 0
        while True:
            answer = self.service.call("GET", f"/v1/lab/runs/{run}?after={after}&wait_ms=5000")
            self.assertEqual(answer.status, 200, answer)
            events += answer.body["events"]
            after = answer.body["next_after"]
            if answer.body["state"] in ENDED and not answer.body["more"]:
                return dict(answer.body, events=events)

    def play(self, scenario="lost-update", **settings):
        return self.watch(self.start(scenario, **settings))


class Runs(Laboratory):
    def test_closed_outside_of_laboratory_mode(self):
        self.service = self.cluster(self.shop.store)
        for method, path in (("GET", "/v1/lab/runs"), ("POST", "/v1/lab/runs"), ("GET", "/v1/lab/runs/run-1"),
                             ("DELETE", "/v1/lab/runs/run-1"), ("POST", "/v1/lab/runs/run-1/step")):
            self.assert_problem(self.service.call(method, path, {}), 404, "not-found")

    def test_what_can_be_played(self):
        listed = self.open().call("GET", "/v1/lab/runs").body
        self.assertIsNone(listed["run"])
        self.assertEqual(len(listed["scenarios"]), 13)
        strategies = {each["strategy"]: each for each in listed["strategies"]}
        self.assertNotIn("AND", strategies["none"]["sql"])
        self.assertIn("remaining >= :demanded", strategies["conditional"]["sql"])
        self.assertEqual((strategies["redis-lock"]["available"], strategies["mutex"]["available"]),
                         (False, True))
        self.assertIn("redis", strategies["redis-lock"]["why_not"])
        for scenario in listed["scenarios"]:
            for preset in ("harmful", "safe"):
                self.assertIn(scenario[preset]["strategy"], scenario["strategies"])

    def test_harm_and_protection(self):
        self.open()
        for strategy, harmed in (("none", True), ("conditional", False)):
            run = self.play(strategy=strategy, buyers=40, units=20)
            verdict, counts = run["verdict"], run["counts"]
            self.assertEqual(run["state"], "ended", run["why"])
            self.assertEqual(verdict["violations"] > 0, harmed, verdict)
            self.assertEqual(verdict["excess"], max(counts["accepted"] - 20, 0))
            self.assertEqual(verdict["excess"] > 0, harmed, verdict)
            of_check = collections.Counter(finding["check"] for finding in verdict["findings"])
            self.assertEqual(max(of_check.values(), default=0), min(verdict["violations"], 4))
            self.assertEqual(counts["answered"], 40)

    def test_the_record(self):
        self.open()
        run = self.play(buyers=40, units=20)
        events = run["events"]
        self.assertEqual([event[0] for event in events], list(range(1, len(events) + 1)))
        self.assertEqual([event[1] for event in events], sorted(event[1] for event in events))
        self.assertEqual(run["dropped"], 0)
        saved = [tuple(event[4:6]) for event in events if event[3] == "save"]
        self.assertEqual(len(saved), run["counts"]["accepted"])
        self.assertLess(len(set(saved)), len(saved))  # a version that was written twice
        for actor in range(40):
            steps = [event[3] for event in events if event[2] == actor]
            self.assertEqual(sorted(steps), sorted(["submit", "lock", "read", "save", "answer", "leave"]))
            self.assertLess(steps.index("read"), steps.index("save"))
        page = self.service.call("GET", f"/v1/lab/runs/{run['run']}?after=10&limit=5").body
        self.assertEqual((page["events"], page["next_after"], page["more"]), (events[10:15], 15, True))

    def test_the_shop_stays_as_it_is(self):
        service = self.open()
        service.call("PUT", "/v1/stock/LAB", {"quantity": 7})
        self.play(buyers=20)
        self.assertEqual(service.call("GET", "/v1/stock/LAB").body["remaining"], 7)
        self.assertEqual(len(service.call("GET", "/v1/ledger?counter=stock/LAB").body["rows"]), 1)
        self.assertEqual(glob.glob(os.path.join(self.folder, "*")), [])

    def test_one_at_a_time(self):
        service = self.open()
        first = self.start(sleep_ms=0, think_ms=200, workers=1, buyers=100)
        self.assert_problem(service.call("POST", "/v1/lab/runs", {"scenario": "two-draws"}), 409, "lab-busy")
        self.assertEqual(service.call("GET", "/v1/lab/runs").body["run"]["run"], first)
        self.assertEqual(service.call("DELETE", f"/v1/lab/runs/{first}").status, 200)
        ended = self.watch(first)
        self.assertEqual((ended["state"], ended["verdict"]), ("cancelled", None))
        second = self.play("two-draws")
        self.assertEqual(second["state"], "ended")
        self.assert_problem(service.call("GET", f"/v1/lab/runs/{first}"), 404, "not-found")

    def test_bad_inputs(self):
        service = self.open()
        for body, field in (({"scenario": "unknown"}, "scenario"), ({}, "scenario"),
                            ({"buyers": 1001}, "buyers"), ({"buyers": 0}, "buyers"),
                            ({"strategy": "unknown"}, "strategy"), ({"strategy": "redis-lock"}, "strategy"),
                            ({"lock": "elsewhere"}, "lock"), ({"lock": "around"}, "lock"),
                            ({"workers": 65}, "workers"), ({"instances": 3}, "instances"),
                            ({"manual": True}, "buyers"), ({"think_ms": 1000, "buyers": 1000, "workers": 1},
                                                           "think_ms"),
                            ({"manual": True, "buyers": 2, "combine": True}, "combine"),
                            ({"fence": 1}, "fence"), ({"pace": 1}, "pace")):
            answer = service.call("POST", "/v1/lab/runs", dict({"scenario": "lost-update"}, **body)
                                  if body else body)
            self.assertEqual(answer.status, 422, (body, answer))
            self.assertEqual(answer.body["field"], field, answer)
        run = self.start(buyers=1)
        for query in ("after=-1", "limit=0", "limit=5001", "wait_ms=30001", "wait_ms=x"):
            self.assertEqual(service.call("GET", f"/v1/lab/runs/{run}?{query}").status, 422, query)
        step = service.call("POST", f"/v1/lab/runs/{run}/step", {"actor": 0})
        self.assert_problem(step, 422, "invalid-field")  # it is not a manual run
        self.assert_problem(service.call("POST", "/v1/lab/runs/none/step", {"actor": 0}), 404, "not-found")

    def test_a_stop_ends_a_run_and_its_watchers(self):
        service = self.open()
        run = self.start(manual=True, buyers=2, units=1)
        answers = []
        watcher = threading.Thread(target=lambda: answers.append(
            service.call("GET", f"/v1/lab/runs/{run}?after=99&wait_ms=30000")))
        watcher.start()
        time.sleep(0.2)
        began = time.monotonic()
        self.assertEqual(service.instances[0].stop(), 0)
        watcher.join()
        self.assertLess(time.monotonic() - began, 5)
        self.assertEqual(answers[0].status, 200)
        self.assertEqual(glob.glob(os.path.join(self.folder, "*")), [])


class Steps(Laboratory):
    """Each request goes from stop to stop when it is told to."""

    def steps(self, run, *actors, waits_for_lock=None):
        for actor in actors:
            answer = self.service.call("POST", f"/v1/lab/runs/{run}/step", {"actor": actor})
            self.assertEqual(answer.status, 200, answer)
            if actor != waits_for_lock:
                self.await_stop(run, actor)
        return self.service.call("GET", f"/v1/lab/runs/{run}").body["actors"]

    def await_stop(self, run, i):
        def has_arrived():
            body = self.service.call("GET", f"/v1/lab/runs/{run}").body
            return body["state"] != "running" or body["actors"][i]["waiting"] or body["actors"][i]["left"]
        await_true(has_arrived)

    def sell_last_unit(self, strategy, *order, waits_for_lock=None):
        self.open()
        run = self.start(strategy=strategy, manual=True, buyers=2, units=1)
        await_true(lambda: self.service.call("GET", f"/v1/lab/runs/{run}").body["state"] == "running")
        return run, self.steps(run, *order, waits_for_lock=waits_for_lock)

    def test_two_read_before_either_saves(self):
        run, actors = self.sell_last_unit("none", 0, 1)
        self.assertEqual([(actor["at"], actor["waiting"]) for actor in actors], [("read", True)] * 2)
        self.steps(run, 0, 1)
        verdict = self.watch(run)["verdict"]
        self.assertEqual((verdict["sold"], verdict["excess"]), (2, 1))

    def test_the_second_save_demands_what_it_has_read(self):
        run, _ = self.sell_last_unit("optimistic", 0, 1, 0, 1)
        ended = self.watch(run)
        self.assertEqual((ended["verdict"]["sold"], ended["verdict"]["violations"]), (1, 0))
        answers = {event[2]: event[6] for event in ended["events"] if event[3] == "answer"}
        self.assertEqual(answers, {0: "ok", 1: "out-of-stock"})

    def test_the_second_waits_for_the_lock(self):
        run, actors = self.sell_last_unit("mutex", 0, 1, waits_for_lock=1)
        self.assertEqual([actor["waiting"] for actor in actors], [True, False])
        self.steps(run, 0, 0, 0)  # reads, saves, leaves
        self.await_stop(run, 1)
        self.steps(run, 1, 1)
        self.assertEqual(self.watch(run)["verdict"]["sold"], 1)


class DatabaseOfItsOwn(Laboratory):
    """lab.store: a MySQL database."""

    def test_harm_and_protection(self):
        lab = self.mysql()
        name = f"{lab.name}_lab"
        lab.sql(f"CREATE DATABASE {name}", database="")
        self.addCleanup(lambda: lab.sql(f"DROP DATABASE {name}", database=""))
        self.open(lab__store=lab.store.replace(f"/{lab.name}", f"/{name}"))
        for scenario, settings in (("lost-update", {"buyers": 40, "units": 20}), ("refunded-twice", {})):
            for strategy, harmed in (("none", True), ("conditional", False)):
                run = self.play(scenario, strategy=strategy, **settings)
                self.assertEqual(run["state"], "ended", run["why"])
                self.assertEqual(run["verdict"]["violations"] > 0, harmed, run["verdict"])

    def test_a_database_with_another_name_is_not_emptied(self):
        other = self.mysql()
        other.sql("CREATE TABLE precious (id INT PRIMARY KEY)")
        self.open(lab__store=other.store)
        run = self.play(buyers=1)
        self.assertEqual(run["state"], "failed")
        self.assertIn("_lab", run["why"])
        self.assertEqual(other.sql("SHOW TABLES"), [["precious"]])


if __name__ == "__main__":
    unittest.main()
