#include "matvec.h"

#include "row_products.h"

namespace onramp {
namespace {

template <typename T>
struct Plain {
  static constexpr int kUnit = 8, kHeld = 32;
  static constexpr int kWords = kUnit * sizeof(T) / sizeof(uint32_t);
  const T* weight;

  ONRAMP_DEVICE static Pack<float, kUnit> part(const T* x) { return load_eight(x); }

  ONRAMP_DEVICE void add(int row, int unit, int inputs, const Pack<float, kUnit>& x, float& sum) const {
    const T* address = weight + static_cast<int64_t>(row) * inputs + unit * kUnit;
    const Pack<uint32_t, kWords> words = load_words<kWords>(reinterpret_cast<const uint32_t*>(address));
    T values[kUnit];
    memcpy(values, words.item, sizeof values);
    for (int i = 0; i < kUnit; ++i) sum += to_float(values[i]) * x.item[i];
  }
};

template <typename T>
int multiply(const OnrampMatVec* size, const void* x, const void* weight, void* y, void* stream) {
  if (size->vectors < 0 || size->inputs < 0 || size->inputs % 8 || size->outputs < 0 || !aligned(x, 16) ||
      !aligned(weight, 16))
    return cudaErrorInvalidValue;
  const int per_warp = size->per_warp ? size->per_warp : 1;
  return row_products<T>(size->gated != 0, per_warp, size->vectors, size->inputs, size->outputs,
                         Plain<T>{static_cast<const T*>(weight)}, x, y, stream);
}

}  // namespace
}  // namespace onramp

ONRAMP_EXPORT int onramp_matvec_fp32(const OnrampMatVec* size, const void* x, const void* weight, void* y,
                                     void* stream) {
  return onramp::multiply<float>(size, x, weight, y, stream);
}

ONRAMP_EXPORT int onramp_matvec_fp16(const OnrampMatVec* size, const void* x, const void* weight, void* y,
                                     void* stream) {
  return onramp::multiply<half>(size, x, weight, y, stream);
}
