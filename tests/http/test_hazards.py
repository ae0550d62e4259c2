#!/usr/bin/env python3
"""The hazards of guide/: each harmful preset shows its harm every time, and each safe preset never does.

The verdict is the laboratory's, from the reconciliation of the run's own database. Of the record, what the
guide's page tells the reader to look for.
HOLDFAST_HAZARD_ROUNDS=10 plays everything ten times; without it, twice.
"""

import collections
import os
import unittest

from cluster import TestCase

ROUNDS = int(os.environ.get("HOLDFAST_HAZARD_ROUNDS", "2"))
TRIES = 5
Event = collections.namedtuple("Event", "seq t_us actor step version remaining rc")


class Run:
    def __init__(self, view, events):
        self.view, self.verdict = view, view["verdict"]
        self.events = [Event(*event) for event in events]

    def __str__(self):
        return "\n".join(map(str, [self.view["scenario"], self.view["settings"], self.view["counts"], self.verdict,
                                   *self.events]))

    def of(self, step, actor=None):
        return [event for event in self.events if event.step == step and actor in (None, event.actor)]

    def overwritten(self):
        """How many saves made a version that another save had made too."""
        versions = collections.Counter(event.version for event in self.of("save") if event.version > 0)
        return sum(n - 1 for n in versions.values())

    def checks(self):
        return {finding["check"] for finding in self.verdict["findings"]}


class Hazards(TestCase):
    def setUp(self):
        self.service = self.cluster(self.sqlite().store, lab="on")

    def scenarios(self):
        return {each["scenario"]: each for each in self.service.call("GET", "/v1/lab/runs").body["scenarios"]}

    def play(self, settings):
        answer = self.service.call("POST", "/v1/lab/runs", settings)
        self.assertEqual(answer.status, 201, answer)
        events, view = [], {"state": "preparing"}
        while view["state"] in ("preparing", "running", "checking") or view["more"]:
            view = self.service.call("GET", answer.headers["Location"] + f"?after={len(events)}&wait_ms=5000").body
            events += view["events"]
        self.assertEqual(view["state"], "ended", view)
        return Run(view, events)

    def prove(self, scenario, harm, peace=lambda run: None):
        """Plays both presets. The verdict must be right each time. `harm` and `peace` check the record, for which a
        busy machine gets further tries."""
        presets = self.scenarios()[scenario]
        for preset, verdict, record in (("harmful", self.assert_harmed, harm), ("safe", self.assert_right, peace)):
            for _ in range(ROUNDS):
                for tries in reversed(range(TRIES)):
                    run = self.play({**presets[preset], "scenario": scenario})
                    verdict(run)
                    try:
                        record(run)
                        break
                    except (AssertionError, IndexError):
                        if tries == 0:
                            raise

    def assert_harmed(self, run):
        self.assertGreater(run.verdict["violations"], 0, run)

    def assert_right(self, run):
        self.assertEqual((run.verdict["violations"], run.verdict["excess"], run.overwritten()), (0, 0, 0), run)

    def assert_erased(self, run):
        self.assertGreater(run.verdict["excess"], 0, run)
        self.assertGreater(run.overwritten(), 0, run)
        self.assertIn("version-duplicate", run.checks(), run)

    def test_every_hazard_has_its_test(self):
        for scenario in self.scenarios():
            self.assertTrue(hasattr(self, "test_" + scenario.replace("-", "_")), scenario)

    def test_lost_update(self):
        self.prove("lost-update", self.assert_erased)

    def test_two_draws(self):
        def harm(run):
            self.assert_erased(run)
            self.assertGreater(run.view["counts"]["accepted"], 1, run)

        def peace(run):
            self.assertEqual(sorted({event.rc for event in run.of("answer")}), ["already-drawn", "ok"], run)

        self.prove("two-draws", harm, peace)

    def test_too_many_coupons(self):
        self.prove("too-many-coupons", self.assert_erased)

    def test_opposite_order(self):
        def harm(run):
            self.assertGreater(run.overwritten(), 0, run)
            self.assertIn("version-duplicate", run.checks(), run)

        self.prove("opposite-order", harm)

    def test_expired_lock(self):
        def harm(run):
            self.assert_erased(run)
            lock, expired, save = (run.of(step, 0)[0] for step in ("lock", "expired", "save"))
            entered = [event.seq for event in run.of("lock") if lock.seq < event.seq < expired.seq]
            self.assertTrue(entered, run)  # while the first buyer was inside
            self.assertLess(expired.seq, save.seq, run)

        self.prove("expired-lock", harm)

    def test_foreign_unlock(self):
        def harm(run):
            self.assert_erased(run)
            left = run.of("leave", 0)[0]
            self.assertLess(run.of("expired", 0)[0].seq, left.seq, run)
            inside = [event.actor for event in run.of("lock") if 0 < event.actor and event.seq < left.seq
                      < run.of("leave", event.actor)[0].seq]
            self.assertEqual(len(inside), 1, run)
            third = [event for event in run.of("lock") if event.seq > left.seq][0]
            self.assertLess(third.seq, run.of("leave", inside[0])[0].seq, run)

        self.prove("foreign-unlock", harm)

    def test_unlock_before_commit(self):
        def harm(run):
            self.assert_erased(run)
            for saved in run.of("save"):
                self.assertLess(run.of("leave", saved.actor)[0].seq, saved.seq, run)

        def peace(run):
            for saved in run.of("save"):  # on a busy machine, after an attempt that lost its lock
                self.assertLess(saved.seq, run.of("leave", saved.actor)[-1].seq, run)

        self.prove("unlock-before-commit", harm, peace)

    def test_check_outside_lock(self):
        def harm(run):
            self.assert_erased(run)
            for saved in run.of("save"):
                self.assertLess(run.of("read", saved.actor)[0].seq, run.of("lock", saved.actor)[0].seq, run)

        def peace(run):
            for saved in run.of("save"):
                self.assertLess(run.of("lock", saved.actor)[0].seq, run.of("read", saved.actor)[0].seq, run)

        self.prove("check-outside-lock", harm, peace)

    def assert_saved(self, run, times, groups):
        for actors in groups:
            saves = [event for event in run.of("save") if event.actor in actors]
            self.assertEqual(len(saves), times, run)
        self.assertEqual(run.view["counts"]["replayed"], 0 if times == 2 else len(groups), run)
        if times == 2:
            self.assertEqual(run.checks(), {"request-duplicate"}, run)

    def test_sent_twice(self):
        copies = [(i, i + 1) for i in range(0, 24, 2)]
        self.prove("sent-twice", lambda run: self.assert_saved(run, 2, copies),
                   lambda run: self.assert_saved(run, 1, copies))

    def test_lost_answer(self):
        buyers = [(i,) for i in range(12)]

        def lost(run):
            self.assertEqual(sum(event.rc == "lost" for event in run.of("answer")), len(buyers), run)

        self.prove("lost-answer", lambda run: (lost(run), self.assert_saved(run, 2, buyers)),
                   lambda run: (lost(run), self.assert_saved(run, 1, buyers)))

    def test_two_instances(self):
        def harm(run):
            self.assert_erased(run)
            inside, most = 0, 0
            for event in run.events:
                inside += (event.step == "lock") - (event.step == "leave")
                most = max(most, inside)
            self.assertEqual(most, 2, run)

        self.prove("two-instances", harm)

    def test_late_confirm(self):
        def harm(run):
            self.assertEqual([event.rc for event in run.of("answer")], ["ok", "ok", "ok"], run)  # reserve, buy, confirm
            self.assertIn("resolved-twice", run.checks(), run)

        def peace(run):
            self.assertEqual(run.of("answer", 0)[-1].rc, "reservation-expired", run)

        self.prove("late-confirm", harm, peace)

    def test_refunded_twice(self):
        def harm(run):
            self.assert_erased(run)
            self.assertIn("refund-sum", run.checks(), run)

        def peace(run):
            self.assertEqual(sorted(event.rc for event in run.of("answer")), ["ok", *3 * ["order-closed"]], run)

        self.prove("refunded-twice", harm, peace)


if __name__ == "__main__":
    unittest.main()
