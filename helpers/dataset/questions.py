"""Questions and answers about a key frame, and the text form of a planned path, as OmniDrive has them. No torch.

Files of a data root, each for one sample: conv/SPLIT/TOKEN.json and vqa/SPLIT/TOKEN.json, lists of {"question",
"answer"}; desc/SPLIT/TOKEN.json, {"description", "action"}; keywords/SPLIT/TOKEN.json, a text. SPLIT is train or val.
Source: OmniDrive (arXiv:2405.01533), its data layout and the form of its planning answers.
"""

import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from helpers.arguments import typed
from helpers.dataset import layout
from helpers.dataset.frame import Frame
from helpers.errors import BadInput
from helpers.files import as_path, read_json

POINTS = 6  # of a path, half a second apart
FARTHEST = 1e6  # m that a path may lead away
PLANNING_QUESTION = "Please provide the planning trajectory for the ego car without reasons."
ANSWER = "Here is the planning trajectory {}."
FOLDERS = ("keywords", "desc", "vqa", "conv")
SPLITS = ("train", "val")
KEYS = ("question", "answer")
EXPANSION = "OmniDrive's question files (github.com/NVlabs/OmniDrive, data_nusc.zip)"
DESCRIBE, ACT, BRIEFLY = "What do you see around you?", "What do you do, and why?", "What do you do, in short?"
PAIRS = 'a list of {"question": text, "answer": text}'
NUMBER = r"[+-]?\d+\.\d+"
PATH = re.compile(rf"\[PT((?:, \({NUMBER}, {NUMBER}\))+)\]")


class Question(NamedTuple):
    """kind: planning, keywords, desc, vqa or conv. question, answer: text."""

    kind: str
    question: str
    answer: str


def points_of(path: np.ndarray) -> str:
    """A path [n,2] in m of ego as text: [PT, (+1.50, 0.0), ...]; what rounds to 0.01 or less is 0.0."""
    path = np.asarray(path, np.float64)
    return "[PT, " + ", ".join(f"({_number(x)}, {_number(y)})" for x, y in path) + "]"


def planning_answer(path: np.ndarray) -> str:
    """What a planner is to say of a path [6,2]: x and y in m of ego, half a second apart.

    Raises:
        BadInput: another shape, or a number that is not finite.
    """
    path = np.asarray(path, np.float64)
    if path.shape != (POINTS, 2) or not np.isfinite(path).all():
        found = f"shape {path.shape}" if path.shape != (POINTS, 2) else "a number that is not finite"
        raise BadInput("path", found, f"finite numbers [{POINTS}, 2]", "take a frame whose future is known")
    return ANSWER.format(points_of(path))


def parse_path(text: str) -> np.ndarray | None:
    """The path [6,2] float64 of an answer, or None where it has none of six points within `FARTHEST`; signs may be left
    out.
    """
    found = PATH.search(text)
    numbers = np.array(re.findall(NUMBER, found[1]) if found else [], np.float64)
    whole = len(numbers) == 2 * POINTS and np.abs(numbers).max() <= FARTHEST
    return numbers.reshape(POINTS, 2) if whole else None


@typed
def questions(dataroot: str | Path, frame: Frame) -> list[Question]:
    """What is asked of a frame, the path first where all six points of it are known.

    That answer comes from the ego poses; of a root that has the other files for this sample, theirs follow.

    Raises:
        BadInput: no such folders, a file that is damaged or holds something else, one of the four files missing.
    """
    root = as_path(dataroot)
    fix = layout.remake(root, "vqa/") if layout.is_minidrive(root) else f"unpack {EXPANSION} into {root}"
    found = []
    if len(frame.future_path) == POINTS:
        found.append(Question("planning", PLANNING_QUESTION, planning_answer(frame.future_path)))
    for folder in FOLDERS:
        path = _path_of(root, folder, frame, fix)
        found += [pair for pair in _read(folder, path, fix) if pair.question != PLANNING_QUESTION]
    return found


def _path_of(root, folder, frame, fix):
    paths = [root / folder / split / f"{frame.token}.json" for split in SPLITS]
    for path in paths:
        if path.is_file():
            return path
    where = root / folder
    raise BadInput(where, f"no file for sample {frame.token}", f"{' or '.join(SPLITS)}/{frame.token}.json", fix)


def _read(folder, path, fix):
    content = read_json(path, PAIRS if folder in ("vqa", "conv") else "a JSON text or object", fix)
    if folder == "keywords":
        return [Question(folder, BRIEFLY, _text(content, path, "a text", fix))]
    if folder == "desc":
        if not isinstance(content, dict):
            raise BadInput(path, f"a {type(content).__name__}", 'an object {"description", "action"}', fix)
        asked = {"description": DESCRIBE, "action": ACT}
        return [Question(folder, asked[key], _text(content.get(key), path, f"{key}: a text", fix)) for key in asked]
    if not isinstance(content, list) or not all(isinstance(pair, dict) for pair in content):
        raise BadInput(path, f"a {type(content).__name__} of something else", PAIRS, fix)
    return [
        Question(folder, *(_text(pair.get(key), f"{path}: pair {k}", f"{key}: a text", fix) for key in KEYS))
        for k, pair in enumerate(content)
    ]


def _text(value: Any, where: object, expected: str, fix: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise BadInput(where, f"{value!r:.80}", expected, fix)
    return value


def _number(value):
    return "0.0" if abs(round(float(value), 2)) <= 0.01 else f"{float(value):+.2f}"
