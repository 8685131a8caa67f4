"""The adapters' rules for TensorRT, tried without it, over the host kernels."""

import ctypes
import importlib
import itertools
import re
import subprocess

import numpy as np
import pytest
import torch

from helpers.environment.patches import migration
from helpers.graph import PLUGINS
from helpers.ops import (
    add_rms_norm,
    bev_pool_v2,
    cached_attention,
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
from plugins import check
from plugins.check import add_rms_norm as norm_check
from plugins.check import cached_attention as attention_check
from plugins.check import matvec as matvec_check
from plugins.check import matvec_int4 as int4_check
from plugins.check import mix_levels as mixture
from plugins.check import project_pillars as projection
from plugins.check.ms_deform_attn import operands
from tests.helpers.ops.operands import pooling_inputs, volume_inputs
from tests.plugins.stand_in import STAND_IN

PROBE = """
#include "kernels/host.h"
#include "tensorrt/add_rms_norm.h"
#include "tensorrt/bev_pool_v2.h"
#include "tensorrt/cached_attention.h"
#include "tensorrt/grid_sample_3d.h"
#include "tensorrt/inverse.h"
#include "tensorrt/matvec.h"
#include "tensorrt/matvec_int4.h"
#include "tensorrt/mix_levels.h"
#include "tensorrt/ms_deform_attn.h"
#include "tensorrt/project_pillars.h"
#include "tensorrt/rotate.h"
#include <vector>
using namespace onramp;
constexpr int kTensors = 8, kAxes = 5;  // the outputs behind the inputs
constexpr int kFormat = 16;  // times the format, added to the type
void describe(int kind, nvinfer1::PluginTensorDesc& tensor) {
  tensor.type = static_cast<nvinfer1::DataType>(kind % kFormat);
  tensor.format = static_cast<nvinfer1::TensorFormat>(kind / kFormat);
}
template <typename Operator> int supports(int position, int const* types) {
  nvinfer1::PluginTensorDesc tensors[kTensors]{};
  for (int i = 0; i <= position; ++i) describe(types[i], tensors[i]);
  return accepts(Operator{}, position, tensors);
}
template <typename Operator> int made(int32_t const* values, int given, Operator& op) {
  nvinfer1::PluginField held[8];
  for (int i = 0; i < given; ++i) held[i] = {op.kAttributes[i], values + i, typeOf<Operator>(i), 1};
  nvinfer1::PluginFieldCollection fields{given, held};
  if (!read(&fields, op)) return 0;
  Fields<Operator> const saved(&op);
  return saved.collection()->nbFields == (int)op.values.size();
}
template <typename Operator>
int output_shape(int index, int32_t const* values, int count, int const* ranks, int const* extents, int* result) {
  nvinfer1::DimsExprs inputs[kTensors]{};
  for (int i = 0; i < kTensors; ++i) {
    inputs[i].nbDims = ranks[i];
    for (int axis = 0; axis < kAxes; ++axis) inputs[i].d[axis] = extents + kAxes * i + axis;
  }
  Operator op;
  if (!made(values, count, op)) return -1;
  nvinfer1::IExprBuilder builder;
  auto const shape = op.output(index, inputs, builder);
  for (int axis = 0; axis < shape.nbDims; ++axis) result[axis] = *shape.d[axis];
  return shape.nbDims;
}
template <typename Operator>
int enqueue(int32_t const* values, int count, int const* types, int const* ranks, int64_t const* shapes,
            void const* const* inputs, void* const* outputs) {
  nvinfer1::PluginTensorDesc tensors[kTensors]{};
  for (int i = 0; i < kTensors; ++i) {
    describe(types[i], tensors[i]);
    tensors[i].dims.nbDims = ranks[i];
    for (int axis = 0; axis < kAxes; ++axis) tensors[i].dims.d[axis] = shapes[kAxes * i + axis];
  }
  Operator op;
  if (!made(values, count, op)) return -1;
  std::vector<char> workspace(op.workspace(tensors[0].dims));
  return op.enqueue(tensors, inputs, outputs, workspace.data(), nullptr);
}
#define EXPORTED(name, ...)                                                                                          \\
  extern "C" int name##_supports(int position, int const* types) { return supports<__VA_ARGS__>(position, types); }  \\
  extern "C" char const* name##_name() { return __VA_ARGS__::kName; }                                                \\
  extern "C" int name##_output(int i, int32_t const* v, int n, int const* r, int const* e, int* result) {            \\
    return output_shape<__VA_ARGS__>(i, v, n, r, e, result);                                                         \\
  }                                                                                                                  \\
  extern "C" int name##_enqueue(int32_t const* v, int n, int const* t, int const* r, int64_t const* s,               \\
                                void const* const* inputs, void* const* outputs) {                                   \\
    return enqueue<__VA_ARGS__>(v, n, t, r, s, inputs, outputs);                                                     \\
  }
#define BOTH(name) EXPORTED(name, name) EXPORTED(name##Single, Single<name>)
BOTH(Attention)
BOTH(Rotation)
BOTH(Pooling)
BOTH(VolumeSampling)
BOTH(PillarProjection)
BOTH(Inversion)
BOTH(CachedAttention)
BOTH(MatVec)
BOTH(MatVecInt4)
BOTH(Normalization)
BOTH(LevelMixture)
"""
OPERATORS = re.findall(r"^BOTH\((\w+)\)$", PROBE, re.MULTILINE)
FLOAT, HALF, INT8, INT32, INT64 = 0, 1, 2, 3, 8
DHWC8 = 16 * 6  # added to a type
KINDS = {torch.float32: FLOAT, torch.float16: HALF, torch.int32: INT32, torch.int64: INT64}
FORMS = ("", "Single")  # of an operator: its names TRT2 and TRT


@pytest.fixture(scope="module")
def adapter(tmp_path_factory, host_library):
    """{major version: the operators of tensorrt/ over the host kernels}."""
    folder = tmp_path_factory.mktemp("adapter")
    (folder / "NvInferRuntime.h").write_text(STAND_IN)
    (folder / "cuda_runtime_api.h").write_text("")
    (folder / "probe.cpp").write_text(PROBE)
    return {major: _adapter(folder, host_library, major) for major in (8, 10)}


def _adapter(folder, host, major):
    includes = [f"-I{path}" for path in (folder, plugins.FOLDER)]
    command = ["g++", "-std=c++17", "-Wall", "-Werror", "-shared", "-fPIC", f"-DNV_TENSORRT_MAJOR={major}", *includes]
    path = folder / f"adapter{major}.so"
    subprocess.run([*command, folder / "probe.cpp", host, "-o", path], check=True)
    loaded = ctypes.CDLL(str(path))
    for name in OPERATORS:
        for form in ("", "Single"):
            loaded[f"{name}{form}_name"].restype = ctypes.c_char_p
    return loaded


def _accepted(adapter, operator, count):
    """All combinations of types and formats that the operator takes, position by position as TensorRT asks."""
    supports = adapter[f"{operator}_supports"]

    def grow(chosen):
        if len(chosen) == count:
            return [chosen]
        kinds = (kind + layout for kind in (FLOAT, HALF, INT8, INT32, INT64) for layout in (0, DHWC8))
        tried = [(*chosen, kind) for kind in kinds]
        taken = [kinds for kinds in tried if supports(len(chosen), (ctypes.c_int * 8)(*kinds))]
        return list(itertools.chain.from_iterable(map(grow, taken)))

    return set(grow(()))


def test_formats_are_all_float_or_half_with_float_coordinates(adapter):
    single, half = (FLOAT, INT32, FLOAT, FLOAT, FLOAT, FLOAT), (HALF, INT32, FLOAT, HALF, HALF, HALF)
    assert _accepted(adapter[8], "Attention", 6) == {single, half}
    all_half = (HALF, INT32, HALF, HALF, HALF, HALF)
    new = {(first, index, *rest) for first, _, *rest in (single, half, all_half) for index in (INT32, INT64)}
    assert _accepted(adapter[10], "Attention", 6) == new
    turned = {(FLOAT, FLOAT, FLOAT, FLOAT), (HALF, FLOAT, FLOAT, HALF)}
    assert _accepted(adapter[8], "Rotation", 4) == turned
    assert _accepted(adapter[10], "Rotation", 4) == turned | {(HALF, HALF, HALF, HALF)}

    sampled = {(FLOAT, FLOAT, FLOAT), (HALF, FLOAT, HALF)}
    assert _accepted(adapter[8], "VolumeSampling", 3) == sampled
    assert _accepted(adapter[10], "VolumeSampling", 3) == sampled | {(HALF, HALF, HALF)}
    pooled = {(real, real, *[index] * 5, real) for real in (FLOAT, HALF) for index in (INT32, INT64)}
    assert _accepted(adapter[10], "Pooling", 8) == pooled
    assert _accepted(adapter[8], "Pooling", 8) == {kinds for kinds in pooled if INT64 not in kinds}

    for adapters in adapter.values():
        assert _accepted(adapters, "PillarProjection", 4) == {(FLOAT, FLOAT, FLOAT, FLOAT)}
        assert _accepted(adapters, "Inversion", 2) == {(FLOAT, FLOAT)}
        assert _accepted(adapters, "MatVec", 3) == {(real,) * 3 for real in (FLOAT, HALF)}
        assert _accepted(adapters, "MatVecInt4", 4) == {(real, INT32, real, real) for real in (FLOAT, HALF)}
        assert _accepted(adapters, "Normalization", 5) == {(real,) * 5 for real in (FLOAT, HALF)}
    cached = {(real, index, FLOAT, *[real] * 5) for real in (FLOAT, HALF) for index in (INT32, INT64)}
    assert _accepted(adapter[10], "CachedAttention", 8) == cached
    assert _accepted(adapter[8], "CachedAttention", 8) == {kinds for kinds in cached if INT64 not in kinds}


def test_the_mixture_of_levels_takes_packed_channels_beside_shares_of_either_format(adapter):
    packed = HALF + DHWC8
    expected = {(FLOAT,) * 6, (HALF,) * 6, (packed,) * 6, (packed, HALF, *[packed] * 4)}
    for adapters in adapter.values():
        assert _accepted(adapters, "LevelMixture", 6) == expected


def _output(adapter, operator, *values, ranks=(), index=0):
    """Shape of an output for inputs whose axis k of input i is 100 + 5 i + k; None if the plugin is not made."""
    result = (ctypes.c_int * 8)()
    count = adapter[f"{operator}_output"](index, (ctypes.c_int32 * 3)(*values), len(values), (ctypes.c_int * 8)(*ranks),
                                          (ctypes.c_int * 40)(*range(100, 140)), result)  # fmt: skip
    return None if count < 0 else list(result)[:count]


def test_the_output_shape_follows_from_the_inputs_and_the_attributes(adapter):
    assert _output(adapter[10], "Attention", ranks=[4]) == [100, 111, 102, 103]  # [N, Q of the references, M, D]
    assert _output(adapter[10], "Rotation", 1, ranks=[3]) == [100, 101, 102]
    assert _output(adapter[8], "VolumeSampling", 0, 0, 1, ranks=[5, 5]) == [100, 101, 107, 108, 109]
    assert _output(adapter[8], "Pooling", 7, 9, ranks=[5, 5]) == [1, 8, 7, 9, 109]  # as FB-OCC publishes it
    assert _output(adapter[8], "Pooling", 7, 9, ranks=[4, 4]) == [1, 7, 9, 108]
    for rank in (4, 5):
        assert _output(adapter[10], "Pooling", 7, 9, 3, ranks=[rank, rank])[:4] == [1, 3, 7, 9]
    for adapters in adapter.values():
        assert _output(adapters, "PillarProjection", 64, 96, ranks=[4, 3]) == [100 * 101, 105, 1, 2 * 106]
        assert _output(adapters, "PillarProjection", 64, 96, ranks=[4, 3], index=1) == [100, 101, 105, 1]
        assert _output(adapters, "Inversion", ranks=[3]) == [100, 101, 102]
        for name in ("MatVec", "MatVecInt4"):
            assert _output(adapters, name, 0, ranks=[3, 2]) == [100, 101, 105]
            assert _output(adapters, name, 1, ranks=[2, 2]) == [100, 105 // 2]
        for index in (0, 1):
            assert _output(adapters, "Normalization", bits(1e-5), ranks=[2], index=index) == [100, 101]
        assert _output(adapters, "CachedAttention", ranks=[3, 1, 2, 4, 4])[2] == 102 - 2 * 116 * 118
        assert _output(adapters, "CachedAttention", ranks=[3, 1, 2, 4, 4], index=1) == [115, 116, 117, 118]
        assert _output(adapters, "CachedAttention", ranks=[3, 1, 2, 4, 4], index=2) == [120, 121, 122, 123]
        assert _output(adapters, "LevelMixture", ranks=[5] * 5) == [100, 101, 102, 103, 104]


@pytest.mark.parametrize(
    ("operator", "values"),
    [
        ("Rotation", ()),
        ("Pooling", (7,)),
        ("Pooling", (7, 0)),
        ("Pooling", (2**14, 2**14)),  # in eight levels
        ("VolumeSampling", (2,)),
        ("VolumeSampling", (0, 2)),
        ("PillarProjection", (64,)),
        ("PillarProjection", (64, 0)),
        ("MatVec", ()),
        ("MatVecInt4", ()),
        ("Normalization", ()),
        ("Normalization", (-1,)),  # bits that are not a number
    ],
)
def test_attributes_that_are_absent_or_not_implemented_make_no_plugin(adapter, operator, values):
    assert _output(adapter[10], operator, *values, ranks=[5, 5]) is None


@pytest.mark.parametrize("types", [(FLOAT, INT32, FLOAT), (HALF, INT64, FLOAT), (HALF, INT32, HALF)])
def test_the_adapter_hands_the_sizes_and_types_on(adapter, types):
    kinds = {number: kind for kind, number in KINDS.items()}
    value, index, reference = types
    case = (2, [(3, 4), (2, 2)], 3, 8, 5, 4, 2)
    first, shapes, *rest = operands(case, kinds[value], kinds[reference], "cpu")
    given = (first, torch.tensor(shapes, dtype=kinds[index]), *rest)
    arguments = [tensor.double() for tensor in (given[0], *given[2:])]
    expected = ms_deform_attn.reference(arguments[0], case[1], *arguments[1:])
    outputs = [_enqueue(adapter[10], f"Attention{form}", given, torch.empty(2, 5, 3, 8).to(first)) for form in FORMS]
    for output in outputs:
        torch.testing.assert_close(output.double(), expected, rtol=2e-3, atol=2e-3 if value == HALF else 1e-5)
    assert torch.equal(*outputs) == (value == FLOAT), "in half, on pairs and on single numbers"
    short = [*given[:3], given[3][..., :8].contiguous(), given[4]]
    assert _enqueue(adapter[10], "Attention", short, outputs[0]) == 1


@pytest.mark.parametrize("coordinates", [torch.float32, torch.float16])
def test_the_adapter_reads_the_interpolation_and_rotates(adapter, coordinates):
    given = torch.randn(2, 4, 6), torch.tensor([30.0], dtype=coordinates), torch.tensor([3, 2], dtype=coordinates)
    output = _enqueue(adapter[10], "Rotation", given, torch.empty(2, 4, 6), 1)
    assert torch.equal(output, rotate.reference(*given))


@pytest.mark.parametrize("index", [torch.int32, torch.int64])
@pytest.mark.parametrize("kind", [torch.float32, torch.float16])
def test_the_adapter_pools(adapter, kind, index):
    *given, grid = pooling_inputs(channels=16, grid=(8, 3, 4), kind=index)
    given[:2] = [tensor.to(kind) for tensor in given[:2]]
    expected = bev_pool_v2.reference(*given, grid).float()
    outputs = []
    for form, values in itertools.product(FORMS, ((3, 4), (3, 4, 8))):
        outputs.append(_enqueue(adapter[10], f"Pooling{form}", given, torch.empty(1, *grid, 16).to(kind), *values))
        torch.testing.assert_close(outputs[-1].float(), expected, rtol=2e-3, atol=4e-3 if kind == torch.half else 1e-5)
    assert torch.equal(outputs[0], outputs[2]) == (kind == torch.float32), "in half, on pairs and on single numbers"
    given[3] = given[3][:-1].contiguous()
    assert _enqueue(adapter[10], "Pooling", given, outputs[0], 3, 4) == 1


@pytest.mark.parametrize("modes", itertools.product((0, 1), repeat=3))
@pytest.mark.parametrize("kind", [torch.float32, torch.float16])
def test_the_adapter_samples_with_the_published_grid(adapter, kind, modes):
    volume, grid = volume_inputs(output=(2, 4, 7))
    volume, handed = volume.to(kind), (grid * 10).permute(0, 4, 1, 2, 3).contiguous()
    names = ("trilinear", "nearest")[modes[0]], ("zeros", "border")[modes[1]], bool(modes[2])
    expected = grid_sample_3d.reference(volume, grid, *names).float()
    for form in FORMS:
        output = _enqueue(adapter[10], f"VolumeSampling{form}", (volume, handed), expected.to(kind), *modes)
        torch.testing.assert_close(output.float(), expected, rtol=2e-3, atol=4e-3 if kind == torch.half else 1e-5)
    assert _enqueue(adapter[10], "VolumeSampling", (volume, grid), expected.to(kind), *modes) == 1, "another layout"


def test_the_adapter_projects_into_both_outputs(adapter):
    lidar2img, points, size = projection.operands(projection.CASES["two streams"], torch.float32, "cpu")
    outputs = [torch.empty(shape) for shape in project_pillars.shapes(lidar2img, points)]
    for form in FORMS:
        found = _enqueue(adapter[8], f"PillarProjection{form}", (lidar2img, points), outputs, *size)
        assert all(map(torch.equal, found, project_pillars.reference(lidar2img, points, size)))


def test_the_adapter_inverts_matrices_of_any_number_of_axes(adapter):
    for shape in ((3, 3), (2, 4, 3, 3)):
        matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
        for form in FORMS:
            found = _enqueue(adapter[8], f"Inversion{form}", (matrix,), torch.empty(shape))
            assert torch.equal(found, inverse.reference(matrix))
    assert _enqueue(adapter[8], "Inversion", (torch.eye(4)[None],), torch.empty(1, 4, 4)) == 1, "of another size"


@pytest.mark.parametrize("axes", [(2**32,), (2**16, 2**16)])
def test_what_no_int_numbers_is_refused_and_not_cut_to_its_lower_bits(adapter, axes):
    many = torch.eye(3).expand(*axes, 3, 3)
    assert _enqueue(adapter[10], "Inversion", (many,), many, keep=(0,)) == 1
    rows = torch.zeros(8).expand(*axes, 8)
    assert _enqueue(adapter[10], "MatVec", (rows, torch.zeros(1, 8)), rows[..., :1], 0, keep=(0,)) == 1


@pytest.mark.parametrize("kind", [torch.float32, torch.float16])
def test_the_adapters_of_a_language_model_hand_sizes_and_types_on(adapter, kind):
    limit = {"rtol": 2e-3, "atol": 4e-3 if kind == torch.half else 1e-5}
    x, weight = matvec_check.operands((2, 64, 12), kind, "cpu")
    for gated in (0, 1):
        found = _enqueue(adapter[8], "MatVec", (x[None], weight), x.new_empty(1, 2, 12 // (1 + gated)), gated)
        torch.testing.assert_close(found[0], matvec.reference(x, weight, bool(gated)), **limit)
    assert _enqueue(adapter[8], "MatVec", (x[:, :32].contiguous(), weight), found, 0) == 1
    x, words, scale = int4_check.operands((2, 64, 12, 32), kind, "cpu")
    for gated in (0, 1):
        found = _enqueue(adapter[8], "MatVecInt4", (x, words, scale), x.new_empty(2, 12 // (1 + gated)), gated)
        torch.testing.assert_close(found, matvec_int4.reference(x, words, scale, bool(gated)), **limit)
    assert _enqueue(adapter[8], "MatVecInt4", (x, words, scale[:6]), found, 0) == 1
    *tensors, epsilon = norm_check.operands((2, 3, 40), kind, "cpu")
    outputs = [torch.empty_like(tensors[0]) for _ in range(2)]
    found = _enqueue(adapter[8], "Normalization", tensors, outputs, bits(epsilon))
    for pair in zip(found, add_rms_norm.reference(*tensors, epsilon), strict=True):
        torch.testing.assert_close(*pair, **limit)
    assert _enqueue(adapter[8], "Normalization", [*tensors[:2], tensors[2][:8]], outputs, bits(epsilon)) == 1


@pytest.mark.parametrize("index", [torch.int32, torch.int64])
@pytest.mark.parametrize("kind", [torch.float32, torch.float16])
def test_the_adapter_attends_over_a_cache_in_its_place_or_another(adapter, kind, index):
    given = attention_check.operands(attention_check.CASES["a few tokens"], kind, "cpu", index=index)
    expected = cached_attention.reference(*given)
    found = _enqueue(adapter[10], "CachedAttention", given, [torch.empty_like(one) for one in expected])
    for pair in zip(found, expected, strict=True):
        torch.testing.assert_close(*pair, rtol=2e-3, atol=4e-3 if kind == torch.half else 1e-5)
    held = given._replace(past_key=given.past_key.clone(), past_value=given.past_value.clone())
    outputs = [torch.empty_like(expected[0]), held.past_key, held.past_value]
    again = _enqueue(adapter[10], "CachedAttention", held, outputs, keep=(1, 2))
    assert all(map(torch.equal, again, found))
    short = given._replace(rotation=given.rotation[:-1].contiguous())
    assert _enqueue(adapter[10], "CachedAttention", short, outputs) == 1


def bits(number):
    """Of a number in float32, as the integer that an attribute of a plugin holds."""
    return int(np.float32(number).view(np.int32))


@pytest.mark.parametrize("kind", [torch.float32, torch.float16])
def test_the_adapter_mixes_levels(adapter, kind):
    given = mixture.operands(mixture.CASES["odd sizes"], kind, "cpu")
    expected = mix_levels.reference(*given)
    for form in FORMS:
        output = _enqueue(adapter[8], f"LevelMixture{form}", given, torch.empty_like(expected))
        torch.testing.assert_close(output, expected, rtol=2e-3, atol=2e-3 if kind == torch.half else 1e-5)
    fine, shares, *levels = given
    for wrong in ((fine, shares[:, :3], *levels), (fine, shares, levels[0][:1], *levels[1:]), (fine, fine, *levels)):
        assert _enqueue(adapter[8], "LevelMixture", wrong, torch.empty_like(fine)) == 1


@pytest.mark.parametrize("shares_too", [False, True])
def test_the_adapter_mixes_packed_channels(adapter, shares_too):
    """The descriptions keep the shapes of the network whatever lies in memory."""
    given = mixture.operands(mixture.CASES["odd sizes"], torch.float16, "cpu")
    held = [mix_levels.packed_channels(tensor) for tensor in given]
    layouts = [DHWC8, DHWC8 * shares_too, *[DHWC8] * 4]
    output = torch.empty_like(held[0])
    memory = [
        *(packed if layout else tensor for layout, packed, tensor in zip(layouts, held, given, strict=False)),
        output,
    ]
    described = torch.empty_like(given[0])
    assert _enqueue(adapter[8], "LevelMixture", given, described, layouts=layouts, memory=memory) is described
    found = output[..., : given[0].shape[1]].permute(0, 4, 1, 2, 3)
    torch.testing.assert_close(found, mix_levels.reference(*given), rtol=2e-3, atol=2e-3)


def _enqueue(adapter, operator, given, outputs, *values, keep=(), layouts=(), memory=None):
    """The output that the plugin wrote, or the list of them, or what it answered instead.

    With `layouts`, the format of each tensor, what lies in memory is `memory` instead, the output last.
    """
    several = outputs if isinstance(outputs, list) else [outputs]
    for position, output in enumerate(several):
        output if position in keep else output.fill_(torch.nan)
    tensors = (*given, *several)
    shapes = [[*tensor.shape, *[0] * (5 - tensor.dim())] for tensor in tensors]
    types = [KINDS[tensor.dtype] for tensor in tensors]
    types[: len(layouts)] = map(sum, zip(types, layouts, strict=False))
    addresses = [tensor.data_ptr() for tensor in memory or tensors]
    code = adapter[f"{operator}_enqueue"](
        (ctypes.c_int32 * 3)(*values), len(values), (ctypes.c_int * 8)(*types),
        (ctypes.c_int * 8)(*(tensor.dim() for tensor in tensors)),
        (ctypes.c_int64 * 40)(*itertools.chain.from_iterable(shapes)),
        (ctypes.c_void_p * 8)(*addresses[: len(given)]),
        (ctypes.c_void_p * 3)(*addresses[len(given) :]),
    )  # fmt: skip
    return code or outputs


def test_the_adapters_compile_against_the_headers_of_this_machine():
    """Where TensorRT's headers are installed; tests/helpers/ops/test_library.py sees what is said elsewhere."""
    headers, cuda = migration.find_headers()
    if headers and cuda:
        made = ["make", "-C", plugins.FOLDER, "check", f"TENSORRT_INCLUDE={headers}", f"CUDA_HOME={cuda}/.."]
        assert subprocess.run(made).returncode == 0


def test_one_table_per_layer_lists_the_operators():
    """Each operator has its kernel, its adapter, its reference and its check; each layer's table names it."""
    makefile = (plugins.FOLDER / "Makefile").read_text()
    names = re.search(r"^OPERATORS := (.*)$", makefile, re.MULTILINE)[1].split()
    assert names == [one.name for one in check.CHECKS]
    register = (plugins.FOLDER / "tensorrt/register.cpp").read_text()
    structs = re.findall(r"\buse\((\w+)\)", register)
    assert len(structs) == len(names) >= 2
    for name, struct in zip(names, structs, strict=True):
        adapter = (plugins.FOLDER / f"tensorrt/{name}.h").read_text()
        assert re.search(rf"^struct {struct} : Defaults \{{", adapter, re.MULTILINE) and f'"{name}.h"' in register
        module = importlib.import_module(f"helpers.ops.{name}")
        for constant, op_type in (("kName", module.OP_TYPE), ("kSingleName", module.OP_TYPE.removesuffix("2"))):
            assert f'{constant} = "{op_type}"' in adapter and op_type in PLUGINS
        assert (plugins.FOLDER / f"kernels/{name}.cu").is_file() and callable(getattr(module, name))
