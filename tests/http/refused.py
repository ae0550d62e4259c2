"""Support for tests of the gates themselves: instances that serve nothing, see tests/support/dummy.py."""

import contextlib
import os
import unittest.mock

import cluster

DUMMY = os.path.join(cluster.ROOT, "tests/support/dummy.py")
ANSWERS = ("401", "503", "nothing")


@contextlib.contextmanager
def refusing(answer, to):
    """Inside the block every instance that is started answers so, to `all` or only to `work`."""
    variables = {"DUMMY_ANSWER": answer, "DUMMY_TO": to, "DUMMY_REAL": cluster.BINARY}
    with unittest.mock.patch.dict(os.environ, variables), unittest.mock.patch.object(cluster, "BINARY", DUMMY):
        yield


def each_refusal():
    """Yields every way not to serve: what is answered, and to what."""
    for answer in ANSWERS:
        for to in ("all", "work"):
            yield answer, to
