"""Operands of the custom operators."""

import torch


def attention_inputs(
    n=2, shapes=((5, 7),), heads=2, dims=3, queries=11, points=4, groups=1, seed=0, dtype=torch.float32
):
    """Random operands with references from -0.3 to 1.3, so that many samples lie outside or across the border."""
    g = torch.Generator().manual_seed(seed)
    cells, entries = sum(h * w for h, w in shapes), len(shapes) * points
    value = torch.randn(n, cells, heads, dims, generator=g)
    references = torch.rand(n, queries, 1, 2 * groups, generator=g) * 1.6 - 0.3
    offsets = torch.randn(n, queries, heads, entries * 2, generator=g) * 2
    weights = torch.randn(n, queries, heads, entries, generator=g)
    return [value.to(dtype), shapes, *(tensor.to(dtype) for tensor in (references, offsets, weights))]
