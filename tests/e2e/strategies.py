"""The scene on strategies: each one under load through HAProxy, on both instances."""

from load import MIXED, measured
from registry import scene
from stack import INSTANCES

SECONDS = 5


def batches(stack, instance, strategy):
    return stack.metric(instance, "holdfast_batch_size_count", f'strategy="{strategy}"')


def under_load(stack, strategy, instances=INSTANCES):
    """Runs the load with a strategy. Checks that every instance took part. Returns the successful operations."""
    stack.set_strategy(strategy, instances)
    before = [batches(stack, instance, strategy) for instance in instances]
    report = measured(stack, SECONDS, **MIXED)
    for instance, earlier in zip(instances, before):
        if batches(stack, instance, strategy) <= earlier:
            raise AssertionError(f"{instance} committed nothing with {strategy}")
    if report["outcomes"]["unknown"] or report["outcomes"]["error"] > report["requests"] / 20:
        raise AssertionError(f"{strategy}: too much failed: {report['outcomes']} {report['problems']}")
    return report["outcomes"]["ok"]


@scene("strategies")
def strategies(stack):
    """Each strategy with cluster scope on two instances. `none` is refused, and so is `mutex` for one endpoint,
    because the others share its counters; for all of them it is chosen at the start."""
    listed = stack.call("GET", "/v1/strategies").body["strategies"]
    of_cluster = [entry for entry in listed if entry["scope"] == "cluster"]
    unusable = [f"{entry['name']}: {entry['why_not']}" for entry in of_cluster if not entry["usable"]]
    if unusable or len(of_cluster) < 7:
        raise AssertionError(f"strategies missing or unusable: {unusable}")
    done = {entry["name"]: under_load(stack, entry["name"]) for entry in of_cluster}
    for name in ("none", "mutex"):
        refusal = stack.call("PUT", "/v1/strategies/stock", {"strategy": name}, admin=True)
        if refusal.status != 422:
            raise AssertionError(f"`{name}` was accepted: {refusal}")
    stack.set_strategy("conditional")
    told = ", ".join(f"{name} {count:,}" for name, count in done.items())
    return f"0 violations; operations acknowledged in {SECONDS} s: {told}; none and mutex are refused"
