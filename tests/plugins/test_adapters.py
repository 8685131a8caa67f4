"""The adapters' rules for TensorRT, tried without it, over the host kernels."""

import ctypes
import importlib
import itertools
import re
import subprocess

import pytest
import torch

from helpers.environment.patches import migration
from helpers.graph import PLUGINS
from helpers.ops import library as plugins
from helpers.ops import ms_deform_attn, rotate
from plugins import check
from plugins.check.ms_deform_attn import operands

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
#include "kernels/host.h"
#include "tensorrt/ms_deform_attn.h"
#include "tensorrt/rotate.h"
using namespace onramp;
template <typename Operator> int supports(int position, int const* types) {
  nvinfer1::PluginTensorDesc tensors[6]{};
  for (int i = 0; i <= position; ++i) tensors[i].type = static_cast<nvinfer1::DataType>(types[i]);
  return Operator::supports(position, tensors);
}
template <typename Operator> void output_shape(int const* extents, int* result) {  // extents: 4 per input
  nvinfer1::DimsExprs inputs[5]{};
  for (int i = 0; i < 20; ++i) inputs[i / 4].d[i % 4] = extents + i;
  auto const shape = Operator::output(inputs);
  for (int axis = 0; axis < 4; ++axis) result[axis] = *shape.d[axis];
}
template <typename Operator>
int enqueue(int32_t const* values, int const* types, int64_t const* shapes, void const* const* inputs, void* output) {
  nvinfer1::PluginTensorDesc tensors[6]{};
  for (int i = 0; i < 6; ++i) {
    tensors[i].type = static_cast<nvinfer1::DataType>(types[i]);
    for (int axis = 0; axis < 4; ++axis) tensors[i].dims.d[axis] = shapes[4 * i + axis];
  }
  Operator op;
  constexpr int count = sizeof op.kAttributes / sizeof(char const*);
  nvinfer1::PluginField given[count + 1];
  for (int i = 0; i < (int)op.kAttributes.size(); ++i)
    given[i] = {op.kAttributes[i], values + i, nvinfer1::PluginFieldType::kINT32, 1};
  nvinfer1::PluginFieldCollection fields{(int)op.kAttributes.size(), given}, none{0, nullptr};
  if (read(&none, op) != op.kAttributes.empty() || !read(&fields, op)) return -1;
  Fields<Operator> const saved(&op);
  return saved.collection()->nbFields != fields.nbFields ? -2 : op.enqueue(tensors, inputs, output, nullptr);
}
#define EXPORTED(Operator)                                                                              \\
  extern "C" int Operator##_supports(int position, int const* types) { return supports<Operator>(position, types); } \\
  extern "C" void Operator##_output(int const* extents, int* result) { output_shape<Operator>(extents, result); }    \\
  extern "C" int Operator##_enqueue(int32_t const* values, int const* types, int64_t const* shapes,                  \\
                                    void const* const* inputs, void* output) {                          \\
    return enqueue<Operator>(values, types, shapes, inputs, output);                                    \\
  }
EXPORTED(Attention)
EXPORTED(Rotation)
"""
FLOAT, HALF, INT8, INT32, INT64 = 0, 1, 2, 3, 8


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
    return ctypes.CDLL(str(path))


def _accepted(adapter, operator, count):
    """All combinations of types that the operator takes, position by position as TensorRT asks."""
    supports = adapter[f"{operator}_supports"]

    def grow(chosen):
        if len(chosen) == count:
            return [chosen]
        tried = [(*chosen, kind) for kind in (FLOAT, HALF, INT8, INT32, INT64)]
        taken = [kinds for kinds in tried if supports(len(chosen), (ctypes.c_int * 6)(*kinds))]
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


def test_the_output_has_one_row_per_query(adapter):
    extents = (ctypes.c_int * 20)(*range(100, 120))
    result = (ctypes.c_int * 4)()
    adapter[10].Attention_output(extents, result)
    assert list(result) == [100, 109, 102, 103]  # [N, Q of the references, M, D]
    adapter[10].Rotation_output(extents, result)
    assert list(result)[:3] == [100, 101, 102]


@pytest.mark.parametrize("types", [(FLOAT, INT32, FLOAT), (HALF, INT64, FLOAT), (HALF, INT32, HALF)])
def test_the_adapter_hands_the_sizes_and_types_on(adapter, types):
    kinds = {FLOAT: torch.float32, HALF: torch.float16, INT32: torch.int32, INT64: torch.int64}
    value, index, reference = types
    case = (2, [(3, 4), (2, 2)], 3, 8, 5, 4, 2)
    first, shapes, *rest = operands(case, kinds[value], kinds[reference], "cpu")
    given = (first, torch.tensor(shapes, dtype=kinds[index]), *rest)
    output = torch.full((2, 5, 3, 8), torch.nan).to(kinds[value])
    asked = (value, index, reference, value, value, value)
    assert _enqueue(adapter[10].Attention_enqueue, asked, given, output) == 0
    arguments = [tensor.double() for tensor in (given[0], *given[2:])]
    expected = ms_deform_attn.reference(arguments[0], case[1], *arguments[1:])
    torch.testing.assert_close(output.double(), expected, rtol=2e-3, atol=2e-3 if value == HALF else 1e-5)
    short = [*given[:3], given[3][..., :8].contiguous(), given[4]]
    assert _enqueue(adapter[10].Attention_enqueue, asked, short, output) == 1


@pytest.mark.parametrize("coordinates", [FLOAT, HALF])
def test_the_adapter_reads_the_interpolation_and_rotates(adapter, coordinates):
    kind = torch.float16 if coordinates == HALF else torch.float32
    image, angle, center = torch.randn(2, 4, 6), torch.tensor([30.0], dtype=kind), torch.tensor([3, 2], dtype=kind)
    output = torch.full_like(image, torch.nan)
    asked, enqueue = (FLOAT, coordinates, coordinates, *[FLOAT] * 3), adapter[10].Rotation_enqueue
    assert _enqueue(enqueue, asked, (image, angle, center), output, values=[1]) == 0
    assert torch.equal(output, rotate.reference(image, angle, center))


def _enqueue(enqueue, types, given, output, values=()):
    shapes = [[*tensor.shape, *[0] * (4 - tensor.dim())] for tensor in (*given, output)]
    shapes = list(itertools.chain.from_iterable(shapes))
    addresses = (ctypes.c_void_p * 6)(*(tensor.data_ptr() for tensor in given))
    return enqueue((ctypes.c_int32 * 1)(*values), (ctypes.c_int * 6)(*types), (ctypes.c_int64 * 24)(*shapes), addresses,
                   ctypes.c_void_p(output.data_ptr()))  # fmt: skip


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
        assert re.search(rf"^struct {struct} \{{", adapter, re.MULTILINE) and f'"{name}.h"' in register
        module = importlib.import_module(f"helpers.ops.{name}")
        assert f'kName = "{module.OP_TYPE}"' in adapter and module.OP_TYPE in PLUGINS
        assert (plugins.FOLDER / f"kernels/{name}.cu").is_file() and callable(getattr(module, name))
