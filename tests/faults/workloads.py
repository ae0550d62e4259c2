"""What the clients of a scene do while its fault acts: the load tester's mix, or transfers of points.

A workload has the endpoint whose sections a fault pauses and counts, and three functions: `check` raises an
error if it has ended by itself, `stop` ends it, and `judge` ends it and checks what its clients saw.
"""

import http.client
import itertools
import random
import threading

from cluster import flags, ledger
from loader import Running, urls

# Light enough that the machine itself, which also runs every server, does not time out.
LOAD = {"scenario": "mixed", "mix": "deduct=70,read=10,issue=10,draw=10", "connections": 18, "skus": 2,
        "users": 400, "think": "5ms", "timeout": "4s", "retry": 6, "duplicate": "10%", "duration": "1h"}


class Mixed:
    """The load tester's mix. Its checker judges what clients saw."""

    endpoint = "stock"

    def __init__(self, scene):
        load = {name: value for name, value in {**LOAD, **scene.load, "seed": scene.seed}.items()
                if value is not None}
        self.load = scene.exits.enter_context(
            Running(*urls(i.port for i in scene.instances), *flags(load), "--quiet"))

    def check(self):
        if self.load.process.poll() is not None:
            raise AssertionError(f"the load has ended: {self.load.end()}")

    def stop(self):
        """Ends the load. Returns its result."""
        return self.load.end()

    def judge(self):
        result = self.stop()
        if result.code not in (0, 130) or result.report["check"]["violations"] != 0:
            raise AssertionError(f"the load tester failed or found violations: {result}")
        if result.report["outcomes"]["ok"] < 50:
            raise AssertionError(f"too few operations to prove anything: {result}")


class Transfers:
    """Transfers between two users, in both directions, at all instances. A client repeats a transfer with
    its key until it knows the outcome, and one transfer in ten after that. It goes to the next instance if
    its own does not answer."""

    endpoint = "points"
    USERS = ("anna", "bob")
    OPENING = 500000
    CLIENTS = 12

    def __init__(self, scene):
        self.scene = scene
        self.answers = {}  # of each key: the transfer, and the versions of its legs
        self.failure = None
        self.ended = threading.Event()
        for n, user in enumerate(self.USERS):
            self.post(0, f"{user}/earn", {"points": self.OPENING}, f"opening-{n}")
        self.clients = [threading.Thread(target=self.run, args=(n,)) for n in range(self.CLIENTS)]
        scene.exits.callback(self.stop)
        for client in self.clients:
            client.start()

    def post(self, first, path, body, key):
        """Sends one request, first to this instance, until it is answered. None at the end."""
        while not self.ended.wait(0.005):
            instance = self.scene.instances[first % len(self.scene.instances)]
            try:
                if instance.port is None:
                    raise ConnectionRefusedError("it is just being started")
                answer = instance.call("POST", f"/v1/points/{path}", body, key, timeout_s=4)
            except (OSError, http.client.HTTPException):
                first += 1  # whether it was executed is found out with its key
                continue
            if answer.status == 200:
                return answer
            if answer.status != 503:
                raise AssertionError(f"{path} {body}: {answer}")
        return None

    def run(self, client):
        choice = random.Random(f"{self.scene.seed} {client}")
        try:
            for n in itertools.count():
                payer, payee = choice.sample(self.USERS, 2)
                transfer = {"from": payer, "to": payee, "points": choice.randint(1, 9)}
                key = f"transfer-{client}-{n}"
                for _ in range(choice.choices((1, 2), (9, 1))[0]):
                    answer = self.post(client, "transfers", transfer, key)
                    if answer is None:
                        return
                    versions = {leg["counter"]: leg["version"] for leg in answer.body["legs"]}
                    if self.answers.setdefault(key, (transfer, versions)) != (transfer, versions):
                        raise AssertionError(f"one key, several answers: {self.answers[key]}, {answer}")
        except Exception as error:  # of a thread: it is raised again where the scene is judged
            self.failure = error

    def check(self):
        if self.failure:
            raise self.failure

    def stop(self):
        self.ended.set()
        for client in self.clients:
            client.join()

    def judge(self):
        """Every answer is in the ledger. Each key has both legs there or none; each transfer moves both
        accounts, so if they took all in the same order it is the same version of both."""
        self.stop()
        self.check()
        port = self.scene.instances[0].port
        rows = [ledger(port, f"points/{user}") for user in self.USERS]
        if len(rows[0]) != len(rows[1]) or len(self.answers) < 50:
            raise AssertionError(f"{len(rows[0])} and {len(rows[1])} rows, {len(self.answers)} answers")
        for one, other in zip(rows[0][1:], rows[1][1:]):
            legs = [(row["request_key"], row["version"], abs(row["delta"])) for row in (one, other)]
            if legs[0] != legs[1] or one["delta"] + other["delta"] != 0:
                raise AssertionError(f"not one transfer: {one}, {other}")
        by_key = {row["request_key"]: row for row in rows[0]}
        if len(by_key) != len(rows[0]):
            raise AssertionError("one key, several effects")
        for key, (transfer, versions) in self.answers.items():
            row = by_key.get(key)
            delta = transfer["points"] * (-1 if transfer["from"] == self.USERS[0] else 1)
            if not row or row["delta"] != delta or set(versions.values()) != {row["version"]}:
                raise AssertionError(f"{key} was answered {transfer}, {versions}: {row}")
        if rows[0][-1]["remaining"] + rows[1][-1]["remaining"] != 2 * self.OPENING:
            raise AssertionError(f"the sum has changed: {rows[0][-1]}, {rows[1][-1]}")
        self.scene.bit("transfers", len(self.answers))


WORKLOADS = {"mixed": Mixed, "transfers": Transfers}
