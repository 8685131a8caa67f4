"""An engine's inputs and outputs: their names, shapes and types, and the memory behind them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from helpers.engine.base import Tensor
from helpers.engine.cuda import Device
from helpers.errors import BadInput

Tensors = Mapping[str, Tensor]
DTYPES: dict[str, type[np.generic]] = {
    "FLOAT": np.float32,
    "HALF": np.float16,
    "INT8": np.int8,
    "INT32": np.int32,
    "INT64": np.int64,
    "BOOL": np.bool_,
    "UINT8": np.uint8,
}


class Buffer:
    """A tensor's memory on the GPU and its pinned copy on the host; grows, never shrinks."""

    def __init__(self, device: Device, dtype: np.dtype) -> None:
        self._device, self._dtype = device, np.dtype(dtype)
        self.shape: tuple[int, ...] = ()
        self.size = 0
        self.memory: Any = None
        self.host: Any = None

    def resize(self, shape: tuple) -> None:
        """Make room for this shape."""
        self.shape = tuple(shape)
        self.size = int(np.prod(shape, dtype=np.int64)) * self._dtype.itemsize
        self.reserve(self.size)

    def reserve(self, size: int) -> None:
        """Make room for so many bytes."""
        if self.memory is None or size > self.memory.size:
            self.free()
            self.memory = self._device.allocate(size)
            self.host = self._device.pinned(size)

    def bind(self, context: Any, name: str) -> None:
        """Tell an execution context where the tensor `name` is."""
        context.set_tensor_address(name, self.memory.address)

    def array(self) -> np.ndarray:
        """The pinned copy as an array."""
        return self.host.array(self.shape, self._dtype)

    def free(self) -> None:
        """Give the memory back; a second time does nothing."""
        for memory in (self.memory, self.host):
            if memory is not None:
                memory.free()
        self.memory = self.host = None


class Counted(Buffer):
    """An output as large as the data say: TensorRT asks for its memory and tells its shape while it queues a run."""

    def __init__(self, device: Device, dtype: np.dtype) -> None:
        super().__init__(device, dtype)
        self._allocator = _allocator(self)

    def bind(self, context: Any, name: str) -> None:
        """Tell an execution context whom to ask for the memory of the output `name`."""
        context.set_output_allocator(name, self._allocator)


def refuse_counted(path: Path, name: str, refused: bool, what: str) -> None:
    """BadInput that names the output, if it is `refused` because nobody knows its size before a run."""
    if refused:
        raise BadInput(f"output {name!r} of {path}", "a size that depends on the data", f"fixed sizes for a {what}",
                       f"run it without a {what}, or build a graph of fixed sizes")  # fmt: skip


def _allocator(buffer):
    """A trt.IOutputAllocator over a buffer; 10.x and later ask by the second name, and hand their stream over."""
    import tensorrt as trt

    class Allocator(trt.IOutputAllocator):
        def __init__(self):
            super().__init__()

        def reallocate_output(self, tensor_name, memory, size, alignment):
            buffer.reserve(size)
            return buffer.memory.address

        def reallocate_output_async(self, tensor_name, memory, size, alignment, stream):
            return self.reallocate_output(tensor_name, memory, size, alignment)

        def notify_shape(self, tensor_name, shape):
            buffer.resize(tuple(shape))

    return Allocator()


def narrowed(feeds: Mapping[str, np.ndarray], inputs: Tensors) -> dict[str, np.ndarray]:
    """`feeds` with INT64 as INT32 for inputs that are: up to 8.6 TensorRT makes one of the other.

    Raises BadInput for a value that INT32 does not hold.
    """
    found = dict(feeds)
    for name, array in feeds.items():
        if name in inputs and inputs[name].dtype == np.int32 and getattr(array, "dtype", None) == np.int64:
            found[name] = array.astype(np.int32)
            if (found[name] != array).any():
                raise BadInput(f"input {name!r}", f"{np.abs(array).max()}", "values of 32 bits", "pass smaller numbers")
    return found


def is_free(shape: tuple[int | str, ...]) -> bool:
    """Whether a shape has a free dimension."""
    return any(isinstance(size, str) for size in shape)


def tensors_of(path: Path, engine: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """({input: Tensor}, {output: Tensor}) in the engine's order."""
    inputs, outputs = {}, {}
    for index in range(engine.num_io_tensors):
        name = engine.get_tensor_name(index)
        kind = engine.get_tensor_dtype(name).name
        if kind not in DTYPES:
            raise BadInput(f"{name!r} of {path}", kind, f"one of {list(DTYPES)}", "cast it inside the graph")
        shape = tuple(f"{name}.{axis}" if size < 0 else size for axis, size in enumerate(engine.get_tensor_shape(name)))
        found = inputs if engine.get_tensor_mode(name).name == "INPUT" else outputs
        found[name] = Tensor(shape, np.dtype(DTYPES[kind]))
    return inputs, outputs


def check_states(path: Path, states: Mapping[str, str], inputs: Tensors, outputs: Tensors) -> None:
    """BadInput unless every state is an input of fixed shape that an output of its shape and type feeds."""
    for name, source in states.items():
        where = f"states {{{name!r}: {source!r}}} of {path}"
        if name not in inputs or source not in outputs:
            raise BadInput(where, "no such tensor", f"one of {list(inputs)}: one of {list(outputs)}", "correct it")
        if inputs[name] != outputs[source] or is_free(inputs[name].shape):
            raise BadInput(where, f"{inputs[name]} and {outputs[source]}", "one fixed shape and type", "export it so")
