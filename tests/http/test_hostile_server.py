#!/usr/bin/env python3
"""Tests holdfast-load against servers that are broken or hostile: it stays bounded in time and memory, prints
nothing that could control a terminal, and counts no malformed answer as a success."""

import itertools
import json
import os
import resource
import tempfile
import time
import unittest

from cluster import TestCase
from hostile import Hostile, answer, shop
from loader import history, load, measured

DONE = {"sku": "S", "quantity": 1, "remaining": 99, "version": 2, "strategy": "conditional"}
ESCAPES = "\x1b]0;owned\x07\x1b[2J\n\r\t\x7f\u0085\u009b31mred"
CONTROLS = [chr(c) for c in [*range(0x0a), *range(0x0b, 0x20), *range(0x7f, 0xa0)]]


def every(piece, pause_s=0.0):
    """The piece, for ever."""
    for _ in itertools.count():
        yield piece
        time.sleep(pause_s)


class HostileCase(TestCase):
    def setUp(self):
        self.directory = tempfile.TemporaryDirectory(prefix="holdfast-hostile-")
        self.addCleanup(self.directory.cleanup)

    def path(self, name):
        return os.path.join(self.directory.name, name)

    def serve(self, respond):
        server = Hostile(respond)
        server.__enter__()
        self.addCleanup(server.__exit__)
        return server.url

    def changes(self, sent):
        """A shop that answers its setup well, and every change with these bytes."""
        return self.serve(lambda request: sent() if request.is_change() else shop(request))

    def assert_plain(self, process):
        """No control character but the line feeds of the program itself."""
        for text in process.stdout, process.stderr:
            self.assertEqual([c for c in CONTROLS if c in text], [], text)


class Memory(HostileCase):
    """Each test limits the address space, so that a run that buffers without end fails."""

    def limited(self, *arguments):
        limit = lambda: resource.setrlimit(resource.RLIMIT_AS, (384 << 20, 384 << 20))  # noqa: E731
        return measured(*arguments, "--threads", 1, preexec_fn=limit, timeout=30)

    def check_endless(self, head, piece, problem):
        url = self.changes(lambda: itertools.chain([head], every(piece)))
        result = self.limited(url, "--connections", 32, "--requests", 64, "--timeout", "10s")
        self.assertEqual(result.report["problems"], {problem: 64}, result)
        self.assertNotEqual(result.code, 0, result)

    def test_interim_answers(self):
        self.check_endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1000, "malformed answer: endless 1xx")

    def test_fields(self):
        self.check_endless(b"HTTP/1.1 200 OK\r\n", b"X-Field: value\r\n" * 1000, "malformed answer: head too large")

    def test_a_field(self):
        self.check_endless(b"HTTP/1.1 200 OK\r\nX: ", b"x" * 10000, "malformed answer: head too large")

    def test_a_body(self):
        self.check_endless(b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 100000, "malformed answer: body too large")

    def test_control_requests(self):
        for head, piece in ((b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1000),
                            (b"HTTP/1.1 200 OK\r\n", b"X-Field: value\r\n" * 1000),
                            (b"HTTP/1.1 200 OK\r\n\r\n", b" " * 100000)):
            url = self.serve(lambda _, head=head, piece=piece: itertools.chain([head], every(piece)))
            started = time.monotonic()
            result = self.limited(url, "--requests", 1, "--timeout", "10s")
            self.assertEqual(result.code, 2, result)
            self.assertIn("too large", result.error)
            self.assertLess(time.monotonic() - started, 5)


class Times(HostileCase):
    def test_control_requests_keep_the_timeout(self):
        begin = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"
        for respond in (lambda _: [],  # no answer
                        lambda _: itertools.chain([begin], every(b" ", 0.1)),  # a byte now and then
                        lambda _: every(b"HTTP/1.1 100 Continue\r\n\r\n", 0.1)):
            url = self.serve(respond)
            started = time.monotonic()
            done = load("run", url, "--requests", 1, "--timeout", "500ms", timeout=60)
            took_s = time.monotonic() - started
            self.assertEqual(done.returncode, 2, done.stdout + done.stderr)
            self.assertIn("imeout", done.stderr)
            self.assertTrue(0.5 <= took_s < 3, took_s)

    def test_a_huge_retry_after(self):
        """It does not overflow, and no retry is due within the second that the run lasts."""
        sent = answer({"type": "/problems/overloaded"}, 503, "application/problem+json")
        sent = sent.replace(b"Content-Type", f"Retry-After: {2 ** 63 - 1}\r\nContent-Type".encode())
        done = load("run", self.changes(lambda: sent), "--requests", 2, "--connections", 2, "--retry", 1,
                    "--duration", "1s", "--timeout", "500ms", timeout=30)
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)  # nothing succeeded
        self.assertIn("overloaded 2", done.stdout)

    def test_connections_that_close_at_once(self):
        """They are reopened after growing pauses, not all the time."""
        template = self.path("template")
        with open(template, "w", encoding="utf-8") as file:
            file.write("POST /any\n\n{}")
        with Hostile(None) as server:
            done = load("run", server.url, "--template", template, "--rate", 5, "--duration", "1s",
                        "--connections", 8, "--timeout", "500ms", timeout=30)
            self.assertEqual(done.returncode, 2, done.stdout + done.stderr)  # no answer at all
            self.assertLess(len(server.connections), 200)

    def test_pages_without_end(self):
        """A ledger whose page repeats, one that is not in order, and one with more rows than a page has."""
        row = {"delta": -1, "remaining": 5, "reason": "deduct", "request_key": "k", "leg": 0, "user_id": "u",
               "strategy": "conditional", "token": 0, "created_at_ms": 1}
        pages = {"repeats": range(1, 1001), "falls": range(2000, 1000, -1), "large": range(1, 1002)}
        for name, versions in pages.items():
            page = answer({"rows": [dict(row, version=version) for version in versions]})

            def respond(request, page=page):
                if request.path.startswith("/v1/ledger"):
                    return page
                return answer(DONE) if request.is_change() else shop(request)

            result = measured(self.serve(respond), "--requests", 1, timeout=15)
            self.assertEqual(result.code, 2, (name, str(result)))
            self.assertIn("page", result.report["check"]["why_not"], name)

    def test_pages_of_a_prize_without_end(self):
        lottery = answer({"version": 7, "remaining": 5, "draws_per_user": 1,
                          "prizes": [{"prize": "gold", "quantity": 5, "remaining": 5}]})
        page = answer({"rows": [{"version": version, "remaining": 5} for version in range(1, 1001)]})
        url = self.serve(lambda request: page if request.path.startswith("/v1/ledger") else lottery)
        done = load("run", url, "--scenario", "draw", "--requests", 1, timeout=15)
        self.assertEqual(done.returncode, 2, done.stdout)
        self.assertIn("repeats a page", done.stderr)


class Texts(HostileCase):
    def test_a_problem_type(self):
        for slug in ESCAPES, "x\nOk: 0 violations":
            problem = answer({"type": "/problems/" + slug, "detail": slug}, 409, "application/problem+json")
            page, report = self.path("page.html"), self.path("report.json")
            done = load("run", self.changes(lambda problem=problem: problem), "--requests", 2, "--connections", 2,
                        "--html", page, "--json", report)
            self.assert_plain(done)
            self.assertNotIn("\nOk: 0 violations 2", done.stdout)
            for path in page, report:
                with open(path, encoding="utf-8", newline="") as file:
                    text = file.read()
                self.assertEqual([c for c in CONTROLS if c in text and c != "\x7f"], [], path)

    def test_errors(self):
        """In what the server says of itself, and in names that it gives."""
        problem = answer({"type": "/problems/" + ESCAPES, "detail": ESCAPES}, 403, "application/problem+json")
        lottery = answer({"version": 7, "remaining": 5, "draws_per_user": 1,
                          "prizes": [{"prize": ESCAPES, "quantity": 5, "remaining": 5}]})
        for respond in (lambda _: problem,
                        lambda request: problem if request.path.startswith("/v1/ledger") else lottery):
            done = load("run", self.serve(respond), "--scenario", "draw", "--requests", 1)
            self.assertEqual(done.returncode, 2, done.stdout)
            self.assert_plain(done)
            self.assertEqual(done.stderr.count("\n"), 1, done.stderr)

    def test_findings(self):
        """Violations that quote a ledger's and a history's texts."""
        past, ledger = self.path("history"), self.path("ledger")
        head = {"holdfast_history": 1, "run": "r", "scenario": "stock", "started_at_ms": 1,
                "targets": ["http://127.0.0.1:1/" + ESCAPES],
                "counters": [{"name": "stock/s", "kind": "stock", "version": 1, "remaining": 9}]}
        bought = {"op": 1, "attempt": 0, "kind": "deduct", "counter": "stock/s", "target": 0, "key": "r-1",
                  "user": "u" + ESCAPES, "quantity": 1, "invoke_ns": 1, "complete_ns": 2, "outcome": "fail",
                  "status": 409, "detail": ESCAPES}
        row = {"counter": "stock/s", "version": 2, "delta": -1, "remaining": 8, "leg": 0, "token": 0,
               "created_at_ms": 1,
               "key": "r-1", "user": ESCAPES, "reason": ESCAPES, "strategy": ESCAPES}
        for path, lines in ((past, [head, bought, {"end": True, "attempts": 1}]),
                            (ledger, [{"holdfast_ledger": 1, "run": "r"},
                                      {"final": "stock/s", "version": 2, "remaining": 8}, row,
                                      {"end": True, "rows": 1}])):
            with open(path, "w", encoding="utf-8") as file:
                file.writelines(json.dumps(line, separators=(",", ":")) + "\n" for line in lines)
        done = load("check", past, "--ledger", ledger)
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        self.assertIn("owned", done.stdout)
        self.assert_plain(done)


class Malformed(HostileCase):
    def test_no_success(self):
        good = answer(DONE)
        length = good[good.index(b"Content-Length"):good.index(b"\r\n\r\n")]
        cases = {
            "two lengths": [good.replace(length, length + b"\r\n" + length),
                            good.replace(length, length + b"\r\nContent-Length: 5"),
                            good.replace(length, length + b"\r\nTransfer-Encoding: chunked")],
            "status line": [good.replace(b"HTTP/1.1", b"HTTP/9")],
            "header field": [good.replace(b"\r\nContent-Type", b"\r\njunk\r\nContent-Type")],
            "Content-Length": [good.replace(b"Content-Length: ", b"Content-Length: -")],
            "bytes behind it": [good + b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"],
            "body": [answer(json.dumps(DONE).encode()[:-1])],
            "members missing": [answer({}), answer(dict(DONE, version=None))],
            "body not allowed": [good.replace(b"200 OK", b"204 No Content")],
            "101 unasked": [b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\r\n" + good],
        }
        for wrong, answers in cases.items():
            for sent in answers:
                past = self.path("history")
                result = measured(self.changes(lambda sent=sent: sent), "--requests", 4, "--connections", 2,
                                  "--history", past)
                self.assertEqual(result.report["outcomes"], {"ok": 0, "refused": 0, "error": 4, "unknown": 4},
                                 (sent, str(result)))
                self.assertEqual(result.report["problems"], {"malformed answer: " + wrong: 4}, sent)
                self.assertEqual(result.report["malformed"], 4)
                self.assertNotEqual(result.code, 0, sent)
                self.assertEqual([attempt["outcome"] for attempt in history(past)[1]], 4 * ["info"])

    def test_one_is_enough_for_the_exit_code(self):
        numbers = itertools.count()
        template = self.path("template")
        with open(template, "w", encoding="utf-8") as file:
            file.write("POST /any\n\n{}")
        good, bad = answer(b"anything"), answer(b"anything").replace(b"200 OK", b"200OK")
        url = self.changes(lambda: bad if next(numbers) == 7 else good)
        result = measured(url, "--template", template, "--requests", 20)
        self.assertEqual(result.report["outcomes"]["ok"], 19, result)
        self.assertEqual(result.code, 1, result)


if __name__ == "__main__":
    unittest.main()
