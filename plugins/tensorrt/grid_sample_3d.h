// Sampling of a volume as TensorRT sees it.
#pragma once

#include "../kernels/grid_sample_3d.h"
#include "operator.h"

namespace onramp {

// input [N,C,D,H,W], grid [N,3,Do,Ho,Wo] ten times PyTorch's -> output [N,C,Do,Ho,Wo]
struct VolumeSampling : Defaults {
  static constexpr char const* kName = "GridSampler3DTRT2";
  static constexpr char const* kSingleName = "GridSampler3DTRT";
  static constexpr int kInputs = 2;
  static constexpr std::array<char const*, 3> kAttributes{"interpolation_mode", "padding_mode", "align_corners"};
  static constexpr size_t kOptional = 3;
  std::array<int32_t, 3> values{};  // 0 trilinear, 1 nearest; 0 zeros, 1 border; 0 or 1

  bool valid() const {
    for (int32_t value : values)
      if (value != 0 && value != 1) return false;
    return true;
  }

  static bool supports(int position, PluginTensorDesc const* tensors) {
    DataType const type = tensors[position].type, first = tensors[0].type;
    if (position == 0) return isReal(type);
    if (position == 1) return isCoordinate(type, first);
    return type == first;
  }

  static nvinfer1::DimsExprs output(int, nvinfer1::DimsExprs const* inputs, nvinfer1::IExprBuilder&) {
    nvinfer1::DimsExprs shape{inputs[0]};
    for (int axis = 2; axis < 5; ++axis) shape.d[axis] = inputs[1].d[axis];
    return shape;
  }

  int enqueue(PluginTensorDesc const* tensors, void const* const* inputs, void* const* outputs, void*,
              cudaStream_t stream) const {
    PluginTensorDesc const &input = tensors[0], &grid = tensors[1];
    if (extent(grid, 0) != extent(input, 0) || extent(grid, 1) != 3) return cudaErrorInvalidValue;
    OnrampVolumeSampling const size{extent(input, 0), extent(input, 1), extent(input, 2), extent(input, 3),
                                    extent(input, 4), extent(grid, 2),  extent(grid, 3),  extent(grid, 4),
                                    values[0],        values[1],        values[2],        0,
                                    grid.type == DataType::kHALF};
    auto const launch = input.type == DataType::kFLOAT ? onramp_grid_sample_3d_fp32
                        : packed                       ? onramp_grid_sample_3d_fp16x2
                                                       : onramp_grid_sample_3d_fp16;
    return launch(&size, inputs[0], inputs[1], outputs[0], stream);
  }
};

}  // namespace onramp
