"""The road by TensorRT-Edge-LLM: commands, and the recorded export of the mini Llama, which runs by its definition."""

import json
import sys

import numpy as np
import onnx
import pytest
from onnx import helper

from helpers import __main__ as cli
from helpers import processes
from helpers.errors import BadInput
from helpers.graph.walk import copy
from helpers.llm import edge, folder
from helpers.llm.edge import commands
from helpers.llm.generate import stream
from helpers.llm.pytorch import TorchModel

MODEL = folder.load("checkpoints/llama_mini")


@pytest.fixture(scope="module")
def exported():
    return edge.restored(MODEL.state_dict())


@pytest.fixture(scope="module")
def opened(exported):
    words = MODEL.model.embed_tokens.weight.detach().numpy()
    return edge.EdgeModel(exported, words, edge.recorded()["config"]["rope_theta"], 64)


def prompts(*lengths):
    random = np.random.default_rng(sum(lengths))
    return [random.integers(0, 40, length) for length in lengths]


def far(found, expected):
    return np.abs(found - expected).max() / np.abs(expected).max()


def test_the_recorded_graph_says_what_a_learner_reads(exported):
    found = edge.describe(exported)
    assert found.inputs["inputs_embeds"] == "FLOAT16 [physical_tokens, 256]"
    assert (
        found.inputs["past_key_values_1"]
        == "FLOAT16 [2, num_pages, 128, 4, 32]"
        == found.outputs["present_key_values_1"]
    )
    assert found.inputs["rope_rotary_cos_sin"] == "FLOAT [physical_tokens, 32]" and "input_ids" not in found.inputs
    assert found.operators["trt_edgellm::AttentionPlugin"] == 2 and "Attention" not in found.operators
    assert len(found.inputs) == 14 and sum(found.operators.values()) == 80 and found.weights == 24


def test_every_weight_is_one_of_the_checkpoint_bit_for_bit(exported):
    found = edge.compare(exported, MODEL.state_dict())
    assert {name: source for name, source in found.items() if source != "a constant"} == edge.recorded()["weights"]
    changed = MODEL.state_dict() | {"lm_head.weight": MODEL.lm_head.weight + 1e-3}
    assert [name for name, source in edge.compare(exported, changed).items() if not source] == ["_model.lm_head.weight"]
    with pytest.raises(BadInput, match="checkpoints/llama_mini"):
        edge.restored({"lm_head.weight": MODEL.lm_head.weight})


def test_logits_of_prompts_and_of_every_token_after_them(opened):
    reference, given = TorchModel(MODEL), prompts(5, 16, 1, 11)
    found, expected = opened.prefill(given), reference.prefill(given)
    for _ in range(12):
        assert far(found, expected) < 5e-3
        ids = expected.argmax(-1)
        found, expected = opened.decode(ids), reference.decode(ids)
    tokens = [[int(step[0]) for step in stream(model, prompts(9), 20)] for model in (opened, reference)]
    assert tokens[0] == tokens[1]


def test_pages_may_lie_anywhere_in_the_pool(opened, monkeypatch):
    """With the pages of two rows exchanged the logits stay; with one page for both they do not."""
    given, ids = prompts(7, 12), [3, 4]
    opened.prefill(given)
    expected = opened.decode(ids)
    run = opened._session.run

    def answer(change):
        monkeypatch.setattr(opened, "_session", Tables(opened._session, run, change))
        opened.prefill(given)
        found = opened.decode(ids)
        monkeypatch.undo()
        return found

    np.testing.assert_array_equal(answer(lambda table: table[::-1].copy()), expected)
    assert far(answer(lambda table: np.stack([table[0], table[0]])), expected) > 0.01


class Tables:
    """A session whose page tables are changed."""

    def __init__(self, session, run, change):
        self._run, self._change, self.get_inputs = run, change, session.get_inputs

    def run(self, names, feeds):
        return self._run(names, feeds | {"kv_page_table": self._change(feeds["kv_page_table"])})


def test_pictures_enter_as_rows_of_a_table(opened):
    reference, table = TorchModel(MODEL), np.random.default_rng(0).standard_normal((2, 256)).astype(np.float32)
    assert far(opened.prefill([[0, 64, 65, 3]], table), reference.prefill([[0, 64, 65, 3]], table)) < 5e-3


@pytest.mark.parametrize(
    ("name", "value"), [("enable_tree_attention", 1), ("sliding_window_size", 64), ("head_size", 16)]
)
def test_what_is_not_defined_is_refused(exported, name, value):
    changed = copy(exported)
    node = next(node for node in changed.graph.node if node.op_type == "AttentionPlugin")
    kept = [attribute for attribute in node.attribute if attribute.name != name]
    del node.attribute[:]
    node.attribute.extend([*kept, helper.make_attribute(name, value)])
    with pytest.raises(BadInput):
        edge.define(changed)
    with pytest.raises(BadInput, match="no such node"):
        edge.define(onnx.ModelProto())


@pytest.mark.parametrize("target", edge.TARGETS)
def test_commands_of_a_target(target, tmp_path):
    steps = edge.compose(target, "int4_awq", tmp_path / "model", tmp_path / "out", tokens=512, capacity=1024, batch=2)
    programs = [step.words[0] for step in steps]
    assert programs == ["tensorrt-edgellm-quantize", "tensorrt-edgellm-export", *["cmake"] * (target != "drive-thor"),
                        "llm_build", "llm_inference"]  # fmt: skip
    export, build = steps[1], steps[-2]
    assert export.words[1:] == (f"{tmp_path}/out/quantized", f"{tmp_path}/out/onnx") and export.where == "host"
    assert build.words[1:] == (f"--onnxDir={tmp_path}/out/onnx/llm", f"--engineDir={tmp_path}/out/engine",
                               "--maxBatchSize=2", "--maxInputLen=512", "--maxKVCacheCapacity=1024")  # fmt: skip
    assert "16 pages" in build.why and build.where == "target"
    assert edge.compose(target, "fp16", "model", "out")[0].words[1] == "model"


@pytest.mark.parametrize(
    ("target", "precision", "sizes", "named"),
    [
        ("drive-orin", "fp16", {}, "'drive-orin'"),
        ("jetson-orin", "fp8", {}, "fp16, int8_sq, int4_awq"),
        ("jetson-thor", "fp16", {"tokens": 4096}, "capacity"),
        ("jetson-thor", "fp16", {"batch": 0}, "batch"),
    ],
)
def test_what_a_target_does_not_have(target, precision, sizes, named):
    with pytest.raises(BadInput, match=named):
        edge.compose(target, precision, "model", "out", **sizes)


def test_the_export_is_run_where_it_is_installed(tmp_path, monkeypatch):
    model, ran = tmp_path / "model", []
    model.mkdir()
    (model / "config.json").write_text(json.dumps({"model_type": "llama"}))
    steps = edge.compose("jetson-thor", "fp16", model, tmp_path / "out")
    with pytest.raises(BadInput, match="not installed here"):
        edge.run(steps, model)
    monkeypatch.setattr(commands.importlib.metadata, "version", lambda name: "0.11.0")
    monkeypatch.setattr(commands.shutil, "which", lambda name: sys.executable)
    monkeypatch.setattr(processes, "run", lambda words: ran.append(words) or 3)
    with pytest.raises(BadInput, match="no chat template"):
        edge.run(steps, model)
    (model / "chat_template.jinja").write_text("{{ messages }}")
    assert edge.run(steps, model) == 3 and ran == [list(steps[0].words)]


def test_the_command_prints_the_steps_and_reads_an_export(exported, tmp_path, capsys):
    assert cli.main(["llm", "edge", "jetson-orin", "model", f"--out_dir={tmp_path}/out", "--precision=int8_sq"]) == 0
    said = capsys.readouterr().out
    assert (
        "host: tensorrt-edgellm-quantize llm" in said and "target: llm_build" in said and "not installed here" in said
    )
    onnx.save(exported, tmp_path / "model.onnx")
    assert cli.main(["llm", "exported", str(tmp_path), "--model=checkpoints/llama_mini"]) == 0
    said = capsys.readouterr().out
    assert (
        "trt_edgellm::AttentionPlugin  2" in said
        and "val_18  model.layers.0.self_attn.o_proj.weight transposed" in said
    )


def test_a_folder_without_an_export(tmp_path):
    with pytest.raises(BadInput, match=r"model\.onnx"):
        edge.describe(tmp_path)
