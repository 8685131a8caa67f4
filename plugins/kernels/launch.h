// What the kernels share: one function object run for every index of a range, and typed vector loads and stores.
//
// A kernel is a struct whose operator()(int index) does the work of one thread. nvcc runs it on the GPU; any other
// compiler runs the same source on the host, index by index, which is how the arithmetic is tested without a GPU.
#pragma once

#include <cstdint>

#ifdef __CUDACC__
#include <cuda_fp16.h>
#define ONRAMP_DEVICE __device__ __forceinline__
#else
#include "host.h"
#endif

#define ONRAMP_EXPORT extern "C" __attribute__((visibility("default")))

namespace onramp {

constexpr int kThreads = 128;  // small blocks: the decoder's 900 queries are to reach every multiprocessor

template <typename T, int N>
struct alignas(sizeof(T) * N) Pack {
  T item[N];
};

// N neighboring elements in one access; `address` is a multiple of their size.
template <int N, typename T>
ONRAMP_DEVICE Pack<T, N> load(const T* address) {
  return *reinterpret_cast<const Pack<T, N>*>(address);
}

template <int N, typename T>
ONRAMP_DEVICE void store(T* address, const Pack<T, N>& pack) {
  *reinterpret_cast<Pack<T, N>*>(address) = pack;
}

ONRAMP_DEVICE float to_float(float x) { return x; }
ONRAMP_DEVICE float to_float(half x) { return __half2float(x); }
ONRAMP_DEVICE void from_float(float x, float& y) { y = x; }
ONRAMP_DEVICE void from_float(float x, half& y) { y = __float2half_rn(x); }

inline bool aligned(const void* address, size_t size) { return reinterpret_cast<uintptr_t>(address) % size == 0; }

#ifdef __CUDACC__
template <typename Body>
__global__ void __launch_bounds__(kThreads) each(Body body, int count) {
  const int index = blockIdx.x * kThreads + threadIdx.x;
  if (index < count) body(index);
}
#endif

// Runs body(0) ... body(count - 1) on the stream; returns a cudaError_t (0: queued).
template <typename Body>
int for_each(const Body& body, int64_t count, void* stream) {
  if (count < 0 || count > INT32_MAX - kThreads) return cudaErrorInvalidValue;
  if (count == 0) return cudaSuccess;
#ifdef __CUDACC__
  const int blocks = static_cast<int>((count + kThreads - 1) / kThreads);
  each<<<blocks, kThreads, 0, static_cast<cudaStream_t>(stream)>>>(body, static_cast<int>(count));
  return cudaGetLastError();
#else
  (void)stream;
  for (int index = 0; index < count; ++index) body(index);
  return cudaSuccess;
#endif
}

}  // namespace onramp
