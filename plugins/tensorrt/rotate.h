// Rotation of a map as TensorRT sees it.
#pragma once

#include "../kernels/rotate.h"
#include "operator.h"

namespace onramp {

// image, angle, center -> output
struct Rotation : Defaults {
  static constexpr char const* kName = "RotateTRT2";
  static constexpr char const* kSingleName = "RotateTRT";
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

  static nvinfer1::DimsExprs output(int, nvinfer1::DimsExprs const* inputs, nvinfer1::IExprBuilder&) {
    return inputs[0];
  }

  int enqueue(PluginTensorDesc const* tensors, void const* const* inputs, void* const* outputs, void*,
              cudaStream_t stream) const {
    OnrampRotation const size{extent(tensors[0], 0), extent(tensors[0], 1), extent(tensors[0], 2), values[0],
                              tensors[1].type == DataType::kHALF};
    auto const launch = tensors[0].type == DataType::kFLOAT ? onramp_rotate_fp32 : onramp_rotate_fp16;
    return launch(&size, inputs[0], inputs[1], inputs[2], outputs[0], stream);
  }
};

}  // namespace onramp
