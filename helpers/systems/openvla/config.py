"""Configurations of OpenVLA: sizes, shapes, how a picture is fitted, what the prompt is. NumPy only."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from helpers.errors import BadInput
from helpers.systems import base

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
STRATEGIES = ("resize-naive", "letterbox")
PROMPTS = ("openvla", "vicuna")


@dataclass(frozen=True, kw_only=True)
class Tower:
    """A vision transformer of `helpers.layers.vit`, and the mean and deviation of its pictures, of values 0..1."""

    width: int
    depth: int
    heads: int
    hidden: int
    registers: int | None = None
    layer_scale: bool = False
    pool: bool = False
    mean: tuple[float, ...] = HALF[0]
    std: tuple[float, ...] = HALF[1]


DINO = Tower(width=1024, depth=24, heads=16, hidden=4096, registers=4, layer_scale=True,
             mean=IMAGENET[0], std=IMAGENET[1])  # fmt: skip
SIGLIP = Tower(width=1152, depth=27, heads=16, hidden=4304, pool=True)
# What a configuration of Llama leaves out of config.json; eps is 1e-6 there, not the 1e-5 of Llama-2.
LLAMA = {
    "vocab_size": 32064,
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 32,
    "rms_norm_eps": 1e-6,
    "rope_theta": 10000.0,
    "max_position_embeddings": 2048,
}


@dataclass(frozen=True, kw_only=True)
class Config(base.Config):
    """Sizes of one configuration. The graph that is exported is of the vision towers and the projector.

    towers: one, or the two whose features stand beside each other. language: sizes of the Llama by the names of
    config.json. resize: one of `STRATEGIES`. prompt: one of `PROMPTS`. reasoning: whether a text comes before the
    action's tokens (embodied chain of thought). padding_rows: rows of the embedding above the tokens that exist.
    bins: values -1..1 that an action's tokens are counted in. image_scale has no meaning here: every picture is fitted
    to `image_size`; image_mean and image_std are those of the first tower.
    """

    towers: tuple[Tower, ...] = (DINO, SIGLIP)
    patch: int = 14
    language: Mapping[str, Any]
    resize: str = "resize-naive"
    prompt: str = "openvla"
    reasoning: bool = False
    padding_rows: int = 64
    bins: int = 256
    image_scale: float = 1.0
    image_size: tuple = (224, 224)
    image_mean: tuple = tuple(255 * value for value in IMAGENET[0])
    image_std: tuple = tuple(255 * value for value in IMAGENET[1])

    decoded: ClassVar = ("projected_patches",)

    def __post_init__(self):
        super().__post_init__()
        where = f"config {self.name!r}"
        for field, known in (("resize", STRATEGIES), ("prompt", PROMPTS)):
            if (value := getattr(self, field)) not in known:
                raise BadInput(where, f"{field} {value!r}", "one of " + ", ".join(known), "take another configuration")
        if any(size % self.patch for size in self.image_size) or not 1 <= len(self.towers) <= 2:
            found = f"{self.image_size} pixels, patches of {self.patch}, {len(self.towers)} towers"
            raise BadInput(where, found, "whole patches, one tower or two", "give another value")

    @property
    def grid(self) -> tuple[int, int]:
        """Patches (rows, columns) of the picture."""
        return self.image_size[0] // self.patch, self.image_size[1] // self.patch

    @property
    def patches(self) -> int:
        """Number of patches, each of which is one position of the language model."""
        return self.grid[0] * self.grid[1]

    @property
    def action_vocab(self) -> int:
        """Tokens that exist: an action's are the last of them, and ids are counted down from here."""
        return self.language["vocab_size"] - self.padding_rows

    def input_shapes(self) -> base.Shapes:
        """Name -> shape; the pictures of all towers lie on each other along the channels."""
        return {"pixel_values": (1, 3 * len(self.towers), *self.image_size)}

    def output_shapes(self) -> base.Shapes:
        """Name -> shape."""
        return {"projected_patches": (1, self.patches, self.language["hidden_size"])}

    def inputs(self, frame: Any, previous: Any = None) -> dict[str, np.ndarray]:
        """The inputs of one `helpers.dataset.tabletop.Observation`; what was before does not matter."""
        from helpers.systems.openvla.inputs import pixels

        if not hasattr(frame, "image"):
            found, fix = f"a {type(frame).__name__}", "read it by helpers.dataset.tabletop.open_tabletop"
            raise BadInput("frame", found, "an observation of a tabletop", fix)
        return {"pixel_values": pixels(frame.image(), self)}


MINI = Config(
    name="mini",
    towers=(
        Tower(width=96, depth=4, heads=4, hidden=256, registers=4, layer_scale=True, mean=IMAGENET[0], std=IMAGENET[1]),
        Tower(width=96, depth=4, heads=4, hidden=256, pool=True),
    ),
    image_size=(112, 112),
    language=LLAMA
    | {
        "vocab_size": 704,
        "hidden_size": 128,
        "intermediate_size": 384,
        "num_hidden_layers": 5,
        "num_attention_heads": 4,
        "num_key_value_heads": 4,
        "max_position_embeddings": 256,
    },
    reasoning=True,
)
CONFIGS = {
    "published": Config(name="published", language=LLAMA),
    "siglip": Config(
        name="siglip", towers=(SIGLIP,), language=LLAMA, resize="letterbox", prompt="vicuna", reasoning=True,
        image_mean=(127.5,) * 3, image_std=(127.5,) * 3,
    ),
    "mini": MINI,
}  # fmt: skip
