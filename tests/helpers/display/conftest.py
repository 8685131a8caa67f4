"""Fixtures of the tests of pictures."""

import pytest
from onnx import ModelProto, TensorProto, helper


@pytest.fixture
def model() -> ModelProto:
    """image -> Conv -> Relu -> Own (custom) -> Add with the Relu -> out."""
    weight = helper.make_tensor("weight", TensorProto.FLOAT, [3, 3, 1, 1], [0.5] * 9)
    nodes = [
        helper.make_node("Conv", ["image", "weight"], ["a"], name="/net/conv/Conv"),
        helper.make_node("Relu", ["a"], ["b"], name="/net/relu"),
        helper.make_node("Own", ["b"], ["c"], name="own", domain="trt.plugins"),
        helper.make_node("Add", ["b", "c"], ["out"], name="sum"),
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3, 8, 8]) for name in ("image", "out")]
    return helper.make_model(helper.make_graph(nodes, "net", ends[:1], ends[1:], [weight]))
