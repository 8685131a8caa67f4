"""Graphs made by hand: what the tables say, what the edits leave, and what load refuses."""

import subprocess
import sys

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from helpers import graph
from helpers.errors import BadInput

FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64
OPSETS = [helper.make_opsetid("", 18), helper.make_opsetid("demo", 1)]
N, S, M, D, Q, P = 2, 12, 4, 8, 5, 4


def model_of(nodes, inputs, outputs, weights=(), functions=(), opsets=OPSETS):
    def info(values):
        return [helper.make_tensor_value_info(name, dtype, shape) for name, dtype, shape in values]

    tensors = [numpy_helper.from_array(array, name) for name, array in weights]
    body = helper.make_graph(nodes, "made", info(inputs), info(outputs), tensors)
    return helper.make_model(body, opset_imports=opsets, functions=functions, ir_version=10)


@pytest.fixture
def plain():
    """Conv → Relu → demo::Halve (a local function with a MatMul) → Gemm."""
    halve = helper.make_function(
        "demo",
        "Halve",
        ["x", "w"],
        ["y"],
        [helper.make_node("MatMul", ["x", "w"], ["m"]), helper.make_node("Relu", ["m"], ["y"])],
        [helper.make_opsetid("", 18)],
    )
    rng = np.random.default_rng(0)
    weights = [
        ("backbone.w", rng.normal(size=(4, 3, 3, 3)).astype(np.float32)),
        ("shape", np.array([1, -1])),
        ("mix", rng.normal(size=(144, 10)).astype(np.float32)),
        ("head.w", rng.normal(size=(6, 10)).astype(np.float32)),
    ]
    nodes = [
        helper.make_node("Conv", ["image", "backbone.w"], ["c"], name="/backbone/conv1/Conv"),
        helper.make_node("Relu", ["c"], ["r"], name="/backbone/relu/Relu"),
        helper.make_node("Reshape", ["r", "shape"], ["f"], name="/head/Reshape"),
        helper.make_node("Halve", ["f", "mix"], ["h"], name="/head/mix/Halve", domain="demo"),
        helper.make_node("Gemm", ["h", "head.w"], ["out"], name="/head/fc/Gemm", transB=1),
    ]
    return model_of(nodes, [("image", FLOAT, [1, 3, 8, 8])], [("out", FLOAT, [1, 6])], weights, [halve])


def plugin_model(domain):
    """RotateTRT2 and MultiScaleDeformableAttnTRT2 as an exporter leaves them: no function, no shapes behind them."""
    nodes = [
        helper.make_node(
            "RotateTRT2", ["map", "angle", "center"], ["turned"], "rotate", domain=domain, interpolation=1
        ),
        helper.make_node("Reshape", ["turned", "tokens"], ["value"], "reshape"),
        helper.make_node(
            "MultiScaleDeformableAttnTRT2",
            ["value", "levels", "points", "offsets", "weights"],
            ["attended"],
            "msda",
            domain=domain,
        ),
        helper.make_node("Relu", ["attended"], ["out"], "relu"),
    ]
    inputs = [
        ("map", FLOAT, [N * D, S, M]),
        ("angle", FLOAT, [1]),
        ("points", FLOAT, [N, Q, 1, 2]),
        ("offsets", FLOAT, [N, Q, M, P * 2]),
        ("weights", FLOAT, [N, Q, M, P]),
    ]
    weights = [
        ("center", np.array([2, 6], np.float32)),
        ("tokens", np.array([N, S, M, D])),
        ("levels", np.array([[3, 4]])),
    ]
    return model_of(nodes, inputs, [("out", FLOAT, None)], weights, opsets=[helper.make_opsetid("", 18)])


def run(model, **inputs):
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, inputs)


def image():
    return np.random.default_rng(1).normal(size=(1, 3, 8, 8)).astype(np.float32)


def test_op_table_counts_and_tells_functions_from_plugins(plain):
    rows = {row["op"]: row for row in graph.op_table(plain)}
    assert rows["Conv"] == {"op": "Conv", "domain": "", "count": 1, "kind": "onnx"}
    assert rows["Halve"] == {"op": "Halve", "domain": "demo", "count": 1, "kind": "function"}
    assert {row["kind"] for row in graph.op_table(graph.drop_functions(plain)) if row["op"] == "Halve"} == {"plugin"}
    assert len(plain.functions) == 1, "drop_functions must leave its argument alone"


def test_custom_ops_report(plain):
    (row,) = graph.custom_ops(plain)
    assert (row["node"], row["op"], row["defined"]) == ("/head/mix/Halve", "Halve", True)
    assert row["inputs"] == ["f[1, 144]", "mix[144, 10]"] and row["outputs"] == ["h[1, 10]"]


def test_shapes_reach_behind_functions(plain):
    rows = {row["tensor"]: row for row in graph.shapes(plain)}
    assert rows["c"]["shape"] == [1, 4, 6, 6] and rows["c"]["producer"] == "/backbone/conv1/Conv"
    assert rows["h"]["shape"] == [1, 10] and rows["h"]["dtype"] == "float32"
    assert (rows["image"]["role"], rows["shape"]["role"], rows["out"]["role"]) == ("input", "initializer", "output")


def test_shapes_that_only_a_run_can_tell():
    """Range of a computed number: no static inference gives its length."""
    nodes = [
        helper.make_node("ReduceSum", ["x"], ["total"], keepdims=0),
        helper.make_node("Cos", ["total"], ["one"]),
        helper.make_node("Range", ["zero", "one", "step"], ["range"]),
        helper.make_node("Neg", ["range"], ["out"]),
    ]
    weights = [("zero", np.float32(0).reshape(())), ("step", np.float32(0.25).reshape(()))]
    model = model_of(nodes, [("x", FLOAT, [3])], [("out", FLOAT, None)], weights)
    assert {row["tensor"]: row["shape"] for row in graph.shapes(model)}["range"] == [4]


def test_cost_by_block_by_hand(plain):
    rows = {row["block"]: row for row in graph.cost_by_block(plain, depth=1)}
    assert rows["backbone"] == {"block": "backbone", "nodes": 2, "parameters": 108, "flops": 2 * 4 * 36 * 27}
    assert rows["head"] == {"block": "head", "nodes": 3, "parameters": 1440 + 60, "flops": 2 * 144 * 10 + 2 * 10 * 6}
    assert [row["block"] for row in graph.cost_by_block(plain, depth=2)] == [
        "backbone/conv1",
        "backbone/relu",
        "head",
        "head/mix",
        "head/fc",
    ]


def test_cost_counts_weights_behind_dequantize():
    weights = [("w", np.ones((3, 2), np.int8)), ("s", np.float32(0.1).reshape(())), ("z", np.int8(0).reshape(()))]
    nodes = [
        helper.make_node("DequantizeLinear", ["w", "s", "z"], ["wf"], name="w_DequantizeLinear"),
        helper.make_node("MatMul", ["x", "wf"], ["y"], name="/head/MatMul"),
    ]
    model = model_of(nodes, [("x", FLOAT, [1, 3])], [("y", FLOAT, [1, 2])], weights)
    assert graph.cost_by_block(model) == [{"block": "head", "nodes": 2, "parameters": 6, "flops": 12}]


def test_subgraph_keeps_functions_and_values(plain, tmp_path):
    source = graph.save(plain, tmp_path / "plain.onnx")
    part = graph.load(graph.subgraph(source, tmp_path / "part.onnx", ["f"], ["h"]))
    assert part.graph.name == "part"
    assert [node.op_type for node in part.graph.node] == ["Halve"] and len(part.functions) == 1
    f, h = run(
        model_of(
            plain.graph.node,
            [("image", FLOAT, [1, 3, 8, 8])],
            [("f", FLOAT, None), ("h", FLOAT, None)],
            [(t.name, numpy_helper.to_array(t)) for t in plain.graph.initializer],
            plain.functions,
        ),
        image=image(),
    )
    np.testing.assert_array_equal(run(part, f=f)[0], h)


def test_subgraph_refuses_unknown_and_missing_tensors(plain, tmp_path):
    source = graph.save(plain, tmp_path / "plain.onnx")
    with pytest.raises(BadInput, match="no such tensor"):
        graph.subgraph(source, tmp_path / "part.onnx", ["ff"], ["h"])
    with pytest.raises(BadInput, match=r"need \['image'\] too"):
        graph.subgraph(source, tmp_path / "part.onnx", ["h"], ["out", "r"])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["plain.onnx"]


def test_load_gives_back_what_save_wrote(plain, tmp_path):
    path = graph.save(plain, tmp_path / "plain.onnx")
    np.testing.assert_array_equal(run(graph.load(path), image=image())[0], run(plain, image=image())[0])
    assert graph.save(graph.load(path), tmp_path / "again.onnx").read_bytes() == path.read_bytes()


@pytest.mark.parametrize("part", [0, 0.1, 0.5, 0.9, 0.999])
def test_load_refuses_a_truncated_file(plain, tmp_path, part):
    path = graph.save(plain, tmp_path / "plain.onnx")
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * part)])
    with pytest.raises(BadInput, match=r"plain\.onnx"):
        graph.load(path)


def test_load_refuses_every_flipped_bit(plain, tmp_path):
    """Bits in the weights still parse; the digest finds them. (A flip in the digest's key leaves the graph whole.)"""
    path = graph.save(plain, tmp_path / "plain.onnx")
    whole = path.read_bytes()
    key = whole.index(graph.DIGEST.encode())
    spots = [
        i for i in np.random.default_rng(2).integers(0, len(whole), 60) if not key - 4 <= i < key + len(graph.DIGEST)
    ]
    for spot in spots:
        damaged = bytearray(whole)
        damaged[spot] ^= 1 << int(spot % 8)
        path.write_bytes(damaged)
        with pytest.raises(BadInput):
            graph.load(path)


def test_load_says_what_is_wrong_with_a_changed_weight(plain, tmp_path):
    path = graph.save(plain, tmp_path / "plain.onnx")
    weight = numpy_helper.to_array(plain.graph.initializer[0]).tobytes()
    path.write_bytes(path.read_bytes().replace(weight[:8], weight[:7] + bytes([weight[7] ^ 64]), 1))
    with pytest.raises(BadInput, match="changed bits"):
        graph.load(path)


def test_load_refuses_what_is_not_onnx(tmp_path):
    (tmp_path / "text.onnx").write_text("this is not a graph")
    for name in ("text.onnx", "missing.onnx"):
        with pytest.raises(BadInput, match=name):
            graph.load(tmp_path / name)


def test_load_refuses_nan_weights(plain, tmp_path):
    weight = numpy_helper.to_array(plain.graph.initializer[3]).copy()
    weight[2, 3] = np.nan
    plain.graph.initializer[3].CopyFrom(numpy_helper.from_array(weight, "head.w"))
    with pytest.raises(BadInput, match=r"head\.w\n.*NaN"):
        graph.load(graph.save(plain, tmp_path / "nan.onnx"))


def test_load_refuses_an_unknown_operator(plain, tmp_path):
    path = graph.save(graph.drop_functions(plain), tmp_path / "bare.onnx")
    with pytest.raises(BadInput) as caught:
        graph.load(path)
    assert "/head/mix/Halve" in caught.value.where and "Halve of domain 'demo'" in caught.value.found
    assert all(name in caught.value.expected for name in graph.PLUGINS)


@pytest.fixture(scope="module", params=["", "trt.plugins"])
def postprocessed(request, tmp_path_factory):
    """A graph with plugin nodes of that domain, and what postprocess made of it."""
    source = tmp_path_factory.mktemp("post") / "plugins.onnx"
    model = plugin_model(request.param)
    if request.param:
        model.opset_import.append(helper.make_opsetid(request.param, 1))
    source.write_bytes(model.SerializeToString())
    return source, graph.postprocess(source)


def test_postprocess_moves_custom_nodes_and_fills_shapes(postprocessed):
    source, made = postprocessed
    assert made == source.with_name("plugins_post.onnx")
    model = graph.load(made)
    assert [(d.domain, d.version) for d in model.opset_import if d.domain == graph.DOMAIN] == [(graph.DOMAIN, 1)]
    assert {node.op_type: node.domain for node in graph.custom_nodes(model)} == dict.fromkeys(
        graph.PLUGINS, graph.DOMAIN
    )
    written = {
        v.name: [d.dim_value for d in v.type.tensor_type.shape.dim]
        for v in [*model.graph.value_info, *model.graph.output]
    }
    assert written == {"turned": [N * D, S, M], "value": [N, S, M, D], "attended": [N, Q, M, D], "out": [N, Q, M, D]}
    assert all(v.type.tensor_type.elem_type == FLOAT for v in [*model.graph.value_info, *model.graph.output])


def test_postprocess_makes_onnxruntime_run_it(postprocessed):
    """With angle 0, weights equal and offsets 0 at a cell's centre, MSDA reads that cell."""
    _, made = postprocessed
    value = np.random.default_rng(3).normal(size=(N * D, S, M)).astype(np.float32)
    points = np.full((N, Q, 1, 2), [1.5 / 4, 2.5 / 3], np.float32)  # column 1 of 4, row 2 of 3
    zeros = {"offsets": np.zeros((N, Q, M, P * 2), np.float32), "weights": np.zeros((N, Q, M, P), np.float32)}
    (out,) = run(graph.load(made), map=value, angle=np.zeros(1, np.float32), points=points, **zeros)
    cells = np.maximum(value.reshape(N, S, M, D)[:, 2 * 4 + 1], 0)
    np.testing.assert_allclose(out, np.broadcast_to(cells[:, None], out.shape), rtol=1e-5, atol=1e-6)


def test_postprocess_can_leave_the_bodies_out(postprocessed, tmp_path):
    model = graph.load(graph.postprocess(postprocessed[0], tmp_path / "bare.onnx", functions=False))
    assert not model.functions and {row["kind"] for row in graph.op_table(model)} == {"onnx", "plugin"}


def test_cost_of_plugins(postprocessed):
    (row,) = graph.cost_by_block(postprocessed[1])
    assert row == {"block": "(top)", "nodes": 4, "parameters": 2, "flops": 10 * N * Q * M * P * D}


def test_load_points_to_postprocess(tmp_path):
    (tmp_path / "public.onnx").write_bytes(plugin_model("").SerializeToString())
    with pytest.raises(BadInput, match="--postprocess"):
        graph.load(tmp_path / "public.onnx")


def test_postprocess_refuses_an_operator_nobody_defines(tmp_path):
    model = plugin_model("")
    model.graph.node[0].op_type = "RotateTRT9"
    (tmp_path / "strange.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(BadInput, match=r"node rotate\n.*RotateTRT9") as caught:
        graph.postprocess(tmp_path / "strange.onnx")
    assert all(name in caught.value.expected for name in graph.PLUGINS)
    assert [p.name for p in tmp_path.iterdir()] == ["strange.onnx"]


def test_known_plugins_are_those_with_a_definition():
    model = plugin_model(graph.DOMAIN)
    assert {function.name for function in graph.with_functions(model).functions} == set(graph.PLUGINS)


def test_graphs_need_no_torch(postprocessed):
    code = "import sys; from helpers import graph; graph.custom_ops(sys.argv[1]); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code, postprocessed[0]], check=True)


def test_command_line(plain, tmp_path, capsys):
    path = graph.save(plain, tmp_path / "plain.onnx")
    assert graph.main([str(path), "--shapes", "--blocks", "--depth", "1"]) == 0
    printed = capsys.readouterr().out
    assert "5 nodes" in printed and "/head/mix/Halve" in printed
    assert [line.split() for line in printed.splitlines() if line.startswith("total")] == [
        ["total", "5", "1,608", "10,776"]
    ]
