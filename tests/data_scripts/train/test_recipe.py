"""What every training refuses before it begins."""

from pathlib import Path

import pytest
import torch

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


def test_what_would_end_a_training_only_when_it_has_run_is_told_before(tmp_path):
    parser = recipe.options("toy", "A training.", batch=2, lr=1e-3)
    parser.add_argument("--state", type=Path)
    (tmp_path / "x.json").mkdir()
    good, absent = f"--out={tmp_path / 'a.safetensors'}", "" if torch.cuda.is_available() else "--device=cuda:9"
    for words in ([f"--out={tmp_path}"], [f"--out={tmp_path / 'x.safetensors'}"], [good, f"--state={tmp_path}"],
                  ["--out=/proc/a.safetensors"], [good, absent or f"--out={tmp_path}"]):  # fmt: skip
        with pytest.raises(BadInput):
            recipe.parsed(parser, words)
    assert recipe.parsed(parser, [good, "--device=cpu"]).state is None and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("content", [None, [1], {"step": 1}, {}, b"no archive"])
def test_a_state_that_is_none_of_this_training_is_named(tmp_path, content):
    path = tmp_path / "state.pt"
    path.write_bytes(content) if isinstance(content, bytes) else torch.save(content, path)
    with pytest.raises(BadInput, match=r"state\.pt\n[\s\S]*what a training of this kind left"):
        recipe.left(path, "cpu", "step", "model")
    torch.save({"step": 1, "model": {}}, path)
    assert recipe.left(path, "cpu", "step", "model") == {"step": 1, "model": {}}
    assert recipe.left(tmp_path / "absent", "cpu", "step") is None and recipe.left(None, "cpu", "step") is None
