"""Optimization profiles: min, opt and max shapes of every input with free dimensions.

An engine may have several, each with kernels tuned for its opt shapes; a run takes one of them.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from helpers.engine.tensorrt import messages
from helpers.errors import BadInput
from helpers.files import PathLike

Profile = dict[str, list[list[int]]]


def listed(shapes: Any) -> list[Profile]:
    """The profiles of an option `shapes`, one dict or a list of them; BadInput for others, and as `checked` says."""
    given = shapes if isinstance(shapes, list | tuple) else [shapes]
    for one in given:
        if one is not None and not isinstance(one, Mapping):
            expected = "a dict {input: (min, opt, max)}, or a list of them, one per profile"
            raise BadInput("option shapes", f"{one!r}", expected, "pass one")
    return [checked(one) for one in given if one]


def checked(shapes: Mapping[str, Sequence[Sequence[int]]] | None) -> Profile:
    """{input: [min, opt, max]} as lists; BadInput unless they are of one rank and in this order."""
    profile = {name: [list(shape) for shape in three] for name, three in (shapes or {}).items()}
    for name, three in profile.items():
        ordered = len(three) == 3 and len(set(map(len, three))) == 1
        if not ordered or any(not a <= b <= c for a, b, c in zip(*three, strict=True)):
            expected = "(min, opt, max) of one rank, in this order"
            fix = "pass three shapes with as many dimensions as the input has"
            if ordered:
                fix = f"pass {[list(shape) for shape in zip(*map(sorted, zip(*three, strict=True)), strict=True)]}"
            raise BadInput(f"option shapes[{name!r}]", three, expected, fix)
    return profile


def check(onnx_path: PathLike, model: Any, profiles: Sequence[Mapping[str, Any]]) -> None:
    """BadInput unless each profile has what every input with free dimensions needs, and nothing else.

    Args:
        model: ModelProto, read from `onnx_path`.
    """
    from helpers.graph import walk  # onnx, which running an engine does without

    known = {value.name: tuple(size or -1 for size in walk.shape_of(value)) for value in walk.inputs(model)}
    for shapes in profiles or [{}]:
        _check_one(onnx_path, shapes, known)


def _check_one(onnx_path, shapes, known):
    for name, three in shapes.items():
        _check(f"option shapes[{name!r}] for {onnx_path}", name, three, known)
    for name, shape in known.items():
        if -1 in shape and name not in shapes:
            fix = "pass shapes, or --minShapes, --optShapes and --maxShapes"
            raise BadInput(f"input {name!r} of {onnx_path}", f"free dimensions {shape} and no shapes",
                           "min, opt and max shapes", fix)  # fmt: skip


def _check(where, name, three, inputs):
    if name not in inputs:
        raise BadInput(where, "no such input", f"one of {list(inputs)}", "correct the name")
    known = inputs[name]
    if -1 not in known:
        raise BadInput(where, f"an input of the fixed shape {known}", "inputs with free dimensions",
                       "leave it out, or export the graph with free dimensions")  # fmt: skip
    for shape in three:
        if len(shape) != len(known) or any(a not in (-1, b) for a, b in zip(known, shape, strict=True)):
            raise BadInput(where, tuple(shape), f"a shape that fits {known}", "correct the shape")


def add(builder: Any, network: Any, config: Any, shapes: Mapping[str, Any]) -> Any:
    """Add a profile for the network's free inputs; returns it, or None if no input has a free dimension."""
    free = [name for name in _free(network) if name in shapes]
    if not free:
        return None
    profile = builder.create_optimization_profile()
    for name in free:
        profile.set_shape(name, *shapes[name])
    config.add_optimization_profile(profile)
    return profile


def held(network: Any, profile: Any) -> Profile:
    """{input: [min, opt, max]} of the network's free inputs, as a trt.IOptimizationProfile has them."""
    return {name: [list(shape) for shape in profile.get_shape(name)] for name in _free(network)} if profile else {}


def _free(network):
    inputs = map(network.get_input, range(network.num_inputs))
    return [tensor.name for tensor in inputs if -1 in tensor.shape]


class Profiles:
    """The optimization profiles of an engine, and the one that its runs are in.

    Attributes:
        ranges: list of {input with free dimensions: [min, opt, max]}, as the engine itself has them.
        now: index of the profile that its context is in.
    """

    def __init__(self, path: PathLike, engine: Any, names: Iterable[str], asked: int | None) -> None:
        """`names`: inputs with free dimensions of a trt.ICudaEngine. `asked`: the profile of all runs, or None."""
        self._path, self._engine, self._asked, self.now = path, engine, asked, asked or 0
        count = max(1, engine.num_optimization_profiles)
        if not 0 <= self.now < count:  # asked for another one, 8.6 crashes
            raise BadInput(f"profile {self.now} of {path}", "no such profile", f"0 to {count - 1}", "name another one")
        self.ranges = [
            {name: [list(shape) for shape in engine.get_tensor_profile_shape(name, index)] for name in names}
            for index in range(count)
        ]

    def context(self, stream: Any) -> Any:
        """A new trt.IExecutionContext in the present profile; BadInput with TensorRT's reason."""
        with messages.captured() as log:
            context = self._engine.create_execution_context()
        if context is None:
            found = f"TensorRT made no execution context:\n{log}"
            raise BadInput(self._path, found, "enough free memory of the GPU", "free some")
        if self.now:
            self._enter(context, self.now, stream)
        stream.synchronize()
        return context

    def fit(self, context: Any, shapes: Mapping[str, Sequence[int]], stream: Any) -> None:
        """Put the engine's context into the profile of these shapes, and set them.

        Raises:
            BadInput: they fit none, naming an input and its range.
        """
        profile = self._chosen(shapes)
        if profile != self.now:
            self._enter(context, profile, stream)
            self.now = profile
        self.set_shapes(context, shapes)

    def set_shapes(self, context: Any, shapes: Mapping[str, Sequence[int]]) -> None:
        """Set the shapes of the inputs with free dimensions."""
        for name in self.ranges[0]:
            if not context.set_input_shape(name, shapes[name]):
                found = f"shape {tuple(shapes[name])}, which TensorRT refused:\n{messages.recent()}"
                raise BadInput(f"input {name!r} of {self._path}", found, "a shape that it takes", "see why")

    def _enter(self, context, profile, stream):
        with messages.captured() as log:
            entered = context.set_optimization_profile_async(profile, stream.handle)
        if not entered:
            fix = "load the engine with another profile"
            raise BadInput(f"profile {profile} of {self._path}", f"TensorRT refused it:\n{log}", "one to enter", fix)

    def _chosen(self, shapes):
        known = range(len(self.ranges)) if self._asked is None else [self._asked]
        lacking = {index: outside(self.ranges[index], shapes) for index in known}
        for index in known:
            if not lacking[index]:
                return index
        name = min(lacking.values(), key=len)[0]
        ranges = ((index, *map(tuple, self.ranges[index][name])) for index in known)
        expected = "; ".join(f"{a} to {c}, the range of optimization profile {index}" for index, a, _, c in ranges)
        raise BadInput(f"input {name!r} of {self._path}", f"shape {tuple(shapes[name])}", expected,
                       "choose another profile, or build with a wider one")  # fmt: skip


def outside(profile: Profile, shapes: Mapping[str, Sequence[int]]) -> list[str]:
    """Names of the inputs whose shape is not in the profile's range."""
    return [
        name
        for name, (least, _, most) in profile.items()
        if not all(a <= b <= c for a, b, c in zip(least, shapes[name], most, strict=True))
    ]
