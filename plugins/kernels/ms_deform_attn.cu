// One thread computes N neighboring channels of one (batch, query, head): 16 bytes per tap where D allows it, so that
// the lanes of a head read whole sectors. The softmax and the coordinates are recomputed by each lane of a head, from
// operands that its neighbors have just brought into L1: cheaper than sharing them through memory.
#include "ms_deform_attn.h"

#include <cmath>
#include <type_traits>

#include "launch.h"

namespace onramp {
namespace {

template <typename T, typename Reference, int N, bool packed>
struct Attend {
  OnrampAttention size;
  const T* value;
  const void* shapes;
  const Reference* references;
  const T* offsets;
  const T* weights;
  T* output;

  ONRAMP_DEVICE void operator()(int index) const {
    const int lanes = size.channels / N, row = index / lanes;  // row: (n, q, m)
    const int query = row / size.heads, head = row % size.heads;
    const int entries = size.levels * size.points, stride = size.heads * size.channels;
    const T* logit = weights + static_cast<int64_t>(row) * entries;
    const T* offset = offsets + static_cast<int64_t>(row) * entries * 2;
    const Reference* reference = references + static_cast<int64_t>(query) * size.groups * 2;
    const T* cells = value + static_cast<int64_t>(query / size.queries) * size.cells * stride + head * size.channels +
                     (index % lanes) * N;
    float largest = -INFINITY, total = 0.0f, sum[N] = {};
    for (int entry = 0; entry < entries; ++entry) largest = fmaxf(largest, to_float(logit[entry]));
    for (int level = 0; level < size.levels; ++level) {
      const int height = extent(2 * level), width = extent(2 * level + 1);
      for (int point = 0, group = 0; point < size.points; ++point, ++logit, offset += 2) {
        const float share = expf(to_float(*logit) - largest);
        const Pack<Reference, 2> origin = load<2>(reference + 2 * group);
        const Pack<T, 2> shift = load<2>(offset);
        const float x = to_float(origin.item[0]) * width + to_float(shift.item[0]) - 0.5f;
        const float y = to_float(origin.item[1]) * height + to_float(shift.item[1]) - 0.5f;
        total += share;
        sample(cells, stride, height, width, x, y, share, sum);
        if (++group == size.groups) group = 0;
      }
      cells += static_cast<int64_t>(height) * width * stride;
    }
    Pack<T, N> result;
    for (int i = 0; i < N; ++i) from_float(sum[i] / total, result.item[i]);
    store(output + static_cast<int64_t>(index) * N, result);
  }

  ONRAMP_DEVICE int extent(int position) const {
    return size.wide_shapes ? static_cast<int>(static_cast<const int64_t*>(shapes)[position])
                            : static_cast<const int32_t*>(shapes)[position];
  }

  // Adds `share` times the bilinear sample at cell coordinates (x, y), 0 the center of the first cell.
  ONRAMP_DEVICE static void sample(const T* cells, int stride, int height, int width, float x, float y, float share,
                                   float (&sum)[N]) {
    if (!(x > -1.0f && y > -1.0f && x < width && y < height)) return;  // NaN also ends here
    const float left = floorf(x), top = floorf(y), right_part = x - left, lower_part = y - top;
    const int column = static_cast<int>(left), line = static_cast<int>(top);
    const T* corner = cells + (static_cast<int64_t>(line) * width + column) * stride;
    const bool in_left = column >= 0, in_right = column + 1 < width, in_top = line >= 0, in_low = line + 1 < height;
    const T* below = corner + static_cast<int64_t>(width) * stride;
    const auto blend = [&](float scale, auto& into) {
      const float upper = scale * (1.0f - lower_part), lower = scale * lower_part;
      tap(corner, in_left && in_top, upper * (1.0f - right_part), into);
      tap(corner + stride, in_right && in_top, upper * right_part, into);
      tap(below, in_left && in_low, lower * (1.0f - right_part), into);
      tap(below + stride, in_right && in_low, lower * right_part, into);
    };
    if constexpr (packed) {  // the four taps of a point in pairs of halves, the points in float32
      half2 part[N / 2] = {};
      blend(1.0f, part);
      for (int i = 0; i < N; ++i) sum[i] += share * to_float(i % 2 ? __high2half(part[i / 2]) : __low2half(part[i / 2]));
    } else {
      blend(share, sum);
    }
  }

  ONRAMP_DEVICE static void tap(const T* cell, bool inside, float weight, float (&sum)[N]) {
    if (!inside) return;
    const Pack<T, N> channels = load<N>(cell);
    for (int i = 0; i < N; ++i) sum[i] += weight * to_float(channels.item[i]);
  }

  ONRAMP_DEVICE static void tap(const half* cell, bool inside, float weight, half2 (&sum)[N / 2]) {
    if (!inside) return;
    const Pack<half, N> channels = load<N>(cell);
    for (int i = 0; i < N / 2; ++i)
      sum[i] = __hfma2(__float2half2_rn(weight), __halves2half2(channels.item[2 * i], channels.item[2 * i + 1]), sum[i]);
  }
};

template <typename T, typename Reference, bool packed = false>
int attend(const OnrampAttention* size, const void* value, const void* shapes, const void* references,
           const void* offsets, const void* weights, void* output, void* stream) {
  const OnrampAttention& s = *size;
  if (s.batch < 0 || s.queries < 0 || s.cells < 1 || s.heads < 1 || s.channels < 1 || s.levels < 1 || s.points < 1 ||
      s.groups < 1 || s.points % s.groups || !within(INT32_MAX, {s.heads, s.channels}) ||
      !within(INT32_MAX, {s.levels, s.points, 2}) || !within(INT32_MAX, {s.batch, s.queries}) || !aligned(references, 2 * sizeof(Reference)) ||
      !aligned(offsets, 2 * sizeof(T)))
    return cudaErrorInvalidValue;
  const int64_t elements = static_cast<int64_t>(s.batch) * s.queries * s.heads * s.channels;
  const auto launch = [&](auto width) {
    constexpr int N = decltype(width)::value;
    const Attend<T, Reference, N, packed && N % 2 == 0> body{s,
                                                             static_cast<const T*>(value),
                                                             shapes,
                                                             static_cast<const Reference*>(references),
                                                             static_cast<const T*>(offsets),
                                                             static_cast<const T*>(weights),
                                                             static_cast<T*>(output)};
    return for_each(body, elements / N, stream);
  };
  const auto fits = [&](int n) {
    return s.channels % n == 0 && aligned(value, n * sizeof(T)) && aligned(output, n * sizeof(T));
  };
  constexpr int widest = 16 / sizeof(T);
  if (fits(widest)) return launch(std::integral_constant<int, widest>());
  if (fits(4)) return launch(std::integral_constant<int, 4>());
  if (fits(2)) return launch(std::integral_constant<int, 2>());
  return launch(std::integral_constant<int, 1>());
}

}  // namespace
}  // namespace onramp

#define ONRAMP_ATTEND(form, ...)                                                                                       \
  ONRAMP_EXPORT int onramp_ms_deform_attn_##form(const OnrampAttention* size, const void* value, const void* shapes,   \
                                                 const void* references, const void* offsets, const void* weights,     \
                                                 void* output, void* stream) {                                         \
    return onramp::attend<__VA_ARGS__>(size, value, shapes, references, offsets, weights, output, stream);             \
  }

ONRAMP_ATTEND(fp32, float, float)
ONRAMP_ATTEND(fp16, half, half)
ONRAMP_ATTEND(fp16_ref32, half, float)
ONRAMP_ATTEND(fp16x2, half, half, true)
ONRAMP_ATTEND(fp16x2_ref32, half, float, true)
