"""The guards around a kernel's memory: what a launch reads or writes outside of its tensors is wrong in the proof."""

import ctypes
import math

import pytest
import torch

from helpers.ops import bev_pool_v2, common, inverse, library
from plugins.check import CHECKS, guards
from plugins.check import bev_pool_v2 as pooling
from plugins.check import ms_deform_attn as attention
from plugins.check.common import Row, misplaced

POOL = next(one for one in CHECKS if one.name == "bev_pool_v2")


@pytest.mark.parametrize("field", ["depths", "features", "points", "intervals"])
def test_the_proof_sees_a_caller_that_says_one_too_many(host_library, monkeypatch, field):
    """What then is read behind ranks or intervals is in range and counts, so that no bound hides it."""

    class Wrong(bev_pool_v2.Sizes):
        def __init__(self, *given):
            super().__init__(*given)
            setattr(self, field, getattr(self, field) + 1)

    monkeypatch.setattr(bev_pool_v2, "Sizes", Wrong)
    rows = guards.between(POOL.kernel_rows(library.load(host_library), "cpu", published=False))
    assert any(not row.right for row in rows)


@pytest.mark.parametrize(
    ("module", "case", "index", "more"),
    [
        (pooling, "eight channels", torch.int32, (pooling.CASES["eight channels"].grid,)),
        (attention, "three levels", torch.float32, ()),
    ],
)
def test_an_output_at_an_odd_address_is_no_copy_of_what_nobody_wrote(
    host_library, monkeypatch, module, case, index, more
):
    """Which compute-sanitizer counts, though no kernel of ours is to blame."""
    empty, unwritten, copied = torch.Tensor.new_empty, [], []
    monkeypatch.setattr(torch.Tensor, "new_empty", lambda *given: unwritten.append(empty(*given)) or unwritten[-1])
    monkeypatch.setattr(module, "misplaced", lambda tensor: copied.append(tensor) or misplaced(tensor))
    check = next(one for one in CHECKS if type(one).__module__ == module.__name__)
    given = module.operands(module.CASES[case], torch.float32, index, "cpu")
    output = check._misplaced(library.load(host_library), given, *more, False, "output")
    assert output.isfinite().all() and output.data_ptr() % 8
    assert copied and not any(one is other for one in copied for other in unwritten)


def _rows(output):
    """A row for the launch of a function with three matrices in and `output` out."""
    inverse.launch({"onramp_inverse_fp32": kernel}, torch.ones(3, 3, 3), output)
    yield Row("inverse", "fp32", 0.0, 0.0)
    yield Row("nothing launched", "fp32", 0.0, 0.0)


def kernel(sizes, read, written, stream):
    """Adds 2 to the 27 numbers; tests put others in its place."""
    source, target = (ctypes.cast(address, ctypes.POINTER(ctypes.c_float)) for address in (read, written))
    for index in range(27):
        target[index] = source[index] + 2
    return OUTSIDE.pop()(source, target) if OUTSIDE else 0


OUTSIDE = []


@pytest.mark.parametrize(
    ("outside", "broken"),
    [
        (lambda source, target: target.__setitem__(5, target[5]), False),
        (lambda source, target: target.__setitem__(27, 1.0), True),
        (lambda source, target: target.__setitem__(-1, 1.0), True),
        (lambda source, target: source.__setitem__(27, 1.0), True),
        (lambda source, target: source.__setitem__(3, 0.0), True),  # an input
    ],
)
def test_a_launch_that_writes_where_it_may_not_is_wrong(outside, broken):
    OUTSIDE.append(lambda *memory: outside(*memory) or 0)
    output, launch = torch.zeros(3, 3, 3), common.launch
    first, second = guards.between(_rows(output))
    assert (first.error, second.error) == (math.inf if broken else 0.0, 0.0) and common.launch is launch
    assert (output == 3).all()


def test_what_lies_behind_a_tensor_and_what_is_not_written_count(monkeypatch):
    seen = []
    OUTSIDE.append(lambda source, target: seen.extend((source[-1], source[27], target[27])) or 0)
    list(guards.between(_rows(torch.zeros(3, 3, 3))))
    assert len(seen) == 3 and all(map(math.isnan, seen))
    for tensor, mark in ((torch.zeros(5, dtype=torch.int64), 1), (torch.zeros(0, dtype=torch.int32), 1)):
        held = guards._Held(tensor, guards.LARGEST, True)
        assert (held.whole[: guards.STEP] == mark).all() and (held.whole[-guards.STEP :] == mark).all()
        assert held.inner.tolist() == tensor.tolist()
    scratch = guards._Held(torch.zeros(8, dtype=torch.uint8), guards.LARGEST, False)
    assert scratch.inner.view(torch.float32).isnan().all()
    assert guards._Held(torch.zeros(5), 0, False).whole.isnan().tolist() == [True] * 5
