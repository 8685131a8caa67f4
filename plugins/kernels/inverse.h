// Inverse of 3 x 3 matrices: the adjugate divided by the determinant.
//
//   matrix [...,3,3] -> output [...,3,3]
//
// float32 throughout. Of a singular matrix infinite or NaN.
#pragma once

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
  int matrices;
} OnrampInverse;

// All pointers on the device, packed row-major. Returns a cudaError_t: 0 when queued on the stream.
int onramp_inverse_fp32(const OnrampInverse* size, const void* matrix, void* output, void* stream);

#ifdef __cplusplus
}
#endif
