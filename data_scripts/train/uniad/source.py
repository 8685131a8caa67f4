"""Where scenes come from: ever new ones, or a folder that keeps what was made once."""

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from data_scripts.train.uniad import samples
from data_scripts.train.uniad.frozen import Arrays, digest, with_maps
from data_scripts.train.uniad.transplant import transplant
from helpers import files, models, npz
from helpers.errors import BadInput, foreign

FIX = "give checkpoints/bevformer_mini.safetensors, or a checkpoint of UniAD with --from"


@dataclass(frozen=True)
class Beginning:
    """Weights that a training begins with: of `seed`, over them those of a BEVFormer, or those of a UniAD."""

    config: Any
    seed: int
    detector: Path | None = None
    start: Path | None = None

    def fill(self, network: nn.Module) -> tuple[list[str], list[str]]:
        """Load what there is into a network of `seed`; returns what of a detector was taken, and what was left."""
        if self.start:
            models.load_checkpoint(network, self.start)
        return transplant(network, self.detector) if self.detector else ([], [])

    def check(self, parts: tuple[str, ...]) -> None:
        """BadInput for a file that does not fit, or a detector that lacks some of what begins with one of `parts`."""
        network = models.create("uniad", self.config, self.seed)
        taken, _ = self.fill(network)
        if self.detector and not self.start:
            lacking = [name for name in network.state_dict() if name.startswith(parts) and name not in taken]
            if lacking:
                raise BadInput(self.detector, f"{len(lacking)} tensors of the map less, such as {lacking[0]}",
                               "a BEVFormer with all that makes the map", FIX)  # fmt: skip


@functools.lru_cache(maxsize=1)
def begun(beginning: Beginning) -> tuple[nn.Module, str]:
    """The network that a training begins with, and the digest of what makes the map."""
    network = models.create("uniad", beginning.config, beginning.seed)
    beginning.fill(network)
    return network, digest(network)


@dataclass(frozen=True)
class Source:
    """Scene by number.

    frozen: whether the scenes have maps in the place of pictures (`frozen.with_maps`). kept: folder in which each is
    looked for before it is made, and left.
    """

    beginning: Beginning
    frames: int
    frozen: bool = False
    kept: Path | None = None

    def __call__(self, number: int) -> tuple[Arrays, list]:
        """The arrays of `samples.scene`, and nothing that is asked."""
        path = self.kept and self.kept / f"{self._kind()}-{number:05d}.npz"
        if path and path.is_file():
            with foreign(path, "a scene that a training kept", "delete it"), np.load(path) as found:
                return dict(found), []
        arrays, _ = samples.scene(number, self.beginning.seed, self.frames, self.beginning.config)
        if self.frozen:
            arrays = with_maps(arrays, begun(self.beginning)[0])
        if path:
            with files.atomic(path) as part:
                npz.write(arrays, part)
        return arrays, []

    def _kind(self):
        """What a kept scene depends on beside its number."""
        what = f"maps-{begun(self.beginning)[1]}" if self.frozen else "pictures"
        return f"{what}-{self.beginning.seed}-{self.frames}"
