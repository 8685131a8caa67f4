"""What `helpers.precision` compares: runners of an ONNX graph, and of an engine with marked outputs.

PyTorch modules have theirs in `helpers.precision.pytorch`.
"""

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
import onnx
import onnx.inliner
from onnx import helper

from helpers import engine, graph
from helpers.errors import BadInput
from helpers.graph.file import is_float

Arrays = dict[str, np.ndarray]


class Runner:
    """One form of a network, which can be asked for its inner tensors.

    Attributes:
        inputs: input name -> shape; a free dimension is None.
        names: the tensors that it can give, in the order in which they are computed.
        outputs: those of them that are the network's outputs.
        types: input name -> dtype; float32 where it names none.
        model: the graph as an `onnx.ModelProto`, or None.
        strategy: of `first_divergence`, the one that suits it.
        any_tensor: a probe costs little and changes nothing: tensors of `model` that are not compared may be probed.
        rebuilt: probing other tensors may change the values; a probe gives the outputs too.
        at_once: tensors marked in one probe of a bisection where it is rebuilt.
        unmatched: module path -> why none of its outputs is compared.
    """

    inputs: dict[str, tuple]
    names: list[str]
    outputs: list[str]
    types: Mapping[str, np.dtype] = MappingProxyType({})
    model: onnx.ModelProto | None = None
    strategy: str = "walk"
    any_tensor: bool = False
    rebuilt: bool = False
    at_once: int = 1
    unmatched: Mapping[str, str] = MappingProxyType({})

    def probe(self, names: list[str]) -> Callable[[Arrays], Arrays]:
        """A function from the inputs of one frame to the tensors `names`."""
        raise NotImplementedError

    def weight_of(self, node: onnx.NodeProto, position: int) -> np.ndarray | None:
        """The constant that stands for input `position` of an ONNX node, or None where that is not known."""
        return None


class OnnxRunner(Runner):
    """An ONNX file or model in ONNX Runtime on the CPU, without graph optimization: every tensor keeps its name.

    A probe runs only what its tensors need. With `inside` the custom operators are replaced by their definitions, whose
    nodes are then named `<custom node>/<operator>_<tensor>`.
    """

    any_tensor = True

    def __init__(self, model: str | Path | onnx.ModelProto, inside: bool = False):
        self.where = "the model" if isinstance(model, onnx.ModelProto) else str(model)
        whole = graph.with_functions(model if isinstance(model, onnx.ModelProto) else graph.load(model))
        self.model = inlined(whole) if inside else whole
        self._exact = rounding_kept(self.model, self.where)
        constants = {tensor.name for tensor in self.model.graph.initializer}
        values = [value for value in self.model.graph.input if value.name not in constants]
        self.inputs = {value.name: shape_of(value) for value in values}
        self.types = {v.name: helper.tensor_dtype_to_np_dtype(v.type.tensor_type.elem_type) for v in values}
        self.outputs = [value.name for value in self.model.graph.output]
        self.names = [name for node in self.model.graph.node for name in node.output if name]

    def probe(self, names):
        part, needed = marked(self._exact, names)
        session = open_session(part, self.where)

        def run(feeds):
            arrays = session.run(list(names), {n: as_type(feeds[n], self.types[n]) for n in needed})
            return dict(zip(names, arrays, strict=True))

        return run


class EngineRunner(Runner):
    """An engine that is built anew for every probe, with the probed tensors as its outputs.

    Marking a tensor keeps the builder from fusing across it, so few are marked at a time, by bisection. Only tensors of
    floating-point numbers that depend on an input are: a builder may compute shapes and masks in types of its own, and
    constants beforehand. What a DequantizeLinear makes is left out, for the builder puts it into the layers around it.

    Args:
        path: the ONNX file.
        runtime: "tensorrt" takes `mark_outputs`; for another runtime the tensors become outputs of a copy of the graph.
        out_dir: the cache folder: an engine with the same marked outputs is not built twice.
        at_once: tensors marked in one probe of the bisection: more need fewer builds and disturb more.
        options: of `helpers.engine.build`.
    """

    strategy, rebuilt = "bisect", True

    def __init__(
        self, path: str | Path, runtime: str = "tensorrt", out_dir="build/engines", at_once: int = 1, **options
    ):
        self.path, self.runtime, self.out_dir, self.options = path, runtime, out_dir, options
        self.at_once = at_once
        whole = OnnxRunner(path)
        self.model, self.inputs, self.types, self.outputs = whole.model, whole.inputs, whole.types, whole.outputs
        self._known, varying = graph.tensor_types(whole.model), _varying(whole.model)
        self.names = [name for name in whole.names if name in varying and is_float(self._known.get(name, (0, None))[0])]
        self._loaded = None

    def build(self, names):
        """Path of the engine with the tensors `names` as outputs beside its own."""
        if self.runtime == "tensorrt":
            marked = [name for name in names if name not in self.outputs]
            return engine.build(self.path, self.runtime, self.out_dir, mark_outputs=marked, **self.options)
        with tempfile.TemporaryDirectory() as folder:
            part = graph.save(_with_outputs(self.model, self._known, names), Path(folder) / "marked.onnx")
            return engine.build(part, self.runtime, self.out_dir, **self.options)

    def probe(self, names):
        built = self.build(names)
        if self._loaded:
            self._loaded.close()
        self._loaded = loaded = engine.load(built)

        def run(feeds):
            outputs = loaded.run({name: as_type(feeds[name], t.dtype) for name, t in loaded.inputs.items()})
            return {name: outputs[name] for name in names}

        return run


def shape_of(value):
    """Shape of a `ValueInfoProto`; a free dimension is None."""
    return tuple(d.dim_value if d.HasField("dim_value") else None for d in value.type.tensor_type.shape.dim)


def as_type(array, dtype):
    return np.ascontiguousarray(array, dtype)


def open_session(model, where):
    """An InferenceSession that changes nothing in the graph."""
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    settings.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(model.SerializeToString(), settings, providers=["CPUExecutionProvider"])
    except Exception as error:  # its exception classes share no base below Exception
        reason = str(error).splitlines()[0]
        raise BadInput(where, reason, "a graph that ONNX Runtime runs on a CPU", "correct the node it names") from error


def rounding_kept(model, where):
    """A copy of `model` with an Identity behind every FP16 tensor; the model itself if it has none.

    ONNX Runtime computes an operator that has no FP16 kernel in FP32 and then drops the Casts to FP16 and back between
    two such operators, and with them the rounding and the overflow that other runtimes have. An Identity keeps them.
    """
    if onnx.TensorProto.FLOAT16 not in _types(model):
        return model
    open_session(model, where)  # a graph that mixes types is refused here
    known = graph.tensor_types(model)
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    del copy.graph.node[:]
    for node in model.graph.node:
        copy.graph.node.append(node)
        node = copy.graph.node[-1]
        for i, name in enumerate(node.output):
            if known.get(name, (0, None))[0] == onnx.TensorProto.FLOAT16:
                node.output[i] = f"{name}/unrounded"
                copy.graph.node.append(helper.make_node("Identity", [node.output[i]], [name], f"{name}/Identity"))
    return copy


def marked(model, names):
    """(the part of `model` that computes the tensors `names`, as its outputs; the names of the inputs it needs)."""
    producers = producers_of(model)
    kept, needed, todo = set(), set(), list(names)
    while todo:
        name = todo.pop()
        if name in needed or not name:
            continue
        needed.add(name)
        if (index := producers.get(name)) is not None:
            kept.add(index)
            todo += model.graph.node[index].input
    nodes = [model.graph.node[index] for index in sorted(kept)]
    constants = [tensor for tensor in model.graph.initializer if tensor.name in needed]
    held = {tensor.name for tensor in constants}
    inputs = [value for value in model.graph.input if value.name in needed and value.name not in held]
    outputs = [onnx.ValueInfoProto(name=name) for name in names]
    made = helper.make_graph(nodes, "probe", inputs, outputs, constants)
    part = helper.make_model(
        made, functions=model.functions, opset_imports=model.opset_import, ir_version=model.ir_version
    )
    return part, [value.name for value in inputs]


def _types(model):
    """Element types of constants and inputs, and those that Casts give."""
    made = model.graph
    types = {tensor.data_type for tensor in made.initializer}
    types |= {value.type.tensor_type.elem_type for value in [*made.input, *made.output]}
    return types | {a.i for node in made.node if node.op_type == "Cast" for a in node.attribute if a.name == "to"}


def _with_outputs(model, types, names):
    """A copy of `model` with the tensors `names` as outputs beside its own; `types` as `graph.tensor_types`."""
    whole = onnx.ModelProto()
    whole.CopyFrom(model)
    present = {value.name for value in whole.graph.output}
    whole.graph.output.extend(helper.make_tensor_value_info(n, *types[n]) for n in names if n not in present)
    return whole


def _varying(model):
    """The tensors that depend on an input, without those that a DequantizeLinear makes."""
    constants, found, offered = {tensor.name for tensor in model.graph.initializer}, set(), set()
    found |= {value.name for value in model.graph.input} - constants
    for node in model.graph.node:
        if found & set(node.input):
            found |= set(node.output)
            offered |= set(node.output) if node.op_type != "DequantizeLinear" else set()
    return offered


def producers_of(model):
    """tensor -> index of the node that makes it."""
    return {name: index for index, node in enumerate(model.graph.node) for name in node.output if name}


def inlined(model):
    """`model` with its local functions inlined, and the nodes from inside named after the node that called them."""
    named = {name: node.name for node in model.graph.node for name in node.output}
    flat = onnx.inliner.inline_local_functions(model)
    owners = {}
    for node in reversed(flat.graph.node):
        owner = next((owners[name] for name in node.output if name in owners), None)
        owner = next((named[name] for name in node.output if name in named), owner)
        if not node.name:
            node.name = f"{owner}/{node.op_type}_{node.output[0].rpartition('/')[2]}"
        for name in node.input:
            if name not in named:
                owners.setdefault(name, owner)
    return flat
