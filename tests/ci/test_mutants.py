"""Mutants of a file: what is changed, what is left alone, and what is counted as noticed."""

import ast

import pytest

from ci import mutants

TEXT = '''"""A file: 1 < 2."""
LIMIT = 4


def f(x: int = 1) -> bool:
    """Return 1."""
    check(x)
    if x < LIMIT and not f"{x + 1}":
        return -x
    return True
'''


def test_a_mutant_changes_one_place_of_what_computes():
    found = mutants.mutants_of("a.py", TEXT)
    assert [(mutant.line, mutant.before, mutant.after) for mutant in found] == [
        (2, "4", "5"),
        (5, "1", "2"),
        (7, "check(x)", "pass"),
        (8, 'x < LIMIT and not f"{x + 1}"', "(not (x < LIMIT and (not f'{x + 1}')))"),
        (8, 'x < LIMIT and not f"{x + 1}"', "(x < LIMIT or not f'{x + 1}')"),
        (8, "x < LIMIT", "(x <= LIMIT)"),
        (8, 'not f"{x + 1}"', "(f'{x + 1}')"),
        (9, "-x", "None"),
        (9, "-x", "(x)"),
        (10, "True", "None"),
        (10, "True", "False"),
    ]
    for mutant in found:
        ast.parse(mutant.text)
        assert mutant.text.replace(mutant.after, mutant.before, 1) != mutant.text != TEXT


def test_places_are_counted_in_bytes():
    (first, *_) = mutants.mutants_of("a.py", 'x = "ä" if 1 < 2 else "ö"\n')
    assert first.text == 'x = "ä" if (not (1 < 2)) else "ö"\n'


def test_the_tests_of_a_file_are_those_of_its_name_or_of_its_folder():
    assert mutants.tests_of("helpers/boxes.py") == ["tests/helpers/test_boxes.py"]
    of_room = ["tests/helpers/calibration/test_archive.py", "tests/helpers/calibration/test_calibration.py"]
    assert mutants.tests_of("helpers/calibration/archive.py") == of_room
    assert mutants.tests_of("helpers/calibration/reader.py") == ["tests/helpers/calibration"]
    assert mutants.tests_of("helpers/ops/rotate.py") == ["tests/helpers/ops/test_rotate.py", *mutants.COMPILED]
    assert mutants.tests_of("helpers/ops/common.py") == list(mutants.COMPILED)
    for path in mutants.CORE:
        assert (mutants.ROOT / path).is_file()
        assert all((mutants.ROOT / name).exists() for name in mutants.tests_of(path))


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project of one file, whose test notices another sum and nothing else."""
    (tmp_path / "core").mkdir()
    (tmp_path / "core/sum.py").write_text("def add(a, b=2):\n    return a + b\n\n\ndef less(n):\n    return n < 1\n")

    def fails(folder, tests, seconds):
        names = {}
        exec((folder / "core/sum.py").read_text(), names)
        return names["add"](1, 2) != 3

    monkeypatch.setattr(mutants.places, "ROOT", tmp_path)
    monkeypatch.setattr(mutants, "fails", fails)
    return tmp_path


def test_survivors_are_named_and_counted(project, capsys):
    assert mutants.main(["core/sum.py", "--floor", "0.3"]) == 0
    said = capsys.readouterr().out
    assert "SURVIVED  core/sum.py:6  n < 1  ->  (n <= 1)" in said
    assert said.endswith("all                                        6        2         4   33.3% noticed\n")
    assert mutants.main(["core/sum.py", "--sample", "6"]) == 1  # below the floor
    assert "return n < 1\n" in (project / "core/sum.py").read_text()


def test_tests_that_fail_without_a_change_prove_nothing(project, capsys):
    (project / "core/sum.py").write_text("def add(a, b):\n    return 0\n")
    assert mutants.main(["core/sum.py"]) == 1
    assert "fails without any change" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "seconds", "expected"), [("pass", 60, False), ("assert 0", 60, True), ("time.sleep(60)", 1, True)]
)
def test_a_test_that_fails_or_does_not_end_has_noticed(tmp_path, line, seconds, expected):
    (tmp_path / "test_it.py").write_text(f"import time\n\n\ndef test_it():\n    {line}\n")
    assert mutants.fails(tmp_path, ["test_it.py"], seconds) is expected
