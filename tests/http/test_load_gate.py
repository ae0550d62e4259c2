#!/usr/bin/env python3
"""Tests that holdfast-load as a gate can fail: a run that did nothing proves nothing, reports are not lost, no file
that is read is overwritten, and it measures on an older kernel too."""

import ctypes
import errno
import json
import os
import re
import resource
import signal
import struct
import tempfile
import time
import unittest

from cluster import ROOT, TestCase
from hostile import Hostile, answer, shop
from loader import constant, finish, load, measured, start, urls

BOUGHT = {"sku": "S", "quantity": 1, "remaining": 99, "version": 2, "strategy": "conditional"}
EPOLL_PWAIT2 = 441  # on every architecture


def forbid(call, error):
    """Lets the system call fail in this process and its children, as an older kernel or a sandbox does."""
    libc = ctypes.CDLL(None, use_errno=True)
    filters = b"".join(struct.pack("=HBBI", *line) for line in (
        (0x20, 0, 0, 0),  # load the number of the system call
        (0x15, 0, 1, call),  # skip the next line unless it is this one
        (0x06, 0, 0, 0x50000 | error),  # fail with this error
        (0x06, 0, 0, 0x7fff0000)))  # allow
    text = ctypes.create_string_buffer(filters)
    program = struct.pack("HxxxxxxP", 4, ctypes.addressof(text))
    if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, program, 0, 0):
        raise OSError(ctypes.get_errno(), "no filter of system calls")
    if libc.syscall(call, -1, None, 0, None, None) != -1 or ctypes.get_errno() != error:
        raise OSError("the filter has no effect")


class GateCase(TestCase):
    def setUp(self):
        self.directory = tempfile.TemporaryDirectory(prefix="holdfast-gate-")
        self.addCleanup(self.directory.cleanup)

    def path(self, name):
        return os.path.join(self.directory.name, name)

    def write(self, name, text):
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(text)
        return self.path(name)

    def read(self, name):
        with open(self.path(name), encoding="utf-8") as file:
            return file.read()

    def template(self):
        return ("--template", self.write("template", "POST /any/{{n}}\n\n{}"))

    def serve(self, respond):
        server = Hostile(respond)
        server.__enter__()
        self.addCleanup(server.__exit__)
        return server.url


class Nothing(GateCase):
    def test_a_wrong_token(self):
        """All requests get a quick 401: no violation, and a p99 of the successes that was not measured."""
        servers = self.cluster(self.sqlite().store, 1, auth__admin_token="a" * 20, auth__client_token="c" * 20)
        run = (*urls(servers.ports), "--requests", 50, "--admin-token", "a" * 20, "--client-token", "wrong" * 4)
        result = measured(*run, "--require", "violations==0")
        self.assertEqual(result.code, 1, result)
        self.assertEqual(result.report["kinds"], {"deduct": {"ok": 0, "refused": 50, "error": 0}})
        self.assertIn("FAIL: no 2xx came for any request of these kinds", result.text)
        self.assertIn("deduct (50)", result.report["undone"])
        self.assertEqual(measured(*run, "--expect-refusals", "--require", "violations==0").code, 0)
        with open(os.path.join(ROOT, "docker-compose.yml"), encoding="utf-8") as file:
            command = re.search(r'command: \[run, "http://haproxy:8080", (.*?)\]', file.read(), re.S)[1]
        command = command.replace("${HOLDFAST_LOAD_DURATION:-10s}", "1s")
        words = [word.strip('"') for word in re.split(r",\s*", command)]
        profile = measured(*urls(servers.ports), *words, "--admin-token", "a" * 20, "--client-token", "wrong" * 4)
        self.assertEqual(profile.code, 1, profile)
        self.assertIn("draw", profile.report["undone"])
        missed = measured(*run, "--expect-refusals", "--require", "p99<20s")
        self.assertEqual((missed.code, missed.report["requirements"][0]["value"]), (1, None), missed)

    def test_every_status_but_a_success(self):
        for status in 302, 401, 404, 409, 429, 503:
            with constant("--status", status) as url:
                result = measured(url, *self.template(), "--requests", 5)
            self.assertEqual(result.code, 1, (status, str(result)))

    def test_no_answer_at_all(self):
        self.assertEqual(measured(self.serve(None), *self.template(), "--requests", 5, "--timeout", "300ms").code, 2)

    def test_latencies_are_those_of_successes(self):
        """Nine of ten requests are refused at once, the others are slow."""
        refused = answer({"type": "/problems/out-of-stock"}, 409, "application/problem+json")

        def respond(request):
            if not request.path.endswith("0"):
                return refused
            time.sleep(0.1)
            return answer({})

        result = measured(self.serve(respond), *self.template(), "--requests", 100, "--require", "p50<50ms")
        self.assertEqual(result.report["outcomes"]["ok"], 10, result)
        self.assertEqual(result.code, 1, result)
        self.assertLess(result.report["latency_ms"]["p50"], 50)
        self.assertGreater(result.report["ok_latency_ms"]["min"], 100)


class Files(GateCase):
    def test_a_report_that_cannot_be_written_is_refused_before_the_load(self):
        self.write("file", "")
        with Hostile(lambda _: answer({})) as server:
            for flag in "--json", "--html", "--history":
                for place in "no/such/report", "file/report", ".":
                    done = load("run", server.url, *self.template(), "--requests", 1, flag, self.path(place))
                    self.assertEqual(done.returncode, 2, (flag, place, done.stderr))
                    self.assertIn(self.path(place), done.stderr)
                    self.assertEqual(done.stdout, "")
            self.assertEqual(server.requests, [])
        self.assertEqual(sorted(os.listdir(self.directory.name)), ["file", "template"])

    def test_no_input_is_overwritten(self):
        template = self.template()
        os.symlink(template[1], self.path("symbolic"))
        os.link(template[1], self.path("hard"))
        os.mkdir(self.path("d"))
        for name in "template", "d/../template", "symbolic", "hard":
            for flag in "--json", "--html", "--history":
                done = load("run", "http://127.0.0.1:1", *template, flag, self.path(name))
                self.assertEqual(done.returncode, 2)
                self.assertIn(f"--template and {flag} both name the file", done.stderr)
        twice = load("run", "http://127.0.0.1:1", *template, "--json", self.path("r"), "--html", self.path("d/../r"))
        self.assertIn("--json and --html both name the file", twice.stderr)
        self.assertEqual(self.read("template"), "POST /any/{{n}}\n\n{}")

    def test_check_overwrites_neither_history_nor_ledger(self):
        url = self.serve(lambda request: answer(BOUGHT, 409) if request.is_change() else shop(request))
        past, ledger = self.path("history"), self.path("ledger")
        done = load("run", url, "--requests", 2, "--history", past, "--expect-refusals")
        before = self.read("history")
        self.assertTrue(before, done.stderr)
        os.link(past, self.path("same"))
        for name in "history", "same":
            refused = load("check", past, "--save-ledger", self.path(name))
            self.assertEqual(refused.returncode, 2)
            self.assertIn("would overwrite it", refused.stderr)
        self.assertEqual(self.read("history"), before)
        load("check", past, "--save-ledger", ledger)
        kept = self.read("ledger")
        refused = load("check", past, "--ledger", ledger, "--save-ledger", ledger)
        self.assertEqual(refused.returncode, 2)
        self.assertIn("one file", refused.stderr)
        self.assertEqual(self.read("ledger"), kept)
        refused = load("check", past, "--save-ledger", self.path("no/such/ledger"))
        self.assertEqual(refused.returncode, 2)
        self.assertIn("no/such/ledger", refused.stderr)


class Check(GateCase):
    """The command `check`, on files that no load tester wrote."""

    HEAD = {"holdfast_history": 1, "run": "r", "scenario": "stock", "started_at_ms": 1, "targets": ["http://h:1"],
            "counters": [{"name": "stock/s", "kind": "stock", "version": 1, "remaining": 9}]}
    SOLD = {"op": 1, "attempt": 0, "kind": "deduct", "counter": "stock/s", "target": 0, "key": "r-1", "user": "u",
            "quantity": 1, "invoke_ns": 1, "complete_ns": 2, "outcome": "ok", "status": 200, "version": 2,
            "remaining": 8}
    REFUSED = {"op": 2, "attempt": 0, "kind": "deduct", "counter": "stock/s", "target": 0, "key": "r-2", "user": "u",
               "quantity": 1, "invoke_ns": 1, "complete_ns": 2, "outcome": "fail", "status": 404, "detail": "not-found"}
    ROW = {"counter": "stock/s", "version": 2, "delta": -1, "remaining": 8, "leg": 0, "token": 0, "created_at_ms": 1,
           "key": "r-1", "user": "u", "reason": "deduct", "strategy": "conditional"}

    def lines(self, name, *lines):
        return self.write(name, "".join((line if isinstance(line, str) else json.dumps(line, separators=(",", ":")))
                                        + "\n" for line in lines))

    def check(self, history, rows, *flags, finals=1):
        ledger = [{"holdfast_ledger": 1, "run": "r"},
                  *finals * [{"final": "stock/s", "version": 1 + len(rows), "remaining": 9 - len(rows)}], *rows,
                  {"end": True, "rows": len(rows)}]
        return load("check", self.lines("past", *history), "--ledger", self.lines("ledger", *ledger), *flags)

    def test_a_history_that_proves_nothing(self):
        end = {"end": True, "attempts": 1}
        whole = self.check([self.HEAD, self.SOLD, end], [self.ROW])
        self.assertEqual(whole.returncode, 0, whole.stdout + whole.stderr)
        cases = (([self.HEAD, self.SOLD], [self.ROW], "--allow-cut", 2, "no closing line"),
                 ([self.HEAD], [], "--allow-cut", 2, "no closing line"),
                 ([self.HEAD, {"end": True, "attempts": 0}], [], "--expect-refusals", 1, "no request succeeded"),
                 ([self.HEAD, self.REFUSED, end], [], "--expect-refusals", 1, "no request succeeded"))
        for history, rows, flag, code, words in cases:
            done = self.check(history, rows)
            self.assertEqual(done.returncode, code, done.stdout + done.stderr)
            self.assertIn(words, done.stderr)
            both = ("--allow-cut", "--expect-refusals") if len(history) == 1 else (flag,)
            self.assertEqual(self.check(history, rows, *both).returncode, 0)

    def test_files_without_an_end(self):
        """They are refused before they fill the memory."""
        limit = lambda: resource.setrlimit(resource.RLIMIT_AS, (512 << 20, 512 << 20))  # noqa: E731
        past = self.lines("past", self.HEAD, {"end": True, "attempts": 0})
        for arguments in ["/dev/zero"], [past, "--ledger", "/dev/zero"]:
            done = load("check", *arguments, preexec_fn=limit, timeout=30)
            self.assertEqual(done.returncode, 2, done.stderr)
            self.assertIn("/dev/zero: line 1: File too large", done.stderr)

    def test_what_no_load_tester_writes(self):
        """A number with a leading zero, a final that is repeated, and a success without a status."""
        end = {"end": True, "attempts": 1}
        zero = json.dumps(self.SOLD, separators=(",", ":")).replace('"quantity":1', '"quantity":01')
        for history, finals, words in (([self.HEAD, zero, end], 1, "line 2"),
                                       ([self.HEAD, dict(self.SOLD, status=0), end], 1, "outcome"),
                                       ([self.HEAD, self.SOLD, end], 2, "given before")):
            done = self.check(history, [self.ROW], finals=finals)
            self.assertEqual(done.returncode, 2, done.stdout + done.stderr)
            self.assertIn(words, done.stderr)


class Interrupted(GateCase):
    def test_ctrl_c_twice_while_the_ledger_is_read(self):
        """The check is given up, and the reports are written."""
        begun = self.path("begun")

        def respond(request):
            if not request.path.startswith("/v1/ledger"):
                return answer(BOUGHT) if request.is_change() else shop(request)
            self.write("begun", "")
            return self.slowly()

        report, page = self.path("report.json"), self.path("page.html")
        for signals in 1, 2:
            process = start("run", self.serve(respond), "--requests", 1, "--json", report, "--html", page,
                            "--timeout", "1m")
            while not os.path.exists(begun):
                time.sleep(0.01)
            for _ in range(signals):
                process.send_signal(signal.SIGINT)
                time.sleep(0.05)
            done = finish(process, timeout=20)
            self.assertEqual(done.returncode, 130, done.stdout + done.stderr)
            written = json.loads(self.read("report.json"))
            self.assertTrue(written["interrupted"])
            self.assertFalse(written["check"]["done"])
            self.assertIn("interrupted", written["check"]["why_not"])
            self.assertGreater(os.path.getsize(page), 10000)
            for path in report, page, begun:
                os.unlink(path)

    @staticmethod
    def slowly():
        yield b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"
        while True:
            yield b" "
            time.sleep(0.1)


class Kernel(GateCase):
    def test_without_epoll_pwait2(self):
        """It keeps the schedule, and the processor is idle meanwhile."""
        for error in errno.ENOSYS, errno.EPERM:
            used = resource.getrusage(resource.RUSAGE_CHILDREN)
            with constant() as url:
                result = measured(url, *self.template(), "--rate", 100, "--spacing", "even", "--duration", "1s",
                                  preexec_fn=lambda error=error: forbid(EPOLL_PWAIT2, error), timeout=30)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            self.assertEqual((result.code, result.report["outcomes"]["ok"]), (0, 100), result)
            self.assertLess(after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime, 0.7)


if __name__ == "__main__":
    unittest.main()
