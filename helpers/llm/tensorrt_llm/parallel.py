"""Tensor parallelism: parts of a weight for each of several GPUs, and several weights as one; both ways."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from helpers.errors import BadInput
from helpers.llm.tensorrt_llm.quantized import Parts


def cut(parts: Parts, axis: int, count: int) -> list[Parts]:
    """What each of `count` GPUs holds. axis 0: some of the outputs; 1: some of the inputs."""
    codes = parts.codes.chunk(count, axis)
    per_axis = parts.scale.shape[0] > 1 if axis == 0 else parts.group is not None
    scales = parts.scale.chunk(count, axis) if per_axis else [parts.scale] * count
    prequants = parts.prequant.chunk(count) if parts.prequant is not None and axis else [parts.prequant] * count
    return [
        replace(parts, codes=c, scale=s, prequant=p) for c, s, p in zip(codes, scales, prequants, strict=True)
    ]  # fmt: skip


def stack(pieces: Sequence[Parts], axis: int = 0, where: object = "weights that run as one") -> Parts:
    """Several weights as one; BadInput if what they have to share differs."""
    first = pieces[0]
    shared = {"activation": [piece.activation for piece in pieces]}
    if axis == 0:
        shared["prequant"] = [piece.prequant for piece in pieces]
    per_axis = first.scale.shape[0] > 1 if axis == 0 else first.group is not None
    if not per_axis:
        shared["scale"] = [piece.scale for piece in pieces]
    for name, tensors in shared.items():
        if not all(_same(tensors[0], tensor) for tensor in tensors):
            raise BadInput(where, f"different {name}", "one for all", "quantize layers of one input together")
    scale = torch.cat([piece.scale for piece in pieces], axis) if per_axis else first.scale
    prequants = [piece.prequant for piece in pieces if piece.prequant is not None]
    prequant = torch.cat(prequants) if axis and prequants else first.prequant
    return replace(first, codes=torch.cat([piece.codes for piece in pieces], axis), scale=scale, prequant=prequant)


def rows(parts: Parts, sizes: Sequence[int]) -> list[Parts]:
    """A weight that was stacked, apart again; `sizes` are outputs."""
    codes = parts.codes.split(list(sizes))
    scales = parts.scale.split(list(sizes)) if parts.scale.shape[0] > 1 else [parts.scale] * len(sizes)
    return [replace(parts, codes=c, scale=s) for c, s in zip(codes, scales, strict=True)]


def padded(tensor: Tensor, count: int) -> Tensor:
    """Rows of zeros after the last, so that their number is a multiple of `count`."""
    return torch.cat([tensor, tensor.new_zeros(-len(tensor) % count, *tensor.shape[1:])])


def _same(one, other):
    return one is other or (one is not None and other is not None and torch.equal(one, other))
