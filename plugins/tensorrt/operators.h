// The operators as TensorRT sees them, whatever its version: name, attributes, formats, output shape and launch.
//
// Formats are chosen so that no reformat is needed inside a network of one precision: all linear, all in the type of
// the first input, coordinates in float32. Weakly typed TensorRT 8.6 gets exactly these combinations, so it never picks
// coordinates in half; from 10 on the network's own types decide, and half coordinates are accepted too.
#pragma once

#include <NvInferRuntime.h>
#include <cuda_runtime_api.h>

#include <array>
#include <cstdint>
#include <cstring>

#include "../kernels/ms_deform_attn.h"
#include "../kernels/rotate.h"

namespace onramp {

using nvinfer1::DataType;
using nvinfer1::PluginTensorDesc;

constexpr bool kHalfCoordinates = NV_TENSORRT_MAJOR >= 10;

inline bool isReal(DataType type) { return type == DataType::kFLOAT || type == DataType::kHALF; }

inline bool isCoordinate(DataType type, DataType first) {
  return type == DataType::kFLOAT || (kHalfCoordinates && type == DataType::kHALF && first == DataType::kHALF);
}

inline bool isIndex(DataType type) {
#if NV_TENSORRT_MAJOR >= 10
  if (type == DataType::kINT64) return true;
#endif
  return type == DataType::kINT32;
}

inline int extent(PluginTensorDesc const& tensor, int axis) { return static_cast<int>(tensor.dims.d[axis]); }

// value, value_spatial_shapes, reference_points, sampling_offsets, attention_weights -> output
struct Attention {
  static constexpr char const* kName = "MultiScaleDeformableAttnTRT2";
  static constexpr int kInputs = 5;
  static constexpr std::array<char const*, 0> kAttributes{};
  std::array<int32_t, 0> values{};

  static bool supports(int position, PluginTensorDesc const* tensors) {
    DataType const type = tensors[position].type, first = tensors[0].type;
    if (position == 0) return isReal(type);
    if (position == 1) return isIndex(type);
    if (position == 2) return isCoordinate(type, first);
    return type == first;
  }

  static nvinfer1::DimsExprs output(nvinfer1::DimsExprs const* inputs) {
    nvinfer1::DimsExprs shape{inputs[0]};
    shape.d[1] = inputs[2].d[1];
    return shape;
  }

  int enqueue(PluginTensorDesc const* tensors, void const* const* inputs, void* output, cudaStream_t stream) const {
    PluginTensorDesc const &value = tensors[0], &references = tensors[2], &offsets = tensors[3], &weights = tensors[4];
    OnrampAttention size{extent(value, 0), extent(value, 1), extent(value, 2), extent(value, 3), extent(tensors[1], 0),
                         extent(weights, 1), 0, extent(references, 3) / 2, tensors[1].type != DataType::kINT32};
    int const entries = extent(weights, 3);
    if (size.levels < 1 || entries % size.levels || extent(offsets, 3) != 2 * entries ||
        extent(weights, 2) != size.heads || extent(references, 1) != size.queries ||
        extent(references, 0) != size.batch || extent(weights, 0) != size.batch)
      return cudaErrorInvalidValue;
    size.points = entries / size.levels;
    auto const launch = value.type == DataType::kFLOAT        ? onramp_ms_deform_attn_fp32
                        : references.type == DataType::kFLOAT ? onramp_ms_deform_attn_fp16_ref32
                                                              : onramp_ms_deform_attn_fp16;
    return launch(&size, inputs[0], inputs[1], inputs[2], inputs[3], inputs[4], output, stream);
  }
};

// image, angle, center -> output
struct Rotation {
  static constexpr char const* kName = "RotateTRT2";
  static constexpr int kInputs = 3;
  static constexpr std::array<char const*, 1> kAttributes{"interpolation"};
  std::array<int32_t, 1> values{};  // 0 bilinear, 1 nearest

  static bool supports(int position, PluginTensorDesc const* tensors) {
    DataType const type = tensors[position].type, first = tensors[0].type;
    if (position == 0) return isReal(type);
    if (position == 1) return isCoordinate(type, first);
    if (position == 2) return type == tensors[1].type;
    return type == first;
  }

  static nvinfer1::DimsExprs output(nvinfer1::DimsExprs const* inputs) { return inputs[0]; }

  int enqueue(PluginTensorDesc const* tensors, void const* const* inputs, void* output, cudaStream_t stream) const {
    OnrampRotation const size{extent(tensors[0], 0), extent(tensors[0], 1), extent(tensors[0], 2), values[0],
                              tensors[1].type == DataType::kHALF};
    auto const launch = tensors[0].type == DataType::kFLOAT ? onramp_rotate_fp32 : onramp_rotate_fp16;
    return launch(&size, inputs[0], inputs[1], inputs[2], output, stream);
  }
};

// Reads the attributes that `fields` holds; false if one is absent or not a 32-bit integer.
template <typename Operator>
bool read(nvinfer1::PluginFieldCollection const* fields, Operator& into) {
  for (size_t i = 0; i < into.values.size(); ++i) {
    bool found = false;
    for (int j = 0; fields && j < fields->nbFields; ++j) {
      nvinfer1::PluginField const& field = fields->fields[j];
      if (std::strcmp(field.name, Operator::kAttributes[i]) || field.type != nvinfer1::PluginFieldType::kINT32 ||
          field.length != 1)
        continue;
      into.values[i] = *static_cast<int32_t const*>(field.data);
      found = true;
    }
    if (!found) return false;
  }
  return true;
}

// The attributes as plugin fields that point into `from` (null: names and types only). Keep the object while it is used.
template <typename Operator>
class Fields {
 public:
  explicit Fields(Operator const* from) {
    for (size_t i = 0; i < mFields.size(); ++i)
      mFields[i] = {Operator::kAttributes[i], from ? &from->values[i] : nullptr, nvinfer1::PluginFieldType::kINT32, 1};
    mCollection = {static_cast<int32_t>(mFields.size()), mFields.data()};
  }
  Fields(Fields const&) = delete;
  nvinfer1::PluginFieldCollection const* collection() const { return &mCollection; }

 private:
  std::array<nvinfer1::PluginField, std::tuple_size<decltype(Operator::values)>::value> mFields{};
  nvinfer1::PluginFieldCollection mCollection{};
};

}  // namespace onramp
