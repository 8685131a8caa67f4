"""The order in which weight-only kernels want INT8 and INT4 weights, and back.

Ampere and Ada read columns that are interleaved, Hopper does not; from SM100 on it depends on the release, so that
those are refused. Of checkpoints only those that are written here say for which GPU they are.
"""

import torch
from torch import Tensor

from helpers.errors import BadInput

TILE = 64  # rows that stay together when columns are interleaved
ORDER = {8: [0, 2, 1, 3], 4: [0, 2, 4, 6, 1, 3, 5, 7]}  # of the elements within 32 bits
INTERLEAVED = {80: True, 90: False}


def form(sm: int) -> int:
    """80 or 90: whose order a GPU of that compute capability reads (75 to 89 are alike); BadInput for others."""
    if 75 <= sm < 90:
        return 80
    if sm != 90:
        expected = "75 to 90; later ones differ between releases of TensorRT-LLM"
        raise BadInput("sm", sm, expected, "convert with TensorRT-LLM on that machine")
    return 90


def pack(codes: Tensor, bits: int, sm: int) -> Tensor:
    """Codes [in, out] int8, signed -> int8 [in, out * bits / 8] in the kernel's order.

    Raises:
        BadInput: rows that are no multiple of 64, or columns of 8.
    """
    rows, columns = codes.shape
    if rows % TILE or columns % 8:
        raise BadInput("weight", f"[{rows},{columns}] (in, out)", f"multiples of {TILE} and 8", "leave it in FP16")
    codes = codes[_rows(rows, bits)].T.contiguous()
    if INTERLEAVED[form(sm)]:
        count = 16 // bits
        codes = codes.view(columns // count, count, rows // TILE, TILE).transpose(1, 2).contiguous()
    words = (codes.to(torch.int16) + 2 ** (bits - 1)).to(torch.uint8).view(-1, 32 // bits)[:, ORDER[bits]]
    return nibbles(words.reshape(rows, columns)) if bits == 4 else words.reshape(rows, columns).view(torch.int8)


def unpack(packed: Tensor, bits: int, sm: int) -> Tensor:
    """The codes [in, out] int8 that `pack` was given."""
    words = split_nibbles(packed, signed=False) if bits == 4 else packed.view(torch.uint8)
    rows, columns = words.shape
    order = torch.tensor(ORDER[bits]).argsort()
    codes = (words.reshape(-1, 32 // bits)[:, order].to(torch.int16) - 2 ** (bits - 1)).to(torch.int8)
    if INTERLEAVED[form(sm)]:
        count = 16 // bits
        codes = codes.view(columns // count, rows // TILE, count, TILE).transpose(1, 2)
    return codes.reshape(columns, rows).T[_rows(rows, bits).argsort()].contiguous()


def _rows(count, bits):
    """Which row stands where: within groups, pairs are taken in turn from each eight."""
    size = 8 * 16 // bits
    group = [pair + eight + k for pair in range(0, 8, 2) for eight in range(0, size, 8) for k in (0, 1)]
    return (torch.arange(0, count, size)[:, None] + torch.tensor(group)).flatten()


def nibbles(codes: Tensor) -> Tensor:
    """Whole numbers [n, 2m], of which four bits count -> int8 [n, m], the even ones in the low half."""
    low, high = (codes[:, k::2].to(torch.int16) & 15 for k in (0, 1))
    return (low | high << 4).to(torch.uint8).view(torch.int8)


def split_nibbles(packed: Tensor, signed: bool = True) -> Tensor:
    """int8 [n, m] -> [n, 2m], int8 from -8 to 7, or uint8 from 0 to 15."""
    whole = packed.view(torch.uint8).to(torch.int16)
    codes = torch.stack([whole & 15, whole >> 4], -1).flatten(1)
    return (codes - 16 * (codes > 7)).to(torch.int8) if signed else codes.to(torch.uint8)
