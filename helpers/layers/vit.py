"""Vision transformers (arXiv:2010.11929), DINOv2 with registers and SigLIP, with timm's parameter names.

As in OpenVLA the output is that of the second-to-last block without the final norm, patches only; the last block, the
final norm and the attention pool are in a checkpoint and are not computed. LayerScale's `gamma` is `scale_factor`.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

EPS = 1e-6


@dataclass(frozen=True)
class ViTConfig:
    """Sizes of a tower.

    grid: patches (rows, columns). registers: number of them, which come with a class token; None for neither.
    layer_scale: whether each branch of a block is scaled. pool: whether the checkpoint has an attention pool.
    """

    width: int
    depth: int
    heads: int
    hidden: int
    grid: tuple[int, int] = (16, 16)
    patch: int = 14
    registers: int | None = None
    layer_scale: bool = False
    pool: bool = False

    @property
    def patches(self) -> int:
        return self.grid[0] * self.grid[1]


class VisionTransformer(nn.Module):
    """A normalized picture [B, 3, H, W] -> features of its patches [B, patches, width], row after row."""

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.config = config
        if config.registers is not None:
            self.cls_token = nn.Parameter(torch.zeros(1, 1, config.width))
            self.reg_token = nn.Parameter(torch.zeros(1, config.registers, config.width))
        self.pos_embed = nn.Parameter(0.02 * torch.randn(1, config.patches, config.width))
        self.patch_embed = PatchEmbed(config.patch, config.width)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.depth))
        self.norm = nn.LayerNorm(config.width, EPS)
        if config.pool:
            self.attn_pool = AttentionPool(config)

    def forward(self, picture: Tensor) -> Tensor:
        """[B, 3, H, W] -> [B, patches, width] of the second-to-last block."""
        x = self.patch_embed(picture) + self.pos_embed  # the class token and registers have no position
        if self.config.registers is not None:
            prefix = torch.cat([self.cls_token, self.reg_token], 1).expand(len(x), -1, -1)
            x = torch.cat([prefix, x], 1)
        for block in self.blocks[:-1]:
            x = block(x)
        return x[:, -self.config.patches :]


class PatchEmbed(nn.Module):
    """Square patches without overlap, each through one linear layer."""

    def __init__(self, patch: int, width: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, width, patch, patch)

    def forward(self, picture: Tensor) -> Tensor:
        """[B, 3, H, W] -> [B, patches, width]."""
        return self.proj(picture).flatten(2).transpose(1, 2)


class Block(nn.Module):
    """Attention and MLP, each normalized before, scaled if there is a scale, and added to what came in."""

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        scale = LayerScale if config.layer_scale else lambda width: nn.Identity()
        self.norm1 = nn.LayerNorm(config.width, EPS)
        self.attn = Attention(config.width, config.heads)
        self.ls1 = scale(config.width)
        self.norm2 = nn.LayerNorm(config.width, EPS)
        self.mlp = MLP(config.width, config.hidden)
        self.ls2 = scale(config.width)

    def forward(self, x: Tensor) -> Tensor:
        """[B, T, width] -> the same."""
        x = x + self.ls1(self.attn(self.norm1(x)))
        return x + self.ls2(self.mlp(self.norm2(x)))


class Attention(nn.Module):
    """Every token attends to every token; q, k and v are one linear layer, each divided into heads."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """[B, T, width] -> the same."""
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class MLP(nn.Module):
    """Linear, GELU by the error function, linear."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        """[..., width] -> the same."""
        return self.fc2(F.gelu(self.fc1(x)))


class LayerScale(nn.Module):
    """A factor for each channel."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.scale_factor = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """[..., width] -> the same."""
        return x * self.scale_factor


class AttentionPool(nn.Module):
    """The parameters of SigLIP's pooling head, which OpenVLA's checkpoints hold and nothing computes."""

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        width = config.width
        self.latent = nn.Parameter(torch.zeros(1, 1, width))
        self.q, self.kv, self.proj = nn.Linear(width, width), nn.Linear(width, 2 * width), nn.Linear(width, width)
        self.norm = nn.LayerNorm(width, EPS)
        self.mlp = MLP(width, config.hidden)
