"""Numbers of the command line."""

import argparse

import pytest

from helpers.cli import numbers


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (numbers.real(0, 10), "2.5", 2.5),
        (numbers.real(0, 10), "0", 0),
        (numbers.whole(1, 10), "10", 10),
        (numbers.several(0, 100), "50,99.9", [50, 99.9]),
    ],
)
def test_numbers_within_their_bounds(kind, text, value):
    assert kind(text) == value


@pytest.mark.parametrize("text", ["inf", "-inf", "nan", "-0.1", "10.1", "1e300", "", "two", "1,2"])
@pytest.mark.parametrize("kind", [numbers.real(0, 10), numbers.whole(0, 10)])
def test_numbers_out_of_bounds_and_what_is_none(kind, text):
    with pytest.raises((ValueError, argparse.ArgumentTypeError)):
        kind(text)


@pytest.mark.parametrize("text", ["50,101", "50,", "nan", "50,inf"])
def test_one_of_several_out_of_bounds(text):
    with pytest.raises((ValueError, argparse.ArgumentTypeError)):
        numbers.several(0, 100)(text)


def test_what_is_no_number_is_said_so():
    with pytest.raises(argparse.ArgumentTypeError, match="'two' is not a number"):
        numbers.real(0, 10)("two")
    with pytest.raises(argparse.ArgumentTypeError, match=r"'1.5' is not a whole number"):
        numbers.whole(0, 10)("1.5")
