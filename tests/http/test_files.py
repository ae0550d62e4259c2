#!/usr/bin/env python3
"""The files of an SQLite database: which commands make them, and how many processes may use them."""

import os
import socket
import unittest

from cluster import Instance, TestCase, run


class Files(TestCase):
    def setUp(self):
        self.file = self.sqlite()
        self.folder = self.file.directory
        self.store = f"--store={self.file.store}"

    def serve(self, path=None):
        service = Instance(path or self.file.store, {"stock.strategy": "mutex", "coupon.strategy": "mutex",
                                                     "lottery.strategy": "mutex", "points.strategy": "mutex",
                                                     "reservation.strategy": "mutex", "order.strategy": "mutex"})
        self.addCleanup(service.log.close)
        self.addCleanup(service.kill)
        return service

    def test_commands_that_read_make_nothing(self):
        proposals = os.path.join(self.folder, "proposals")
        for words in (["reconcile"], ["reconcile", "--json"], ["reconcile", "--compensate", proposals],
                      ["reconcile", "--apply", proposals], ["migrate", "status"], ["migrate", "status", "--json"],
                      ["migrate", "down"], ["migrate", "belts-off"], ["migrate", "belts-on"]):
            with self.subTest(words):
                done = run(*words, self.store)
                self.assertEqual(done.returncode, 2, done)
                self.assertIn(f"there is no {self.folder}/test.db", done.stderr)
                self.assertEqual(os.listdir(self.folder), [])

    def test_serve_makes_nothing_that_it_cannot_serve(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            for setting in (f"--listen=127.0.0.1:{taken.getsockname()[1]}", "--listen=0.0.0.0:0", "--listen=nonsense",
                            "--stock.strategy=redis-lock", "--coupon.strategy=zookeeper-lock",
                            "--points.strategy=etcd-lock", "--stock.strategy=none", "--stock.strategy=mutex",
                            "--redis=a b:c", "--workers=0"):
                with self.subTest(setting):
                    words = ["--stock.strategy=redis-lock"] if "--redis" in setting else []
                    done = run("serve", self.store, "--listen=127.0.0.1:0", *words, setting)
                    self.assertIn(done.returncode, (1, 2), done)
                    self.assertEqual(os.listdir(self.folder), [])

    def test_a_folder_that_is_not_there(self):
        for words in (["serve", "--listen=127.0.0.1:0"], ["migrate", "up"]):
            done = run(*words, f"--store=sqlite:{self.folder}/no/test.db")
            self.assertIn(done.returncode, (1, 2), done)
            self.assertIn(f"cannot open {self.folder}/no/test.db-lock: No such file or directory", done.stderr)
        self.assertEqual(os.listdir(self.folder), [])

    def test_a_folder_is_not_a_database(self):
        path = os.path.join(self.folder, "folder")
        os.mkdir(path)
        for words in (["serve", "--listen=127.0.0.1:0"], ["migrate", "up"], ["migrate", "status"]):
            done = run(*words, f"--store=sqlite:{path}")
            self.assertIn(done.returncode, (1, 2), done)
            self.assertIn(f"{path} is a folder", done.stderr)
        self.assertEqual(os.listdir(self.folder), ["folder"])

    def test_migrate_up_makes_it(self):
        self.assertEqual(run("migrate", "up", self.store).returncode, 0)
        self.assertEqual(run("migrate", "status", self.store).returncode, 0)
        self.assertEqual(sorted(os.listdir(self.folder)), ["test.db", "test.db-lock"])

    def test_one_process_a_file(self):
        first = self.serve().await_listening()
        self.assertEqual(first.call("PUT", "/v1/stock/S", {"quantity": 300}).status, 201)
        os.symlink("test.db", os.path.join(self.folder, "link.db"))
        for path in (self.file.store, f"sqlite:{self.folder}/link.db"):
            second = self.serve(path)
            self.assertEqual(second.wait(), 1, second.read_log())  # starting again may help
            self.assertIn(f"another process ({first.process.pid}) serves or migrates", second.read_log())
        for words in (["up"], ["down"], ["belts-off"]):
            done = run("migrate", *words, self.store)
            self.assertEqual(done.returncode, 2, done)
            self.assertIn("an SQLite file is served by one process", done.stderr)
        for words in (["migrate", "status"], ["reconcile"]):  # reading is allowed
            self.assertEqual(run(*words, self.store).returncode, 0)
        self.assertEqual(first.call("POST", "/v1/stock/S/deduct", {"quantity": 1}, "k").status, 200)
        first.kill()  # the claim ends with its process
        third = self.serve().await_listening()
        self.assertEqual(third.call("GET", "/v1/stock/S").body["remaining"], 299)
        self.assertEqual(third.stop(), 0)
        self.assertEqual(run("migrate", "up", self.store).returncode, 0)


if __name__ == "__main__":
    unittest.main()
