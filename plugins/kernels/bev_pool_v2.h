// Pooling of image features into voxels (BEVPoolV2, arXiv:2211.17111).
//
//   depth [D...]  feat [F,C]  ranks_depth, ranks_feat, ranks_bev [Np]  starts, lengths [Ni]  ->  output [rows,C]
//
// Row ranks_bev[starts[i]] is the sum over the points k of interval i of depth[ranks_depth[k]] * feat[ranks_feat[k], :].
// All other rows are zero; each is written once, by the threads of that row. No index is trusted: a point with one
// outside of its tensor adds nothing, an interval is cut at the last point, one without points or with a row outside of
// the output is left out, and of several intervals with one row the last counts. Summed in float32.
//
// Minimum traffic in bytes, e per element: e (Np + F C + rows C) + the indices, of which ranks_bev once an interval.
#pragma once

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
  int depths, features, channels, points, intervals, rows;
  int wide_indices;  // all five index tensors are int64, else int32
} OnrampPooling;

// All pointers on the device, packed row-major; `intervals_of_rows` is scratch memory of `rows` ints. Returns a
// cudaError_t: 0 when queued on the stream. The last form multiplies and adds in pairs of halves, up to eight points,
// whose sum goes on in float32.
int onramp_bev_pool_v2_fp32(const OnrampPooling* size, const void* depth, const void* feat, const void* ranks_depth,
                            const void* ranks_feat, const void* ranks_bev, const void* starts, const void* lengths,
                            void* intervals_of_rows, void* output, void* stream);
int onramp_bev_pool_v2_fp16(const OnrampPooling* size, const void* depth, const void* feat, const void* ranks_depth,
                            const void* ranks_feat, const void* ranks_bev, const void* starts, const void* lengths,
                            void* intervals_of_rows, void* output, void* stream);
int onramp_bev_pool_v2_fp16x2(const OnrampPooling* size, const void* depth, const void* feat, const void* ranks_depth,
                              const void* ranks_feat, const void* ranks_bev, const void* starts, const void* lengths,
                              void* intervals_of_rows, void* output, void* stream);

#ifdef __cplusplus
}
#endif
