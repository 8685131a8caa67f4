"""EVA-02 (arXiv:2303.11331) as a backbone: a vision transformer of windows and of whole pictures, rotary positions.

No neck, no final norm; parameter names are those of the public checkpoint.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from helpers.layers.vit import EPS
from helpers.systems.omnidrive.config import Config


class RotaryPositions(nn.Module):
    """Rotation of neighboring pairs of channels by row, then by column, over L x L tokens that count as 16 x 16."""

    def __init__(self, channels: int, length: int, trained: int = 16) -> None:
        super().__init__()
        frequencies = 10000 ** -(torch.arange(0, channels // 2, 2).float() / (channels // 2))
        angles = torch.arange(length) / length * trained
        angles = (angles[:, None] * frequencies).repeat_interleave(2, -1)
        both = torch.cat([angles[:, None].expand(-1, length, -1), angles[None].expand(length, -1, -1)], -1).flatten(
            0, 1
        )
        self.register_buffer("freqs_cos", both.cos())
        self.register_buffer("freqs_sin", both.sin())

    def forward(self, x: Tensor) -> Tensor:
        """[..., L*L, channels] -> the same."""
        even, odd = x.unflatten(-1, (-1, 2)).unbind(-1)
        turned = torch.stack([-odd, even], -1).flatten(-2)
        return x * self.freqs_cos + turned * self.freqs_sin


class Attention(nn.Module):
    """Every token attends to every token of its group; queries and values have a bias, keys have none."""

    def __init__(self, width: int, heads: int, rope: RotaryPositions) -> None:
        super().__init__()
        self.heads = heads
        self.q_proj, self.k_proj, self.v_proj = (nn.Linear(width, width, bias=False) for _ in range(3))
        self.q_bias, self.v_bias = nn.Parameter(torch.zeros(width)), nn.Parameter(torch.zeros(width))
        self.rope = rope
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """[B, T, width] -> the same."""
        q = F.linear(x, self.q_proj.weight, self.q_bias)
        v = F.linear(x, self.v_proj.weight, self.v_bias)
        q, k, v = (each.unflatten(-1, (self.heads, -1)).transpose(1, 2) for each in (q, self.k_proj(x), v))
        attended = F.scaled_dot_product_attention(self.rope(q), self.rope(k), v)
        return self.proj(attended.transpose(1, 2).flatten(2))


class SwiGLU(nn.Module):
    """One linear layer gated by the SiLU of another, a LayerNorm, and a linear layer back."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.w1, self.w2 = nn.Linear(width, hidden), nn.Linear(width, hidden)
        self.ffn_ln = nn.LayerNorm(hidden, EPS)
        self.w3 = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        """[..., width] -> the same."""
        return self.w3(self.ffn_ln(F.silu(self.w1(x)) * self.w2(x)))


class Block(nn.Module):
    """Attention within windows, or over the picture where `window` is 0, and the gated layers."""

    def __init__(self, width: int, heads: int, hidden: int, window: int, rope: RotaryPositions) -> None:
        super().__init__()
        self.window = window
        self.norm1, self.norm2 = nn.LayerNorm(width, EPS), nn.LayerNorm(width, EPS)
        self.attn = Attention(width, heads, rope)
        self.mlp = SwiGLU(width, hidden)

    def forward(self, x: Tensor) -> Tensor:
        """[B, H, W, width] -> the same."""
        x = x + (self._in_windows if self.window else self._over_all)(self.norm1(x))
        return x + self.mlp(self.norm2(x))

    def _over_all(self, x):
        return self.attn(x.flatten(1, 2)).view(x.shape)

    def _in_windows(self, x):
        """Zeros fill the last windows. They are not masked: such a token's logit is 0, and its value the bias."""
        batch, height, width, channels = x.shape
        size = self.window
        down, right = -height % size, -width % size
        x = F.pad(x, (0, 0, 0, right, 0, down))
        rows, columns = (height + down) // size, (width + right) // size
        x = x.view(batch, rows, size, columns, size, channels).transpose(2, 3).reshape(-1, size * size, channels)
        x = self.attn(x).view(batch, rows, columns, size, size, channels).transpose(2, 3)
        return x.reshape(batch, height + down, width + right, channels)[:, :height, :width]


class PatchEmbed(nn.Module):
    """Square patches without overlap, each through one linear layer."""

    def __init__(self, patch: int, width: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, width, patch, patch)

    def forward(self, picture: Tensor) -> Tensor:
        """[B, 3, H, W] -> [B, h, w, width]."""
        return self.proj(picture).permute(0, 2, 3, 1)


class EVAViT(nn.Module):
    """Normalized pictures [B, N, 3, H, W] -> tokens of all cameras [B, N*h*w, width], cells row after row."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.cells, self.grid, width = config.feature_size, config.pretrained_grid, config.width
        self.pos_embed = nn.Parameter(0.02 * torch.randn(1, 1 + self.grid**2, width))
        self.register_buffer("stretch", _stretch(self.grid, self.cells[0]), persistent=False)
        self.patch_embed = PatchEmbed(config.patch, width)
        channels = width // config.heads
        self.rope_win = RotaryPositions(channels, config.window)
        self.rope_glb = RotaryPositions(channels, self.cells[0])
        self.blocks = nn.ModuleList(
            Block(width, config.heads, config.hidden, 0, self.rope_glb)
            if i in config.global_blocks
            else Block(width, config.heads, config.hidden, config.window, self.rope_win)
            for i in range(config.depth)
        )

    def forward(self, pictures: Tensor) -> Tensor:
        x = self.patch_embed(pictures.flatten(0, 1)) + self._positions().to(pictures.dtype)
        for block in self.blocks:
            x = block(x)
        return x.reshape(len(pictures), -1, x.shape[-1])

    def _positions(self):
        """[1, h, w, width] of the positions trained on smaller pictures; the class token's is dropped."""
        table = self.pos_embed[0, 1:].float().unflatten(0, (self.grid, self.grid))
        larger = (self.stretch @ table.flatten(1)).view(-1, self.grid, table.shape[2])
        return (self.stretch @ larger)[None]


def _stretch(before, after):
    """[after, before]: bicubic interpolation along one side, as a matrix.

    A product with it folds at export; a Resize would be folded by a reference in Python, which takes hours.
    """
    columns = torch.eye(before)[None, :, :, None]
    return F.interpolate(columns, (after, 1), mode="bicubic", align_corners=False)[0, :, :, 0].T.contiguous()
