"""A language model's plugins that take half precision alone, where their attribute `half` says so."""

import ctypes
import re
import subprocess

import numpy as np
import pytest

from helpers.engine.tensorrt.graph import TAKES_HALF
from helpers.ops import library as plugins
from tests.plugins.stand_in import INTERFACES, STAND_IN

PROBE = """
#include "kernels/host.h"
#include "tensorrt/add_rms_norm.h"
#include "tensorrt/cached_attention.h"
#include "tensorrt/matvec.h"
#include "tensorrt/matvec_int4.h"
#if NV_TENSORRT_MAJOR < 10
#include "tensorrt/plugin_v2.h"
#else
#include "tensorrt/plugin_v3.h"
#endif
#include <memory>
#include <vector>
using namespace onramp;
constexpr int kTensors = 8;
template <typename Builder> bool taken(Builder& plugin, int count, int const* types) {
#if NV_TENSORRT_MAJOR < 10
  nvinfer1::PluginTensorDesc tensors[kTensors]{};
  for (int i = 0; i < count; ++i) tensors[i].type = static_cast<DataType>(types[i]);
#else
  nvinfer1::DynamicPluginTensorDesc tensors[kTensors]{};
  for (int i = 0; i < count; ++i) tensors[i].desc.type = static_cast<DataType>(types[i]);
#endif
  for (int i = 0; i < count; ++i)
    if (!plugin.supportsFormatCombination(i, tensors, 0, 0)) return false;
  return true;
}
// Whether the tensors' types are taken: bit 0 by a plugin, bit 1 by its clone, bit 2 by what is read of its engine.
template <typename Operator> int takes(nvinfer1::PluginFieldCollection const& fields, int count, int const* types) {
#if NV_TENSORRT_MAJOR < 10
  CreatorV2<Operator> creator;
  auto* plugin = creator.createPlugin("", &fields);
  if (!plugin) return -1;
  std::vector<char> bytes(plugin->getSerializationSize());
  plugin->serialize(bytes.data());
  nvinfer1::IPluginV2DynamicExt* all[]{plugin, plugin->clone(),
                                       creator.deserializePlugin("", bytes.data(), bytes.size())};
#else
  CreatorV3<Operator> creator;
  std::unique_ptr<nvinfer1::IPluginV3> plugin(creator.createPlugin("", &fields, nvinfer1::TensorRTPhase::kBUILD));
  if (!plugin) return -1;
  auto* first = static_cast<PluginV3<Operator>*>(plugin.get());
  auto const* kept = first->getFieldsToSerialize();
  std::unique_ptr<nvinfer1::IPluginV3> clone(first->clone());
  std::unique_ptr<nvinfer1::IPluginV3> again(creator.createPlugin("", kept, nvinfer1::TensorRTPhase::kRUNTIME));
  PluginV3<Operator>* all[]{first, static_cast<PluginV3<Operator>*>(clone.get()),
                            static_cast<PluginV3<Operator>*>(again.get())};
#endif
  int found = 0;
  for (int i = 0; i < 3; ++i) found |= (all[i] && taken(*all[i], count, types)) << i;
#if NV_TENSORRT_MAJOR < 10
  for (auto* one : all)
    if (one) one->destroy();
#endif
  return found;
}
template <typename Operator> bool chosen(char const* name, int32_t const* values, int given, int count,
                                         int const* types, int& found) {
  if (std::strcmp(name, Operator::kName)) return false;
  nvinfer1::PluginField held[2];
  for (int i = 0; i < given; ++i) held[i] = {Operator::kAttributes[i], values + i, typeOf<Operator>(i), 1};
  found = takes<Operator>({given, held}, count, types);
  return true;
}
template <typename Operator, typename... Arguments> bool either(Arguments&&... given) {
  return chosen<Operator>(given...) || chosen<Single<Operator>>(given...);
}
extern "C" int takes_of(char const* name, int32_t const* values, int given, int count, int const* types) {
  int found = -2;
  either<MatVec>(name, values, given, count, types, found) ||
      either<MatVecInt4>(name, values, given, count, types, found) ||
      either<Normalization>(name, values, given, count, types, found) ||
      either<CachedAttention>(name, values, given, count, types, found);
  return found;
}
"""
FLOAT, HALF, INT32 = 0, 1, 3
ALL = 0b111  # the plugin, its clone, and what is read of its engine
EPSILON = int(np.float32(1e-5).view(np.int32))
# Values of the attributes before `half`, and the types of inputs and outputs that follow from the first input's.
RULES = {
    "MatVecTRT2": ((1,), lambda kind: [kind] * 3),
    "MatVecInt4TRT2": ((0,), lambda kind: [kind, INT32, kind, kind]),
    "AddRmsNormTRT2": ((EPSILON,), lambda kind: [kind] * 5),
    "CachedAttentionTRT2": ((), lambda kind: [kind, INT32, FLOAT, *[kind] * 5]),
}


@pytest.fixture(scope="module", params=[8, 10])
def takes(request, tmp_path_factory, host_library):
    """What the plugins of a version answer: of name, attributes and the types of the tensors."""
    folder = tmp_path_factory.mktemp("half")
    (folder / "NvInferRuntime.h").write_text(STAND_IN + INTERFACES)
    (folder / "cuda_runtime_api.h").write_text("")
    (folder / "probe.cpp").write_text(PROBE)
    command = ["g++", "-std=c++17", "-Wall", "-Werror", "-shared", "-fPIC", f"-DNV_TENSORRT_MAJOR={request.param}"]
    command += [f"-I{folder}", f"-I{plugins.FOLDER}", folder / "probe.cpp", host_library, "-o", folder / "probe.so"]
    subprocess.run(command, check=True)
    asked = ctypes.CDLL(str(folder / "probe.so")).takes_of

    def answer(name, values, types):
        given, kinds = (ctypes.c_int32 * 2)(*values), (ctypes.c_int * 8)(*types)
        return asked(name.encode(), given, len(values), len(types), kinds)

    return answer


def names():
    return [(name, *rule) for both, rule in RULES.items() for name in (both, both.removesuffix("2"))]


@pytest.mark.parametrize(("name", "values", "types"), names())
def test_half_precision_alone_is_taken_where_the_attribute_says_so(takes, name, values, types):
    assert takes(name, (*values, 1), types(HALF)) == ALL
    assert takes(name, (*values, 1), types(FLOAT)) == 0 == takes(name, (*values, 1), [FLOAT])


@pytest.mark.parametrize(("name", "values", "types"), names())
def test_both_precisions_are_taken_without_the_attribute(takes, name, values, types):
    for given in (values, (*values, 0)):
        assert takes(name, given, types(HALF)) == ALL == takes(name, given, types(FLOAT))
    if values:
        assert takes(name, (), types(HALF)) == -1, "the others are not optional"


def test_the_graph_gives_the_attribute_to_the_operators_that_read_it():
    adapters = [path.read_text() for path in (plugins.FOLDER / "tensorrt").glob("*.h")]
    reading = "".join(text for text in adapters if re.search(r'kAttributes\{.*"half"\}', text))
    assert set(re.findall(r'k(?:Single)?Name = "(\w+)"', reading)) == TAKES_HALF == {name for name, *_ in names()}
