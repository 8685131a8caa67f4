"""A network definition while it is written. What the versions of TensorRT differ in meanwhile is here and nowhere else.

Typed strongly (TensorRT-RTX, TensorRT 11), tensors that meet must be of one type: half precision stands in the
definition as casts. Typed weakly (TensorRT 8.6 and 10), the builder chooses where half precision is allowed, and layers
that stay in float32 say so. A definition is written once for both: numbers are computed in half precision if the
network is `half`, and in float32 within `full_precision`.
"""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from helpers.engine.definition.constant import Constant
from helpers.engine.definition.tensor import REAL, Tensor
from helpers.errors import BadInput

KINDS = {np.dtype(np.float32): "FLOAT", np.dtype(np.int32): "INT32"}  # of inputs and outputs
UNTYPED = ("cast", "constant")  # layers whose type is their own
ARRAYS = {"FLOAT": np.float32, "HALF": np.float16, "INT32": np.int32}


class Network:
    """A network definition with weights by name.

    Args:
        trt: the module tensorrt or tensorrt_rtx.
        definition: its empty INetworkDefinition.
        weights: name -> array, float32.
        strong: whether the definition is typed strongly.
        half: whether numbers are computed in half precision but for what needs more.
        ranges: name of a module -> largest magnitude of what enters it; such a linear layer or convolution is INT8.
    """

    def __init__(
        self,
        trt: Any,
        definition: Any,
        weights: Mapping[str, np.ndarray],
        strong: bool = True,
        half: bool = False,
        ranges: Mapping[str, float] | None = None,
    ) -> None:
        self.trt, self.definition, self.weights = trt, definition, weights
        self.strong, self.half, self.ranges, self.constrained = strong, half, dict(ranges or {}), 0
        self.current = "HALF" if half else "FLOAT"
        self._held: list[Any] = []  # memory of constants, which the builder reads when it builds
        self._constants: dict[str, Constant] = {}

    # ------------------------------------------------------------------------------------------- inputs and outputs

    def input(self, name: str, shape: tuple[int, ...], dtype: np.dtype) -> Tensor:
        """A new input, float32 or int32."""
        return Tensor(self, self.definition.add_input(name, self.kind(KINDS[dtype]), shape))

    def output(self, name: str, tensor: Tensor, shape: tuple[int, ...], dtype: np.dtype) -> None:
        """Make `tensor` the output of this name, float32 or int32; BadInput for one of another shape."""
        if tensor.shape != shape:
            raise BadInput(f"output {name!r}", f"shape {tensor.shape}", shape, "correct the definition")
        raw = self.add("identity", tensor.to(KINDS[dtype]).raw, name=f"{name}/output").raw
        raw.name = name
        self.definition.mark_output(raw)

    # ------------------------------------------------------------------------------------------- types and constants

    def kind(self, name: str) -> Any:
        """TensorRT's DataType of this name."""
        return getattr(self.trt.DataType, name)

    @contextlib.contextmanager
    def full_precision(self) -> Iterator[None]:
        """Within the block numbers are computed in float32, whatever the network's precision."""
        before, self.current = self.current, "FLOAT"
        try:
            yield
        finally:
            self.current = before

    def cast(self, tensor: Tensor, kind: str) -> Tensor:
        """`tensor` as "FLOAT", "HALF", "INT32" or "BOOL"; between real types only where typing is strong."""
        if not self.strong:
            kind = "FLOAT" if kind == "HALF" else kind
        if tensor.kind == kind:
            return tensor
        return self.add("cast", tensor.raw, self.kind(kind))

    def constant(self, array: Any, name: str = "") -> Constant:
        """A constant: float32 for numbers, int32 for whole ones and truths; one of a name is made once."""
        if name and name in self._constants:
            return self._constants[name]
        array = np.asarray(array)
        found = Constant(self, array.astype(np.float32 if array.dtype.kind == "f" else np.int32), name)
        if name:
            self._constants[name] = found
        return found

    def hold(self, array: np.ndarray, kind: str = "FLOAT") -> Any:
        """TensorRT's Weights of an array, whose memory stays as long as the network; BadInput where they overflow."""
        with np.errstate(over="ignore"):
            self._held.append(np.ascontiguousarray(array, ARRAYS[kind]))
        if kind == "HALF" and np.isinf(self._held[-1]).any() and np.isfinite(array).all():
            expected = f"numbers up to {np.finfo(np.float16).max:g}, the largest of FP16"
            raise BadInput(f"constant {list(np.shape(array))}", f"{np.abs(array).max():g}", expected, "build in fp32")
        return self.trt.Weights(self._held[-1])

    def quantized(self, x: Tensor, scale: Any, axis: int = 0) -> Tensor:
        """x in INT8 and back, of a scale for all or one for each entry of an axis (explicit quantization)."""
        scales, kinds = self.constant(np.asarray(scale, np.float32)).raw, ("INT8", "FLOAT")
        for action, kind in zip(("quantize", "dequantize"), kinds, strict=True):
            typed = (self.kind(kind),) if self.strong else ()  # 8.6 takes no type
            x = self.add(action, x.raw, scales, *typed, axis=axis)
        return x

    def given(self, value: Any) -> Tensor:
        """What stands beside a tensor in an expression: a tensor, an array or a number."""
        return value if isinstance(value, Tensor) else self.constant(value)

    # ------------------------------------------------------------------------------------------- layers

    def add(self, kind: str, *arguments: Any, name: str = "", **settings: Any) -> Tensor:
        """The output of a new layer, `add_KIND(*arguments)`, whose attributes are set as `settings` say."""
        return self.outputs(kind, *arguments, name=name, **settings)[0]

    def outputs(self, kind: str, *arguments: Any, name: str = "", inputs: Any = None, **settings: Any) -> list[Tensor]:
        """All outputs of a new layer; inputs: {number: tensor} of those that are no arguments."""
        layer = getattr(self.definition, f"add_{kind}")(*arguments)
        for number, tensor in (inputs or {}).items():
            layer.set_input(number, tensor.raw)
        for attribute, value in settings.items():
            setattr(layer, attribute, value)
        layer.name = f"{name or kind}#{self.definition.num_layers}"
        self._constrain(kind, layer)
        found = [Tensor(self, layer.get_output(number)) for number in range(layer.num_outputs)]
        try:
            _ = found[0].shape
        except RuntimeError as error:  # where operands do not fit TensorRT tells no earlier
            shapes = [tuple(each.shape) for each in arguments if isinstance(each, self.trt.ITensor)]
            raise BadInput(f"layer {layer.name!r}", f"operands {shapes}, which TensorRT refuses", "operands that fit",
                           "correct the definition") from error  # fmt: skip
        return found

    def _constrain(self, kind, layer):
        """Where the builder chooses types and half precision is allowed, hold a layer of numbers to float32."""
        if self.strong or not self.half or self.current != "FLOAT" or kind in UNTYPED:
            return
        read = [layer.get_input(number) for number in range(layer.num_inputs)]
        made = [layer.get_output(number) for number in range(layer.num_outputs)]
        if any(raw.dtype.name in REAL for raw in (*read, *made)):
            layer.precision = self.trt.DataType.FLOAT
            self.constrained += 1
        for number, raw in enumerate(made):
            if raw.dtype.name in REAL:
                layer.set_output_type(number, self.trt.DataType.FLOAT)

    def kinds(self) -> list[str]:
        """Names of the types of all layers, in their order."""
        return [self.definition.get_layer(number).type.name for number in range(self.definition.num_layers)]

    def enum(self, kind: str, name: str) -> Any:
        """A member of one of TensorRT's enums."""
        return getattr(getattr(self.trt, kind), name)

    def normalization(self, x: Tensor, scale: Tensor, bias: Tensor, axes: int, epsilon: float, name: str) -> Tensor:
        """A normalization layer; the second form came with TensorRT 10.15 and replaced the first."""
        second = hasattr(self.definition, "add_normalization_v2")
        kind = "normalization_v2" if second else "normalization"
        return self.add(kind, x.raw, scale.raw, bias.raw, axes, name=name, epsilon=epsilon)
