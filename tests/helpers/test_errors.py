"""How what a library raises becomes a BadInput."""

import pytest

from helpers.errors import BadInput, foreign, reason


def test_what_a_library_raises_becomes_bad_input_with_its_cause():
    for error in (KeyError("x"), MemoryError(), RuntimeError("\n  first\nsecond"), RecursionError("deep")):
        with pytest.raises(BadInput) as caught, foreign("file", "a whole file", "copy it"):
            raise error
        assert caught.value.__cause__ is error and caught.value.found == reason(error)
        assert (caught.value.where, caught.value.expected, caught.value.fix) == ("file", "a whole file", "copy it")


def test_bad_input_an_absent_package_and_an_interruption_stay_what_they_are():
    for error in (BadInput("a", "b", "c", "d"), ModuleNotFoundError("x"), KeyboardInterrupt()):
        with pytest.raises(type(error)) as caught, foreign("file", "a whole file", "copy it"):
            raise error
        assert caught.value is error


def test_a_reason_is_one_line_and_never_empty():
    assert reason(RuntimeError("\n  first \nsecond")) == "RuntimeError: first"
    assert reason(MemoryError()) == "MemoryError"
