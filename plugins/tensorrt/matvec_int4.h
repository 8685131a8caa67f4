// Product of a matrix of four-bit weights with a few vectors as TensorRT sees it.
#pragma once

#include "../kernels/matvec_int4.h"
#include "operator.h"

namespace onramp {

// x [...,inputs], weight [rows,inputs/8] int32, scale [rows,groups] -> output [...,outputs]
struct MatVecInt4 : Defaults {
  static constexpr char const* kName = "MatVecInt4TRT2";
  static constexpr char const* kSingleName = "MatVecInt4TRT";
  static constexpr int kInputs = 3;
  static constexpr std::array<char const*, 2> kAttributes{"gated", "half"};
  static constexpr size_t kOptional = 1;
  std::array<int32_t, 2> values{};

  bool supports(int position, PluginTensorDesc const* tensors) const {
    DataType const type = tensors[position].type;
    if (position == 0) return isReal(type, values[1]);
    return position == 1 ? type == DataType::kINT32 : type == tensors[0].type;
  }

  nvinfer1::DimsExprs output(int, nvinfer1::DimsExprs const* inputs, nvinfer1::IExprBuilder& builder) const {
    return rowsInPlaceOfInputs(inputs, values[0], builder);
  }

  int enqueue(PluginTensorDesc const* tensors, void const* const* inputs, void* const* outputs, void*,
              cudaStream_t stream) const {
    int const width = 8 * extent(tensors[1], 1), rows = extent(tensors[1], 0);
    if (extent(tensors[0], tensors[0].dims.nbDims - 1) != width || extent(tensors[2], 0) != rows ||
        (values[0] && rows % 2))
      return cudaErrorInvalidValue;
    OnrampMatVecInt4 const size{vectors(tensors[0]), width, values[0] ? rows / 2 : rows, extent(tensors[2], 1),
                                values[0], 0, 0};
    auto const launch = tensors[0].type == DataType::kFLOAT ? onramp_matvec_int4_fp32 : onramp_matvec_int4_fp16;
    return launch(&size, inputs[0], inputs[1], inputs[2], outputs[0], stream);
  }
};

}  // namespace onramp
