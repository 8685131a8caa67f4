"""Sessions of ONNX Runtime, and its errors as this project tells them."""

import re

import numpy as np
import onnx
import pytest

from helpers.errors import BadInput
from helpers.graph.session import LEVELS, open_session, run

SUM = """<ir_version: 9, opset_import: ["": 18]>
sum (float[2] x) => (float[2] z) <float[2] one = {1, 1}> {
  y = Add(x, one)
  z = Mul(y, y)
}"""


@pytest.mark.parametrize("level", LEVELS)
def test_a_model_and_its_file_run_at_every_level(level, tmp_path):
    model = onnx.parser.parse_model(SUM)
    onnx.save(model, tmp_path / "sum.onnx")
    for source in (model, tmp_path / "sum.onnx", str(tmp_path / "sum.onnx")):
        (found,) = run(open_session(source, level, threads=1), ["z"], {"x": np.float32([1, 2])})
        assert found.tolist() == [4, 9]


def test_a_graph_that_is_refused_is_named_with_the_reason(tmp_path):
    model = onnx.parser.parse_model(SUM)
    model.graph.node[1].input[1] = "nothing"
    onnx.save(model, tmp_path / "wrong.onnx")
    with pytest.raises(BadInput, match="nothing") as caught:
        open_session(tmp_path / "wrong.onnx")
    assert str(tmp_path / "wrong.onnx") in str(caught.value.where)
    assert str(tmp_path) not in str(caught.value.found), "the reason does not repeat the path"
    with pytest.raises(BadInput) as caught:
        open_session(model, where="what was cut")
    assert caught.value.where == "what was cut"


def test_a_run_that_fails_is_told_as_bad_input():
    session = open_session(onnx.parser.parse_model(SUM), "disable")
    with pytest.raises(BadInput, match="x") as caught:
        run(session, None, {"x": np.zeros(3, np.float32)}, "frame 7")
    assert caught.value.where == "frame 7"


EIGHT_BITS = """<ir_version: 9, opset_import: ["": 19]>
doubled (float[2] x) => (float[2] z) <float s = {0.5}, float8e4m3fn zero = {0}> {
  q = QuantizeLinear(x, s, zero)
  d = DequantizeLinear(q, s, zero)
  t = Add(d, d)
  r = QuantizeLinear(t, s, zero)
  z = DequantizeLinear(r, s, zero)
}"""


def test_fusions_that_a_cpu_does_not_have_are_cured_by_the_level_that_the_error_names():
    model = onnx.parser.parse_model(EIGHT_BITS)
    with pytest.raises(BadInput, match="QLinearAdd") as caught:
        open_session(model, "extended")
    (level,) = (word for word in re.findall(r"\w+", caught.value.fix) if word in LEVELS and word != "extended")
    (found,) = run(open_session(model, level), ["z"], {"x": np.float32([1, 2])})
    assert found.tolist() == [2, 4]
    model.graph.node[2].domain = "nowhere"
    model.opset_import.append(onnx.helper.make_opsetid("nowhere", 1))
    with pytest.raises(BadInput) as caught:
        open_session(model, "extended")
    assert "custom operator" in caught.value.fix and "basic" not in caught.value.fix
