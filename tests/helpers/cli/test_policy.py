"""`python -m helpers policy`: the parts of a policy are written, loaded again, and refused where there is none."""

import json

import pytest

from helpers import __main__ as cli
from helpers import graph, models, policy
from helpers.llm.tokenizer import SPACE, table_of
from tests.helpers.systems.openvla.tiny import SINGLE, STATISTICS


@pytest.fixture
def folder(tmp_path):
    words = {token: number for number, token in enumerate(["<unk>", "<s>", "</s>", SPACE, *map(str, range(636))])}
    (tmp_path / "words").mkdir()
    (tmp_path / "words" / "tokenizer.json").write_text(json.dumps(table_of(words, [])))
    return policy.save(tmp_path / "policy", models.create("openvla", SINGLE), {"toy": STATISTICS}, tmp_path / "words")


def test_the_parts_are_written_and_loaded_again(folder, tmp_path, capsys):
    out = tmp_path / "parts"
    assert cli.main(["policy", "save-backbone", f"--hf-name={folder}", f"--save-dir={out}", "--test-load"]) == 0
    assert "4 patches, data sets toy" in capsys.readouterr().out and (out / "vision_backbone.pth").is_file()
    assert cli.main(["llm", "convert", str(out / "LLM_backbone"), f"--out_dir={tmp_path / 'fp16'}"]) == 0


def test_the_vision_side_becomes_a_graph(folder, tmp_path):
    assert cli.main(["policy", "vision", f"--hf-name={folder}", f"--out={tmp_path / 'vision.onnx'}"]) == 0
    (output,) = graph.load(tmp_path / "vision.onnx").graph.output
    assert [dim.dim_value for dim in output.type.tensor_type.shape.dim] == [1, 4, 32]


def test_a_folder_that_is_none_is_named(tmp_path, capsys):
    assert cli.main(["policy", "save-backbone", f"--hf-name={tmp_path}", f"--save-dir={tmp_path / 'x'}"]) == 2
    assert "config.json" in capsys.readouterr().err and not (tmp_path / "x").exists()
