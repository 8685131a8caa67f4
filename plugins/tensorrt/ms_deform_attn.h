// Multi-scale deformable attention as TensorRT sees it.
#pragma once

#include "../kernels/ms_deform_attn.h"
#include "operator.h"

namespace onramp {

// value, value_spatial_shapes, reference_points, sampling_offsets, attention_weights -> output
struct Attention : Defaults {
  static constexpr char const* kName = "MultiScaleDeformableAttnTRT2";
  static constexpr char const* kSingleName = "MultiScaleDeformableAttnTRT";
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

  static nvinfer1::DimsExprs output(int, nvinfer1::DimsExprs const* inputs, nvinfer1::IExprBuilder&) {
    nvinfer1::DimsExprs shape{inputs[0]};
    shape.d[1] = inputs[2].d[1];
    return shape;
  }

  int enqueue(PluginTensorDesc const* tensors, void const* const* inputs, void* const* outputs, void*,
              cudaStream_t stream) const {
    PluginTensorDesc const &value = tensors[0], &references = tensors[2], &offsets = tensors[3], &weights = tensors[4];
    OnrampAttention size{extent(value, 0), extent(value, 1), extent(value, 2), extent(value, 3), extent(tensors[1], 0),
                         extent(weights, 1), 0, extent(references, 3) / 2, tensors[1].type != DataType::kINT32};
    int const entries = extent(weights, 3);
    if (size.levels < 1 || entries % size.levels || extent(offsets, 3) != 2 * entries ||
        extent(weights, 2) != size.heads || extent(references, 1) != size.queries ||
        extent(references, 0) != size.batch || extent(weights, 0) != size.batch)
      return cudaErrorInvalidValue;
    size.points = entries / size.levels;
    bool const wide = references.type == DataType::kFLOAT;
    auto const launch = value.type == DataType::kFLOAT ? onramp_ms_deform_attn_fp32
                        : packed ? (wide ? onramp_ms_deform_attn_fp16x2_ref32 : onramp_ms_deform_attn_fp16x2)
                                 : (wide ? onramp_ms_deform_attn_fp16_ref32 : onramp_ms_deform_attn_fp16);
    return launch(&size, inputs[0], inputs[1], inputs[2], inputs[3], inputs[4], outputs[0], stream);
  }
};

}  // namespace onramp
