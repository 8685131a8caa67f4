// One thread makes a run of voxels along the height, several channels of each, with the same weights for all channels.
// Of a level it blends four cells at a time, those of one height, to one; voxels of a run lie between the same two
// heights or between neighboring ones, so that most of what is blended serves several voxels and is read once.
//
// Neighboring threads are neighbors in memory: along the width where that is innermost, else along the channels.
#include "mix_levels.h"

#include <cmath>

#include "launch.h"

namespace onramp {
namespace {

constexpr int kRun = 4;       // voxels per thread
constexpr int kGroup = 8;     // channels per thread where they are packed
constexpr int kLinear = 8;    // channels per thread where they are not
constexpr int kLevels = 3;    // beside the fine volume
constexpr int kLongest = 1 << 21;  // cells of an axis
constexpr int kResident = 4;  // blocks per multiprocessor: 128 registers hold a run and two heights of its cells

// The two cells on one axis that a voxel lies between, and the weight of the second.
struct Axis {
  int cell, other;
  float weight;
};

ONRAMP_DEVICE Axis axis(int place, int extent, float scale) {
  const float x = fmaxf((place + 0.5f) * scale - 0.5f, 0.0f);
  const int cell = static_cast<int>(x);  // below the extent: x is at most half a cell behind the last center
  return {cell, cell + 1 < extent ? cell + 1 : cell, x - cell};
}

// N channels of one stream: where they start, and how far it is to the next channel or, packed, to the next voxel.
template <typename T>
struct Volume {
  T* start;
  int64_t step;
};

template <typename T, int N>
struct Linear {
  using Type = T;
  static constexpr int kChannels = N;
  static constexpr bool kPacked = false;

  template <typename U>
  ONRAMP_DEVICE static Volume<U> volume(U* data, int batch, int channel, int channels, int64_t voxels) {
    return {data + (static_cast<int64_t>(batch) * channels + channel) * voxels, voxels};
  }
  ONRAMP_DEVICE static void read(const Volume<const T>& from, int voxel, float (&values)[N]) {
    const T* at = from.start + voxel;
    for (int n = 0; n < N; ++n, at = in_register(at + from.step)) values[n] = to_float(load_once(at));
  }
  ONRAMP_DEVICE static void write(const float (&values)[N], int, const Volume<T>& to, int voxel) {
    T* at = to.start + voxel;
    for (int n = 0; n < N; ++n, at = in_register(at + to.step)) {
      T rounded;
      from_float(values[n], rounded);
      store_once(at, rounded);
    }
  }
};

// Channels innermost, in whole groups: kDHWC8.
struct Packed {
  using Type = half;
  static constexpr int kChannels = kGroup;
  static constexpr bool kPacked = true;

  template <typename U>
  ONRAMP_DEVICE static Volume<U> volume(U* data, int batch, int channel, int channels, int64_t voxels) {
    const int64_t padded = (channels + kGroup - 1) / kGroup * kGroup;
    return {data + batch * voxels * padded + channel, padded};
  }
  ONRAMP_DEVICE static void read(const Volume<const half>& from, int voxel, float (&values)[kGroup]) {
    const auto pack = load<kGroup>(from.start + voxel * from.step);
    for (int n = 0; n < kGroup; ++n) values[n] = to_float(pack.item[n]);
  }
  ONRAMP_DEVICE static void write(const float (&values)[kGroup], int count, const Volume<half>& to, int voxel) {
    Pack<half, kGroup> pack;
    for (int n = 0; n < kGroup; ++n) from_float(n < count ? values[n] : 0.0f, pack.item[n]);
    store(to.start + voxel * to.step, pack);
  }
};

template <typename T>
struct Level {
  const T* data;
  int depth, height, width;
  float deep, high, wide;  // cells per voxel of the fine volume
};

template <typename Layout>
struct Mix {
  using T = typename Layout::Type;
  static constexpr int N = Layout::kChannels;

  OnrampLevels size;
  const T *fine, *shares;
  Level<T> levels[kLevels];
  T* output;
  int first, groups;  // channel of the first group, number of groups
  int64_t voxels;

  ONRAMP_DEVICE void operator()(int place, int row) const {
    const int group = Layout::kPacked ? place % groups : row / size.depth % groups;
    const int column = Layout::kPacked ? place / groups : place, depth = row % size.depth;
    const int batch = row / size.depth / (Layout::kPacked ? 1 : groups);
    mix(batch, first + group * N, depth, column / size.width * kRun, column % size.width);
  }

  ONRAMP_DEVICE void mix(int batch, int channel, int depth, int height, int width) const {
    int voxel[kRun];  // a run that leaves the volume stays at its end
    for (int i = 0; i < kRun; ++i) voxel[i] = (depth * size.height + inside(height + i)) * size.width + width;
    float total[kRun][N];
    const auto from = Layout::volume(fine, batch, channel, size.channels, voxels);
    for (int i = 0; i < kRun; ++i) Layout::read(from, voxel[i], total[i]);
    for (int i = 0; i < kRun; ++i) {
      const float part = share(batch, 0, voxel[i]);
      for (int n = 0; n < N; ++n) total[i][n] *= part;
    }
    for (int i = 0; i < kLevels; ++i) add(i, batch, channel, depth, height, width, voxel, total);
    const auto to = Layout::volume(output, batch, channel, size.channels, voxels);
    for (int i = 0; i < kRun; ++i)
      if (height + i < size.height) Layout::write(total[i], size.channels - channel, to, voxel[i]);
  }

  ONRAMP_DEVICE int inside(int height) const { return height < size.height ? height : size.height - 1; }

  ONRAMP_DEVICE float share(int batch, int number, int voxel) const {
    const int64_t at = size.packed_shares ? (batch * voxels + voxel) * kGroup + number
                                          : (static_cast<int64_t>(batch) * (kLevels + 1) + number) * voxels + voxel;
    return to_float(load_once(shares + at));
  }

  ONRAMP_DEVICE void add(int number, int batch, int channel, int depth, int height, int width,
                         const int (&voxel)[kRun], float (&total)[kRun][N]) const {
    const Level<T>& level = levels[number];
    const int64_t cells = static_cast<int64_t>(level.depth) * level.height * level.width;
    const auto from = Layout::volume(level.data, batch, channel, size.channels, cells);
    const Axis z = axis(depth, level.depth, level.deep), x = axis(width, level.width, level.wide);
    const int slice = z.cell * level.height * level.width, next = z.other * level.height * level.width;
    const int at[4] = {slice + x.cell, slice + x.other, next + x.cell, next + x.other};
    const float weight[4] = {(1.0f - z.weight) * (1.0f - x.weight), (1.0f - z.weight) * x.weight,
                             z.weight * (1.0f - x.weight), z.weight * x.weight};
    float lower[N] = {}, upper[N] = {};
    int held = -2;  // the height of `lower`
    ONRAMP_UNROLL(kRun)
    for (int i = 0; i < kRun; ++i) {
      const Axis y = axis(inside(height + i), level.height, level.high);
      if (y.cell != held) {
        if (y.cell == held + 1)
          for (int n = 0; n < N; ++n) lower[n] = upper[n];
        else
          blend(from, at, weight, y.cell * level.width, lower);
        blend(from, at, weight, y.other * level.width, upper);
        held = y.cell;
      }
      const float part = share(batch, number + 1, voxel[i]), high = part * y.weight, low = part - high;
      for (int n = 0; n < N; ++n) total[i][n] += low * lower[n] + high * upper[n];
    }
  }

  ONRAMP_DEVICE static void blend(const Volume<const T>& from, const int (&at)[4], const float (&weight)[4], int line,
                                  float (&sum)[N]) {
    for (int i = 0; i < 4; ++i) {
      float values[N];
      Layout::read(from, at[i] + line, values);
      for (int n = 0; n < N; ++n) sum[n] = weight[i] * values[n] + (i ? sum[n] : 0.0f);
    }
  }
};

struct Operands {
  const void *fine, *shares, *level[kLevels];
  void* output;
};

template <typename T>
Level<T> level_of(const OnrampLevels& s, const void* data, int depth, int height, int width) {
  return {static_cast<const T*>(data), depth, height, width, static_cast<float>(depth) / s.depth,
          static_cast<float>(height) / s.height, static_cast<float>(width) / s.width};
}

// The channels from `first` on, as many as make `groups`.
template <typename Layout>
int mix_from(int first, int groups, const OnrampLevels& s, const Operands& o, void* stream) {
  using T = typename Layout::Type;
  const int64_t voxels = static_cast<int64_t>(s.depth) * s.height * s.width;
  const Mix<Layout> body{s,
                         static_cast<const T*>(o.fine),
                         static_cast<const T*>(o.shares),
                         {level_of<T>(s, o.level[0], s.depth_1, s.height_1, s.width_1),
                          level_of<T>(s, o.level[1], s.depth_2, s.height_2, s.width_2),
                          level_of<T>(s, o.level[2], s.depth_3, s.height_3, s.width_3)},
                         static_cast<T*>(o.output),
                         first,
                         groups,
                         voxels};
  const int64_t columns = static_cast<int64_t>((s.height + kRun - 1) / kRun) * s.width;
  const int64_t rows = static_cast<int64_t>(s.batch) * s.depth;
  return Layout::kPacked ? for_each_2d<kResident>(body, columns * groups, rows, stream)
                         : for_each_2d<kResident>(body, columns, rows * groups, stream);
}

// No axis is so long that float32 would place a voxel beyond the last cell.
bool fits(int least, int depth, int height, int width) {
  for (const int extent : {depth, height, width})
    if (extent < least || extent > kLongest) return false;
  return within(INT32_MAX, {height, width, depth});
}

bool valid(const OnrampLevels& s) {
  return s.batch >= 0 && s.channels >= 0 && s.channels <= INT32_MAX - kGroup && within(INT32_MAX, {s.batch, s.depth}) &&
         fits(0, s.depth, s.height, s.width) &&
         fits(1, s.depth_1, s.height_1, s.width_1) && fits(1, s.depth_2, s.height_2, s.width_2) &&
         fits(1, s.depth_3, s.height_3, s.width_3);
}

template <typename T>
int mix(const OnrampLevels* size, const Operands& operands, void* stream) {
  if (!valid(*size) || size->packed_shares) return cudaErrorInvalidValue;
  const int whole = size->channels / kLinear, grouped = whole * kLinear;
  if (const int code = mix_from<Linear<T, kLinear>>(0, whole, *size, operands, stream)) return code;
  return mix_from<Linear<T, 1>>(grouped, size->channels - grouped, *size, operands, stream);
}

int mix_packed(const OnrampLevels* size, const Operands& o, void* stream) {
  const void* const volumes[] = {o.fine, o.level[0], o.level[1], o.level[2], o.output};
  for (const void* address : volumes)
    if (!aligned(address, sizeof(half) * kGroup)) return cudaErrorInvalidValue;
  if (!valid(*size)) return cudaErrorInvalidValue;
  return mix_from<Packed>(0, (size->channels + kGroup - 1) / kGroup, *size, o, stream);
}

}  // namespace
}  // namespace onramp

ONRAMP_EXPORT int onramp_mix_levels_fp32(const OnrampLevels* size, const void* fine, const void* shares,
                                         const void* level_1, const void* level_2, const void* level_3, void* output,
                                         void* stream) {
  return onramp::mix<float>(size, {fine, shares, {level_1, level_2, level_3}, output}, stream);
}

ONRAMP_EXPORT int onramp_mix_levels_fp16(const OnrampLevels* size, const void* fine, const void* shares,
                                         const void* level_1, const void* level_2, const void* level_3, void* output,
                                         void* stream) {
  return onramp::mix<half>(size, {fine, shares, {level_1, level_2, level_3}, output}, stream);
}

ONRAMP_EXPORT int onramp_mix_levels_fp16_dhwc8(const OnrampLevels* size, const void* fine, const void* shares,
                                               const void* level_1, const void* level_2, const void* level_3,
                                               void* output, void* stream) {
  return onramp::mix_packed(size, {fine, shares, {level_1, level_2, level_3}, output}, stream);
}
