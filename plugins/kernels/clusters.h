// Blocks that work together through the shared memory of the first of them (clusters, compute capability 9.0).
//
// A body has kBlocks, at most 8; `Shared`; part(block, shared), which every block runs with the first one's memory and in
// which it calls `wait_for_cluster` before it writes there; and finish(block, shared), which the first block runs when
// all have written.
#pragma once

#include "overlap.h"

namespace onramp {

// Whether the GPU has clusters. On the host they are blocks one after another.
inline bool has_clusters() {
#ifdef __CUDACC__
  return capability() >= 9;
#else
  return true;
#endif
}

// After this all blocks of the cluster have begun, so that their memory is there.
ONRAMP_DEVICE void wait_for_cluster() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("barrier.cluster.wait.aligned;" ::: "memory");
#endif
}

#ifdef __CUDACC__
template <int kResident, typename Body>
__global__ void __launch_bounds__(kThreads, kResident) clusters(Body body) {
#if __CUDA_ARCH__ >= 900
  __shared__ typename Body::Shared shared;
  typename Body::Shared* first;
  const int index = static_cast<int>(blockIdx.x);
  const Block block{index, static_cast<int>(gridDim.x)};
  asm volatile("barrier.cluster.arrive.relaxed.aligned;");
  asm("mapa.u64 %0, %1, 0;" : "=l"(first) : "l"(&shared));
  body.part(block, *first);
  asm volatile("barrier.cluster.arrive.release.aligned;" ::: "memory");
  asm volatile("barrier.cluster.wait.acquire.aligned;" ::: "memory");
  if (index % Body::kBlocks == 0) body.finish(block, shared);
#endif
}
#endif

// Runs the body for `count` clusters.
template <int kResident, typename Body>
int for_each_cluster(const Body& body, int64_t count, void* stream) {
  const int64_t blocks = count * Body::kBlocks;
  if (count < 0 || blocks > INT32_MAX) return cudaErrorInvalidValue;
  if (count == 0) return cudaSuccess;
#ifdef __CUDACC__
  return launch_overlapping(clusters<kResident, Body>, Body::kBlocks, blocks, stream, body);
#else
  (void)stream;
  for (int first = 0; first < blocks; first += Body::kBlocks) {
    typename Body::Shared shared;
    for (int rank = 0; rank < Body::kBlocks; ++rank) body.part(Block{first + rank, static_cast<int>(blocks)}, shared);
    body.finish(Block{first, static_cast<int>(blocks)}, shared);
  }
  return cudaSuccess;
#endif
}

}  // namespace onramp
