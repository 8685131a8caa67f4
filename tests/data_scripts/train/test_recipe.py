"""What every training refuses before it begins."""

import pytest

from data_scripts.train import recipe
from data_scripts.train.llama.__main__ import main as llama
from helpers.errors import BadInput

WRONG = {
    "--steps": ("0", "-1", "1e3"), "--minutes": ("-1", "0", "nan"), "--batch": ("0", "-2"), "--lr": ("0", "nan", "inf"),
    "--seed": ("-1", "x"), "--workers": ("0", "1.5"), "--device": ("tpu2", "gpu", ""),
}  # fmt: skip


@pytest.mark.parametrize("option", WRONG)
def test_options_have_bounds(option, capsys):
    parser = recipe.options("toy", "A training.", batch=2, lr=1e-3)
    for text in WRONG[option]:
        with pytest.raises(SystemExit) as ended:
            parser.parse_args([f"{option}={text}"])
        assert ended.value.code == 2 and f"argument {option}" in capsys.readouterr().err
    found = parser.parse_args(["--minutes=inf", "--device=cuda:1", "--workers=3", "--lr=1e-4"])
    assert (found.minutes, found.device, found.workers, found.lr) == (float("inf"), "cuda:1", 3, 1e-4)


def test_a_training_of_no_steps_is_refused(capsys):
    with pytest.raises(SystemExit):
        llama(["--steps", "0"])
    assert "argument --steps: 0 is not within 1" in capsys.readouterr().err


def test_bad_input_is_told_in_a_sentence(capsys):
    def main():
        raise BadInput("data/none", "no such folder", "a MiniDrive", "make data")

    assert recipe.program(main) == 2 and recipe.program(lambda: None) == 0 and recipe.program(lambda: 1) == 1
    assert "data/none\n  found:    no such folder" in capsys.readouterr().err
