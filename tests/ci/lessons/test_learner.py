"""What is cleared of a lesson, and what is left."""

import pytest

from ci.lessons import learner
from helpers.errors import BadInput
from tests.ci.lessons.notebooks import SOLUTION


def test_clear_keeps_everything_outside_the_markers():
    cleared = learner.clear(f"{SOLUTION}\n\nprint(double)")
    assert cleared == "def double(x):\n    # your code here\n    ...\n\nprint(double)"
    for broken in (learner.BEGIN, learner.END, f"{learner.BEGIN}\n{learner.BEGIN}\n{learner.END}"):
        with pytest.raises(BadInput):
            learner.clear(broken)
