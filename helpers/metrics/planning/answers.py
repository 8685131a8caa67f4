"""Saved answers in OmniDrive's layout: a file for each sample, named as its token, [{"Q": question, "A": [text]}].

The question for the path may be any of them; of questions in other words the first one counts.
"""

import json
import os
from collections.abc import Iterable
from pathlib import Path

from helpers.arguments import typed
from helpers.dataset.questions import PLANNING_QUESTION
from helpers.errors import BadInput
from helpers.files import as_path, atomic, found_at, read_json

EXPECTED = 'JSON [{"Q": question, "A": [text, ...]}, ...]'
FIX = "remove the file and run its sample again"


@typed
def save(folder: str | Path, token: str, pairs: Iterable[tuple[str, str]]) -> Path:
    """Write the (question, answer) pairs of a sample, whole or not at all; returns the file's path."""
    path = as_path(folder) / token
    if Path(token).name != token:
        raise BadInput("token", repr(token), "the name of a file", "pass the token of a sample")
    pairs = list(pairs)
    if not pairs:
        raise BadInput(f"answers of {token}", "none", "one (question, answer) at least", "ask for the path")
    for pair in pairs:
        if not (isinstance(pair, list | tuple) and [type(text) for text in pair] == [str, str]):
            raise BadInput(
                f"answers of {token}", f"{pair!r:.60}", "(question, answer), two texts", "pass pairs of texts"
            )
    content = [{"Q": question, "A": [answer]} for question, answer in pairs]
    with atomic(path) as part:
        part.write_text(json.dumps(content), encoding="utf-8")
    return path


def read(folder: str | Path, tokens: Iterable[str]) -> dict[str, str]:
    """Sample token -> answer to the question for the path, of those of `tokens` that have a file, in their order.

    Raises:
        BadInput: no folder, no file of these samples, or a file that holds something else.
    """
    folder = as_path(folder)
    if not folder.is_dir():
        raise BadInput(folder, "no folder", "a folder of saved answers", "correct the path")
    found = {token: _answer(folder / token) for token in tokens if os.path.lexists(folder / token)}
    if not found:
        expected = "files named as the sample tokens of the split"
        raise BadInput(folder, "no answer to a sample of this split", expected, "pass the folder and split of the run")
    return found


def _answer(path):
    if not path.is_file():
        raise BadInput(path, found_at(path), EXPECTED, FIX)
    content = read_json(path, EXPECTED, FIX)
    pairs = [pair for pair in content if isinstance(pair, dict)] if isinstance(content, list) else []
    asked = [pair for pair in pairs if PLANNING_QUESTION in str(pair.get("Q"))] or pairs
    said = asked[0].get("A") if asked else None
    if not isinstance(said, list) or not said or not isinstance(said[0], str):
        raise BadInput(path, f"{content!r:.80}", EXPECTED, FIX)
    return said[0]
