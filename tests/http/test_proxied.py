#!/usr/bin/env python3
"""HAProxy, as shipped, sends a request with an idempotency key again if an instance dies under it. So a
later 503 must not claim more than it knows: this attempt changed nothing, an earlier one may have.

Each time the first instance dies between COMMIT and answer. The second one is refused by its database, or
is not there at all.
"""

import os
import tempfile
import threading
import unittest
import urllib.parse

from cluster import Instance, TestCase, await_true, call, run
from loader import history, load, measured
from mysql_wire import Fault, Wire
from test_rolling import Balancer, need_haproxy

EARLIER = "an earlier attempt with the same key may have succeeded"


class Proxied(TestCase):
    def setUp(self):
        need_haproxy()
        directory = tempfile.TemporaryDirectory(prefix="holdfast-proxied-")
        self.addCleanup(directory.cleanup)
        self.directory = directory.name
        self.database = self.mysql()
        if "MariaDB" not in self.database.sql("SELECT VERSION()")[0][0]:
            self.skipTest("the proxy of the database needs MariaDB")
        self.fault = None
        server = self.database.server
        self.wire = Wire((server.hostname, server.port), lambda text: self.fault)
        self.addCleanup(self.wire.close)
        login = server.netloc.rpartition("@")[0]
        second = urllib.parse.urlunsplit(("mysql", f"{login}@127.0.0.1:{self.wire.port}",
                                          "/" + self.database.name, "", ""))
        self.assertEqual(run("migrate", "up", f"--store={second}").returncode, 0)
        self.paused = os.path.join(self.directory, "paused")
        self.first = self.serve(self.database.store, {"HOLDFAST_PAUSE": f"after-commit:1:{self.paused}:wait"})
        self.second = self.serve(second)
        balancer = Balancer([self.first.port, self.second.port], retries=True)
        self.balancer = balancer.__enter__()
        self.addCleanup(balancer.__exit__)
        self.balancer.set_state(1, "maint")

    def serve(self, store, environment=None):
        service = Instance(store, {}, environment=environment)
        self.addCleanup(service.log.close)
        self.addCleanup(service.kill)
        return service.await_listening()

    def refuse(self, times):
        """The second instance's database refuses so many changes. That is no fault, so it stays ready."""
        self.fault = Fault(r"UPDATE counter [^;]*", 1040, times=times)

    def kill_first(self, second):
        """Once it has committed something that it has not answered. `second`: HAProxy has the second then."""
        await_true(lambda: os.path.exists(self.paused))
        if second:
            self.enable_second()
        self.first.kill()

    def enable_second(self):
        self.balancer.set_state(1, "ready")
        await_true(lambda: self.balancer.states()[1] == "UP")

    def deduct(self):
        return call(self.balancer.port, "POST", "/v1/stock/A/deduct", {"quantity": 1}, "key")

    def deduct_from_a_dying_instance(self, second):
        """The answer to a deduct that the first instance commits, and does not answer."""
        self.assertEqual(self.second.call("PUT", "/v1/stock/A", {"quantity": 10}).status, 201)
        answers = []
        client = threading.Thread(target=lambda: answers.append(self.deduct()))
        client.start()
        self.kill_first(second)
        client.join(30)
        self.assertEqual(self.second.call("GET", "/v1/stock/A").body["remaining"], 9)
        return answers[0]

    def assert_replayed(self):
        self.fault = None
        self.enable_second()
        again = self.deduct()
        self.assertEqual((again.status, again.body["remaining"], again.headers["Idempotent-Replayed"]),
                         (200, 9, "true"), again)

    def test_the_second_instance_refuses(self):
        self.refuse(1 << 30)
        answer = self.deduct_from_a_dying_instance(second=True)
        self.assert_problem(answer, 503, "backend-unavailable")
        self.assertIn(EARLIER, answer.body["detail"])
        self.assertGreater(self.fault.met, 0)
        self.assert_replayed()

    def test_there_is_no_second_instance(self):
        answer = self.deduct_from_a_dying_instance(second=False)
        self.assertIn(answer.status, (502, 503, 504))
        self.assertEqual(answer.body["type"], "/problems/outcome-unknown", answer)
        self.assertEqual(answer.body["title"], "The outcome of the change is unknown")
        self.assertIn("Retry-After", answer.headers)
        await_true(lambda: self.balancer.states()[0] == "DOWN")
        self.assertEqual(self.deduct().status, 503)  # it cannot know that this is not a retry
        self.assertEqual(self.deduct().body["type"], "/problems/outcome-unknown")
        self.assert_problem(call(self.balancer.port, "GET", "/v1/stock/A"), 503, "backend-unavailable")
        self.assert_problem(call(self.balancer.port, "PUT", "/v1/stock/A", {"quantity": 5}), 503,
                            "backend-unavailable")  # without a key it is sent once
        self.assert_replayed()

    def run_load(self, *arguments):
        """Four clients; the first instance dies under them, the second refuses what HAProxy repeats."""
        self.refuse(8)  # four batches of at least one request, and a retry of each
        path = os.path.join(self.directory, "history")
        killer = threading.Thread(target=self.kill_first, args=(True,))
        killer.start()
        self.addCleanup(killer.join)
        result = measured(f"http://127.0.0.1:{self.balancer.port}", "--scenario", "deduct", "--connections", 4,
                          "--requests", 60, "--stock", 100, "--quiet", "--history", path, *arguments)
        self.assertEqual(self.fault.left, 0)
        return path, result

    def test_the_checker_convicts_only_without_a_proxy(self):
        _, result = self.run_load()
        self.assertEqual(result.violated(), ["refusals-changed-nothing"], result)

    def test_the_checker_convicts_nobody_behind_a_proxy(self):
        path, result = self.run_load("--behind-proxy")
        self.assertEqual(result.violated(), [], result)
        self.assertEqual(result.code, 0, result)
        head, attempts, _ = history(path)
        self.assertIs(head["proxied"], True)
        self.assertEqual({(a["status"], a["outcome"]) for a in attempts}, {(200, "ok"), (503, "info")})

        # A really lost update is still found: the last acknowledged change is undone in the database.
        counter = head["counters"][0]["name"]
        self.database.sql(f"DELETE FROM ledger WHERE counter = '{counter}' ORDER BY version DESC LIMIT 1;"
                          f" UPDATE counter SET remaining = remaining + 1, version = version - 1"
                          f" WHERE name = '{counter}'")
        done = load("check", path, f"--url=http://127.0.0.1:{self.second.port}")
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        self.assertIn("nothing-lost", done.stdout)


if __name__ == "__main__":
    unittest.main()
