"""`python -m helpers policy`: the parts of a policy are written, loaded again, and refused where there is none."""

import json

import numpy as np
import pytest

from helpers import __main__ as cli
from helpers import graph, models, policy
from helpers.errors import BadInput
from helpers.files import ROOT
from helpers.llm.tokenizer import SPACE, table_of
from helpers.systems.openvla.inputs import pixels
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


def test_two_graphs_write_the_tokens_of_the_networks(folder, tmp_path):
    """By the command lines of docs/serve.md; a graph of another policy, or of ids alone, is refused."""
    parts, vision, language, ids = (tmp_path / name for name in ("parts", "vision.onnx", "llama.onnx", "ids.onnx"))
    assert cli.main(["policy", "vision", f"--hf-name={folder}", f"--out={vision}"]) == 0
    (output,) = graph.load(vision).graph.output
    assert [dim.dim_value for dim in output.type.tensor_type.shape.dim] == [1, 4, 32]
    assert cli.main(["policy", "save-backbone", f"--hf-name={folder}", f"--save-dir={parts}"]) == 0
    for out, form in ((language, "table"), (ids, "ids")):
        assert cli.main(["llm", "export", str(parts / "LLM_backbone"), f"--out={out}", f"--inputs={form}"]) == 0
    loaded, expected = policy.load_graphs(folder, vision, language), policy.load(folder)
    pictures = list(np.random.default_rng(0).integers(0, 256, (2, 20, 30, 3), dtype=np.uint8))
    assert loaded.generate(pictures, ["1", "2 3"]) == expected.generate(pictures, ["1", "2 3"])
    feeds = {"pixel_values": np.concatenate([pixels(each, SINGLE) for each in pictures])}
    np.testing.assert_allclose(loaded.vision(feeds), expected.vision(feeds), atol=1e-5)
    with pytest.raises(BadInput, match="--inputs table"):
        policy.load_graphs(folder, vision, ids)
    with pytest.raises(BadInput, match="vision side of this policy"):
        policy.load_graphs(ROOT / "checkpoints/openvla_mini", vision, language)


def test_a_folder_that_is_none_is_named(tmp_path, capsys):
    assert cli.main(["policy", "save-backbone", f"--hf-name={tmp_path}", f"--save-dir={tmp_path / 'x'}"]) == 2
    assert "config.json" in capsys.readouterr().err and not (tmp_path / "x").exists()
