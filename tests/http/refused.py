"""Support for tests of the gates themselves: instances that serve nothing, see tests/support/dummy.py."""

import contextlib
import os
import unittest.mock

import cluster

DUMMY = os.path.join(cluster.ROOT, "tests/support/dummy.py")
WORK = [(answer, "work") for answer in ("401", "503", "nothing")]
# Without 503 to everything: the load tester repeats its set-up for ten seconds.
REFUSALS = [("401", "all"), ("nothing", "all"), *WORK]


@contextlib.contextmanager
def refusing(answer, to):
    """Inside the block every instance that is started answers so, to `all` or only to `work`."""
    variables = {"DUMMY_ANSWER": answer, "DUMMY_TO": to, "DUMMY_REAL": cluster.BINARY}
    with unittest.mock.patch.dict(os.environ, variables), unittest.mock.patch.object(cluster, "BINARY", DUMMY):
        yield
