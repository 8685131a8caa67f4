"""One interface over the runtimes: what is there, what is taken, what every engine checks."""

import subprocess
import sys

import numpy as np
import pytest
from onnx import helper

from helpers import engine
from helpers.engine import Availability
from helpers.errors import BadInput
from tests.builders.graphs import save, value


def test_import_needs_no_torch():
    modules = "helpers.engine, helpers.cli.engine, helpers.engine.onnxruntime, helpers.engine.tensorrt_rtx"
    code = f"import sys, {modules}, helpers.benchmark, helpers.records; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_engines_run_without_onnx(tmp_path):
    """As on an embedded system, which has NumPy, TensorRT and the bindings of the driver."""
    (tmp_path / "bare.plan").write_bytes(b"ftrt" + bytes(100))
    code = f"""
import sys
sys.modules |= dict.fromkeys(("onnx", "onnxruntime", "torch", "tqdm"))
from helpers import engine
from helpers.engine.tensorrt.engine import TensorRtEngine
assert not engine.available()["onnxruntime"] and engine.runtime_of({str(tmp_path / "bare.plan")!r}) == "tensorrt"
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_available_names_versions_and_reasons(monkeypatch):
    import onnxruntime

    assert engine.available()["onnxruntime"] == Availability(onnxruntime.__version__)
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", None)
    found = engine.available()["tensorrt_rtx"]
    assert not found and found.version is None and found.reason.startswith("not installed")
    with pytest.raises(BadInput, match="runtime tensorrt_rtx"):
        engine.build("any.onnx", "tensorrt_rtx")


def test_unknown_runtime_and_option(conv):
    with pytest.raises(BadInput, match="tensorflow"):
        engine.build(conv, "tensorflow")
    for options in ({"threads": 0}, {"threads": "two"}, {"optimization": "most"}):
        with pytest.raises(BadInput, match=next(iter(options))):
            engine.build(conv, **options)
    for use, option in ((engine.build, "precision"), (engine.load, "cuda_graph")):
        with pytest.raises(BadInput, match=rf"{option}[\s\S]*runtime onnxruntime[\s\S]*'threads', 'optimization'"):
            use(conv, **{option: True})


def test_what_a_runtime_and_an_engine_do_not_tell(conv, x):
    """The defaults of the base classes, as ONNX Runtime leaves them."""
    assert engine.get_runtime("onnxruntime").layers(conv) == []
    with engine.load(conv) as loaded:
        assert loaded.memory() == {} and loaded.states == {}
        loaded.reset()
        with pytest.raises(BadInput, match=r"ONNX Runtime [\s\S]*runtime tensorrt"):
            loaded.layers()
        times = loaded.time({"x": x}, warmup=1, iterations=3)
    assert list(times) == ["host"] and times["host"]["n"] == 3


def test_every_runtime_is_found_under_its_name():
    for name in engine.RUNTIMES:
        assert engine.get_runtime(name).name == name and engine.get_runtime(name) is engine.get_runtime(name)


@pytest.mark.parametrize(
    "feeds, named",
    [
        ({}, "'x'.*\n.*nothing given"),
        ({"x": np.zeros((2, 3, 4, 4), np.float32), "w": np.zeros(1)}, "'w'.*\n.*no such input"),
        ({"x": np.zeros((2, 3, 4, 5), np.float32)}, r"'x'.*\n.*float32 \[2, 3, 4, 5\]"),
        ({"x": np.zeros((2, 3, 4), np.float32)}, r"'x'.*\n.*float32 \[2, 3, 4\]"),
        ({"x": np.zeros((2, 3, 4, 4))}, "'x'.*\n.*float64"),
        ({"x": [[1.0]]}, "'x'.*\n.*list"),
    ],
)
def test_run_names_the_bad_tensor(conv, feeds, named):
    with engine.load(conv) as loaded, pytest.raises(BadInput, match=named):
        loaded.run(feeds)


def test_free_dimensions_must_agree(tmp_path):
    inputs = [value("a", ["n", 2]), value("b", ["n", 2])]
    path = save(tmp_path / "add.onnx", [helper.make_node("Add", ["a", "b"], ["c"])], inputs, [value("c", ["n", 2])])
    with engine.load(path) as loaded:
        a = np.ones((3, 2), np.float32)
        np.testing.assert_array_equal(loaded.run({"a": a, "b": a})["c"], 2 * a)
        with pytest.raises(BadInput, match=r"'b'.*\n.*\n.*n = 3"):
            loaded.run({"a": a, "b": a[:1]})  # ONNX Runtime would broadcast


@pytest.mark.parametrize("free", ["?", -1, "", "unk__0", "n + 1"])
def test_free_dimensions_without_a_name_need_not_agree(tmp_path, free):
    """Some exporters call every free dimension "?", or write -1."""
    relu = helper.make_node("Relu", ["x"], ["y"])
    path = save(tmp_path / "relu.onnx", [relu], {"x": [free, free]}, {"y": [free, free]})
    with engine.load(path) as loaded:
        x = np.float32([[1, -2, 3], [-4, 5, -6]])
        np.testing.assert_array_equal(loaded.run({"x": x})["y"], np.maximum(x, 0))
        with pytest.raises(BadInput, match="'x'"):
            loaded.run({"x": x[0]})
