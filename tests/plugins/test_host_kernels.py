"""The kernels' own source, compiled for the host, against the definition."""

import ctypes
import re

import numpy as np
import pytest
import torch

from helpers import processes
from helpers.errors import BadInput
from helpers.ops import (
    add_rms_norm,
    bev_pool_v2,
    cached_attention,
    compiler,
    grid_sample_3d,
    inverse,
    matvec,
    matvec_int4,
    mix_levels,
    ms_deform_attn,
    project_pillars,
    rotate,
)
from helpers.ops import library as plugins
from plugins.check import bev_pool_v2 as pooling
from plugins.check import grid_sample_3d as sampling
from plugins.check import mix_levels as mixture
from plugins.check import project_pillars as projection
from plugins.check.common import HALF, SINGLE
from plugins.check.ms_deform_attn import CASES, FORMS, operands
from plugins.check.rotate import ROTATIONS


@pytest.fixture(scope="module")
def library(host_library):
    return plugins.load(host_library)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", CASES)
def test_attention_equals_the_definition(proof, name, form):
    rows = [row for row in proof if row.what == f"ms_deform_attn, {name}" and row.form.startswith(f"{form},")]
    assert len(rows) == (2 if form == "fp32" else 4) and all(row.right for row in rows), rows


@pytest.mark.parametrize("size", ROTATIONS)
def test_rotation_equals_the_definition(proof, size):
    rows = [row for row in proof if row.what.startswith(f"rotate {size},")]
    assert len(rows) == 24 and all(row.right for row in rows), rows


@pytest.mark.parametrize("name", pooling.CASES)
def test_pooling_equals_the_definition_with_any_indices(proof, name):
    rows = [row for row in proof if row.what.startswith(f"bev_pool_v2, {name}") and "library" not in row.what]
    assert len(rows) == (12 if pooling.CASES[name].points else 6) and all(row.right for row in rows), rows


@pytest.mark.parametrize("modes", sampling.MODES)
@pytest.mark.parametrize("name", sampling.CASES)
def test_sampling_equals_the_definition(proof, name, modes):
    rows = [row for row in proof if row.what == f"grid_sample_3d, {name}, {modes}"]
    assert len(rows) == 30 and all(row.right for row in rows), rows


@pytest.mark.parametrize("name", projection.CASES)
def test_projection_equals_the_definition_bit_for_bit(proof, name):
    rows = [row for row in proof if row.what.startswith(f"project_pillars, {name}") and "library" not in row.what]
    assert len(rows) == 3 and all(row.right for row in rows), rows


@pytest.mark.parametrize("name", mixture.CASES)
def test_mixed_levels_equal_the_definition_in_every_layout(proof, name):
    rows = [row for row in proof if row.what == f"mix_levels, {name}"]
    assert len(rows) == 4 and all(row.right for row in rows), rows


def test_nearest_rounds_ties_to_even_as_the_definition_does(library):
    """Half a turn about x = 4.25 of a row of eight: every source column is exactly n + 0.5."""
    image = torch.arange(1.0, 9.0).view(1, 1, 8)
    angle, center = torch.tensor([180.0]), torch.tensor([4.25, 0.5])
    output = torch.full_like(image, torch.nan)
    rotate.launch(library, image, angle, center, output)
    assert output.flatten().tolist() == [0, 7, 7, 5, 5, 3, 3, 1]
    assert torch.equal(output, rotate.reference(image, angle, center))


def launch(library, *arrays):
    """The attention kernel on the memory of NumPy arrays, the output last."""
    ms_deform_attn.launch(library, *map(torch.from_numpy, arrays))


def test_attention_takes_numpy_and_ignores_coordinates_that_are_not_numbers(library):
    """Two points, the second nowhere: the first sample with half of the softmax."""
    value = np.array([4.0, 8.0], np.float32).reshape(1, 2, 1, 1)
    references = np.full((1, 3, 1, 2), 0.5, np.float32)
    offsets = np.zeros((1, 3, 1, 4), np.float32)
    offsets[0, :, 0, 2:] = [[np.nan, 0], [np.inf, 0], [-3e38, 3e38]]
    output = np.full((1, 3, 1, 1), np.nan, np.float32)
    weights = np.zeros((1, 3, 1, 2), np.float32)
    launch(library, value, np.array([[1, 2]], np.int64), references, offsets, weights, output)
    assert output.flatten().tolist() == [3.0, 3.0, 3.0]


def test_half_is_read_and_rounded_as_numpy_does(library):
    """Every finite half passes unchanged; the mean of each and the next rounds to nearest even, subnormal or not."""
    halves = np.arange(65536, dtype=np.uint16).view(np.float16)
    halves = halves[np.isfinite(halves)]
    following = np.roll(halves, -1)
    value = np.stack([halves, following])[None, :, None]
    references = np.array([0.25, 0.5, 0.5, 0.5], np.float32).reshape(1, 2, 1, 2)  # the first cell, then between both
    offsets, weights = np.zeros((1, 2, 1, 2), np.float16), np.zeros((1, 2, 1, 1), np.float16)
    output = np.full((1, 2, 1, len(halves)), np.nan, np.float16)
    shapes = np.array([[1, 2]], np.int32)
    launch(library, value, shapes, references, offsets, weights, output)
    np.testing.assert_array_equal(output[0, 0, 0], halves)
    exact = (halves.astype(np.float32) + following.astype(np.float32)) / 2
    np.testing.assert_array_equal(output[0, 1, 0], exact.astype(np.float16))


def _given():
    value, shapes, *rest = operands((1, [(2, 2)], 1, 4, 3, 4, 2), SINGLE, SINGLE, "cpu")
    return [value, torch.tensor(shapes), *rest, torch.zeros(1, 3, 1, 4)]


@pytest.mark.parametrize(
    ("position", "replaced", "message"),
    [
        (0, lambda t: t.half(), "of one type"),
        (3, lambda t: t[..., :2].contiguous(), "sizes that agree"),
        (5, lambda t: t[:, :2], "sizes that agree"),
        (4, lambda t: t.transpose(1, 3).contiguous().transpose(1, 3), "not contiguous"),
        (2, lambda t: t.repeat(1, 1, 1, 3)[..., :6].contiguous(), "groups 3"),  # 4 points of 3 references
        (2, lambda t: t.new_zeros(t.numel() + 1)[1:].view(t.shape), "addresses of whole pairs"),
    ],
)
def test_operands_that_do_not_belong_together_are_refused(library, position, replaced, message):
    given = _given()
    ms_deform_attn.launch(library, *given)
    given[position] = replaced(given[position])
    with pytest.raises(BadInput, match=message):
        ms_deform_attn.launch(library, *given)


def test_half_products_add_up_to_half_as_numpy_rounds(library):
    """a * 1 + b * 1 of random halves in pairs, each sum rounded once."""
    rng = np.random.default_rng(0)
    pairs = torch.from_numpy(rng.normal(size=(2, 4096)).astype(np.float16))
    ones, indices = (
        torch.ones(2).half().view(1, 1, 2, 1, 1),
        [torch.tensor(given) for given in ([0, 1], [0, 1], [0, 0])],
    )
    feat, output = pairs.view(1, 1, 2, 1, 4096), torch.empty(1, 1, 1, 1, 4096).half()
    depth = ones.view(1, 1, 1, 2, 1)
    bev_pool_v2.launch(library, [depth, feat, *indices, torch.tensor([0]), torch.tensor([2])], output, packed=True)
    assert torch.equal(output.flatten(), pairs[0] + pairs[1])


def test_names_for_kernels_of_ones_own_round_as_numpy_does(tmp_path):
    source = """#include "kernels/launch.h"
    ONRAMP_EXPORT void both(const half2* a, const half2* b, half2* output, int count) {
      for (int i = 0; i < count; ++i) {
        output[2 * i] = a[i] * b[i];
        output[2 * i + 1] = a[i];
        output[2 * i + 1] += b[i];
      }
    }
    ONRAMP_EXPORT void rounded(const float* x, half* output, int count) {
      for (int i = 0; i < count; ++i) output[i] = __float2half(x[i]);
    }"""
    library, (a, b) = compiler.host(source, tmp_path), np.random.default_rng(0).normal(size=(2, 4096, 2))
    first, second, output = a.astype(np.float16), b.astype(np.float16), np.empty((4096, 2, 2), np.float16)
    library.both(*(each.ctypes.data_as(ctypes.c_void_p) for each in (first, second, output)), 4096)
    assert np.array_equal(output[:, 0], first * second) and np.array_equal(output[:, 1], first + second)
    single, output = a.astype(np.float32).ravel(), np.empty(8192, np.float16)
    library.rounded(*(each.ctypes.data_as(ctypes.c_void_p) for each in (single, output)), 8192)
    assert np.array_equal(output, single.astype(np.float16))


def test_pooling_and_sampling_refuse_what_no_kernel_takes(library):
    *tensors, grid = pooling.operands(pooling.Case(), SINGLE, torch.int32, "cpu"), (2, 4, 5)
    with pytest.raises(BadInput, match="bev_pool_v2"):
        bev_pool_v2.launch(library, tensors[0], torch.zeros(1, *grid, 7))
    volume, points = sampling.operands(sampling.CASES["odd sizes"], SINGLE, SINGLE, "cpu")
    with pytest.raises(BadInput, match="sizes that agree"):
        grid_sample_3d.launch(library, volume, points, torch.zeros(2, 37, 3, 3, 5))
    with pytest.raises(BadInput, match="grid in it or in float32"):
        grid_sample_3d.launch(library, volume, points.double(), torch.zeros(2, 37, 2, 3, 5))


def test_mixing_refuses_what_no_kernel_takes(library):
    given = mixture.operands(mixture.CASES["odd sizes"], HALF, "cpu")
    fine, shares, *levels = map(mix_levels.packed_channels, given)
    with pytest.raises(BadInput, match="float32 or half alone"):
        mix_levels.launch(library, (given[0].float(), *given[1:]), torch.zeros_like(given[0]))
    with pytest.raises(BadInput, match="sizes that agree"):
        mix_levels.launch(library, given, torch.zeros(2, 11, 5, 7, 4).half())
    for channels, output in ((17, fine), (11, fine[:1]), (11, fine.float())):
        with pytest.raises(BadInput, match=r"mix_levels\.launch"):
            mix_levels.launch_packed(library, (fine, shares, *levels), torch.zeros_like(output), channels)
    between = fine.new_zeros(fine.numel() + 1)[1:].view(fine.shape)
    with pytest.raises(BadInput, match="addresses of whole pairs"):
        mix_levels.launch_packed(library, (fine, shares, *levels), between, 11)


def test_nothing_to_do_is_not_an_error(library):
    output = torch.zeros(0, 4, 4)
    rotate.launch(library, output, torch.zeros(1), torch.zeros(2), output)
    with pytest.raises(BadInput, match="of one type"):
        rotate.launch(library, output, torch.zeros(1), torch.zeros(2).half(), output)


MOST = 2**31 - 1


@pytest.mark.parametrize(
    ("function", "sizes"),
    [
        ("bev_pool_v2_fp32", bev_pool_v2.Sizes(1, 1, 8, MOST - 511, 0, 0)),
        ("bev_pool_v2_fp32", bev_pool_v2.Sizes(1, 1, MOST - 127, 1, 0, 0)),
        ("grid_sample_3d_fp32", grid_sample_3d.Sizes(1, 0, 1, 1, 1, 1, 2**15, 2**15 + 1)),
        ("grid_sample_3d_fp32", grid_sample_3d.Sizes(MOST // 3 + 1, 0, 1, 1, 1, 1, 1, 1)),
        ("grid_sample_3d_fp32", grid_sample_3d.Sizes(1, 0, 2**22, 2**21, 2**21, 1, 1, 1)),  # 2^64 cells
        ("rotate_fp32", rotate.Sizes(MOST - 7, 1, 1)),
        ("rotate_fp32", rotate.Sizes(0, 2**16, 2**15)),
        ("project_pillars_fp32", project_pillars.Sizes(0, 1, 1, 2**30, 1, 1)),
        ("mix_levels_fp32", mix_levels.Sizes(0, 1, 1, 2**21 + 1, 1, *[1] * 9)),
        ("mix_levels_fp32", mix_levels.Sizes(0, 1, 1, 1, 1, *[1] * 8, 2**21 + 1)),
        ("mix_levels_fp32", mix_levels.Sizes(0, MOST - 7, 1, 1, 1, *[1] * 9)),
        ("ms_deform_attn_fp32", ms_deform_attn.Sizes(0, 1, 2**16, 2**15, 1, 1, 1, 1)),
        ("ms_deform_attn_fp32", ms_deform_attn.Sizes(0, 1, 1, 8, 2**15, 1, 2**15, 1)),
        ("add_rms_norm_fp32", add_rms_norm.Sizes(0, MOST - 1023 + 8, 1e-5)),
        ("cached_attention_fp32", cached_attention.Sizes(0, 1, 1, 1, 64, 2**30, 0, 0)),
        ("cached_attention_fp32", cached_attention.Sizes(0, 1, 2**25, 2**25, 64, 8, 0, 0)),
        ("matvec_fp32", matvec.Sizes(0, 8, 2**30, 1)),
        ("matvec_int4_fp32", matvec_int4.Sizes(0, 8, 2**30, 1, 1)),
    ],
)
def test_sizes_at_which_an_index_leaves_its_32_bits_are_refused(library, function, sizes):
    kernel = plugins.function(library, f"onramp_{function}")

    def call():
        assert kernel(ctypes.byref(sizes), *[None] * 10) == 1

    assert processes.run_forked(call) == ""


@pytest.mark.parametrize(
    ("header", "name", "structure"),
    [
        ("ms_deform_attn", "OnrampAttention", ms_deform_attn.Sizes),
        ("rotate", "OnrampRotation", rotate.Sizes),
        ("bev_pool_v2", "OnrampPooling", bev_pool_v2.Sizes),
        ("grid_sample_3d", "OnrampVolumeSampling", grid_sample_3d.Sizes),
        ("project_pillars", "OnrampProjection", project_pillars.Sizes),
        ("inverse", "OnrampInverse", inverse.Sizes),
        ("cached_attention", "OnrampCachedAttention", cached_attention.Sizes),
        ("matvec", "OnrampMatVec", matvec.Sizes),
        ("matvec_int4", "OnrampMatVecInt4", matvec_int4.Sizes),
        ("add_rms_norm", "OnrampAddRmsNorm", add_rms_norm.Sizes),
        ("mix_levels", "OnrampLevels", mix_levels.Sizes),
    ],
)
def test_the_structures_are_those_of_the_headers(header, name, structure):
    text = (plugins.FOLDER / f"kernels/{header}.h").read_text()
    body = re.search(r"typedef struct \{(.*?)\} " + name, text, re.DOTALL)[1]
    fields = re.findall(r"(\w+)\s*[,;]", re.sub(r"//.*", "", body))
    assert fields == [field for field, _ in structure._fields_]
