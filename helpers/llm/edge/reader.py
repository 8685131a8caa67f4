"""What `tensorrt-edgellm-export` writes, read: its inputs and operators, and whence its weights come."""

import collections
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper, parser
from torch import Tensor

from helpers import graph
from helpers.arguments import typed
from helpers.errors import BadInput, foreign
from helpers.files import PathLike, as_path, found_at
from helpers.graph.walk import STANDARD

GRAPH = "model.onnx"
RECORD = Path(__file__).with_name("llama_mini.json")


class Description(NamedTuple):
    """inputs, outputs: {name: "FLOAT16 [tokens, 256]"}. operators: {"domain::Type": count}, standard ones by type.
    weights, bytes: what the graph holds. files: {name: bytes} of the folder.
    """

    inputs: dict[str, str]
    outputs: dict[str, str]
    operators: dict[str, int]
    weights: int
    bytes: int
    files: dict[str, int]


@typed
def describe(source: PathLike | onnx.ModelProto) -> Description:
    """Describe a graph, or what lies in a folder llm/ of the export; BadInput where there is no model.onnx."""
    if isinstance(source, onnx.ModelProto):
        return _described(source, {})
    path = as_path(source)
    if not (path / GRAPH).is_file():
        fix = "name the folder llm of the export"
        raise BadInput(path, f"{found_at(path / GRAPH)} {GRAPH} in it", "what tensorrt-edgellm-export wrote", fix)
    files = {one.name: one.stat().st_size for one in sorted(path.iterdir()) if one.is_file()}
    return _described(graph.parse(path / GRAPH), files)


def _described(model, files):
    names = (f"{node.domain}::" * (node.domain not in STANDARD) + node.op_type for node in model.graph.node)
    weights = [numpy_helper.to_array(tensor) for tensor in model.graph.initializer]
    inputs, outputs = (
        {value.name: _said(value) for value in values} for values in (model.graph.input, model.graph.output)
    )
    counted = dict(sorted(collections.Counter(names).items()))
    return Description(inputs, outputs, counted, len(weights), sum(array.nbytes for array in weights), files)


def _said(value):
    kind = value.type.tensor_type
    shape = ", ".join(dim.dim_param or str(dim.dim_value) for dim in kind.shape.dim)
    return f"{TensorProto.DataType.Name(kind.elem_type)} [{shape}]"


@typed
def compare(model: onnx.ModelProto, state: Mapping[str, Tensor]) -> dict[str, str]:
    """Whence each weight of an exported graph comes, bit for bit.

    Args:
        state: tensors of the checkpoint by the names of Hugging Face.

    Returns:
        {name in the graph: names in the checkpoint}: ` + ` for rows below each other, ` transposed` for what the graph
        has [in, out]; "a constant" for one of fewer than 16 numbers, "" for one that no tensor of the checkpoint is.
    """
    sources = _sources(state)
    found = {}
    for tensor in model.graph.initializer:
        array = numpy_helper.to_array(tensor)
        small = array.size < 16
        found[tensor.name] = (
            "a constant" if small else sources.get((array.shape, str(array.dtype), array.tobytes()), "")
        )
    return found


def _sources(state):
    """{(shape, dtype, bytes): what it is}, of all that a graph may hold of a checkpoint in FP16."""
    arrays = {name: tensor.detach().half().numpy() for name, tensor in state.items()}
    for name in [name for name in arrays if name.endswith("q_proj.weight")]:
        three = [name.replace("q_proj", part) for part in ("q_proj", "k_proj", "v_proj")]
        arrays[" + ".join(three)] = np.concatenate([arrays[one] for one in three])
    both = arrays | {f"{name} transposed": array.T for name, array in arrays.items() if array.ndim == 2}
    return {(array.shape, "float16", array.tobytes()): name for name, array in both.items()}


@typed
def recorded() -> dict[str, Any]:
    """An export that was made: command, versions, date, files, the graph as text, and whence its weights come."""
    return json.loads(RECORD.read_text(encoding="utf-8"))


@typed
def restored(state: Mapping[str, Tensor]) -> onnx.ModelProto:
    """The recorded graph with the weights of the checkpoint that it was exported from.

    Raises:
        BadInput: tensors of another model.
    """
    record = recorded()
    model = parser.parse_model("\n".join(record["graph"]))
    with foreign("the checkpoint", "that of checkpoints/llama_mini", "load that one"):
        arrays = {source: key for key, source in _sources(state).items()}
        for name, source in record["weights"].items():
            shape, dtype, content = arrays[source]
            tensor = numpy_helper.from_array(np.frombuffer(content, dtype).reshape(shape), name)
            model.graph.initializer.append(tensor)
    return model
