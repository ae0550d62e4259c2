#!/usr/bin/env python3
"""Requests that name what does not exist leave nothing behind: no row of the lock table, no key in Redis or
etcd, no queue in ZooKeeper. Else a client could fill them with names that it makes up. The token of a counter
that exists is kept."""

import base64
import contextlib
import json
import os
import socket
import sqlite3
import struct
import unittest
import urllib.request

from cluster import Load, TestCase, need

GET_CHILDREN = 8  # of ZooKeeper's protocol
ENDPOINTS = ("stock", "coupon", "lottery", "points", "reservation", "order")


def requests(tag, n):
    """n requests of each kind that names a counter."""
    for i in range(n):
        name = f"{tag}-{i}"
        yield f"/v1/stock/{name}/deduct", {"quantity": 1}, f"{tag}-s{i}"
        yield f"/v1/coupons/{name}/issue", {"user_id": "u"}, f"{tag}-c{i}"
        yield f"/v1/lotteries/{name}/draw", {"user_id": "u"}, f"{tag}-d{i}"
        yield f"/v1/points/{name}/spend", {"points": 1}, f"{tag}-p{i}"
        yield "/v1/reservations", {"user_id": name, "ttl_s": 60, "lines": [{"sku": name, "quantity": 1}]}, f"{tag}-r{i}"
        yield "/v1/orders", {"user_id": name, "lines": [{"sku": name, "quantity": 1}]}, f"{tag}-o{i}"


class Unknown(TestCase):
    def send(self, strategy, store, n, servers=(), instances=1, **settings):
        """Sends the requests, and two deducts of a product that exists. Returns the cluster and the tag."""
        tag = "x" + os.urandom(6).hex()
        chosen = {f"{endpoint}__strategy": strategy for endpoint in ENDPOINTS}
        cluster = self.cluster(store, instances, reservation__per_user=3, **chosen, **settings,
                               **{name: need(f"HOLDFAST_TEST_{name.upper()}") for name in servers})
        self.assertEqual(cluster.call("PUT", f"/v1/stock/{tag}", {"quantity": 9}).status, 201)
        self.assertEqual(cluster.call("POST", f"/v1/stock/{tag}/deduct", {"quantity": 1}, f"{tag}-1").status, 200)
        load = Load(cluster.ports, requests(tag, n), connections=64).run()
        self.assertEqual(len(load.answers), 6 * n)
        self.assertEqual({answer.status for answer in load.answers.values()}, {404})
        self.assertEqual(cluster.call("POST", f"/v1/stock/{tag}/deduct", {"quantity": 1}, f"{tag}-2").status, 200)
        rows = cluster.call("GET", f"/v1/ledger?counter=stock/{tag}").body["rows"]
        tokens = [row["token"] for row in rows if row["reason"] == "deduct"]
        self.assertEqual(len(tokens), 2)
        self.assertLess(tokens[0], tokens[1])  # the counter exists, so its token was kept
        for instance in cluster.instances:
            self.assertEqual(instance.stop(), 0)
        return tag

    def test_lock_table_on_sqlite(self):
        file = self.sqlite()
        tag = self.send("lock-table", file.store, 170)
        with contextlib.closing(sqlite3.connect(file.store.removeprefix("sqlite:"))) as database:
            self.assertEqual(database.execute("SELECT name FROM lock_row").fetchall(), [(f"stock/{tag}",)])

    def test_lock_table_on_mysql(self):
        database = self.mysql()
        tag = self.send("lock-table", database.store, 30, instances=2)
        self.assertEqual(database.sql("SELECT name FROM lock_row"), [[f"stock/{tag}"]])

    def test_redis_lock(self):
        host, port = need("HOLDFAST_TEST_REDIS").rsplit(":", 1)
        for wait, n in (("notify", 170), ("spin", 30)):
            with self.subTest(wait):
                tag = self.send("redis-lock", self.sqlite().store, n, ["redis"], lock__wait=wait)
                with socket.create_connection((host, int(port))) as redis:
                    redis.sendall(f"KEYS *{tag}*\r\nQUIT\r\n".encode())
                    answer = b"".join(iter(lambda: redis.recv(65536), b"")).decode()
                found = [line for line in answer.split("\r\n") if line.startswith("holdfast:")]
                self.assertEqual(found, [f"holdfast:token:{{stock/{tag}}}"])

    def test_etcd_lock(self):
        tag = self.send("etcd-lock", self.sqlite().store, 30, ["etcd"])
        words = {"key": base64.b64encode(b"holdfast/lock/").decode(),
                 "range_end": base64.b64encode(b"holdfast/lock0").decode(), "keys_only": True}
        address = need("HOLDFAST_TEST_ETCD").removesuffix("/") + "/v3/kv/range"
        with urllib.request.urlopen(address, json.dumps(words).encode(), timeout=10) as answer:
            names = [base64.b64decode(kv["key"]).decode() for kv in json.load(answer).get("kvs", [])]
        self.assertEqual([name for name in names if tag in name], [])

    def test_zookeeper_lock(self):
        """Its queues are containers, which the server removes a minute after they are empty."""
        tag = self.send("zookeeper-lock", self.sqlite().store, 30, ["zookeeper"])
        host, port = need("HOLDFAST_TEST_ZOOKEEPER").rsplit(":", 1)
        with socket.create_connection((host, int(port)), timeout=10) as connection, \
                connection.makefile("rb") as answers:
            def ask(body):
                connection.sendall(struct.pack(">i", len(body)) + body)
                return answers.read(struct.unpack(">i", answers.read(4))[0])

            def children(path):
                answer = ask(struct.pack(">iii", 1, GET_CHILDREN, len(path)) + path.encode() + b"\0")
                self.assertEqual(struct.unpack_from(">i", answer, 12), (0,), path)
                count, = struct.unpack_from(">i", answer, 16)
                names, at = [], 20
                for _ in range(count):
                    length, = struct.unpack_from(">i", answer, at)
                    names.append(answer[at + 4:at + 4 + length].decode())
                    at += 4 + length
                return names

            ask(struct.pack(">iqiqi", 0, 0, 10000, 0, 16) + bytes(17))
            queues = [name for name in children("/holdfast/locks") if tag in name]
            self.assertEqual([queue for queue in queues if children(f"/holdfast/locks/{queue}")], [])


if __name__ == "__main__":
    unittest.main()
