"""What a parser of TensorRT asks its registry for, seen without a GPU and without a plugin library.

TensorRT-RTX runs no plugins, but its parser looks for them as TensorRT's does. A stand-in for the library's creator
notes the fields that it is asked with.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx

from helpers.arguments import typed
from helpers.graph import walk


@typed
def node_with(model: onnx.ModelProto, **changes: Any) -> onnx.ModelProto:
    """A copy of the model whose first node has another `op_type` or other attributes; None takes an attribute away."""
    changed = walk.copy(model)
    node = changed.graph.node[0]
    node.op_type = changes.pop("op_type", node.op_type)
    attributes = {one.name: onnx.helper.get_attribute_value(one) for one in node.attribute} | changes
    del node.attribute[:]
    node.attribute.extend(onnx.helper.make_attribute(*one) for one in attributes.items() if one[1] is not None)
    return changed


@typed
def ask(model: onnx.ModelProto, fields: Sequence[str] | None, name: str = "") -> tuple[str, dict[str, list] | None]:
    """Parse the model with a stand-in creator registered, in version 1 and no namespace.

    Args:
        fields: names of the creator's fields; None registers no creator.
        name: of the plugin that it creates; that of the model's first node if empty.

    Returns:
        What the parser says, and the fields that the creator was asked with, or None if it was not asked. The creator
        gives no plugin, so that the parser always says something about a graph with a custom operator.
    """
    import tensorrt_rtx as trt

    class Creator(trt.IPluginCreatorV3One):
        asked: dict[str, list] | None = None

        def create_plugin(self, name, collection, phase):
            Creator.asked = {field.name: field.data.tolist() for field in collection}

    creator, registry = Creator(), trt.get_plugin_registry()
    creator.name, creator.plugin_version, creator.plugin_namespace = name or model.graph.node[0].op_type, "1", ""
    wanted = [trt.PluginField(field, np.zeros(0, np.int32), trt.PluginFieldType.INT32) for field in fields or ()]
    creator.field_names = trt.PluginFieldCollection(wanted)
    logger = trt.Logger(trt.Logger.INTERNAL_ERROR)
    if fields is not None:
        registry.register_creator(creator, "")
    try:
        builder = trt.Builder(logger)
        network = builder.create_network()
        parser = trt.OnnxParser(network, logger)
        parser.parse(model.SerializeToString())
        said = "; ".join(parser.get_error(index).desc() for index in range(parser.num_errors))
    finally:
        if fields is not None:
            registry.deregister_creator(creator)
    return said, Creator.asked
