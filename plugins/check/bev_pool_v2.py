"""The proof of the pooling into voxels: its cases, operands and errors."""

import dataclasses
import itertools
import math

import torch

from helpers.ops import bev_pool_v2 as ops
from plugins.check.common import HALF, LIMITS, SINGLE, Call, Check, Row, misplaced, on_host, relative

FORMS = {"fp32": SINGLE, "fp16": HALF}
INDEX_TYPES = (torch.int32, torch.int64)


@dataclasses.dataclass(frozen=True)
class Case:
    """Sizes of operands: `points` are kept, in `hit` of the voxels, half of them in the first `near` voxels."""

    cameras: int = 2
    bins: int = 5
    size: tuple[int, int] = (3, 4)
    channels: int = 8
    grid: tuple[int, int, int] = (2, 4, 5)
    points: int = 84
    hit: int = 20
    near: int = 2


CASES = {
    "eight channels": Case(),
    "80 channels": Case(channels=80, grid=(3, 3, 7)),
    "33 channels": Case(channels=33),
    "6 channels": Case(channels=6),
    "300 channels": Case(channels=300),
    "one channel, one voxel": Case(channels=1, grid=(1, 1, 1), hit=1),
    "intervals of one point": Case(channels=4, points=30, hit=30, near=0),
    "every voxel": Case(points=110, hit=40),
    "no point": Case(points=0, hit=0),
    "no camera": Case(cameras=0, points=0, hit=0),
}
PUBLISHED = {"FB-OCC lift": Case(6, 80, (16, 44), 80, (8, 100, 100), 208_617, 52_489, 800)}


def operands(case, dtype, index_type, device, seed=0):
    """Operands of a case as a host makes them: points sorted by voxel, at least one in each voxel that is hit."""
    g = torch.Generator().manual_seed(seed)
    shape = (1, case.cameras, case.bins, *case.size)
    depth = torch.randn(shape, generator=g).softmax(2)
    feat = torch.randn(1, case.cameras, *case.size, case.channels, generator=g)
    rows, cells = math.prod(case.grid), math.prod(case.size)
    voxels = torch.randperm(rows, generator=g)[: case.hit]
    more = torch.randint(max(case.hit, 1), (case.points - case.hit,), generator=g)
    if case.near:  # half of them beside the cameras
        more = torch.where(torch.rand(len(more), generator=g) < 0.5, more % min(case.near, max(case.hit, 1)), more)
    ranks_bev, _ = torch.cat([voxels, voxels[more] if case.hit else more]).sort()
    ranks_depth = torch.randperm(depth.numel(), generator=g)[: case.points]
    ranks_feat = ranks_depth // (case.bins * cells) * cells + ranks_depth % cells
    _, lengths = torch.unique_consecutive(ranks_bev, return_counts=True)
    indices = ranks_depth, ranks_feat, ranks_bev, lengths.cumsum(0) - lengths, lengths
    return [depth.to(device, dtype), feat.to(device, dtype), *(t.to(device, index_type) for t in indices)]


def wild(case, dtype, index_type, device, seed):
    """`operands` with indices that lie beside both ends, or far away; intervals overlap and share rows."""
    depth, feat, *indices = operands(case, dtype, index_type, "cpu", seed)
    g = torch.Generator().manual_seed(seed)
    ends = depth.numel(), feat[..., 0].numel(), math.prod(case.grid), case.points, int(indices[-1].max())
    for position, (tensor, end) in enumerate(zip(indices, ends, strict=True)):
        near = torch.randint(-2, end + 3, tensor.shape, generator=g)
        far = torch.randint(-(2**31), 2**31 - 1, tensor.shape, generator=g)
        mixed = torch.where(torch.rand(tensor.shape, generator=g) < 0.8, near, far)
        mixed[position::13], mixed[position + 6 :: 13] = end, -1  # in unlike places of unlike tensors
        if index_type == torch.int64:
            mixed[position + 3 :: 5] += 1 << 32
        tensor.copy_(mixed)
    return [tensor.to(device) for tensor in (depth, feat, *indices)]


class BevPoolV2(Check):
    name = "bev_pool_v2"
    operator = staticmethod(ops.bev_pool_v2)
    reference = staticmethod(ops.reference)
    whole_graph = False  # how many points count is known from the indices alone

    def kernel_rows(self, library, device, published):
        for name, case in (CASES | PUBLISHED if published else CASES).items():
            for form, dtype in FORMS.items():
                for packed in (False, True) if dtype == HALF else (False,):
                    for index_type in INDEX_TYPES:
                        text = f"{form}{', packed' * packed}, {index_type}".replace("torch.", "")
                        given = operands(case, dtype, index_type, device)
                        error = self._kernel_error(library, given, case.grid, packed)
                        yield Row(f"{self.name}, {name}", text, error, LIMITS[dtype])
                        if case.points and name not in PUBLISHED:
                            given = wild(case, dtype, index_type, device, seed=len(name))
                            error = self._kernel_error(library, given, case.grid, packed)
                            yield Row(f"{self.name}, {name}, random indices", text, error, LIMITS[dtype])

        case = CASES["eight channels"]
        for (form, dtype), odd in itertools.product(FORMS.items(), ("feat", "output")):
            for packed in (False, True) if dtype == HALF else (False,):
                given = operands(case, dtype, torch.int32, device)
                error = self.error(self._misplaced(library, given, case.grid, packed, odd), (*given, case.grid))
                text = f"{form}{', packed' * packed}"
                yield Row(f"{self.name}, {odd} at an odd address", text, error, LIMITS[dtype])

    def _kernel_error(self, library, given, grid, packed):
        return self.error(self.launched(library, (*given, grid), packed), (*given, grid))

    def _misplaced(self, library, given, grid, packed, odd):
        depth, feat, *indices = given
        output = feat.new_full((1, *grid, feat.shape[-1]), torch.nan)
        feat, output = (misplaced(feat), output) if odd == "feat" else (feat, misplaced(output))
        ops.launch(library, [depth, feat, *indices], output, packed)
        return output

    def launched(self, library, arguments, packed=False):
        *tensors, grid = arguments
        tensors = [tensor.clone(memory_format=torch.contiguous_format) for tensor in tensors]
        output = tensors[1].new_empty((1, *grid, tensors[1].shape[-1]))
        ops.launch(library, tensors, output, packed)
        return output

    def calls(self, device):
        case = CASES["80 channels"]
        for form, dtype in FORMS.items():
            for index_type in INDEX_TYPES:
                given = (*operands(case, dtype, index_type, device), case.grid)
                text = f"{form}, {index_type}".replace("torch.", "")
                yield Call("80 channels", text, given, LIMITS[dtype])
                if dtype == HALF:
                    yield Call("80 channels", f"{text}, packed", given, LIMITS[HALF], packed=True)
        given = (*wild(case, SINGLE, torch.int32, device, 1), case.grid)
        yield Call("random indices", "fp32", given, LIMITS[SINGLE])
        for form, dtype in (("bf16", torch.bfloat16), ("fp64", torch.float64)):
            given = (*operands(case, dtype, torch.int32, device), case.grid)
            yield Call("80 channels", form, given, LIMITS[dtype], compiled=False)
        given = operands(case, torch.float64, torch.int64, device)
        yield Call("80 channels", "fp64, int64", (*given, case.grid), LIMITS[torch.float64], compiled=False)
        depth, feat, *indices = operands(case, SINGLE, torch.int32, device)
        strided = depth.mT.contiguous().mT, feat.mT.contiguous().mT
        yield Call("strided", "fp32", (*strided, *indices, case.grid), LIMITS[SINGLE])

    def published(self, device):
        for name, case in PUBLISHED.items():
            for form, dtype in FORMS.items():
                tensors = operands(case, dtype, torch.int32, device)
                output = math.prod(case.grid) * case.channels * dtype.itemsize
                indices = 4 * (2 * case.points + 3 * case.hit)
                moved = case.points * dtype.itemsize + tensors[1].nbytes + indices + output
                yield Call(name, form, (*tensors, case.grid), LIMITS[dtype], traffic=moved)
                if dtype == HALF:
                    given = (*tensors, case.grid)
                    yield Call(name, f"{form}, packed", given, LIMITS[HALF], packed=True, traffic=moved)

    def composition(self, depth, feat, ranks_depth, ranks_feat, ranks_bev, starts, lengths, grid_size):
        terms = depth.flatten()[ranks_depth, None] * feat.flatten(0, -2)[ranks_feat]
        rows = feat.new_zeros(math.prod(grid_size), feat.shape[-1])
        return rows.index_add_(0, ranks_bev, terms).view(1, *grid_size, -1)

    def error(self, output, arguments):
        *tensors, grid = arguments
        output, depth, feat, *indices = on_host(output, *tensors)
        expected = ops.reference(depth.double(), feat.double(), *indices, grid)
        if not expected.any():  # no point: nothing but zeros
            return 0.0 if torch.equal(output.double(), expected) else float("inf")
        return relative(output, expected)
