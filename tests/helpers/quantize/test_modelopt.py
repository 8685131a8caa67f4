"""What ModelOpt is given, whatever form the graph has, and what becomes of its errors."""

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper, parser

from helpers.calibration import noise
from helpers.errors import BadInput
from helpers.quantize import Options, quantize, report
from tests.builders.quantizable import run

PLAIN = "c = Conv<pads=[1,1,1,1]>(x, W) y = Relu(c)"
BRANCH = """
c = Conv<pads=[1,1,1,1]>(x, W)
a = Relu(c)
z = If(t)<then_branch = p () => (float[1,32,8,8] u) { u = Neg(a) },
          else_branch = q () => (float[1,32,8,8] v) { v = Abs(a) }>
y = Conv<pads=[1,1,1,1]>(z, W)
"""


def write(path, body=PLAIN, inputs="", constants=""):
    """A graph from x float32 [1, 32, 8, 8] to y of the same shape, with one weight W of a convolution."""
    declared = f"float[1,32,8,8] x{inputs}"
    text = f'<ir_version: 8, opset_import: ["": 17]> g ({declared}) => (float[1,32,8,8] y) <{constants}> {{ {body} }}'
    model = parser.parse_model(text)
    weight = np.random.default_rng(0).normal(0, 0.1, (32, 32, 3, 3)).astype(np.float32)
    model.graph.initializer.append(numpy_helper.from_array(weight, "W"))
    onnx.save(model, path)
    return path


def convolutions(path, reference):
    return [row["quantized"] for row in report(path, reference) if row["op"] == "Conv"]


def agree(path, reference, feeds):
    """The quantized graph is the other one but for its roundings."""
    (ours,), (theirs,) = run(path, feeds), run(reference, feeds)
    return 0 < np.abs(ours - theirs).max() < 0.1 * np.abs(theirs).max()


@pytest.fixture
def x():
    return np.random.default_rng(1).normal(size=(1, 32, 8, 8)).astype(np.float32)


def test_names_that_a_branch_captures_are_kept(tmp_path, x):
    path = write(tmp_path / "branch.onnx", BRANCH, constants="bool t = {1}")
    out = quantize(path, tmp_path / "q.onnx")
    assert convolutions(out, path) == [True, True] and agree(out, path, {"x": x})


def test_constants_listed_as_inputs_stay_constants(tmp_path, x):
    """So they are in files of IR version 3, as PyTorch wrote them for years."""
    path = write(tmp_path / "old.onnx")
    model = onnx.load(path)
    model.ir_version, model.opset_import[0].version = 3, 11
    model.graph.input.append(helper.make_tensor_value_info("W", onnx.TensorProto.FLOAT, [32, 32, 3, 3]))
    onnx.checker.check_model(model)
    onnx.save(model, path)
    out = quantize(path, tmp_path / "q.onnx")
    assert [value.name for value in onnx.load(out).graph.input] == ["x"]
    assert convolutions(out, path) == [True] and agree(out, path, {"x": x})


@pytest.mark.parametrize("simplify", [False, True])
def test_inputs_that_are_scalars_or_whole_numbers(tmp_path, x, simplify):
    body = "c = Conv<pads=[1,1,1,1]>(x, W) m = Mul(c, s) f = Gather<axis=1>(m, i) y = Relu(f)"
    path = write(tmp_path / "mixed.onnx", body, ", float s, int64[32] i")
    types = {"x": np.float32, "s": np.float32, "i": np.int64}
    measured_on = noise(tmp_path / "set.npz", {"x": x.shape, "s": (), "i": (32,)}, 3, input_types=types)
    out = quantize(path, tmp_path / "q.onnx", calibration=measured_on, options=Options(simplify=simplify))
    assert convolutions(out, path) == [True]
    assert agree(out, path, {"x": x, "s": np.array(0.5, np.float32), "i": np.arange(32)[::-1].copy()})


def test_what_modelopt_raises_is_told_with_the_file_and_nothing_is_written(tmp_path, monkeypatch):
    from modelopt.onnx import quantization

    def fails(path, output_path, **options):
        with open(output_path, "wb") as file:
            file.write(b"half")
        raise KeyError("no tensor z")

    monkeypatch.setattr(quantization, "quantize", fails)
    path = write(tmp_path / "model.onnx")
    with pytest.raises(BadInput, match=r"model\.onnx[\s\S]*KeyError: 'no tensor z'") as caught:
        quantize(path, tmp_path / "q.onnx")
    assert isinstance(caught.value.__cause__, KeyError)
    assert [entry.name for entry in tmp_path.iterdir()] == ["model.onnx"]


def test_a_graph_that_does_not_run_is_told_by_its_node(tmp_path):
    """The index is out of range: ONNX Runtime says so while activations are measured."""
    body = "c = Gather<axis=1>(x, i) y = Conv<pads=[1,1,1,1]>(c, W)"
    path = write(tmp_path / "model.onnx", body, constants="int64[32] i = {" + ",".join(["40"] * 32) + "}")
    with pytest.raises(BadInput, match=r"model\.onnx[\s\S]*(?i:gather)[\s\S]*40"):
        quantize(path, tmp_path / "q.onnx")
    assert [entry.name for entry in tmp_path.iterdir()] == ["model.onnx"]
