#!/usr/bin/env python3
"""The scorecard's own logic: which rows, which ceilings, medians, reports. No server, no load."""

import json
import os
import re
import subprocess
import sys
import tempfile
import time
import types
import unittest
import unittest.mock

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import ceilings  # noqa: E402
import goals  # noqa: E402
import load  # noqa: E402
import preload  # noqa: E402
import processes  # noqa: E402
import report  # noqa: E402
import rows  # noqa: E402
import scorecard  # noqa: E402
import works  # noqa: E402

STRATEGIES = [
    rows.Strategy("none", "nothing", "naive", True),
    rows.Strategy("mutex", "process", "naive", False),
    rows.Strategy("conditional", "cluster", "conditional", False),
    rows.Strategy("lock-table", "cluster", "fenced", False),
    rows.Strategy("redis-lock", "cluster", "fenced", False),
    rows.Strategy("etcd-lock", "cluster", "fenced", False),
]
ALL = rows.all_rows({"mariadb": STRATEGIES, "sqlite": STRATEGIES[:3]})
FACTS = {"about": "A test.", "interrupted": False}


def find(*words):
    chosen = rows.choose(ALL, words if "routed" in words else ("any", *words))
    assert len(chosen) == 1, chosen
    return chosen[0]


def sample(rate, violations=0, **more):
    broken = {"no-oversell": violations} if violations else {}
    return {"rate": rate, "ok": 100, "p50_ms": 1.0, "p99_ms": 2.0, "p999_ms": 3.0, "conflicts": 0.0,
            "sections_again": 0.0, "guard_refused": 0.0, "errors": 0.0, "batch": 1.0,
            "violations": violations, "broken": broken, "cpu": {"service": 0.5}, "histogram": [[2.0, 99], [4.0, 1]],
            **more}


def build(samples, failures=None):
    """A document of these rows' samples; every ceiling they need is 1,000/s."""
    table = list(dict.fromkeys(one for row in samples for one in ceilings.needs(row)))
    n_rounds = max(map(len, samples.values()))
    everything = {**samples, **{one: [{"rate": 1000.0, "cpu": {}}] * n_rounds for one in table}}
    return report.build(FACTS, list(samples), table, everything, failures or {})


class Rows(unittest.TestCase):
    def test_one_process_is_not_asked_of_three(self):
        self.assertFalse([row for row in ALL if row.strategy.name == "mutex" and row.instances == "3"])
        self.assertFalse([row for row in ALL if row.engine == "sqlite" and row.instances == "3"])
        plain = [row for row in ALL if row.route == "any" and row.mode != "partitioned"]
        self.assertEqual(len(plain), 6 * 7 - 3 + 3 * 4)

    def test_rows_that_teach_nothing_are_left_out(self):
        every = rows.all_rows({"mariadb": STRATEGIES, "sqlite": STRATEGIES})
        self.assertFalse([row for row in every if row.engine == "sqlite" and row.strategy.rule == "fenced"])
        alone = [row for row in every if row.words[1:5] == ("direct", "spread", "1", "mariadb")]
        self.assertEqual([row.strategy.name for row in alone], ["mutex"])

    def test_routed_rows(self):
        routed = [row for row in ALL if row.route == "routed"]
        self.assertEqual({row.strategy.name for row in routed},
                         {"conditional", "lock-table", "redis-lock", "etcd-lock"})
        self.assertEqual({row.words[1:] for row in routed},
                         {("combined", spread, "3", "mariadb", "routed") for spread in ("hot", "spread")})
        self.assertIn("3 instances routed", routed[0].name)

    def test_partitioned_rows(self):
        found = [row for row in ALL if row.mode == "partitioned"]
        self.assertEqual({row.strategy.name for row in found}, {"lock-table", "redis-lock", "etcd-lock"})
        self.assertEqual({row.words[2:] for row in found}, {("spread", "3", "mariadb", "any")})

    def test_quick_has_every_strategy_combined(self):
        quick = rows.quick_rows(ALL)
        combined = {row.strategy.name for row in quick if row.words[1:3] == ("combined", "hot")}
        self.assertEqual(combined, {strategy.name for strategy in STRATEGIES})
        self.assertLess(len(quick), 20)
        self.assertEqual({row.instances for row in quick if row.strategy.name == "redis-lock"}, {"3"})

    def test_words_of_one_kind_are_alternatives(self):
        chosen = rows.choose(ALL, ["any", "mutex", "conditional", "direct", "hot", "1", "mariadb"])
        self.assertEqual([row.strategy.name for row in chosen], ["mutex", "conditional"])

    def test_unknown_words_are_refused(self):
        with self.assertRaisesRegex(ValueError, "no row has the word 'redis'.*redis-lock"):
            rows.choose(ALL, ["redis"])
        with self.assertRaisesRegex(ValueError, "no row has all of"):
            rows.choose(ALL, ["mutex", "3"])


class Ceilings(unittest.TestCase):
    def limit(self, rates, *words):
        row = find(*words)
        needs = ceilings.needs(row)
        self.assertEqual(len(needs), len(rates))
        return ceilings.limit(row, dict(zip(needs, rates)))

    def test_combined_is_one_after_the_other(self):
        value, _ = self.limit([60000, 30000], "conditional", "combined", "hot", "1", "mariadb")
        self.assertAlmostEqual(value, 20000)

    def test_nobody_commits_beside_a_holder_on_one_row(self):
        connections = {words: ceilings.needs(find(*words, "direct", "mariadb"))[0].connections for words in [
            ("conditional", "hot", "1"), ("conditional", "hot", "3"), ("mutex", "hot", "1"),
            ("redis-lock", "hot", "3"), ("redis-lock", "spread", "3")]}
        self.assertEqual(list(connections.values()), [8, 24, 1, 1, 24])

    def test_the_lesser_of_commits_and_lock_server(self):
        words = ("redis-lock", "direct", "hot", "1", "mariadb")
        self.assertEqual(self.limit([1000, 60000, 60000], *words)[0], 1000)
        value, what = self.limit([40000, 60000, 60000], *words)
        self.assertAlmostEqual(value, 30000)
        self.assertEqual(what, "pairs of the lock server")
        self.assertEqual(self.limit([1000, 300], "etcd-lock", "direct", "hot", "1", "mariadb")[0], 300)

    def test_the_lock_table_commits_three_times(self):
        self.assertEqual(self.limit([1500], "lock-table", "direct", "hot", "1", "mariadb")[0], 500)

    def test_a_missing_ceiling_gives_no_ratio(self):
        row = find("conditional", "combined", "hot", "1", "mariadb")
        self.assertEqual(ceilings.limit(row, {ceilings.Empty(): 1.0}), (None, "not measured"))


    def test_zookeeper_is_measured_before_its_rows_also_if_none_is_divided_by_it(self):
        lock = rows.Strategy("zookeeper-lock", "cluster", "fenced", False)
        combined = rows.Row(lock, "combined", "hot", "3", "mariadb", "any")
        self.assertNotIn(ceilings.Pairs("zookeeper"), ceilings.needs(combined))
        self.assertEqual(ceilings.warm_up([combined]), [ceilings.Pairs("zookeeper")])
        self.assertEqual(ceilings.warm_up([find("etcd-lock", "combined", "hot", "3", "mariadb")]), [])


class Load(unittest.TestCase):
    def test_metrics_are_summed_over_instances(self):
        one = ('holdfast_conflicts_total{endpoint="stock",strategy="optimistic"} 3\n'
               'holdfast_conflicts_total{endpoint="coupon",strategy="optimistic"} 100\n'
               'holdfast_batch_size_sum{endpoint="stock",strategy="optimistic"} 90\n'
               'holdfast_batch_size_count{endpoint="stock",strategy="optimistic"} 10\n')
        sums = load.read_metrics([one, one])
        self.assertEqual((sums["conflicts"], sums["batched"], sums["batches"]), (6, 180, 20))

    def test_an_unchecked_row_fails(self):
        with self.assertRaisesRegex(load.Failed, "not checked: out of memory"):
            load.read_check({"check": {"done": False, "why_not": "out of memory", "violations": 0}})
        with self.assertRaises(load.Failed):
            load.read_check({"check": None})

    def test_a_program_that_hangs_is_ended(self):
        begin = time.monotonic()
        with self.assertRaisesRegex(load.Failed, "sleep took more than 0.2 s"):
            load.run_watched(["sleep", "60"], {}, "probe", 0.2)
        self.assertLess(time.monotonic() - begin, 10)

    def test_a_log_in_one_line(self):
        self.assertEqual(load.brief("first\n\n middle\nlast \n"), "first … last")
        self.assertEqual(load.brief(" only \n"), "only")
        self.assertEqual(load.brief(""), "no reason given")


class ProcessorTime(unittest.TestCase):
    def test_a_busy_and_an_idle_process(self):
        busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
        idle = subprocess.Popen(["sleep", "60"])
        try:
            with processes.Processes({"busy": [busy.pid], "idle": [idle.pid], "gone": [2 ** 22 + 1]}) as watched:
                time.sleep(0.6)
        finally:
            for process in (busy, idle):
                process.kill()
                process.wait()
        cores = watched.cores()
        self.assertGreater(cores["busy"], 0.1)
        self.assertLess(cores["idle"], 0.1)
        self.assertEqual(cores["gone"], 0)
        self.assertEqual(watched.cores(from_s=time.time() + 60), {})


class Sample(unittest.TestCase):
    def test_a_row_in_which_nothing_succeeded_fails(self):
        checked = {"done": True, "violations": 0, "invariants": []}
        nothing = {"ok": 0, "refused": 500, "error": 0, "unknown": 0}
        for given in {"check": checked, "outcomes": nothing}, {"check": {"done": False}, "outcomes": {"ok": 5}}:
            with self.assertRaises(load.Failed):
                load.sample(given, {}, dict.fromkeys(load.COUNTERS, 0.0))


class Report(unittest.TestCase):
    def test_medians_and_ratio(self):
        row = find("conditional", "direct", "hot", "1", "mariadb")
        entry = build({row: [sample(100), sample(1900), sample(500)]})["rows"][0]
        self.assertEqual((entry["rate"], entry["ratio"], entry["rounds"]), (500, 0.5, 3))
        self.assertEqual(entry["cpu"], {"service": 0.5})

    def test_cpu_an_operation(self):
        row = find("redis-lock", "direct", "hot", "1", "mariadb")
        busy = {"service": 0.5, "database": 0.25, "redis": 0.1, "etcd": 0.01}
        document = build({row: [sample(rate, cpu=busy) for rate in (10000, 5000, 20000)]})
        entry = document["rows"][0]
        self.assertEqual(entry["cpu_us"], {"service": 50, "database": 25, "redis": 10, "etcd": 1})
        self.assertEqual(report.cpu_us_cells(entry), ["50.0", "25.0", "–", "10.0"])
        for line in report.markdown(document).splitlines():
            if line.startswith("| redis-lock"):
                self.assertEqual(line.count(" | "), report.ROW_COLUMNS.count(" | "))

    def test_a_row_that_failed_once_has_failed(self):
        row = find("conditional", "direct", "hot", "1", "mariadb")
        document = build({row: [sample(100)]}, {row: "instance 1 ended with -9"})
        self.assertNotIn("rate", document["rows"][0])
        self.assertIn("**failed: instance 1 ended with -9**", report.markdown(document))
        self.assertEqual(scorecard.exit_code(document), 1)

    def test_a_ratio_is_that_of_a_round(self):
        row = find("conditional", "direct", "hot", "1", "mariadb")
        ceiling, = ceilings.needs(row)
        limits = [{"rate": rate, "cpu": {}} for rate in (1000, 2000, 1000)]
        document = report.build(FACTS, [row], [ceiling],
                                {row: [sample(900), sample(1000), sample(100)], ceiling: limits}, {})
        self.assertEqual((document["rows"][0]["ratio"], document["rows"][0]["ceiling"]), (0.5, 1000))

    def test_only_the_laboratory_may_violate(self):
        none, honest = find("none", "direct", "hot", "1", "mariadb"), find("mutex", "direct", "hot", "mariadb")
        document = build({none: [sample(1, 7), sample(1, 5)], honest: [sample(1)]})
        self.assertEqual(scorecard.exit_code(document), 0)
        self.assertEqual([row["violations"] for row in document["rows"]], [12, 0])
        document = build({none: [sample(1)], honest: [sample(1, 3)]})
        self.assertEqual(scorecard.exit_code(document), 1)
        self.assertIn("3 violations (no-oversell). That is a bug.", report.markdown(document))

    def test_an_interrupted_run_shows_what_there_is(self):
        row, later = (find("conditional", mode, "hot", "1", "mariadb") for mode in ("direct", "combined"))
        facts = {**FACTS, "interrupted": True}
        document = report.build(facts, [row, later], [], {row: [sample(1)], later: []}, {})
        self.assertEqual(len(document["rows"]), 1)
        self.assertIn("Interrupted", report.markdown(document))
        self.assertEqual(scorecard.exit_code(document), 130)

    def test_files(self):
        row = find("conditional", "direct", "hot", "1", "mariadb")
        document = build({row: [sample(100)]}, {})
        document["about"] = "</script><b>"
        with tempfile.TemporaryDirectory() as directory:
            report.save(document, directory)
            self.assertEqual(sorted(os.listdir(directory)), ["scorecard.html", "scorecard.json", "scorecard.md"])
            with open(os.path.join(directory, "scorecard.json"), encoding="utf-8") as file:
                self.assertEqual(json.load(file), json.loads(json.dumps(document)))
            with open(os.path.join(directory, "scorecard.html"), encoding="utf-8") as file:
                page = file.read()
        self.assertNotIn("</script><b>", page)
        self.assertNotIn("/*DOCUMENT*/", page)
        self.assertEqual(page.count("</script>"), 1)


class Goals(unittest.TestCase):
    HOT, SPREAD = (find("conditional", "combined", spread, "1", "mariadb") for spread in ("hot", "spread"))

    def reached(self, samples, failures=None):
        return {one["goal"]: one for one in build(samples, failures)["goals"]}

    def test_every_goal_has_its_rows(self):
        names = [strategy.name for strategy in STRATEGIES]
        known = {row.words for row in ALL}
        for goal in goals.GOALS:
            for words in {goal.row, goal.of} - {goals.CEILING}:
                self.assertTrue(words in known or words[0] not in names, words)

    def test_quick_measures_them(self):
        strategies = [*STRATEGIES, rows.Strategy("zookeeper-lock", "cluster", "fenced", False)]
        quick = {row.words for row in rows.quick_rows(rows.all_rows({"mariadb": strategies}))}
        for goal in goals.GOALS:
            self.assertLessEqual({goal.row, goal.of} - {goals.CEILING}, quick, goal.what)

    def test_of_the_ceiling_and_of_another_row(self):
        found = self.reached({self.HOT: [sample(450), sample(480)], self.SPREAD: [sample(360), sample(480)]})
        hot = found["conditional, hot, 1 instance, of its ceiling"]
        self.assertAlmostEqual(hot["now"], 0.93)  # E and R are 1,000, one after the other
        self.assertFalse(hot["met"])
        self.assertAlmostEqual(found["conditional, 1,000 SKUs, 1 instance, of the hot rate"]["now"], 0.9)
        self.assertEqual(len(found), 2)

    def test_what_failed_or_is_wrong_reaches_nothing(self):
        self.assertEqual(self.reached({self.HOT: [sample(450)]}, {self.HOT: "ended"}), {})
        self.assertEqual(self.reached({self.HOT: [sample(450, 1)]}), {})
        text = report.markdown(build({self.HOT: [sample(480)]}))
        self.assertIn("| conditional, hot, 1 instance, of its ceiling | 0.96 | ≥ 0.95 | yes |", text)


class HalfLoad(unittest.TestCase):
    ROW = find("conditional", "combined", "hot", "1", "mariadb")
    HALF = rows.HalfLoad(ROW)

    def document(self, samples, failures=None):
        return report.build(FACTS, [self.ROW, self.HALF], [], {self.ROW: [sample(100)], self.HALF: samples},
                            failures or {})

    def test_one_hot_product_and_many_on_one_instance(self):
        self.assertEqual([half.row.words[2] for half in rows.half_loads(ALL)], ["hot", "spread"])

    def test_medians_and_the_sum_of_the_histograms(self):
        document = self.document([sample(48, wanted=50, p99_ms=9.0), sample(50, wanted=50, p99_ms=11.0,
                                                                            histogram=[[4.0, 3], [8.0, 1]])])
        entry, = document["half_load"]
        self.assertEqual((entry["rate"], entry["p99_ms"]), (49, 10))
        self.assertEqual(entry["histogram"], [(2.0, 99), (4.0, 4), (8.0, 1)])
        goal, = document["goals"]
        self.assertEqual((goal["now"], goal["met"]), (10, True))
        self.assertIn("half load, p99 | 10.00 ms | ≤ 10.00 ms | yes |", report.markdown(document))
        self.assertEqual(len(document["rows"]), 1)
        self.assertEqual(scorecard.exit_code(document), 0)

    def test_it_may_fail(self):
        for document in self.document([], {self.HALF: "ended"}), self.document([sample(50, 3, wanted=50)]):
            self.assertEqual(scorecard.exit_code(document), 1)
            self.assertEqual(document["goals"], [])
            self.assertIn("half load", "".join(document["findings"]))

    def test_half_of_the_rate_in_the_same_round(self):
        options = types.SimpleNamespace(words=["hot"], quick=True, rounds=2)
        run = scorecard.Run(options, [self.ROW])
        self.assertEqual([run.half_loads_of(number) for number in range(2)], [[], [self.HALF]])
        run.samples[self.ROW] = [sample(100), sample(60)]
        with unittest.mock.patch.object(load, "measure", lambda row, _, rate: sample(rate)):
            self.assertEqual(run.measure_half(self.HALF)["wanted"], 30)
        run.failures[self.ROW] = "ended"
        self.assertRaises(load.Failed, run.measure_half, self.HALF)


class Preload(unittest.TestCase):
    def test_every_row_once_in_the_order_of_the_primary_key(self):
        made = list(preload.statements("uuid7", 2500000, 10 ** 12))
        self.assertEqual([re.search(r"seq_\d+_to_\d+", one).group() for one in made],
                         ["seq_0_to_999999", "seq_1000000_to_1999999", "seq_2000000_to_2499999"])
        self.assertIn("n DIV 2500,", made[0])
        self.assertNotIn("{", "".join(made))


class Works(unittest.TestCase):
    def choose(self, *words, quick=False):
        options = types.SimpleNamespace(words=list(words), quick=quick)
        with unittest.mock.patch.object(scorecard, "registry", lambda _: STRATEGIES):
            chosen, other = scorecard.choose_rows(options)
        return [row.words for row in chosen], [work.word for work in other]

    def test_words_choose_works_and_the_rows_beside_them(self):
        self.assertEqual(self.choose("earn", "transfer"), ([works.ONE, works.MANY_SKUS], ["earn", "transfer"]))
        self.assertEqual(self.choose("mutex", "hot", "combined", "sqlite")[1], [])
        self.assertEqual(self.choose()[1], [work.word for work in works.WORKS])
        self.assertEqual(self.choose(quick=True)[1], ["interleaved"])
        self.assertIn(works.INTERLEAVED.of, self.choose(quick=True)[0])

    def test_it_is_compared_within_a_round(self):
        row = find(*works.MANY_SKUS)
        work = works.INTERLEAVED
        samples = {row: [sample(100), sample(50)], work: [sample(90), sample(35)]}
        document = report.build(FACTS, [row, work], [], samples, {})
        self.assertAlmostEqual(document["works"][0]["ratio"], 0.8)
        self.assertEqual([one["met"] for one in document["goals"]], [True])
        self.assertIn(f"| {work.name} | 62 | 0.80 |", report.markdown(document))

    def test_it_may_fail(self):
        row, work = find(*works.ONE), works.WORKS[1]
        for samples, failures in ([], {work: "ended"}), ([sample(5, 2)], {}):
            document = report.build(FACTS, [row, work], [], {row: [sample(10)], work: samples}, failures)
            self.assertEqual(scorecard.exit_code(document), 1)
            self.assertIn(work.name, "".join(document["findings"]))
            report.markdown(document)


if __name__ == "__main__":
    unittest.main()
