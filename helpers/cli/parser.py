"""The parser of every command: what its options have in common."""

import argparse
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from helpers.errors import BadInput, printable
from helpers.files import as_path


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose options of `type=Path` are paths that the system can look up.

    `--option=--` is an error: Python before 3.13 gives an empty list for it, whatever the type of the option.
    """

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.register("type", Path, _path)

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """As argparse's; what a command and its subcommands are parsed with."""
        for word in itertools.takewhile("--".__ne__, args or ()):
            if word.startswith("-") and word.endswith("=--"):
                self.error(f"argument {word.removesuffix('=--')}: expected a value, found '--'")
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> Any:
        """Exit with 2, after the usage and the message, in which no name is obeyed by a terminal."""
        super().error(printable(message))


def check_used(given: object, flag: str, used: object, needed: str) -> None:
    """BadInput for an option that was given and would do nothing: it counts only where there is what is `needed`."""
    if given and not used:
        raise BadInput(f"option {flag}", "given, and of no effect here", needed, "leave it out, or give what it needs")


def positive(text: str) -> float:
    """A finite number above 0, as the `type` of an option."""
    number = float(text)
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text}: a number above 0 is wanted")
    return number


def _path(text):
    if not text:
        raise argparse.ArgumentTypeError("'' is no path")
    try:
        return as_path(text)
    except BadInput as error:
        raise argparse.ArgumentTypeError(f"{text[:40]!r}: {error.found}; expected {error.expected}") from error
