// Inverse of 3 x 3 matrices as TensorRT sees it: float32 alone, as the published plugin has it.
#pragma once

#include "../kernels/inverse.h"
#include "operator.h"

namespace onramp {

// matrix [...,3,3] -> output [...,3,3]
struct Inversion : Defaults {
  static constexpr char const* kName = "InverseTRT2";
  static constexpr char const* kSingleName = "InverseTRT";
  static constexpr int kInputs = 1;
  static constexpr std::array<char const*, 0> kAttributes{};
  std::array<int32_t, 0> values{};

  static bool supports(int position, PluginTensorDesc const* tensors) {
    return tensors[position].type == DataType::kFLOAT;
  }

  static nvinfer1::DimsExprs output(int, nvinfer1::DimsExprs const* inputs, nvinfer1::IExprBuilder&) {
    return inputs[0];
  }

  int enqueue(PluginTensorDesc const* tensors, void const* const* inputs, void* const* outputs, void*,
              cudaStream_t stream) const {
    int const rank = tensors[0].dims.nbDims;
    if (rank < 2 || extent(tensors[0], rank - 1) != 3 || extent(tensors[0], rank - 2) != 3) return 1;
    OnrampInverse const size{extents(tensors[0], 0, rank - 2)};
    return onramp_inverse_fp32(&size, inputs[0], outputs[0], stream);
  }
};

}  // namespace onramp
