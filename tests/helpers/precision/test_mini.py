"""Three faults injected into BEVFormer mini are found, and nothing where there is no fault."""

import dataclasses

import numpy as np
import onnx
import pytest
from onnxconverter_common import float16

from helpers import graph
from helpers.precision import EngineRunner, OnnxRunner, Options, faults, first_divergence, search
from helpers.precision.pytorch import TorchRunner
from tests.builders.bevformer import drive

ENCODER = "/pts_bbox_head/transformer/encoder"
ATTENTION = f"{ENCODER}/layers.0/attentions.0"
MSDA = "MultiScaleDeformableAttnTRT2"
FAULTS = {
    "projection in half": (
        lambda model: faults.half(model, f"{ENCODER}/projection/*"),
        f"{ENCODER}/projection/Div",
        "overflow",
    ),
    "swapped axis": (
        lambda model: faults.swap_axis(model, f"{ATTENTION}/Transpose_1"),
        f"{ATTENTION}/Transpose_1",
        "layout",
    ),
    "align_corners": (
        lambda model: faults.align_corners(model, MSDA),
        f"{ATTENTION}/{MSDA}",
        "mode",
    ),
}


@pytest.fixture(scope="module")
def mini(small_mini):
    """(the mini BEVFormer's runner in PyTorch, that of its graph, one frame with history)."""
    model, path = small_mini
    past = np.random.default_rng(0).normal(size=model.config.input_shapes()["prev_bev"]).astype(np.float32)
    reference, lens = OnnxRunner(path), dataclasses.replace(model.config, image_scale=0.25)  # a long one: large numbers
    return TorchRunner(model, reference.model), reference, [list(drive(lens, 2))[1] | {"prev_bev": past}]


@pytest.fixture
def small_chunks(monkeypatch):
    """All tensors of the mini do not fit into one."""
    monkeypatch.setattr(search, "CHUNK_BYTES", 64 << 20)


@pytest.mark.parametrize("strategy", ["walk", "bisect"])
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.usefixtures("small_chunks")
def test_injected_fault_is_found_between_graphs(mini, fault, strategy):
    _, reference, frames = mini
    inject, node, kind = FAULTS[fault]
    options = Options(strategy=strategy)
    found = first_divergence(reference, inject(reference.model), frames, tolerance=1e-2, options=options)
    assert found.found and (found.node, found.kind) == (node, kind), str(found)
    assert found.tensor == f"{node}_output_0" and found.module == node[1:].rpartition("/")[0].replace("/", ".")
    assert all(item.error < 1e-2 for item in found.inputs[:-1]) and not found.inputs[-1].error < 1e-2
    assert found.probes >= 8 if strategy == "bisect" else found.compared > 100
    if fault == "align_corners":
        assert f"GridSample in the body of {MSDA}: align_corners is 1, the reference has 0" in found.hint


@pytest.mark.parametrize("strategy", ["walk", "bisect"])
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.usefixtures("small_chunks")
def test_injected_fault_is_found_against_pytorch(mini, fault, strategy):
    """The module is found by its output, the node in it by the hint."""
    model, reference, frames = mini
    inject, node, kind = FAULTS[fault]
    options = Options(strategy=strategy)
    found = first_divergence(model, inject(reference.model), frames, tolerance=1e-2, options=options)
    assert (found.node, found.kind) == (node, kind), str(found)
    assert node in found.between and found.tensor.startswith(node.rpartition("/")[0])


def test_inside_a_custom_operator(mini):
    """With the definitions inlined the exact operator is found; here of the one that turns the map."""
    _, reference, frames = mini
    wrong = faults.align_corners(reference.model, "RotateTRT2")
    found = first_divergence(*(OnnxRunner(model, inside=True) for model in (reference.model, wrong)), frames)
    assert found.op == "GridSample" and found.node.startswith("/pts_bbox_head/transformer/RotateTRT2/GridSample")
    assert "align_corners is 1, the reference has 0" in found.hint


def test_healthy_export_agrees_with_pytorch(mini):
    """Every matched module, so a wrong match would show; what has no tensor of its own is said."""
    ours, reference, frames = mini
    found = first_divergence(ours, reference, frames, tolerance=1e-4)
    assert not found.found and found.compared >= 95 and 0 < found.worst[1] < 1e-4
    assert f"no divergence: {found.compared} tensors" in str(found)
    assert found.unmatched["img_backbone.layer1.0.conv1"] == "img_backbone.layer1.0.bn1 is folded into it"
    assert "folded into constants" in found.unmatched["pts_bbox_head.positional_encoding"]
    matched = {place[0] for place in ours._places.values()}
    called = {
        path for path, module in ours.module.named_modules() if path and next(module.parameters(), None) is not None
    }
    assert {"img_backbone.layer1.0.bn1", "pts_bbox_head.transformer.encoder.projection"} <= matched
    assert not [path for path in called if path.endswith(("_proj", "offsets", "norms.0")) and path not in matched]


def test_bisection_over_built_engines(mini, small_mini, tmp_path):
    """Every probe is an engine of its own, here of ONNX Runtime, with the probed tensors as outputs."""
    _, reference, frames = mini
    wrong = graph.save(FAULTS["swapped axis"][0](reference.model), tmp_path / "wrong.onnx")
    begin, end = ["prev_bev", "use_prev_bev", "can_bus"], [f"{ATTENTION}/Add_1_output_0"]
    parts = [
        graph.subgraph(path, tmp_path / f"{name}_part.onnx", begin, end)
        for name, path in {"right": small_mini[1], "wrong": wrong}.items()
    ]
    frame = {name: frames[0][name] for name in begin}
    found = first_divergence(parts[0], EngineRunner(parts[1], "onnxruntime", tmp_path / "engines"), [frame])
    assert (found.node, found.kind, found.strategy) == (f"{ATTENTION}/Transpose_1", "layout", "bisect")
    assert 5 < len(list((tmp_path / "engines").rglob("*.onnx"))) <= found.probes + 1 < 16


def test_constant_below_half(small_mini, tmp_path):
    """The ego motion by onnxconverter-common, which changes types and adds Casts: 1e-6 is a subnormal."""
    tensor = "/pts_bbox_head/transformer/Concat_output_0"
    right = onnx.load(graph.subgraph(small_mini[1], tmp_path / "motion.onnx", ["can_bus"], [tensor]))
    converted = float16.convert_float_to_float16(onnx.load(tmp_path / "motion.onnx"), keep_io_types=True)
    frames = [{"can_bus": np.zeros(18, np.float32)}]
    found = first_divergence(right, converted, frames, tolerance=1e-2)
    assert (found.node, found.kind) == ("/pts_bbox_head/transformer/Where", "half") and "few bits left" in found.hint
    assert found.inputs[-1].candidate.dtype == "float16" and found.inputs[-1].reference.dtype == "float32"
    options = Options(overrides={"*/Where_output_0": 0.02})
    assert not first_divergence(right, converted, frames, tolerance=1e-2, options=options).found
