// One thread walks up a column of voxels with a group of channels. A voxel blends four taps of a slice with four of the next
// slice, and the column of a vehicle that hardly tilts finds its lower four where the upper four of the voxel before it
// were: they stay in registers, and each voxel costs half of its loads. Where they are elsewhere, all eight are read, so
// that any grid is right. Neighboring threads are neighboring voxels of a row: what they read and write lies together.
//
// Compiled without contraction to fused multiply-adds, so that nearest takes the cell that the definition takes.
#include "grid_sample_3d.h"

#include <cmath>

#include "launch.h"

namespace onramp {
namespace {

constexpr int kGroup = 8;     // values per thread: channels, or pairs of them
constexpr int kResident = 5;  // blocks per multiprocessor: 96 registers hold a group, and more at once hide more waiting

// The two cells on one axis that a coordinate lies between. One outside, or with weight zero, is replaced by the other:
// nothing is read that does not count. `weight` is zero only where neither counts.
struct Axis {
  int cell, other;
  float weight, other_weight;
};

ONRAMP_DEVICE Axis axis(const OnrampVolumeSampling& size, float coordinate, int extent) {
  const float last = extent - 1.0f;
  float x = size.align_corners ? (coordinate + 1.0f) / 2.0f * last : ((coordinate + 1.0f) * extent - 1.0f) / 2.0f;
  x = fmaxf(x, size.border ? 0.0f : -1.0f);  // takes the number of the two
  x = fminf(x, size.border ? last : static_cast<float>(extent));
  if (size.nearest) x = nearbyintf(x);
  const float floor = floorf(x), part = x - floor;
  const int cell = static_cast<int>(floor);
  const bool low = cell >= 0 && cell < extent, high = cell + 1 < extent && part > 0.0f;
  if (low && high) return {cell, cell + 1, 1.0f - part, part};
  if (high) return {cell + 1, cell + 1, part, 0.0f};
  return {cell, cell, low ? 1.0f - part : 0.0f, 0.0f};
}

// One channel, blended in float32.
template <typename T>
struct Single {
  static constexpr int kChannels = 1;
  using Value = float;

  ONRAMP_DEVICE static Value zero() { return 0.0f; }
  ONRAMP_DEVICE static float weight(float exact) { return exact; }
  ONRAMP_DEVICE static Value read(const T* channel, const T*) { return to_float(load_once(channel)); }
  ONRAMP_DEVICE static Value add(float weight, Value value, Value sum) { return sum + weight * value; }
  ONRAMP_DEVICE static void write(Value sum, T* channel, T*) {
    T rounded;
    from_float(sum, rounded);
    store_once(channel, rounded);
  }
};

// Two channels in the halves of one register.
struct Pair {
  static constexpr int kChannels = 2;
  using Value = half2;

  ONRAMP_DEVICE static Value zero() { return __float2half2_rn(0.0f); }
  ONRAMP_DEVICE static half2 weight(float exact) { return __float2half2_rn(exact); }
  ONRAMP_DEVICE static Value read(const half* low, const half* high) {
    return __halves2half2(load_once(low), load_once(high));
  }
  ONRAMP_DEVICE static Value add(half2 weight, Value value, Value sum) { return __hfma2(weight, value, sum); }
  ONRAMP_DEVICE static void write(Value sum, half* low, half* high) {
    store_once(low, __low2half(sum));
    store_once(high, __high2half(sum));
  }
};

template <typename T, typename Math, int N>  // N values at once
struct SampleColumn {
  using Value = typename Math::Value;

  OnrampVolumeSampling size;
  const T* input;
  const void* grid;
  T* output;
  int first;  // channel of the first row of threads

  static constexpr int kChannels = N * Math::kChannels;

  ONRAMP_DEVICE int flat() const { return size.out_height * size.out_width; }
  ONRAMP_DEVICE int64_t plane() const { return static_cast<int64_t>(size.depth) * size.height * size.width; }
  ONRAMP_DEVICE int64_t voxels() const { return static_cast<int64_t>(size.out_depth) * flat(); }

  ONRAMP_DEVICE void operator()(int column, int row) const {
    const int rows = (size.channels - first) / kChannels, batch = row / rows;
    const int64_t channel = static_cast<int64_t>(batch) * size.channels + first + row % rows * kChannels;
    const T* from = input + channel * plane();
    T* to = output + channel * voxels() + column;
    Value kept[N][4] = {};
    unsigned held[4] = {~0u, ~0u, ~0u, ~0u};  // where `kept` was read
    const int step = flat(), stop = size.out_depth * step;
    for (int voxel = column; voxel < stop; voxel += step, to += step) {
      Value sum[N];
      for (int n = 0; n < N; ++n) sum[n] = Math::zero();
      sample(from, batch, voxel, held, kept, sum);
      write(sum, to);
    }
  }

  ONRAMP_DEVICE void sample(const T* from, int batch, int voxel, unsigned (&held)[4], Value (&kept)[N][4],
                            Value (&sum)[N]) const {
    const Axis x = axis(size, coordinate(batch, voxel, 0), size.width);
    const Axis y = axis(size, coordinate(batch, voxel, 1), size.height);
    const Axis z = axis(size, coordinate(batch, voxel, 2), size.depth);
    if (x.weight == 0.0f || y.weight == 0.0f || z.weight == 0.0f) return;  // zeros
    const unsigned line = (static_cast<unsigned>(z.cell) * size.height + y.cell) * size.width;
    const unsigned next = line + (y.other - y.cell) * size.width;
    const unsigned at[4] = {line + x.cell, line + x.other, next + x.cell, next + x.other};
    const float weight[4] = {x.weight * y.weight, x.other_weight * y.weight, x.weight * y.other_weight,
                             x.other_weight * y.other_weight};
    if (at[0] != held[0] || at[3] != held[3]) read(from, at, kept);  // the two between follow from these
    blend(weight, z.weight, kept, sum);
    const unsigned up = static_cast<unsigned>(z.other - z.cell) * size.height * size.width;
    for (int i = 0; i < 4; ++i) held[i] = at[i] + up;
    if (up == 0) return;
    read(from, held, kept);
    blend(weight, z.other_weight, kept, sum);
  }

  ONRAMP_DEVICE float coordinate(int batch, int voxel, int axis) const {
    const int64_t start = batch * 3 * voxels();
    const int64_t at = start + (size.points_last ? static_cast<int64_t>(voxel) * 3 + axis : axis * voxels() + voxel);
    const float value = size.half_grid ? to_float(static_cast<const half*>(grid)[at])
                                       : static_cast<const float*>(grid)[at];
    return size.points_last ? value : value / 10.0f;
  }

  ONRAMP_DEVICE void read(const T* from, const unsigned (&at)[4], Value (&kept)[N][4]) const {
    const T* low = in_register(from);
    for (int n = 0; n < N; ++n) {
      const T* high = Math::kChannels == 2 ? in_register(low + plane()) : low;
      for (int i = 0; i < 4; ++i) kept[n][i] = Math::read(low + at[i], high + at[i]);
      low = in_register(high + plane());
    }
  }

  ONRAMP_DEVICE static void blend(const float (&weight)[4], float share, const Value (&kept)[N][4], Value (&sum)[N]) {
    for (int i = 0; i < 4; ++i) {
      const auto whole = Math::weight(weight[i] * share);
      for (int n = 0; n < N; ++n) sum[n] = Math::add(whole, kept[n][i], sum[n]);
    }
  }

  ONRAMP_DEVICE void write(const Value (&sum)[N], T* to) const {
    T* low = in_register(to);
    for (int n = 0; n < N; ++n) {
      T* high = Math::kChannels == 2 ? in_register(low + voxels()) : low;
      Math::write(sum[n], low, high);
      low = in_register(high + voxels());
    }
  }
};

template <typename T, typename Math, int N>
int sample_from(int first, const OnrampVolumeSampling& s, const void* input, const void* grid, void* output, void* stream) {
  const SampleColumn<T, Math, N> body{s, static_cast<const T*>(input), grid, static_cast<T*>(output), first};
  const int64_t rows = (s.channels - first) / body.kChannels;
  return for_each_2d<kResident>(body, static_cast<int64_t>(s.out_height) * s.out_width, s.batch * rows, stream);
}

// The channels in whole groups, then those that are left, one by one in float32.
template <typename T, typename Math>
int sample(const OnrampVolumeSampling* size, const void* input, const void* grid, void* output, void* stream) {
  const OnrampVolumeSampling& s = *size;
  if (s.batch < 0 || s.channels < 0 || s.depth < 1 || s.height < 1 || s.width < 1 || s.out_depth < 0 ||
      s.out_height < 0 || s.out_width < 0 || !within(INT32_MAX, {s.batch, 3}) ||
      !within(INT32_MAX, {s.depth, s.height, s.width}) ||
      !within(INT32_MAX, {s.out_depth + int64_t{1}, s.out_height, s.out_width}))  // a column goes one step beyond
    return cudaErrorInvalidValue;
  const int grouped = s.channels - s.channels % (kGroup * Math::kChannels);
  if (const int code = sample_from<T, Math, kGroup>(0, s, input, grid, output, stream)) return code;
  return sample_from<T, Single<T>, 1>(grouped, s, input, grid, output, stream);
}

}  // namespace
}  // namespace onramp

ONRAMP_EXPORT int onramp_grid_sample_3d_fp32(const OnrampVolumeSampling* size, const void* input, const void* grid,
                                             void* output, void* stream) {
  return onramp::sample<float, onramp::Single<float>>(size, input, grid, output, stream);
}

ONRAMP_EXPORT int onramp_grid_sample_3d_fp16(const OnrampVolumeSampling* size, const void* input, const void* grid,
                                             void* output, void* stream) {
  return onramp::sample<half, onramp::Single<half>>(size, input, grid, output, stream);
}

ONRAMP_EXPORT int onramp_grid_sample_3d_fp16x2(const OnrampVolumeSampling* size, const void* input, const void* grid,
                                               void* output, void* stream) {
  return onramp::sample<half, onramp::Pair>(size, input, grid, output, stream);
}
