"""The list of faults. A fault is a function of a scene, with the strategies that it applies to."""

import collections

LOCKS = ("lock-table", "redis-lock", "zookeeper-lock", "etcd-lock")
SERVER_LOCKS = LOCKS[1:]
ALL = ("optimistic", "conditional", "row-lock") + LOCKS

Fault = collections.namedtuple("Fault", "name number strategies act settings load soak convicts workload why")
faults = {}


class NotHere(Exception):
    """The fault cannot be injected on this machine."""


def fault(name, number, strategies=ALL, settings=None, load=None, soak=True, convicts=(), workload="mixed", **more):
    """Registers the function below as the fault of this name. The number is that of the catalogue in
    tests/README.md. `soak`: other faults may run in the same scene. `convicts`: the scene must end with
    one of these invariants violated, because their protection is switched off. `workload`: one of
    workloads.py. `more` registers it again for other workloads: `transfers=ALL` for all strategies, as
    transfers-NAME."""
    def register(act):
        faults[name] = Fault(name, number, strategies, act, settings or {}, load or {}, soak, convicts, workload,
                             act.__doc__.split("\n")[0])
        for other, its_strategies in more.items():
            faults[f"{other}-{name}"] = faults[name]._replace(name=f"{other}-{name}", strategies=its_strategies,
                                                              load={}, workload=other)
        return act
    return register
