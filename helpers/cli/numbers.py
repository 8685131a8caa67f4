"""Types of numbers on a command line, for argparse: within bounds, so never infinite and never not a number."""

import argparse
from collections.abc import Callable


def real(least: float, most: float) -> Callable[[str], float]:
    """The `type=` of an option that takes a number from `least` to `most`."""
    return lambda text: _within(_read(float, text), least, most)


def whole(least: int, most: int) -> Callable[[str], int]:
    """The `type=` of an option that takes a whole number from `least` to `most`."""
    return lambda text: _within(_read(int, text), least, most)


def several(least: float, most: float) -> Callable[[str], list[float]]:
    """The `type=` of an option that takes numbers from `least` to `most`, with commas between them."""
    return lambda text: [_within(_read(float, item), least, most) for item in text.split(",")]


def _read(kind, text):
    try:
        return kind(text)
    except ValueError as error:
        expected = "a whole number" if kind is int else "a number"
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is not {expected}") from error


def _within(value, least, most):
    if not least <= value <= most:
        raise argparse.ArgumentTypeError(f"{value} is not within {least:g} to {most:g}")
    return value
