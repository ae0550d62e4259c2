#!/usr/bin/env python3
"""The feed: GET /v1/changes waits for changes of counters, and shows each version exactly once."""

import contextlib
import http.client
import json
import itertools
import socket
import threading
import unittest
import urllib.parse
from concurrent.futures import ThreadPoolExecutor

import cluster
from cluster import TestCase, await_true, ledger

NEVER_MS = 60000  # a poll that does not come during a test
SHOWN = {"counter", "version", "delta", "remaining", "reason", "created_at_ms"}


def path(counters, after, **others):
    """The target for a dict's or list's counters, encoded as a browser does it."""
    lists = {"counters": ",".join(counters), "after": ",".join(map(str, after))}
    return "/v1/changes?" + urllib.parse.urlencode({**lists, **others})


class Changes(TestCase):
    def serve(self, store=None, count=1, **settings):
        settings.setdefault("feed__poll_ms", NEVER_MS)
        self.servers = self.cluster(store or self.sqlite().store, count, **settings)
        self.keys = (f"key-{n}" for n in itertools.count())
        self.threads = ThreadPoolExecutor(256)
        self.addCleanup(self.threads.shutdown)
        return self.servers

    def put(self, sku, quantity=1000):
        self.assertEqual(self.servers.call("PUT", f"/v1/stock/{sku}", {"quantity": quantity}).status, 201)

    def deduct(self, sku, instance=0):
        answer = self.servers.instances[instance].call("POST", f"/v1/stock/{sku}/deduct", {"quantity": 1},
                                                       next(self.keys))
        self.assertEqual(answer.status, 200, answer)

    def get(self, counters, after, instance=0, **others):
        answer = self.servers.instances[instance].call("GET", path(counters, after, **others))
        self.assertEqual(answer.status, 200, answer)
        return answer.body

    def metric(self, name, labels=None):
        return sum(value for (series, its), value in self.servers.instances[0].metrics()
                   if series == name and labels in (None, its))

    def await_waiting(self, count):
        await_true(lambda: self.metric("holdfast_feed_waiting") == count)

    def wait_for(self, *arguments, **others):
        """Starts a request that has to wait. Returns its future when it waits."""
        waiting = self.metric("holdfast_feed_waiting")
        future = self.threads.submit(self.get, *arguments, **others)
        self.await_waiting(waiting + 1)
        return future

    def assert_versions(self, body, **expected):
        """The versions in the answer, by SKU, in their order."""
        found = {}
        for change in body["changes"]:
            found.setdefault(change["counter"].removeprefix("stock/"), []).append(change["version"])
        self.assertEqual(found, expected)

    # ---- what is there

    def test_what_was_missed_comes_at_once_and_in_order(self):
        self.serve()
        self.put("A", 10)
        self.deduct("A")
        self.deduct("A")
        body = self.get(["stock/A"], [1], limit=7, wait_ms=500)
        self.assertEqual([set(change) for change in body["changes"]], [SHOWN, SHOWN])
        self.assertEqual([(change["version"], change["delta"], change["remaining"], change["reason"])
                          for change in body["changes"]], [(2, -1, 9, "deduct"), (3, -1, 8, "deduct")])
        self.assertFalse(body["more"])
        self.assertEqual(body["next"], {"counters": "stock/A", "after": "3", "limit": 7, "wait_ms": 500})

    def test_next_is_the_query_of_the_next_request(self):
        self.serve()
        self.put("A")
        self.put("B")
        for _ in range(5):
            self.deduct("A")
        query = {"counters": "stock/A,stock/B", "after": "0,0", "limit": "4", "wait_ms": "0"}
        seen, more = [], True
        while more:
            body = self.servers.call("GET", "/v1/changes?" + urllib.parse.urlencode(query)).body
            seen += [(change["counter"], change["version"]) for change in body["changes"]]
            query, more = body["next"], body["more"]
        self.assertEqual(sorted(seen), [("stock/A", version) for version in range(1, 7)] + [("stock/B", 1)])
        self.assertEqual(query["after"], "6,1")

    def test_a_busy_counter_does_not_crowd_the_others_out(self):
        self.serve()
        for sku in "ABC":
            self.put(sku)
        for _ in range(9):
            self.deduct("B")
        body = self.get(["stock/C", "stock/B", "stock/A"], [0, 0, 0], limit=3)
        self.assert_versions(body, A=[1], B=[1], C=[1])
        self.assertTrue(body["more"])
        self.assertEqual(body["next"]["after"], "1,1,1")

    def test_a_hundred_counters(self):
        self.serve(http__threads=1)
        skus = [f"PRODUCT-{n:03}.{'x' * 10}" for n in range(100)]
        for sku in skus:
            self.put(sku)
        counters = [f"stock/{sku}" for sku in skus]
        body = self.get(counters, [0] * 100)
        self.assert_versions(body, **{sku: [1] for sku in skus})
        self.assertEqual(body["next"]["after"], ",".join("1" * 100))
        waiting = self.wait_for(counters, [1] * 100)
        self.deduct(skus[57])
        self.assert_versions(waiting.result(), **{skus[57]: [2]})

    def test_clients_at_different_versions_each_get_what_they_miss(self):
        self.serve()
        self.put("A")
        for _ in range(20):
            self.deduct("A")
        waiting = self.wait_for(["stock/A"], [21])
        answers = list(self.threads.map(lambda after: self.get(["stock/A"], [after], limit=5), range(21)))
        for after, body in enumerate(answers):
            versions = [change["version"] for change in body["changes"]]
            self.assertEqual(versions, list(range(after + 1, after + 1 + len(versions))))
            self.assertIn(len(versions), range(1, 6))
            self.assertEqual(body["more"], versions[-1] < 21)
        self.deduct("A")
        self.assert_versions(waiting.result(), A=[22])

    # ---- waiting

    def test_a_commit_of_this_instance_wakes(self):
        self.serve()
        for sku in "AB":
            self.put(sku)
        waiting = self.wait_for(["stock/B", "stock/A"], [1, 1], wait_ms=30000)
        self.deduct("A")
        body = waiting.result(10)
        self.assert_versions(body, A=[2])
        self.assertEqual(body["next"]["after"], "1,2")

    def test_each_leg_of_a_transfer_and_each_posting_of_a_draw_wakes(self):
        self.serve()
        call = self.servers.call
        self.assertEqual(call("POST", "/v1/points/u1/earn", {"points": 5}, "earn").status, 200)
        lottery = {"draws_per_user": 1, "blank_weight": 0, "prizes": [{"prize": "gold", "quantity": 1, "weight": 1}]}
        self.assertEqual(call("PUT", "/v1/lotteries/W", lottery).status, 201)
        waiting = [self.wait_for([counter], [after]) for counter, after in
                   (("points/u1", 1), ("points/u2", 0), ("lottery/W", 1), ("prize/W/gold", 1))]
        self.assertEqual(call("POST", "/v1/points/transfers", {"from": "u1", "to": "u2", "points": 2},
                              "transfer").status, 200)
        self.assertEqual(call("POST", "/v1/lotteries/W/draw", {"user_id": "u1"}, "draw").status, 200)
        self.assertEqual([one.result(10)["changes"][0]["delta"] for one in waiting], [-2, 2, -1, -1])

    def test_a_change_of_another_instance_wakes(self):
        self.serve(self.mysql().store, 2, feed__poll_ms=50)
        self.put("A")
        waiting = self.wait_for(["stock/A"], [1], wait_ms=30000)
        self.deduct("A", instance=1)
        self.assert_versions(waiting.result(10), A=[2])

    def test_a_change_by_administration_wakes(self):
        self.serve(feed__poll_ms=50)
        waiting = self.wait_for(["stock/A"], [0], wait_ms=30000)
        self.put("A")
        self.assert_versions(waiting.result(10), A=[1])

    def test_nothing_new_is_an_empty_answer_with_the_same_versions(self):
        self.serve()
        self.put("A")
        for wait_ms in (0, 50):
            body = self.get(["stock/A", "stock/NONE"], [1, 0], wait_ms=wait_ms)
            self.assertEqual(body["changes"], [])
            self.assertFalse(body["more"])
            self.assertEqual(body["next"]["after"], "1,0")

    def test_a_version_that_does_not_exist_yet_is_waited_for(self):
        self.serve()
        self.put("A")
        waiting = self.wait_for(["stock/A"], [2], wait_ms=30000)
        self.deduct("A")
        self.deduct("A")
        self.assert_versions(waiting.result(10), A=[3])

    def test_waiting_takes_no_worker_and_no_http_thread(self):
        self.serve(workers=1, http__threads=1)
        self.put("A")
        self.put("B")
        waiting = [self.wait_for(["stock/B"], [1]) for _ in range(20)]
        self.deduct("A")
        self.assertEqual(self.servers.call("GET", "/v1/stock/A").body["version"], 2)
        self.assertFalse(any(one.done() for one in waiting))
        self.deduct("B")
        for one in waiting:
            self.assert_versions(one.result(10), B=[2])

    def test_a_connection_waits_and_works_by_turns(self):
        self.serve()
        self.put("A")
        connection = http.client.HTTPConnection("127.0.0.1", self.servers.ports[0], timeout=10)
        self.addCleanup(connection.close)
        for version in range(1, 4):
            connection.request("GET", path(["stock/A"], [version - 1]))
            self.assert_versions(json.loads(connection.getresponse().read()), A=[version])
            connection.request("POST", "/v1/stock/A/deduct", '{"quantity": 1}',
                               {"Content-Type": "application/json", "Idempotency-Key": next(self.keys)})
            self.assertEqual(json.loads(connection.getresponse().read())["version"], version + 1)

    def test_one_change_is_read_once_for_all_clients(self):
        self.serve()
        self.put("A")
        futures = [self.threads.submit(self.get, ["stock/A"], [1]) for _ in range(60)]
        self.await_waiting(60)
        before = self.metric("holdfast_feed_rounds_total")
        self.deduct("A")
        for future in futures:
            self.assert_versions(future.result(10), A=[2])
        # Perhaps another round reads for the last client that has come.
        self.assertLessEqual(self.metric("holdfast_feed_rounds_total") - before, 2)

    def test_commits_that_nobody_waits_for_are_not_read(self):
        self.serve()
        self.put("A")
        self.put("B")
        waiting = self.wait_for(["stock/A"], [1])
        self.deduct("A")
        waiting.result(10)
        waiting = self.wait_for(["stock/A"], [2])
        before = self.metric("holdfast_feed_rounds_total")
        for _ in range(50):
            self.deduct("B")
        self.assertLessEqual(self.metric("holdfast_feed_rounds_total") - before, 1)
        self.deduct("A")
        self.assert_versions(waiting.result(10), A=[3])

    def test_a_commit_during_a_round_is_not_missed(self):
        self.serve()
        self.put("BUSY", 1000000)
        skus = [f"S{n}" for n in range(200)]
        for sku in skus:
            self.put(sku)
        waiting = [self.threads.submit(self.get, [f"stock/{sku}"], [1], wait_ms=8000) for sku in skus]
        self.await_waiting(len(skus))
        end = threading.Event()
        self.addCleanup(end.set)

        def change():
            while not end.is_set():
                self.deduct("BUSY")

        busy = [self.threads.submit(change), self.threads.submit(self.follow, "stock/BUSY", [], end,
                                                                 lambda: self.servers.ports[0])]
        for sku in skus:  # some of these commits fall into a round that BUSY has caused
            self.deduct(sku)
        for sku, one in zip(skus, waiting):
            self.assert_versions(one.result(), **{sku: [2]})
        end.set()
        for one in busy:
            one.result()

    # ---- without gaps

    def follow(self, counter, seen, end, port):
        """A client that loops on `next`, also over restarts, until `end` is set and nothing is new."""
        query = {"counters": counter, "after": "0", "wait_ms": "300", "limit": "50"}
        while True:
            ending = end.is_set()
            try:
                answer = cluster.call(port(), "GET", "/v1/changes?" + urllib.parse.urlencode(query))
            except (ConnectionError, http.client.HTTPException):  # killed; a timeout is a failure
                continue
            if answer.status == 503:
                continue
            self.assertEqual(answer.status, 200, answer)
            seen += [(change["version"], change["remaining"]) for change in answer.body["changes"]]
            query = answer.body["next"]
            if ending and not answer.body["changes"]:
                return

    def check_gap_free(self, count, restart):
        """16 writers, and readers at each instance; `restart` is called in the middle."""
        self.put("HOT", 100000)
        end, half, todo = threading.Event(), threading.Event(), iter(range(1600))
        self.addCleanup(end.set)  # for readers, if the test fails
        seen = [[] for _ in range(2 * count)]

        def write(number):
            for n in todo:
                if n == 800:
                    half.set()
                status = 0
                while status != 200:
                    with contextlib.suppress(ConnectionError, http.client.HTTPException):
                        instance = self.servers.instances[number % count]
                        status = instance.call("POST", "/v1/stock/HOT/deduct", {"quantity": 1}, f"w-{n}").status

        readers = [self.threads.submit(self.follow, "stock/HOT", rows, end,
                                       lambda i=i: self.servers.instances[i % count].port)
                   for i, rows in enumerate(seen)]
        writers = [self.threads.submit(write, number) for number in range(16)]
        self.assertTrue(half.wait(60))
        restart()
        for writer in writers:
            writer.result()
        end.set()
        for reader in readers:
            reader.result()
        expected = [(row["version"], row["remaining"]) for row in ledger(self.servers.ports[0], "stock/HOT")]
        self.assertEqual([version for version, _ in expected], list(range(1, 1602)))
        for rows in seen:
            self.assertEqual(rows, expected)

    def test_every_version_once_while_16_writers_deduct_and_the_instance_is_killed(self):
        self.serve(feed__poll_ms=50)

        def restart():
            self.servers.instances[0].kill()
            self.servers.restart(0)

        self.check_gap_free(1, restart)

    def test_every_version_once_at_two_instances(self):
        self.serve(self.mysql().store, 2, feed__poll_ms=50)
        self.check_gap_free(2, lambda: None)

    # ---- limits and ends

    def test_refusals_name_the_field(self):
        self.serve()
        names = [f"stock/S{n}" for n in range(101)]
        for field, target in (
                ("counters", "/v1/changes?after=0"),
                ("counters", path(["S"], [0])),
                ("counters", path([""], [0])),
                ("counters", path(["stock/S", ""], [0, 0])),
                ("counters", path(["stock/S", "stock/S"], [0, 0])),
                ("counters", path(["stock/" + "x" * 65], [0])),
                ("counters", path(names, [0] * 101)),
                ("after", "/v1/changes?counters=stock/S"),
                ("after", path(["stock/S"], [])),
                ("after", path(["stock/S"], [0, 0])),
                ("after", path(["stock/S", "stock/T"], [0])),
                ("after", path(["stock/S", "stock/T"], [0, ""])),
                ("after", path(["stock/S"], [-1])),
                ("after", path(["stock/S"], ["x"])),
                ("after", path(["stock/S"], ["9" * 19])),
                ("after", path(["stock/S"], ["0" * 30])),
                ("limit", path(["stock/S"], [0], limit=0)),
                ("limit", path(["stock/S", "stock/T"], [0, 0], limit=1)),
                ("limit", path(["stock/S"], [0], limit=1001)),
                ("wait_ms", path(["stock/S"], [0], wait_ms=-1)),
                ("wait_ms", path(["stock/S"], [0], wait_ms=30001))):
            answer = self.servers.call("GET", target)
            self.assert_problem(answer, 422, "invalid-field")
            self.assertEqual(answer.body["field"], field, target)
        self.assert_problem(self.servers.call("GET", path(["stock/S"], [0], since=1)), 422, "unknown-field")
        self.assertEqual(self.get(names[:100], [0] * 100, wait_ms=0)["changes"], [])

    def test_the_token_of_clients_is_enough(self):
        self.serve(auth__admin_token="admin", auth__client_token="client")
        target = path(["stock/S"], [0], wait_ms=0)
        self.assert_problem(self.servers.call("GET", target), 401, "unauthorized")
        self.assertEqual(self.servers.call("GET", target, Authorization="Bearer client").status, 200)

    def check_limit(self, limit, **settings):
        self.serve(**settings)
        self.put("A")
        waiting = [self.wait_for(["stock/A"], [1]) for _ in range(limit)]
        answer = self.servers.call("GET", path(["stock/A"], [0], wait_ms=0))
        self.assert_problem(answer, 503, "overloaded")
        self.assertEqual(answer.headers["Retry-After"], "1")
        self.deduct("A")
        for one in waiting:
            self.assert_versions(one.result(10), A=[2])
        self.assert_versions(self.get(["stock/A"], [0]), A=[1, 2])

    def test_more_than_the_limit_are_refused(self):
        self.check_limit(3, feed__limit=3)

    def test_half_of_the_connections_are_left_for_others(self):
        self.check_limit(4, http__connections=8)

    def test_a_drain_answers_those_that_wait(self):
        self.serve()
        self.put("A")
        waiting = [self.threads.submit(self.servers.call, "GET", path(["stock/A"], [1], wait_ms=30000))
                   for _ in range(20)]
        self.await_waiting(20)
        self.servers.instances[0].signal(cluster.signal.SIGTERM)
        for one in waiting:
            answer = one.result(5)
            self.assertEqual((answer.status, answer.body["changes"]), (200, []))
            self.assertEqual(answer.body["next"]["after"], "1")
            self.assertEqual(answer.headers["Connection"], "close")
        self.assertEqual(self.servers.instances[0].wait(5), 0)

    def begin(self):
        """A connection whose request waits."""
        connection = socket.create_connection(("127.0.0.1", self.servers.ports[0]), timeout=10)
        self.addCleanup(connection.close)
        target = path(["stock/A"], [0], wait_ms=30000)
        connection.sendall(f"GET {target} HTTP/1.1\r\nHost: test\r\n\r\n".encode())
        return connection

    def test_clients_that_go_away_make_room(self):
        self.serve(feed__poll_ms=50, feed__limit=2)
        for _ in range(3):
            connections = [self.begin() for _ in range(2)]
            self.await_waiting(2)
            for connection in connections:
                connection.close()
            self.await_waiting(0)
        self.assertEqual(self.metric("holdfast_feed_answers_total", 'result="gone"'), 6)

    def test_a_client_that_has_shut_its_sending_side_down_is_answered_early(self):
        self.serve(feed__poll_ms=50)
        connection = self.begin()
        self.await_waiting(1)
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        while received := connection.recv(65536):
            answer += received
        self.assertTrue(answer.startswith(b"HTTP/1.1 200 OK"), answer)
        self.assertIn(b'"changes":[]', answer)

    def test_a_database_that_does_not_answer_is_reported_at_the_end_of_the_wait(self):
        database = self.mysql()
        self.serve(database.store, feed__poll_ms=50)
        self.put("A")
        with database.locked("counter"):
            answer = self.servers.call("GET", path(["stock/A"], [0], wait_ms=0))
            self.assert_problem(answer, 503, "backend-unavailable")
        self.assert_versions(self.get(["stock/A"], [0]), A=[1])

    def test_the_time_limit_of_a_read_ends_with_the_read(self):
        self.serve(self.mysql().store)
        self.put("A")
        self.get(["stock/A"], [1], wait_ms=2500)  # longer than a read may take
        self.assert_versions(self.get(["stock/A"], [0], wait_ms=0), A=[1])
        self.assertEqual(self.metric("holdfast_reconnects_total", 'backend="database"'), 0)


if __name__ == "__main__":
    unittest.main()
