"""OmniDrive as a system to measure: the backbone alone in half precision, a score in ego, words for a diagram."""

import shutil
import types

import numpy as np
import pytest
import torch

from benchmarks import __main__ as program
from benchmarks import comparison, frames, paths, report, schedule, scheduled
from benchmarks.engines import Shape
from benchmarks.language import pytorch, sizes
from benchmarks.language.engines import Engines
from benchmarks.measured import metrics_of
from benchmarks.report import artifacts
from benchmarks.rows import FURTHER, names
from benchmarks.session import Session
from benchmarks.systems import SYSTEMS
from benchmarks.systems.omnidrive import with_half_backbone
from helpers import dataset, engine
from helpers.dataset.questions import parse_path, planning_answer
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
    assert names(options, "mini") == ["fp32", "qdq", "pair", "pair_qdq"]
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
    for system, count in ((SYSTEM, 4), (SYSTEMS["uniad"], 2), (SYSTEMS["bevformer"], 0)):
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


def test_a_mixed_engine_has_its_share_of_the_speed_of_half_precision_everywhere():
    ms = {"fp32": 8.0, "fp16": 2.5, "fp16_full": 2.0}
    result = {"gpu": {name: {"p50": value, "p99": value, "n": 1} for name, value in ms.items()}}
    pieces = {"tensorrt/published/time": {"result": result}}
    found = {name: metrics_of(pieces, "tensorrt", "published", name)["of_full_half_speed"] for name in ms}
    assert found == {"fp32": 0.25, "fp16": 0.8, "fp16_full": 1.0}
    del result["gpu"]["fp16_full"]
    assert "of_full_half_speed" not in metrics_of(pieces, "tensorrt", "published", "fp16")


def test_engines_and_frames_are_held_against_eager_pytorch():
    timing = lambda ms: {"p50": ms, "p99": ms, "n": 1}  # noqa: E731
    engines = {"gpu": {"fp16": timing(20.0), "fp16_graph": timing(16.0), "pair": timing(20.0)}}
    spoken = {"times": {"eager": {"frame": timing(1900.0)}}}
    run = {"frames_per_second": 4.0, "latency_ms_p50": 250.0, "latency_ms_max": 260.0}
    whole = {
        "alone": {},
        "serial": run,
        "overlapped": run,
        "faster": 1.0,
        "frames": 3,
        "tokens": 2,
        "prompt": 1,
    }
    pieces = {"pytorch/published/eager": {"gpu": {"fp32": timing(160.0)}, "host": {"fp32": timing(100.0)}},
              "tensorrt/published/time": engines, "language/tinyllama/pytorch/eager": spoken,
              "language/tinyllama/tensorrt/time": {"times": {"fp16": {"frame": timing(200.0)}}},
              "tensorrt/published/schedule/pair/fp16": whole}  # fmt: skip
    pieces = {name: {"result": result, "depends": {}} for name, result in pieces.items()}
    assert comparison.to_eager(pieces, SYSTEM) == [
        "PyTorch eager FP32 / fp16: 10.00 (published 10.80)",
        "PyTorch eager FP32 / pair: 8.00",
        "words of a frame, eager PyTorch / fp16: 9.50 (published 8.8)",
        "whole frame, eager PyTorch / omnidrive-published-tensorrt-pair-fp16-schedule: 8.00",
    ]
    del pieces["language/tinyllama/pytorch/eager"]
    assert len(comparison.to_eager(pieces, SYSTEM)) == 2 and comparison.to_eager({}, SYSTEM) == []


def test_the_words_of_a_frame_are_said_beside_the_vision_of_the_next(tmp_path, tiny_omnidrive, monkeypatch):  # noqa: F811
    """The stage on a CPU, from built engines to records; then the order of events, with parts that only note them."""
    monkeypatch.setattr(type(SYSTEM), "config", lambda system, shape: TINY)
    command = ["schedule", "--system=omnidrive", "--tiny", "--runtime=onnxruntime", f"--work={tmp_path}"]
    options, session = program.parse(command), Session(tmp_path, command="python -m benchmarks schedule")
    schedule.run(session, options)
    assert session.failed == ["onnxruntime/mini/schedule"]
    (tmp_path / "models").mkdir()
    shutil.copyfile(tiny_omnidrive[1], tmp_path / "models/mini.onnx")
    steps = [step._replace(frame=types.SimpleNamespace(token=str(k))) for k, step in enumerate(drive()[:3])]
    frames.write(tmp_path / "frames/mini", steps)
    pytorch.Torch(session, options, "tiny").export("fp16")
    made = Engines(session, options, "tiny")
    for part in sizes.PARTS:
        made.piece(f"build/fp16/{part}", 1, lambda part=part: made.build("fp16", part))
    Shape(session, options, "mini").build_piece("pair")
    session.failed.clear()
    schedule.run(session, options)
    assert session.failed == []
    ((name, metrics, entry),) = scheduled.records(session.pieces(), "omnidrive", artifacts)
    assert name == "omnidrive-mini-onnxruntime-pair-fp16-schedule" and len(entry["artifacts"]) == 4
    assert metrics["frames"] == 3 and metrics["vision_ms_n"] == 3
    rates = [metrics[f"{way}_frames_per_second"] for way in ("serial", "overlapped")]
    assert min(rates) > 0 and metrics["faster"] == rates[1] / rates[0]
    report.run(session, options)
    assert any(path.name.startswith(name) for path in options.out.iterdir())


@pytest.mark.parametrize(
    "way, order, waits",
    [
        ("serial", "look 0, seen, say, look 1, seen, say", 1000),
        ("overlapped", "look 0, seen, look 1, say, seen, say", 3000),
    ],
)
def test_in_what_order_frames_are_seen_and_told(monkeypatch, way, order, waits):
    noted, now = [], iter(range(100))
    monkeypatch.setattr(schedule.time, "perf_counter", lambda: next(now))
    slot = types.SimpleNamespace(inputs={}, submit=lambda first: None, result=lambda: noted.append("seen"))
    vision = types.SimpleNamespace(slots=lambda *given: [slot])
    made = schedule.Frame(vision, TINY, [{}], lambda: noted.append("say"))
    monkeypatch.setattr(made, "look", lambda index: noted.append(f"look {index}"))
    found = getattr(made, way)(2)
    assert ", ".join(noted) == order
    assert found["frames_per_second"] == 2 / 5 and found["latency_ms_max"] == waits


def test_paths_of_every_engine_are_scored(tmp_path, minidrive, monkeypatch):
    """Rows of numbers are planned from, others are told, an archive without them is refused; records have scores."""
    (tmp_path / "outputs/mini").mkdir(parents=True)
    monkeypatch.setattr(type(SYSTEM), "config", lambda system, shape: TINY)
    validation = list(dataset.open_dataset(minidrive, split="mini_val"))[:2]
    steps = [step._replace(frame=frame) for step, frame in zip(drive(), validation, strict=False)]
    frames.write(tmp_path / "frames/mini", steps)
    rows = np.ones((2, 1, 3, TINY.tokens), np.float32)
    for name, arrays in {"fp32": {TINY.table: rows}, "fp16": {TINY.table: rows * np.nan}, "old": {"x": rows}}.items():
        np.savez(tmp_path / f"outputs/mini/tensorrt-{name}.npz", **arrays)
    straight = planning_answer(np.stack([np.arange(1.0, 7), np.zeros(6)], 1))
    said = types.SimpleNamespace(path=parse_path(straight), ids=[1, 2, 3])
    spoken = types.SimpleNamespace(answers=lambda tables, places, sampling: [said] * len(tables))
    monkeypatch.setattr(paths.planner, "load", lambda folder: spoken)
    options = program.parse(["paths", "--system=omnidrive", f"--work={tmp_path}", f"--data={minidrive}"])
    session = Session(tmp_path)
    paths.run(session, options)
    assert session.failed == ["paths/tensorrt-old"]
    found = session.result("paths/tensorrt-fp32")  # of frames whose future nobody knows
    assert found == {"parsed": 1, "tokens": 3, "paths": paths.HOW.format(TINY.table)}
    assert session.result("paths/tensorrt-fp16") == {"tokens_finite": False}
    told = {shape: metrics_of(session.pieces(), "tensorrt", shape, "fp32") for shape in ("mini", "published")}
    assert found.items() <= told["mini"].items() and not found.keys() & told["published"].keys()
