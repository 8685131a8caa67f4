"""What a door is to the fuzzer, and what can come of an input."""

import contextlib
import io
import re
import traceback
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import NamedTuple

from helpers.__main__ import main
from helpers.errors import BadInput

GOOD = ("clear", "accepted")
BAD = ("unnamed", "silent", "traceback", "memory", "hang", "crash")
NAMES = ("input ", "--", "option ")  # how an error begins that names no file but what was asked for
ERROR = re.compile(r"error: (.*?)\n  found:    (.*?)\n  expected: (.*?)\n  fix:      (.*)", re.DOTALL)


class Door(NamedTuple):
    """A kind of input.

    prepare: makes in a folder what all inputs need, and loads the libraries. make: writes one input into an empty
    folder, from a random source. enter: gives a folder's input to the helpers; raises BadInput for what they refuse
    and Silent for what they should have. files: an error that names none of them (or what was asked for) is unnamed.
    """

    prepare: Callable[[Path], None]
    make: Callable[[Random, Path, Path], None]
    enter: Callable[[Path], None]
    files: tuple[str, ...]


class Silent(Exception):
    """An input was accepted that is not what it claims; says why."""


class Unnamed(Exception):
    """An error without what it is about, or without a cure."""


def command(*argv: str) -> str:
    """Run `python -m helpers ARGV` in this process and return what it prints.

    Raises:
        BadInput: the command refused its input. Unnamed: it did, without a word of what is wrong.
    """
    said, printed = io.StringIO(), io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(printed):
        try:
            code = main(list(argv))
        except SystemExit as error:  # argparse
            code = error.code
    if code == 2:
        raise _refusal(said.getvalue())
    return printed.getvalue()


def _refusal(said):
    """The BadInput, or the error of argparse, that a command printed."""
    if match := ERROR.search(said):
        return BadInput(*match.groups())
    usage, _, error = said.partition(": error: ")
    return BadInput("option of the command", error, "its usage", usage) if error else Unnamed(said)


def outcome(door: Door, folder: Path) -> tuple[str, str]:
    """(verdict, what was said) of the input in `folder`, for all that does not end the process."""
    try:
        door.enter(folder)
    except BadInput as error:
        return _judged(error, door)
    except (Silent, Unnamed) as error:
        return type(error).__name__.lower(), str(error)
    except MemoryError as error:
        return "memory", repr(error)
    except Exception as error:
        frames = [f"{Path(frame.filename).name}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)]
        return "traceback", f"{type(error).__name__}: {error}\n{' '.join(frames[-6:])}"
    return "accepted", ""


def _judged(error, door):
    text, cause = str(error), error.__cause__
    if isinstance(cause, MemoryError) or "bad_alloc" in text or "allocate memory" in text:
        return "memory", text
    named = error.where.startswith(NAMES) or any(name in text for name in door.files)
    return ("clear" if named else "unnamed"), text
