"""Nodes and weights of a graph that is written layer by layer, without an exporter."""

import contextlib
from collections import Counter
from collections.abc import Iterator

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper
from torch import Tensor, nn

from helpers.graph.functions.body import Body
from helpers.llm.tensorrt_llm.mixed_gemm import nibbles
from helpers.llm.tensorrt_llm.quantized import E4M3, Parts, QuantizedLinear, check_finite

KINDS = {torch.float32: TensorProto.FLOAT, torch.float16: TensorProto.FLOAT16, torch.int8: TensorProto.INT8,
         torch.int32: TensorProto.INT32, torch.int64: TensorProto.INT64, E4M3: TensorProto.FLOAT8E4M3FN}  # fmt: skip


class Writer(Body):
    """Nodes named `/module/path/OpType`, as exported ones are, and weights named as in the checkpoint.

    Attributes:
        dtype: of weights and of what is computed. weights: dict of name to tensor, or to INT4 codes; none is copied
            before the file is written.
    """

    def __init__(self, opset: int, dtype: torch.dtype) -> None:
        super().__init__(opset)
        self.dtype, self.kind = dtype, KINDS[dtype]
        self.weights: dict[str, Tensor] = {}
        self.packed: set[str] = set()
        self._scope: list[str] = []
        self._seen: Counter[str] = Counter()

    @contextlib.contextmanager
    def within(self, name: str) -> Iterator[None]:
        """Nodes of the block belong to the module of this name."""
        self._scope.append(name)
        yield
        self._scope.pop()

    def node_name(self, op_type: str) -> str:
        name = "/".join(["", *self._scope, op_type])
        self._seen[name] += 1
        return name if self._seen[name] == 1 else f"{name}_{self._seen[name] - 1}"

    def tensor_name(self, op_type: str, position: int) -> str:
        name = "/".join(["", *self._scope, op_type])
        return f"{name}_{self._seen[name]}_output_{position}"

    def ints(self, *values: int) -> str:
        """A constant of whole numbers [len(values)]."""
        return self.constant(torch.tensor(values, dtype=torch.int64))

    def number(self, value: float) -> str:
        """A scalar in the graph's dtype."""
        return self.constant(torch.tensor(value, dtype=self.dtype))

    def constant(self, tensor: Tensor) -> str:
        """A tensor that is no weight; equal ones share a name."""
        name = f"constant.{tensor.dtype}.{list(tensor.shape)}.{tensor.flatten().tolist()}".replace("torch.", "")
        return self.weight(name if tensor.numel() < 8 else f"constant.{len(self.weights)}", tensor)

    def weight(self, name: str, tensor: Tensor) -> str:
        """A tensor of the file; floating point is cast to `dtype`, but for codes in FP8. BadInput if that cannot hold
        it."""
        tensor = tensor.detach()
        cast = tensor.to(self.dtype) if tensor.dtype in (torch.float32, torch.bfloat16) else tensor
        if cast.is_floating_point():
            check_finite(name, cast)
        self.weights[name] = cast
        return name

    def kept(self, name: str, tensor: Tensor) -> str:
        """A tensor of the file in its own type."""
        self.weights[name] = tensor.detach()
        return name

    def linear(self, x: str, module: nn.Module, name: str) -> str:
        """[..., in] -> [..., out], of a plain linear layer or a quantized one."""
        with self.within(name.rpartition(".")[2]):
            if isinstance(module, QuantizedLinear):
                return self._quantized(x, module.parts, name)
            return self.MatMul(x, self.weight(f"{name}.weight", module.weight.T))  # type: ignore[operator, arg-type, union-attr]

    def _quantized(self, x, parts: Parts, name):
        """Codes and scales stay apart: DequantizeLinear is what a runtime fuses into its kernel."""
        if parts.prequant is not None:
            x = self.Mul(x, self.weight(f"{name}.prequant", parts.prequant.float()))
        if parts.activation is not None:
            x = self.rounded(x, parts.activation, parts.codes.dtype)
        codes = self.weight(f"{name}.weight", parts.codes.T)
        if parts.bits == 4:
            self.packed.add(codes)
            scale = parts.scale.float().T
            size = parts.codes.shape[1] // len(scale)
            options = {"axis": 0, "block_size": size}
        else:
            scale, options = parts.scale.float().flatten(), {"axis": 1}
            scale, options = (scale[0], {}) if scale.numel() == 1 else (scale, options)
        return self.MatMul(x, self.DequantizeLinear(codes, self.weight(f"{name}.scale", scale), **options))

    def rounded(self, x: str, step: Tensor, dtype: torch.dtype) -> str:
        """What whole numbers of `step`, or E4M3, leave of x."""
        scale, zero = self.number(step.item()), self.constant(torch.zeros((), dtype=torch.float32).to(dtype))
        return self.DequantizeLinear(self.QuantizeLinear(x, scale, zero), scale, zero)

    def tensor(self, name: str, data: bool = True) -> onnx.TensorProto:
        """A weight as ONNX has it; without `data` its type and shape alone."""
        tensor = self.weights[name]
        kind = TensorProto.INT4 if name in self.packed else KINDS[tensor.dtype]
        made = TensorProto(name=name, dims=tensor.shape, data_type=kind)
        if data:
            made.raw_data = self.bytes(name)
        return made

    def bytes(self, name: str) -> bytes:
        """The content of a weight, rows after each other; of INT4 codes two in a byte, the first one low."""
        tensor = self.weights[name].contiguous()  # where it lies: a GPU transposes faster
        if name in self.packed:
            return nibbles(tensor.cpu().view(1, -1)).numpy().tobytes()
        return tensor.reshape(-1).view(torch.uint8).cpu().numpy().tobytes()

    def size(self) -> int:
        """Bytes of all weights."""
        return sum(tensor.nbytes // (1 + (name in self.packed)) for name, tensor in self.weights.items())

    def value(self, name: str, kind: int, *shape: int | str) -> onnx.ValueInfoProto:
        """An input or output of the graph; a string is a free dimension."""
        return helper.make_tensor_value_info(name, kind, shape)


def finite_least(dtype: torch.dtype) -> float:
    """What stands for minus infinity."""
    return float(np.finfo(str(dtype).removeprefix("torch.")).min)
