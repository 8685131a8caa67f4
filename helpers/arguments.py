"""The door of arguments: what a caller passes is of the type that the function states, or is refused in a sentence.

A notebook hands over whatever stands in a variable. `typed` asks once, where a function begins, so that no type that
was not meant comes as far as the arithmetic. Types that are not plain (protocols, `Any`, names that only a type checker
imports) are not asked for.
"""

import collections.abc
import functools
import inspect
import numbers
import os
import reprlib
import sys
import types
import typing
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from helpers.errors import BadInput

if TYPE_CHECKING:
    import numpy as np

F = TypeVar("F", bound=Callable[..., Any])
MANY = 1000  # elements of a sequence that are looked at
TEXT = (str, bytes)
KINDS = {"number": ("numbers", "iuf"), "whole": ("wholes", "iu"), "truth": ("truths", "b")}  # said, dtype.kind
NUMBERS = {int: numbers.Integral, float: numbers.Real}
NAMES = {int: "a whole number", float: "a number", str: "a text", bool: "True or False", bytes: "bytes",
         type(None): "None"}  # fmt: skip
SERIES = (collections.abc.Sequence, collections.abc.Iterable, collections.abc.Collection, list, tuple, set, frozenset)


def typed(function: F) -> F:
    """A function, or a dataclass, that raises BadInput for an argument of another type than its own annotation.

    A whole number stands for a number too, but True for neither; a list or a tensor of PyTorch for a NumPy array;
    a NumPy array for a sequence. A text is no sequence of anything. Elements are looked at where they are few.
    """
    if isinstance(function, type):
        function.__init__ = typed(function.__init__)  # type: ignore[misc]
        return function
    signature = inspect.signature(function)
    name = function.__qualname__.removesuffix(".__init__")

    @functools.wraps(function)
    def asked(*positional, **named):
        try:
            given = signature.bind(*positional, **named).arguments
        except TypeError:
            return function(*positional, **named)  # Python says which argument is missing
        hints = _hints(function)
        for argument, value in given.items():
            if argument in hints and not _fits(value, hints[argument]):
                raise BadInput(f"{argument} of {name}", _shown(value), _said(hints[argument]), "pass what is expected")
        return function(*positional, **named)

    return typing.cast(F, asked)


def array(where: object, value: Any, shape: Sequence[int | None], kind: str = "number") -> "np.ndarray":
    """`value` as an array of finite numbers of that shape, in which None is any size.

    Args:
        where: what an error names.
        kind: "number", "whole" for whole numbers alone, or "truth" for True and False.

    Raises: BadInput for another shape, for what is no number, and for NaN and infinity.
    """
    import numpy as np  # what needs no array has to start where NumPy does not

    said, allowed = KINDS[kind]
    what = {"number": "finite numbers", "whole": "whole numbers", "truth": "True or False"}[kind]
    fix = f"pass {what} of that shape"
    expected = f"{said} [{', '.join('any' if size is None else str(size) for size in shape)}]"
    try:
        found = np.asarray(value)
    except ValueError as error:  # rows of several lengths
        raise BadInput(where, error, expected, fix) from error
    fits = found.ndim == len(shape) and all(want in (None, size) for want, size in zip(shape, found.shape, strict=True))
    if not fits or found.dtype.kind not in allowed:
        raise BadInput(where, f"{found.dtype} {list(found.shape)}", expected, fix)
    if bad := np.count_nonzero(~np.isfinite(found)):
        raise BadInput(where, f"{bad} of {found.size} values that are NaN or infinite", expected, fix)
    return found


def between(where: object, value: float, least: float, most: float) -> None:
    """BadInput unless a number lies from `least` to `most`; NaN does not."""
    if not least <= value <= most:
        raise BadInput(where, value, f"a number from {least:g} to {most:g}", "choose another")


@functools.cache
def _hints(function):
    """Argument -> its type, of those that can be found while the program runs and that stand for one value."""
    names, found = vars(sys.modules[function.__module__]), {}
    kinds = {parameter.name: parameter.kind for parameter in inspect.signature(function).parameters.values()}
    for argument, hint in function.__annotations__.items():
        if kinds.get(argument) in (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY):
            try:
                found[argument] = eval(hint, names) if isinstance(hint, str) else hint
            except (NameError, AttributeError):  # imported for the type checker alone
                continue
    return found


def _fits(value, hint):
    """Whether a value is of a type; True where nobody can say."""
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, one) for one in typing.get_args(hint))
    if origin is typing.Literal:
        return value in typing.get_args(hint)
    if hint is None or hint is type(None):
        return value is None
    kind = origin or hint
    if hint is Any or not isinstance(kind, type) or getattr(kind, "_is_protocol", False):
        return True
    if kind is bool or isinstance(value, bool):
        return kind in (bool, object) and (isinstance(value, bool) or type(value).__name__ in ("bool_", "bool"))
    if kind in NUMBERS:
        return isinstance(value, NUMBERS[kind])
    if kind is os.PathLike:
        return isinstance(value, os.PathLike)
    if kind is collections.abc.Callable:
        return callable(value)
    if kind.__module__ == "numpy" and kind.__name__ == "ndarray":
        return isinstance(value, list | tuple) or hasattr(value, "__array__")
    if kind in SERIES:
        return _is_series(value, kind, typing.get_args(hint))
    return isinstance(value, kind)


def _is_series(value, kind, elements):
    """Whether a value is such a series, of elements that fit as far as they are asked for."""
    if isinstance(value, TEXT):
        return False
    if type(value).__name__ in ("ndarray", "Tensor"):
        return kind not in (list, tuple, set, frozenset)
    if not isinstance(value, kind):
        return False
    one = elements[0] if elements and (kind is not tuple or elements[1:] == (Ellipsis,)) else None
    if one is None or not isinstance(value, list | tuple | set | frozenset) or len(value) > MANY:
        return True
    return all(_fits(element, one) for element in value)


def _shown(value):
    """The type of a value, and the value where it is short to say."""
    plain = value is None or isinstance(value, str | bytes | bool | numbers.Number | list | tuple | dict | set)
    return f"{type(value).__name__} {reprlib.repr(value) if plain else ''}".strip()


def _said(hint):
    """A type in words."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        said = [_said(one) for one in typing.get_args(hint)]
        return " or ".join(dict.fromkeys("a path" if text == "a PathLike" else text for text in said))
    if typing.get_origin(hint) is typing.Literal:
        return " or ".join(map(repr, typing.get_args(hint)))
    if hint is None:
        return NAMES[type(None)]
    kind = typing.get_origin(hint) or hint
    inner = [_said(one) for one in typing.get_args(hint) if one is not Ellipsis] if kind in SERIES else []
    of = f" of {inner[0]}" if inner else ""
    return NAMES.get(kind, f"a {getattr(kind, '__name__', kind)}") + of
