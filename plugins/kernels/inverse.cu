// Compiled without contraction to fused multiply-adds: every value is rounded as in the operator's definition.
#include "inverse.h"

#include "launch.h"

namespace onramp {
namespace {

// One matrix: nine values that are read once, and nothing that threads could share.
struct Invert {
  const float* matrix;
  float* output;

  ONRAMP_DEVICE void operator()(int index) const {
    const float* m = matrix + static_cast<int64_t>(index) * 9;
    float* made = output + static_cast<int64_t>(index) * 9;
    float adjugate[9];
    for (int j = 0; j < 3; ++j)
      for (int i = 0; i < 3; ++i) {
        const int i1 = (i + 1) % 3 * 3, i2 = (i + 2) % 3 * 3, j1 = (j + 1) % 3, j2 = (j + 2) % 3;
        adjugate[3 * j + i] = m[i1 + j1] * m[i2 + j2] - m[i1 + j2] * m[i2 + j1];
      }
    const float determinant = m[0] * adjugate[0] + m[1] * adjugate[3] + m[2] * adjugate[6];
    for (int k = 0; k < 9; ++k) made[k] = adjugate[k] / determinant;
  }
};

}  // namespace
}  // namespace onramp

ONRAMP_EXPORT int onramp_inverse_fp32(const OnrampInverse* size, const void* matrix, void* output, void* stream) {
  const onramp::Invert body{static_cast<const float*>(matrix), static_cast<float*>(output)};
  return onramp::for_each(body, size->matrices, stream);
}
