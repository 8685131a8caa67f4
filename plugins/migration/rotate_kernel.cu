#include "rotate_kernel.h"

#include <cuda_fp16.h>

namespace
{
__device__ float load(float value) { return value; }
__device__ float load(__half value) { return __half2float(value); }
__device__ void store(float* to, float value) { *to = value; }
__device__ void store(__half* to, float value) { *to = __float2half(value); }

template <typename T>
__device__ float tap(T const* plane, int32_t row, int32_t column, int32_t height, int32_t width)
{
    bool const inside = row >= 0 && row < height && column >= 0 && column < width;
    return inside ? load(plane[row * width + column]) : 0.0F;
}

// One thread per pixel: the source position is computed once, in float, and serves all channels.
template <typename T>
__global__ void rotate(T const* image, float const* angle, float const* center, T* output, int32_t channels,
    int32_t height, int32_t width, int32_t interpolation)
{
    int32_t const pixel = blockIdx.x * blockDim.x + threadIdx.x;
    if (pixel >= height * width)
    {
        return;
    }
    float sine;
    float cosine;
    sincospif(-*angle / 180.0F, &sine, &cosine);
    float const x = pixel % width + 0.5F - center[0];
    float const y = pixel / width + 0.5F - center[1];
    float const column = cosine * x + sine * y + center[0] - 0.5F;
    float const row = -sine * x + cosine * y + center[1] - 0.5F;
    int64_t const area = static_cast<int64_t>(height) * width;
    if (interpolation == 1)
    {
        int32_t const r = static_cast<int32_t>(rintf(row));
        int32_t const c = static_cast<int32_t>(rintf(column));
        for (int32_t k = 0; k < channels; ++k)
        {
            store(output + k * area + pixel, tap(image + k * area, r, c, height, width));
        }
        return;
    }
    int32_t const r = static_cast<int32_t>(floorf(row));
    int32_t const c = static_cast<int32_t>(floorf(column));
    float const down = row - r;
    float const right = column - c;
    for (int32_t k = 0; k < channels; ++k)
    {
        T const* plane = image + k * area;
        float const top = (1 - right) * tap(plane, r, c, height, width) + right * tap(plane, r, c + 1, height, width);
        float const bottom
            = (1 - right) * tap(plane, r + 1, c, height, width) + right * tap(plane, r + 1, c + 1, height, width);
        store(output + k * area + pixel, (1 - down) * top + down * bottom);
    }
}

template <typename T>
int32_t launch(void const* image, float const* angle, float const* center, void* output, int32_t const* dims,
    int32_t interpolation, cudaStream_t stream)
{
    int32_t const threads = 256;
    int32_t const blocks = (dims[1] * dims[2] + threads - 1) / threads;
    rotate<<<blocks, threads, 0, stream>>>(static_cast<T const*>(image), angle, center, static_cast<T*>(output),
        dims[0], dims[1], dims[2], interpolation);
    return static_cast<int32_t>(cudaGetLastError());
}
} // namespace

extern "C" int32_t example_rotate(void const* image, float const* angle, float const* center, void* output,
    int32_t const* dims, int32_t interpolation, int32_t half, cudaStream_t stream)
{
    return half ? launch<__half>(image, angle, center, output, dims, interpolation, stream)
                : launch<float>(image, angle, center, output, dims, interpolation, stream);
}
