// Sampling of a volume [N,C,D,H,W] at points, as PyTorch's grid_sample does for five dimensions.
//
//   input [N,C,D,H,W]  grid [N,3,Do,Ho,Wo], ten times PyTorch's, as the published plugin takes it, or
//   [N,Do,Ho,Wo,3] in PyTorch's own layout  ->  output [N,C,Do,Ho,Wo]
//
// Coordinates in float32, computed once per voxel for a group of channels. A coordinate that is not a number reads zeros, with
// border the first cell. Minimum traffic in bytes, e per element: e (N C D H W + N C Do Ho Wo) and the grid.
#pragma once

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
  int batch, channels, depth, height, width, out_depth, out_height, out_width;
  int nearest;        // 0 trilinear, 1 nearest, ties to even
  int border;         // 0 zeros outside, 1 the nearest cell inside
  int align_corners;  // -1 and 1 are centers of cells, else outer faces
  int points_last;    // the grid is PyTorch's, else the published one
  int half_grid;      // the grid is half, else float32
} OnrampVolumeSampling;

// All pointers on the device, packed row-major. Returns a cudaError_t: 0 when queued on the stream. The last form blends
// pairs of channels in half precision, with weights rounded to half, as many as make whole groups of sixteen; what is
// left, and the other forms, are blended in float32.
int onramp_grid_sample_3d_fp32(const OnrampVolumeSampling* size, const void* input, const void* grid, void* output,
                               void* stream);
int onramp_grid_sample_3d_fp16(const OnrampVolumeSampling* size, const void* input, const void* grid, void* output,
                               void* stream);
int onramp_grid_sample_3d_fp16x2(const OnrampVolumeSampling* size, const void* input, const void* grid, void* output,
                                 void* stream);

#ifdef __cplusplus
}
#endif
