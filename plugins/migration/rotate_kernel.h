// Rotation of a feature map about a point; plain C interface, so that nothing here depends on TensorRT.
#pragma once
#include <cstdint>
#include <cuda_runtime_api.h>

// image, output: [C, H, W] in float (half == 0) or __half (half == 1); dims: {C, H, W}.
// angle: one float in degrees, counter-clockwise; center: two floats (x, y) in pixels. All pointers but dims are on the
// device. interpolation: 0 bilinear, 1 nearest (ties to even). Outside the image is zero. Returns a cudaError_t.
extern "C" int32_t example_rotate(void const* image, float const* angle, float const* center, void* output,
    int32_t const* dims, int32_t interpolation, int32_t half, cudaStream_t stream);
