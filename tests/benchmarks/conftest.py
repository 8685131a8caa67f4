"""A work folder as the stage `prepare` leaves it, and recorded TensorRT APIs."""

import numpy as np
import pytest

from benchmarks import frames
from helpers import calibration, engine
from helpers.dataset import open_dataset
from helpers.sequence import Step
from helpers.systems.bevformer.config import CONFIGS
from tests.builders.measured import SHAPES, SYSTEM, toy
from tests.fakes import tensorrt as fake_tensorrt


@pytest.fixture
def work(tmp_path, minidrive):
    """A work folder as `prepare` leaves it, for two scenes of four frames, with the toy as the mini."""
    work = tmp_path / "work"
    toy(work / "models" / "mini.onnx")
    toy(work / "models" / "mini_qdq.onnx", quantized=True)
    random = np.random.default_rng(0)
    steps = []
    for frame in open_dataset(minidrive, "v1.0-mini", "mini_val"):
        feeds = {n: random.standard_normal(s).astype(np.float32) for n, s in SHAPES.items() if n != "prev_bev"}
        steps.append(Step(feeds | {"use_prev_bev": np.float32([frame.index > 0])}, frame.index == 0, frame))
    frames.write(work / "frames" / "mini", steps)
    calibration.noise(work / "calibration" / "mini.npz", SHAPES, 2)
    out = work / "outputs" / "mini" / "onnxruntime-fp32.npz"
    with engine.load(work / "models" / "mini.onnx", "onnxruntime") as network:
        frames.stream(network, frames.Frames(work / "frames" / "mini", "the fix"), SYSTEM, CONFIGS["mini"], out)
    return work


@pytest.fixture(params=["8.6.0", "10.13.0"])
def trt(request, monkeypatch):
    with fake_tensorrt.installed(monkeypatch, request.param) as module:
        yield module
