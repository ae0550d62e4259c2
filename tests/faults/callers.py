"""Clients that repeat what they ask until they know its outcome, and what of it the ledger must have."""

import http.client
import itertools
import json
import random
import threading
import time
from typing import NamedTuple


OUTCOME_S = 60  # the limit for an outcome where no workload waits for it


class Ended(Exception):
    """The workload ends, and with it the wait for an answer."""


class Row(NamedTuple):
    """A row of the ledger."""

    counter: str
    version: int
    delta: int
    remaining: int
    key: str
    reason: str
    created_at_ms: int


def rows_by_key(scene):
    """The rows of each request key, in the order of legs."""
    rows = {}
    for counter, version, delta, remaining, key, reason, created in scene.database.sql(
            "SELECT counter, version, delta, remaining, request_key, reason, created_at FROM ledger"
            " WHERE request_key IS NOT NULL ORDER BY request_key, leg"):
        rows.setdefault(key, []).append(
            Row(counter, int(version), int(delta), int(remaining), key, reason, int(created)))
    return rows


def slug(answer):
    return answer.body["type"].rpartition("/")[2]


def ask(scene, first, path, body, key, ended=None):
    """Sends one request, first to this instance, until it is known what became of it: it goes to the next
    instance if one does not answer, or answers 503. Raises Ended when the event is set; without an event, an
    error after OUTCOME_S."""
    end = time.monotonic() + OUTCOME_S
    while not (ended and ended.wait(0.005)):
        if ended is None and time.monotonic() > end:
            raise AssertionError(f"{path} {body}: no outcome within {OUTCOME_S} s")
        instance = scene.instances[first % scene.size]
        try:
            if instance.port is None:
                raise ConnectionRefusedError("it is just being started")
            answer = instance.call("POST", path, body, key, timeout_s=4)
            if answer.status != 503:
                return answer
        except (OSError, http.client.HTTPException):
            pass  # whether it was executed is found out with its key
        first += 1
    raise Ended


class Callers:
    """A workload of CLIENTS threads. What they do is said by a class that derives from this one."""

    CLIENTS = 12
    endpoint = None  # whose sections a fault pauses and counts

    def __init__(self, scene):
        self.scene = scene
        self.answers = {}  # of each key: what was asked, and the answer
        self.failure = None
        self.ended = threading.Event()
        self.begin()
        self.clients = [threading.Thread(target=self.run, args=(n,)) for n in range(self.CLIENTS)]
        scene.exits.callback(self.stop)
        for client in self.clients:
            client.start()

    def begin(self):
        """Makes what the clients ask for."""
        raise NotImplementedError

    def step(self, choice, client, name):
        """What a client does again and again, each time with another name."""
        raise NotImplementedError

    def judge_books(self, rows):
        """Compares the answers with the rows of the ledger, by key."""
        raise NotImplementedError

    def put(self, path, body):
        answer = self.scene.instances[0].call("PUT", path, body)
        if answer.status != 201:
            raise AssertionError(f"{path}: {answer}")

    def open_account(self, user, points):
        ask(self.scene, 0, f"/v1/points/{user}/earn", {"points": points}, f"opening-{user}")

    def ask(self, choice, first, path, body, key, refusals=()):
        """Sends one request until its outcome is known, and one in ten again after that. Returns the answer,
        which may be one of these refusals."""
        for _ in range(choice.choices((1, 2), (9, 1))[0]):
            answer = ask(self.scene, first, path, body, key, self.ended)
            if answer.status not in (200, 201):
                if answer.status != 409 or slug(answer) not in refusals:
                    raise AssertionError(f"{path} {body}: {answer}")
            before = self.answers.get(key, (body, answer))[1]
            # A refusal is not recorded: its key may succeed later.
            if before.status != 409 and (before.status, before.body) != (answer.status, answer.body):
                raise AssertionError(f"one key, several answers: {before}, {answer}")
            self.answers[key] = (body, answer)
        return answer

    def run(self, client):
        choice = random.Random(f"{self.scene.seed} {client}")
        try:
            for n in itertools.count():
                self.step(choice, client, f"{client}-{n}")
        except Ended:
            pass
        except Exception as error:  # of a thread: it is raised again where the scene is judged
            self.failure = error

    def check(self):
        if self.failure:
            raise self.failure

    def stop(self):
        self.ended.set()
        for client in self.clients:
            client.join()

    def save(self, logs):
        self.stop()
        logs.add("history.jsonl", "".join(
            json.dumps({"key": key, "body": body, "status": answer.status, "answer": answer.body}) + "\n"
            for key, (body, answer) in sorted(self.answers.items())))
        logs.add("callers.log", f"{len(self.answers)} keys were answered; {self.failure or 'no caller failed'}\n")

    def judge(self):
        """Every answer is in the ledger: a success with the rows of its legs, a refusal without a row."""
        self.stop()
        self.check()
        rows = rows_by_key(self.scene)
        for key, (body, answer) in self.answers.items():
            found = rows.get(key, [])
            if answer.status == 409:
                holds = not found
            else:
                legs = {(leg["counter"], leg["version"], leg["remaining"]) for leg in legs_of(answer)}
                holds = legs <= {(row.counter, row.version, row.remaining) for row in found}
            if not holds:
                raise AssertionError(f"{key} asked {body} and was answered {answer}: {found}")
        done = sum(answer.status != 409 for _, answer in self.answers.values())
        if done < 50:
            raise AssertionError(f"too few operations to prove anything: {done}")
        self.judge_books(rows)


def legs_of(answer):
    """The legs of an answer; that of a deduct or restock names its counter by the product."""
    if "legs" in answer.body:
        return answer.body["legs"]
    return [{"counter": f"stock/{answer.body['sku']}", **answer.body}]


def total(rows, noun):
    """The sum of what these rows change of counters of this noun."""
    return sum(row.delta for row in rows if row.counter.startswith(f"{noun}/"))
