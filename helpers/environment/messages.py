"""What an error message means: a table of known messages with cause, cure and source, in messages.toml."""

import dataclasses
import functools
import re
import tomllib
from pathlib import Path

from helpers.errors import BadInput

TABLE = Path(__file__).with_name("messages.toml")
ANSI = re.compile(r"\x1b\[[0-9;]{0,20}[A-Za-z]")
QUOTES = str.maketrans("‘’“”", "''\"\"")


@dataclasses.dataclass(frozen=True)
class Message:
    """One known message.

    Attributes:
        id, topic, title: its name, its family, and the part by which readers recognize it.
        pattern: regular expression that identifies it.
        sample: what it looks like in a log.
        cause: why it appears.
        cure: steps; one that begins with "$ " is a shell command.
        versions: where it occurs.
        source: public page about it.
        general: whether it says little by itself, as "undefined symbol" does.
    """

    id: str
    topic: str
    title: str
    pattern: str
    sample: str
    cause: str
    cure: tuple[str, ...]
    versions: str
    source: str
    general: bool = False


@dataclasses.dataclass(frozen=True)
class Explanation(Message):
    """A Message that was found in a text.

    Attributes:
        matched: the line of the text in which it was found.
    """

    matched: str = ""

    def __str__(self) -> str:
        steps = "\n".join(f"    {step}" for step in self.cure)
        return (
            f"{self.title}   [{self.topic}]\n  found:    {self.matched}\n  cause:    {self.cause}\n"
            f"  cure:\n{steps}\n  versions: {self.versions}\n  source:   {self.source}"
        )


def explain(text: str) -> list[Explanation]:
    """The known messages in an error or log, as a list of Explanation.

    Ordered as they appear in the text, those that say little by themselves ("undefined symbol") last and only where no
    other explains the same line. Color codes and typographic quotes in the text do not matter.
    """
    if not isinstance(text, str):
        raise BadInput("explain(text)", type(text).__name__, "the error or log as a str", "pass str(error)")
    text = ANSI.sub("", text).translate(QUOTES)
    found = [(match, message) for message in table() if (match := _pattern(message.pattern).search(text))]
    found.sort(key=lambda pair: (pair[1].general, pair[0].start()))
    explained = {_line(text, match) for match, message in found if not message.general}
    return [
        Explanation(**vars(message), matched=_line(text, match))
        for match, message in found
        if not (message.general and _line(text, match) in explained)
    ]


def search(words: str) -> list[dict[str, str]]:
    """The known messages in which all of `words` (a str, split at spaces) occur, whatever the case, as rows."""
    wanted = words.lower().split()
    return [
        row
        for row, message in zip(rows(), table(), strict=True)
        if all(word in f"{message.id} {message.sample} {' '.join(row.values())}".lower() for word in wanted)
    ]


def rows() -> list[dict[str, str]]:
    """The wall of messages as rows for helpers.display.table: message, topic, cause, cure, versions, source."""
    return [
        {
            "message": message.title,
            "topic": message.topic,
            "cause": message.cause,
            "cure": " → ".join(message.cure),
            "versions": message.versions,
            "source": message.source,
        }
        for message in table()
    ]


@functools.cache
def table() -> list[Message]:
    """All Messages, in the order of messages.toml."""
    entries = tomllib.loads(TABLE.read_text(encoding="utf-8"))["message"]
    return [Message(**entry | {"cure": tuple(entry["cure"])}) for entry in entries]


@functools.cache
def _pattern(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


def _line(text: str, match: re.Match[str]) -> str:
    """The line in which the match ends: for a match over several lines, that is where the error is."""
    start = text.rfind("\n", 0, max(match.end() - 1, 0)) + 1
    end = text.find("\n", match.end())
    return text[start : len(text) if end < 0 else end].strip()[:300]
