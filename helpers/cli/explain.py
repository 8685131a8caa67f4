"""`python -m helpers explain`: what a pasted error or a log means, and what to do about it."""

import argparse
import os
import sys
from pathlib import Path

from helpers.environment import messages


def main(argv: list[str]) -> int:
    """Returns 0 if a message is known, 1 if none is."""
    parser = argparse.ArgumentParser(
        prog="python -m helpers explain", description="Explain an error message or a log (from standard input)."
    )
    parser.add_argument("text", nargs="*", help="the message, or a file that holds it; default: standard input")
    parser.add_argument("--search", metavar="WORDS", help="list the known messages with these words instead")
    options = parser.parse_args(argv)
    if options.search is not None:
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
        return Path(words[0]).read_text(encoding="utf-8", errors="replace")
    return " ".join(words) or sys.stdin.read()
