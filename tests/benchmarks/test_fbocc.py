"""FB-OCC as a system that is measured: what is kept of a frame, how it is scored, and its network in half precision."""

import numpy as np
import pytest

from benchmarks import engines, evaluate, frames, measured, roofline, rows, runner
from benchmarks.systems import SYSTEMS
from helpers.systems.fbocc.config import CONFIGS
from helpers.voxels import FREE, SHAPE

SYSTEM = SYSTEMS["fbocc"]


def outputs(value):
    logits = np.zeros((1, 19, 100, 100, 8), np.float32)
    logits[0, 4] = value
    return {"pred_occupancy": logits}


def test_frames_need_no_free_dimension_and_fit():
    for shape, config in CONFIGS.items():
        fixed = SYSTEM.config(shape)
        assert not fixed.free_axes() and fixed.input_shapes().keys() == config.input_shapes().keys()
        for name, size in SYSTEM.sizes[shape].items():
            least, typical, most = getattr(config, name)
            assert least < size <= most and size > typical


def test_classes_are_kept_of_finite_logits_and_nothing_but_nan_of_others(tmp_path):
    kept = SYSTEM.kept(CONFIGS["mini"], outputs(1))
    assert (kept["classes"] == 3).all() and kept["classes"].shape == SHAPE and SYSTEM.finite(kept)
    assert kept["logits"].shape == (1, 19, 25, 25, 2)
    broken = outputs(1)
    broken["pred_occupancy"][0, 0, 1, 1, 1] = np.inf  # none of those that are kept
    lost = SYSTEM.kept(CONFIGS["mini"], broken)
    assert (lost["classes"] == FREE).all() and not SYSTEM.finite(lost)
    frames.save(tmp_path / "out.npz", {name: [kept[name], lost[name]] for name in kept})
    frames.save(tmp_path / "reference.npz", {name: [kept[name]] * 2 for name in kept})
    found = frames.parity(tmp_path / "out.npz", tmp_path / "reference.npz")
    assert found == {"classes_differ": 0.5, "logits_rel": "not finite", "logits_mean_rel": "not finite"}
    assert evaluate.score(tmp_path / "out.npz", ["a", "b"], [], SYSTEM)["frames_not_finite"] == 1


def test_a_record_has_the_iou_of_every_class_that_has_one():
    scores = {"mIoU": 50.0, "mIoU/labeled": 60.0, "RayIoU/labeled": 40.0, "IoU/car": 60.0, "IoU/others": float("nan"),
              "another": 1.0, "frames": 2, "finite": True}  # fmt: skip
    pieces = {"evaluate/onnxruntime-fp32": {"result": scores}}
    metrics = measured.metrics_of(pieces, "onnxruntime", "mini", "fp32")
    assert metrics.pop("weights") and metrics == {k: scores[k] for k in scores.keys() - {"IoU/others", "another"}}


def test_engines_without_the_plugin_are_not_built():
    class Options:
        runtime, plugin, system = "tensorrt", None, SYSTEM

    single = {"fp16_half_plugin", "qdq_half_plugin", "best_half_plugin"}
    known = {name + engines.PLUGIN for name in rows.ENGINES if name != "smallest"}  # nothing was searched here
    assert set(rows.names(Options, "mini")) == known | single
    assert rows.CONTROL + engines.PLUGIN not in rows.names(Options, "published")


def test_whole_numbers_keep_their_type_in_half_precision():
    torch = pytest.importorskip("torch")
    config = CONFIGS["mini"]
    types = runner._types(config, set(SYSTEM.keep_fp32))
    assert types["imgs"] == types["history_bev"] == torch.float16 and types["grid"] == torch.float32
    assert (types["indexes"], types["ranks_bev"], types["start_of_sequence"]) == (
        torch.int64,
        torch.int32,
        torch.bool,
    )
    assert runner._types(config, set(config.input_shapes()))["imgs"] == torch.float32


def test_half_model_is_near_and_what_needs_it_stays_fp32(monkeypatch):
    torch = pytest.importorskip("torch")
    from helpers.models import create
    from tests.helpers.systems.fbocc.tiny import TINY, feeds, states

    for kind in (torch.Tensor, torch.nn.Module):
        monkeypatch.setattr(kind, "cuda", lambda self, *arguments: self)
    given = {name: torch.from_numpy(array) for name, array in (feeds() | states()).items()}
    torch.manual_seed(0)
    model = create("fbocc", TINY)
    types = runner._types(TINY, set(SYSTEM.keep_fp32))
    with torch.inference_mode():
        expected = model(**given)
        half = SYSTEM.half(model)
        found = half(**{name: tensor.to(types[name]) for name, tensor in given.items()})
    assert found[0].dtype == found[1].dtype == torch.float16 and half.depth_net.bn.weight.dtype == torch.float32
    for a, b in zip(found[:2], expected[:2], strict=True):
        assert (a.float() - b).abs().max() < 0.02 * b.abs().max()


def test_an_engine_is_held_against_the_least_time_of_its_layers():
    rows = [{"op": "Conv", "flops": 4e9, "elements": 1000}, {"op": "Resize", "flops": 0, "elements": 1e9}]
    ceilings = {"copy_gb_s": 1000.0, "fp32_tflop_s": 1.0, "tf32_tflop_s": 2.0, "fp16_tflop_s": 4.0}
    found = roofline.bounds(rows, ceilings)
    assert found["fp32"]["by_compute_ms"] == pytest.approx(4) and found["fp32"]["by_memory_ms"] == pytest.approx(4)
    assert found["tf32"]["least_ms"] == pytest.approx(6) and found["fp16"]["least_ms"] == pytest.approx(3)
    assert found["fp16"]["Conv_ms"] == pytest.approx(1) and found["fp16"]["Resize_ms"] == pytest.approx(2)
    timing = {name: {"p50": ms, "p99": ms, "n": 1} for name, ms in (("fp16_plugin", 9), ("fp16_plugin_graph", 6))}
    pieces = {
        "prepare/published/cost": {"result": {"layers": rows}},
        "pytorch/ceilings": {"result": ceilings},
        "tensorrt/published/time": {"result": {"gpu": timing | {"qdq_plugin": timing["fp16_plugin"]}}},
    }
    metrics = measured.metrics_of(pieces, "tensorrt", "published", "fp16_plugin")
    assert metrics["roofline_ms"] == pytest.approx(3) and metrics["over_roofline"] == pytest.approx(2)
    least = {name: (roofline.of(name, pieces, "published") or {}).get("least_ms") for name in ("compile_fp16_kernels",
             "fp16_all_plugin", "autocast", "qdq_plugin")}  # fmt: skip
    assert least["compile_fp16_kernels"] == pytest.approx(3) and least["fp16_all_plugin"] == pytest.approx(3)
    assert least["autocast"] is None and least["qdq_plugin"] is None
    assert "roofline_ms" not in measured.metrics_of(pieces, "tensorrt", "published", "qdq_plugin")
