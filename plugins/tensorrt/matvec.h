// Product of a matrix with a few vectors as TensorRT sees it.
#pragma once

#include "../kernels/matvec.h"
#include "operator.h"

namespace onramp {

// x [...,inputs], weight [rows,inputs] -> output [...,outputs]
struct MatVec : Defaults {
  static constexpr char const* kName = "MatVecTRT2";
  static constexpr char const* kSingleName = "MatVecTRT";
  static constexpr int kInputs = 2;
  static constexpr std::array<char const*, 2> kAttributes{"gated", "half"};
  static constexpr size_t kOptional = 1;
  std::array<int32_t, 2> values{};

  bool supports(int position, PluginTensorDesc const* tensors) const {
    return position == 0 ? isReal(tensors[0].type, values[1]) : tensors[position].type == tensors[0].type;
  }

  nvinfer1::DimsExprs output(int, nvinfer1::DimsExprs const* inputs, nvinfer1::IExprBuilder& builder) const {
    return rowsInPlaceOfInputs(inputs, values[0], builder);
  }

  int enqueue(PluginTensorDesc const* tensors, void const* const* inputs, void* const* outputs, void*,
              cudaStream_t stream) const {
    int const width = extent(tensors[1], 1), rows = extent(tensors[1], 0);
    if (extent(tensors[0], tensors[0].dims.nbDims - 1) != width || (values[0] && rows % 2)) return cudaErrorInvalidValue;
    OnrampMatVec const size{vectors(tensors[0]), width, values[0] ? rows / 2 : rows, values[0], 0};
    auto const launch = tensors[0].type == DataType::kFLOAT ? onramp_matvec_fp32 : onramp_matvec_fp16;
    return launch(&size, inputs[0], inputs[1], outputs[0], stream);
  }
};

}  // namespace onramp
