"""`python -m helpers explain`: what a pasted error or a log means, and what to do about it."""

import contextlib
import os
import sys
from pathlib import Path

from helpers.cli.parser import Parser, check_used
from helpers.environment import messages
from helpers.errors import BadInput, foreign

MOST = 16 << 20  # bytes of a log: a hundred patterns take 10 s for them


def main(argv: list[str]) -> int:
    """Returns 0 if a message is known, 1 if none is."""
    parser = Parser(
        prog="python -m helpers explain", description="Explain an error message or a log (from standard input)."
    )
    parser.add_argument("text", nargs="*", help="the message, or a file that holds it; default: standard input")
    parser.add_argument("--search", metavar="WORDS", help="list the known messages with these words instead")
    options = parser.parse_args(argv)
    if options.search is not None:
        check_used(options.text, "TEXT", False, "a message to explain, without --search")
        rows = messages.search(options.search)
        print("\n".join(f"{row['topic']:<22} {row['message']}" for row in rows) or "no known message has these words")
        return 0 if rows else 1
    found = messages.explain(_text(options.text))
    known = len(messages.table())
    print("\n\n".join(map(str, found)) or f"no known message in it ({known} are known; --search lists them)")
    return 0 if found else 1


def _text(words: list[str]) -> str:
    """What the command is asked about: a file's content, the words themselves, or standard input."""
    if len(words) == 1 and os.path.isfile(words[0]):
        return _decoded(words[0], lambda: Path(words[0]).open("rb"))
    if not words and sys.stdin is None:
        raise BadInput("standard input", "closed", "an error message or a log", "give the message, or a file")
    return " ".join(words) or _decoded("standard input", lambda: contextlib.nullcontext(sys.stdin.buffer))


def _decoded(where, opened):
    """The text of a stream, as far as it is UTF-8; BadInput if it cannot be read, or is too long for a log."""
    with foreign(where, "an error message or a log", "correct the path, or paste the message"), opened() as stream:
        data = stream.read(MOST + 1)
    if len(data) > MOST:
        found, expected = f"more than {MOST >> 20} MiB", "an error message or a log"
        raise BadInput(where, found, expected, "give the part around the error, such as the last lines: tail -n 1000")
    return data.decode("utf-8", "replace")
