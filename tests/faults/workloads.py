"""What the clients of a scene do while its fault acts: the load tester's mix, or callers of one endpoint.

A workload has the endpoint whose sections a fault pauses and counts, and four functions: `check` raises an
error if it has ended by itself, `stop` ends it, `judge` ends it and checks what its clients saw, and `save`
adds what they saw to the logs of a scene that failed.
"""

import json
import subprocess

from callers import Callers, total
from cluster import await_true, flags
from loader import Running, urls

# Light enough that the machine itself, which also runs every server, does not time out.
LOAD = {"scenario": "mixed", "mix": "deduct=70,read=10,issue=10,draw=10", "connections": 18, "skus": 2,
        "users": 400, "think": "5ms", "timeout": "4s", "retry": 6, "duplicate": "10%", "duration": "1h"}
SAVE_S = 30  # for the load tester of a failed scene to check and report


class Mixed:
    """The load tester's mix. Its checker judges what clients saw."""

    endpoint = "stock"

    def __init__(self, scene):
        load = {name: value for name, value in {**LOAD, **scene.load, "seed": scene.seed}.items()
                if value is not None}
        self.result = None
        self.load = scene.exits.enter_context(
            Running(*urls(i.port for i in scene.instances), *flags(load), "--quiet",
                    "--history", scene.logs.path("history.jsonl")))

    def check(self):
        if self.load.process.poll() is not None:
            raise AssertionError(f"the load has ended: {self.stop()}")

    def stop(self, limit_s=120):
        """Ends the load. Returns its result."""
        if self.result is None:
            self.result = self.load.end(limit_s)
        return self.result

    def save(self, logs):
        try:
            result = self.stop(SAVE_S)
            logs.add("load.log", str(result))
            logs.add("load.json", json.dumps(result.report, indent=1))
        except subprocess.TimeoutExpired:
            logs.add("load.log", f"did not end within {SAVE_S} s, and was killed\n")

    def judge(self):
        result = self.stop()
        if result.code not in (0, 130) or result.report["check"]["violations"] != 0:
            raise AssertionError(f"the load tester failed or found violations: {result}")
        if result.report["outcomes"]["ok"] < 50:
            raise AssertionError(f"too few operations to prove anything: {result}")


class Transfers(Callers):
    """Transfers between two users, in both directions."""

    endpoint = "points"
    USERS = ("anna", "bob")
    OPENING = 500000

    def begin(self):
        for user in self.USERS:
            self.open_account(user, self.OPENING)

    def step(self, choice, client, name):
        payer, payee = choice.sample(self.USERS, 2)
        transfer = {"from": payer, "to": payee, "points": choice.randint(1, 9)}
        self.ask(choice, client, "/v1/points/transfers", transfer, f"transfer-{name}")

    def judge_books(self, rows):
        """Each key has both legs or none; each transfer moves both accounts, so if they took all in the same
        order it is the same version of both."""
        transfers = [both for both in rows.values() if both[0].reason == "transfer"]
        for both in transfers:
            if {row.counter for row in both} != {f"points/{user}" for user in self.USERS} or len(both) != 2 \
                    or both[0].version != both[1].version or total(both, "points") != 0:
                raise AssertionError(f"not one transfer: {both}")
        for key, (transfer, _) in self.answers.items():
            if key.startswith("transfer") and max(row.delta for row in rows[key]) != transfer["points"]:
                raise AssertionError(f"{transfer} became {rows[key]}")
        self.scene.bit("transfers", len(transfers))


# Reserving for as long as a client needs to come back, and not a second more.
STAY_S, WALK_AWAY_S = 5, 1


class Reservations(Callers):
    """Buyers of few goods. Most reserve; then they confirm all or a part, release, extend and confirm, walk away,
    or come back when their time is over. Others deduct, and restock what is sold out."""

    endpoint = "reservation"
    SKUS = [f"SEAT-{n}" for n in range(4)]
    OPENING = 40
    # An extension is refused if the clock was put back, and the hold lasts longer than it asks for.
    RESOLVED = ("reservation-expired", "reservation-resolved", "reservation-longer")

    def begin(self):
        self.expiries = {}  # of each reservation that was answered: its last moment, in ms
        for sku in self.SKUS:
            self.put(f"/v1/stock/{sku}", {"quantity": self.OPENING})

    def step(self, choice, client, name):
        if choice.random() < 0.3:
            self.buy(choice, client, name)
        else:
            self.reserve(choice, client, name)

    def buy(self, choice, client, name):
        sku = choice.choice(self.SKUS)
        units = {"quantity": choice.randint(1, 2)}
        answer = self.ask(choice, client, f"/v1/stock/{sku}/deduct", units, f"deduct-{name}", ["out-of-stock"])
        if answer.status == 409:
            self.ask(choice, client, f"/v1/stock/{sku}/restock", {"quantity": 10}, f"restock-{name}")

    def reserve(self, choice, client, name):
        way = choice.choice(("confirm", "confirm part", "release", "extend", "walk away", "come late"))
        ttl_s = WALK_AWAY_S if way in ("walk away", "come late") else STAY_S
        lines = [{"sku": sku, "quantity": choice.randint(1, 2)}
                 for sku in choice.sample(self.SKUS, choice.randint(1, 3))]
        answer = self.ask(choice, client, "/v1/reservations", {"ttl_s": ttl_s, "lines": lines},
                          f"reserve-{name}", ["out-of-stock"])
        if answer.status == 409:
            return
        reservation = answer.body["reservation_id"]
        self.expiries[reservation] = answer.body["expires_at_ms"]
        if way == "walk away":
            return
        if way == "extend":
            self.change(choice, client, name, reservation, "extend", {"ttl_s": STAY_S + 1})
        if way == "come late" and self.ended.wait(WALK_AWAY_S - choice.uniform(0, 0.1)):
            return
        part = {"lines": lines[:1]} if way == "confirm part" else {}
        self.change(choice, client, name, reservation, "release" if way == "release" else "confirm", part)

    def change(self, choice, client, name, reservation, verb, body):
        """At the next instance: that of the reservation may be gone."""
        before = self.expiries.pop(reservation, None)
        answer = self.ask(choice, client + 1, f"/v1/reservations/{reservation}/{verb}", body,
                          f"{verb}-{name}", self.RESOLVED)
        if before is not None:
            self.expiries[reservation] = answer.body.get("expires_at_ms", before)

    def judge(self):
        self.stop()
        # The sweeper alone ends what no client asks for.
        await_true(lambda: self.scene.database.sql("SELECT COUNT(*) FROM hold") == [["0"]], STAY_S + 15)
        super().judge()

    def judge_books(self, rows):
        """Units move between stock and hold, and leave by a confirmation. Each hold ends once: by a
        confirmation or release that was decided before its moment, or by an expiry at or after it."""
        made, ended = {}, {}
        for key, group in rows.items():
            reason = group[0].reason
            if reason in ("reserve", "release", "expire", "extend") and \
                    total(group, "stock") + total(group, "hold") != 0:
                raise AssertionError(f"{key} has changed the sum: {group}")
            for row in group:
                if not row.counter.startswith("hold/") or reason == "extend":
                    continue
                times = made if reason == "reserve" else ended
                if row.counter in times:
                    raise AssertionError(f"twice: {times[row.counter]}, {row}")
                times[row.counter] = row
        if set(made) != set(ended):
            raise AssertionError(f"held for ever: {set(made) - set(ended)}")
        for key, (body, answer) in self.answers.items():
            if key.startswith("confirm") and answer.status == 200:
                self.judge_sold(body, rows[key])
        self.judge_time(ended)

    def judge_sold(self, body, rows):
        held = -total(rows, "hold")
        sold = held - total(rows, "stock")
        asked = sum(line["quantity"] for line in body["lines"]) if body else held
        if sold != asked:
            raise AssertionError(f"{body} of {held} units sold {sold}: {rows}")

    def judge_time(self, ended):
        reasons = {}
        for row in ended.values():
            expires_at_ms = self.expiries.get(row.counter.split("/")[2])
            if expires_at_ms and (row.created_at_ms >= expires_at_ms) != (row.reason == "expire"):
                raise AssertionError(f"expires at {expires_at_ms}: {row}")
            reasons[row.reason] = reasons.get(row.reason, 0) + 1
        for reason in ("confirm", "release", "expire"):
            self.scene.bit(f"holds ended by {reason}", reasons.get(reason, 0))


class Orders(Callers):
    """Orders of three of ten products, one of them scarce, some with points; then refunds and cancellations."""

    endpoint = "order"
    SKUS = [f"BOOK-{n}" for n in range(10)]
    USERS = [f"reader-{n}" for n in range(3)]
    OPENING = 100000
    SCARCE = 60

    def begin(self):
        for n, sku in enumerate(self.SKUS):
            self.put(f"/v1/stock/{sku}", {"quantity": self.OPENING if n else self.SCARCE, "price_cents": 100})
        for user in self.USERS:
            self.open_account(user, self.OPENING)

    def step(self, choice, client, name):
        lines = [{"sku": sku, "quantity": choice.randint(1, 2)} for sku in choice.sample(self.SKUS, 3)]
        order = {"user_id": choice.choice(self.USERS), "order_id": f"order-{name}", "lines": lines}
        if choice.random() < 0.5:
            order.update(points=5, points_earn=choice.randint(1, 4))
        if self.ask(choice, client, "/v1/orders", order, f"place-{name}", ["out-of-stock"]).status == 409:
            return
        path = f"/v1/orders/{order['order_id']}"
        if choice.random() < 0.4:
            back = {"line": choice.randrange(3), "quantity": 1, "restock": choice.random() < 0.5}
            self.ask(choice, client + 1, f"{path}/refunds", {"lines": [back]}, f"refund-{name}")
        if choice.random() < 0.3:
            self.ask(choice, client + 2, f"{path}/cancel", {"reason": "changed my mind"}, f"cancel-{name}")

    def judge_books(self, rows):
        """An order takes all its lines or none, and nothing of it is given back twice."""
        kinds = {"order": 0, "refund": 0, "cancel": 0}
        for own in (row for group in rows.values() for row in group if row.counter.startswith("order/")):
            group = rows[own.key]
            stock = total(group, "stock")
            whole = {"order": stock == -own.delta,
                     "refund": own.delta == -1 and stock in (0, 1),
                     "cancel": stock == -own.delta and own.remaining == 0}
            if not whole[own.reason] or own.remaining < 0:
                raise AssertionError(f"not whole: {group}")
            kinds[own.reason] += 1
        self.judge_points()
        for kind, times in kinds.items():
            self.scene.bit(f"{kind}s", times)

    def judge_points(self):
        """What the accounts have is what the orders say."""
        moved = dict(self.scene.database.sql(
            "SELECT user_id, SUM(points_earned - points_taken - points_spent + points_returned) FROM orders"
            " GROUP BY user_id"))
        for user in self.USERS:
            ((found,),) = self.scene.database.sql(f"SELECT remaining FROM counter WHERE name = 'points/{user}'")
            if int(found) != self.OPENING + int(moved.get(user, 0)):
                raise AssertionError(f"{user} has {found}, and the orders moved {moved.get(user)}")


WORKLOADS = {"mixed": Mixed, "transfers": Transfers, "reservations": Reservations, "orders": Orders}
