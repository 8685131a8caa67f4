// Projection of pillars into cameras as TensorRT sees it: float32 alone, so that no builder takes it for half precision.
#pragma once

#include "../kernels/project_pillars.h"
#include "operator.h"

namespace onramp {

// lidar2img [B,N,4,4], points [Q,P,3] -> references [B N,Q,1,2P], mask [B,N,Q,1]
struct PillarProjection : Defaults {
  static constexpr char const* kName = "ProjectPillarsTRT2";
  static constexpr char const* kSingleName = "ProjectPillarsTRT";
  static constexpr int kInputs = 2;
  static constexpr int kOutputs = 2;
  static constexpr std::array<char const*, 2> kAttributes{"image_height", "image_width"};
  std::array<int32_t, 2> values{};

  bool valid() const { return values[0] > 0 && values[1] > 0; }

  static bool supports(int position, PluginTensorDesc const* tensors) {
    return tensors[position].type == DataType::kFLOAT;
  }

  static nvinfer1::DimsExprs output(int index, nvinfer1::DimsExprs const* inputs, nvinfer1::IExprBuilder& builder) {
    auto const *batch = inputs[0].d[0], *cameras = inputs[0].d[1], *pillars = inputs[1].d[0], *one = builder.constant(1);
    if (index == 1) return {4, {batch, cameras, pillars, one}};
    auto const times = nvinfer1::DimensionOperation::kPROD;
    return {4, {builder.operation(times, *batch, *cameras), pillars, one,
                builder.operation(times, *builder.constant(2), *inputs[1].d[1])}};
  }

  int enqueue(PluginTensorDesc const* tensors, void const* const* inputs, void* const* outputs, void*,
              cudaStream_t stream) const {
    OnrampProjection const size{extent(tensors[0], 0), extent(tensors[0], 1), extent(tensors[1], 0),
                                extent(tensors[1], 1), values[0], values[1]};
    return onramp_project_pillars_fp32(&size, inputs[0], inputs[1], outputs[0], outputs[1], stream);
  }
};

}  // namespace onramp
