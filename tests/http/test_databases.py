#!/usr/bin/env python3
"""A database that is full, read-only, missing, corrupt or denied is called that: requests are refused
with `backend-unavailable`, /readyz is 503 and gives the reason, the log has the database's own words once,
and the instance recovers by itself as soon as the database is mended."""

import contextlib
import os
import resource
import sqlite3
import subprocess
import unittest

from cluster import Instance, TestCase, await_true, run

STOCK = 100000


def deduct(service, key=None):
    return service.call("POST", "/v1/stock/S/deduct", {"quantity": 1}, key or os.urandom(8).hex())


def database(service):
    """What /readyz says of the database, after its status."""
    ready = service.call("GET", "/readyz")
    return ready.status, ready.body["dependencies"]["database"]


def lost(why):
    return 503, {"ok": False, "why": why}


WELL = 200, {"ok": True}


class Databases(TestCase):
    def serve(self, store, prefix=(), **settings):
        service = Instance(store, settings, prefix=prefix)
        self.addCleanup(service.log.close)
        self.addCleanup(service.kill)
        service.await_listening()
        return service

    def stock(self, service):
        self.assertEqual(service.call("PUT", "/v1/stock/S", {"quantity": STOCK}).status, 201)
        self.assertEqual(deduct(service, "first").status, 200)
        self.assertEqual(database(service), WELL)

    def assert_refused(self, service, why, also=()):
        """Deducts and the calls of `also` are refused; /readyz, the log and the metrics say why."""
        self.assert_problem(deduct(service), 503, "backend-unavailable")
        for method, path in also:
            self.assert_problem(service.call(method, path), 503, "backend-unavailable")
        self.assertEqual(database(service), lost(why))
        self.assert_problem(deduct(service), 503, "backend-unavailable")  # the probe has healed nothing
        for _ in range(3):  # without work in between, the probe itself meets the fault
            self.assertEqual(database(service), lost(why))
        log = service.read_log()
        self.assertEqual(log.count("the database cannot be used"), 1, log)
        self.assertIn(f"the database cannot be used ({why}): ", log)
        faults = [value for series, value in service.metrics()
                  if series == ("holdfast_database_faults_total", f'reason="{why}"')]
        self.assertEqual(len(faults), 1)
        self.assertGreaterEqual(faults[0], 2)

    def assert_well(self, service, deducts):
        """In a moment: a worker's old connection may have met the fault once more."""
        await_true(lambda: database(service) == WELL)
        self.assertEqual(service.call("GET", "/v1/stock/S").body["remaining"], STOCK - deducts)

    def assert_well_again(self, service, store, deducts):
        """Takes one more. `deducts` counts it."""
        await_true(lambda: database(service) == WELL)
        self.assertEqual(deduct(service).status, 200)
        self.assert_well(service, deducts)
        self.assertIn("the database can be used again", service.read_log())
        self.assertNotIn("COMMIT was not acknowledged", service.read_log())
        self.assert_reconciles(store)


class Sqlite(Databases):
    def open(self):
        self.file = self.sqlite()
        self.path = self.file.store.removeprefix("sqlite:")
        service = self.serve(self.file.store)
        self.stock(service)
        return service

    def test_full(self):
        """On a file system of 3 MB, in a mount namespace of the service's own."""
        self.file = self.sqlite()
        user = [] if os.geteuid() == 0 else ["--map-root-user"]
        mount = ["unshare", *user, "--mount", "sh", "-c",
                 f'mount -t tmpfs -o size=3m tmpfs {self.file.directory} && exec "$@"', "sh"]
        if subprocess.run([*mount, "true"], capture_output=True, check=False).returncode:
            self.skipTest("no right to mount a file system")
        service = self.serve(self.file.store, prefix=mount)
        self.stock(service)
        filler = f"/proc/{service.process.pid}/root{self.file.directory}/filler"
        with open(filler, "wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(4096))
        answers = []
        while not answers or answers[-1] == 200:
            answers.append(deduct(service).status)
        self.assert_refused(service, "full")
        self.assertEqual(service.call("GET", "/v1/stock/S").status, 200)  # reading needs no room
        os.unlink(filler)
        await_true(lambda: database(service) == WELL)
        self.assertEqual(deduct(service).status, 200)
        # Every acknowledged deduct was taken, and no other.
        taken = 2 + answers.count(200)
        self.assertEqual(service.call("GET", "/v1/stock/S").body["remaining"], STOCK - taken)
        self.assertIn("the database can be used again", service.read_log())
        self.assertNotIn("COMMIT was not acknowledged", service.read_log())

    def test_size_limit(self):
        """With SIGXFSZ ignored, write(2) fails with EFBIG instead of killing the process."""
        self.file = self.sqlite()
        service = self.serve(self.file.store, prefix=["sh", "-c", "trap '' XFSZ; exec \"$@\"", "sh"])
        self.stock(service)
        size = os.path.getsize(self.file.store.removeprefix("sqlite:") + "-wal")
        _, hard = resource.prlimit(service.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(service.process.pid, resource.RLIMIT_FSIZE, (size, hard))
        self.assert_refused(service, "full")
        resource.prlimit(service.process.pid, resource.RLIMIT_FSIZE, (hard, hard))
        self.assert_well_again(service, self.file.store, deducts=2)

    def test_files_deleted(self):
        for suffix in ("", "-wal", "-shm"):
            with self.subTest(suffix):
                service = self.open()
                os.unlink(self.path + suffix)
                self.assert_refused(service, "missing", also=[("GET", "/v1/stock/S"), ("GET", "/v1/stock"),
                                                              ("GET", "/v1/ledger?counter=stock/S")])
                self.assertFalse(os.path.exists(self.path + suffix))
                self.assertEqual(service.stop(), 0)
                if suffix:  # SQLite writes what the open files hold into the database when it closes them
                    service = self.serve(self.file.store)
                    self.assert_well(service, deducts=1)

    def test_file_renamed_and_back(self):
        service = self.open()
        os.rename(self.path, self.path + ".away")
        self.assert_refused(service, "missing", also=[("GET", "/v1/stock/S")])
        os.rename(self.path + ".away", self.path)
        self.assert_well_again(service, self.file.store, deducts=2)

    def test_file_replaced(self):
        service = self.open()
        other = self.sqlite()
        self.assertEqual(run("migrate", "up", f"--store={other.store}").returncode, 0)
        os.rename(other.store.removeprefix("sqlite:"), self.path)
        self.assert_refused(service, "missing", also=[("GET", "/v1/stock/S")])

    def test_table_dropped(self):
        service = self.open()
        with contextlib.closing(self.connect()) as sqlite, sqlite:
            sqlite.execute("ALTER TABLE ledger RENAME TO away")
        self.assert_refused(service, "missing")
        with contextlib.closing(self.connect()) as sqlite, sqlite:
            sqlite.execute("ALTER TABLE away RENAME TO ledger")
        self.assert_well_again(service, self.file.store, deducts=2)

    def connect(self):
        return sqlite3.connect(self.path, isolation_level=None)

    def spoil(self, what):
        """Overwrites the first page of a table or index of the stopped database."""
        with contextlib.closing(self.connect()) as sqlite:
            page, = sqlite.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", [what]).fetchone()
            size, = sqlite.execute("PRAGMA page_size").fetchone()
        with open(self.path, "r+b") as file:
            file.seek((page - 1) * size)
            file.write(b"\xa5" * size)

    def assert_corrupt(self, service):
        """Nothing is read or written any more, not even what is intact."""
        self.assert_refused(service, "corrupt", also=[("GET", "/v1/stock/S"), ("POST", "/v1/reconciliation")])
        done = run("reconcile", f"--store={self.file.store}")
        self.assertEqual(done.returncode, 2, done)
        self.assertIn("the database cannot be used (corrupt)", done.stderr)

    def test_corrupt_file(self):
        self.open().stop()
        self.spoil("ledger")
        service = self.serve(self.file.store)
        deduct(service)
        self.assert_corrupt(service)

    def test_corrupt_where_nothing_is_read(self):
        """A deduct reads no coupons. Reconciliation reads the whole file."""
        self.open().stop()
        self.spoil("coupon")
        service = self.serve(self.file.store)
        self.assertEqual(deduct(service).status, 200)
        self.assert_problem(service.call("POST", "/v1/reconciliation"), 503, "backend-unavailable")
        self.assert_corrupt(service)

    def test_not_a_database(self):
        service = self.open()
        service.stop()
        with open(self.path, "r+b") as file:
            file.write(b"\xa5" * 100)
        done = run("serve", "--listen=127.0.0.1:0", f"--store={self.file.store}")
        self.assertEqual(done.returncode, 1, done)
        self.assertIn("file is not a database", done.stderr)
        self.assertIn("backend-unavailable", done.stderr)


class Mysql(Databases):
    """As an account that may do what the service needs, and no more."""

    def open(self):
        self.server = self.mysql()
        name = self.server.name
        self.account = f"'{name[:30]}'@'127.0.0.1'"
        self.server.sql(f"CREATE USER {self.account} IDENTIFIED BY 'secret'")
        self.addCleanup(self.server.sql, f"DROP USER {self.account}", database="")
        self.assertEqual(run("migrate", "up", f"--store={self.server.store}").returncode, 0)
        self.server.sql(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {name}.* TO {self.account}")
        store = f"mysql://{name[:30]}:secret@127.0.0.1:{self.server.server.port}/{name}"
        # One worker, so that no other one connects anew and has what an old session lacks.
        service = self.serve(store, workers=1)
        self.stock(service)
        return service

    def test_table_dropped(self):
        service = self.open()
        self.server.sql("RENAME TABLE ledger TO away")
        self.assert_refused(service, "missing", also=[("GET", "/v1/ledger?counter=stock/S")])
        self.server.sql("RENAME TABLE away TO ledger")
        self.assert_well_again(service, self.server.store, deducts=2)

    def test_database_dropped(self):
        service = self.open()
        self.server.sql(f"DROP DATABASE {self.server.name}", database="")
        self.assert_refused(service, "missing", also=[("GET", "/v1/stock/S")])

    def test_right_revoked(self):
        service = self.open()
        on = f"INSERT ON {self.server.name}.*"
        self.server.sql(f"REVOKE {on} FROM {self.account}")
        self.server.sql(f"KILL USER {self.account}")  # sessions keep their rights to the database
        self.assert_refused(service, "denied")
        self.server.sql(f"GRANT {on} TO {self.account}")
        self.assert_well_again(service, self.server.store, deducts=2)

    def test_password_changed(self):
        service = self.open()
        self.server.sql(f"ALTER USER {self.account} IDENTIFIED BY 'another'")
        self.server.sql(f"KILL USER {self.account}")
        self.assert_refused(service, "denied")
        self.assertNotIn("secret", service.read_log())
        self.server.sql(f"ALTER USER {self.account} IDENTIFIED BY 'secret'")
        self.assert_well_again(service, self.server.store, deducts=2)

    def test_read_only(self):
        """A user with administrative rights is exempt, and all other tests connect as one."""
        service = self.open()
        self.addCleanup(self.server.sql, "SET GLOBAL read_only = 0", database="")
        self.server.sql("SET GLOBAL read_only = 1")
        self.assert_refused(service, "read-only")
        self.assertEqual(service.call("GET", "/v1/stock/S").status, 200)
        self.server.sql("SET GLOBAL read_only = 0")
        self.assert_well_again(service, self.server.store, deducts=2)

    def test_read_only_sessions(self):
        """tx_read_only of new sessions, set for this account only: other tests use the server, too."""
        service = self.open()
        self.addCleanup(self.server.sql, "SET GLOBAL init_connect = ''", database="")
        self.server.sql("SET GLOBAL init_connect = 'SET SESSION TRANSACTION READ ONLY'")
        self.server.sql(f"KILL USER {self.account}")
        self.assert_refused(service, "read-only")
        self.assertEqual(service.call("GET", "/v1/stock/S").status, 200)
        self.server.sql("SET GLOBAL init_connect = ''")
        self.server.sql(f"KILL USER {self.account}")  # a session that meets no write keeps what it has
        self.assert_well_again(service, self.server.store, deducts=2)

    def test_table_crashed_or_full(self):
        """The server's own errors, raised by a trigger."""
        for number, why in ((1114, "full"), (1877, "corrupt"), (1194, "corrupt")):
            with self.subTest(number):
                service = self.open()
                self.server.sql("CREATE TRIGGER fails BEFORE INSERT ON ledger FOR EACH ROW"
                                f" SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = {number}")
                self.assert_problem(deduct(service), 503, "backend-unavailable")
                self.assertIn(f"the database cannot be used ({why}): {number}", service.read_log())
                self.server.sql("DROP TRIGGER fails")
                self.assert_well_again(service, self.server.store, deducts=2)


if __name__ == "__main__":
    unittest.main()
