"""The runtime onnxruntime, and the ONNX files that it and the others take."""

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from helpers import engine, graph
from helpers.engine import cache, tensorrt_rtx
from helpers.errors import BadInput
from helpers.graph.walk import uses_fp8
from tests.builders.graphs import save, value
from tests.helpers.engine.builders import expected_conv, flip_byte, left_over, save_conv, save_fp8


def test_build_and_run(tmp_path, x):
    path, weight = save_conv(tmp_path / "conv.onnx")
    built = engine.build(path, out_dir=tmp_path / "cache", threads=1)
    with engine.load(built) as loaded:
        assert loaded.inputs == {"x": ((2, 3, 4, 4), np.float32)}
        assert loaded.outputs == {"z": ((2, 5, 4, 4), np.float32)}
        outputs = loaded.run({"x": x})
        assert loaded.session.get_session_options().intra_op_num_threads == 1
        assert "1 threads, optimization all" in loaded.description
    assert list(outputs) == ["z"]
    np.testing.assert_allclose(outputs["z"], expected_conv(weight, x), rtol=1e-5, atol=1e-6)
    assert loaded.meta["onnx_sha256"] == cache.sha256(path)


def test_plain_onnx_file_runs(conv, x):
    with engine.load(conv, optimization="basic") as loaded:
        assert loaded.meta == {} and "basic (as asked)" in loaded.description
        assert loaded.run({"x": x})["z"].shape == (2, 5, 4, 4)


def test_bad_onnx_files(tmp_path, conv):
    whole = conv.read_bytes()
    for name, content in {"truncated": whole[:-40], "empty": b"", "text": b"not a model"}.items():
        path = tmp_path / f"{name}.onnx"
        path.write_bytes(content)
        with pytest.raises(BadInput, match=f"{name}.onnx"):
            engine.build(path, out_dir=tmp_path / "cache")
    with pytest.raises(BadInput, match="no such file"):
        engine.build(tmp_path / "absent.onnx", out_dir=tmp_path / "cache")
    with pytest.raises(BadInput, match="no such file") as caught:
        engine.load(tmp_path / "absent.onnx")
    assert caught.value.fix == "check the path"  # which is all that is wrong with it
    assert left_over(tmp_path / "cache") == []


def test_flipped_bit_in_a_sealed_onnx_file(tmp_path, conv):

    sealed = graph.save(onnx.load(conv), tmp_path / "sealed.onnx")
    raw = onnx.load(sealed).graph.initializer[0].raw_data
    flip_byte(sealed, sealed.read_bytes().index(raw) + 3)
    with pytest.raises(BadInput, match="changed bits"):
        engine.build(sealed, out_dir=tmp_path / "cache")


def test_unknown_operator_is_named(tmp_path):
    nodes = [helper.make_node("Wobble", ["x"], ["y"], "wobbly", domain="my.domain")]
    path = save(tmp_path / "m.onnx", nodes, [value("x", [1])], [value("y", [1])], opsets=[("my.domain", 1)])
    for runtime in ("onnxruntime", "tensorrt_rtx"):
        with pytest.raises(BadInput, match="Wobble"):
            engine.build(path, runtime, tmp_path / "cache")
    assert left_over(tmp_path / "cache") == []


def test_local_function_builds_on_both_runtimes(tmp_path):
    body = [helper.make_node("Mul", ["a", "a"], ["b"], "square")]
    function = helper.make_function("trt.plugins", "Square", ["a"], ["b"], body, [helper.make_opsetid("", 19)])
    nodes = [helper.make_node("Square", ["x"], ["y"], "custom", domain="trt.plugins")]
    opsets = [("trt.plugins", 1)]
    path = save(tmp_path / "m.onnx", nodes, {"x": [3]}, {"y": [3]}, (), 19, [function], opsets)
    with engine.load(engine.build(path, out_dir=tmp_path / "cache")) as loaded:
        np.testing.assert_array_equal(loaded.run({"x": np.float32([1, -2, 3])})["y"], [1, 4, 9])
    assert [layer["type"] for layer in tensorrt_rtx.layers(path)] == ["ELEMENTWISE"]


def test_fp8_graph_runs_at_basic_and_is_right(tmp_path):
    path, weight = save_fp8(tmp_path / "fp8.onnx")
    x = np.random.default_rng(4).standard_normal((2, 16)).astype(np.float32)

    def rounded(array, scale):
        return (array / np.float32(scale)).astype(ml_dtypes.float8_e4m3fn).astype(np.float32) * np.float32(scale)

    with engine.load(engine.build(path, out_dir=tmp_path / "cache")) as loaded:
        assert "optimization basic (the graph has FP8 types" in loaded.description
        y = loaded.run({"x": x})["y"]
    np.testing.assert_allclose(y, rounded(x, 0.01) @ rounded(weight, 0.004), rtol=1e-5, atol=1e-5)
    assert np.abs(y - x @ weight).max() > 1e-3  # FP8 rounding did take place
    with pytest.raises(BadInput, match="optimization level all"):
        engine.load(path, optimization="all")


def test_fp8_is_found_in_functions_and_cast_attributes():
    cast = helper.make_node("Cast", ["a"], ["b"], to=TensorProto.FLOAT8E4M3FN)
    function = helper.make_function("d", "F", ["a"], ["b"], [cast], [helper.make_opsetid("", 19)])
    graph = helper.make_graph([helper.make_node("F", ["x"], ["y"], domain="d")], "g", [], [])
    assert uses_fp8(helper.make_model(graph, functions=[function]))
    cast.attribute[0].i = TensorProto.FLOAT16
    function = helper.make_function("d", "F", ["a"], ["b"], [cast], [helper.make_opsetid("", 19)])
    assert not uses_fp8(helper.make_model(graph, functions=[function]))


def test_profile_tells_the_kernels_of_the_runs_that_count(conv, x):
    with engine.load(conv) as loaded:
        rows = loaded.profile({"x": x}, iterations=3)
        (conv_row,) = (row for row in rows if row["type"].removeprefix("Fused") == "Conv")
        assert conv_row["precision"] == "fp32" and conv_row["ms"] > 0
        assert sum(row["share"] for row in rows) == pytest.approx(1)
        assert not loaded.session.get_session_options().enable_profiling
        with pytest.raises(BadInput, match="iterations 0"):
            loaded.profile({"x": x}, iterations=0)
        with pytest.raises(BadInput, match="'x'"):
            loaded.profile({})
