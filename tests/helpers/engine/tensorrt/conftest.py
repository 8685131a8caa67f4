import numpy as np
import pytest

from helpers import calibration
from helpers.engine.tensorrt import messages
from tests.fakes import cuda as fake_cuda
from tests.fakes import tensorrt as fake_tensorrt
from tests.helpers.engine.tensorrt.builders import save_step


@pytest.fixture
def driver(monkeypatch):
    with fake_cuda.installed(monkeypatch) as driver:
        yield driver


@pytest.fixture
def install(monkeypatch, driver):
    """Function that makes `import tensorrt` give the API of a version."""

    yield lambda version: fake_tensorrt.install(monkeypatch, version, driver)
    messages.logger.cache_clear()


@pytest.fixture(params=fake_tensorrt.VERSIONS)
def trt(request, install):
    return install(request.param)


@pytest.fixture(params=("8.6.0", "10.13.0"))
def weak(request, install):
    return install(request.param)


@pytest.fixture
def model(tmp_path):
    return save_step(tmp_path / "step.onnx")


@pytest.fixture
def feeds():
    generator = np.random.default_rng(0)
    return {name: generator.standard_normal((3, 2)).astype(np.float32) for name in ("x", "history")}


@pytest.fixture
def calib(tmp_path):
    return calibration.noise(tmp_path / "calib.npz", {"x": (3, 2), "history": (3, 2)}, samples=4)
