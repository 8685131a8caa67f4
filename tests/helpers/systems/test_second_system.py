"""A second system is a folder and a line in the table: it passes through every room as it is.

The toy has two states, an int64 input, and voxels of 17 classes in the place of boxes.
"""

import dataclasses

import numpy as np
import onnx
import pytest
import torch

from helpers import benchmark, calibration, engine, export, graph, models, quantize, records
from helpers.cli import models as command
from helpers.dataset import open_dataset, stream
from helpers.errors import BadInput
from helpers.metrics import detection
from helpers.precision import faults, first_divergence
from helpers.sequence import rollout
from tests.helpers.systems.toy.config import CLASSES, CONFIGS
from tests.helpers.systems.toy.decode import mean_iou

CONFIG = CONFIGS["small"]


@pytest.fixture(scope="module", autouse=True)
def table():
    """The line in the table."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(models.SYSTEMS, "toy", "tests.helpers.systems.toy:Toy")
        yield


@pytest.fixture(scope="module")
def steps(minidrive):
    return list(stream(open_dataset(minidrive), CONFIG))


@pytest.fixture(scope="module")
def model(table):
    return models.create("toy", "small")


@pytest.fixture(scope="module")
def path(model, tmp_path_factory):
    return export.export(model, tmp_path_factory.mktemp("toy") / "toy.onnx")


@pytest.fixture(scope="module")
def network(path):
    with engine.load(path) as loaded:
        yield loaded


@pytest.fixture(scope="module")
def calibrated(network, steps, path):
    return calibration.collect(network.run, steps, path.with_name("calibration.npz"), CONFIG)


@pytest.fixture(scope="module")
def int8(path, calibrated):
    out = path.with_name("int8.onnx")
    options = quantize.Options(exclude_nodes=CONFIG.unquantized)
    return quantize.quantize(path, out, calibration=calibrated, options=options)


def run_torch(model):
    @torch.inference_mode()
    def run(feeds):
        outputs = model(**{name: torch.from_numpy(array) for name, array in feeds.items()})
        return {name: tensor.numpy() for name, tensor in zip(CONFIG.output_shapes(), outputs, strict=True)}

    return run


def voxels(run, steps):
    """The class of every voxel on every frame."""
    running = rollout(run, steps, CONFIG.states, CONFIG.initial_states())
    return [CONFIG.decode(outputs) for _, _, outputs in running]


def test_the_table_lists_it_and_shapes_need_no_network(capsys):
    assert models.config("toy", "small") is CONFIG
    assert command.main(["toy"]) == 0
    assert capsys.readouterr().out.splitlines()[1].split()[:2] == ["toy", "small"]
    assert command.main(["toy", "--config", "small", "--keys"]) == 0
    assert "command.weight [3,16] float32" in capsys.readouterr().out.splitlines()


def test_the_stream_has_its_inputs(steps):
    shapes, types = CONFIG.input_shapes(), CONFIG.input_types()
    own = {name: (shapes[name], types[name]) for name in shapes if name not in CONFIG.states}
    assert {name: (array.shape, array.dtype) for name, array in steps[1].feeds.items()} == own
    assert [step.first for step in steps] == [True, False, False, False] * 2
    assert not steps[4].feeds["velocity"].any() and steps[5].feeds["velocity"].any()


def test_export_has_its_types_and_agrees_with_pytorch(path, model, steps):
    inputs = {value.name: value.type.tensor_type.elem_type for value in graph.load(path).graph.input}
    assert inputs.pop("command") == onnx.TensorProto.INT64 and set(inputs.values()) == {onnx.TensorProto.FLOAT}
    rows = export.check(path, model, steps)
    assert {row["output"] for row in rows} == set(CONFIG.output_shapes()) and rows[-1]["frame"] == len(steps) - 1
    export.assert_parity(rows)
    with torch.no_grad():
        model.motion.bias.add_(0.1)
    try:
        with pytest.raises(AssertionError, match="frame 0"):
            export.assert_parity(export.check(path, model, steps))
    finally:
        with torch.no_grad():
            model.motion.bias.sub_(0.1)


def test_both_states_are_carried_and_begin_anew_with_a_scene(network, model, steps):
    running = list(rollout(network.run, steps, CONFIG.states, CONFIG.initial_states()))
    for (_, feeds, _), (_, _, before) in zip(running[1:4], running[:3], strict=True):
        assert (feeds["prev_map"] == before["map"]).all() and (feeds["prev_motion"] == before["motion"]).all()
    _, begin, _ = running[4]
    assert not begin["prev_map"].any() and not begin["prev_motion"].any()
    forgetful = [step._replace(first=True) for step in steps]
    assert not np.array_equal(voxels(network.run, steps)[1], voxels(network.run, forgetful)[1])
    for ours, theirs in zip(voxels(network.run, steps), voxels(run_torch(model), steps), strict=True):
        assert ours.shape == CONFIG.grid and (ours == theirs).mean() > 0.999


def test_calibration_holds_both_states_and_the_integer(calibrated, network, steps):
    shapes, types = CONFIG.input_shapes(), CONFIG.input_types()
    assert calibration.check_calibration(calibrated, shapes, types) == len(steps)
    samples = list(calibration.CalibrationReader(calibrated, shapes, input_types=types))
    assert samples[0]["prev_map"].std() > 0.5 and samples[0]["prev_motion"].any()
    outputs = [network.run(sample) for sample in samples]
    for sample, before in zip(samples[1:], outputs[:-1], strict=True):  # over the change of scene too
        np.testing.assert_array_equal(sample["prev_map"], before["map"])
        np.testing.assert_array_equal(sample["prev_motion"], before["motion"])
    assert [sample["command"].tolist() for sample in samples] == [step.feeds["command"].tolist() for step in steps]


def test_quantize_takes_the_integer_and_leaves_the_head(int8, path):
    rows = {row["node"]: row["quantized"] for row in quantize.report(int8, path)}
    assert rows["/fuse/Conv"] and not rows["/head/Conv"]


def test_an_int8_engine_is_scored_by_the_task_and_recorded(int8, network, model, steps, tmp_path):
    truth = voxels(run_torch(model), steps)
    figures = {}
    with engine.load(engine.build(int8, out_dir=tmp_path / "engines")) as quantized:
        for name, loaded in {"fp32": network, "int8": quantized}.items():
            found = voxels(loaded.run, steps)
            figures[f"{name}_mIoU"] = mean_iou(zip(found, truth, strict=True), CLASSES)
        feeds = steps[0].feeds | CONFIG.initial_states()
        timing = benchmark.latency(lambda: quantized.run(feeds), warmup=1, iterations=3)
    shuffled = mean_iou(zip(voxels(network.run, steps)[::-1], truth, strict=True), CLASSES)
    assert figures["fp32_mIoU"] > 0.99 > figures["int8_mIoU"] > shuffled
    made = records.record("toy-small", figures | timing.metrics(), "pytest", [int8])
    record = records.read(records.write(made, tmp_path))
    assert record.metrics["int8_mIoU"] == figures["int8_mIoU"]


def test_tensorrt_rtx_builds_it(path, tmp_path):
    pytest.importorskip("tensorrt_rtx")
    built = engine.build(path, "tensorrt_rtx", tmp_path, compute_capability="8.9", optimization_level=0)
    assert engine.inspect(built)["runtime"] == "tensorrt_rtx"


def test_an_injected_fault_is_found(model, path, steps):
    assert not first_divergence(model, path, steps[:3], CONFIG.states, tolerance=1e-4).found
    faulty = faults.half(graph.load(path), "/fuse/*")
    found = first_divergence(path, faulty, steps[:3], CONFIG.states, tolerance=1e-5)
    assert (found.found, found.module, found.op) == (True, "fuse", "Conv")


def test_detection_refuses_its_results(network, steps, minidrive):
    with pytest.raises(BadInput, match=r"found: +ndarray"):
        detection.evaluate(network.run, open_dataset(minidrive), CONFIG, steps, progress=False)
    frame = steps[0].frame
    foreign = dataclasses.replace(frame.boxes, classes=CLASSES)
    with pytest.raises(BadInput, match="17 classes, among them free"):
        detection.to_global(foreign, frame)
