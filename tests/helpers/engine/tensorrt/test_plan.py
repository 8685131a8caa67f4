"""Plans that may be loaded, and those that must not: of another version, GPU or platform, or damaged."""

import shlex
import sys

import pytest

from helpers import __main__ as cli
from helpers import engine
from helpers.engine import cache, cuda
from helpers.engine.tensorrt import plan
from helpers.errors import BadInput
from tests.helpers.engine.tensorrt.builders import (
    assert_equal,
    built,
    step,
)


def test_engine_of_another_version_names_both(install, model):
    install("8.6.0")
    path = built(model)
    install("10.13.0")
    with pytest.raises(BadInput, match=r"tensorrt 8\.6\.0(.|\n)*tensorrt 10\.13\.0"):
        engine.load(path)
    cache.metadata_file(path).unlink()
    with pytest.raises(BadInput, match=r"TensorRT 8\.6\.0, by its header(.|\n)*TensorRT 10\.13\.0"):
        engine.load(path)


def test_plan_without_metadata_file_runs(trt, model, feeds, tmp_path):
    bare = tmp_path / "bare.plan"
    bare.write_bytes(built(model).read_bytes())
    assert engine.runtime_of(bare) == "tensorrt" and plan.plan_version(bare) == trt.__version__
    with engine.load(bare) as loaded:
        assert_equal(loaded.run(feeds), step(**feeds))
        assert loaded.meta == {} and "precision unknown" in loaded.description
    bare.write_bytes(bare.read_bytes()[:60])
    with pytest.raises(BadInput, match="checksum"):
        engine.load(bare)
    bare.write_bytes(b"something else")
    with pytest.raises(BadInput, match=r"bare\.plan\.json"):
        engine.load(bare)


def test_version_compatible_engines_load_in_later_versions_of_the_release(install, model, feeds):
    install("8.6.0")
    path = built(model, version_compatible=True)
    meta = cache.read_meta(path)
    assert [plan.compatible(meta, version) for version in ("8.6.1", "8.6.0", "8.5.9", "10.0.0")] == [
        True,
        True,
        False,
        False,
    ]
    assert not plan.compatible(meta | {"options": {}}, "8.6.1")
    trt = install("8.6.0")
    trt.__version__ = "8.6.1"
    with engine.load(path) as loaded:
        assert_equal(loaded.run(feeds), step(**feeds))
        assert loaded._plan.runtime.engine_host_code_allowed is True


@pytest.mark.parametrize(
    "capability, level, runs", [((8, 9), None, False), ((8, 9), True, True), ((7, 5), True, False)]
)
def test_engine_of_another_gpu(trt, model, driver, capability, level, runs):
    path = built(model, hardware_compatible=level)
    assert trt._built[0][1].hardware_compatibility_level.name == ("AMPERE_PLUS" if level else "NONE")
    driver.capability, driver.name = capability, b"Another GPU"
    cuda.device.cache_clear()
    if runs:
        engine.load(path).close()
    else:
        with pytest.raises(
            BadInput, match=rf"9\.0 \(Fake GPU\)(.|\n)*{capability[0]}\.{capability[1]} \(Another GPU\)"
        ):
            engine.load(path)


def test_engine_of_another_platform(trt, model, monkeypatch):
    path = built(model)
    monkeypatch.setattr(plan, "platform_name", lambda: "linux-aarch64")
    with pytest.raises(BadInput, match=r"linux-x86_64(.|\n)*linux-aarch64"):
        engine.load(path)


def test_damaged_engine(trt, model):
    path = built(model)
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)
    with pytest.raises(BadInput, match="SHA-256"):
        engine.load(path)


def test_no_gpu_and_a_package_without_libraries(install, driver, model, monkeypatch):
    install("8.6.0")
    driver.fail["cuInit"] = 100
    assert engine.available()["tensorrt"].reason.startswith("cannot be used (TensorRT 8.6.0 is installed, but")
    with pytest.raises(BadInput, match=r"gives no GPU \(cuInit: CUDA_ERROR_NO_DEVICE"):
        built(model)
    monkeypatch.setitem(sys.modules, "tensorrt", fake_stub := type(sys)("tensorrt"))
    assert not hasattr(fake_stub, "Builder")
    assert "without its libraries" in engine.available()["tensorrt"].reason
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    assert engine.available()["tensorrt"].reason.startswith("not installed")


def another_version(path, install, driver, monkeypatch):
    cache.metadata_file(path).unlink()
    install("11.1.0")


def another_gpu(path, install, driver, monkeypatch):
    driver.capability = (8, 9)
    cuda.device.cache_clear()


def another_platform(path, install, driver, monkeypatch):
    monkeypatch.setattr(plan, "platform_name", lambda: "linux-aarch64")


def cut_short(path, install, driver, monkeypatch):
    cache.metadata_file(path).unlink()
    path.write_bytes(path.read_bytes()[:60])


@pytest.mark.parametrize("change", [another_version, another_gpu, another_platform, cut_short])
def test_building_again_on_this_machine_cures(install, driver, model, feeds, monkeypatch, capsys, change):
    install("10.13.0")
    path = built(model)
    change(path, install, driver, monkeypatch)
    with pytest.raises(BadInput) as caught:
        engine.load(path)
    assert caught.value.fix == plan.REBUILD
    monkeypatch.chdir(model.parent)
    _, command = plan.REBUILD.replace("MODEL.onnx", model.name).split(": ")
    assert cli.main(shlex.split(command)[3:]) == 0
    with engine.load(capsys.readouterr().out.splitlines()[-1]) as loaded:
        assert_equal(loaded.run(feeds), step(**feeds))
