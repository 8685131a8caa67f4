"""What `helpers.precision` compares: runners of an ONNX graph, and of an engine with marked outputs.

PyTorch modules have theirs in `helpers.precision.pytorch`.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import onnx
from onnx import helper

from helpers import engine, graph, temporary
from helpers.arguments import typed
from helpers.errors import BadInput
from helpers.graph import edit, session, walk
from helpers.graph.file import name_of
from helpers.graph.types import kind_of, non_tensors
from helpers.graph.walk import is_float
from helpers.precision import groups

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
    nodes are then named `<custom node>/<operator>_<position>`. Sequences are no tensors, and left out.
    """

    any_tensor = True
    model: onnx.ModelProto

    @typed
    def __init__(self, model: str | Path | onnx.ModelProto, inside: bool = False):
        self.where = name_of(model)
        whole = graph.with_functions(model if isinstance(model, onnx.ModelProto) else graph.load(model))
        self.model = edit.inlined(whole, self.where) if inside else whole
        others, values = non_tensors(self.model, self.where), walk.inputs(self.model)
        self._others = others
        for value in values:
            kind = kind_of(value)
            if kind != "tensor" or not value.type.tensor_type.elem_type:
                found = f"a {kind}" if kind != "tensor" else "a value without a type"
                raise BadInput(f"{self.where}: input {value.name}", found, "a tensor", "cut the graph behind it")
        self.inputs = {value.name: walk.shape_of(value) for value in values}
        self.types = {v.name: helper.tensor_dtype_to_np_dtype(v.type.tensor_type.elem_type) for v in values}
        self.outputs = [value.name for value in self.model.graph.output if value.name not in others]
        self.names = [name for node in self.model.graph.node for name in node.output if name and name not in others]
        if not self._in_groups(self.names):  # each group is opened when its time comes, and refused then
            session.open_session(self.model, "disable", where=self.where)  # a graph that mixes types is refused here
        self._exact = edit.rounding_kept(self.model, self.where)

    def _in_groups(self, names):
        """Whether so many tensors are computed by groups of nodes, which sequences cannot be handed between."""
        return len(names) > groups.NODES and not self._others

    def probe(self, names: list[str]) -> Callable[[Arrays], Arrays]:
        if self._in_groups(names):
            run_groups = groups.probe(self._exact, names, self.where)
            return lambda feeds: run_groups({name: as_type(feeds[name], self.types[name]) for name in self.inputs})
        part = edit.cut(self._exact, self.inputs, names)
        opened = session.open_session(part, "disable", where=self.where)
        types = {value.name: self.types[value.name] for value in part.graph.input}

        def run(feeds):
            given = {name: as_type(feeds[name], dtype) for name, dtype in types.items()}
            return dict(zip(names, session.run(opened, list(names), given, self.where), strict=True))

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
    model: onnx.ModelProto

    def __init__(
        self,
        path: str | Path,
        runtime: str = "tensorrt",
        out_dir: str | Path = "build/engines",
        at_once: int = 1,
        **options: Any,
    ):
        self.path, self.runtime, self.out_dir, self.options = path, runtime, out_dir, options
        self.at_once = at_once
        whole = OnnxRunner(path)
        self.model, self.inputs, self.types, self.outputs = whole.model, whole.inputs, whole.types, whole.outputs
        self._known, varying = graph.tensor_types(whole.model, whole.where), _varying(whole.model)
        self.names = [name for name in whole.names if name in varying and is_float(self._known.get(name, (0, None))[0])]
        self._loaded: Any = None

    def build(self, names: list[str]) -> Path:
        """Path of the engine with the tensors `names` as outputs beside its own."""
        if self.runtime == "tensorrt":
            marked = [name for name in names if name not in self.outputs]
            return engine.build(self.path, self.runtime, self.out_dir, mark_outputs=marked, **self.options)
        with temporary.scratch() as folder:
            part = graph.save(edit.with_outputs(self.model, names, self._known), folder / "marked.onnx")
            return engine.build(part, self.runtime, self.out_dir, **self.options)

    def probe(self, names: list[str]) -> Callable[[Arrays], Arrays]:
        built = self.build(names)
        if self._loaded:
            self._loaded.close()
        self._loaded = loaded = engine.load(built)

        def run(feeds):
            outputs = loaded.run({name: as_type(feeds[name], t.dtype) for name, t in loaded.inputs.items()})
            return {name: outputs[name] for name in names}

        return run


def as_type(array: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """The array in C order and of that dtype."""
    return np.ascontiguousarray(array, dtype)


def _varying(model):
    """The tensors that depend on an input, without those that a DequantizeLinear makes."""
    found, offered = {value.name for value in walk.inputs(model)}, set()
    for node in model.graph.node:
        if found & set(walk.node_inputs(node)):
            found |= set(node.output)
            offered |= set(node.output) if node.op_type != "DequantizeLinear" else set()
    return offered
