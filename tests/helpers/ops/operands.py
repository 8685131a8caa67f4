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


def pooling_inputs(cameras=2, bins=5, size=(3, 4), channels=6, grid=(2, 4, 5), share=0.7, seed=0, kind=torch.int32):
    """Random operands as a host makes them: points sorted by voxel, `share` of them kept, about half the voxels hit."""
    g = torch.Generator().manual_seed(seed)
    depth = torch.rand(1, cameras, bins, *size, generator=g)
    feat = torch.randn(1, cameras, *size, channels, generator=g)
    cells, rows = size[0] * size[1], grid[0] * grid[1] * grid[2]
    kept = torch.randperm(depth.numel(), generator=g)[: int(share * depth.numel())]
    voxels, order = torch.randint(rows // 2, (len(kept),), generator=g).sort(stable=True)
    ranks_depth = kept[order]
    ranks_feat = ranks_depth // (bins * cells) * cells + ranks_depth % cells
    _, lengths = torch.unique_consecutive(voxels * 2 % rows, return_counts=True)
    indices = (ranks_depth, ranks_feat, voxels * 2 % rows, lengths.cumsum(0) - lengths, lengths)
    return [depth, feat, *(index.to(kind) for index in indices), grid]


def wild_inputs(seed, **case):
    """`pooling_inputs` with indices that point beyond both ends, some of them far; intervals overlap and share rows."""
    inputs = pooling_inputs(seed=seed, **case)
    g = torch.Generator().manual_seed(seed)
    for position in range(2, 7):
        tensor, limit = inputs[position], int(inputs[position].max()) + 3
        near = torch.randint(-2, limit, tensor.shape, generator=g)
        far = torch.randint(-(2**31), 2**31 - 1, tensor.shape, generator=g)
        inputs[position] = torch.where(torch.rand(tensor.shape, generator=g) < 0.8, near, far).to(tensor.dtype)
    return inputs


def volume_inputs(n=2, channels=3, size=(4, 5, 6), output=(3, 4, 7), seed=0, dtype=torch.float32):
    """A random volume and points from -1.5 to 1.5, so that many lie outside or across the border."""
    g = torch.Generator().manual_seed(seed)
    volume = torch.randn(n, channels, *size, generator=g)
    return [volume.to(dtype), (torch.rand(n, *output, 3, generator=g) * 3 - 1.5).to(dtype)]
