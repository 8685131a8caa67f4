"""The check of an exercise: calls the learner's function and turns whatever goes wrong into a sentence that teaches."""

import copy
import dataclasses
import linecache
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FunctionType
from typing import Any

import numpy as np

LOOSER = {float: (float, int, np.floating, np.integer), int: (int, np.integer), bool: (bool, np.bool_)}
ADVICE = {
    "AttributeError": "Look at what kind of value you have there: print type(...) of it.",
    "IndexError": "Print the shape or the length of what you index.",
    "KeyError": "Print the keys of what you look into: sorted(...) shows them.",
    "NameError": "Is the name spelled as in the cells above, and have they run?",
    "NotImplementedError": "Replace the line that raises it with your code.",
    "RecursionError": "A function that calls itself needs a case in which it stops.",
    "TypeError": "Print the types of the values in that line.",
    "ValueError": "Print the values in that line, and of arrays the shapes.",
    "ZeroDivisionError": "Which value can be zero there, and what should the answer be then?",
}


class Wrong(AssertionError):
    """The answer is not right yet. Jupyter shows the message alone, without a traceback."""

    def _render_traceback_(self):
        return ["Not yet: " + str(self)]


@contextmanager
def check(function: Callable, returns: Any = None) -> Iterator[Callable]:
    """Check an answer: `with check(f) as yours:`, then call `yours` as you would call `f` and assert what must hold.

    `yours` gives the function copies of its arguments, so that an answer that changes them in place spoils nothing.

    Args:
        function: what the learner has written.
        returns: what it must return: a type (`float` takes any real number, `bool` NumPy's too), a tuple of types, or
            a sample array or tensor whose type and shape the answer must have. None: anything but None.

    Raises:
        Wrong: with a sentence, whatever happens inside: an assertion that does not hold, an exception in the learner's
            function (with its line), nothing returned, a value of another type or shape, a value the check cannot use,
            or a name that no cell which has run defines.
    """
    name = getattr(function, "__name__", type(function).__name__)
    returned: list = []

    def yours(*arguments, **named):
        value = _call(function, name, arguments, named)
        _examine(value, returns, name)
        returned[:] = [value]
        return value

    try:
        yield yours
    except KeyboardInterrupt:
        raise
    except AssertionError as error:
        wrong = error if isinstance(error, Wrong) else Wrong(str(error) or f"{name} does not do what the task asks for")
        raise wrong.with_traceback(None) from None
    except NameError as error:
        missing = getattr(error, "name", None) or error
        found = f"`{missing}` is not defined when the check reads your answer"
        raise Wrong(f"{found}: if it is not of your own, run the cells above, then this one") from None
    except BaseException as error:
        got = f"returned {describe(returned[0])}" if returned else "has not returned anything"
        raise Wrong(
            f"the check cannot use your answer: {name} {got}, and reading it raised {_sentence(error)}. "
            "Compare the type and the shape with what the task asks for."
        ) from None


def describe(value: Any) -> str:
    """A value in a few words: its type, and its shape, length or text."""
    kind = type(value).__name__
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        shape = list(value.shape)
        return f"a {kind} of shape {shape} and type {value.dtype}" if shape else f"the single number {value}"
    if isinstance(value, (list, tuple, dict, set)):
        return f"a {kind} with {len(value)} item{'' if len(value) == 1 else 's'}"
    text = repr(value)
    return f"{text if len(text) <= 60 else text[:57] + '...'} ({kind})"


def _call(function, name, arguments, named):
    if not callable(function):
        raise Wrong(f"a function is expected here, but it is {describe(function)}; run the exercise's cell again")
    try:
        value = function(*_copies(arguments), **_copies(named))
    except (KeyboardInterrupt, Wrong):  # Wrong: from what the check has given the function to call
        raise
    except BaseException as error:
        place = _place(error, function)
        advice = ADVICE.get(type(error).__name__, "") if place else _advice_on_call(error, function)
        raise Wrong(f"{name} stopped with {_sentence(error)}{place}. {advice}".rstrip()) from None
    if value is None or value is Ellipsis:
        raise Wrong(f"{name} returns nothing yet: replace the ... by your code, and return the result")
    return value


def _examine(value: Any, returns: Any, name: str) -> None:
    """Raise Wrong where the value is not of the type or the shape of `returns`."""
    if returns is None:
        return
    sample = not isinstance(returns, (type, tuple))
    types = (type(returns),) if sample else returns if isinstance(returns, tuple) else (returns,)
    allowed = tuple(kind for each in types for kind in LOOSER.get(each, (each,)))
    plain_bool = isinstance(value, (bool, np.bool_)) and not {bool, np.bool_} & set(types)
    if not isinstance(value, allowed) or plain_bool:
        wanted = " or ".join(f"{each.__module__}.{each.__name__}".removeprefix("builtins.") for each in types)
        article = "an" if wanted[0] in "aeiou" else "a"
        raise Wrong(f"{name} must return {article} {wanted}; yours is {describe(value)}")
    if sample and np.shape(value) != np.shape(returns):
        raise Wrong(f"{name} must return the shape {list(returns.shape)}; yours is {describe(value)}")


def _copies(value):
    """Arrays and tensors in lists, tuples, dicts, and fields of data classes and named tuples copied; else as it is."""
    if isinstance(value, dict):
        return {key: _copies(item) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(map(_copies, value))
    if isinstance(value, tuple) and hasattr(value, "_make"):
        return value._make(_copies(each) if hasattr(each, "shape") else each for each in value)
    if isinstance(value, np.ndarray):
        return value.copy()
    if type(value).__module__ == "torch" and hasattr(value, "clone"):
        return value.detach().clone()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        held = {each.name: getattr(value, each.name) for each in dataclasses.fields(value)}
        arrays = {name: _copies(each) for name, each in held.items() if hasattr(each, "shape")}
        value = copy.copy(value) if arrays else value
        for name, each in arrays.items():
            object.__setattr__(value, name, each)  # frozen ones too
    return copy.copy(value) if isinstance(value, set) else value


def _sentence(error):
    text = " ".join(str(error).split())
    text = text if len(text) <= 240 else text[:237] + "..."
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _advice_on_call(error, function):
    """What helps where no line of the learner's own has run: a function of another form than it is called with."""
    if isinstance(error, TypeError) and isinstance(function, FunctionType):
        return "Leave the line that begins with def as it was: the check calls it with these arguments."
    return ADVICE.get(type(error).__name__, "")


def _place(error, function):
    """The last line of the learner's own cell that the error passed through, as ", in the line `...`"."""
    if not isinstance(function, FunctionType):
        return ""
    file = function.__code__.co_filename
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    text = linecache.getline(file, lines[-1] or 0).strip() if lines else ""
    return f", in the line `{text}`" if text else ""
