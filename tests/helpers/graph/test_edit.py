"""What the edits leave of a graph, and that it computes the same."""

import numpy as np
import pytest
from onnx import numpy_helper

from helpers import graph
from helpers.errors import BadInput
from tests.builders.functions import FLOAT, D, M, N, P, Q, S, image, made, run, with_plugins


def test_subgraph_keeps_functions_and_values(plain, tmp_path):
    source = graph.save(plain, tmp_path / "plain.onnx")
    part = graph.load(graph.subgraph(source, tmp_path / "part.onnx", ["f"], ["h"]))
    assert part.graph.name == "part"
    assert [node.op_type for node in part.graph.node] == ["Halve"] and len(part.functions) == 1
    f, h = run(
        made(
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


def test_postprocess_refuses_an_operator_nobody_defines(tmp_path):
    model = with_plugins("")
    model.graph.node[0].op_type = "RotateTRT9"
    (tmp_path / "strange.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(BadInput, match=r"node rotate\n.*RotateTRT9") as caught:
        graph.postprocess(tmp_path / "strange.onnx")
    assert all(name in caught.value.expected for name in graph.PLUGINS)
    assert [p.name for p in tmp_path.iterdir()] == ["strange.onnx"]
