"""A check of nothing is no check: counts of the programs here begin at one."""

import importlib

import pytest

from helpers.errors import BadInput

CASES = [
    ("ci.fuzz.__main__", "--inputs=0"), ("ci.fuzz.__main__", "--inputs=-1"), ("ci.fuzz.__main__", "--first=-3"),
    ("ci.fuzz.__main__", "--guided=0"), ("ci.mutants", "--sample=0"), ("ci.mutants", "--sample=-1"),
    ("ci.mutants", "--floor=nan"), ("ci.mutants", "--floor=1.5"), ("ci.load.__main__", "--requests=0"),
    ("ci.load.__main__", "--clients=0"), ("ci.load.__main__", "--kills=-1"), ("ci.signals", "--moments=nan"),
    ("ci.signals", "--moments=-0.5"), ("ci.lessons.run", "--jobs=0"), ("ci.lessons.run", "--timeout=nan"),
    ("ci.lessons.run", "--timeout=0"),
]  # fmt: skip


@pytest.mark.parametrize(("module", "option"), CASES)
def test_counts_and_shares_have_bounds(module, option, capsys):
    with pytest.raises(SystemExit) as ended:
        importlib.import_module(module).main([option])
    assert ended.value.code == 2 and f"argument {option.partition('=')[0]}" in capsys.readouterr().err


def test_mutants_of_a_file_that_is_not_there(capsys):
    with pytest.raises(SystemExit) as ended:
        importlib.import_module("ci.mutants").main(["helpers/nothing.py"])
    assert ended.value.code == 2 and "no file helpers/nothing.py" in capsys.readouterr().err


def test_a_parameter_that_no_lesson_has_is_refused(tmp_path):
    run = importlib.import_module("ci.lessons.run")
    argv = ["notebooks/00_start_here.ipynb", "--out", str(tmp_path / "out")]
    with pytest.raises(BadInput, match=r"parameter TEIR\n  found:    in none of the notebooks"):
        run.main([*argv, "-p", "VERSION", "v1.0-mini", "-p", "TEIR", "gpu"])
    assert not (tmp_path / "out").exists()
