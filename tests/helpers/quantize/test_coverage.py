"""What the report says of every node."""

import numpy as np
import onnx
import pytest
from onnx import numpy_helper, parser

from helpers.quantize import counts, report
from tests.builders.quantizable import scales


def test_report_names_every_candidate_with_its_reason(int8):
    rows = {row["node"]: row for row in report(int8, int8.with_name("small.onnx"))}
    assert {name for name, row in rows.items() if row["quantized"]} == {
        *("Conv_0", "Conv_2", "Conv_4", "Add_5", "GlobalAveragePool_18")
    }
    assert {name: row["why"] for name, row in rows.items() if row["why"]} == {
        "Add_5": "1 of 2 inputs rounded",
        "Tenth_7": "plugin: its arithmetic stays in floating point",
        "MatMul_12": "operator type excluded",
        "Add_13": "constant operand, computed with its neighbor",
        "MatMul_14": "operator type excluded",
        "MatMul_16": "operator type excluded",
        "Conv_17": "32 to 4 channels, too few",
        "Gemm_21": "matrix-vector product",
    }
    found = scales(int8)
    assert rows["Conv_0"]["input_scale"] == pytest.approx(float(found["image"]))
    assert rows["Conv_0"]["weight_scales"] == f"{found['w0'].min():.2g} – {found['w0'].max():.2g}"
    table = {row["op"]: (row["nodes"], row["quantized"], row["left"]) for row in counts(rows.values())}
    assert table["Conv"] == (4, 3, 1) and table["MatMul"] == (3, 0, 3) and table["Add"] == (2, 1, 1)


def test_products_whose_shapes_are_not_known_or_of_one_axis(tmp_path):
    """The graph does not run on zeros, so the shape of its Reshape stays open."""
    model = parser.parse_model("""
        <ir_version: 8, opset_import: ["": 17]>
        g (float[2,32] x, int64[2] i, float[32] v) => (float[a,b] y, float[2] z, float d) <int64[2] k = {4,64}> {
          s = Div(k, i)  r = Reshape(x, s)  y = MatMul(r, w)  z = MatMul(x, v)  d = MatMul(v, v)
        }
    """)
    model.graph.initializer.append(numpy_helper.from_array(np.ones((32, 32), np.float32), "w"))
    for node in model.graph.node:
        node.name = node.output[0]
    onnx.save(model, tmp_path / "open.onnx")
    rows = {row["node"]: row["why"] for row in report(tmp_path / "open.onnx", tmp_path / "open.onnx")}
    assert rows == {"y": "shape not known", "z": "matrix-vector product", "d": "matrix-vector product"}
