// Sum of two tensors, and its root-mean-square norm: what stands between the parts of a language model's layer.
//
//   x [rows,width]  residual [rows,width]  weight [width] -> y [rows,width], total [rows,width]
//
// total = x + residual, rounded to their type; y = total / sqrt(mean(total^2) + epsilon) * weight, in float32 and rounded
// once. Minimum traffic: 4 rows width elements.
#pragma once

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
  int rows, width;  // the width a multiple of 8
  float epsilon;
} OnrampAddRmsNorm;

// All pointers on the device, packed row-major, at multiples of 16 bytes. Returns a cudaError_t: 0 when queued.
int onramp_add_rms_norm_fp32(const OnrampAddRmsNorm* size, const void* x, const void* residual, const void* weight,
                             void* y, void* total, void* stream);
int onramp_add_rms_norm_fp16(const OnrampAddRmsNorm* size, const void* x, const void* residual, const void* weight,
                             void* y, void* total, void* stream);

#ifdef __cplusplus
}
#endif
