// One thread samples one voxel in a chunk of channels: the eight taps are found once, then every channel costs eight loads
// from its plane, at offsets that do not change, and one store. Neighboring threads are neighboring voxels of a row, so
// that what they read and write lies together. A chunk of channels is short enough that its planes stay in L2 while the
// slices of all depths pass through: from memory each cell then comes once.
//
// Compiled without contraction to fused multiply-adds, so that nearest takes the cell that the definition takes.
#include "grid_sample_3d.h"

#include <cmath>

#include "launch.h"

namespace onramp {
namespace {

constexpr int kChannels = 32;  // per thread

// The two cells on one axis that a coordinate lies between. One with weight zero is replaced by the other, so that
// nothing is read that does not count, and nothing outside.
struct Axis {
  int cell, other;
  float weight, other_weight;
};

ONRAMP_DEVICE Axis axis(const OnrampVolumeSampling& size, float coordinate, int extent) {
  const float last = extent - 1.0f;
  float x = size.align_corners ? (coordinate + 1.0f) / 2.0f * last : ((coordinate + 1.0f) * extent - 1.0f) / 2.0f;
  if (size.border) x = fminf(fmaxf(x, 0.0f), last);  // fmaxf takes the number of the two
  if (size.nearest) {
    x = nearbyintf(x);
    const bool inside = x >= 0.0f && x <= last;
    const int cell = inside ? static_cast<int>(x) : 0;
    return {cell, cell, inside ? 1.0f : 0.0f, 0.0f};
  }
  if (!(x > -1.0f && x < extent)) return {0, 0, 0.0f, 0.0f};  // NaN also ends here
  const float floor = floorf(x), part = x - floor;
  const int cell = static_cast<int>(floor);
  if (cell < 0) return {0, 0, part, 0.0f};
  if (cell + 1 == extent || part == 0.0f) return {cell, cell, 1.0f - part, 0.0f};
  return {cell, cell + 1, 1.0f - part, part};
}

struct Taps {
  unsigned offset[8];  // from the beginning of a channel's plane
  float weight[8];
  bool any;
};

// Two channels in the halves of one register.
struct Pair {
  half2 weight[8];

  ONRAMP_DEVICE explicit Pair(const Taps& taps) {
    for (int i = 0; i < 8; ++i) weight[i] = __float2half2_rn(taps.weight[i]);
  }
  ONRAMP_DEVICE void blend(const Taps& taps, const half* low, const half* high, half* to_low, half* to_high) const {
    half2 sum = __float2half2_rn(0.0f);
    if (taps.any)
      for (int i = 0; i < 8; ++i)
        sum = __hfma2(weight[i], __halves2half2(low[taps.offset[i]], high[taps.offset[i]]), sum);
    *to_low = __low2half(sum);
    *to_high = __high2half(sum);
  }
};

template <typename T, int N>  // N channels are blended at once
struct SampleVolume {
  OnrampVolumeSampling size;
  const T* input;
  const void* grid;
  T* output;

  ONRAMP_DEVICE void operator()(int index) const {
    const int voxels = size.out_depth * size.out_height * size.out_width;
    const int chunks = (size.channels + kChannels - 1) / kChannels;
    const int voxel = index % voxels, row = index / voxels, batch = row / chunks, first = row % chunks * kChannels;
    const int count = first + kChannels < size.channels ? kChannels : size.channels - first;
    const int64_t plane = static_cast<int64_t>(size.depth) * size.height * size.width;
    const int64_t channel = static_cast<int64_t>(batch) * size.channels + first;
    const T* from = input + channel * plane;
    T* to = output + channel * voxels + voxel;
    const Taps taps = find(batch, voxel, voxels);
    int done = 0;
    if constexpr (N == 2) {
      const Pair pair(taps);
      for (; done + 1 < count; done += 2, from += 2 * plane, to += 2 * static_cast<int64_t>(voxels))
        pair.blend(taps, from, from + plane, to, to + voxels);
    }
    for (; done < count; ++done, from += plane, to += voxels) blend(taps, from, to);
  }

  ONRAMP_DEVICE float coordinate(int batch, int voxel, int voxels, int axis) const {
    const int64_t start = static_cast<int64_t>(batch) * 3 * voxels;
    const int64_t at = start + (size.points_last ? static_cast<int64_t>(voxel) * 3 + axis
                                                 : static_cast<int64_t>(axis) * voxels + voxel);
    const float value = size.half_grid ? to_float(static_cast<const half*>(grid)[at])
                                       : static_cast<const float*>(grid)[at];
    return size.points_last ? value : value / 10.0f;
  }

  ONRAMP_DEVICE Taps find(int batch, int voxel, int voxels) const {
    const Axis x = axis(size, coordinate(batch, voxel, voxels, 0), size.width);
    const Axis y = axis(size, coordinate(batch, voxel, voxels, 1), size.height);
    const Axis z = axis(size, coordinate(batch, voxel, voxels, 2), size.depth);
    Taps taps;
    for (int i = 0; i < 8; ++i) {
      const int column = i & 1 ? x.other : x.cell, line = i & 2 ? y.other : y.cell, slice = i & 4 ? z.other : z.cell;
      taps.offset[i] = (static_cast<unsigned>(slice) * size.height + line) * size.width + column;
      taps.weight[i] = (i & 1 ? x.other_weight : x.weight) * (i & 2 ? y.other_weight : y.weight) *
                       (i & 4 ? z.other_weight : z.weight);
    }
    taps.any = x.weight != 0.0f && y.weight != 0.0f && z.weight != 0.0f;
    return taps;
  }

  ONRAMP_DEVICE static void blend(const Taps& taps, const T* from, T* to) {
    float sum = 0.0f;
    if (taps.any)
      for (int i = 0; i < 8; ++i) sum += taps.weight[i] * to_float(from[taps.offset[i]]);
    from_float(sum, *to);
  }
};

template <typename T, int N>
int sample(const OnrampVolumeSampling* size, const void* input, const void* grid, void* output, void* stream) {
  const OnrampVolumeSampling& s = *size;
  const int64_t plane = static_cast<int64_t>(s.depth) * s.height * s.width;
  const int64_t voxels = static_cast<int64_t>(s.out_depth) * s.out_height * s.out_width;
  if (s.batch < 0 || s.channels < 0 || s.depth < 1 || s.height < 1 || s.width < 1 || plane > INT32_MAX ||
      s.out_depth < 0 || s.out_height < 0 || s.out_width < 0 || voxels > INT32_MAX)
    return cudaErrorInvalidValue;
  const int64_t chunks = (static_cast<int64_t>(s.channels) + kChannels - 1) / kChannels;
  const SampleVolume<T, N> body{s, static_cast<const T*>(input), grid, static_cast<T*>(output)};
  return for_each(body, s.batch * chunks * voxels, stream);
}

}  // namespace
}  // namespace onramp

ONRAMP_EXPORT int onramp_grid_sample_3d_fp32(const OnrampVolumeSampling* size, const void* input, const void* grid,
                                             void* output, void* stream) {
  return onramp::sample<float, 1>(size, input, grid, output, stream);
}

ONRAMP_EXPORT int onramp_grid_sample_3d_fp16(const OnrampVolumeSampling* size, const void* input, const void* grid,
                                             void* output, void* stream) {
  return onramp::sample<half, 1>(size, input, grid, output, stream);
}

ONRAMP_EXPORT int onramp_grid_sample_3d_fp16x2(const OnrampVolumeSampling* size, const void* input, const void* grid,
                                               void* output, void* stream) {
  return onramp::sample<half, 2>(size, input, grid, output, stream);
}
