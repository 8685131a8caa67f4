"""Questions of MiniDrive and of files in the public layout, the form of a planned path, and files that are broken."""

import dataclasses
import json
import os
import shutil

import numpy as np
import pytest

from helpers.dataset import open_dataset
from helpers.dataset.questions import PLANNING_QUESTION, parse_path, planning_answer, questions
from helpers.errors import BadInput

PATH = np.array([(3.0, 0.004), (6.128, -0.5), (9.0, -12.345), (12.0, 0.011), (15.0, -0.006), (-0.26, 3.0)])
SAID = (
    "Here is the planning trajectory [PT, (+3.00, 0.0), (+6.13, -0.50), (+9.00, -12.35), (+12.00, 0.0), (+15.00, 0.0), "
    "(-0.26, +3.00)]."
)


@pytest.fixture(scope="module")
def frame(minidrive):
    return open_dataset(minidrive)[0]


@pytest.fixture
def root(minidrive, tmp_path):
    folders = ("conv", "vqa", "desc", "keywords")
    for name in folders:
        shutil.copytree(minidrive / name, tmp_path / name)
    (tmp_path / "minidrive.json").touch()
    return tmp_path


def test_a_path_is_said_in_the_published_form_and_read_back():
    assert planning_answer(PATH) == SAID
    np.testing.assert_allclose(parse_path(SAID), PATH, atol=0.0111)
    assert (parse_path(SAID)[3:5, 1] == 0).all()


@pytest.mark.parametrize(
    ("text", "row"),
    [
        ("[PT, (1.0, 2.0), (1.0, 2.0), (1.0, 2.0), (1.0, 2.0), (1.0, 2.0), (-1.5, +2.25)]", (-1.5, 2.25)),
        (SAID.replace("Here is", "So:"), (-0.26, 3.0)),
        (SAID.replace(", (+9.00, -12.35)", ""), None),
        (SAID.replace("]", ", (+1.00, +1.00)]"), None),
        (SAID.replace("(+3.00, 0.0)", "(+3.00)"), None),
        (SAID.replace("+3.00, 0.0", "+3, 0.0"), None),
        (SAID.replace("PT, ", ""), None),
        (SAID.removesuffix("]."), None),
        (SAID.replace("+9.00", "99999999.00"), None),
        (SAID.replace("+9.00", "9" * 400 + ".0"), None),
        ("", None),
    ],
)
def test_only_six_points_are_a_path(text, row):
    found = parse_path(text)
    assert found is None if row is None else tuple(found[-1]) == row


@pytest.mark.parametrize("path", [PATH[:5], PATH.T, np.full((6, 2), np.nan)])
def test_what_is_no_path_is_not_said(path):
    with pytest.raises(BadInput, match=r"path\n"):
        planning_answer(path)


def test_all_pairs_of_a_frame(minidrive, frame):
    """The path first, from the poses, and never a second time; then the files."""
    found = questions(minidrive, frame)
    assert [pair.kind for pair in found] == ["keywords", "desc", "desc", *["vqa"] * 4, *["conv"] * 4]
    known = dataclasses.replace(frame, future_path=PATH)
    assert questions(minidrive, known) == [("planning", PLANNING_QUESTION, SAID), *found]


def test_the_public_layout(tmp_path, frame):
    """As OmniDrive's files are: train and val folders, the planned path in none of them."""
    contents = {
        "conv/train": [{"question": "What is ahead?", "answer": "A bus."}],
        "vqa/train": [{"question": "And then?", "answer": "Wait."}, {"question": PLANNING_QUESTION, "answer": "x"}],
        "desc/val": {"description": "A street.", "action": "Wait, the bus stands."},
        "keywords/val": "wait",
    }
    for folder, content in contents.items():
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / f"{frame.token}.json").write_text(json.dumps(content))
    found = questions(tmp_path, frame)
    assert [(pair.kind, pair.answer) for pair in found] == [
        ("keywords", "wait"),
        ("desc", "A street."),
        ("desc", "Wait, the bus stands."),
        ("vqa", "Wait."),
        ("conv", "A bus."),
    ]


@pytest.mark.parametrize(
    ("folder", "content", "found"),
    [
        ("vqa", '[{"question": "a"}]', r"pair 0\n  found: +None"),
        ("vqa", '[{"question": "a", "answer": " "}]', r"pair 0\n  found: +' '"),
        ("conv", '[{"question": "a", "answer": "b"}, 3]', "a list of something else"),
        ("conv", "{}", "a dict of something else"),
        ("conv", "[", "not JSON"),
        ("desc", "[]", "a list"),
        ("desc", '{"description": "a"}', "None"),
        ("keywords", "{}", "{}"),
        ("keywords", '""', "''"),
    ],
)
def test_a_broken_file_is_named(root, frame, folder, content, found):
    (root / folder / "val" / f"{frame.token}.json").write_text(content)
    with pytest.raises(BadInput, match=rf"{folder}/val/{frame.token}\.json[\s\S]*{found}[\s\S]*make_minidrive"):
        questions(root, frame)


def test_a_file_that_is_missing_and_a_root_without_questions(root, tmp_path, frame):
    os.remove(root / "conv/val" / f"{frame.token}.json")
    with pytest.raises(BadInput, match=rf"conv\n  found: +no file for sample {frame.token}"):
        questions(root, frame)
    with pytest.raises(BadInput, match="unpack OmniDrive's question files"):
        questions(tmp_path / "elsewhere", frame)
