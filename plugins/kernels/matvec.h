// Product of a matrix with a few vectors, for a language model that writes one token after another.
//
//   x [vectors,inputs]  weight [rows,inputs] -> y [vectors,outputs]
//
// outputs = rows, or gated: outputs = rows / 2, and row i of y is silu(product of row i) times the product of row
// outputs + i, as gate and up of a SwiGLU whose weights lie one below the other. Sums in float32. Minimum traffic: the
// weights once for each vector.
#pragma once

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
  int vectors;
  int inputs;    // a multiple of 8
  int outputs;
  int gated;
  int per_warp;  // 1, 2 or 4 outputs for each warp; -4: four warps for each; 0: as was fastest
} OnrampMatVec;

// All pointers on the device, packed row-major, at multiples of 16 bytes. Returns a cudaError_t: 0 when queued.
int onramp_matvec_fp32(const OnrampMatVec* size, const void* x, const void* weight, void* y, void* stream);
int onramp_matvec_fp16(const OnrampMatVec* size, const void* x, const void* weight, void* y, void* stream);

#ifdef __cplusplus
}
#endif
