"""Sessions of ONNX Runtime, and its errors as this project tells them."""

import re

import numpy as np
import onnx
import pytest

from helpers.errors import BadInput
from helpers.graph.session import FOLDED, LEVELS, foldable, kernel_times, open_session, run

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


LARGE = """<ir_version: 9, opset_import: ["": 18]> g (float[2] x) => (float[2] y)
    <int64 zero = {0}, int64 end = {4000000}, int64 one = {1}, float[2, 3] w = {1, 2, 3, 4, 5, 6}> {
        t = Transpose (w)
        small = ReduceMax <keepdims = 0> (t)
        r = Range (zero, end, one)
        last = ReduceMax <keepdims = 0> (r)
        f = Cast <to = 1> (last)
        both = Add (small, f)
        y = Add (x, both)
    }"""


def kept(model, tmp_path, monkeypatch, **options):
    """Operators that are left after ONNX Runtime has optimized a model, and what it gives for zeros."""
    import onnxruntime

    opened = onnxruntime.InferenceSession

    def written(source, settings, **rest):
        settings.optimized_model_filepath = str(tmp_path / "optimized.onnx")
        return opened(source, settings, **rest)

    monkeypatch.setattr(onnxruntime, "InferenceSession", written)
    (found,) = run(open_session(model, "basic", threads=1, **options), None, {"x": np.zeros(2, np.float32)})
    return [node.op_type for node in onnx.load(tmp_path / "optimized.onnx").graph.node], found.tolist()


def test_what_grows_out_of_constants_is_left_to_the_run(tmp_path, monkeypatch):
    """Computing it while the graph is opened took minutes, whatever was then asked of the graph."""
    operators, found = kept(onnx.parser.parse_model(LARGE), tmp_path, monkeypatch)
    assert "Range" in operators and "Transpose" not in operators and found == [4000005] * 2
    model, path = onnx.parser.parse_model(LARGE.replace("4000000", "400")), tmp_path / "model.onnx"
    onnx.save(model, path)
    assert kept(str(path), tmp_path, monkeypatch)[0] == kept(model, tmp_path, monkeypatch)[0] == ["Add"]


def test_a_large_weight_may_be_turned_beforehand():
    model = onnx.parser.parse_model(LARGE)
    assert foldable(model) == FOLDED == 16 << 20
    model.graph.initializer[3].dims[:] = [3, 1 << 22]
    assert foldable(model) == 2 * 4 * 3 << 22


def test_kernel_times_leave_the_first_run_out(tmp_path):
    onnx.save(onnx.parser.parse_model(SUM), tmp_path / "sum.onnx")
    session = open_session(tmp_path / "sum.onnx", "disable", threads=1)
    lines = kernel_times(session, str(tmp_path / "sum.onnx"), {"x": np.float32([1, 2])}, 3)
    assert [line["op_name"] for line in lines] == ["Add", "Mul"] * 3
    assert all(line["types"] == ["float"] and line["ms"] >= 0 for line in lines)
    with pytest.raises(BadInput, match="float"):
        kernel_times(session, str(tmp_path / "sum.onnx"), {"x": np.float64([1, 2])}, 1)
