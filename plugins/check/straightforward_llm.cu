// As straightforward.cu, the operators of a language model: one thread per number of the output.
#include <cmath>

#include "../kernels/add_rms_norm.h"
#include "../kernels/cached_attention.h"
#include "../kernels/launch.h"
#include "../kernels/matvec.h"
#include "../kernels/matvec_int4.h"

namespace onramp {
namespace {

// Writes an output of a product, of which `body.sum` gives every row; gated, of two.
template <typename Body>
ONRAMP_DEVICE void product(const Body& body, int index) {
  const int vector = index / body.s.outputs, row = index % body.s.outputs;
  const float first = body.sum(vector, row);
  from_float(body.s.gated ? first / (1 + expf(-first)) * body.sum(vector, body.s.outputs + row) : first, body.y[index]);
}

template <typename T>
struct Product {
  OnrampMatVec s;
  const T *x, *weight;
  T* y;

  ONRAMP_DEVICE float sum(int vector, int row) const {
    float sum = 0.0f;
    for (int i = 0; i < s.inputs; ++i)
      sum += to_float(x[static_cast<int64_t>(vector) * s.inputs + i]) *
             to_float(weight[static_cast<int64_t>(row) * s.inputs + i]);
    return sum;
  }
  ONRAMP_DEVICE void operator()(int index) const { product(*this, index); }
};

template <typename T>
struct ProductInt4 {
  OnrampMatVecInt4 s;
  const T *x, *scale;
  const uint32_t* weight;
  T* y;

  ONRAMP_DEVICE float sum(int vector, int row) const {
    float sum = 0.0f;
    for (int i = 0; i < s.inputs; ++i) {
      const uint32_t word = weight[static_cast<int64_t>(row) * (s.inputs / 8) + i / 8];
      const int code = static_cast<int>(word >> (i % 2 * 16 + i % 8 / 2 * 4) & 15) - 8;
      sum += to_float(x[static_cast<int64_t>(vector) * s.inputs + i]) * code *
             to_float(scale[static_cast<int64_t>(row) * s.groups + i / (s.inputs / s.groups)]);
    }
    return sum;
  }
  ONRAMP_DEVICE void operator()(int index) const { product(*this, index); }
};

template <typename T>
struct Normalize {
  OnrampAddRmsNorm s;
  const T *x, *residual, *weight;
  T *y, *total;

  ONRAMP_DEVICE float added(int64_t index) const {
    T rounded;
    from_float(to_float(x[index]) + to_float(residual[index]), rounded);
    return to_float(rounded);
  }
  ONRAMP_DEVICE void operator()(int index) const {
    const int64_t first = static_cast<int64_t>(index / s.width) * s.width;
    float squares = 0.0f;
    for (int i = 0; i < s.width; ++i) squares += added(first + i) * added(first + i);
    const float own = added(index);
    from_float(own, total[index]);
    from_float(own / sqrtf(squares / s.width + s.epsilon) * to_float(weight[index % s.width]), y[index]);
  }
};

template <typename T>
struct Cache {
  OnrampCachedAttention s;
  const T* qkv;
  const void* lengths;
  const float* rotation;
  T *keys, *values;

  ONRAMP_DEVICE int position(int row, int token) const {
    return token + static_cast<int>(s.wide_lengths ? static_cast<const int64_t*>(lengths)[row]
                                                   : static_cast<const int32_t*>(lengths)[row]);
  }
  ONRAMP_DEVICE float projected(int row, int token, int head, int dim) const {
    const int64_t width = static_cast<int64_t>(s.heads + 2 * s.kv_heads) * s.dims;
    return to_float(qkv[(static_cast<int64_t>(row) * s.tokens + token) * width + head * s.dims + dim]);
  }
  ONRAMP_DEVICE float turned(int row, int token, int head, int dim) const {
    const int half_dims = s.dims / 2, angle = dim % half_dims;
    const float* angles = rotation + static_cast<int64_t>(position(row, token)) * s.dims;
    const float across = projected(row, token, head, (dim + half_dims) % s.dims) * angles[half_dims + angle];
    return projected(row, token, head, dim) * angles[angle] + (dim < half_dims ? -across : across);
  }
  ONRAMP_DEVICE int64_t slot(int row, int kv_head, int number) const {
    return ((static_cast<int64_t>(row) * s.kv_heads + kv_head) * s.slots + number) * s.dims;
  }
  ONRAMP_DEVICE void operator()(int index) const {
    const int dim = index % s.dims, head = index / s.dims % s.kv_heads, query = index / s.dims / s.kv_heads;
    const int row = query / s.tokens, token = query % s.tokens;
    const int64_t at = slot(row, head, position(row, token)) + dim;
    from_float(turned(row, token, s.heads + head, dim), keys[at]);
    from_float(projected(row, token, s.heads + s.kv_heads + head, dim), values[at]);
  }
};

template <typename T>
struct AttendCached {
  Cache<T> of;
  T* output;

  ONRAMP_DEVICE float score(int row, int token, int head, int64_t key) const {
    float sum = 0.0f;
    for (int dim = 0; dim < of.s.dims; ++dim) sum += of.turned(row, token, head, dim) * to_float(of.keys[key + dim]);
    return sum / sqrtf(static_cast<float>(of.s.dims));
  }
  ONRAMP_DEVICE void operator()(int index) const {
    const OnrampCachedAttention& s = of.s;
    const int dim = index % s.dims, head = index / s.dims % s.heads, query = index / s.dims / s.heads;
    const int row = query / s.tokens, token = query % s.tokens, last = of.position(row, token);
    float most = -INFINITY, total = 0.0f, sum = 0.0f;
    for (int pass = 0; pass < 2; ++pass)
      for (int slot = 0; slot <= last; ++slot) {
        const int64_t at = of.slot(row, head / (s.heads / s.kv_heads), slot);
        const float found = score(row, token, head, at);
        if (pass == 0) most = fmaxf(most, found);
        if (pass == 0) continue;
        total += expf(found - most), sum += expf(found - most) * to_float(of.values[at + dim]);
      }
    from_float(sum / total, output[index]);
  }
};

int copied(const void* from, void* to, size_t bytes, void* stream) {
#ifdef __CUDACC__
  return from == to ? cudaSuccess
                    : cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, static_cast<cudaStream_t>(stream));
#else
  (void)stream;
  return from == to ? 0 : (memcpy(to, from, bytes), 0);
#endif
}

template <typename T>
T* as(void* address) { return static_cast<T*>(address); }
template <typename T>
const T* as(const void* address) { return static_cast<const T*>(address); }

template <typename T>
int attend(const OnrampCachedAttention& s, const void* const (&in)[5], void* output, void* key, void* value,
           void* stream) {
  const size_t bytes = sizeof(T) * s.batch * s.kv_heads * s.slots * s.dims;
  int code = copied(in[3], key, bytes, stream);
  code = code ? code : copied(in[4], value, bytes, stream);
  const Cache<T> cache{s, as<T>(in[0]), in[1], as<float>(in[2]), as<T>(key), as<T>(value)};
  const int64_t queries = static_cast<int64_t>(s.batch) * s.tokens;
  code = code ? code : for_each(cache, queries * s.kv_heads * s.dims, stream);
  return code ? code : for_each(AttendCached<T>{cache, as<T>(output)}, queries * s.heads * s.dims, stream);
}

}  // namespace
}  // namespace onramp

using namespace onramp;

#define FORMS(form, T)                                                                                                \
  ONRAMP_EXPORT int onramp_matvec_##form(const OnrampMatVec* s, const void* x, const void* weight, void* y,           \
                                         void* stream) {                                                              \
    const Product<T> body{*s, as<T>(x), as<T>(weight), as<T>(y)};                                                     \
    return for_each(body, static_cast<int64_t>(s->vectors) * s->outputs, stream);                                     \
  }                                                                                                                   \
  ONRAMP_EXPORT int onramp_matvec_int4_##form(const OnrampMatVecInt4* s, const void* x, const void* weight,           \
                                              const void* scale, void* y, void* stream) {                             \
    const ProductInt4<T> body{*s, as<T>(x), as<T>(scale), as<uint32_t>(weight), as<T>(y)};                            \
    return for_each(body, static_cast<int64_t>(s->vectors) * s->outputs, stream);                                     \
  }                                                                                                                   \
  ONRAMP_EXPORT int onramp_add_rms_norm_##form(const OnrampAddRmsNorm* s, const void* x, const void* residual,        \
                                               const void* weight, void* y, void* total, void* stream) {              \
    const Normalize<T> body{*s, as<T>(x), as<T>(residual), as<T>(weight), as<T>(y), as<T>(total)};                    \
    return for_each(body, static_cast<int64_t>(s->rows) * s->width, stream);                                          \
  }                                                                                                                   \
  ONRAMP_EXPORT int onramp_cached_attention_##form(const OnrampCachedAttention* s, const void* qkv,                   \
                                                   const void* lengths, const void* rotation, const void* past_key,   \
                                                   const void* past_value, void*, void* output, void* present_key,    \
                                                   void* present_value, void* stream) {                               \
    return attend<T>(*s, {qkv, lengths, rotation, past_key, past_value}, output, present_key, present_value, stream); \
  }
FORMS(fp32, float)
FORMS(fp16, half)

ONRAMP_EXPORT size_t onramp_cached_attention_workspace(int, int, int) { return 0; }
