"""The ranges that activations get, and that measuring them in groups changes nothing."""

import contextlib

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from helpers.calibration import CalibrationReader
from helpers.quantize import Options, calibrators, quantize
from tests.builders.quantizable import SHAPES, scales


def test_max_scales_are_the_largest_magnitudes(int8):
    found, samples = scales(int8), list(CalibrationReader(int8.with_name("calibration.npz"), SHAPES))
    np.testing.assert_allclose(
        found["image"], max(np.abs(sample["image"]).max() for sample in samples) / 127, rtol=1e-5
    )
    weights = {
        tensor.name: numpy_helper.to_array(tensor)
        for tensor in onnx.load(int8.with_name("small.onnx")).graph.initializer
    }
    np.testing.assert_allclose(found["w1"], np.abs(weights["w1"]).max((1, 2, 3)) / 127, rtol=1e-5)


def test_entropy_cuts_an_outlier_that_max_keeps(network, calibration):
    with np.load(calibration) as archive:
        arrays = dict(archive)
    arrays["image"][3, 0, 0, 0] = 100
    np.savez(calibration, **arrays)
    cut, kept = (
        scales(quantize(network, network.with_name(f"{method}.onnx"), "int8", method, calibration))["image"]
        for method in ("entropy", "max")
    )
    assert kept == pytest.approx(100 / 127, rel=1e-5)
    assert cut < kept / 4


@pytest.mark.parametrize("method", ["entropy", "max"])
def test_measuring_in_groups_gives_what_modelopt_gives(network, calibration, monkeypatch, method):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)  # ModelOpt's sessions do not read it; sums depend on threads
    monkeypatch.setattr(calibrators, "GROUP_BYTES", 50_000)
    groups, session = [], calibrators._session
    monkeypatch.setattr(calibrators, "_session", lambda *options: groups.append(options[1]) or session(*options))
    ours = quantize(network, network.with_name("ours.onnx"), "int8", method, calibration)
    assert len(groups) > 2
    monkeypatch.setattr(calibrators, "bounded", contextlib.nullcontext)
    theirs = quantize(network, network.with_name("theirs.onnx"), "int8", method, calibration)
    assert ours.read_bytes() == theirs.read_bytes()


def test_samples_limits_what_is_read(network, calibration):
    out = quantize(network, network.with_name("quantized.onnx"), "int8", "max", calibration, Options(samples=1))
    first = CalibrationReader(calibration, SHAPES).get_first()["image"]
    np.testing.assert_allclose(scales(out)["image"], np.abs(first).max() / 127, rtol=1e-5)
