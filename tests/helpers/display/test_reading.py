"""Readings follow what was measured."""

import pytest

from helpers import display


def test_the_first_case_that_holds_is_read():
    assert display.reading((False, "slower"), (True, "faster"), (True, "equal")).data == "faster"
    assert display.reading((False, "slower"), otherwise="equal").data == "equal"


def test_a_case_nobody_thought_of_is_an_error():
    with pytest.raises(ValueError, match="none of the 1 cases holds"):
        display.reading((False, "slower"))
