#include "matvec_int4.h"

#include "row_products.h"

namespace onramp {
namespace {

ONRAMP_DEVICE half2 as_pair(uint32_t bits) {
  half2 pair;
  memcpy(&pair, &bits, sizeof pair);
  return pair;
}

// Sum of eight products, an unknown multiple of it: `kFactor` times this is the sum with the weights nibble - 8.
template <typename T>
struct Eight;

template <>
struct Eight<float> {
  static constexpr float kFactor = 1.0f;
  float x[8];

  ONRAMP_DEVICE explicit Eight(const float* address) {
    const Pack<float, 8> found = load_eight(address);
    for (int i = 0; i < 8; ++i) x[i] = found.item[i];
  }

  ONRAMP_DEVICE float times(uint32_t word) const {
    float sum = 0.0f;
    for (int i = 0; i < 8; ++i) sum += (static_cast<int>(word >> (i % 2 * 16 + i / 2 * 4) & 15) - 8) * x[i];
    return sum;
  }
};

// A nibble in the mantissa of 1024 makes the half 1024 + n, one nibble higher 1024 + 16 n; both are exact.
template <>
struct Eight<half> {
  static constexpr float kFactor = 16.0f;
  half2 x[4];

  ONRAMP_DEVICE explicit Eight(const half* address) {
    const Pack<half, 8> found = load<8>(address);
    for (int i = 0; i < 4; ++i) x[i] = __halves2half2(found.item[2 * i], found.item[2 * i + 1]);
  }

  ONRAMP_DEVICE float times(uint32_t word) const {
    half2 sum = __hmul2(low(word), x[0]);
    sum = __hfma2(high(word), x[1], sum);
    sum = __hfma2(low(word >> 8), x[2], sum);
    sum = __hfma2(high(word >> 8), x[3], sum);
    return to_float(__low2half(sum)) + to_float(__high2half(sum));
  }

  ONRAMP_DEVICE static half2 low(uint32_t word) {  // (n - 8) / 16
    return __hfma2(as_pair((word & 0x000f000fu) | 0x64006400u), as_pair(0x2c002c00u), as_pair(0xd408d408u));
  }
  ONRAMP_DEVICE static half2 high(uint32_t word) {
    return __hfma2(as_pair((word & 0x00f000f0u) | 0x64006400u), as_pair(0x1c001c00u), as_pair(0xc480c480u));
  }
};

template <typename T, int kCount>
struct Nibbles {
  static constexpr int kWords = kCount, kUnit = 8 * kWords, kHeld = kWords == 4 ? 16 : 8;
  const uint32_t* weight;
  const T* scale;
  int groups, shift;  // of a row; a group is 2^shift weights

  struct Part {
    Eight<T> eights[kWords];
  };

  ONRAMP_DEVICE static Part part(const T* x) {
    if constexpr (kWords == 1)
      return {{Eight<T>(x)}};
    else if constexpr (kWords == 2)
      return {{Eight<T>(x), Eight<T>(x + 8)}};
    else
      return {{Eight<T>(x), Eight<T>(x + 8), Eight<T>(x + 16), Eight<T>(x + 24)}};
  }

  ONRAMP_DEVICE void add(int row, int unit, int inputs, const Part& x, float& sum) const {
    const auto words = load_words<kWords>(weight + static_cast<int64_t>(row) * (inputs / 8) + unit * kWords);
    float found = 0.0f;
    ONRAMP_UNROLL(16)
    for (int i = 0; i < kWords; ++i) found += x.eights[i].times(words.item[i]);
    sum += found * to_float(scale[static_cast<int64_t>(row) * groups + (unit * kUnit >> shift)]) * Eight<T>::kFactor;
  }
};

// Whether its warps fill the GPU with two outputs each.
bool large(const OnrampMatVecInt4& size) { return size.gated || size.outputs >= 4096; }

template <typename T, int kWords>
int multiply(const OnrampMatVecInt4* size, int shift, const void* x, const void* weight, const void* scale, void* y,
             void* stream) {
  const Nibbles<T, kWords> weights{static_cast<const uint32_t*>(weight), static_cast<const T*>(scale), size->groups,
                                   shift};
  const int per_warp = size->per_warp ? size->per_warp : large(*size) ? 2 : 1;
  return row_products<T>(size->gated != 0, per_warp, size->vectors, size->inputs, size->outputs, weights, x, y, stream);
}

template <typename T>
int multiply(const OnrampMatVecInt4* size, const void* x, const void* weight, const void* scale, void* y,
             void* stream) {
  if (size->vectors < 0 || size->inputs < 0 || size->inputs % 8 || size->outputs < 0 || size->groups < 1 ||
      size->inputs % size->groups || !aligned(x, 16) || !aligned(weight, 16))
    return cudaErrorInvalidValue;
  const int group = size->inputs / size->groups;
  int shift = 30;
  if (size->groups > 1)
    for (shift = 3; shift < 30 && 1 << shift != group;) ++shift;
  if (size->groups > 1 && shift == 30) return cudaErrorInvalidValue;
  const int most = group % 32 == 0 ? 4 : group % 16 == 0 ? 2 : 1;
  const int wished = large(*size) ? 4 : size->inputs > 4096 ? 2 : 1;
  const int words = size->words ? size->words : wished < most ? wished : most;
  if (words > most) return cudaErrorInvalidValue;
  if constexpr (sizeof(T) == sizeof(half)) {
    if (words == 4) return multiply<T, 4>(size, shift, x, weight, scale, y, stream);
    if (words == 2) return multiply<T, 2>(size, shift, x, weight, scale, y, stream);
  }
  if (words < 1 || words == 3) return cudaErrorInvalidValue;
  return multiply<T, 1>(size, shift, x, weight, scale, y, stream);
}

}  // namespace
}  // namespace onramp

ONRAMP_EXPORT int onramp_matvec_int4_fp32(const OnrampMatVecInt4* size, const void* x, const void* weight,
                                          const void* scale, void* y, void* stream) {
  return onramp::multiply<float>(size, x, weight, scale, y, stream);
}

ONRAMP_EXPORT int onramp_matvec_int4_fp16(const OnrampMatVecInt4* size, const void* x, const void* weight,
                                          const void* scale, void* y, void* stream) {
  return onramp::multiply<half>(size, x, weight, scale, y, stream);
}
