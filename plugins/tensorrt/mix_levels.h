// A pyramid of volumes as one, as TensorRT sees it.
//
// In half precision the volumes may lie as TensorRT's 3-D convolutions have them, eight channels together, so that no
// reformat stands before and behind the plugin; the shares then lie so too, or row-major.
#pragma once

#include "../kernels/mix_levels.h"
#include "operator.h"

namespace onramp {

// fine [B,C,D,H,W], shares [B,4,D,H,W], level_1, level_2, level_3 [B,C,D',H',W'] -> output [B,C,D,H,W]
struct LevelMixture : Defaults {
  static constexpr char const* kName = "MixLevelsTRT2";
  static constexpr char const* kSingleName = "MixLevelsTRT";
  static constexpr int kInputs = 5;
  static constexpr std::array<char const*, 0> kAttributes{};
  std::array<int32_t, 0> values{};

  static bool supports(int position, PluginTensorDesc const* tensors) {
    DataType const type = tensors[position].type;
    return position == 0 ? isReal(type) : type == tensors[0].type;
  }

  static bool lies(int position, PluginTensorDesc const* tensors) {
    TensorFormat const format = tensors[position].format, first = tensors[0].format;
    if (format == TensorFormat::kLINEAR) return position < 2 || first == format;
    if (format != TensorFormat::kDHWC8 || tensors[0].type != DataType::kHALF) return false;
    return position == 0 || first == format;
  }

  static nvinfer1::DimsExprs output(int, nvinfer1::DimsExprs const* inputs, nvinfer1::IExprBuilder&) {
    return inputs[0];
  }

  int enqueue(PluginTensorDesc const* tensors, void const* const* inputs, void* const* outputs, void*,
              cudaStream_t stream) const {
    PluginTensorDesc const &fine = tensors[0], &shares = tensors[1];
    for (int i = 0; i < kInputs; ++i)
      if (tensors[i].dims.nbDims != 5 || extent(tensors[i], 0) != extent(fine, 0) ||
          extent(tensors[i], 1) != (i == 1 ? kInputs - 1 : extent(fine, 1)))
        return cudaErrorInvalidValue;
    for (int axis = 2; axis < 5; ++axis)
      if (extent(shares, axis) != extent(fine, axis)) return cudaErrorInvalidValue;
    OnrampLevels const size{extent(fine, 0),       extent(fine, 1),       extent(fine, 2),
                            extent(fine, 3),       extent(fine, 4),       extent(tensors[2], 2),
                            extent(tensors[2], 3), extent(tensors[2], 4), extent(tensors[3], 2),
                            extent(tensors[3], 3), extent(tensors[3], 4), extent(tensors[4], 2),
                            extent(tensors[4], 3), extent(tensors[4], 4), shares.format != TensorFormat::kLINEAR};
    auto const launch = fine.type == DataType::kFLOAT               ? onramp_mix_levels_fp32
                        : fine.format == TensorFormat::kLINEAR ? onramp_mix_levels_fp16
                                                               : onramp_mix_levels_fp16_dhwc8;
    return launch(&size, inputs[0], inputs[1], inputs[2], inputs[3], inputs[4], outputs[0], stream);
  }
};

}  // namespace onramp
