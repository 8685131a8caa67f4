"""Proof of the compiled kernels and of the operators in `helpers.ops` that use them, then their times.

    python -m plugins.check [LIBRARY] [--device cpu] [--json FILE]

Every case is held against the definition in float64 on the very operands that the kernel gets, rounded to half where it
gets half. Every tensor lies between guards (`plugins.check.guards`): what is read or written outside of one shows, and
so does what is not written. Needs PyTorch, a GPU with nvcc (or the LIBRARY), no TensorRT, no network; `make -C plugins
prove` runs it, and its small calls again under compute-sanitizer:

    python -m plugins.check --tools memcheck racecheck initcheck [--operators NAME ...] [--record FOLDER]

On `--device cpu` the same source runs that a compiler without CUDA built.
"""

from collections.abc import Iterator
from pathlib import Path

from helpers.ops import library
from plugins.check import dispatch, guards, overlap
from plugins.check.add_rms_norm import AddRmsNorm
from plugins.check.bev_pool_v2 import BevPoolV2
from plugins.check.cached_attention import CachedAttention
from plugins.check.common import Check, Row
from plugins.check.grid_sample_3d import GridSample3d
from plugins.check.inverse import Inverse
from plugins.check.matvec import MatVec
from plugins.check.matvec_int4 import MatVecInt4
from plugins.check.mix_levels import MixLevels
from plugins.check.ms_deform_attn import MsDeformAttn
from plugins.check.project_pillars import ProjectPillars
from plugins.check.rotate import Rotate

CHECKS: tuple[Check, ...] = (  # one per operator
    MsDeformAttn(), Rotate(), BevPoolV2(), GridSample3d(), ProjectPillars(), Inverse(),
    CachedAttention(), MatVec(), MatVecInt4(), AddRmsNorm(), MixLevels(),
)  # fmt: skip


def rows(path: Path, device: str, checks: tuple[Check, ...] = CHECKS) -> Iterator[Row]:
    """Everything that is tried with the library at `path`, on "cuda" or "cpu"."""
    loaded = library.load(path)
    for check in checks:
        yield from guards.between(check.kernel_rows(loaded, device, published=device == "cuda"))
        yield from dispatch.rows(check, path, device)
    if {check.name for check in checks} >= overlap.OPERATORS:
        yield from overlap.rows(loaded, device)


def small_rows(path: Path, device: str, checks: tuple[Check, ...] = CHECKS) -> Iterator[Row]:
    """The kernels alone, on small operands, without guards, which would hide the ends of a tensor from a sanitizer."""
    loaded = library.load(path)
    for check in checks:
        yield from guards.between(check.kernel_rows(loaded, device, published=False), largest=0)
