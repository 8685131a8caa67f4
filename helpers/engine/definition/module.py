"""The weights of a network's modules by the names that the checkpoint gives them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from helpers.errors import BadInput

if TYPE_CHECKING:
    from helpers.engine.definition.constant import Constant
    from helpers.engine.definition.network import Network


class Module:
    """A module of a checkpoint: `module.layers[0].linear1` has that name in the checkpoint too."""

    def __init__(self, network: Network, name: str = "") -> None:
        self.network, self.name = network, name

    def __getattr__(self, part: str) -> Module:
        return Module(self.network, self._named(part))

    def __getitem__(self, number: int) -> Module:
        return Module(self.network, self._named(str(number)))

    def __contains__(self, tensor: str) -> bool:
        return self._named(tensor) in self.network.weights

    def array(self, tensor: str, shape: tuple[int, ...] | None = None) -> np.ndarray:
        """A tensor of this module; BadInput for one that is absent, of another than the given shape, or not finite."""
        name = self._named(tensor)
        fix = "name the configuration that the weights are of (--config)"
        if name not in self.network.weights:
            raise BadInput(f"weights of {name!r}", "no such tensor", "a checkpoint of this configuration", fix)
        found = self.network.weights[name]
        if shape is not None and found.shape != shape:
            raise BadInput(f"weights of {name!r}", f"shape {list(found.shape)}", list(shape), fix)
        with np.errstate(over="ignore"):
            finite = found.dtype.kind != "f" or np.isfinite(found.astype(np.float32, copy=False)).all()
        if not finite:
            expected = "finite numbers that float32 holds"
            raise BadInput(f"weights of {name!r}", "NaN, infinity or more", expected, "fetch the checkpoint again")
        return found

    def constant(self, tensor: str = "weight", shape: tuple[int, ...] | None = None) -> Constant:
        """A tensor of this module in the network."""
        return self.network.constant(self.array(tensor, shape), self._named(tensor))

    def _named(self, part):
        return f"{self.name}.{part}" if self.name else part
