"""The small network, a calibration set for it, and its INT8 form."""

import pytest

from helpers.calibration import noise
from helpers.quantize import quantize
from tests.builders.quantizable import SHAPES, write_network
from tests.builders.shared import once


@pytest.fixture
def network(tmp_path):
    return write_network(tmp_path / "small.onnx")


@pytest.fixture
def calibration(tmp_path):
    return noise(tmp_path / "set" / "calibration.npz", SHAPES, samples=6)


@pytest.fixture(scope="session")
def int8(tmp_path_factory):
    """Path of the network in INT8 by "max", beside the network `small.onnx` and the set `calibration.npz`."""
    return once(tmp_path_factory, "int8", _int8)


def _int8(folder):
    measured_on = noise(folder / "calibration.npz", SHAPES, samples=6)
    return quantize(write_network(folder / "small.onnx"), folder / "int8.onnx", "int8", "max", measured_on)
