"""What a plot cannot be made of, told in a sentence: the libraries that draw raise what they like."""

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from helpers.errors import foreign

P = ParamSpec("P")
T = TypeVar("T")


def told(function: Callable[P, T]) -> Callable[P, T]:
    """A function of `helpers.display` whose errors are BadInput with the library's reason, which stays their cause."""

    @functools.wraps(function)
    def asked(*positional: P.args, **named: P.kwargs) -> T:
        what = (function.__doc__ or "").strip().partition("\n")[0]
        with foreign(f"display.{function.__name__}", what, f"see help(display.{function.__name__})"):
            return function(*positional, **named)

    return asked
