"""One run over all kinds of notebooks, for every test that looks at its results."""

import pytest

from tests.ci.lessons.notebooks import NOTEBOOKS, SLEEPER, code, lesson, result, start


@pytest.fixture(scope="session")
def both(tmp_path_factory):
    """One run over a notebook that hangs, with little time, beside one over all NOTEBOOKS, with enough."""
    slow, folder = tmp_path_factory.mktemp("ci") / "slow", tmp_path_factory.mktemp("ci") / "notebooks"
    hanging = start({"hangs": lesson(code(SLEEPER))}, slow, "--timeout", "20")
    rest = start(NOTEBOOKS, folder, "--fast", "--prove-checks", "--timeout", "120", "--jobs", "2")
    return result(hanging, slow), result(rest, folder)


@pytest.fixture
def batch(both):
    return both[1]
