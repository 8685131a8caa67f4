// As `matvec`, with weights of four bits: w = (nibble - 8) * scale.
//
//   x [vectors,inputs]  weight [rows,inputs/8] int32  scale [rows,groups] -> y [vectors,outputs]
//
// A word holds eight neighboring weights: of its nibbles, the lowest first, the weights 0, 2, 4, 6, 1, 3, 5, 7, so that
// two bits operations make a pair of halves of neighbors. A scale serves inputs / groups weights. In half precision
// products of four weights, a sixteenth of each so that nothing overflows, add up to half, and what follows to float32.
#pragma once

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
  int vectors;
  int inputs;    // a multiple of 8
  int outputs;
  int groups;    // of a row: 1, or groups of a power of two of at least 8 weights
  int gated;
  int per_warp;  // 1, 2 or 4 outputs for each warp; -4: four warps for each; 0: as was fastest
  int words;     // 1, 2 or 4 of a row that a thread takes at once, at most those of a group; 0: as was fastest
} OnrampMatVecInt4;

// All pointers on the device, packed row-major, at multiples of 16 bytes. Returns a cudaError_t: 0 when queued.
int onramp_matvec_int4_fp32(const OnrampMatVecInt4* size, const void* x, const void* weight, const void* scale, void* y,
                            void* stream);
int onramp_matvec_int4_fp16(const OnrampMatVecInt4* size, const void* x, const void* weight, const void* scale, void* y,
                            void* stream);

#ifdef __cplusplus
}
#endif
