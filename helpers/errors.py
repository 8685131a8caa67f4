"""The one error for bad input, which says where, what was found, what was expected, and how to mend it; and how what a
library raises becomes that error.
"""

import contextlib
import errno
import re
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

# Control characters, marks that turn the direction of writing, separators of lines, halves of characters.
UNSEEN = re.compile("[\0-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
# A full disk in the words of those who hide the number of the error: safetensors, NumPy, PyTorch.
FULL = re.compile(r"No space left on device|quota exceeded|\d+ requested and \d+ written|unexpected pos \d+ vs \d+")


class BadInput(ValueError):
    """Input that cannot be used. Its message can be printed anywhere, whatever the names in it hold.

    Args:
        where: the file, tensor, argument or cell at fault.
        found: what is there; blank text is shown in quotes.
        expected: what should be there.
        fix: what the reader can do about it, as a command where there is one.
    """

    def __init__(self, where: object, found: object, expected: object, fix: object) -> None:
        self.where, self.found, self.expected, self.fix = str(where), str(found), str(expected), str(fix)
        self.found = self.found if self.found.strip() else repr(self.found)
        text = f"{self.where}\n  found:    {self.found}\n  expected: {self.expected}\n  fix:      {self.fix}"
        super().__init__(printable(text))

    def __reduce__(self) -> tuple[Any, ...]:
        """So that it goes whole from one process to another."""
        return _again, (type(self), str(self), vars(self))


def _again(kind, text, fields):
    error = kind.__new__(kind, text)
    vars(error).update(fields)
    return error


def check_config(config: object, *fields: str) -> None:
    """BadInput unless `config` is the configuration of a system, or has at least the `fields` that are read of it."""
    lacking = [name for name in fields if not hasattr(config, name)]
    if lacking or isinstance(config, type):
        kind = (
            f"the class {config.__name__}" if isinstance(config, type) else f"{config!r:.80}, a {type(config).__name__}"
        )
        found = f"{kind}{', without ' + ', '.join(lacking) if lacking else ''}"
        raise BadInput("config", found, "the configuration of a system", "pass helpers.models.config(SYSTEM, NAME)")


def check_network(model: object) -> None:
    """BadInput unless `model` is a module of PyTorch, which this need not import."""
    if not (hasattr(model, "state_dict") and hasattr(model, "parameters")) or isinstance(model, type):
        found = f"{model!r:.80}, a {type(model).__name__}"
        raise BadInput("model", found, "a module of PyTorch", "pass what helpers.models.create returns")


def entry(table: Mapping[str, Any], key: str, usual: Any, where: object, fix: object) -> Any:
    """What a file's table has under `key`: `usual` where it has nothing or null, BadInput where it is no such type."""
    value = table.get(key)
    if value is None:
        return usual
    if type(value) is not type(usual):
        kind = {dict: "a table", bool: "true or false", str: "text", int: "a whole number"}[type(usual)]
        raise BadInput(where, f"{key} {value!r:.80}", kind, fix)
    return value


def printable(text: object, keep: str = "\n\t") -> str:
    """`text` with what a terminal or a page would obey and not show written as \\x1b or \\u202e, but for `keep`.

    A name of a file or a tensor can so neither color, overwrite nor turn around what stands beside it, and half a
    character, which stands for a byte of a name that is not UTF-8, can be printed.
    """
    return UNSEEN.sub(lambda found: found[0] if found[0] in keep else ascii(found[0])[1:-1], str(text))


def reason(error: BaseException) -> str:
    """What an exception says, on one line of at most 300 characters, or else the exception's class."""
    said = textwrap.shorten(str(error), 300, placeholder=" ...")
    return f"{type(error).__name__}: {said}" if said else type(error).__name__


def full(error: BaseException | None) -> bool:
    """Whether an exception, or what it came from, says that a disk, a quota or the table of files is full."""
    if isinstance(error, BadInput) or (error is not None and error.__cause__ is not None):
        return full(error.__cause__)
    number = getattr(error, "errno", None)
    return number in (errno.ENOSPC, errno.EDQUOT) or (number is None and FULL.search(str(error)) is not None)


@contextlib.contextmanager
def foreign(where: object, expected: object, fix: object) -> Iterator[None]:
    """Whatever a library raises in the block becomes a BadInput with its reason, and stays the cause of it.

    The exceptions of a library have no class in common, and lists of them are never complete. A BadInput of the block
    stays what it is, and so do a package that is absent and a full disk, which `helpers.disk` puts into words.
    """
    try:
        yield
    except (BadInput, ModuleNotFoundError):
        raise
    except Exception as error:
        if full(error):
            raise
        raise BadInput(where, reason(error), expected, fix) from error
