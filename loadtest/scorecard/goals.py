"""The goals: ratios within one run, each with the least that it should be.

A ratio is the median of the ratios of each round, so that what disturbs a round disturbs both sides.
"""

import dataclasses
import statistics

from rows import AXES

CEILING = "its ceiling"


def words(strategy, spread, instances, route="any", mode="combined"):
    return (strategy, mode, spread, instances, "mariadb", route)


@dataclasses.dataclass(frozen=True)
class Goal:
    what: str
    row: tuple
    of: object  # CEILING, or the words of another row
    at_least: float


HOT_1, HOT_3 = words("conditional", "hot", "1"), words("conditional", "hot", "3")
SPREAD_3 = words("conditional", "spread", "3")

GOALS = [
    Goal("conditional, hot, 1 instance, of its ceiling", HOT_1, CEILING, 0.95),
    Goal("conditional, hot, 3 instances routed, of its ceiling", words("conditional", "hot", "3", "routed"),
         CEILING, 0.85),
    Goal("conditional, 1,000 SKUs, 1 instance, of the hot rate", words("conditional", "spread", "1"), HOT_1, 0.80),
    Goal("conditional, 1,000 SKUs, 3 instances, of its ceiling", SPREAD_3, CEILING, 0.70),
    Goal("conditional, 1,000 SKUs, 3 instances routed, of its ceiling",
         words("conditional", "spread", "3", "routed"), CEILING, 0.70),
    Goal("zookeeper-lock, hot, 3 instances, of conditional", words("zookeeper-lock", "hot", "3"), HOT_3, 0.70),
    Goal("etcd-lock, hot, 3 instances, of conditional", words("etcd-lock", "hot", "3"), HOT_3, 0.70),
    Goal("zookeeper-lock with partitions, 1,000 SKUs, 3 instances, of conditional",
         words("zookeeper-lock", "spread", "3", mode="partitioned"), SPREAD_3, 0.60),
]

P99_AT_HALF_LOAD_MS = 10.0
INTERLEAVED_AT_LEAST = 0.80


def ratio(above, below):
    """The median of the rounds' ratios; None if a round is in only one of the two lists."""
    pairs = [(one, other) for one, other in zip(above, below) if other]
    return statistics.median(one / other for one, other in pairs) if pairs else None


def reached(entries, half_loads=(), other_works=()):
    """The goals whose rows were measured, for the report. All three are lists of the report's entries."""
    found = {tuple(entry[axis] for axis in AXES): entry for entry in entries
             if not entry["failed"] and not entry["violations"]}
    lines = []
    for goal in GOALS:
        row, of = found.get(goal.row), found.get(goal.of)
        now = None
        if row and goal.of is CEILING:
            now = row["ratio"]
        elif row and of:
            now = ratio(row["rates"], of["rates"])
        if now is not None:
            lines.append({"goal": goal.what, "now": now, "bar": goal.at_least, "sign": "≥", "unit": "",
                          "met": now >= goal.at_least})
    lines += [{"goal": f"{one['name']}, of deducts over 1,000 SKUs", "now": one["ratio"], "bar": INTERLEAVED_AT_LEAST,
               "sign": "≥", "unit": "", "met": one["ratio"] >= INTERLEAVED_AT_LEAST}
              for one in other_works if one["word"] == "interleaved" and one.get("ratio") and not one["violations"]]
    lines += [{"goal": f"{one['name']}, half load, p99", "now": one["p99_ms"], "bar": P99_AT_HALF_LOAD_MS,
               "sign": "≤", "unit": " ms", "met": one["p99_ms"] <= P99_AT_HALF_LOAD_MS}
              for one in half_loads if not one["failed"] and not one["violations"]]
    return lines
