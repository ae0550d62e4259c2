#!/usr/bin/env python3
"""The clients in clients/: the same tests for Python and JavaScript, and the curl lines of their README.

A small server of this file cuts connections and answers what a test tells it to: it shows which attempts a client
makes, and when. A real service shows that the calls are what the API expects.
"""

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
import unittest

from cluster import ROOT, TestCase, need

sys.path.insert(0, os.path.join(ROOT, "clients"))
from holdfast import Holdfast, Problem

UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$")
DRIVER = os.path.join(ROOT, "tests/http/client_driver.mjs")


class NodeClient:
    """holdfast.mjs in a process of its own, with the interface of holdfast.py."""

    def __init__(self, url, on_attempt=None, **options):
        if not shutil.which("node"):
            need("node, from Debian's package nodejs,")
        self.on_attempt = on_attempt
        self.process = subprocess.Popen(["node", DRIVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.send([url, self.in_ms(options)])

    def close(self):
        self.process.kill()
        self.process.communicate()

    @staticmethod
    def in_ms(options):
        """total_s=1 is {"totalMs": 1000}."""
        return {re.sub("_s$", "Ms", name): value * 1000 if name.endswith("_s") else value
                for name, value in options.items()}

    def send(self, line):
        print(json.dumps(line), file=self.process.stdin, flush=True)

    def lines(self):
        """Each line of the answer to a call."""
        for text in self.process.stdout:
            line = json.loads(text)
            attempt = line.get("attempt")
            if attempt is None:
                yield line
            elif self.on_attempt:
                wait_ms = attempt.pop("waitMs", None)
                self.on_attempt({"key": None, **attempt, "wait_s": None if wait_ms is None else wait_ms / 1000})
        raise AssertionError(f"node ended with {self.process.wait()}")

    def wait_for_changes(self, known, **options):
        self.send(["waitForChanges", known, options])
        return (line["change"] for line in self.lines())

    def __getattr__(self, name):
        method = re.sub("_(.)", lambda found: found[1].upper(), name)

        def call(*arguments, **options):
            self.send([method, *arguments, self.in_ms(options)])
            line = next(self.lines())
            if "problem" in line:
                known = line["problem"]
                problem = Problem(known["status"], None, known.get("key"))
                problem.__dict__.update(known)
                problem.args = (known["message"],)
                raise problem
            return options["known"] if "same" in line else line["value"]
        return call


# ---- a server that answers badly -------------------------------------------------------------------


CUT = "cut"      # closes the connection without an answer
HANG = "hang"    # never answers
OK = {"remaining": 9}


def half(body):
    """An answer that ends in the middle."""
    return f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 200\r\n\r\n{json.dumps(body)[:8]}"


def answer(status, body, **headers):
    text = body if isinstance(body, str) else json.dumps(body)
    head = {"Content_Type": "text/html" if isinstance(body, str) else "application/json", "Content_Length": len(text),
            **headers}
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in head.items())
    return f"HTTP/1.1 {status} It is so\r\n{lines}\r\n{text}"


def problem_answer(status, slug, **headers):
    return answer(status, {"type": f"/problems/{slug}", "title": "It is so", "status": status, "detail": "Do this.",
                           "remaining": 3}, **headers)


class BadServer:
    """Gives these answers, one to each request. `requests` has (time, first line, key, body) of each."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.requests = []
        self.answered = []
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        self.open = []
        threading.Thread(target=self.accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        for connection in self.open:
            connection.close()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.socket.accept()
                self.open.append(connection)
                threading.Thread(target=self.serve, args=[connection], daemon=True).start()

    def serve(self, connection):
        reader = connection.makefile("rb")
        with contextlib.suppress(OSError):
            while self.read(reader):
                now = self.answers.pop(0) if self.answers else CUT
                self.answered.append(time.monotonic())
                if now == HANG:
                    continue
                if now != CUT:
                    connection.sendall(now.encode())
                if now == CUT or "Content-Length: 200\r\n" in now:
                    connection.shutdown(socket.SHUT_RDWR)

    def read(self, reader):
        first = reader.readline().decode().strip()
        headers = {}
        for line in iter(lambda: reader.readline().decode().strip(), ""):
            name, _, value = line.partition(": ")
            headers[name.lower()] = value
        body = reader.read(int(headers.get("content-length", 0))).decode()
        if first:
            self.requests.append((time.monotonic(), first, headers.get("idempotency-key"), json.loads(body or "null")))
        return first

    @property
    def keys(self):
        return [key for _, _, key, _ in self.requests]

    @property
    def pauses(self):
        """The time from each answer to the next request."""
        return [at - answered for answered, (at, *_) in zip(self.answered, self.requests[1:])]


class Retries(TestCase):
    """What both clients do when the network or the service fails: here the Python client."""

    client_class = Holdfast

    def make(self, url, **options):
        self.attempts = []
        client = self.client_class(url, on_attempt=self.attempts.append, **options)
        self.addCleanup(client.close)
        return client

    def serve(self, *answers):
        server = BadServer(*answers)
        self.addCleanup(server.__exit__)
        return server

    def fails(self, client, **options):
        with self.assertRaises(Problem) as raised:
            client.deduct("A", {"quantity": 1}, **options)
        return raised.exception

    def test_one_key_over_all_attempts(self):
        overloaded = problem_answer(503, "overloaded", Retry_After=1)
        server = self.serve(CUT, half(OK), overloaded, answer(429, "Slower", Retry_After=1),
                            answer(502, "Bad gateway"), answer(200, OK, Idempotent_Replayed="true"))
        client = self.make(server.url)
        self.assertEqual(client.deduct("A", {"quantity": 1}), OK)
        self.assertRegex(server.keys[0], UUID7)
        self.assertAlmostEqual(int(server.keys[0][:13].replace("-", ""), 16) / 1000, time.time(), delta=60)
        self.assertEqual(server.keys, server.keys[:1] * 6)
        self.assertEqual([(first, body) for _, first, _, body in server.requests],
                         [("POST /v1/stock/A/deduct HTTP/1.1", {"quantity": 1})] * 6)
        self.assertGreaterEqual(min(server.pauses[2:4]), 1, server.pauses)
        self.assertEqual([seen["status"] for seen in self.attempts], [0, 0, 503, 429, 502, 200])
        self.assertEqual([seen["replayed"] for seen in self.attempts], [False] * 5 + [True])
        for pause, seen in zip(server.pauses, self.attempts):
            self.assertGreaterEqual(pause + 0.01, seen["wait_s"])
        for n, seen in enumerate(self.attempts[:2]):
            self.assertLess(seen["wait_s"], 0.2 * 2 ** n)

    def test_an_operation_has_its_own_key_or_the_callers(self):
        server = self.serve(*[answer(200, OK)] * 2, CUT, answer(200, OK), answer(200, OK))
        client = self.make(server.url)
        for _ in range(2):
            client.deduct("A", {"quantity": 1})
        client.deduct("A", {"quantity": 1}, key="mine")
        client.validate_coupon({"code": "C", "user_id": "u"})
        self.assertEqual(len({*server.keys[:2]}), 2)
        self.assertEqual(server.keys[2:], ["mine", "mine", None])

    def test_a_result_is_not_asked_for_again(self):
        for status, slug in ((400, "malformed-request"), (404, "not-found"), (409, "out-of-stock"),
                             (422, "invalid-field"), (500, "internal")):
            with self.subTest(slug):
                server = self.serve(problem_answer(status, slug), answer(200, OK))
                problem = self.fails(self.make(server.url))
                self.assertEqual((problem.status, problem.type, problem.slug, problem.title, problem.detail),
                                 (status, f"/problems/{slug}", slug, "It is so", "Do this."))
                self.assertEqual((problem.fields, problem.retryable), ({"remaining": 3}, False))
                self.assertEqual([problem.key], server.keys)
                self.assertEqual(str(problem), "It is so. Do this.")

    def test_an_error_that_is_not_from_holdfast(self):
        server = self.serve(answer(413, "<h1>Too large</h1>"))
        problem = self.fails(self.make(server.url))
        self.assertEqual((problem.status, problem.slug, problem.title, problem.fields),
                         (413, "http-413", "HTTP status 413", {}))

    def test_attempts_are_bounded(self):
        server = self.serve(*[problem_answer(503, "overloaded")] * 4)
        problem = self.fails(self.make(server.url, attempts=3))
        self.assertEqual((len(server.requests), problem.slug, problem.retryable), (3, "overloaded", True))
        self.assertEqual(server.keys, [problem.key] * 3)

    def test_the_time_is_bounded(self):
        server = self.serve(problem_answer(503, "overloaded", Retry_After=60), answer(200, OK))
        begin = time.monotonic()
        problem = self.fails(self.make(server.url, total_s=20))
        self.assertEqual((len(server.requests), problem.slug), (1, "overloaded"))
        self.assertLess(time.monotonic() - begin, 20)

    def test_a_date_to_come_back_at(self):
        later = int(time.time()) + 3
        date = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(later))
        server = self.serve(problem_answer(503, "overloaded", Retry_After=date), answer(200, OK))
        self.make(server.url).deduct("A", {"quantity": 1})
        self.assertGreater(time.time(), later - 0.05)

    def test_a_server_that_hangs(self):
        server = self.serve(HANG, answer(200, OK))
        self.assertEqual(self.make(server.url, timeout_s=2).deduct("A", {"quantity": 1}), OK)
        self.assertEqual(([seen["status"] for seen in self.attempts], len({*server.keys})), ([0, 200], 1))

    def test_no_server(self):
        with socket.create_server(("127.0.0.1", 0)) as nothing:
            url = f"http://127.0.0.1:{nothing.getsockname()[1]}"
        problem = self.fails(self.make(url, attempts=2), key="mine")
        self.assertEqual((problem.status, problem.slug, problem.key, problem.retryable), (0, "no-answer", "mine", True))

    def test_clients_do_not_come_back_all_at_once(self):
        waits = []
        for _ in range(3):
            self.fails(self.make(self.serve(*[CUT] * 4).url, attempts=4))
            waits.append([seen["wait_s"] for seen in self.attempts][:-1])
        self.assertEqual(len({wait for few in waits for wait in few}), 9, waits)
        for few in waits:
            self.assertTrue(all(0 <= wait <= 0.2 * 2 ** n for n, wait in enumerate(few)), waits)


class Calls(TestCase):
    """Every call, against a real service."""

    client_class = Holdfast

    def connect(self, **settings):
        self.service = self.cluster(self.sqlite().store, **settings)
        for path, body in (("stock/A", {"title": "A", "price_cents": 1000, "quantity": 10}),
                           ("coupons/C", {"total": 5, "per_user_limit": 2, "discount_percent": 10}),
                           ("lotteries/L", {"draws_per_user": 1, "blank_weight": 1,
                                            "prizes": [{"prize": "gold", "quantity": 1, "weight": 1}]})):
            token = settings.get("auth__admin_token")
            headers = {"Authorization": f"Bearer {token}"} if token else {}
            self.assertEqual(self.service.call("PUT", f"/v1/{path}", body, **headers).status, 201)
        return f"http://127.0.0.1:{self.service.ports[0]}/"

    def client(self, url, **options):
        client = self.client_class(url, **options)
        self.addCleanup(client.close)
        return client

    def test_the_calls_of_a_storefront(self):
        attempts = []
        shop = self.client(self.connect(), on_attempt=attempts.append)
        self.assertEqual(shop.deduct("A", {"quantity": 1, "user_id": "ann"}, key="once")["remaining"], 9)
        self.assertEqual(shop.deduct("A", {"quantity": 1, "user_id": "ann"}, key="once")["remaining"], 9)
        self.assertEqual([seen["replayed"] for seen in attempts], [False, True])
        self.assertEqual(shop.restock("A", {"quantity": 1})["remaining"], 10)
        self.assertEqual([item["sku"] for item in shop.list_stock({"limit": 1})["items"]], ["A"])

        known = shop.get_stock("A")
        self.assertIs(shop.get_stock("A", known=known), known)
        self.assertEqual(attempts[-1]["status"], 304)
        cart = shop.reserve({"user_id": "ann", "ttl_s": 60, "lines": [{"sku": "A", "quantity": 2}]})["reservation_id"]
        self.assertEqual(shop.get_stock("A", known=known)["remaining"], 8)
        self.assertEqual(shop.get_stock("A", include="reserved", known=known)["reserved"], 2)
        self.assertEqual(shop.extend(cart, {"ttl_s": 90})["state"], "held")
        self.assertEqual(shop.get_reservation(cart)["state"], "held")
        self.assertEqual(len(shop.list_reservations({"user_id": "ann", "state": "held"})["items"]), 1)

        code = shop.issue_coupon("C", {"user_id": "ann"})["code"]
        self.assertEqual(shop.validate_coupon({"code": code, "user_id": "ann", "subtotal_cents": 2000}),
                         {"valid": True, "discount_cents": 200})
        shop.earn("ann", {"points": 50})
        placed = shop.place_order({"user_id": "ann", "order_id": "o", "reservation": cart, "code": code, "points": 40})
        self.assertEqual((placed["total_cents"], placed["points_spent"]), (1800, 40))
        self.assertEqual(shop.refund_order("o", {"lines": [{"line": 0, "quantity": 1}]})["refunded_cents"], 900)
        self.assertEqual(shop.cancel_order("o", {})["points_returned"], 40)
        self.assertEqual(shop.get_order("o")["state"], "cancelled")

        redeemed = shop.redeem_coupon({"code": code, "user_id": "ann"})
        self.assertEqual(shop.roll_back_redemption(redeemed["redemption_id"], {})["uses_left"], 1)
        self.assertEqual(shop.get_code(code)["uses_left"], 1)
        self.assertEqual(shop.get_campaign("C")["issued"], 1)
        self.assertIn(shop.draw("L", {"user_id": "ann"})["prize"], ("gold", None))
        self.assertEqual(shop.get_lottery("L")["draws_per_user"], 1)
        shop.transfer({"from": "ann", "to": "bob", "points": 10})
        self.assertEqual(shop.spend("bob", {"points": 4})["remaining"], 6)
        self.assertEqual(shop.get_points("ann")["points"], 40)

        for end in (shop.confirm, shop.release):
            cart = shop.reserve({"ttl_s": 60, "lines": [{"sku": "A", "quantity": 1}]})["reservation_id"]
            end(cart, {})
        self.assertEqual({seen["number"] for seen in attempts}, {1})

        with self.assertRaises(Problem) as raised:
            shop.deduct("A", {"quantity": 100})
        self.assertEqual((raised.exception.slug, raised.exception.fields["remaining"]), ("out-of-stock", 8))

    def test_a_token(self):
        url = self.connect(auth__admin_token="a" * 20, auth__client_token="c" * 20)
        self.assertEqual(self.client(url, token="c" * 20).get_stock("A")["remaining"], 10)
        with self.assertRaises(Problem) as raised:
            self.client(url, token="d" * 20).get_stock("A")
        self.assertEqual(raised.exception.slug, "unauthorized")

    def test_each_change_once_also_over_a_restart(self):
        statuses = []
        shop = self.client(self.connect(), on_attempt=lambda seen: statuses.append(seen["status"]))
        changes = shop.wait_for_changes({"stock/A": 0, "points/ann": 0}, wait_ms=2000)
        self.assertEqual(next(changes)["reason"], "opening")
        seen = []
        follower = threading.Thread(target=lambda: seen.extend(next(changes)["version"] for _ in range(4)))
        follower.start()
        self.service.call("POST", "/v1/stock/A/deduct", {"quantity": 1}, "one")
        self.service.call("POST", "/v1/stock/A/deduct", {"quantity": 1}, "two")
        self.service.instances[0].kill()
        time.sleep(0.5)
        self.service.restart(0)
        self.service.call("POST", "/v1/stock/A/deduct", {"quantity": 1}, "three")
        self.service.call("POST", "/v1/points/ann/earn", {"points": 1}, "four")
        follower.join(20)
        self.assertEqual((sorted(seen), [version for version in seen if version > 1]), ([1, 2, 3, 4], [2, 3, 4]))
        self.assertIn(0, statuses)


class JavaScriptRetries(Retries):
    client_class = NodeClient


class JavaScriptCalls(Calls):
    client_class = NodeClient


# ---- curl ------------------------------------------------------------------------------------------


class Readme(TestCase):
    """The lines of clients/README.md, as a reader enters them one after the other, on the demo data of `./dev run`."""

    def test_the_lines_do_what_the_page_says(self):
        service = self.cluster(self.sqlite().store)
        for path, body in demo_data():
            self.assertEqual(service.call("PUT", path, body).status, 201)
        page = read("clients/README.md").partition("## With curl")[2]
        blocks = [re.sub("(?m)^    ", "", block) for block in re.findall(r"(?m)(?:^    .*\n)+", page)]
        shown = {}  # by the number of the block that prints it
        script = ""
        for n, block in enumerate(blocks):
            if re.match("curl|post|[A-Z]+=", block):
                script += f"{block}\nprintf '\\n=== {n}\\n'\n"
            else:
                shown[n - 1] = block
        script = script.replace("127.0.0.1:8080", f"127.0.0.1:{service.ports[0]}")
        done = subprocess.run(["bash", "-eu", "-c", script], capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        printed = dict((int(n), text.strip()) for text, n in re.findall(r"(?s)(.*?)\n=== (\d+)\n", done.stdout))
        self.assertGreater(len(shown), 10)
        for n, text in shown.items():
            with self.subTest(blocks[n]):
                pattern = re.escape(re.sub(r"\n\s*", "", text)).replace("…", ".*")
                self.assertRegex(printed[n], f"^{pattern}$")


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        return file.read()


def demo_data():
    """(path, body) of what `./dev run` puts."""
    puts = re.findall(r"put_demo \"\$url\" (\S+)[ \\\n]+'(.*?)'", read("dev"), re.S)
    return [(path, json.loads(body)) for path, body in puts]


if __name__ == "__main__":
    unittest.main()
