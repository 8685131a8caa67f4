"""An outlier changes nothing in FP32 and much in INT8."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from helpers.errors import BadInput
from helpers.quantize import faults


@pytest.fixture
def model():
    """image -> Conv -> Relu -> Conv -> out, of 4 channels."""
    rng = np.random.default_rng(0)
    held = {"w": (4, 3, 3, 3), "b": (4,), "v": (2, 4, 1, 1)}
    held = [numpy_helper.from_array(rng.normal(size=s).astype(np.float32), n) for n, s in held.items()]
    nodes = [
        helper.make_node("Conv", ["image", "w", "b"], ["x"], "first", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["x"], ["y"], "relu"),
        helper.make_node("Conv", ["y", "v"], ["out"], "second"),
    ]
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, c, 8, 8]) for n, c in (("image", 3), ("out", 2))]
    graph = helper.make_graph(nodes, "net", ends[:1], ends[1:], held)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def run(model, output):
    whole = onnx.ModelProto.FromString(model.SerializeToString())
    whole.graph.output.append(onnx.ValueInfoProto(name=output))
    session = onnxruntime.InferenceSession(whole.SerializeToString(), providers=["CPUExecutionProvider"])
    image = np.random.default_rng(1).normal(size=(1, 3, 8, 8)).astype(np.float32)
    return session.run([output], {"image": image})[0]


def test_one_channel_grows_and_the_output_stays(model):
    before, out = run(model, "y"), run(model, "out")
    faults.outlier(model, "first", "second", 2, 300)
    ratio = run(model, "y").max((0, 2, 3)) / before.max((0, 2, 3))
    np.testing.assert_allclose(ratio, [1, 1, 300, 1], rtol=1e-5)
    np.testing.assert_allclose(run(model, "out"), out, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("first", "channel", "found"), [("relu", 0, "relu"), ("none", 0, "none"), ("first", 4, "4")])
def test_what_is_not_there_is_refused(model, first, channel, found):
    with pytest.raises(BadInput, match=found):
        faults.outlier(model, first, "second", channel)


def test_another_range_is_that_of_levels():
    """A picture normalized with a mean of 117 and a deviation of 57 comes back in 0 to 255."""
    levels = np.array([0.0, 128.0, 255.0], np.float32)
    found = faults.another_range((levels - 117) / 57)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, levels, atol=1e-4)
