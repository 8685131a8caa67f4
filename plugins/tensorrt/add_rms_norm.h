// Sum of two tensors and its root-mean-square norm as TensorRT sees it.
#pragma once

#include "../kernels/add_rms_norm.h"
#include "operator.h"

namespace onramp {

// x [...,width], residual, weight [width] -> output, total
struct Normalization : Defaults {
  static constexpr char const* kName = "AddRmsNormTRT2";
  static constexpr char const* kSingleName = "AddRmsNormTRT";
  static constexpr int kInputs = 3, kOutputs = 2;
  static constexpr size_t kReal = 1;
  static constexpr std::array<char const*, 2> kAttributes{"epsilon", "half"};
  static constexpr size_t kOptional = 1;
  std::array<int32_t, 2> values{};

  bool valid() const { return epsilon() >= 0.0f; }
  float epsilon() const {
    float number;
    std::memcpy(&number, &values[0], sizeof number);
    return number;
  }

  bool supports(int position, PluginTensorDesc const* tensors) const {
    return position == 0 ? isReal(tensors[0].type, values[1]) : tensors[position].type == tensors[0].type;
  }

  static nvinfer1::DimsExprs output(int, nvinfer1::DimsExprs const* inputs, nvinfer1::IExprBuilder&) {
    return inputs[0];
  }

  int enqueue(PluginTensorDesc const* tensors, void const* const* inputs, void* const* outputs, void*,
              cudaStream_t stream) const {
    int const width = extent(tensors[0], tensors[0].dims.nbDims - 1);
    if (extent(tensors[2], 0) != width || vectors(tensors[0]) != vectors(tensors[1])) return cudaErrorInvalidValue;
    OnrampAddRmsNorm const size{vectors(tensors[0]), width, epsilon()};
    auto const launch = tensors[0].type == DataType::kFLOAT ? onramp_add_rms_norm_fp32 : onramp_add_rms_norm_fp16;
    return launch(&size, inputs[0], inputs[1], inputs[2], outputs[0], outputs[1], stream);
  }
};

}  // namespace onramp
