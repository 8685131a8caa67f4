"""What the report says of every node."""

import pytest

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
        "Add_13": "constant operand, computed with its neighbour",
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
