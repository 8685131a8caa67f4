// Rotation of a map [C,H,W] about a point, zeros from outside, as torchvision's `rotate` defines it.
//
//   image [C,H,W]  angle [1] in degrees, counter-clockwise  center [2] (x,y) in pixels from the upper left corner
//
// Coordinates in float32. Nearest rounds ties to even. Minimum traffic: 2 C H W elements; a pixel's coordinates are
// computed once for eight channels.
#pragma once

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
  int channels, height, width;
  int nearest;       // 0 bilinear, 1 nearest
  int half_center;   // angle and center are half, else float32
} OnrampRotation;

// All pointers on the device, packed row-major. Returns a cudaError_t: 0 when queued on the stream.
int onramp_rotate_fp32(const OnrampRotation* size, const void* image, const void* angle, const void* center,
                       void* output, void* stream);
int onramp_rotate_fp16(const OnrampRotation* size, const void* image, const void* angle, const void* center,
                       void* output, void* stream);

#ifdef __cplusplus
}
#endif
