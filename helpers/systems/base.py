"""What every system says about one configuration of its network: shapes, states, inputs, decoding. Needs no torch."""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from helpers.arguments import typed
from helpers.errors import BadInput

if TYPE_CHECKING:
    from helpers.dataset.preparation import Preparation

Shapes = dict[str, tuple[int, ...]]
Run = Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]]
# How a prompt of Vicuna v1 begins; OmniDrive's do, and some of OpenVLA's.
VICUNA = (
    "A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, detailed, "
    "and polite answers to the user's questions."
)


class Free(NamedTuple):
    """A free dimension of the graph: inputs that name the same one agree in size, from `least` to `most`.

    A configuration has a field of this name, (least, typical, most), and inputs are filled up to a size that is fixed.
    """

    name: str
    least: int
    most: int


FreeAxes = dict[str, dict[int, Free]]


class Empty(NamedTuple):
    """Of an input whose first axis is rows, some of which may be empty: what an empty one holds, and the name of their
    number where it is free.
    """

    value: int
    dimension: str


@dataclass(frozen=True, kw_only=True)
class Config:
    """One configuration of a system. Verbs such as calibration or export take it and know no system.

    name: key of the system's `CONFIGS`. image_scale: factor from the camera's picture to the network's, in (0, 1].
    image_size: (H, W) in pixels, after scaling and padding. image_mean, image_std: RGB, of pixel values 0..255.

    Attributes:
        states: state input -> the output that feeds it on the next frame.
        decoded: names of the outputs that `decode` reads.
        task: the kind of what `decode` gives, one of `helpers.evaluate.TASKS`; "" where it is of none.
        pictures: input that a `helpers.dataset.preparation.Preparation` makes of the cameras' pictures; "" where they
            are prepared otherwise.
        fp32: patterns (fnmatch) of node names that leave half precision and stay in FP32.
        fp32_without_plugins: further such patterns where standard operators stand for the custom ones.
        unquantized: regular expressions of what is not quantized, matched from the beginning of a node's name.
        elsewhere: beginnings of names of a public checkpoint's tensors that belong to other networks.
        stated: tensors of a checkpoint that state what the configuration does, which alone counts: they have to agree.
        table: output whose rows a language model reads in the place of a picture; "" where none does.
        padding: input with a free dimension -> the value that fills it up to a fixed size and changes no output.
        empty: input with rows -> what `helpers.graph.ends.with_rows` fills up.
    """

    name: str
    image_scale: float
    image_size: tuple[int, int]
    image_mean: tuple[float, ...]
    image_std: tuple[float, ...]

    states: ClassVar[dict[str, str]] = {}
    decoded: ClassVar[tuple[str, ...]] = ()
    task: ClassVar[str] = ""
    pictures: ClassVar[str] = ""
    fp32: ClassVar[tuple[str, ...]] = ()
    fp32_without_plugins: ClassVar[tuple[str, ...]] = ()
    unquantized: ClassVar[tuple[str, ...]] = ()
    elsewhere: ClassVar[tuple[str, ...]] = ()
    stated: ClassVar[tuple[str, ...]] = ()
    table: ClassVar[str] = ""
    padding: ClassVar[dict[str, int]] = {}
    empty: ClassVar[dict[str, Empty]] = {}

    def __post_init__(self):
        self._check_numbers()
        where, scale, size = f"config {self.name!r}", self.image_scale, self.image_size
        pair = isinstance(size, tuple | list) and len(size) == 2 and all(map(_is_extent, size))
        if not (pair and isinstance(scale, int | float) and 0 < scale <= 1):
            expected = "image_scale in (0, 1] and image_size (height, width) in pixels"
            raise BadInput(where, f"image_scale={scale!r}, image_size={size!r}", expected, "give another value")
        for field, least in (("image_mean", -np.inf), ("image_std", 0)):
            self._check_color(field, getattr(self, field), least)
        self._check_shapes()

    def _check_numbers(self):
        """BadInput for a number that is not finite, and for a size that is below 0; coordinates and colors may be."""
        for name, value in vars(self).items():
            values, least = (value, -np.inf) if isinstance(value, tuple | list) else ((value,), -1)
            for number in values:
                if isinstance(number, int | float) and not least < number < np.inf:
                    expected = f"a finite number{', 0 or more' * (least == -1)}"
                    raise BadInput(f"config {self.name!r}", f"{name}={value!r}", expected, "give another value")

    def _check_color(self, field, values, least):
        numbers = isinstance(values, tuple | list) and all(isinstance(n, int | float) for n in values)
        if not (numbers and len(values) == 3 and all(least < n < np.inf for n in values)):
            where, expected = f"config {self.name!r}", f"three finite numbers{' above 0' * (least == 0)}, for R, G, B"
            raise BadInput(where, f"{field}={values!r}", expected, "give another value")

    def _check_shapes(self):
        inputs, outputs = self.input_shapes(), self.output_shapes()
        for name, shape in (inputs | outputs).items():
            if not all(map(_is_extent, shape)):
                where = f"{name} of config {self.name!r}"
                raise BadInput(where, f"shape {tuple(shape)}", "whole numbers above 0", "give other sizes")
        for name, source in self.states.items():
            if name not in inputs or source not in outputs or tuple(inputs[name]) != tuple(outputs[source]):
                found = f"{name}: {source}, of {inputs.get(name)} and {outputs.get(source)}"
                expected = "an input, and the output of its shape that feeds it"
                raise BadInput(f"states of config {self.name!r}", found, expected, "mend `states`")

    def input_shapes(self) -> Shapes:
        """Name -> shape of the inputs, in the order of the graph."""
        raise NotImplementedError

    def output_shapes(self) -> Shapes:
        """Name -> shape of the outputs, in the order of the graph and of the tuple that the network returns."""
        raise NotImplementedError

    def free_axes(self) -> FreeAxes:
        """Input -> axis -> free dimension, of which `input_shapes` gives a typical size; none if all are fixed."""
        return {}

    def fixed(self, sizes: Mapping[str, int] | None = None) -> "Config":
        """This configuration without free dimensions, for what takes none: calibration, ModelOpt, a CUDA graph.

        Args:
            sizes: free dimension -> its size; the largest that the configuration states where it is not named.

        Raises:
            BadInput: no such dimension, or a size that is none.
        """
        known = {free.name: free.most for axes in self.free_axes().values() for free in axes.values()}
        for name in set(sizes or {}) - set(known):
            expected = f"some of {', '.join(known) or 'none'}"
            raise BadInput(f"free dimension of config {self.name!r}", name, expected, "correct the name")
        chosen: dict[str, Any] = {name: (size, size, size) for name, size in (known | dict(sizes or {})).items()}
        return dataclasses.replace(self, **chosen)

    @typed
    def padded(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """`feeds` with every input that `padding` names filled up at the end to the size that is fixed.

        Raises BadInput for one that is larger: what does not fit is never cut.
        """
        shapes, free, filled = self.input_shapes(), self.free_axes(), dict(feeds)
        for name in self.padding.keys() & filled.keys():
            array, kept = np.asarray(filled[name]), free.get(name, {})
            if array.ndim != len(shapes[name]):
                expected = f"{len(shapes[name])} axes"
                raise BadInput(f"input {name}", f"shape {array.shape}", expected, "pass such an array")
            room = [0 if axis in kept else size - array.shape[axis] for axis, size in enumerate(shapes[name])]
            if min(room) < 0:
                fix = "fix a larger size: config.fixed(sizes)"
                raise BadInput(f"input {name}", f"shape {array.shape}", f"at most {shapes[name]}, to be padded", fix)
            if any(room):
                filled[name] = np.pad(array, [(0, more) for more in room], constant_values=self.padding[name])
        return filled

    def input_types(self) -> dict[str, np.dtype]:
        """Name -> dtype of the inputs; float32 unless a system says otherwise."""
        return {name: np.dtype(np.float32) for name in self.input_shapes()}

    def preparation(self) -> "Preparation":
        """How `pictures` is made of the cameras' pictures."""
        from helpers.dataset.preparation import Preparation  # OpenCV: shapes alone must not need it

        return Preparation.of(self)

    def initial_states(self) -> dict[str, np.ndarray]:
        """State input -> its value where a sequence begins: zeros."""
        shapes, types = self.input_shapes(), self.input_types()
        return {name: np.zeros(shapes[name], types[name]) for name in self.states}

    def inputs(self, frame: Any, previous: Any) -> dict[str, np.ndarray]:
        """The inputs of one `helpers.dataset.Frame` without the states.

        `previous` is the frame before, of whatever scene, or None.
        """
        raise NotImplementedError

    def decode(self, outputs: Mapping[str, np.ndarray]) -> Any:
        """What the task scores, such as `helpers.boxes.Boxes`, of the outputs (name -> array) of one frame."""
        raise NotImplementedError

    def check_outputs(self, outputs: Mapping[str, np.ndarray]) -> None:
        """BadInput unless `outputs` has what `decode` reads."""
        if not isinstance(outputs, Mapping) or (lacking := set(self.decoded) - outputs.keys()):
            found = f"without {', '.join(sorted(lacking))}" if isinstance(outputs, Mapping) else repr(outputs)[:60]
            expected = f"arrays by name, {', '.join(self.decoded)} among them"
            raise BadInput("outputs", found, expected, "pass what the network gave for one frame")

    def choose(self, body: Any, shapes: Mapping[str, list[int]]) -> dict[str, tuple[int, list[int]]]:
        """Nodes that make of `decoded` what `decode` takes in their place: little enough to be copied every frame.

        Args:
            body: `helpers.graph.functions.body.Body` with constants, which the nodes are added to.
            shapes: name -> shape of the outputs `decoded`.

        Returns:
            name -> (ONNX element type, shape) of what the nodes make.

        Raises:
            BadInput: nothing is to be chosen among what this system decodes.
        """
        expected = "a system whose outputs are boxes"
        raise BadInput(f"config {self.name!r}", "no boxes to choose", expected, "leave it out")

    def full(self, body: Any, inside: Mapping[str, str]) -> dict[str, str]:
        """Nodes that make every output with rows of those of its rows that are full, and what counts them anew.

        Args:
            body: `helpers.graph.functions.body.Body` with constants, which the nodes are added to.
            inside: output -> the tensor with room for all rows, which is to be read in its place.

        Returns:
            Output that the nodes make, under its own name -> the name of the number of its rows, "" where it is fixed.

        Raises:
            BadInput: a system without rows that may be empty.
        """
        expected = "a system whose inputs have rows that may be empty"
        raise BadInput(f"config {self.name!r}", "no such rows", expected, "leave it out")

    def adapted(self, run: Run, inputs: Mapping[str, Any]) -> Run:
        """What runs a frame with the shapes that this configuration states: `run`, unless a graph has others.

        inputs: name -> (shape, dtype) that the graph has, such as an engine's.
        """
        return run


def _is_extent(size):
    return isinstance(size, int) and not isinstance(size, bool) and size > 0
