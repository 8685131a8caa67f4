import shutil

import numpy as np
import pytest

from helpers import engine
from tests.builders.shared import once
from tests.helpers.engine.builders import save_conv


@pytest.fixture
def conv(tmp_path):
    """An ONNX file of a convolution, x [2, 3, 4, 4] to z [2, 5, 4, 4]."""
    return save_conv(tmp_path / "conv.onnx")[0]


@pytest.fixture
def x():
    return np.random.default_rng(1).standard_normal((2, 3, 4, 4)).astype(np.float32)


@pytest.fixture(scope="session")
def filled(tmp_path_factory):
    """A cache with the engines of `conv` for both runtimes; not to be changed."""
    return once(tmp_path_factory, "engines", _filled)


def _filled(folder):
    path, _ = save_conv(folder / "conv.onnx")
    for runtime in ("onnxruntime", "tensorrt_rtx"):
        engine.build(path, runtime, folder / "cache")
    return folder / "cache"


@pytest.fixture
def cached(tmp_path, filled):
    """A copy of that cache."""
    return shutil.copytree(filled, tmp_path / "cache")
