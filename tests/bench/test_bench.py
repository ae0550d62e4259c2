#!/usr/bin/env python3
"""The load gate of `./dev test` and the benchmarks as gates: red if the service serves nothing."""

import argparse
import os
import sys
import tempfile
import unittest
import unittest.mock

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [HERE, os.path.join(ROOT, "loadtest", "scorecard"), os.path.join(ROOT, "tests/http")]

import ceilings  # noqa: E402
import load  # noqa: E402
import orders  # noqa: E402
import points  # noqa: E402
import replays  # noqa: E402
import rows  # noqa: E402
import test_gate  # noqa: E402
import tester  # noqa: E402
import wrk  # noqa: E402
from loader import constant, measured  # noqa: E402
from refused import REFUSALS, WORK, refusing  # noqa: E402

OPTIONS = argparse.Namespace(engine="sqlite", seconds=1, ceiling_seconds=1, rounds=1, connections=4, requests=1)
ROW = rows.Row(rows.Strategy("conditional", "cluster", "conditional", False), "direct", "hot", "1", "sqlite", "any")
ANSWERED = """Running 1s test @ http://127.0.0.1:40969
  1 threads and 4 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency    41.99ms    8.16ms  48.05ms   95.65%
    Req/Sec    92.20     19.65   121.00     70.00%
  Latency Distribution
     50%   43.55ms
     75%   43.97ms
     90%   44.02ms
     99%   48.05ms
  92 requests in 1.00s, 22.88KB read
Requests/sec:     91.93
Transfer/sec:     22.87KB
"""
REFUSED = ANSWERED.replace("Requests/sec", "  Non-2xx or 3xx responses: 23\nRequests/sec")
BROKEN = ANSWERED.replace("Requests/sec", "  Socket errors: connect 0, read 1080, write 0, timeout 0\nRequests/sec")
SILENT = ANSWERED.replace("92 requests", "0 requests")


def brief(*arguments):
    """The load tester as the gate runs it, with few requests and without retries."""
    chosen = {"--requests": 10, "--stock": 5, "--retry": 0}
    return measured(*(chosen.get(before, value) for before, value in zip((None, *arguments), arguments)))


class LoadGate(unittest.TestCase):
    def test_every_refusal(self):
        """The gate's own tests fail, those of healthy servers and those of sick ones."""
        self.enterContext(unittest.mock.patch.object(test_gate, "measured", brief))
        for answer, to in REFUSALS:
            tests = [test_gate.Healthy("test_conditional")]
            if (answer, to) in WORK:
                tests.append(test_gate.Sick("test_no_unique_key"))
            for test in tests:
                with self.subTest(answer=answer, to=to, test=test.id()), refusing(answer, to):
                    result = unittest.TestResult()
                    test.run(result)
                    self.assertEqual((len(result.failures) + len(result.errors), result.skipped), (1, []), result)


class Benchmarks(unittest.TestCase):
    def red(self, refusals, work):
        for answer, to in refusals:
            with self.subTest(answer=answer, to=to), refusing(answer, to), \
                    self.assertRaises((load.Failed, wrk.Failed, AssertionError, OSError, KeyError)):
                work()

    def test_the_scorecard(self):
        self.red(REFUSALS, lambda: load.measure(ROW, OPTIONS))

    def test_its_strategies(self):
        for answer, to in REFUSALS[:2]:
            with self.subTest(answer=answer, to=to), refusing(answer, to), \
                    self.assertRaises((AssertionError, OSError, ValueError)):
                rows.choose(rows.all_rows({"sqlite": rows.registry("sqlite")}), ())

    def test_its_upper_bound(self):
        self.red(WORK[:1], lambda: ceilings.Empty().measure(OPTIONS))

    def test_points_and_orders(self):
        self.red(WORK[1:2], lambda: points.measure_row(OPTIONS, *points.ROWS[points.DEDUCT]))
        self.red(WORK[1:2], lambda: replays.measure(OPTIONS))
        self.enterContext(unittest.mock.patch.object(orders, "SKUS", 1))
        self.red(WORK[2:], lambda: orders.measure_row(OPTIONS, orders.DEDUCT))

    def test_the_load_tester(self):
        with constant("--status", 503) as url, tempfile.TemporaryDirectory() as directory, \
                self.assertRaises(SystemExit):
            tester.holdfast_load(url, OPTIONS, directory)

    def test_a_row_that_mostly_failed(self):
        report = {"outcomes": {"ok": 10, "error": 9, "unknown": 1},
                  "check": {"done": True, "violations": 0, "invariants": []}}
        with self.assertRaisesRegex(load.Failed, "more operations failed"):
            load.sample(report, {}, {})


class Wrk(unittest.TestCase):
    """What wrk prints, and does not take for a failure."""

    def test_answers(self):
        answers = wrk.read(ANSWERED)
        self.assertEqual((answers.rate, answers.refused, round(answers.p99, 5)), (91.93, 0.0, 0.04805))
        self.assertEqual(wrk.read(REFUSED).refused, 0.25)

    def test_requests_without_an_answer(self):
        for text in (BROKEN, SILENT, ""):
            with self.assertRaisesRegex(wrk.Failed, "without an answer"):
                wrk.read(text)

    def test_refusals(self):
        """One wrk on the path that prints what the real one would."""
        for text, may_refuse, ends in ((ANSWERED, 0.0, True), (REFUSED, 0.01, False), (REFUSED, 0.25, True)):
            with unittest.mock.patch("subprocess.run") as run:
                run.return_value = unittest.mock.Mock(returncode=0, stdout=text, stderr="")
                if ends:
                    wrk.run("http://x", "deduct.lua", 1, 1, may_refuse)
                else:
                    with self.assertRaisesRegex(wrk.Failed, "25 % were refused"):
                        wrk.run("http://x", "deduct.lua", 1, 1, may_refuse)


if __name__ == "__main__":
    unittest.main()
