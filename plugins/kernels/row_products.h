// Products of a matrix's rows with a vector, a warp for some rows, or a block's warps for each row: what `matvec` and
// `matvec_int4` share.
//
// Every weight is read once, the vector from the cache, so that memory is the limit. `Weights` has kUnit, the weights of
// a row that a thread takes in one access, kWords, the words that hold them, and kHeld, the words that a thread has under
// way at once; part(x), the unit's inputs; and add(row, unit, inputs, part, sum), which adds the products to a sum.
//
// No weight is read before the vector is there: to hold the first ones in registers, or to bring rows into the second
// cache while the kernel before ends, made the kernels of a whole step slower on an H200.
#pragma once

#include "overlap.h"

namespace onramp {

constexpr int kWarps = kThreads / kWarp;

ONRAMP_DEVICE float silu(float x) { return x / (1.0f + expf(-x)); }

template <int kAcross, int kSums>
struct WarpSums {
  Pack<float, kSums> of[kWarps];
};

template <int kSums>
struct WarpSums<1, kSums> {};

// kAcross: warps that share their rows, each with a part of the inputs.
template <typename T, typename Weights, int kRows, bool kGated, int kAcross = 1>
struct RowProducts {
  static constexpr int kSums = kGated ? 2 * kRows : kRows;  // of the gates, then of what they let through
  static constexpr int kMost = kSums * Weights::kWords > Weights::kHeld ? 1 : Weights::kHeld / kSums / Weights::kWords;
  static constexpr int kUnits = kAcross > 1 && kMost > 2 ? 2 : kMost;
  static constexpr int kLanes = kWarp * kAcross, kSpan = kWarps / kAcross * kRows;
  using Shared = WarpSums<kAcross, kSums>;
  int vectors, inputs, outputs;
  Weights weights;
  const T* x;
  T* y;

  ONRAMP_DEVICE void operator()(Block block, Shared& shared) const {
    const int groups = (outputs + kSpan - 1) / kSpan;
    const int vector = block.index / groups, base = block.index % groups * kSpan;
    PerThread<Pack<float, kSums>> sums;
    block.each([&](int thread) {
      const int first = base + thread / kLanes * kRows, lane = thread % kLanes;
      let_next_start();
      wait_for_inputs();
      sums[thread] = products(first, lane, x + static_cast<int64_t>(vector) * inputs);
    });
    block.sum_warps(sums);
    if constexpr (kAcross > 1)
      block.each([&](int thread) {
        if (thread % kWarp == 0) shared.of[thread / kWarp] = sums[thread];
      });
    block.each([&](int thread) {
      const int first = base + thread / kLanes * kRows;
      if constexpr (kAcross > 1)
        for (int warp = 1; thread % kLanes == 0 && warp < kAcross; ++warp)
          for (int i = 0; i < kSums; ++i) sums[thread].item[i] += shared.of[thread / kWarp + warp].item[i];
      ONRAMP_UNROLL(16)
      for (int i = 0; i < kRows; ++i)
        if (thread % kLanes == 0 && first + i < outputs) {
          const float sum = sums[thread].item[i];
          const float result = kGated ? silu(sum) * sums[thread].item[kSums - kRows + i] : sum;
          from_float(result, y[static_cast<int64_t>(vector) * outputs + first + i]);
        }
    });
  }

  // Of a row beyond the end the last one is computed, and not written.
  ONRAMP_DEVICE int row(int first, int i) const {
    const int output = first + i % kRows < outputs ? first + i % kRows : outputs - 1;
    return i < kRows ? output : outputs + output;
  }

  ONRAMP_DEVICE Pack<float, kSums> products(int first, int lane, const T* vector) const {
    Pack<float, kSums> sums;
    ONRAMP_UNROLL(16)
    for (int i = 0; i < kSums; ++i) sums.item[i] = 0.0f;
    const int units = inputs / Weights::kUnit;
    ONRAMP_UNROLL(kUnits)
    for (int unit = lane; unit < units; unit += kLanes) {
      const auto part = Weights::part(vector + unit * Weights::kUnit);
      ONRAMP_UNROLL(16)
      for (int i = 0; i < kSums; ++i) weights.add(row(first, i), unit, inputs, part, sums.item[i]);
    }
    return sums;
  }
};

template <typename T, typename Weights, int kRows, bool kGated, int kAcross = 1>
int row_products(int vectors, int inputs, int outputs, const Weights& weights, const void* x, void* y, void* stream) {
  using Body = RowProducts<T, Weights, kRows, kGated, kAcross>;
  if (outputs > INT32_MAX / 2 - 2 * Body::kSpan) return cudaErrorInvalidValue;  // gated, as many rows again
  const int64_t groups = (static_cast<int64_t>(outputs) + Body::kSpan - 1) / Body::kSpan;
  const Body body{vectors, inputs, outputs, weights, static_cast<const T*>(x), static_cast<T*>(y)};
  return for_each_block_overlapping<4>(body, groups * vectors, stream);
}

// With one, two or four rows for a warp, or four warps for a row (-4); in float32, where no speed is asked for, always
// with one for one.
template <typename T, typename Weights, bool kGated>
int row_products(int per_warp, int vectors, int inputs, int outputs, const Weights& weights, const void* x, void* y,
                 void* stream) {
  if constexpr (sizeof(T) == sizeof(half)) {
    if (per_warp == -4) return row_products<T, Weights, 1, kGated, 4>(vectors, inputs, outputs, weights, x, y, stream);
    if (per_warp == 4) return row_products<T, Weights, 4, kGated>(vectors, inputs, outputs, weights, x, y, stream);
    if (per_warp == 2) return row_products<T, Weights, 2, kGated>(vectors, inputs, outputs, weights, x, y, stream);
  }
  if (per_warp < 1 || per_warp > 4 || per_warp == 3) return cudaErrorInvalidValue;
  return row_products<T, Weights, 1, kGated>(vectors, inputs, outputs, weights, x, y, stream);
}

template <typename T, typename Weights>
int row_products(bool gated, int per_warp, int vectors, int inputs, int outputs, const Weights& weights, const void* x,
                 void* y, void* stream) {
  return gated ? row_products<T, Weights, true>(per_warp, vectors, inputs, outputs, weights, x, y, stream)
               : row_products<T, Weights, false>(per_warp, vectors, inputs, outputs, weights, x, y, stream);
}

}  // namespace onramp
