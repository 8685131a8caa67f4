"""One run over all kinds of notebooks, for every test that looks at its results."""

import pickle

import pytest

from tests.builders.shared import once
from tests.ci.lessons.notebooks import FROM_ITS_CELL, NAP, NOTEBOOKS, SLEEPER, code, lesson, result, start


@pytest.fixture(scope="session")
def both(tmp_path_factory):
    """One run over a notebook that hangs, with little time, beside one over all NOTEBOOKS, with enough."""
    return pickle.loads(once(tmp_path_factory, "lessons", _both).read_bytes())


def _both(base):
    slow, folder = base / "slow", base / "notebooks"
    hanging = start({"hangs": lesson(code(SLEEPER))}, slow, "--timeout", "2", program=("-c", FROM_ITS_CELL))
    rest = start(NOTEBOOKS, folder, "--fast", "--prove-checks", "--timeout", "600", "--jobs", "2")
    kept = base / "results.pickle"
    hung = result(hanging, slow)
    hung.nap = NAP  # of this process; another one may look for it
    kept.write_bytes(pickle.dumps((hung, result(rest, folder))))
    return kept


@pytest.fixture
def batch(both):
    return both[1]
