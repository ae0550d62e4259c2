"""Faults caused by clients: the same key, the same user, or the same rows many times at once."""

import concurrent.futures

from cluster import call, ledger
from registry import fault
from scene import INSTANCES


def everywhere(scene, path, body, keys):
    """Sends requests to all instances at once. Returns the answers."""
    def send(n):
        while True:  # retry a refusal under contention, as clients do
            answer = call(scene.instances[n % INSTANCES].port, "POST", path, body, keys[n])
            if answer.status != 503:
                return answer

    with concurrent.futures.ThreadPoolExecutor(30) as pool:
        return list(pool.map(send, range(len(keys))))


@fault("same-key", 19)
def same_key(scene):
    """One idempotency key at all instances at once: one effect, and the same answer for all."""
    for n in range(5):
        answers = everywhere(scene, "/v1/stock/PROBE/deduct", {"quantity": 1}, [f"same-{n}"] * 30)
        seen = {(a.status, a.body["version"], a.body["remaining"]) for a in answers}
        if len(seen) != 1 or answers[0].status != 200:
            raise AssertionError(f"one key, several answers: {seen}")
        scene.bit("replays", sum(a.headers.get("Idempotent-Replayed") == "true" for a in answers))
    rows = [row["request_key"] for row in ledger(scene.instances[0].port, "stock/PROBE")]
    if len(rows) != len(set(rows)):
        raise AssertionError("one key, several effects")


@fault("same-user", 19)
def same_user(scene):
    """One user requests a coupon and a draw a hundred times at once: gets one of each."""
    first = scene.instances[0]
    first.call("PUT", "/v1/coupons/ONE", {"total": 1000, "per_user_limit": 1})
    first.call("PUT", "/v1/lotteries/ONE", {"draws_per_user": 1, "blank_weight": 1, "prizes": [
        {"prize": "gold", "quantity": 1000, "weight": 9}]})
    for path in ("/v1/coupons/ONE/issue", "/v1/lotteries/ONE/draw"):
        answers = everywhere(scene, path, {"user_id": "greedy"}, [f"{path[4]}-{n}" for n in range(100)])
        statuses = [a.status for a in answers]
        granted = sum(200 <= status < 300 for status in statuses)
        if granted != 1 or statuses.count(409) != 99:
            raise AssertionError(f"{path}: {granted} granted, {sorted(set(statuses))}")
        scene.bit("requests of the same user refused", statuses.count(409))


@fault("opposite-orders", 16, settings={"combine.max_batch": 256}, load={"skus": 40, "connections": 48,
                                                                         "think": "1ms"})
def opposite_orders(scene):
    """Transactions over many rows in any order, at all instances: no deadlock."""
    sums = [scene.count(f"holdfast_batch_size_{what}", 'endpoint="stock"') for what in ("sum", "count")]
    for i in range(INSTANCES):
        scene.await_more("transactions", lambda i=i: scene.done(only=[i]), by=100, limit_s=30)
    many = [scene.count(f"holdfast_batch_size_{what}", 'endpoint="stock"') for what in ("sum", "count")]
    scene.bit("requests that shared a transaction", many[0] - sums[0] - (many[1] - sums[1]))
