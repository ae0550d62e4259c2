#!/usr/bin/env python3
"""Tests holdfast-load as a program: scenarios, arrivals, retries, reports, and failures."""

import http.server
import json
import os
import resource
import signal
import subprocess
import tempfile
import threading
import time
import unittest

from cluster import TestCase
from loader import LOAD, constant, finish, history, load, measured, start, urls

TEMPLATE = "POST /anything/{{n}}\nContent-Type: application/json\nIdempotency-Key: {{key}}\n\n{\"n\": {{n}}}\n"


class LoadCase(TestCase):
    def setUp(self):
        self.directory = tempfile.TemporaryDirectory(prefix="holdfast-load-")
        self.addCleanup(self.directory.cleanup)

    def path(self, name):
        return os.path.join(self.directory.name, name)

    def template(self, text=TEMPLATE):
        path = self.path("template")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def assert_proven(self, result):
        self.assertEqual(result.code, 0, result)
        self.assertTrue(result.report["check"]["done"], result)
        self.assertEqual(result.report["check"]["violations"], 0, result)


class Scenarios(LoadCase):
    def setUp(self):
        super().setUp()
        self.servers = self.cluster(self.sqlite().store, 1)

    def run_proven(self, *arguments):
        result = measured(*urls(self.servers.ports), *arguments)
        self.assert_proven(result)
        return result.report

    def test_latch(self):
        path = self.path("history")
        report = self.run_proven("--arrival", "latch", "--requests", 300, "--stock", 100,
                                 "--history", path)
        self.assertEqual(report["outcomes"]["ok"], 100)
        self.assertEqual(report["problems"], {"out-of-stock": 200})
        self.assertEqual(report["connections"], 300)
        head, attempts, end = history(path)
        self.assertEqual((len(attempts), end["attempts"]), (300, 300))
        self.assertEqual(head["counters"][0]["remaining"], 100)
        # Many requests were in flight before the first answer came.
        self.assertLess(sorted(a["invoke_ns"] for a in attempts)[150],
                        sorted(a["complete_ns"] for a in attempts)[299])

    def test_many_skus(self):
        for spread in ("even", "zipf"):
            report = self.run_proven("--skus", 20, "--requests", 600, "--spread", spread)
            self.assertEqual(report["check"]["counters"], 20)

    def test_coupons(self):
        report = self.run_proven("--scenario", "coupon", "--users", 100, "--tries", 4, "--total", 60)
        self.assertEqual(report["outcomes"]["ok"], 60)
        self.assertEqual(report["outcomes"]["refused"], 340)

    def test_draws_with_duplicates(self):
        report = self.run_proven("--scenario", "draw", "--users", 200, "--duplicate", "1",
                                 "--prizes", "gold:3:5,silver:10:20", "--blank", 75)
        self.assertEqual(report["operations"], 200)
        self.assertEqual(report["duplicates"], 200)
        self.assertEqual(report["outcomes"]["ok"], 400)
        self.assertEqual(report["replays"], 200)

    def test_points(self):
        path = self.path("history")
        for spread in ("even", "zipf"):
            report = self.run_proven("--scenario", "points", "--requests", 2000, "--accounts", 20, "--spread", spread,
                                     "--quantity", 3, "--balance", 12, "--duplicate", "20%", "--retry", 3,
                                     "--history", path)
            self.assertEqual(list(report["problems"]), ["not-enough-points"])
            self.assertEqual(report["check"]["counters"], 20)
            for seen in ("reads", "refusals", "replays"):
                self.assertGreater(report["check"][seen], 0)
            head, attempts, _ = history(path)
            self.assertEqual({(c["kind"], c["version"], c["remaining"]) for c in head["counters"]}, {("points", 1, 12)})
            self.assertEqual({a["kind"] for a in attempts}, {"earn", "spend", "transfer", "read"})
            # No two legs were told the same version of an account.
            legs = [(a["key"], name, version) for a in attempts if a["outcome"] == "ok" and a["kind"] == "transfer"
                    for name, version in ((a["counter"], a["version"]), (a["more"][0][0], a["more"][0][2]))]
            self.assertEqual(len({leg[1:] for leg in legs}), len(set(legs)))

    def test_accounts_that_exist(self):
        path = self.path("history")
        accounts = ("--scenario", "points", "--resource", "U", "--accounts", 3, "--history", path)
        self.run_proven(*accounts, "--requests", 100)
        before = [self.servers.call("GET", f"/v1/points/U-{i}").body for i in (1, 2, 3)]
        self.run_proven(*accounts, "--requests", 10, "--mix", "read=1", "--balance", 7)
        self.assertEqual([(c["version"], c["remaining"]) for c in history(path)[0]["counters"]],
                         [(account["version"] + 1, account["points"] + 7) for account in before])
        self.run_proven(*accounts, "--requests", 100, "--no-setup")

    def test_mixed_with_everything(self):
        report = self.run_proven("--scenario", "mixed", "--duration", "1s", "--retry", 3,
                                 "--duplicate", "20%", "--think", "1ms", "--skus", 5)
        self.assertGreater(report["replays"], 0)
        self.assertGreater(report["check"]["reads"], 0)

    def test_reserve_and_confirm_a_part(self):
        path = self.path("history")
        self.run_proven("--scenario", "reserve", "--requests", 1500, "--skus", 5, "--lines", 3, "--quantity", 3,
                        "--partial", 1, "--leave", 0.1, "--then", "confirm=1", "--duplicate", "10%", "--history", path)
        confirmed = [a for a in history(path)[1] if a["kind"] == "confirm" and a["outcome"] == "ok"]
        self.assertGreater(len(confirmed), 50)
        for attempt in confirmed:
            back = attempt.get("quantity", 0) + sum(leg[1] for leg in attempt["more"] if leg[0].startswith("stock/"))
            held = -sum(leg[1] for leg in attempt["more"] if leg[0].startswith("hold/"))
            self.assertTrue(0 < back < held, attempt)

    def test_checkout(self):
        path = self.path("history")
        report = self.run_proven("--scenario", "checkout", "--requests", 3000, "--skus", 5, "--lines", 3,
                                 "--accounts", 8, "--code", 0.5, "--uses", 4, "--cancel", 0.2, "--refund", 0.4,
                                 "--duplicate", "10%", "--balance", 500, "--history", path)
        head, attempts, _ = history(path)
        self.assertEqual([(c["total"], c["owner"]) for c in head["counters"] if c["kind"] == "code"],
                         [(4, c["name"].split("/")[1]) for c in head["counters"] if c["kind"] == "points"])
        # Codes were taken by orders and without, came back, and were refused for three reasons.
        moved = {(a["kind"], leg[1]) for a in attempts if a["outcome"] == "ok"
                 for leg in a.get("more", []) if leg[0].startswith("code/")}
        self.assertEqual(moved, {("order", -1), ("cancel", 1), ("refund", 1)})
        self.assertLessEqual({"redeem", "rollback"}, {a["kind"] for a in attempts if a["outcome"] == "ok"})
        self.assertLessEqual({"coupon-redeemed", "not-found"}, set(report["problems"]))
        rule = next(i for i in report["check"]["invariants"] if i["slug"] == "redeem-caps")
        self.assertGreater(rule["looked_at"], 32)

    def test_existing_resources(self):
        self.servers.call("PUT", "/v1/stock/MINE", {"quantity": 10})
        report = self.run_proven("--resource", "MINE", "--no-setup", "--requests", 25)
        self.assertEqual(report["outcomes"]["ok"], 10)
        # The counter now has a history, and the check begins after it.
        report = self.run_proven("--resource", "MINE", "--no-setup", "--requests", 5, "--expect-refusals")
        self.assertEqual(report["outcomes"]["refused"], 5)

    def test_check_again_later(self):
        past, ledger = self.path("history"), self.path("ledger")
        self.run_proven("--requests", 50, "--history", past)
        first = load("check", past, "--save-ledger", ledger)
        self.assertEqual(first.returncode, 0, first.stdout + first.stderr)
        self.servers.__exit__()
        again = load("check", past, "--ledger", ledger)
        self.assertEqual(again.returncode, 0, again.stderr)
        gone = load("check", past)
        self.assertEqual(gone.returncode, 2)
        self.assertIn("127.0.0.1", gone.stderr)
        with open(ledger, encoding="utf-8") as file:
            text = file.read()
        with open(ledger, "w", encoding="utf-8") as file:
            file.write(text.replace('"delta":-1', '"delta":-2', 1))
        forged = load("check", past, "--ledger", ledger)
        self.assertEqual(forged.returncode, 1, forged.stdout)
        self.assertIn("conservation", forged.stdout)

    def test_a_foreign_client_buys_too(self):
        # A ledger row of another client is a violation, unless --allow-foreign is given.
        answer = self.servers.call("PUT", "/v1/stock/SHARED", {"quantity": 1000})
        self.assertEqual(answer.status, 201)
        for extra, code in ((), 1), (("--allow-foreign",), 0):
            process = start("run", *urls(self.servers.ports), "--resource", "SHARED", "--no-setup",
                            "--duration", "1s", "--connections", 2, "--think", "20ms", *extra)
            time.sleep(0.5)
            bought = self.servers.call("POST", "/v1/stock/SHARED/deduct", {"quantity": 1},
                                       f"foreign-{code}")
            self.assertEqual(bought.status, 200)
            done = finish(process)
            self.assertEqual(done.returncode, code, done.stdout + done.stderr)


class Instances(LoadCase):
    def test_targets_share_the_load(self):
        servers = self.cluster(self.mysql().store, 3)
        path = self.path("history")
        result = measured(*urls(servers.ports), "--requests", 300, "--arrival", "latch",
                          "--history", path)
        self.assert_proven(result)
        targets = [a["target"] for a in history(path)[1]]
        self.assertEqual([targets.count(i) for i in range(3)], [100, 100, 100])

    def test_a_resource_goes_to_one_instance(self):
        servers = self.cluster(self.mysql().store, 3)
        path = self.path("history")
        result = measured(*urls(servers.ports), "--route", "resource", "--skus", 60, "--requests", 3000,
                          "--connections", 20, "--threads", 2, "--history", path)
        self.assert_proven(result)
        self.assertEqual({route[1] for route in self.routes(path)}, {0, 1, 2})
        self.assertEqual(len(self.routes(path)), 60)

    def test_a_dead_instances_resources_go_elsewhere(self):
        servers = self.cluster(self.mysql().store, 3)
        path = self.path("history")
        arguments = (*urls(servers.ports), "--route", "resource", "--skus", 60, "--resource", "R", "--history", path)
        self.assert_proven(measured(*arguments, "--requests", 1200))
        home = dict(self.routes(path))
        process = start("run", *arguments, "--duration", "3s", "--retry", 20, "--connections", 20)
        time.sleep(1)
        servers.instances[0].kill()
        self.assertIn(finish(process).returncode, (0, 1), process.stderr)
        late = self.routes(path, from_ns=2_000_000_000)
        self.assertEqual({target for _, target in late}, {1, 2})
        for counter, target in late:
            if home[counter] != 0:
                self.assertEqual(target, home[counter])

    def routes(self, path, from_ns=0):
        """The pairs of a counter and the target of a request for it, in a history."""
        return {(attempt["counter"], attempt["target"]) for attempt in history(path)[1]
                if attempt["invoke_ns"] >= from_ns}

    def test_points_over_all_instances(self):
        servers = self.cluster(self.mysql().store, 3)
        result = measured(*urls(servers.ports), "--scenario", "points", "--requests", 3000, "--accounts", 4,
                          "--duplicate", "20%", "--retry", 5)
        self.assert_proven(result)
        self.assertGreater(result.report["replays"], 0)
        self.assertEqual(result.report["outcomes"]["error"], 0, result)

    def test_tokens(self):
        servers = self.cluster(self.sqlite().store, 1, auth__admin_token="a" * 20,
                               auth__client_token="c" * 20)
        tokens = ("--admin-token", "a" * 20, "--client-token", "c" * 20)
        for scenario in ("deduct", "mixed"):
            self.assert_proven(measured(*urls(servers.ports), "--scenario", scenario, "--requests", 20, *tokens))
        without = load("run", *urls(servers.ports), "--requests", 20)
        self.assertEqual(without.returncode, 2)
        self.assertIn("token", without.stderr)


class Arrivals(LoadCase):
    def test_open_loop_keeps_its_schedule(self):
        with constant() as url:
            result = measured(url, "--template", self.template(), "--rate", 500, "--spacing", "even",
                              "--duration", "2s")
        self.assertEqual(result.code, 0, result)
        self.assertEqual(result.report["operations"], 1000)

    def test_ramp(self):
        with constant() as url:
            result = measured(url, "--template", self.template(), "--rate", "0..1000", "--spacing",
                              "even", "--duration", "2s")
        self.assertEqual(result.code, 0, result)
        self.assertAlmostEqual(result.report["operations"], 1000, delta=20)

    def stalled(self, *arguments):
        """The latencies of two seconds of load on a server that stalls for 500 ms in the middle."""
        with constant("--stall-after", 700, "--stall-for", 500) as url:
            result = measured(url, "--template", self.template(), "--duration", "2s", *arguments)
        self.assertEqual(result.code, 0, result)
        return result.report["latency_ms"]

    def test_open_loop_shows_a_stall_that_the_closed_loop_hides(self):
        seen = self.stalled("--rate", 2000, "--connections", 16)
        self.assertGreater(seen["p99.9"], 400, seen)
        self.assertGreater(seen["p90"], 100, seen)  # a quarter of the schedule fell into the stall
        hidden = self.stalled("--connections", 1)
        self.assertLess(hidden["p99.9"], 400, hidden)
        self.assertGreater(hidden["max"], 400, hidden)


class RefuseFirst(http.server.BaseHTTPRequestHandler):
    """Refuses the first attempt of every key with 503 and Retry-After: 1."""

    protocol_version = "HTTP/1.1"
    seen, times = set(), {}

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        key = self.headers["Idempotency-Key"]
        first = key not in self.seen
        self.seen.add(key)
        self.times.setdefault(key, []).append(time.monotonic())
        self.send_response(503 if first else 200)
        if first:
            self.send_header("Retry-After", "1")
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_):
        pass


class CloseIdle(http.server.BaseHTTPRequestHandler):
    """Closes a connection after 20 ms without a request."""

    protocol_version = "HTTP/1.1"
    timeout = 0.02

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


class Behaviour(LoadCase):
    def serve(self, handler):
        """Starts a server with this handler until the test ends. Returns its URL."""
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        return f"http://127.0.0.1:{server.server_port}"

    def test_retry_after_is_honoured(self):
        result = measured(self.serve(RefuseFirst), "--template", self.template(),
                          "--requests", 6, "--connections", 2, "--retry", 2)
        self.assertEqual(result.code, 0, result)
        self.assertEqual(result.report["statuses"], {"200": 6, "503": 6})
        self.assertEqual(result.report["retries"], 6)
        self.assertEqual(len(RefuseFirst.times), 6)
        for first, second in RefuseFirst.times.values():
            self.assertGreaterEqual(second - first, 0.99)

    def test_connections_that_the_server_closes(self):
        with constant("--close-every", 7) as url:
            result = measured(url, "--template", self.template(), "--requests", 500,
                              "--connections", 8)
        self.assertEqual(result.code, 0, result)
        self.assertEqual(result.report["statuses"], {"200": 500})

    def test_connections_that_break_while_idle(self):
        result = measured(self.serve(CloseIdle), "--template", self.template(), "--requests", 10,
                          "--connections", 1, "--think", "80ms", "--retry", 9, "--duplicate", "100%",
                          timeout=30)
        self.assertEqual(result.code, 0, result)
        self.assertEqual(result.report["outcomes"]["ok"], 20, result)

    def test_a_missing_answer_is_a_timeout_of_unknown_outcome(self):
        path = self.path("history")
        with constant("--silent-every", 50) as url:
            result = measured(url, "--template", self.template(), "--requests", 100,
                              "--connections", 4, "--timeout", "200ms", "--history", path)
        self.assertEqual((result.report["timeouts"], result.report["outcomes"]["unknown"]), (2, 2))
        unknown = [a for a in history(path)[1] if a["outcome"] == "info"]
        self.assertEqual([(a["detail"], a.get("complete_ns")) for a in unknown], 2 * [("timeout", None)])

    def test_requirements_decide(self):
        with constant("--status", "404") as url:
            run = (url, "--template", self.template(), "--requests", 50, "--expect-refusals", "--require")
            self.assertEqual(measured(*run, "refused==50").code, 0)
            missed = measured(*run, "errors==0", "--require", "ok>0")
        self.assertEqual(missed.code, 1, missed)
        self.assertEqual([r["holds"] for r in missed.report["requirements"]], [True, False])


class Failures(LoadCase):
    def test_wrong_usage(self):
        for arguments, words in (
                (["--conections", "5"], ["--conections", "--connections"]),
                (["--connections", "many"], ["--connections"]),
                (["--arrival", "stairs"], ["--arrival", "latch"]),
                (["--require", "p99<fast"], ["p99<fast"]),
                (["https://127.0.0.1:1"], ["https"]),
                (["--template", self.path("none")], ["none"]),
        ):
            done = load("run", *arguments)
            self.assertEqual(done.returncode, 2, arguments)
            for word in words:
                self.assertIn(word, done.stderr)
            self.assertEqual(done.stdout, "")

    def test_no_server(self):
        for extra in ((), ("--template", self.template())):
            done = load("run", "http://127.0.0.1:1", "--requests", 5, *extra)
            self.assertEqual(done.returncode, 2)
            self.assertIn("127.0.0.1:1", done.stderr)
            self.assertIn("refused", done.stderr)

    def test_a_killed_server(self):
        past, page = self.path("history"), self.path("report.html")
        servers = self.cluster(self.sqlite().store, 1)
        process = start("run", *urls(servers.ports), "--duration", "2s", "--history", past, "--html",
                        page, "--timeout", "500ms")
        time.sleep(1)
        servers.instances[0].kill()
        done = finish(process)
        servers.__exit__()
        self.assertEqual(done.returncode, 2, done.stdout + done.stderr)
        self.assertIn("refused", done.stdout)
        _, attempts, end = history(past)
        self.assertEqual(len(attempts), end["attempts"])
        self.assertGreater(len([a for a in attempts if a["outcome"] == "ok"]), 100)
        self.assertTrue(os.path.getsize(page) > 10000)

    def test_a_killed_instance_is_no_violation(self):
        servers = self.cluster(self.mysql().store, 3)
        process = start("run", *urls(servers.ports), "--duration", "3s", "--retry", 5, "--timeout",
                        "1s", "--duplicate", "10%")
        time.sleep(1.5)
        servers.instances.pop(0).kill()
        done = finish(process)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_ctrl_c_still_reports(self):
        servers = self.cluster(self.sqlite().store, 1)
        past, report = self.path("history"), self.path("report.json")
        process = start("run", *urls(servers.ports), "--duration", "1h", "--history", past, "--json",
                        report)
        time.sleep(1)
        process.send_signal(signal.SIGINT)
        done = finish(process, timeout=30)
        self.assertEqual(done.returncode, 130, done.stdout + done.stderr)
        with open(report, encoding="utf-8") as file:
            written = json.load(file)
        self.assertTrue(written["interrupted"])
        self.assertEqual(written["check"]["violations"], 0)
        self.assertEqual(written["check"]["attempts"], len(history(past)[1]))

    def limited(self, *arguments):
        """Runs with files limited to 64 KiB, as on a full disk."""
        limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, 1 << 16))  # noqa: E731
        return load("run", *arguments, preexec_fn=limit)

    def test_a_full_disk(self):
        past = self.path("history")
        with constant() as url:
            run = (url, "--template", self.template(), "--requests", 5000)
            done = self.limited(*run, "--history", past)
            self.assertEqual(done.returncode, 2, done.stdout)
            self.assertIn(past, done.stderr)
            self.assertIn("5,000", done.stdout)  # the table is still printed
            self.assertGreater(os.path.getsize(past), 60000)
            nowhere = load("run", *run, "--html", self.path("no/such/folder.html"))
            self.assertEqual(nowhere.returncode, 2)
            self.assertIn("no/such/folder.html", nowhere.stderr)

    def test_help(self):
        for command in ([], ["run"], ["check"]):
            done = subprocess.run([LOAD, *command, "--help"], capture_output=True, text=True, check=True)
            self.assertIn("holdfast-load", done.stdout)
            self.assertEqual(done.stderr, "")


if __name__ == "__main__":
    unittest.main()
