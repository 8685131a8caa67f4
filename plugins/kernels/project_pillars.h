// Projection of a map's pillars into every camera, and which cameras see a pillar.
//
//   lidar2img [B,N,4,4]  points [Q,P,3] in meters -> references [B N,Q,1,2P] in image units  mask [B,N,Q,1]
//
// float32 throughout: behind a camera, where the depth is taken as 1e-5, coordinates reach 1e7. A point is seen deeper
// than 1e-5 and inside the image, not on its border; NaN is passed on and never seen. The mask is 1 / (number of cameras
// that see any point of the pillar), or 0.
#pragma once

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
  int batch, cameras, pillars, points;
  int image_height, image_width;  // pixels
} OnrampProjection;

// All pointers on the device, packed row-major. Returns a cudaError_t: 0 when queued on the stream.
int onramp_project_pillars_fp32(const OnrampProjection* size, const void* lidar2img, const void* points,
                                void* references, void* mask, void* stream);

#ifdef __cplusplus
}
#endif
