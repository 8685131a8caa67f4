"""The runner of a PyTorch module: its modules' outputs, matched to the tensors of its export."""

from collections import defaultdict
from collections.abc import Callable

import numpy as np
import onnx
import torch
from torch import nn

from helpers import graph
from helpers.errors import BadInput
from helpers.graph.walk import node_inputs, producers
from helpers.precision.runners import Arrays, Runner


class TorchRunner(Runner):
    """A module of `helpers.models` on the CPU, seen through forward hooks.

    Output k of module `a.b` is the tensor of the ONNX graph that a node named `/a/b/...` makes, that is used outside of
    this scope, and that has the same shape. A BatchNorm that the export folded takes the tensor of its Conv, whose own
    output no longer exists. The model's outputs are those of the graph, in order.

    Attributes:
        unmatched: module path -> why none of its outputs is compared.

    Raises:
        BadInput: no module, or no graph to match it with.
    """

    def __init__(self, module: nn.Module, model: onnx.ModelProto | None):
        if not isinstance(module, nn.Module):
            expected = "an ONNX file, a ModelProto, a module of helpers.models, or a Runner"
            raise BadInput("what to compare", type(module).__name__, expected, "pass one of them")
        if model is None:
            raise BadInput(type(module).__name__, "nothing to compare it with but another module", "an ONNX graph",
                           "compare it with its export")  # fmt: skip
        self.module = module
        shapes, self.types = module.config.input_shapes(), module.config.input_types()
        self.inputs = {name: tuple(shape) for name, shape in shapes.items()}
        self.outputs = [value.name for value in model.graph.output]
        self.unmatched: dict[str, str] = {}
        zeros = {name: torch.from_numpy(np.zeros(shape, self.types[name])) for name, shape in shapes.items()}
        self._places = self._match(model, zeros)
        order = producers(model)
        self.names = sorted([*self._places, *self.outputs], key=order.__getitem__)

    def probe(self, names: list[str]) -> Callable[[Arrays], Arrays]:
        places = {self._places[name]: name for name in names if name in self._places}
        whole = any(name not in self._places for name in names)

        def run(feeds):
            found = {}

            def keep(place, tensor):
                if place in places:
                    found[places[place]] = tensor.numpy().copy()  # a later module may work in place
                if len(found) == len(places) and not whole:
                    raise _Enough

            tensors = {name: torch.from_numpy(np.array(feeds[name], self.types[name])) for name in self.inputs}
            outputs = self._forward(tensors, keep)
            if whole:
                found |= {n: t.numpy() for n, t in zip(self.outputs, _tensors(outputs), strict=True) if n in names}
            return found

        return run

    def weight_of(self, node: onnx.NodeProto, position: int) -> np.ndarray | None:
        """The weight that input `position` of an ONNX node comes from, as an array of its shape; None if unknown."""
        path, name = scope(node.name), node.input[position]
        if path in self._folded_paths:
            return None
        state = self.module.state_dict()
        if node.op_type == "MatMul" and position == 1 and isinstance(self.module.get_submodule(path), nn.Linear):
            return state[f"{path}.weight"].numpy().T
        return state[name].numpy() if name in state else None

    def _forward(self, tensors, keep):
        """Run the module; `keep((path, call, k), tensor)` sees every module's outputs and may raise `_Enough`."""
        calls, hooks = defaultdict(int), []

        def hook(path):
            def seen(module, inputs, output):
                call = calls[path]
                calls[path] += 1
                for k, tensor in enumerate(_tensors(output)):
                    keep((path, call, k), tensor)

            return seen

        for path, module in self.module.named_modules():
            if path:
                hooks.append(module.register_forward_hook(hook(path)))
        try:
            with torch.no_grad():
                return self.module(**tensors)
        except _Enough:
            return ()
        finally:
            for handle in hooks:
                handle.remove()

    def _match(self, model, tensors):
        """ONNX tensor -> (module path, call, k)."""
        seen = defaultdict(list)  # path -> [(place, shape)]
        self._forward(tensors, lambda place, tensor: seen[place[0]].append((place, tuple(tensor.shape))))
        leaving = _Leaving(model)
        taken, folded = {}, self._folded(leaving, seen)
        self._folded_paths = set(folded)
        for path in self._paths():
            if path not in seen:
                self.unmatched[path] = "not called, or returns no tensor"
            elif path in folded:
                self.unmatched[path] = f"{folded[path]} is folded into it"
            else:
                source = next((conv for conv, norm in folded.items() if norm == path), path)
                self._take(taken, path, seen[path], leaving.of(source))
        return {tensor: place for tensor, place in taken.items() if tensor not in self.outputs}

    def _paths(self):
        """Module paths, inner ones first: where a module ends in another, the inner one names the tensor."""
        paths = [path for path, _ in self.module.named_modules() if path]
        return sorted(paths, key=lambda path: -path.count("."))

    def _take(self, taken, path, places, tensors):
        matched = False
        for shape in dict.fromkeys(shape for _, shape in places):
            outputs = [place for place, s in places if s == shape]
            fitting = [name for name, s in tensors if s == shape]
            fitting = fitting[-1:] if len(outputs) == 1 else fitting
            if len(outputs) == len(fitting):
                matched = True
                for place, name in zip(outputs, fitting, strict=True):
                    taken.setdefault(name, place)
        if not matched:
            have = ", ".join(f"{name} {list(shape)}" for name, shape in tensors) or "none (folded into constants)"
            self.unmatched[path] = f"{len(places)} outputs {list(places[0][1])}; tensors that leave its scope: {have}"

    def _folded(self, leaving, seen):
        """Conv path -> path of the BatchNorm after it that has no node of its own."""
        modules = [(path, module) for path, module in self.module.named_modules() if path in seen]
        order = {path: index for index, path in enumerate(seen)}
        modules.sort(key=lambda item: order[item[0]])
        folded, before = {}, None
        for path, module in modules:
            if isinstance(module, nn.BatchNorm2d) and before and not leaving.of(path):
                folded[before] = path
            before = path if isinstance(module, nn.Conv2d) else None
        return folded


class _Enough(Exception):
    """All tensors asked for have been seen."""


class _Leaving:
    """Tensors by the scope that they leave."""

    def __init__(self, model):
        self.nodes, self.known = model.graph.node, graph.tensor_types(model)
        self.users = defaultdict(list)
        for node in self.nodes:
            for name in node_inputs(node):
                self.users[name].append(scope(node.name))
        for value in model.graph.output:
            self.users[value.name].append("")

    def of(self, path):
        """[(tensor, shape)] made in module `path` and used outside of it, in graph order."""
        return [
            (name, tuple(self.known.get(name, (0, None))[1] or ()))
            for node in self.nodes
            if _within(scope(node.name), path)
            for name in node.output
            if name and any(not _within(user, path) for user in self.users[name])
        ]


def scope(name: str) -> str:
    """`/a/b/Add_1` -> `a.b`"""
    return name.strip("/").rpartition("/")[0].replace("/", ".")


def _within(inner, path):
    return inner == path or inner.startswith(path + ".")


def _tensors(output):
    """The tensors of a module's output, which may be one, a sequence, or anything else (then none)."""
    if isinstance(output, torch.Tensor):
        return [output]
    return [item for item in output if isinstance(item, torch.Tensor)] if isinstance(output, list | tuple) else []
