"""Builds nodes of standard operators: the bodies of function definitions, and what stands for one node."""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

from onnx import NodeProto, TensorProto, helper

MOST = 2**31 - 1


class Attribute(NamedTuple):
    """What an attribute of an operator may be: a number from least to most, a whole one where `least` is; or absent."""

    least: float
    most: float
    optional: bool = False

    def takes(self, value: Any) -> bool:
        """Whether a node may have the value, None for an attribute that it lacks."""
        if value is None:
            return self.optional
        return type(value) is type(self.least) and self.least <= value <= self.most


class Body:
    """Nodes in the order in which they are added: every operator is a method that takes and returns tensor names.

    `body.Add("a", "b")` adds a node and returns the name of what it makes. Keywords are attributes, but for `output`,
    the name to make, `outputs`, the number of tensors to make or their names ("" for a new one), and `domain`.

    Attributes:
        nodes: list of `onnx.NodeProto`.
        opset: version of ONNX's operators that the nodes are of.
    """

    def __init__(self, opset: int):
        self.nodes: list[NodeProto] = []
        self.opset = opset

    def __getattr__(self, op_type):
        if not op_type[:1].isupper():
            raise AttributeError(op_type)
        return partial(self.add, op_type)

    def add(
        self, op_type: str, *inputs: str, outputs: int | Sequence[str] = 1, output: str = "", **attributes: Any
    ) -> Any:
        """Add one node; returns the name of its output, or the list of them."""
        given = [output] if output else [""] * outputs if isinstance(outputs, int) else outputs
        names = [name or self.tensor_name(op_type, position) for position, name in enumerate(given)]
        self.nodes.append(helper.make_node(op_type, inputs, names, self.node_name(op_type), **attributes))
        return names[0] if len(names) == 1 else names

    def tensor_name(self, op_type: str, position: int) -> str:
        """A new name for an output of the next node."""
        return f"{op_type}_{len(self.nodes)}_{position}"

    def node_name(self, op_type: str) -> str | None:
        """Name of the next node."""
        return None

    def attribute(self, name: str, zero: int | float) -> str:
        """A scalar of the type of `zero`: what the node that the body defines has as this attribute."""
        made = self.Constant()
        kind = helper.make_attribute("value_float" if isinstance(zero, float) else "value_int", zero)
        self.nodes[-1].attribute.add(name=kind.name, type=kind.type, ref_attr_name=name)
        return made

    def ints(self, *values: int) -> str:
        """A constant of whole numbers [len(values)]."""
        return self.Constant(value_ints=values)

    def real(self, value: float) -> str:
        """A scalar constant."""
        return self.Constant(value_float=value)

    def float(self, tensor: str) -> str:
        """The tensor as float32."""
        return self.Cast(tensor, to=TensorProto.FLOAT)

    def extent(self, tensor: str, axis: int) -> str:
        """The size of one axis, as an integer tensor [1]."""
        return self.Shape(tensor, start=axis, end=axis + 1)

    def grid_sample(
        self, image: str, grid: str, nearest: bool = False, padding: str = "zeros", align_corners: int = 0
    ) -> str:
        """By default zeros outside, corners not aligned, as TensorRT's plugins sample images."""
        linear = "linear" if self.opset >= 20 else "bilinear"
        return self.GridSample(
            image, grid, mode="nearest" if nearest else linear, padding_mode=padding, align_corners=align_corners
        )
