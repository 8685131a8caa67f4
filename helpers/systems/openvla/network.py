"""OpenVLA in plain PyTorch with the parameter names of the public checkpoints (openvla/openvla-7b and its kin)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from helpers.layers.llama import Llama, LlamaConfig
from helpers.layers.vit import VisionTransformer, ViTConfig
from helpers.systems.openvla.config import Config, Tower


class VisionBackbone(nn.Module):
    """One tower, or two whose features of a patch stand beside each other."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.featurizer = _tower(config.towers[0], config)
        if len(config.towers) == 2:
            self.fused_featurizer = _tower(config.towers[1], config)

    def forward(self, pixel_values: Tensor) -> Tensor:
        """[B, 3 * towers, H, W] -> [B, patches, sum of the widths]."""
        towers = list(self.children())
        pictures = pixel_values.split(3, 1)
        return torch.cat([tower(picture) for tower, picture in zip(towers, pictures, strict=True)], -1)


class Projector(nn.Module):
    """Features of patches to embeddings: two layers after one tower; three, the first four times as wide, after two."""

    def __init__(self, features: int, hidden: int, fused: bool) -> None:
        super().__init__()
        first = 4 * features if fused else hidden
        self.fc1 = nn.Linear(features, first)
        self.fc2 = nn.Linear(first, hidden)
        self.fc3 = nn.Linear(hidden, hidden) if fused else None

    def forward(self, x: Tensor) -> Tensor:
        """[B, patches, features] -> [B, patches, hidden]."""
        x = self.fc2(F.gelu(self.fc1(x)))
        return x if self.fc3 is None else self.fc3(F.gelu(x))


class OpenVLA(nn.Module):
    """Picture and instruction to logits of text and action tokens; called by itself, the part that is exported."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.vision_backbone = VisionBackbone(config)
        features = sum(tower.width for tower in config.towers)
        self.projector = Projector(features, config.language["hidden_size"], len(config.towers) == 2)
        self.language_model = Llama(LlamaConfig(**config.language))

    def forward(self, pixel_values: Tensor) -> tuple[Tensor]:
        """[B, 3 * towers, H, W] -> (projected_patches [B, patches, hidden],)."""
        return (self.projector(self.vision_backbone(pixel_values)),)

    def embeddings(self, projected_patches: Tensor, input_ids: Tensor) -> Tensor:
        """What the language model reads: BOS, then the patches, then the text, [B, patches + T, hidden].

        input_ids: [B, T], BOS first.
        """
        text = self.language_model.model.embed_tokens(input_ids)
        return torch.cat([text[:, :1], projected_patches.to(text.dtype), text[:, 1:]], 1)

    def logits(self, pixel_values: Tensor, input_ids: Tensor) -> Tensor:
        """[B, 3 * towers, H, W] and [B, T] -> [B, patches + T, vocab_size]."""
        (patches,) = self(pixel_values)
        return self.language_model(inputs_embeds=self.embeddings(patches, input_ids))


def _tower(tower: Tower, config: Config) -> VisionTransformer:
    sizes = {name: getattr(tower, name) for name in ("width", "depth", "heads", "hidden")}
    parts = {name: getattr(tower, name) for name in ("registers", "layer_scale", "pool")}
    return VisionTransformer(ViTConfig(**sizes, **parts, grid=config.grid, patch=config.patch))
