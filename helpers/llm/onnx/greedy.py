"""A graph for an engine that decodes by itself: one row, whose most probable token comes out as well."""

from pathlib import Path

import onnx
from onnx import TensorProto, helper

from helpers import graph
from helpers.arguments import between, typed
from helpers.errors import BadInput
from helpers.files import PathLike, as_path, atomic, check_distinct
from helpers.graph.file import parse

TOKEN = "token"


@typed
def greedy(path: PathLike, target: PathLike, tokens: int | None = None) -> Path:
    """Write a graph of `helpers.llm.onnx.export` for one row, batch 1, with a further output `token` [1] int64, the
    most probable one. `target` lies beside it, where the weights are found.

    tokens: at once, where the graph is for so many alone.

    Raises:
        BadInput: a graph that gives no `logits` of one token for each row, no number of tokens, or a target that is
            the graph itself.
    """
    if tokens is not None:
        between("tokens", tokens, 1, 1 << 24)
    check_distinct(target, path)
    model = parse(path, weights=False)
    logits = next((value for value in model.graph.output if value.name == "logits"), None)
    if logits is None or len(logits.type.tensor_type.shape.dim) != 2:
        expected = "logits [batch, vocab_size]"
        raise BadInput(path, "other outputs", expected, "write it with helpers.llm.onnx.export, every=False")
    model.graph.node.append(helper.make_node("ArgMax", ["logits"], [TOKEN], "/token/ArgMax", axis=-1, keepdims=0))
    model.graph.output.append(helper.make_tensor_value_info(TOKEN, TensorProto.INT64, ["batch"]))
    fixed = {"batch": 1} | ({"tokens": tokens} if tokens else {})
    for value in (*model.graph.input, *model.graph.output):
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param in fixed:
                dim.dim_value = fixed[dim.dim_param]
    if not any(tensor.external_data for tensor in model.graph.initializer):
        return graph.save(model, target)
    with atomic(target) as part:
        onnx.save(model, part)
    return as_path(target)
