#include "add_rms_norm.h"

#include "overlap.h"

namespace onramp {
namespace {

// A block for each row. What a thread added stays in its registers, up to kHeld times eight numbers.
template <typename T>
struct AddRmsNorm {
  static constexpr int kHeld = 4;
  struct Shared {
    float squares[kThreads / kWarp];
  };
  OnrampAddRmsNorm size;
  const T* x;
  const T* residual;
  const T* weight;
  T* y;
  T* total;

  ONRAMP_DEVICE void operator()(Block block, Shared& shared) const {
    const int64_t row = static_cast<int64_t>(block.index) * size.width;
    PerThread<Pack<float, 1>> squares;
    PerThread<Pack<Pack<float, 8>, kHeld>> held, weights;
    block.each([&](int thread) {
      let_next_start();
      ONRAMP_UNROLL(16)
      for (int i = 0; i < kHeld; ++i) {
        const int at = (thread + i * kThreads) * 8;
        if (at < size.width) weights[thread].item[i] = load_eight(weight + at);
      }
      wait_for_inputs();
      float sum = 0.0f;
      ONRAMP_UNROLL(16)
      for (int i = 0; i < kHeld; ++i) {
        const int at = (thread + i * kThreads) * 8;
        if (at < size.width) held[thread].item[i] = added(row + at, sum);
      }
      for (int at = (thread + kHeld * kThreads) * 8; at < size.width; at += kThreads * 8) added(row + at, sum);
      squares[thread].item[0] = sum;
    });
    block.sum_warps(squares);
    block.each([&](int thread) {
      if (thread % kWarp == 0) shared.squares[thread / kWarp] = squares[thread].item[0];
    });
    block.each([&](int thread) {
      float sum = 0.0f;
      for (float part : shared.squares) sum += part;
      const float factor = 1.0f / sqrtf(sum / size.width + size.epsilon);
      ONRAMP_UNROLL(16)
      for (int i = 0; i < kHeld; ++i) {
        const int at = (thread + i * kThreads) * 8;
        if (at < size.width) scaled(held[thread].item[i], weights[thread].item[i], factor, row + at);
      }
      for (int at = (thread + kHeld * kThreads) * 8; at < size.width; at += kThreads * 8)
        scaled(load_eight(total + row + at), load_eight(weight + at), factor, row + at);
    });
  }

  // Eight numbers of the total, as they were rounded; adds their squares to `sum`.
  ONRAMP_DEVICE Pack<float, 8> added(int64_t at, float& sum) const {
    Pack<float, 8> values = load_eight(x + at);
    const Pack<float, 8> more = load_eight(residual + at);
    for (int i = 0; i < 8; ++i) {
      T rounded;
      from_float(values.item[i] + more.item[i], rounded);
      values.item[i] = to_float(rounded);
      sum += values.item[i] * values.item[i];
    }
    store_eight(total + at, values);
    return values;
  }

  ONRAMP_DEVICE void scaled(const Pack<float, 8>& sums, Pack<float, 8> values, float factor, int64_t at) const {
    for (int i = 0; i < 8; ++i) values.item[i] *= factor * sums.item[i];
    store_eight(y + at, values);
  }
};

template <typename T>
int add_rms_norm(const OnrampAddRmsNorm* size, const void* x, const void* residual, const void* weight, void* y,
                 void* total, void* stream) {
  if (size->rows < 0 || size->width < 8 || size->width % 8 || size->width > INT32_MAX - 8 * kThreads || !aligned(x, 16) || !aligned(residual, 16) ||
      !aligned(weight, 16) || !aligned(y, 16) || !aligned(total, 16))
    return cudaErrorInvalidValue;
  const AddRmsNorm<T> body{*size, static_cast<const T*>(x), static_cast<const T*>(residual),
                           static_cast<const T*>(weight), static_cast<T*>(y), static_cast<T*>(total)};
  return for_each_block_overlapping<4>(body, size->rows, stream);
}

}  // namespace
}  // namespace onramp

ONRAMP_EXPORT int onramp_add_rms_norm_fp32(const OnrampAddRmsNorm* size, const void* x, const void* residual,
                                           const void* weight, void* y, void* total, void* stream) {
  return onramp::add_rms_norm<float>(size, x, residual, weight, y, total, stream);
}

ONRAMP_EXPORT int onramp_add_rms_norm_fp16(const OnrampAddRmsNorm* size, const void* x, const void* residual,
                                           const void* weight, void* y, void* total, void* stream) {
  return onramp::add_rms_norm<half>(size, x, residual, weight, y, total, stream);
}
