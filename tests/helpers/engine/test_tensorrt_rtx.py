"""The runtime tensorrt_rtx: parses and builds with the real TensorRT, without a GPU."""

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from helpers import engine
from helpers.engine import cache, tensorrt_rtx
from helpers.errors import BadInput
from tests.builders.graphs import save, value
from tests.fakes import cuda as fake_cuda
from tests.helpers.engine.builders import left_over, save_conv, save_fp8


def test_layers(conv):
    first, second = tensorrt_rtx.layers(conv)
    assert first == {"index": 0, "name": "conv", "type": "CONVOLUTION", "precision": "FLOAT", "inputs": "2x3x4x4",
                     "outputs": "2x5x4x4"}  # fmt: skip
    assert (second["name"], second["type"]) == ("relu", "ACTIVATION")


def test_metadata_file_says_what_was_built(tmp_path, conv):
    options = {"compute_capability": ["12.0", "8.9"], "optimization_level": 1, "workspace": 64}
    path = engine.build(conv, "tensorrt_rtx", tmp_path / "cache", **options)
    meta = engine.inspect(path)
    assert meta["compute_capabilities"] == ["8.9", "12.0"] and meta["layer_count"] == len(meta["layers"]) == 2
    assert meta["options"] == {"shapes": [], "optimization_level": 1, "workspace": 64}
    assert meta["size_bytes"] == path.stat().st_size > 0 and meta["build_seconds"] > 0
    assert meta["version"] == engine.available()["tensorrt_rtx"].version and meta["onnx_sha256"] == cache.sha256(conv)


@pytest.mark.parametrize("capability", ["9.0", "89", [], ["8.9", "1.0"]])
def test_refuses_capabilities_it_has_no_target_for(conv, capability):
    with pytest.raises(BadInput, match="compute_capability"):
        engine.build(conv, "tensorrt_rtx", compute_capability=capability)


def test_names_the_node_the_parser_refuses(tmp_path):
    nodes = [helper.make_node("NonZero", ["x"], ["y"], "find")]
    path = save(tmp_path / "m.onnx", nodes, [value("x", [4])], [value("y", [1, "n"], TensorProto.INT64)])
    with pytest.raises(BadInput, match=r"node 0 'find' \(NonZero\): .*not found"):
        tensorrt_rtx.layers(path)


def test_gathers_nodes_with_the_same_reason(tmp_path):
    nodes = [helper.make_node("Wobble", [a], [b], f"wobbly_{a}", domain="my.domain") for a, b in ("xy", "yz")]
    path = save(tmp_path / "m.onnx", nodes, [value("x", [1])], [value("z", [1])], opsets=[("my.domain", 1)])
    with pytest.raises(BadInput, match=r"node 0 'wobbly_x' \(Wobble\): .* and 1 more Wobble"):
        tensorrt_rtx.layers(path)


def test_shows_the_builders_messages(tmp_path):
    """TopK above 3840 parses; the builder refuses it (TensorRT-RTX 1.7.1)."""
    nodes = [helper.make_node("TopK", ["x", "k"], ["v", "i"], "top")]
    outputs = [value("v", [5000]), value("i", [5000], TensorProto.INT64)]
    path = save(
        tmp_path / "m.onnx", nodes, [value("x", [9000])], outputs, [numpy_helper.from_array(np.int64([5000]), "k")]
    )
    with pytest.raises(BadInput, match=r"(?s)builder refused.*ERROR.*3840"):
        engine.build(path, "tensorrt_rtx", tmp_path / "cache")
    assert left_over(tmp_path / "cache") == []


def test_refuses_fp8_for_a_gpu_without_it(tmp_path):
    path, _ = save_fp8(tmp_path / "fp8.onnx")
    assert {"QUANTIZE", "DEQUANTIZE"} <= {layer["type"] for layer in tensorrt_rtx.layers(path)}
    engine.build(path, "tensorrt_rtx", tmp_path / "cache", compute_capability="8.9")
    with pytest.raises(BadInput, match=r"(?s)builder refused.*fp8"):
        engine.build(path, "tensorrt_rtx", tmp_path / "cache", compute_capability=["8.6", "8.9"])


def test_shapes_of_an_input_without_free_dimensions_are_refused(tmp_path, conv, monkeypatch):
    shapes = {"x": [(4, 3, 4, 4)] * 3}
    monkeypatch.setattr(cache, "fetch", lambda *arguments: pytest.fail("the cache was asked"))
    with pytest.raises(BadInput, match=r"shapes\['x'\][\s\S]*fixed shape \(2, 3, 4, 4\)"):
        engine.build(conv, "tensorrt_rtx", tmp_path / "cache", shapes=shapes)
    assert left_over(tmp_path / "cache") == []


def test_free_dimensions_need_shapes(tmp_path):
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
        for profiles in (shapes, [{"x": sizes}, shapes]):
            with pytest.raises(BadInput, match="shapes"):
                engine.build(path, "tensorrt_rtx", out, shapes=profiles)
    with pytest.raises(BadInput, match="a list of them"):
        engine.build(path, "tensorrt_rtx", out, shapes="x:1x3x4x4")
    meta = engine.inspect(engine.build(path, "tensorrt_rtx", out, shapes={"x": sizes}))
    assert meta["options"]["shapes"] == [{"x": [list(size) for size in sizes]}]


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rtx")
    capabilities = ["8.6", "8.9"]
    return engine.build(save_conv(folder / "conv.onnx")[0], "tensorrt_rtx", folder, compute_capability=capabilities)


@pytest.mark.parametrize(
    "gpu, said",
    [(None, "no NVIDIA GPU"), ((9, 0), "9.0, which TensorRT-RTX .* does not target"), ((8, 9), "8.9, which fits")],
)
def test_engine_does_not_run_here(built, gpu, said, monkeypatch):
    with fake_cuda.installed(monkeypatch) as driver:
        driver.capability, driver.fail["cuInit"] = gpu, 100 if gpu is None else 0
        with pytest.raises(BadInput, match=f"{said}(.|\n)*8.6, 8.9"):
            engine.load(built)
