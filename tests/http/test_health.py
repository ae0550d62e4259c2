#!/usr/bin/env python3
"""Health tells the truth: what `/readyz`, the metrics and the log say while a lock server answers pings
and refuses work, and that an instance leaves the rotation only if it can serve nothing."""

import base64
import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import tempfile
import threading
import time
import unittest

from cluster import ROOT, TestCase, at_once, await_true, run
from ports import free_port


class Server:
    """A private lock server on a free port, which ends with the test."""

    def __init__(self, case, *command):
        self.port = free_port()
        self.directory = tempfile.mkdtemp(prefix="holdfast-health-")
        case.addCleanup(shutil.rmtree, self.directory, ignore_errors=True)
        words = [str(word).replace("PORT", str(self.port)) for word in command]
        self.process = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *words], cwd=self.directory,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        case.addCleanup(self.process.wait)
        case.addCleanup(self.process.kill)
        case.addCleanup(self.process.send_signal, signal.SIGCONT)
        self.address = f"127.0.0.1:{self.port}"
        await_true(self.listens, 20)

    def listens(self):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            return True
        return False


class Redis(Server):
    def __init__(self, case, *options):
        super().__init__(case, "redis-server", "--bind", "127.0.0.1", "--port", "PORT", "--save", "", *options)
        self.password = None

    def say(self, *words):
        """Sends a command and returns the answer's first line."""
        with socket.create_connection(("127.0.0.1", self.port), 5) as client, client.makefile("rwb") as stream:
            for command in ([("AUTH", self.password)] if self.password else []) + [words]:
                stream.write(f"*{len(command)}\r\n".encode())
                stream.writelines(f"${len(word)}\r\n{word}\r\n".encode() for word in command)
                stream.flush()
                answer = stream.readline().decode().strip()
            return answer


class Etcd(Server):
    def __init__(self, case, *options):
        peer = f"http://127.0.0.1:{free_port()}"
        url = "http://127.0.0.1:PORT"
        super().__init__(case, "etcd", "--data-dir", "data", "--listen-client-urls", url, "--advertise-client-urls", url,
                         "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
                         "--initial-cluster", f"default={peer}", *options)

    def ask(self, path, body):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        connection.request("POST", path, json.dumps(body))
        with contextlib.closing(connection):
            return connection.getresponse().status

    def fill(self):
        value = base64.b64encode(bytes(60000)).decode()
        for n in range(200):
            key = base64.b64encode(b"fill%d" % n).decode()
            if self.ask("/v3/kv/put", {"key": key, "value": value}) != 200:
                return
        raise AssertionError("etcd is not full")


def deduct(service, key=None, **headers):
    return service.call("POST", "/v1/stock/S/deduct", {"quantity": 1}, key or os.urandom(8).hex(), **headers)


class Health(TestCase):
    service = None

    def serve(self, **settings):
        self.service = self.cluster(self.sqlite().store, **{"stock__strategy": "redis-lock", **settings})
        self.service.call("PUT", "/v1/stock/S", {"quantity": 100000})
        return self.service

    def stock(self):
        return self.service.call("GET", "/readyz").body["endpoints"]["stock"]

    def log(self):
        return self.service.instances[0].read_log()

    def await_lost(self, backend, why):
        """The endpoint is lost, the instance is not."""
        await_true(lambda: self.stock() == {"ok": False, "why": why, "backend": backend}, 5)
        self.assert_problem(deduct(self.service), 503, "backend-unavailable")
        ready = self.service.call("GET", "/readyz")
        self.assertEqual((ready.status, ready.body["ready"]), (200, True), ready)
        self.assertEqual(ready.body["dependencies"][backend], {"ok": False, "why": why})
        self.assertEqual(ready.body["endpoints"]["coupon"], {"ok": True})
        metrics = dict(self.service.instances[0].metrics())
        self.assertEqual(metrics["holdfast_backend_up", f'backend="{backend}",reason="{why}"'], 0)
        self.assertEqual(metrics["holdfast_endpoint_up", 'endpoint="stock"'], 0)
        self.assertEqual(metrics["holdfast_endpoint_up", 'endpoint="coupon"'], 1)
        self.assertIn(f"{backend}: unavailable ({why}): ", self.log())
        self.assertNotIn("secret", self.log())

    def await_well(self):
        await_true(lambda: self.stock() == {"ok": True})
        await_true(lambda: deduct(self.service).status == 200)

    def test_redis(self):
        """One fault after the other, each with the server answering PING, except the last."""
        redis = Redis(self)
        self.serve(redis=redis.address)
        self.await_well()
        self.assertIn("redis-lock: connected", self.log())
        self.assertIn("database: connected to sqlite:", self.log())
        redis.say("REPLICAOF", "127.0.0.1", "1")
        self.await_lost("redis-lock", "read-only")
        # The cause is told once, and nothing says that it is over, although some scripts only read.
        for _ in range(3):
            self.assertEqual(deduct(self.service).status, 503)
        self.assertNotRegex(self.log(), "(available|used) again")
        self.assertEqual(self.log().count("redis-lock: unavailable"), 1)
        redis.say("REPLICAOF", "NO", "ONE")
        redis.say("CONFIG", "SET", "maxmemory", "1")
        self.await_lost("redis-lock", "full")
        redis.say("CONFIG", "SET", "maxmemory", "0")
        redis.say("ACL", "SETUSER", "default", "-incrby")
        self.await_lost("redis-lock", "denied")
        redis.say("ACL", "SETUSER", "default", "+incrby")
        self.await_well()
        self.assertEqual(self.log().count("redis-lock: available again"), 1, self.log())
        redis.say("CONFIG", "SET", "requirepass", "secret")
        redis.password = "secret"
        redis.say("CLIENT", "KILL", "TYPE", "normal")
        self.await_lost("redis-lock", "denied")
        redis.process.send_signal(signal.SIGSTOP)
        self.await_lost("redis-lock", "no-answer")
        # Probes wait neither for Redis nor keep workers from the other endpoints.
        self.service.call("PUT", "/v1/coupons/C", {"total": 10, "per_user_limit": 1})
        began = time.monotonic()
        at_once(*[lambda: self.service.call("GET", "/readyz")] * 16)
        issued = self.service.call("POST", "/v1/coupons/C/issue", {"user_id": "u"}, "coupon")
        self.assertEqual(issued.status, 201)
        self.assertLess(time.monotonic() - began, 0.8)

    def test_redis_cluster(self):
        """One node, with a third of the slots."""
        redis = Redis(self, "--cluster-enabled", "yes")
        self.assertEqual(redis.say("CLUSTER", "ADDSLOTSRANGE", "0", "5460"), "+OK")
        redis.say("CONFIG", "SET", "cluster-require-full-coverage", "no")
        self.serve(redis=redis.address)
        await_true(lambda: not self.stock()["ok"], 5)
        self.assertEqual(self.stock()["why"], "moved")

    def test_etcd_is_full(self):
        etcd = Etcd(self, "--quota-backend-bytes", "300000")
        self.serve(etcd=etcd.address, stock__strategy="etcd-lock")
        self.await_well()
        etcd.fill()
        self.await_lost("etcd-lock", "full")

    def test_nothing_can_be_served(self):
        strategies = {f"{endpoint}__strategy": "redis-lock"
                      for endpoint in ("stock", "coupon", "lottery", "points", "reservation", "order")}
        service = self.serve(redis="127.0.0.1:1", **strategies)
        ready = service.call("GET", "/readyz")  # known at the start
        self.assertEqual((ready.status, ready.body["ready"], ready.body["draining"]), (503, False, False))
        self.assertIn("redis-lock: unavailable (no-answer): Connection refused", self.log())
        self.assertEqual({state["backend"] for state in ready.body["endpoints"].values()}, {"redis-lock"})
        changed = service.call("PUT", "/v1/strategies/coupon", {"strategy": "conditional"})
        self.assertEqual(changed.status, 200)
        self.assertEqual(service.call("GET", "/readyz").status, 200)

    def test_many_failures_are_few_lines(self):
        service = self.serve(redis="127.0.0.1:1")
        self.assertEqual(deduct(service, "first-key", X_Request_Id="abc-1").status, 503)
        at_once(*(lambda: [deduct(service) for _ in range(25)] for _ in range(4)))
        lines = [line for line in self.log().splitlines() if "deduct" in line]
        self.assertEqual(len(lines), 1, lines)
        self.assertIn("deduct answered with 503: backend-unavailable: ", lines[0])
        self.assertIn(" request=abc-1 counter=stock/S key=first-key", lines[0])
        self.assertLess(len(self.log().splitlines()), 15, self.log())
        self.service.instances[0].stop()
        self.assertIn("deduct failed 100 more times: backend-unavailable", self.log())


class Image(TestCase):
    def test_alone(self):
        """With the image's own settings it asks for the tokens, and with these it can be reached."""
        with open(os.path.join(ROOT, "deploy/Dockerfile"), encoding="utf-8") as file:
            line, = (line for line in file if line.startswith("ENV "))
        own = dict(word.split("=", 1) for word in line.split()[1:])
        database = self.sqlite()
        directory = os.path.dirname(own["HOLDFAST_STORE"].removeprefix("sqlite:"))
        own = {name: value.replace(directory, database.directory).replace(":8080", ":0") for name, value in own.items()}
        done = run("serve", environment=own)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("requires auth.admin_token and auth.client_token", done.stderr)
        self.assertEqual(own["HOLDFAST_LISTEN"], "0.0.0.0:0")


class Blocked(TestCase):
    def test_probes_do_not_wait_for_workers(self):
        """Every worker waits for another writer: /readyz is answered at once, and names them."""
        database = self.sqlite()
        service = self.cluster(database.store, request__timeout_ms=20000, combine__max_batch=1)
        service.call("PUT", "/v1/stock/S", {"quantity": 100})
        threads = [threading.Thread(target=deduct, args=(service,)) for _ in range(16)]
        path = database.store.removeprefix("sqlite:")
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as writer:
            writer.execute("BEGIN IMMEDIATE")
            for thread in threads:
                thread.start()
            began, slowest = time.monotonic(), 0
            while time.monotonic() - began < 3:
                asked = time.monotonic()
                ready = service.call("GET", "/readyz")
                slowest = max(slowest, time.monotonic() - asked)
            writer.execute("COMMIT")
        for thread in threads:
            thread.join()
        self.assertLess(slowest, 0.5)
        self.assertEqual(ready.status, 503)
        self.assertEqual(ready.body["dependencies"]["workers"], {"ok": False, "why": "busy"})


if __name__ == "__main__":
    unittest.main()
