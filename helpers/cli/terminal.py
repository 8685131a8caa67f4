"""Standard output on which names from files are shown, never obeyed."""

import contextlib
import io
import os
import sys
from collections.abc import Iterator

from helpers.errors import BadInput, printable


class Terminal(io.TextIOWrapper):
    """Text that `printable` leaves as it is, in the stream's encoding; what that lacks is written as \\u2713.

    Raises:
        BadInput: the place that it leads to takes no more, such as a file on a full disk.
    """

    def write(self, text: str) -> int:
        """Write `text`; returns how many characters it has."""
        with self._refusals():
            super().write(printable(text))
        return len(text)

    def flush(self) -> None:
        """Write what is held back."""
        with self._refusals():
            super().flush()

    @contextlib.contextmanager
    def _refusals(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            raise
        except OSError as error:
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.fileno())  # where what is held back can go
            fix = "free space, or send it to another place"
            raise BadInput("standard output", error.strerror or error, "a place that takes it", fix) from error


def guard() -> None:
    """Put a Terminal in the place of standard output for the rest of this process; the null device if it was closed."""
    stream = sys.stdout
    if stream is None:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
        return
    stream.flush()
    lines = stream.isatty()
    sys.stdout = Terminal(stream.buffer, stream.encoding, errors="backslashreplace", line_buffering=lines)
