// A pyramid of volumes as one: the sum of a fine volume and three others brought to its size, each times its share.
//
//   fine [B,C,D,H,W]  shares [B,4,D,H,W]  levels [B,C,D1,H1,W1] [B,C,D2,H2,W2] [B,C,D3,H3,W3]  ->  output [B,C,D,H,W]
//
//   output = fine * shares[:,0] + sum over i of trilinear(level i) * shares[:,i]
//
// Trilinear as PyTorch's interpolate without aligned corners, of any sizes. Everything is summed in float32. Minimum
// traffic in bytes, e per element: e (2 B C D H W + 4 B D H W + B C (D1 H1 W1 + D2 H2 W2 + D3 H3 W3)).
#pragma once

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
  int batch, channels, depth, height, width;
  int depth_1, height_1, width_1, depth_2, height_2, width_2, depth_3, height_3, width_3;
  int packed_shares;  // of the last form: the shares lie as the volumes do, else row-major
} OnrampLevels;

// All pointers on the device, packed row-major. Returns a cudaError_t: 0 when queued on the stream. Of the last form,
// which is TensorRT's kDHWC8, the volumes are [B,D,H,W,C'], C' the next multiple of 8: channels beyond C are written as
// zeros and not read into others. Its addresses are multiples of 16 bytes.
int onramp_mix_levels_fp32(const OnrampLevels* size, const void* fine, const void* shares, const void* level_1,
                           const void* level_2, const void* level_3, void* output, void* stream);
int onramp_mix_levels_fp16(const OnrampLevels* size, const void* fine, const void* shares, const void* level_1,
                           const void* level_2, const void* level_3, void* output, void* stream);
int onramp_mix_levels_fp16_dhwc8(const OnrampLevels* size, const void* fine, const void* shares, const void* level_1,
                                 const void* level_2, const void* level_3, void* output, void* stream);

#ifdef __cplusplus
}
#endif
