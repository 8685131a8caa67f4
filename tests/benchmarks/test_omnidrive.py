"""OmniDrive as a system to measure: the backbone alone in half precision, a score in ego, words for a diagram."""

import shutil
import types

import numpy as np
import torch

from benchmarks.engines import Shape
from benchmarks.report import artifacts
from benchmarks.rows import FURTHER, names
from benchmarks.session import Session
from benchmarks.systems import SYSTEMS
from benchmarks.systems.omnidrive import with_half_backbone
from helpers import engine
from helpers.display import diagram
from helpers.models.runner import runner
from helpers.sequence import rollout
from helpers.systems.omnidrive.config import CONFIGS
from helpers.systems.omnidrive.stages import stages
from tests.helpers.systems.conftest import tiny_omnidrive  # noqa: F401
from tests.helpers.systems.driven import driven
from tests.helpers.systems.omnidrive.tiny import TINY, drive, network

SYSTEM = SYSTEMS["omnidrive"]


def test_the_backbone_alone_is_in_half_precision():
    steps = drive()[:2]
    expected, half = driven(network(), steps), with_half_backbone(network())
    assert {p.dtype for p in half.img_backbone.parameters()} == {torch.float16}
    others = {p.dtype for name, p in half.named_parameters() if not name.startswith("img_backbone")}
    assert others == {torch.float32} and set(SYSTEM.keep_fp32) == set(TINY.input_shapes())
    states = TINY.initial_states()
    found = [outputs for _, _, outputs in rollout(runner(half, "cpu"), steps, TINY.states, states)]
    for name in TINY.decoded:
        difference = np.abs(found[0][name] - expected[0][name]).max()
        assert 0 < difference < 0.05 * np.abs(expected[0][name]).max(), name


def test_the_pictures_of_its_stages_hold_for_both_sizes():
    for config in CONFIGS.values():
        rows, memory = stages(config)
        shown = diagram.network_diagram(rows, memory).data
        assert str(config.queries) in shown and str(config.vision_tokens) in shown
    assert SYSTEM.config("mini") == CONFIGS["mini"] and abs(SYSTEM.goals["fp16"] - 75.66 / 25.92) < 0.005
    outputs = {name: np.zeros(shape, np.float32) for name, shape in CONFIGS["mini"].output_shapes().items()}
    kept = SYSTEM.kept(CONFIGS["mini"], outputs)
    assert SYSTEM.finite(kept) and SYSTEM.decoded(CONFIGS["mini"], kept).frame == "ego"
    kept["all_bbox_preds"][-1, 0, 0, 0] = np.nan
    assert not SYSTEM.finite(kept)


def test_the_engine_with_the_fewest_parts_in_fp32(tmp_path):
    options = types.SimpleNamespace(runtime="tensorrt", system=SYSTEM, plugin=None)
    assert {"fp16", "smallest"} <= {*names(options, "published")} and "fp16_all" in names(options, "mini")
    assert "smallest" not in names(types.SimpleNamespace(**vars(options) | {"system": SYSTEMS["uniad"]}), "mini")
    shape = Shape(Session(tmp_path), options, "mini")
    marked = {name: shape.implementation({"constrained": how}, False)["layer_precisions"]
              for name, how in (("rule", True), ("smallest", "smallest"))}  # fmt: skip
    assert marked["rule"] == dict.fromkeys(CONFIGS["mini"].fp32, "fp32")
    assert {*marked["smallest"]} == {"/camera_rays/*", "/pts_bbox_head/[A-Z]*", "/map_head/[A-Z]*"}


def test_backbone_and_the_rest_in_two_engines_that_run_as_one(tmp_path, tiny_omnidrive, monkeypatch):  # noqa: F811
    """Both together are the graph; the first is in FP16, the second in FP32, and no layer of either is constrained."""
    monkeypatch.setattr(type(SYSTEM), "config", lambda system, shape: TINY)
    given = {"plugin": None, "system": SYSTEM, "tiny": True, "workspace": 64, "tactic_sources": None,
             "limit": None}  # fmt: skip
    options = types.SimpleNamespace(runtime="onnxruntime", **given)
    assert names(options, "mini") == ["fp32", "qdq", "pair"]
    (tmp_path / "models").mkdir()
    shutil.copyfile(tiny_omnidrive[1], tmp_path / "models/mini.onnx")
    shape, steps = Shape(Session(tmp_path), options, "mini"), drive()[:3]
    built = shape.build_piece("pair")
    with shape.load(built["engine"]) as both, engine.load(tiny_omnidrive[1]) as whole:
        assert both.inputs == whole.inputs and both.outputs == whole.outputs
        driven = [rollout(each.run, steps, TINY.states, TINY.initial_states()) for each in (both, whole)]
        for (_, _, found), (_, _, expected) in zip(*driven, strict=True):
            for name in TINY.decoded:
                np.testing.assert_allclose(found[name], expected[name], rtol=1e-4, atol=1e-4)
    entry = {"result": built}
    assert [*artifacts({"tensorrt/mini/build/pair": entry}, "tensorrt/mini/build/pair")] == [
        "mini_after.onnx", "mini_before.onnx"]  # fmt: skip
    for system, count in ((SYSTEM, 2), (SYSTEMS["uniad"], 0)):
        options = types.SimpleNamespace(**given | {"runtime": "tensorrt", "system": system, "level": None})
        assert len({*FURTHER} & {*names(options, "published")}) == count
    shape = Shape(Session(tmp_path), types.SimpleNamespace(**given, runtime="tensorrt", level=1), "mini")
    first, rest = shape.options_of(FURTHER["pair"]["before"], False), shape.settings("pair", False)
    assert (first["precision"], rest["precision"]) == ("fp16", "fp32")
    assert all("layer_precisions" not in each and each["timing_cache"] is None for each in (first, rest))
    norms = shape.settings("fp16_norms", False)
    assert norms["decompose"] == ["LayerNormalization"] and norms["layer_precisions"] == dict.fromkeys(
        TINY.fp32, "fp32"
    )
