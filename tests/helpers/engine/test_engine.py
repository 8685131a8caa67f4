import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from helpers import engine
from helpers.engine import Availability, cache, tensorrt_rtx
from helpers.engine.onnxruntime import OnnxRuntime
from helpers.errors import BadInput
from helpers.graph.walk import uses_fp8
from tests.fakes import cuda as fake_cuda


def value(name, shape, kind=TensorProto.FLOAT):
    return helper.make_tensor_value_info(name, kind, shape)


def save(path, nodes, inputs, outputs, weights=(), functions=(), opsets=(("", 19),), **options):
    graph = helper.make_graph(nodes, "graph", inputs, outputs, weights)
    opset_imports = [helper.make_opsetid(*opset) for opset in opsets]
    model = helper.make_model(graph, opset_imports=opset_imports, ir_version=9, functions=functions)
    onnx.save(model, path, **options)
    return path


def save_conv(path, batch=2, **options):
    """relu(conv1x1(x, w)) with x [batch, 3, 4, 4]; returns path and w [5, 3]."""
    weight = np.random.default_rng(0).standard_normal((5, 3)).astype(np.float32)
    nodes = [helper.make_node("Conv", ["x", "w"], ["y"], "conv"), helper.make_node("Relu", ["y"], ["z"], "relu")]
    initializer = numpy_helper.from_array(weight[:, :, None, None], "w")
    return save(
        path, nodes, [value("x", [batch, 3, 4, 4])], [value("z", [batch, 5, 4, 4])], [initializer], **options
    ), weight


def expected_conv(weight, x):
    return np.maximum(np.einsum("oc,bchw->bohw", weight, x), 0)


@pytest.fixture
def conv(tmp_path):
    return save_conv(tmp_path / "conv.onnx")[0]


@pytest.fixture
def x():
    return np.random.default_rng(1).standard_normal((2, 3, 4, 4)).astype(np.float32)


def meta_edited(path, **changes):
    metadata = cache.metadata_file(path)
    metadata.write_text(json.dumps(json.loads(metadata.read_text()) | changes))


def flip_byte(path, position=-3):
    data = bytearray(path.read_bytes())
    data[position] ^= 0x10
    path.write_bytes(data)


def left_over(folder):
    """Files and folders in `folder`, hidden temporary ones included."""
    return sorted(path.name for path in Path(folder).rglob("*")) if Path(folder).exists() else []


# --------------------------------------------------------------------------------------------------- interface


def test_import_needs_no_torch():
    modules = "helpers.engine, helpers.cli.engine, helpers.engine.onnxruntime, helpers.engine.tensorrt_rtx"
    code = f"import sys, {modules}, helpers.benchmark, helpers.records; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


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
    path = save(
        tmp_path / "relu.onnx",
        [helper.make_node("Relu", ["x"], ["y"])],
        [value("x", [free, free])],
        [value("y", [free, free])],
    )
    with engine.load(path) as loaded:
        x = np.float32([[1, -2, 3], [-4, 5, -6]])
        np.testing.assert_array_equal(loaded.run({"x": x})["y"], np.maximum(x, 0))
        with pytest.raises(BadInput, match="'x'"):
            loaded.run({"x": x[0]})


# ------------------------------------------------------------------------------------------------------- graphs


def test_bad_onnx_files(tmp_path, conv):
    whole = conv.read_bytes()
    for name, content in {"truncated": whole[:-40], "empty": b"", "text": b"not a model"}.items():
        path = tmp_path / f"{name}.onnx"
        path.write_bytes(content)
        with pytest.raises(BadInput, match=f"{name}.onnx"):
            engine.build(path, out_dir=tmp_path / "cache")
    with pytest.raises(BadInput, match="no such file"):
        engine.build(tmp_path / "absent.onnx", out_dir=tmp_path / "cache")
    assert left_over(tmp_path / "cache") == []


def test_flipped_bit_in_a_sealed_onnx_file(tmp_path, conv):
    from helpers import graph

    sealed = graph.save(onnx.load(conv), tmp_path / "sealed.onnx")
    raw = onnx.load(sealed).graph.initializer[0].raw_data
    flip_byte(sealed, sealed.read_bytes().index(raw) + 3)
    with pytest.raises(BadInput, match="changed bits"):
        engine.build(sealed, out_dir=tmp_path / "cache")


def test_unknown_operator_is_named(tmp_path):
    nodes = [helper.make_node("Wobble", ["x"], ["y"], "wobbly", domain="my.domain")]
    path = save(tmp_path / "m.onnx", nodes, [value("x", [1])], [value("y", [1])], opsets=[("", 19), ("my.domain", 1)])
    for runtime in ("onnxruntime", "tensorrt_rtx"):
        with pytest.raises(BadInput, match="Wobble"):
            engine.build(path, runtime, tmp_path / "cache")
    assert left_over(tmp_path / "cache") == []


def test_local_function_builds_on_both_runtimes(tmp_path):
    body = [helper.make_node("Mul", ["a", "a"], ["b"], "square")]
    function = helper.make_function("trt.plugins", "Square", ["a"], ["b"], body, [helper.make_opsetid("", 19)])
    nodes = [helper.make_node("Square", ["x"], ["y"], "custom", domain="trt.plugins")]
    opsets = [("", 19), ("trt.plugins", 1)]
    path = save(tmp_path / "m.onnx", nodes, [value("x", [3])], [value("y", [3])], functions=[function], opsets=opsets)
    with engine.load(engine.build(path, out_dir=tmp_path / "cache")) as loaded:
        np.testing.assert_array_equal(loaded.run({"x": np.float32([1, -2, 3])})["y"], [1, 4, 9])
    assert [layer["type"] for layer in tensorrt_rtx.layers(path)] == ["ELEMENTWISE"]


def test_external_weights_are_kept_and_keyed(tmp_path, x):
    source = tmp_path / "source"
    source.mkdir()
    options = {"save_as_external_data": True, "location": "weights.bin", "size_threshold": 0}
    path, weight = save_conv(source / "conv.onnx", **options)
    built = engine.build(path, out_dir=tmp_path / "cache")
    saved = cache.save_as(built, tmp_path / "elsewhere" / "mine.onnx")
    flip_byte(source / "weights.bin")
    assert engine.build(path, out_dir=tmp_path / "cache") != built
    shutil.rmtree(source)
    for file in (built, saved):
        with engine.load(file) as loaded:
            np.testing.assert_allclose(loaded.run({"x": x})["z"], expected_conv(weight, x), rtol=1e-5, atol=1e-6)
        flip_byte(file.parent / "weights.bin")
        with pytest.raises(BadInput, match=r"weights\.bin is damaged"):
            engine.load(file)


def test_external_weights_inside_a_branch_are_found(tmp_path):
    (tmp_path / "branch.bin").write_bytes(np.float32([7]).tobytes())
    weight = numpy_helper.from_array(np.float32([7]), "w")
    onnx.external_data_helper.set_external_data(weight, "branch.bin")
    weight.ClearField("raw_data")
    body = helper.make_graph([helper.make_node("Identity", ["w"], ["b"])], "branch", [], [value("b", [1])], [weight])
    node = helper.make_node("If", ["c"], ["y"], "choice", then_branch=body, else_branch=body)
    path = save(tmp_path / "if.onnx", [node], [value("c", [], TensorProto.BOOL)], [value("y", [1])])
    built = engine.build(path, out_dir=tmp_path / "cache")
    assert list(engine.inspect(built)["external"]) == ["branch.bin"]
    (tmp_path / "branch.bin").unlink()
    with engine.load(built) as loaded:
        np.testing.assert_array_equal(loaded.run({"c": np.array(True)})["y"], [7])


def test_external_weights_absent_or_outside(tmp_path):
    options = {"save_as_external_data": True, "location": "weights.bin", "size_threshold": 0}
    path, _ = save_conv(tmp_path / "conv.onnx", **options)
    (tmp_path / "weights.bin").unlink()
    with pytest.raises(BadInput, match=r"weights\.bin\n.*no such file"):
        engine.build(path, out_dir=tmp_path / "cache")
    model = onnx.load(path, load_external_data=False)
    entry = next(entry for entry in model.graph.initializer[0].external_data if entry.key == "location")
    entry.value = "../../etc/passwd"
    onnx.save(model, path)
    with pytest.raises(BadInput, match="passwd"):
        engine.build(path, out_dir=tmp_path / "cache")


def save_fp8(path):
    """y = qdq(x) @ qdq(w) with FP8 Q/DQ nodes; returns path, w and the scales."""
    weight = (np.random.default_rng(3).standard_normal((16, 4)) * 0.3).astype(np.float32)
    nodes = []
    for name in ("x", "w"):
        nodes.append(
            helper.make_node("QuantizeLinear", [name, f"{name}_scale", "zero"], [f"{name}_q"], f"{name}_quantize")
        )
        nodes.append(helper.make_node("DequantizeLinear", [f"{name}_q", f"{name}_scale", "zero"], [f"{name}_d"]))
    nodes.append(helper.make_node("MatMul", ["x_d", "w_d"], ["y"], "product"))
    weights = [
        numpy_helper.from_array(weight, "w"),
        numpy_helper.from_array(np.float32(0.01), "x_scale"),
        numpy_helper.from_array(np.float32(0.004), "w_scale"),
        helper.make_tensor("zero", TensorProto.FLOAT8E4M3FN, [], b"\0", raw=True),
    ]
    return save(path, nodes, [value("x", [2, 16])], [value("y", [2, 4])], weights), weight


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


# -------------------------------------------------------------------------------------------------------- cache


@pytest.fixture(params=["onnxruntime", "tensorrt_rtx"])
def runtime(request):
    return request.param


def test_cache_hit_does_not_build_again(tmp_path, conv, runtime, monkeypatch):
    first = engine.build(conv, runtime, tmp_path / "cache")
    monkeypatch.setattr(type(engine.get_runtime(runtime)), "build", lambda *_: pytest.fail("built again"))
    assert engine.build(conv, runtime, tmp_path / "cache") == first


def test_key_depends_on_everything(tmp_path, conv, monkeypatch):
    other = tmp_path / "other" / "conv.onnx"
    other.parent.mkdir()
    shutil.copyfile(conv, other)
    out = tmp_path / "cache"
    assert engine.build(conv, out_dir=out) == engine.build(other, out_dir=out)  # same content, same entry
    built = [engine.build(conv, out_dir=out), engine.build(conv, out_dir=out, threads=1)]
    built += [engine.build(conv, "tensorrt_rtx", out, compute_capability=name) for name in ("8.6", "8.9")]
    save_conv(conv, batch=1)
    built.append(engine.build(conv, out_dir=out))
    monkeypatch.setattr(OnnxRuntime, "version", lambda self: "0.0.1")
    built.append(engine.build(conv, out_dir=out))
    assert len(set(built)) == 6


@pytest.mark.parametrize("how", ["flip", "truncate", "remove", "side", "no side", "edit"])
def test_damaged_entry_is_rebuilt_with_a_notice_and_never_loaded(tmp_path, conv, runtime, how, capsys):
    path = engine.build(conv, runtime, tmp_path / "cache")
    whole, side = path.read_bytes(), cache.metadata_file(path)
    if how == "flip":
        flip_byte(path, len(whole) // 2)
    elif how == "truncate":
        path.write_bytes(whole[:-10])
    elif how == "remove":
        path.unlink()
    elif how == "side":
        side.write_text(side.read_text()[:-50])
    elif how == "no side":
        side.unlink()
    else:
        meta_edited(path, options={"threads": 64})
    if (how, runtime) != ("no side", "onnxruntime"):  # then it is a plain ONNX file
        with pytest.raises(BadInput, match=path.name):
            engine.load(path, runtime)
    assert engine.build(conv, runtime, tmp_path / "cache") == path
    assert "is rebuilt" in capsys.readouterr().err
    assert cache.damage(path) is None
    engine.build(conv, runtime, tmp_path / "cache")
    assert capsys.readouterr().err == ""


def test_engine_of_another_version_is_refused_with_both_sides(tmp_path, conv, runtime, monkeypatch):
    path = engine.build(conv, runtime, tmp_path / "cache")
    here = engine.available()[runtime].version
    monkeypatch.setattr(type(engine.get_runtime(runtime)), "version", lambda self: "9.9.9")
    with pytest.raises(BadInput, match=rf"built by {runtime} {here}(.|\n)*built by {runtime} 9\.9\.9"):
        engine.load(path)
    meta_edited(path, version="9.9.9")  # a forged version does not help
    with pytest.raises(BadInput, match="was changed"):
        engine.load(path)


def test_engine_of_another_runtime_is_refused_with_both_sides(tmp_path, conv):
    path = engine.build(conv, "tensorrt_rtx", tmp_path / "cache")
    with pytest.raises(BadInput, match=r"built by tensorrt_rtx (.|\n)*built by onnxruntime "):
        engine.load(path, "onnxruntime")


def no_space(*_, **__):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_full_disk_leaves_nothing(tmp_path, conv, runtime, monkeypatch):
    monkeypatch.setattr(shutil, "copyfile", no_space)
    monkeypatch.setattr(Path, "write_bytes", no_space)
    with pytest.raises(BadInput, match=r"disk is full \(\d+ MiB free\)"):
        engine.build(conv, runtime, tmp_path / "cache")
    assert left_over(tmp_path / "cache") == []


def test_full_disk_while_the_metadata_file_is_written(tmp_path, conv, monkeypatch):
    monkeypatch.setattr(Path, "write_text", no_space)
    with pytest.raises(BadInput, match="disk is full"):
        engine.build(conv, out_dir=tmp_path / "cache")
    assert left_over(tmp_path / "cache") == []


def test_full_disk_while_saving_elsewhere(tmp_path, conv, monkeypatch):
    path = engine.build(conv, out_dir=tmp_path / "cache")
    monkeypatch.setattr(shutil, "copyfile", no_space)
    with pytest.raises(BadInput, match="disk is full"):
        cache.save_as(path, tmp_path / "saved" / "mine.onnx")
    assert left_over(tmp_path / "saved") == []


def test_saving_where_a_folder_is_leaves_nothing(tmp_path, conv):
    path = engine.build(conv, out_dir=tmp_path / "cache")
    (tmp_path / "saved" / "mine.onnx").mkdir(parents=True)
    with pytest.raises(BadInput, match=r"found: +a folder"):
        cache.save_as(path, tmp_path / "saved" / "mine.onnx")
    assert [file.name for file in (tmp_path / "saved").iterdir()] == ["mine.onnx"]


# ------------------------------------------------------------------------------------------------- TensorRT-RTX


def test_rtx_layers(conv):
    first, second = tensorrt_rtx.layers(conv)
    assert first == {"index": 0, "name": "conv", "type": "CONVOLUTION", "precision": "FLOAT", "inputs": "2x3x4x4",
                     "outputs": "2x5x4x4"}  # fmt: skip
    assert (second["name"], second["type"]) == ("relu", "ACTIVATION")


def test_rtx_metadata_file_says_what_was_built(tmp_path, conv):
    options = {"compute_capability": ["12.0", "8.9"], "optimization_level": 1, "workspace": 64}
    path = engine.build(conv, "tensorrt_rtx", tmp_path / "cache", **options)
    meta = engine.inspect(path)
    assert meta["compute_capabilities"] == ["8.9", "12.0"] and meta["layer_count"] == len(meta["layers"]) == 2
    assert meta["options"] == {"shapes": {}, "optimization_level": 1, "workspace": 64}
    assert meta["size_bytes"] == path.stat().st_size > 0 and meta["build_seconds"] > 0
    assert meta["version"] == engine.available()["tensorrt_rtx"].version and meta["onnx_sha256"] == cache.sha256(conv)


@pytest.mark.parametrize("capability", ["9.0", "89", [], ["8.9", "1.0"]])
def test_rtx_refuses_capabilities_it_has_no_target_for(conv, capability):
    with pytest.raises(BadInput, match="compute_capability"):
        engine.build(conv, "tensorrt_rtx", compute_capability=capability)


def test_rtx_names_the_node_the_parser_refuses(tmp_path):
    nodes = [helper.make_node("NonZero", ["x"], ["y"], "find")]
    path = save(tmp_path / "m.onnx", nodes, [value("x", [4])], [value("y", [1, "n"], TensorProto.INT64)])
    with pytest.raises(BadInput, match=r"node 0 'find' \(NonZero\): .*not found"):
        tensorrt_rtx.layers(path)


def test_rtx_gathers_nodes_with_the_same_reason(tmp_path):
    nodes = [helper.make_node("Wobble", [a], [b], f"wobbly_{a}", domain="my.domain") for a, b in ("xy", "yz")]
    path = save(tmp_path / "m.onnx", nodes, [value("x", [1])], [value("z", [1])], opsets=[("", 19), ("my.domain", 1)])
    with pytest.raises(BadInput, match=r"node 0 'wobbly_x' \(Wobble\): .* and 1 more Wobble"):
        tensorrt_rtx.layers(path)


def test_rtx_shows_the_builders_messages(tmp_path):
    """TopK above 3840 parses; the builder refuses it (TensorRT-RTX 1.7.1)."""
    nodes = [helper.make_node("TopK", ["x", "k"], ["v", "i"], "top")]
    outputs = [value("v", [5000]), value("i", [5000], TensorProto.INT64)]
    path = save(
        tmp_path / "m.onnx", nodes, [value("x", [9000])], outputs, [numpy_helper.from_array(np.int64([5000]), "k")]
    )
    with pytest.raises(BadInput, match=r"(?s)builder refused.*ERROR.*3840"):
        engine.build(path, "tensorrt_rtx", tmp_path / "cache")
    assert left_over(tmp_path / "cache") == []


def test_rtx_refuses_fp8_for_a_gpu_without_it(tmp_path):
    path, _ = save_fp8(tmp_path / "fp8.onnx")
    assert {"QUANTIZE", "DEQUANTIZE"} <= {layer["type"] for layer in tensorrt_rtx.layers(path)}
    engine.build(path, "tensorrt_rtx", tmp_path / "cache", compute_capability="8.9")
    with pytest.raises(BadInput, match=r"(?s)builder refused.*fp8"):
        engine.build(path, "tensorrt_rtx", tmp_path / "cache", compute_capability=["8.6", "8.9"])


def test_rtx_free_dimensions_need_shapes(tmp_path):
    path, _ = save_conv(tmp_path / "conv.onnx", batch="batch")
    out = tmp_path / "cache"
    with pytest.raises(BadInput, match=r"input 'x'(.|\n)*free dimensions \(-1, 3, 4, 4\)"):
        engine.build(path, "tensorrt_rtx", out)
    sizes = [(1, 3, 4, 4), (2, 3, 4, 4), (8, 3, 4, 4)]
    for shapes in (
        {"y": sizes},
        {"x": sizes[:2]},
        {"x": sizes[::-1]},
        {"x": [(1, 3), *sizes[1:]]},
        {"x": [(1, 3, 4, 5)] * 3},
        {"x": [(2, 3, 4)] * 3},
    ):
        with pytest.raises(BadInput, match="shapes"):
            engine.build(path, "tensorrt_rtx", out, shapes=shapes)
    meta = engine.inspect(engine.build(path, "tensorrt_rtx", out, shapes={"x": sizes}))
    assert meta["options"]["shapes"] == {"x": [list(size) for size in sizes]}


@pytest.mark.parametrize(
    "gpu, said",
    [(None, "no NVIDIA GPU"), ((9, 0), "9.0, which TensorRT-RTX .* does not target"), ((8, 9), "8.9, which fits")],
)
def test_rtx_engine_does_not_run_here(tmp_path, conv, gpu, said, monkeypatch):
    path = engine.build(conv, "tensorrt_rtx", tmp_path / "cache", compute_capability=["8.6", "8.9"])
    with fake_cuda.installed(monkeypatch) as driver:
        driver.capability, driver.fail["cuInit"] = gpu, 100 if gpu is None else 0
        with pytest.raises(BadInput, match=f"{said}(.|\n)*8.6, 8.9"):
            engine.load(path)
