"""The kernels' own source, compiled for the host, against the definition; the adapter's rules; the loader."""

import ctypes
import itertools
import re
import subprocess

import numpy as np
import pytest
import torch

from helpers.environment.patches import migration
from helpers.errors import BadInput
from helpers.ops import library as plugins
from helpers.ops import operators as ops
from plugins import check


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    """Path of the host library."""
    return plugins.build("host", tmp_path_factory.mktemp("plugins"))


@pytest.fixture(scope="module")
def library(host):
    return plugins.load(host)


@pytest.mark.parametrize("form", check.FORMS)
@pytest.mark.parametrize("name", check.CASES)
def test_attention_equals_the_definition(library, name, form):
    cases = {name: check.CASES[name]}
    rows = [row for row in check.verify(library, "cpu", cases, []) if row[1].startswith(f"{form},")]
    assert len(rows) == 2 and all(error <= limit for *_, error, limit in rows), rows


@pytest.mark.parametrize("size", check.ROTATIONS)
def test_rotation_equals_the_definition(library, size):
    rows = list(check.verify(library, "cpu", {}, [size]))
    assert len(rows) == 24 and not [row for row in rows if not row[2] <= row[3]]


def test_nearest_rounds_ties_to_even_as_the_definition_does(library):
    """Half a turn about x = 4.25 of a row of eight: every source column is exactly n + 0.5."""
    image = torch.arange(1.0, 9.0).view(1, 1, 8)
    angle, center = torch.tensor([180.0]), torch.tensor([4.25, 0.5])
    output = torch.full_like(image, torch.nan)
    plugins.run_rotate(library, image, angle, center, output)
    assert output.flatten().tolist() == [0, 7, 7, 5, 5, 3, 3, 1]
    assert torch.equal(output, ops.rotate_reference(image, angle, center))


def test_attention_takes_numpy_and_ignores_coordinates_that_are_not_numbers(library):
    """Two points, the second nowhere: the first sample with half of the softmax."""
    value = np.array([4.0, 8.0], np.float32).reshape(1, 2, 1, 1)
    references = np.full((1, 3, 1, 2), 0.5, np.float32)
    offsets = np.zeros((1, 3, 1, 4), np.float32)
    offsets[0, :, 0, 2:] = [[np.nan, 0], [np.inf, 0], [-3e38, 3e38]]
    output = np.full((1, 3, 1, 1), np.nan, np.float32)
    weights = np.zeros((1, 3, 1, 2), np.float32)
    plugins.run_ms_deform_attn(library, value, np.array([[1, 2]], np.int64), references, offsets, weights, output)
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
    plugins.run_ms_deform_attn(library, value, shapes, references, offsets, weights, output)
    np.testing.assert_array_equal(output[0, 0, 0], halves)
    exact = (halves.astype(np.float32) + following.astype(np.float32)) / 2
    np.testing.assert_array_equal(output[0, 1, 0], exact.astype(np.float16))


def _operands():
    given = list(check.operands((1, [(2, 2)], 1, 4, 3, 4, 2), torch.float32, torch.float32, "cpu"))
    return [*given, torch.zeros(1, 3, 1, 4)]


@pytest.mark.parametrize(
    ("position", "replaced", "message"),
    [
        (0, lambda t: t.half(), "of one type"),
        (3, lambda t: t[..., :2].contiguous(), "sizes that agree"),
        (5, lambda t: t[:, :2], "sizes that agree"),
        (4, lambda t: t.transpose(1, 3).contiguous().transpose(1, 3), "not contiguous"),
        (2, lambda t: t.repeat(1, 1, 1, 3)[..., :6].contiguous(), "groups 3"),  # 4 points of 3 references
    ],
)
def test_operands_that_do_not_belong_together_are_refused(library, position, replaced, message):
    given = _operands()
    plugins.run_ms_deform_attn(library, *given)
    given[position] = replaced(given[position])
    with pytest.raises(BadInput, match=message):
        plugins.run_ms_deform_attn(library, *given)


def test_nothing_to_do_is_not_an_error(library):
    output = torch.zeros(0, 4, 4)
    plugins.run_rotate(library, output, torch.zeros(1), torch.zeros(2), output)
    with pytest.raises(BadInput, match="of one type"):
        plugins.run_rotate(library, output, torch.zeros(1), torch.zeros(2).half(), output)


@pytest.mark.parametrize(
    ("header", "name", "structure"),
    [("ms_deform_attn", "OnrampAttention", plugins._Attention), ("rotate", "OnrampRotation", plugins._Rotation)],
)
def test_the_structures_are_those_of_the_headers(header, name, structure):
    text = (plugins.FOLDER / f"kernels/{header}.h").read_text()
    body = re.search(r"typedef struct \{(.*?)\} " + name, text, re.DOTALL)[1]
    fields = re.findall(r"(\w+)\s*[,;]", re.sub(r"//.*", "", body))
    assert fields == [field for field, _ in structure._fields_]


# The names of TensorRT that the operators use, to try their rules without it (NvInferRuntime.h of 8.6 and 10).
STAND_IN = """
#pragma once
#include <cstdint>
using cudaStream_t = void*;
namespace nvinfer1 {
enum class DataType { kFLOAT, kHALF, kINT8, kINT32, kBOOL, kUINT8, kFP8, kBF16, kINT64 };
struct Dims { int32_t nbDims; int64_t d[8]; };
struct PluginTensorDesc { Dims dims; DataType type; };
struct DimsExprs { int32_t nbDims; int const* d[8]; };
enum class PluginFieldType { kINT32 = 5 };
struct PluginField { char const* name; void const* data; PluginFieldType type; int32_t length; };
struct PluginFieldCollection { int32_t nbFields; PluginField const* fields; };
}
"""
PROBE = """
#include "host.h"
#include "operators.h"
extern "C" int supports(int rotation, int position, int const* types) {
  nvinfer1::PluginTensorDesc tensors[6]{};
  for (int i = 0; i <= position; ++i) tensors[i].type = static_cast<nvinfer1::DataType>(types[i]);
  return rotation ? onramp::Rotation::supports(position, tensors) : onramp::Attention::supports(position, tensors);
}
extern "C" void output_shape(int rotation, int const* extents, int* result) {  // extents: 4 per input
  nvinfer1::DimsExprs inputs[5]{};
  for (int i = 0; i < 20; ++i) inputs[i / 4].d[i % 4] = extents + i;
  auto const shape = rotation ? onramp::Rotation::output(inputs) : onramp::Attention::output(inputs);
  for (int axis = 0; axis < 4; ++axis) result[axis] = *shape.d[axis];
}
extern "C" int enqueue(int rotation, int const* types, int64_t const* shapes, void const* const* inputs, void* output) {
  nvinfer1::PluginTensorDesc tensors[6]{};
  for (int i = 0; i < 6; ++i) {
    tensors[i].type = static_cast<nvinfer1::DataType>(types[i]);
    for (int axis = 0; axis < 4; ++axis) tensors[i].dims.d[axis] = shapes[4 * i + axis];
  }
  if (!rotation) return onramp::Attention{}.enqueue(tensors, inputs, output, nullptr);
  int32_t nearest = 1;
  nvinfer1::PluginField field{"interpolation", &nearest, nvinfer1::PluginFieldType::kINT32, 1};
  nvinfer1::PluginFieldCollection fields{1, &field}, none{0, nullptr};
  onramp::Rotation op;
  if (onramp::read(&none, op) || !onramp::read(&fields, op)) return -1;
  auto const* saved = onramp::Fields<onramp::Rotation>(&op).collection();
  return saved->nbFields != 1 ? -2 : op.enqueue(tensors, inputs, output, nullptr);
}
"""
FLOAT, HALF, INT8, INT32, INT64 = 0, 1, 2, 3, 8


@pytest.fixture(scope="module")
def adapter(tmp_path_factory, host):
    """{major version: the operators of tensorrt/operators.h over the host kernels}."""
    folder = tmp_path_factory.mktemp("adapter")
    (folder / "NvInferRuntime.h").write_text(STAND_IN)
    (folder / "cuda_runtime_api.h").write_text("")
    (folder / "probe.cpp").write_text(PROBE)
    return {major: _adapter(folder, host, major) for major in (8, 10)}


def _adapter(folder, host, major):
    includes = [f"-I{path}" for path in (folder, plugins.FOLDER / "tensorrt", plugins.FOLDER / "kernels")]
    command = ["g++", "-std=c++17", "-Wall", "-Werror", "-shared", "-fPIC", f"-DNV_TENSORRT_MAJOR={major}", *includes]
    path = folder / f"adapter{major}.so"
    subprocess.run([*command, folder / "probe.cpp", host, "-o", path], check=True)
    return ctypes.CDLL(str(path))


def _accepted(adapter, rotation, count):
    """All combinations of types that the operator takes, position by position as TensorRT asks."""

    def grow(chosen):
        if len(chosen) == count:
            return [chosen]
        tried = [(*chosen, kind) for kind in (FLOAT, HALF, INT8, INT32, INT64)]
        taken = [kinds for kinds in tried if adapter.supports(rotation, len(chosen), (ctypes.c_int * 6)(*kinds))]
        return list(itertools.chain.from_iterable(map(grow, taken)))

    return set(grow(()))


def test_formats_are_all_float_or_half_with_float_coordinates(adapter):
    single, half = (FLOAT, INT32, FLOAT, FLOAT, FLOAT, FLOAT), (HALF, INT32, FLOAT, HALF, HALF, HALF)
    assert _accepted(adapter[8], 0, 6) == {single, half}
    all_half = (HALF, INT32, HALF, HALF, HALF, HALF)
    new = {(first, index, *rest) for first, _, *rest in (single, half, all_half) for index in (INT32, INT64)}
    assert _accepted(adapter[10], 0, 6) == new
    turned = {(FLOAT, FLOAT, FLOAT, FLOAT), (HALF, FLOAT, FLOAT, HALF)}
    assert _accepted(adapter[8], 1, 4) == turned
    assert _accepted(adapter[10], 1, 4) == turned | {(HALF, HALF, HALF, HALF)}


def test_the_output_has_one_row_per_query(adapter):
    extents = (ctypes.c_int * 20)(*range(100, 120))
    result = (ctypes.c_int * 4)()
    adapter[10].output_shape(0, extents, result)
    assert list(result) == [100, 109, 102, 103]  # [N, Q of the references, M, D]
    adapter[10].output_shape(1, extents, result)
    assert list(result)[:3] == [100, 101, 102]


@pytest.mark.parametrize("types", [(FLOAT, INT32, FLOAT), (HALF, INT64, FLOAT), (HALF, INT32, HALF)])
def test_the_adapter_hands_the_sizes_and_types_on(adapter, types):
    kinds = {FLOAT: torch.float32, HALF: torch.float16, INT32: torch.int32, INT64: torch.int64}
    value, index, reference = types
    case = (2, [(3, 4), (2, 2)], 3, 8, 5, 4, 2)
    given = check.operands(case, kinds[value], kinds[reference], "cpu", shape_type=kinds[index])
    output = torch.full((2, 5, 3, 8), torch.nan).to(kinds[value])
    asked = (value, index, reference, value, value, value)
    assert _enqueue(adapter[10], 0, asked, given, output) == 0
    arguments = [tensor.double() for tensor in (given[0], *given[2:])]
    expected = ops.ms_deform_attn_reference(arguments[0], case[1], *arguments[1:])
    torch.testing.assert_close(output.double(), expected, rtol=2e-3, atol=2e-3 if value == HALF else 1e-5)
    short = [*given[:3], given[3][..., :8].contiguous(), given[4]]
    assert _enqueue(adapter[10], 0, asked, short, output) == 1


@pytest.mark.parametrize("coordinates", [FLOAT, HALF])
def test_the_adapter_reads_the_interpolation_and_rotates(adapter, coordinates):
    kind = torch.float16 if coordinates == HALF else torch.float32
    image, angle, center = torch.randn(2, 4, 6), torch.tensor([30.0], dtype=kind), torch.tensor([3, 2], dtype=kind)
    output = torch.full_like(image, torch.nan)
    assert (
        _enqueue(adapter[10], 1, (FLOAT, coordinates, coordinates, *[FLOAT] * 3), (image, angle, center), output) == 0
    )
    assert torch.equal(output, ops.rotate_reference(image, angle, center))


def _enqueue(adapter, rotation, types, given, output):
    shapes = [[*tensor.shape, *[0] * (4 - tensor.dim())] for tensor in (*given, output)]
    shapes = list(itertools.chain.from_iterable(shapes))
    addresses = (ctypes.c_void_p * 6)(*(tensor.data_ptr() for tensor in given))
    return adapter.enqueue(rotation, (ctypes.c_int * 6)(*types), (ctypes.c_int64 * 24)(*shapes), addresses,
                           ctypes.c_void_p(output.data_ptr()))  # fmt: skip


def test_the_adapter_compiles_against_the_headers_of_this_machine(tmp_path):
    """Where TensorRT's headers are installed; everywhere else the message that says what is missing."""
    headers, cuda = migration.find_headers()
    if headers and cuda:
        made = ["make", "-C", plugins.FOLDER, "check", f"TENSORRT_INCLUDE={headers}", f"CUDA_HOME={cuda}/.."]
        assert subprocess.run(made).returncode == 0
    with pytest.raises(BadInput, match="no TensorRT headers in"):
        plugins.build(out=tmp_path, TENSORRT_INCLUDE=tmp_path)
    with pytest.raises(BadInput, match="one of plugins, kernels, host"):
        plugins.build("everything")


def _compiled(folder, name, source, *options):
    path = folder / name
    command = ["g++", "-shared", "-fPIC", "-x", "c++", "-", "-o", path, *options]
    subprocess.run(command, input=source, text=True, check=True)
    return path


def test_what_cannot_be_loaded_is_refused_with_the_reason(tmp_path, host):
    with pytest.raises(BadInput, match="No such file"):
        plugins.load(tmp_path / "absent.so")
    (tmp_path / "text.so").write_text("not a library")
    with pytest.raises(BadInput, match=r"text\.so"):
        plugins.load(tmp_path / "text.so")
    with pytest.raises(BadInput, match="no onramp_plugins_info"):
        plugins.load(_compiled(tmp_path, "other.so", "int other;"))
    needed = _compiled(tmp_path, "libabsent.so.9", "int needed;", "-Wl,-soname,libabsent.so.9")
    needs = _compiled(tmp_path, "needs.so", "", "-Wl,--no-as-needed", "-x", "none", str(needed))
    needed.unlink()
    with pytest.raises(BadInput, match=r"needs libabsent\.so\.9"):
        plugins.load(needs)
    source = """extern "C" const char* onramp_plugins_info() { return "onramp_plugins abi=%s tensorrt=10.13"; }
                extern "C" const char* onramp_error(int) { return ""; }"""
    with pytest.raises(BadInput, match="interface 0"):
        plugins.load(_compiled(tmp_path, "old.so", source % 0))
    ten = _compiled(tmp_path, "ten.so", source % plugins.ABI)
    assert plugins.info(plugins.load(ten, tensorrt="10.3.0"))["tensorrt"] == "10.13"
    with pytest.raises(BadInput, match=r"built for TensorRT 10\.13"):
        plugins.load(ten, tensorrt="8.6.0")
    assert plugins.info(plugins.load(host))["arch"] == "host"


def test_the_library_is_found_where_it_is_built(tmp_path, monkeypatch):
    monkeypatch.setattr(plugins, "FOLDER", tmp_path)
    assert plugins.find() is None
    (tmp_path / "build").mkdir()
    (tmp_path / "build/libonramp_plugins.so").touch()
    assert plugins.find() == tmp_path / "build/libonramp_plugins.so"
