"""What every runtime's engine looks like from outside: named tensors in, named tensors out, checked."""

from typing import ClassVar, NamedTuple

import numpy as np

from helpers.errors import BadInput


class Tensor(NamedTuple):
    """Shape and dtype of an engine's input or output; an entry of `shape` that is a string is a free dimension."""

    shape: tuple[int | str, ...]
    dtype: np.dtype

    def __str__(self):
        return f"{self.dtype} [{', '.join(map(str, self.shape))}]"


class Engine:
    """A loaded engine. Runtimes subclass it and define `_run`.

    Attributes:
        inputs, outputs: dict of tensor name to `Tensor(shape, dtype)`, in the graph's order.
        description: one line saying what runs and how.
        meta: the side file's content ({} for an ONNX file that did not come from the cache).
        states: dict of input name to output name, for inputs that the engine keeps itself; `feeds` may leave them out.
    """

    states: ClassVar[dict] = {}

    def __init__(self, path, inputs, outputs, description, meta):
        self.path, self.inputs, self.outputs = path, inputs, outputs
        self.description, self.meta = description, meta

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def close(self):
        """Release what the runtime holds."""

    def run(self, feeds):
        """Run once.

        Args:
            feeds: dict of input name to array, with exactly the names, shapes and dtypes of `inputs`; free dimensions
                of the same name must agree.

        Returns:
            dict of output name to array.

        Raises:
            BadInput: naming the tensor that is missing, unknown, or of another shape or dtype.
        """
        self.check(feeds)
        return self._run(feeds)

    def _run(self, feeds):
        raise NotImplementedError

    def check(self, feeds):
        """Raise BadInput unless `feeds` fits `inputs`."""
        for name in feeds:
            if name not in self.inputs:
                raise BadInput(f"input {name!r} of {self.path}", "no such input", f"one of {list(self.inputs)}",
                               "rename the array or leave it out")  # fmt: skip
        sizes = {}
        for name, tensor in self.inputs.items():
            if name not in feeds and name in self.states:
                continue
            if name not in feeds:
                raise BadInput(
                    f"input {name!r} of {self.path}", "nothing given", tensor, "pass an array under this name"
                )
            _check_array(f"input {name!r} of {self.path}", feeds[name], tensor, sizes)


def _check_array(where, array, tensor, sizes):
    if not isinstance(array, np.ndarray):
        raise BadInput(where, type(array).__name__, f"a NumPy array, {tensor}", "convert it with numpy.asarray")
    found = Tensor(array.shape, array.dtype)
    if array.dtype != tensor.dtype:
        raise BadInput(where, found, tensor, f"convert it with .astype(numpy.{tensor.dtype})")
    fits = len(array.shape) == len(tensor.shape)
    for size, dimension in zip(array.shape, tensor.shape, strict=False):
        fits = fits and size == (sizes.setdefault(dimension, size) if isinstance(dimension, str) else dimension)
    if not fits:
        bound = ", ".join(f"{name} = {size}" for name, size in sizes.items())
        raise BadInput(
            where, found, f"{tensor}" + (f" with {bound}" if bound else ""), "reshape or re-collect the array"
        )
