// Pooling of image features into voxels as TensorRT sees it.
#pragma once

#include "../kernels/bev_pool_v2.h"
#include "operator.h"

namespace onramp {

// depth, feat, ranks_depth, ranks_feat, ranks_bev, interval_starts, interval_lengths -> output [1,Z,Y,X,C]
//
// Without out_depth, as published: eight levels where the depth has five axes; [1,Y,X,C] where it has four.
struct Pooling : Defaults {
  static constexpr char const* kName = "BEVPoolV2TRT2";
  static constexpr char const* kSingleName = "BEVPoolV2TRT";
  static constexpr int kInputs = 7;
  static constexpr std::array<char const*, 3> kAttributes{"out_height", "out_width", "out_depth"};
  static constexpr size_t kOptional = 1;
  static constexpr int kLevels = 8;
  std::array<int32_t, 3> values{};

  bool valid() const {
    return values[0] > 0 && values[1] > 0 && values[2] >= 0 &&
           values[0] <= INT32_MAX / values[1] / (values[2] ? values[2] : kLevels);
  }
  bool flat(int rank) const { return values[2] == 0 && rank == 4; }
  int levels(int rank) const { return flat(rank) ? 1 : values[2] ? values[2] : kLevels; }
  int rows(int rank) const { return levels(rank) * values[0] * values[1]; }
  size_t workspace(nvinfer1::Dims const& depth) const { return sizeof(int32_t) * rows(depth.nbDims); }

  static bool supports(int position, PluginTensorDesc const* tensors) {
    DataType const type = tensors[position].type;
    if (position == 0) return isReal(type);
    if (position == 2) return isIndex(type);
    return type == tensors[position < 2 || position == kInputs ? 0 : 2].type;
  }

  nvinfer1::DimsExprs output(int, nvinfer1::DimsExprs const* inputs, nvinfer1::IExprBuilder& builder) const {
    nvinfer1::DimsExprs shape{};
    shape.d[shape.nbDims++] = builder.constant(1);
    if (!flat(inputs[0].nbDims)) shape.d[shape.nbDims++] = builder.constant(levels(inputs[0].nbDims));
    shape.d[shape.nbDims++] = builder.constant(values[0]);
    shape.d[shape.nbDims++] = builder.constant(values[1]);
    shape.d[shape.nbDims++] = inputs[1].d[inputs[1].nbDims - 1];
    return shape;
  }

  int enqueue(PluginTensorDesc const* tensors, void const* const* inputs, void* const* outputs, void* workspace,
              cudaStream_t stream) const {
    PluginTensorDesc const &depth = tensors[0], &feat = tensors[1], &ranks = tensors[2], &starts = tensors[5];
    for (int i = 3; i < kInputs; ++i)
      if (extent(tensors[i], 0) != extent(i < 5 ? ranks : starts, 0)) return cudaErrorInvalidValue;
    OnrampPooling const size{extents(depth, 0, depth.dims.nbDims), vectors(feat), extent(feat, feat.dims.nbDims - 1),
                             extent(ranks, 0), extent(starts, 0), rows(depth.dims.nbDims),
                             ranks.type != DataType::kINT32};
    auto const launch = depth.type == DataType::kFLOAT ? onramp_bev_pool_v2_fp32
                        : packed                       ? onramp_bev_pool_v2_fp16x2
                                                       : onramp_bev_pool_v2_fp16;
    return launch(&size, inputs[0], inputs[1], inputs[2], inputs[3], inputs[4], inputs[5], inputs[6], workspace,
                  outputs[0], stream);
  }
};

}  // namespace onramp
