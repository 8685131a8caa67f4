// Attention over a cache of fixed length as TensorRT sees it. Bind past and present to the same memory.
#pragma once

#include "../kernels/cached_attention.h"
#include "operator.h"

namespace onramp {

// qkv, lengths, rotation, past_key, past_value -> output, present_key, present_value
struct CachedAttention : Defaults {
  static constexpr char const* kName = "CachedAttentionTRT2";
  static constexpr char const* kSingleName = "CachedAttentionTRT";
  static constexpr int kInputs = 5, kOutputs = 3;
  static constexpr std::array<char const*, 1> kAttributes{"half"};
  static constexpr size_t kOptional = 1;
  std::array<int32_t, 1> values{};

  size_t workspace(nvinfer1::Dims const& qkv) const {
    return onramp_cached_attention_workspace(static_cast<int>(qkv.d[0]), static_cast<int>(qkv.d[1]),
                                             static_cast<int>(qkv.d[2]));
  }

  bool supports(int position, PluginTensorDesc const* tensors) const {
    DataType const type = tensors[position].type;
    if (position == 0) return isReal(type, values[0]);
    if (position == 1) return isIndex(type);
    return position == 2 ? type == DataType::kFLOAT : type == tensors[0].type;
  }

  static nvinfer1::DimsExprs output(int index, nvinfer1::DimsExprs const* inputs, nvinfer1::IExprBuilder& builder) {
    if (index > 0) return inputs[2 + index];
    nvinfer1::DimsExprs shape{inputs[0]};  // without keys and values
    auto const* rows = builder.operation(nvinfer1::DimensionOperation::kPROD, *inputs[3].d[1], *inputs[3].d[3]);
    auto const* both = builder.operation(nvinfer1::DimensionOperation::kPROD, *builder.constant(2), *rows);
    shape.d[2] = builder.operation(nvinfer1::DimensionOperation::kSUB, *shape.d[2], *both);
    return shape;
  }

  int enqueue(PluginTensorDesc const* tensors, void const* const* inputs, void* const* outputs, void* workspace,
              cudaStream_t stream) const {
    PluginTensorDesc const &qkv = tensors[0], &lengths = tensors[1], &rotation = tensors[2], &past = tensors[3];
    int const dims = extent(past, 3), kv_heads = extent(past, 1), slots = extent(past, 2);
    int const heads = extent(qkv, 2) / dims - 2 * kv_heads;
    if (extent(past, 0) != extent(qkv, 0) || extent(lengths, 0) != extent(qkv, 0) || extent(rotation, 0) != slots ||
        extent(rotation, 1) != dims || extent(qkv, 2) % dims || heads < 1)
      return cudaErrorInvalidValue;
    OnrampCachedAttention const size{extent(qkv, 0), extent(qkv, 1), heads, kv_heads, dims, slots,
                                     lengths.type != DataType::kINT32, 0};
    auto const launch = qkv.type == DataType::kFLOAT ? onramp_cached_attention_fp32 : onramp_cached_attention_fp16;
    return launch(&size, inputs[0], inputs[1], inputs[2], inputs[3], inputs[4], workspace, outputs[0], outputs[1],
                  outputs[2], stream);
  }
};

}  // namespace onramp
