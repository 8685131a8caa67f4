// What the kernels share: one function object run for every index of a range, and typed loads and stores.
//
// A kernel is a struct whose operator()(int index) does the work of one thread. nvcc runs it on the GPU; any other
// compiler runs the same source on the host, index by index, which is how the arithmetic is tested without a GPU.
// A kernel whose threads work together is a struct whose operator() does the work of a `Block`, phase by phase.
#pragma once

#include <cstdint>
#include <initializer_list>

#ifdef __CUDACC__
#include <cuda_fp16.h>
#define ONRAMP_DEVICE __device__ __forceinline__
#define ONRAMP_BOTH __host__ __device__ __forceinline__  // for what a launch asks as well
#define ONRAMP_PRAGMA(text) _Pragma(#text)
#define ONRAMP_UNROLL(count) ONRAMP_PRAGMA(unroll count)
#else
#include "host.h"
#define ONRAMP_UNROLL(count)
#endif

#define ONRAMP_EXPORT extern "C" __attribute__((visibility("default")))

namespace onramp {

constexpr int kWarp = 32;
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

// For what is read or written once: past the caches that others need.
template <typename T>
ONRAMP_DEVICE T load_once(const T* address) {
  return __ldg(address);
}

template <typename T>
ONRAMP_DEVICE void store_once(T* address, T value) {
  __stcs(address, value);
}

// The pointer, which the compiler cannot take apart again: an offset from it then costs one instruction instead of two.
template <typename T>
ONRAMP_DEVICE T* in_register(T* pointer) {
#ifdef __CUDACC__
  asm volatile("" : "+l"(pointer));
#endif
  return pointer;
}

// Whether the product of sizes, none of them negative, is at most `most`, however large it is.
inline bool within(int64_t most, std::initializer_list<int64_t> sizes) {
  int64_t product = 1;
  for (const int64_t size : sizes) {
    if (size > 0 && product > most / size) return false;
    product *= size;
  }
  return true;
}

inline bool aligned(const void* address, size_t size) { return reinterpret_cast<uintptr_t>(address) % size == 0; }

#ifdef __CUDACC__
template <typename Body>
__global__ void __launch_bounds__(kThreads) each(Body body, int count) {
  const int index = blockIdx.x * kThreads + threadIdx.x;
  if (index < count) body(index);
}

template <int kResident, typename Body>
__global__ void __launch_bounds__(kThreads, kResident) each_2d(Body body, int width, int height) {
  const int x = blockIdx.x * kThreads + threadIdx.x;
  if (x >= width) return;
  for (int y = blockIdx.y; y < height; y += gridDim.y) body(x, y);
}
#endif

template <typename T>
struct PerThread {
#ifdef __CUDACC__
  T own;
  ONRAMP_DEVICE T& operator[](int) { return own; }
#else
  T all[kThreads];
  T& operator[](int thread) { return all[thread]; }
#endif
};

// A block of kThreads threads that work together. `each(f)` runs f(thread) in all of them and waits until all are done;
// `apart(f)` is the same without the wait. What one thread keeps from one phase to the next lies in a `PerThread`, what
// they share in the body's `Shared`. `join` gives a thread what its own numbers and those of the threads whose index
// differs in the bits from kFirst down to kLast make together; `sum_warps` gives every thread the sums over the 32 of
// its warp, in one order on every machine.
struct Block {
  int index, count;

  template <typename Phase>
  ONRAMP_DEVICE void each(Phase phase) const {
    apart(phase);
#ifdef __CUDACC__
    __syncthreads();
#endif
  }

  template <typename Phase>
  ONRAMP_DEVICE void apart(Phase phase) const {
#ifdef __CUDACC__
    phase(static_cast<int>(threadIdx.x));
#else
    for (int thread = 0; thread < kThreads; ++thread) phase(thread);
#endif
  }

  template <int kFirst, int kLast, typename Parts, typename Join>
  ONRAMP_DEVICE void join(PerThread<Parts>& parts, Join join) const {
    constexpr int kCount = sizeof(Parts::item) / sizeof(float);
    ONRAMP_UNROLL(8)
    for (int offset = kFirst; offset >= kLast; offset /= 2)
#ifdef __CUDACC__
      ONRAMP_UNROLL(64)
      for (int i = 0; i < kCount; ++i)
        parts.own.item[i] = join(parts.own.item[i], __shfl_xor_sync(~0u, parts.own.item[i], offset));
#else
      for (int thread = 0; thread < kThreads; ++thread)
        for (int i = 0; i < kCount && !(thread & offset); ++i) {
          float &own = parts[thread].item[i], &other = parts[thread | offset].item[i];
          own = other = join(own, other);
        }
#endif
  }

  template <typename Parts>
  ONRAMP_DEVICE void sum_warps(PerThread<Parts>& parts) const {
    join<kWarp / 2, 1>(parts, add);
  }

  ONRAMP_DEVICE static float add(float a, float b) { return a + b; }
};

#ifdef __CUDACC__
template <int kResident, typename Body>
__global__ void __launch_bounds__(kThreads, kResident) blocks(Body body) {
  __shared__ typename Body::Shared shared;
  body(Block{static_cast<int>(blockIdx.x), static_cast<int>(gridDim.x)}, shared);
}
#endif

// Runs body(block, shared) for `count` blocks, of which at least kResident fit on a multiprocessor at once.
template <int kResident, typename Body>
int for_each_block(const Body& body, int64_t count, void* stream) {
  if (count < 0 || count > INT32_MAX) return cudaErrorInvalidValue;
  if (count == 0) return cudaSuccess;
#ifdef __CUDACC__
  blocks<kResident><<<static_cast<unsigned>(count), kThreads, 0, static_cast<cudaStream_t>(stream)>>>(body);
  return cudaGetLastError();
#else
  (void)stream;
  for (int index = 0; index < count; ++index) {
    typename Body::Shared shared;
    body(Block{index, static_cast<int>(count)}, shared);
  }
  return cudaSuccess;
#endif
}

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

// Runs body(x, y) for all x below `width` and y below `height`; y is the same for all threads of a block, of which at
// least kResident fit on a multiprocessor at once.
template <int kResident, typename Body>
int for_each_2d(const Body& body, int64_t width, int64_t height, void* stream) {
  if (width < 0 || height < 0 || width > INT32_MAX - kThreads || height > INT32_MAX - 65535)
    return cudaErrorInvalidValue;
  if (width == 0 || height == 0) return cudaSuccess;
#ifdef __CUDACC__
  const dim3 blocks(static_cast<unsigned>((width + kThreads - 1) / kThreads),
                    static_cast<unsigned>(height < 65535 ? height : 65535));
  each_2d<kResident><<<blocks, kThreads, 0, static_cast<cudaStream_t>(stream)>>>(body, static_cast<int>(width),
                                                                                 static_cast<int>(height));
  return cudaGetLastError();
#else
  (void)stream;
  for (int y = 0; y < height; ++y)
    for (int x = 0; x < width; ++x) body(x, y);
  return cudaSuccess;
#endif
}

}  // namespace onramp
