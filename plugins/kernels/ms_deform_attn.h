// Multi-scale deformable attention (Deformable DETR, arXiv:2010.04159), softmax and sampling in one kernel.
//
//   value [N,S,M,D]  shapes [L,2] (H,W)  references [N,Q,1,2G] (x,y in 0..1)  offsets [N,Q,M,L*P*2] in cells
//   weights [N,Q,M,L*P] before the softmax  ->  output [N,Q,M,D]
//
// Point p starts from reference p mod G. Bilinear, align_corners false, zeros outside; summed in float32.
// Minimum traffic in bytes, e per element: e (N S M D + 2 N Q G + 3 N Q M L P + N Q M D), each tensor moved once.
// No intermediate is written: neither sampling locations nor softmax nor samples ever leave the registers.
#pragma once

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
  int batch, cells, heads, channels, levels, queries, points, groups;  // N S M D L Q P G
  int wide_shapes;                                                     // shapes are int64 (TensorRT 10+), else int32
} OnrampAttention;

// All pointers on the device, packed row-major; references and offsets at multiples of a pair's size. Returns a
// cudaError_t: 0 when queued on the stream, 1 for sizes or addresses that do not belong together. The forms of ref32 take
// references in float32 beside the other tensors in half: x * W in half has 11 bits, an eighth of a cell at W = 200. The
// forms of fp16x2 blend the four taps of a point in pairs of halves, and sum the points in float32 as the others do.
int onramp_ms_deform_attn_fp32(const OnrampAttention* size, const void* value, const void* shapes,
                               const void* references, const void* offsets, const void* weights, void* output,
                               void* stream);
int onramp_ms_deform_attn_fp16(const OnrampAttention* size, const void* value, const void* shapes,
                               const void* references, const void* offsets, const void* weights, void* output,
                               void* stream);
int onramp_ms_deform_attn_fp16_ref32(const OnrampAttention* size, const void* value, const void* shapes,
                                     const void* references, const void* offsets, const void* weights, void* output,
                                     void* stream);
int onramp_ms_deform_attn_fp16x2(const OnrampAttention* size, const void* value, const void* shapes,
                                 const void* references, const void* offsets, const void* weights, void* output,
                                 void* stream);
int onramp_ms_deform_attn_fp16x2_ref32(const OnrampAttention* size, const void* value, const void* shapes,
                                       const void* references, const void* offsets, const void* weights, void* output,
                                       void* stream);

#ifdef __cplusplus
}
#endif
