"""The one error for bad input, which says where, what was found, what was expected, and how to mend it; and how what a
library raises becomes that error.
"""

import contextlib
from collections.abc import Iterator


class BadInput(ValueError):
    """Input that cannot be used.

    Args:
        where: the file, tensor, argument or cell at fault.
        found: what is there.
        expected: what should be there.
        fix: what the reader can do about it, as a command where there is one.
    """

    def __init__(self, where: object, found: object, expected: object, fix: object) -> None:
        self.where, self.found, self.expected, self.fix = str(where), str(found), str(expected), str(fix)
        super().__init__(f"{self.where}\n  found:    {self.found}\n  expected: {self.expected}\n  fix:      {self.fix}")


def reason(error: BaseException) -> str:
    """What an exception says, on one line: the first that says anything, or else the exception's class."""
    lines = (line.strip() for line in str(error).splitlines())
    said = next((line for line in lines if line), "")
    return f"{type(error).__name__}: {said}" if said else type(error).__name__


@contextlib.contextmanager
def foreign(where: object, expected: object, fix: object) -> Iterator[None]:
    """Whatever a library raises in the block becomes a BadInput with its reason, and stays the cause of it.

    The exceptions of a library have no class in common, and lists of them are never complete. A BadInput of the block
    stays what it is, and so does a package that is absent.
    """
    try:
        yield
    except (BadInput, ModuleNotFoundError):
        raise
    except Exception as error:
        raise BadInput(where, reason(error), expected, fix) from error
