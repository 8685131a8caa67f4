"""The table of precisions: a small OmniDrive through every way of the stage, its records, and what is not finite."""

import re

import numpy as np
import onnx
import pytest
from safetensors.torch import save_file

from benchmarks import __main__ as program
from benchmarks import accuracy, markings, planned, report
from benchmarks.session import Session
from benchmarks.systems import SYSTEMS
from helpers import dataset, graph, models, records
from helpers.dataset.questions import planning_answer
from helpers.errors import BadInput
from helpers.llm.tokenizer import Tokenizer
from helpers.planner import PUBLISHED, Planner
from helpers.precision import marking
from helpers.precision.mixed import Trial
from tests.helpers.systems.conftest import tiny_omnidrive  # noqa: F401
from tests.helpers.systems.omnidrive.test_planner import Parrot, words  # noqa: F401
from tests.helpers.systems.omnidrive.tiny import TINY

ROWS = {"pytorch": ("pytorch",), "fp32": ("pytorch", "pytorch_sampled"), "fp16": ("pytorch",), "fp32_far": ()}


class Small(type(SYSTEMS["omnidrive"])):
    """OmniDrive in its tiny configuration."""

    def config(self, shape):
        return TINY

    def network(self, shape, checkpoint):
        return models.load_checkpoint(models.create("omnidrive", TINY), checkpoint)


@pytest.fixture
def done(tmp_path, minidrive, tiny_omnidrive, words, monkeypatch):  # noqa: F811
    """(session, options) of a run over three frames."""
    model, path = tiny_omnidrive
    state = {name: tensor.contiguous().clone() for name, tensor in model.state_dict().items()}
    save_file(state, tmp_path / "tiny.safetensors")
    (tmp_path / "llm").mkdir()
    save_file({}, tmp_path / "llm/model.safetensors")
    monkeypatch.setattr("benchmarks.prepare.export", lambda model, out: out.write_bytes(path.read_bytes()))
    monkeypatch.setattr(planned, "ROWS", ROWS)
    monkeypatch.setattr(accuracy, "ROWS", ROWS)
    found = [Trial((), {"y": np.inf}), Trial(("camera rays", "memory and poses"), {"y": 0.001})]
    monkeypatch.setattr(markings.mixed, "sensitivity", lambda made: {"camera rays": found[0]})
    monkeypatch.setattr(markings.mixed, "smallest", lambda made, tolerance, order: found)
    monkeypatch.setattr(markings.mixed.Mixed, "trial", lambda self, kept: found[1])
    monkeypatch.setattr(markings.Markings, "_training", lambda self: dataset.open_dataset(self.data, split="mini_val"))
    parrot = Parrot(Tokenizer(*words), planning_answer(np.ones((6, 2))))
    asked = []
    monkeypatch.setattr(Planner, "answers", _noting(Planner.answers, asked))
    monkeypatch.setattr(accuracy.planner, "load", lambda folder: Planner(Tokenizer(*words), parrot))
    words_of_shell = ["accuracy", "--system=omnidrive", f"--work={tmp_path / 'work'}", f"--data={minidrive}", "--tiny",
                      f"--checkpoint={tmp_path / 'tiny.safetensors'}", f"--language={tmp_path / 'llm'}"]  # fmt: skip
    options = program.parse(words_of_shell)
    options.system = Small()
    (tmp_path / "work/models").mkdir(parents=True)
    session = Session(options.work, command="python -m benchmarks accuracy")
    accuracy.run(session, options)
    made = accuracy.Accuracy(session, options).markings
    session.piece("accuracy/parts", made.search)
    return session, options, asked, made


def _noting(answers, asked):
    def noting(self, tables, places, **given):
        asked.append(given["sampling"])
        return answers(self, tables, places, **given)

    return noting


def test_every_row_is_scored_and_what_is_not_finite_is_said(done, capsys):
    session, options, asked, made = done
    assert not session.failed
    result = session.result
    one, two = result("accuracy/vision/pytorch"), result("accuracy/vision/fp32")
    assert abs(one["mAP"] - two["mAP"]) < 1e-6 and one["file"] == "tiny.safetensors" and two["file"] == "mini.onnx"
    assert not result("accuracy/vision/fp16")["finite"] and result("accuracy/paths/fp16/pytorch") is None
    assert result("accuracy/vision/fp16")["fp16_share"] == 1 and made.of("mixed") == options.system.rule
    marks = made.of("smallest", result("accuracy/parts")["kept"])
    names = ("/camera_rays/Log", "/map_head/MatMul", "/img_backbone/Reshape")
    assert [marking.precision_of(name, marks) for name in names] == ["fp32", "fp32", "fp16"]
    marks = made.of("memory_fp16")
    assert [marking.precision_of(name, marks) for name in names] == ["fp32", "fp16", "fp32"]
    with np.load(session.work / "accuracy/fp32.npz") as near, np.load(session.work / "accuracy/fp32_far.npz") as far:
        assert near["table"].shape == (3, TINY.vision_tokens, TINY.tokens)
        assert 0 < np.abs(near["table"] - far["table"]).max() < 0.05 * np.abs(near["table"]).max()
    path = result("accuracy/paths/fp32/pytorch")
    assert path["parsed"] == 1 and path["tokens"] > 10 and path["spoken"] == "model.safetensors"
    assert asked.count(PUBLISHED) == 1 and len(asked) == 3
    lines = planned.text(session.pieces())
    assert len(lines) == 5 and "3 of 3 frames not finite" in lines[-1] and "pytorch_sampled" in lines[3]
    report.run(session, options)
    kept = {record.name: record for record in records.read_all(options.out)}
    assert set(kept) == {"omnidrive-mini-cpu-" + name for name in (
        "pytorch-pytorch", "fp32-pytorch", "fp32-pytorch-sampled", "fp16", "parts")}  # fmt: skip
    assert set(kept["omnidrive-mini-cpu-fp32-pytorch"].artifacts) == {"mini.onnx", "model.safetensors"}
    assert kept["omnidrive-mini-cpu-parts"].metrics["kept"] == "camera rays, memory and poses"
    assert kept["omnidrive-mini-cpu-fp16"].metrics["finite"] == "False"
    parts = kept["omnidrive-mini-cpu-parts"].metrics
    assert parts["alone/camera rays"] == parts["alone_far/camera rays"] == "not finite" and parts["error_near"] < 0.01
    shares = {name: share for name, share in parts.items() if name.startswith("flops/")}
    assert abs(sum(shares.values()) - 1) < 1e-9 and max(shares, key=shares.get) == "flops/decoder layers"


def test_other_systems_have_no_such_rows_and_all_leaves_it_out(tmp_path):
    options = program.parse(["accuracy", f"--work={tmp_path}"])
    accuracy.run(Session(tmp_path), options)
    assert list(tmp_path.iterdir()) == [] and "accuracy" not in program.stages(program.parse(["all"]))
    options = program.parse(["accuracy", "--system=omnidrive", f"--work={tmp_path}", "--checkpoint=absent"])
    with pytest.raises(BadInput, match="the weights of the mini"):
        accuracy.run(Session(tmp_path), options)


@pytest.mark.parametrize(("name", "kind"), [("mixed_int8", "INT8"), ("mixed_fp8", "FLOAT8E4M3FN")])
def test_eight_bits_are_in_the_backbone_alone(name, kind, tmp_path, minidrive, tiny_omnidrive, monkeypatch):  # noqa: F811
    _, path = tiny_omnidrive
    monkeypatch.setattr(markings.Markings, "_training", lambda self: dataset.open_dataset(self.data, split="mini_val"))
    made = markings.Markings(SYSTEMS["omnidrive"], TINY, path, minidrive, tmp_path).quantized(name)
    model = graph.load(made)
    inferred = {
        value.name: value.type.tensor_type.elem_type
        for value in onnx.shape_inference.infer_shapes(model).graph.value_info
    }
    rounded = [node.output[0] for node in model.graph.node if node.op_type == "QuantizeLinear"]
    assert rounded and {onnx.TensorProto.DataType.Name(inferred[output]) for output in rounded} == {kind}
    whole = [output for node in model.graph.node if node.op_type == "DequantizeLinear" for output in node.output]
    readers = [node.name for node in model.graph.node if {*node.input} & {*whole}]
    assert readers and [each for each in readers if any(re.match(one, each) for one in TINY.unquantized)] == []
