#!/usr/bin/env python3
"""Addresses of a MySQL or MariaDB database as people write them, against a private MariaDB with TLS: what
is verified, which of several servers is used, TCP and the Unix socket, and backups of the same server."""

import gzip
import os
import shutil
import subprocess
import tempfile
import time
import unittest
import urllib.parse

import cluster
from authority import make_certificates
from cluster import ROOT, clean_environment, need, run
from ports import free_port

SECRET = "p@ss/w?rd#%:,"  # needs escapes
PASSWORD = urllib.parse.quote(SECRET, safe="")


def quietly(*command, **named):
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, **named)
    if done.returncode:
        raise AssertionError(f"{command}: {done.stdout}{done.stderr}")


class Mariadb:
    """A private MariaDB with TLS, on TCP and on a socket, with the user `shop` and a database of that name."""

    def __init__(self, folder):
        self.folder = folder
        self.port = free_port()
        self.socket = f"{folder}/s"
        user = subprocess.check_output(["id", "-un"], text=True).strip()
        quietly("mariadb-install-db", "--no-defaults", "--force", f"--user={user}",
                f"--datadir={folder}/data", "--skip-test-db", "--auth-root-authentication-method=normal",
                env=dict(os.environ, TMPDIR=folder))
        with open(f"{folder}/init.sql", "w", encoding="utf-8") as file:
            file.write(f"CREATE USER shop@'%' IDENTIFIED BY '{SECRET}';\n"
                       f"CREATE USER shop@localhost IDENTIFIED BY '{SECRET}';\n"
                       "CREATE DATABASE shop CHARACTER SET utf8mb4;\n"
                       "GRANT ALL ON shop.* TO shop@'%';\nGRANT ALL ON shop.* TO shop@localhost;\n")
        with open(f"{folder}/log", "wb") as log:
            self.process = subprocess.Popen(
                ["mariadbd", "--no-defaults", f"--user={user}", f"--datadir={folder}/data",
                 "--bind-address=127.0.0.1", f"--port={self.port}", f"--socket={self.socket}",
                 f"--init-file={folder}/init.sql", "--skip-name-resolve", f"--tmpdir={folder}",
                 f"--ssl-ca={folder}/ours.pem", f"--ssl-cert={folder}/server.pem",
                 f"--ssl-key={folder}/server.key", "--innodb-buffer-pool-size=32M",
                 "--innodb-flush-log-at-trx-commit=0"], stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        end = time.monotonic() + 30
        while self.sql("SELECT 1") != "1":
            if time.monotonic() > end or self.process.poll() is not None:
                with open(f"{folder}/log", encoding="utf-8", errors="replace") as log:
                    raise AssertionError(f"MariaDB does not start:\n{log.read()}")
            time.sleep(0.05)

    def sql(self, statement):
        done = subprocess.run(["mariadb", "--no-defaults", "--skip-ssl", "-S", self.socket, "-u", "shop", "-N", "-B",
                               "-e", statement, "shop"], env=dict(os.environ, MYSQL_PWD=SECRET),
                              capture_output=True, text=True, check=False)
        return done.stdout.strip()

    def stop(self):
        self.process.terminate()
        self.process.wait(30)


class StoreAddresses(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        need("HOLDFAST_TEST_MYSQL")
        for program in ("mariadbd", "mariadb-install-db", "openssl"):
            if shutil.which(program) is None:
                raise unittest.SkipTest(f"{program} is not installed")
        cls.folder = tempfile.mkdtemp(prefix="hf-tls-", dir="/tmp")  # a socket's path is short
        cls.addClassCleanup(shutil.rmtree, cls.folder, True)
        make_certificates(cls.folder)
        cls.server = Mariadb(cls.folder)
        cls.addClassCleanup(cls.server.stop)
        done = run("migrate", "up", f"--store={cls.address()}")
        if done.returncode:
            raise AssertionError(done.stdout + done.stderr)

    def setUp(self):
        self.plain = need("HOLDFAST_TEST_MYSQL")
        database = cluster.MysqlDatabase()
        self.addCleanup(database.drop)
        if database.sql("SHOW VARIABLES LIKE 'have_ssl'") != [["have_ssl", "DISABLED"]]:
            self.plain = None  # a server of the user's own

    @classmethod
    def address(cls, hosts="localhost:{port}", options="", scheme="mysql"):
        """The address of the private server; {port} and {folder} may stand in the parts."""
        text = f"{scheme}://shop:{PASSWORD}@{hosts}/shop{options}"
        return text.replace("{port}", str(cls.server.port)).replace("{folder}", cls.folder)

    def status(self, **parts):
        """`migrate status` of that address. Whatever it prints has no secret."""
        done = run("migrate", "status", f"--store={self.address(**parts)}")
        for secret in (SECRET, PASSWORD):
            self.assertNotIn(secret, done.stdout + done.stderr)
        return done

    def encrypted(self):
        return int(self.server.sql("SHOW GLOBAL STATUS LIKE 'Ssl_accepts'").split()[-1])

    def test_what_connects(self):
        closed = free_port()
        cases = [
            # parts, whether the connection is encrypted
            ({}, False),
            ({"scheme": "mariadb"}, False),
            ({"hosts": "127.0.0.1:{port}", "options": "?tls=off"}, False),
            ({"hosts": "", "options": "?socket={folder}/s"}, False),
            ({"hosts": f"127.0.0.1:{closed},localhost:{{port}}", "options": "?connect_timeout=5"}, False),
            ({"options": "?tls=on&ca={folder}/ours.pem"}, True),
            ({"options": "?tls=verify-full&ca={folder}/ours.pem"}, True),
            ({"options": "?ca={folder}/ours.pem"}, True),
            ({"scheme": "mysqls", "options": "?ca={folder}/ours.pem"}, True),
            ({"scheme": "mariadbs", "options": "?ca={folder}/ours.pem"}, True),
            ({"options": "?tls=verify-ca&ca={folder}/ours.pem"}, True),
            ({"hosts": "127.0.0.1:{port}", "options": "?tls=unverified"}, True),
            ({"hosts": f"localhost:{closed},localhost:{{port}}", "options": "?ca={folder}/ours.pem"}, True),
        ]
        for parts, encrypted in cases:
            with self.subTest(parts):
                before = self.encrypted()
                done = self.status(**parts)
                self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
                self.assertEqual(self.encrypted() > before, encrypted)

    def test_what_does_not_connect(self):
        cases = [
            ({"options": "?tls=on"}, "TLS"),  # by no authority of the system's
            ({"scheme": "mysqls"}, "TLS"),
            ({"options": "?tls=on&ca={folder}/other.pem"}, "TLS"),
            ({"options": "?tls=verify-ca&ca={folder}/other.pem"}, "TLS"),
            ({"options": "?tls=on&ca={folder}/none.pem"}, "TLS"),
            ({"hosts": "127.0.0.1:{port}", "options": "?tls=on&ca={folder}/ours.pem"}, "TLS"),
            ({"hosts": "127.0.0.1:{port}", "options": "?ca={folder}/ours.pem"}, "TLS"),
        ]
        if self.plain:
            there = f"127.0.0.1:{urllib.parse.urlsplit(self.plain).port}"
            cases += [({"hosts": there, "options": "?tls=on&ca={folder}/ours.pem"}, "TLS"),
                      ({"hosts": there, "options": "?tls=verify-ca&ca={folder}/ours.pem"}, "TLS")]
        for parts, why in cases:
            with self.subTest(parts):
                done = self.status(**parts)
                self.assertNotEqual(done.returncode, 0)
                self.assertIn(why, done.stderr)
                self.assertIn("tls and ca of the address", done.stderr)

    def test_no_plain_connection_where_tls_is_demanded(self):
        if not self.plain:
            self.skipTest("the server has TLS")
        done = run("migrate", "status", f"--store={self.plain}?tls=unverified")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("the server offers no TLS", done.stderr)

    def back_up(self, **parts):
        """Runs backup.sh on that address, with other servers as the defaults of the client programs."""
        file = f"{self.folder}/backup"
        if os.path.exists(file):
            os.unlink(file)
        environment = dict(clean_environment(), HOLDFAST_STORE=self.address(**parts),
                           MYSQL_UNIX_PORT="/nonexistent", MYSQL_TCP_PORT="1")
        done = subprocess.run([os.path.join(ROOT, "deploy/backup.sh"), file], env=environment,
                              capture_output=True, text=True, timeout=60, check=False)
        for secret in (SECRET, PASSWORD):
            self.assertNotIn(secret, done.stdout + done.stderr)
        if done.returncode:
            return done.stderr
        with gzip.open(file, "rt") as dump:
            return "schema_migrations" in dump.read()

    def test_backups_are_of_the_same_server(self):
        closed = free_port()
        for parts in [
                {}, {"scheme": "mariadbs", "options": "?ca={folder}/ours.pem"},
                {"hosts": "", "options": "?socket={folder}/s"},
                {"hosts": f"[::1]:{closed},127.0.0.1:{{port}}", "options": "?tls=off"},
                {"options": "?tls=unverified&connect_timeout=3"}]:
            with self.subTest(parts):
                self.assertIs(self.back_up(**parts), True)
        for parts in [
                {"hosts": f"localhost:{closed}"}, {"hosts": ""}, {"scheme": "mysqls"},
                {"options": "?tls=on&ca={folder}/other.pem"}, {"options": "?ssl-mode=REQUIRED"},
                {"hosts": "127.0.0.1:{port}", "options": "?ca={folder}/ours.pem"},
                {"hosts": f"127.0.0.1:{closed},localhost:{closed}"}]:
            with self.subTest(parts):
                self.assertIn("backup.sh: ", self.back_up(**parts))

    def test_a_plain_connection_over_a_network_is_warned_of(self):
        for warned, parts in [(True, {"hosts": "db.invalid"}), (True, {"hosts": "localhost,db.invalid"}),
                              (False, {"hosts": "db.invalid", "options": "?tls=off"}),
                              (False, {"hosts": "db.invalid", "scheme": "mysqls"}), (False, {})]:
            with self.subTest(parts):
                self.assertEqual("travel unencrypted" in self.status(**parts).stderr, warned)

    def test_several_servers_that_all_refuse(self):
        one, two = free_port(), free_port()
        done = self.status(hosts=f"127.0.0.1:{one},localhost:{two}")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn(f"localhost:{two}, the last of 2 servers", done.stderr)


if __name__ == "__main__":
    unittest.main()
