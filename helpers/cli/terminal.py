"""Standard output on which names from files are shown, never obeyed."""

import io
import os
import sys

from helpers.errors import printable


class Terminal(io.TextIOWrapper):
    """Text that `printable` leaves as it is, in the stream's encoding; what that lacks is written as \\u2713."""

    def write(self, text: str) -> int:
        """Write `text`; returns how many characters it has."""
        super().write(printable(text))
        return len(text)


def guard() -> None:
    """Put a Terminal in the place of standard output for the rest of this process; the null device if it was closed."""
    stream = sys.stdout
    if stream is None:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
        return
    stream.flush()
    lines = stream.isatty()
    sys.stdout = Terminal(stream.buffer, stream.encoding, errors="backslashreplace", line_buffering=lines)
