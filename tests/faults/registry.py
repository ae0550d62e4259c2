"""The list of faults. A fault is a function of a scene, with the strategies that it applies to."""

import collections

LOCKS = ("lock-table", "redis-lock", "zookeeper-lock", "etcd-lock")
SERVER_LOCKS = LOCKS[1:]
ALL = ("optimistic", "conditional", "row-lock") + LOCKS

Fault = collections.namedtuple("Fault", "name number strategies act settings load soak convicts workload why")
faults = {}


class NotHere(Exception):
    """The fault cannot be injected on this machine."""


def fault(name, number, strategies=ALL, settings=None, load=None, soak=True, convicts=(), transfers=()):
    """Registers the function below as the fault of this name. The number is that of the catalogue in
    tests/README.md. `soak`: other faults may run in the same scene. `convicts`: the scene must end with
    one of these invariants violated, because their protection is switched off. `transfers`: registers it a
    second time, for these strategies, as transfers-NAME: with transfers of points instead of the load
    tester's mix."""
    def register(act):
        faults[name] = Fault(name, number, strategies, act, settings or {}, load or {}, soak, convicts, "mixed",
                             act.__doc__.split("\n")[0])
        if transfers:
            second = f"transfers-{name}"
            faults[second] = faults[name]._replace(name=second, strategies=transfers, load={},
                                                    workload="transfers")
        return act
    return register
