"""The files of wrong answers: what is read, what is refused."""

import pytest

from ci.lessons import wrong
from helpers.errors import BadInput

GOOD = "# %% Exercise 1: adds two\n# says: multiply\ndef double(x):\n    return x + 2\n"


def written(tmp_path, text):
    path = tmp_path / "lesson.py"
    path.write_text(text)
    return path


def test_cells_are_read_in_order(tmp_path):
    text = f"{GOOD}\n# %% Project: does nothing\n# says: nothing yet\ndef build():\n    pass\n"
    first, second = wrong.read(written(tmp_path, text))
    assert first == wrong.WrongAnswer("Exercise 1", "adds two", "multiply", "def double(x):\n    return x + 2\n")
    assert (second.exercise, second.mistake, second.says) == ("Project", "does nothing", "nothing yet")
    [right] = wrong.read(written(tmp_path, GOOD.replace("says: multiply", "accepted")))
    assert right == wrong.WrongAnswer("Exercise 1", "adds two", None, "def double(x):\n    return x + 2\n")


def test_an_answer_belongs_to_its_exercise_alone(tmp_path):
    answers = wrong.read(written(tmp_path, GOOD + GOOD.replace("Exercise 1", "Exercise 11")))
    assert wrong.of_exercise(answers, "Exercise 1: double a number (easy, 2 minutes)") == answers[:1]
    assert wrong.of_exercise(answers, "Exercise 11: again (easy, 2 minutes)") == answers[1:]


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("Exercise 1: adds", "Task 1: adds", "Task 1"),
        ("# says: multiply", "# wants: multiply", "wants"),
        ("# says: multiply", "# says: (", "missing \\)"),
        ("return x + 2", "return x +", "invalid syntax"),
        ("def double(x):\n    return x + 2\n", "", "Exercise 1"),
    ],
)
def test_another_form_is_refused(tmp_path, old, new, what):
    with pytest.raises(BadInput, match=what):
        wrong.read(written(tmp_path, GOOD.replace(old, new)))


def test_no_file_holds_no_answers(tmp_path):
    assert wrong.read(tmp_path / "absent.py") == []
    assert wrong.file_of("systems/bevformer.ipynb", tmp_path) == tmp_path / "systems/bevformer.py"
