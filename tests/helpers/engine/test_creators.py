"""A stand-in creator sees what the parser asks for, and when it does not ask."""

import onnx
import pytest
from onnx import TensorProto, helper

from helpers.engine import creators


@pytest.fixture
def model():
    """A graph of one custom node."""
    node = helper.make_node("Pool", ["x"], ["y"], domain="trt.plugins", height=3, width=4)
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [2]) for name in "xy")
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("trt.plugins", 1)]
    return helper.make_model(helper.make_graph([node], "one", [x], [y]), opset_imports=opsets)


@pytest.mark.parametrize(
    "changes", [{"op_type": "Pole"}, {"plugin_version": "2"}, {"plugin_namespace": "theirs"}], ids=str
)
def test_a_key_that_differs_is_not_found(model, changes):
    said, asked = creators.ask(creators.node_with(model, **changes), ["height", "width"], "Pool")
    assert asked is None and "Plugin not found" in said


def test_fields_arrive_and_the_registry_is_left_as_it_was(model):
    said, asked = creators.ask(model, ["height", "width"])
    assert asked == {"height": [3], "width": [4]} and "Could not create the plugin" in said
    assert creators.ask(model, None) == (creators.ask(creators.node_with(model, op_type="Pole"), None)[0], None)
    assert creators.ask(creators.node_with(model, height=None, width=2.0), ["height", "width"])[1] == {"width": [2.0]}


def test_the_model_is_copied(model):
    before = model.SerializeToString()
    changed = creators.node_with(model, op_type="Pole", height=None)
    assert model.SerializeToString() == before
    [node] = changed.graph.node
    assert node.op_type == "Pole" and [one.name for one in node.attribute] == ["width"]
    onnx.checker.check_model(changed)
