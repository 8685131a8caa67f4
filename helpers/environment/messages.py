"""What an error message means: a table of known messages with cause, cure and source, in messages.toml."""

import dataclasses
import functools
import re
import tomllib
from pathlib import Path
from typing import Any

from helpers.arguments import typed
from helpers.errors import BadInput

TABLE = Path(__file__).with_name("messages.toml")
TRANSLATIONS = TABLE.with_name("translations.toml")
ANSI = re.compile(r"(?:\x1b|\\x1b|\\u001b|\\033|␛)\[[0-9;:?]{0,20}[A-Za-z]")
SIGNS = str.maketrans({"‘": "'", "’": "'", "“": '"', "”": '"', "\u00a0": " "})


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
        context: regular expression that must occur in the text too: the product, where the message does not name it.
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
    context: str = ""


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
    other explains the same line. Color codes, line ends, typographic quotes and the language of the system do not
    matter; lines of another product that need no cure (TensorFlow's about TensorRT) are passed over.
    """
    if not isinstance(text, str):
        raise BadInput("explain(text)", type(text).__name__, "the error or log as a str", "pass str(error)")
    lines = ANSI.sub("", text).splitlines()
    plain = _english("\n".join("" if _foreign().search(line) else line for line in lines))
    found = [(match, message) for message in table() if (match := _find(message, plain))]
    found.sort(key=lambda pair: (pair[1].general, pair[0].start()))
    explained = {_line(plain, match) for match, message in found if not message.general}
    return [
        Explanation(**vars(message), matched=lines[_line(plain, match)].strip()[:300])
        for match, message in found
        if not (message.general and _line(plain, match) in explained)
    ]


@typed
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
    return [Message(**entry | {"cure": tuple(entry["cure"])}) for entry in _read(TABLE)["message"]]


@functools.cache
def _read(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.read_text(encoding="utf-8"))


@functools.cache
def _pattern(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


def _find(message: Message, text: str) -> re.Match[str] | None:
    """Where the message is in a text that has its context."""
    match = _pattern(message.pattern).search(text)
    return match if match and _pattern(message.context).search(text) else None


def _foreign() -> re.Pattern[str]:
    return _pattern(_read(TABLE)["foreign"])


def _english(text: str) -> str:
    """The text with plain quotes, and with the system's own phrases in English."""
    text = text.translate(SIGNS)
    for english, phrases in _read(TRANSLATIONS).items():
        for phrase in phrases:
            text = text.replace(phrase, english)
    return text


def _line(text: str, match: re.Match[str]) -> int:
    """The number of the line in which the match ends: for a match over several lines, that is where the error is."""
    return text.count("\n", 0, max(match.end() - 1, 0))
