"""The lock scripts, each run by itself with `redis-cli --eval` on a real Redis.

Needs HOLDFAST_TEST_REDIS=host:port. Every test uses names of its own.
"""

import os
import pathlib
import subprocess
import unittest
import uuid

SCRIPTS = pathlib.Path(__file__).parents[2] / "service/guard/redis/scripts"
SERVER = os.environ.get("HOLDFAST_TEST_REDIS")
LEASE_MS = 8000


def cli(*words, stdin=None):
    host, port = SERVER.rsplit(":", 1)
    done = subprocess.run(["redis-cli", "-h", host, "-p", port, *map(str, words)], input=stdin,
                          capture_output=True, text=True, timeout=30, check=True)
    return done.stdout.strip()


@unittest.skipUnless(SERVER or os.environ.get("HOLDFAST_TEST_REQUIRE"), "HOLDFAST_TEST_REDIS is not set")
class Scripts(unittest.TestCase):
    def setUp(self):
        unique = uuid.uuid4().hex
        self.tags = [f"{{test/{unique}/{i}}}" for i in range(2)]
        self.a, self.b, self.c = (f"{unique}-{name}" for name in "abc")
        self.addCleanup(cli, "DEL", *(f"holdfast:{kind}:{tag}" for tag in self.tags
                                      for kind in ("lock", "token", "line")))

    def run_script(self, script, owner, *argv, n=1):
        text = (SCRIPTS / "shared.lua").read_text() + (SCRIPTS / f"{script}.lua").read_text()
        locks = [f"holdfast:lock:{tag}" for tag in self.tags[:n]]
        return int(cli("--eval", "/dev/stdin", *locks, ",", owner, *argv, stdin=text))

    def acquire(self, owner, n_tokens=1, channel="", attempt=0, n=1):
        return self.run_script("acquire", owner, LEASE_MS, n_tokens, channel, 9000, attempt, n=n)

    def holder(self, i=0):
        return cli("GET", f"holdfast:lock:{self.tags[i]}")

    def waiting(self, i=0):
        return cli("LRANGE", f"holdfast:line:{self.tags[i]}", 0, -1).split()

    def lease_ms(self):
        return int(cli("PTTL", f"holdfast:lock:{self.tags[0]}"))

    def test_acquire_gives_a_token_and_refuses_a_second_owner(self):
        self.assertEqual(self.acquire(self.a), 1)
        self.assertEqual(self.holder(), self.a)
        self.assertTrue(0 < self.lease_ms() <= LEASE_MS)
        self.assertTrue(-LEASE_MS <= self.acquire(self.b) < 0)
        self.assertEqual(self.holder(), self.a)
        self.assertEqual(self.acquire(self.a, n_tokens=5), 6)  # repeated by its holder

    def test_release_deletes_the_tokens_of_unknown_counters(self):
        self.acquire(self.a, n=2)
        self.assertEqual(self.run_script("release", self.b, "11", n=2), 0)  # not by a foreign owner
        self.assertEqual(self.run_script("release", self.a, "01", n=2), 2)
        self.assertEqual([cli("EXISTS", f"holdfast:token:{tag}") for tag in self.tags], ["1", "0"])

    def test_acquire_takes_all_locks_of_the_set_or_none(self):
        self.assertEqual(self.acquire(self.a), 1)
        self.assertLess(self.acquire(self.b, n=2), 0)
        self.assertEqual(self.holder(1), "")
        self.run_script("release", self.a)
        self.assertEqual(self.acquire(self.b, n=2), 2)  # the higher of 2 and 1
        self.assertEqual([self.holder(0), self.holder(1)], [self.b, self.b])
        self.assertEqual(cli("GET", f"holdfast:token:{self.tags[1]}"), "2")

    def test_release_frees_nothing_of_another_owner(self):
        self.acquire(self.a)
        self.assertEqual(self.run_script("release", self.b), 0)
        self.assertEqual(self.holder(), self.a)
        self.assertEqual(self.run_script("release", self.a), 1)
        self.assertEqual(self.holder(), "")

    def test_release_hands_the_lock_to_the_head_of_the_queue(self):
        host, port = SERVER.rsplit(":", 1)
        channel = f"test:{self.a}"
        self.acquire(self.a)
        self.assertLess(self.acquire(self.b, channel="no-listener"), 0)  # a dead process
        with subprocess.Popen(["redis-cli", "-h", host, "-p", port, "SUBSCRIBE", channel],
                              stdout=subprocess.PIPE, text=True) as listener:
            try:
                for _ in range(3):
                    listener.stdout.readline()
                self.assertLess(self.acquire(self.c, n_tokens=4, channel=channel, attempt=7), 0)
                self.assertEqual(self.waiting(), [self.b, self.c])
                self.assertEqual(self.run_script("release", self.a), 1)
                message = [listener.stdout.readline().strip() for _ in range(3)][2]
            finally:
                listener.kill()
        token = cli("GET", f"holdfast:token:{self.tags[0]}")
        self.assertEqual(message, f"{self.c} 7 {token}")
        self.assertEqual(self.holder(), self.c)
        self.assertEqual(self.waiting(), [])

    def test_abandon_frees_the_lock_and_refuses_a_late_acquire(self):
        self.acquire(self.a)
        self.acquire(self.b, channel="no-listener")
        self.assertEqual(self.run_script("abandon", self.b, 0), 1)
        self.assertEqual((self.holder(), self.waiting()), (self.a, []))
        self.assertEqual(self.run_script("abandon", self.a, 1000), 1)
        self.assertEqual(self.holder(), "")
        self.assertEqual(self.acquire(self.a), 0)
        self.assertGreater(self.acquire(self.b), 0)

    def test_renew_extends_the_lease_of_the_holder_only(self):
        self.acquire(self.a)
        self.assertEqual(self.run_script("renew", self.b, 60000), 0)
        self.assertLessEqual(self.lease_ms(), LEASE_MS)
        self.assertEqual(self.run_script("renew", self.a, 60000), 1)
        self.assertGreater(self.lease_ms(), LEASE_MS)

    def test_lift_draws_tokens_above_the_floor(self):
        self.acquire(self.a)
        self.assertEqual(self.run_script("lift", self.b, 900, 1), 0)
        self.assertEqual(self.run_script("lift", self.a, 900, 3), 903)
        self.assertEqual(self.run_script("lift", self.a, 5, 1), 904)

    def test_raise_never_lowers_a_counter(self):
        self.acquire(self.a)
        token = f"holdfast:token:{self.tags[0]}"
        self.assertEqual(self.run_script("raise", self.b, 50), 0)
        self.assertEqual(self.run_script("raise", self.a, 50), 1)
        self.assertEqual(cli("GET", token), "50")
        self.assertEqual(self.run_script("raise", self.a, 20), 1)
        self.assertEqual(cli("GET", token), "50")

    def test_large_tokens_are_written_without_an_exponent(self):
        self.acquire(self.a)
        self.run_script("raise", self.a, 2**52)
        self.assertEqual(cli("GET", f"holdfast:token:{self.tags[0]}"), str(2**52))

    def test_ping_leaves_nothing(self):
        self.assertEqual(self.run_script("ping", self.a, LEASE_MS), 1)
        self.assertEqual((self.holder(), cli("EXISTS", f"holdfast:token:{self.tags[0]}")), ("", "0"))


if __name__ == "__main__":
    unittest.main()
