"""Building on the recorded APIs of 8.6, 10.x and 11.x and a stand-in for the driver."""

import contextlib

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from helpers import calibration, engine
from helpers.engine import cuda
from helpers.errors import BadInput
from tests.builders.graphs import value
from tests.helpers.engine.tensorrt.builders import (
    SHAPES,
    built,
    save,
    save_free,
    save_quantized,
)


def test_graph_is_rewritten_only_for_the_version_that_needs_it(trt, model):
    built(model)
    network, _ = trt._built[0]
    opset, last = network._model.opset_import[0].version, network._model.graph.node[-1]
    assert (opset, len(last.input)) == ((17, 1) if trt._major == 8 else (18, 2))
    assert network._flags == (1 if trt._major == 8 else 0)


def test_explicit_quantization(trt, tmp_path, model, calib):
    path = save_quantized(tmp_path / "qdq.onnx")
    with engine.load(built(path, precision="explicit")) as loaded:
        x = np.float32([[0.07, 1], [2, -9], [0, 0.01]])
        np.testing.assert_allclose(loaded.run({"x": x})["y"], np.clip(np.rint(x / 0.05), -128, 127) * 0.05, atol=1e-6)
    flags = {"INT8", "TF32"} if trt._major < 11 else {"TF32"}
    assert trt._built[0][1]._names() == flags and trt._batches == []
    with pytest.raises(BadInput, match="without Q/DQ nodes"):
        built(model, precision="explicit")
    if trt._major < 11:
        with contextlib.nullcontext() if trt._major >= 10 else pytest.warns(UserWarning, match="half precision"):
            built(path, precision="best")
        assert trt._built[1][1]._names() >= {"INT8", "FP16"} and trt._built[1][1]._calibrator is None
        for precision in ("fp32", "fp16"):
            with pytest.raises(BadInput, match="a graph with Q/DQ nodes"):
                built(path, precision=precision)
        with pytest.raises(BadInput, match="no calibration set"):
            built(path, precision="best", calibration=calib)
        for precision in ("best", "int8-implicit"):
            with pytest.raises(BadInput, match="neither Q/DQ nodes nor a calibration set"):
                built(model, precision=precision)


def test_half_beside_qdq_is_suspect_in_8_6(weak, tmp_path, model, recwarn):
    built(model, precision="fp16")
    built(save_quantized(tmp_path / "qdq.onnx"), precision="explicit")
    assert not recwarn
    built(tmp_path / "qdq.onnx", precision="best")
    texts = [str(warning.message) for warning in recwarn]
    expected = ["qdq.onnx: TensorRT 8.6.0 was seen to compute wrong values"] if weak._major < 10 else []
    assert len(texts) == len(expected) and all(one in text for one, text in zip(expected, texts, strict=True))


def test_fp32_of_a_graph_with_16_bit_types_is_named_strong_in_11(install, tmp_path):
    install("11.1.0")
    nodes = [helper.make_node("Cast", ["x"], ["h"], to=TensorProto.FLOAT16),
             helper.make_node("Cast", ["h"], ["y"], to=TensorProto.FLOAT)]  # fmt: skip
    path = save(tmp_path / "half.onnx", nodes, [value("x", [2])], [value("y", [2])])
    with pytest.raises(BadInput, match=r"16-bit types(.|\n)*strong"):
        built(path)
    built(path, precision="strong")


def test_layer_precisions_by_name_pattern(weak, model):
    path = built(model, precision="fp16", layer_precisions={"/head/*": "fp16", "*_FORCEFP32": "fp32"})
    network, config = weak._built[0]
    found = {layer.name: (layer.precision.name, layer._types[0].name) for layer in network._layers}
    assert found["/head/Relu_FORCEFP32"] == ("FLOAT", "FLOAT") and found["/head/Add"] == ("HALF", "HALF")
    assert "OBEY_PRECISION_CONSTRAINTS" in config._names() and engine.inspect(path)["constrained_layers"] == 4


def test_layers_without_their_name_are_known_by_their_output(install, tmp_path):
    """The 8.6 parser gives a LayerNormalization layer no name."""
    trt = install("8.6.0")
    nodes = [helper.make_node("LayerNormalization", ["x", "g"], ["y"], "/norm_FORCEFP32")]
    weights = [numpy_helper.from_array(np.ones(2, np.float32), "g")]
    path = save(tmp_path / "norm.onnx", nodes, [value("x", [3, 2])], [value("y", [3, 2])], weights)
    built(path, precision="obey", layer_precisions={"*_FORCEFP32": "fp32"})
    assert trt._built[0][0]._layers[0].precision.name == "FLOAT"


def test_integer_layers_keep_their_type(weak, tmp_path):
    nodes = [helper.make_node("Cast", ["x"], ["i"], "/i_FORCEFP32", to=TensorProto.INT32),
             helper.make_node("Cast", ["i"], ["y"], "/y_FORCEFP32", to=TensorProto.FLOAT)]  # fmt: skip
    path = save(tmp_path / "cast.onnx", nodes, [value("x", [2])], [value("y", [2])])
    built(path, precision="obey", layer_precisions={"*_FORCEFP32": "fp32"})
    first, second = weak._built[0][0]._layers
    assert first._types == {} and second._types[0].name == "FLOAT"


def test_calibrator_feeds_the_set_and_its_table_is_kept(weak, model, calib, driver):
    path = built(model, precision="int8-implicit", calibration=calib)
    expected = list(calibration.CalibrationReader(calib, {"x": (3, 2), "history": (3, 2)}))
    assert len(weak._batches) == len(expected) == 4
    for batch, sample in zip(weak._batches, expected, strict=True):
        for name, array in sample.items():
            np.testing.assert_array_equal(np.frombuffer(batch[name], np.float32).reshape(3, 2), array)
    assert (path.parent / "calibration.table").read_bytes() == b"TRT-table"
    assert len(driver.pinned) == 0  # given back


def test_a_set_that_does_not_fit_is_refused_and_nothing_is_left(weak, model, tmp_path):
    other = calibration.noise(tmp_path / "other.npz", {"x": (3, 2)}, samples=1)
    with pytest.raises(BadInput, match="arrays"):
        built(model, precision="int8-implicit", calibration=other)
    assert not list((model.parent / "cache").glob("*"))


def test_an_error_while_feeding_comes_out_of_the_build(weak, model, calib, driver, monkeypatch):
    monkeypatch.setitem(driver.fail, "cuMemcpyHtoDAsync", 1)
    with pytest.raises(cuda.CudaError, match="CUDA_ERROR_INVALID_VALUE"):
        built(model, precision="int8-implicit", calibration=calib)


def test_free_dimensions_need_shapes_and_calibrate_at_the_opt_one(weak, tmp_path):
    path = save_free(tmp_path / "free.onnx")
    with pytest.raises(BadInput, match="free dimensions"):
        built(path)
    with pytest.raises(BadInput, match="in this order"):
        built(path, shapes={"x": [(4, 2), (2, 2), (1, 2)]})
    calib = calibration.noise(tmp_path / "calib.npz", {"x": (2, 2)}, samples=3)
    built(path, precision="int8-implicit", calibration=calib, shapes=SHAPES[0])
    config = weak._built[-1][1]
    assert config._calibration_profile is config._profiles[0] and len(weak._batches) == 3


def test_marked_outputs(trt, model, feeds):
    with engine.load(built(model, mark_outputs=["added", "top"])) as loaded:
        outputs = loaded.run(feeds)
    assert list(outputs) == ["kept", "top", "added"]
    np.testing.assert_allclose(np.maximum(outputs["added"], 0), outputs["kept"])


def test_timing_cache_is_read_and_written_back(trt, model, tmp_path):
    file = tmp_path / "timing.cache"
    path = built(model, timing_cache=file)
    written = f"cache {trt.__version__}+1".encode()
    assert file.read_bytes() == written
    assert built(model, timing_cache=tmp_path / "another") == path  # where times are kept makes no other engine
    built(model, timing_cache=file, workspace=1)
    assert file.read_bytes() == written + b"+1"
    file.write_bytes(b"cache 7.2.1")
    with pytest.raises(BadInput, match=r"timing.cache(.|\n)*delete it"):
        built(model, timing_cache=file, workspace=2)
    assert file.read_bytes() == b"cache 7.2.1"
    file.write_bytes(b"some other file")  # would be taken for an empty cache, and overwritten
    with pytest.raises(BadInput, match=r"timing.cache(.|\n)*delete it"):
        built(model, timing_cache=file, workspace=3)
    assert file.read_bytes() == b"some other file"
    with pytest.raises(BadInput, match="also an input"):
        built(model, timing_cache=model, workspace=4)


def test_refused_networks_show_the_builders_messages(trt, model):
    trt._refuse = "Could not find any implementation for node /head/Add"
    with pytest.raises(BadInput, match="Could not find any implementation"):
        built(model)
    assert not list((model.parent / "cache").glob("*"))
