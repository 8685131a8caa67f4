// Kernels that start while the one before them ends (programmatic dependent launch, compute capability 9.0).
//
// Between two kernels of a decode step the GPU idles for longer than a small one runs. A kernel launched here may begin
// before its predecessor is done: until `wait_for_inputs` it touches nothing that another kernel writes, only weights.
// Elsewhere, and with ONRAMP_OVERLAP=0 in the environment, the launches are ordinary ones.
#pragma once

#include <cstdlib>

#include "launch.h"

namespace onramp {

// After this all that earlier kernels wrote is there, and may be overwritten.
ONRAMP_DEVICE void wait_for_inputs() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

// From here on the next kernel may take what room this one leaves.
ONRAMP_DEVICE void let_next_start() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;");
#endif
}

// N words in one access, of what is read once: past the first cache, which the vectors need.
template <int N>
ONRAMP_DEVICE Pack<uint32_t, N> load_words(const uint32_t* address) {
#ifdef __CUDACC__
  Pack<uint32_t, N> words;
  if constexpr (N == 1) {
    words.item[0] = __ldcs(address);
  } else if constexpr (N == 2) {
    const uint2 found = __ldcs(reinterpret_cast<const uint2*>(address));
    words.item[0] = found.x, words.item[1] = found.y;
  } else {
    for (int i = 0; i < N; i += 4) {
      const uint4 found = __ldcs(reinterpret_cast<const uint4*>(address + i));
      words.item[i] = found.x, words.item[i + 1] = found.y, words.item[i + 2] = found.z, words.item[i + 3] = found.w;
    }
  }
  return words;
#else
  Pack<uint32_t, N> words;
  for (int i = 0; i < N; ++i) words.item[i] = address[i];
  return words;
#endif
}

// Eight neighboring elements, as float32, of an address that is a multiple of 16 bytes.
ONRAMP_DEVICE Pack<float, 8> load_eight(const half* address) {
  const Pack<half, 8> found = load<8>(address);
  Pack<float, 8> values;
  for (int i = 0; i < 8; ++i) values.item[i] = to_float(found.item[i]);
  return values;
}

ONRAMP_DEVICE Pack<float, 8> load_eight(const float* address) {
  const Pack<float, 4> low = load<4>(address), high = load<4>(address + 4);
  Pack<float, 8> values;
  for (int i = 0; i < 4; ++i) values.item[i] = low.item[i], values.item[i + 4] = high.item[i];
  return values;
}

ONRAMP_DEVICE void store_eight(half* address, const Pack<float, 8>& values) {
  Pack<half, 8> rounded;
  for (int i = 0; i < 8; ++i) from_float(values.item[i], rounded.item[i]);
  store(address, rounded);
}

ONRAMP_DEVICE void store_eight(float* address, const Pack<float, 8>& values) {
  for (int first = 0; first < 8; first += 4) {
    Pack<float, 4> part;
    for (int i = 0; i < 4; ++i) part.item[i] = values.item[first + i];
    store(address + first, part);
  }
}

#ifdef __CUDACC__
// The first number of the GPU's compute capability, 0 without a GPU. Asked once, for the question takes long on some
// virtual machines.
inline int capability() {
  static const int found = [] {
    int device = 0, major = 0;
    if (cudaGetDevice(&device) == cudaSuccess)
      cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device);
    return major;
  }();
  return found;
}

// Whether this process launches so.
inline bool overlapping() {
  static const bool chosen = [] {
    const char* said = std::getenv("ONRAMP_OVERLAP");
    return !(said && said[0] == '0') && capability() >= 9;
  }();
  return chosen;
}

template <typename Kernel, typename... Arguments>
int launch_overlapping(Kernel kernel, int cluster, int64_t count, void* stream, const Arguments&... arguments) {
  cudaLaunchAttribute attributes[2]{};
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(static_cast<unsigned>(count));
  config.blockDim = dim3(kThreads);
  config.stream = static_cast<cudaStream_t>(stream);
  config.attrs = attributes;
  if (overlapping()) {
    cudaLaunchAttribute& attribute = attributes[config.numAttrs++];
    attribute.id = cudaLaunchAttributeProgrammaticStreamSerialization;
    attribute.val.programmaticStreamSerializationAllowed = 1;
  }
  if (cluster > 1) {
    cudaLaunchAttribute& attribute = attributes[config.numAttrs++];
    attribute.id = cudaLaunchAttributeClusterDimension;
    attribute.val.clusterDim.x = cluster, attribute.val.clusterDim.y = attribute.val.clusterDim.z = 1;
  }
  return cudaLaunchKernelEx(&config, kernel, arguments...);
}
#endif

// As `for_each_block`; the body calls `wait_for_inputs`.
template <int kResident, typename Body>
int for_each_block_overlapping(const Body& body, int64_t count, void* stream) {
#ifdef __CUDACC__
  if (count < 0 || count > INT32_MAX) return cudaErrorInvalidValue;
  if (count == 0) return cudaSuccess;
  return launch_overlapping(blocks<kResident, Body>, 1, count, stream, body);
#else
  return for_each_block<kResident>(body, count, stream);
#endif
}

// As `for_each`; the body calls `wait_for_inputs`.
template <typename Body>
int for_each_overlapping(const Body& body, int64_t count, void* stream) {
#ifdef __CUDACC__
  if (count < 0 || count > INT32_MAX - kThreads) return cudaErrorInvalidValue;
  if (count == 0) return cudaSuccess;
  return launch_overlapping(each<Body>, 1, (count + kThreads - 1) / kThreads, stream, body, static_cast<int>(count));
#else
  return for_each(body, count, stream);
#endif
}

}  // namespace onramp
