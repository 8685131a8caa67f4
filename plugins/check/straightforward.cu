// The same functions as the kernels', written as one first writes them: one thread per number of the output (of the
// pooling: per interval and channel, over zeros), one load at a time, everything computed where it is needed, indices
// trusted, outputs in half summed in float32. What `python -m plugins.check` compares times with.
#include <cmath>

#include "../kernels/bev_pool_v2.h"
#include "../kernels/grid_sample_3d.h"
#include "../kernels/launch.h"
#include "../kernels/ms_deform_attn.h"
#include "../kernels/inverse.h"
#include "../kernels/mix_levels.h"
#include "../kernels/project_pillars.h"
#include "../kernels/rotate.h"

namespace onramp {
namespace {

template <typename T>
ONRAMP_DEVICE float bilinear(const T* plane, int64_t stride, int height, int width, float x, float y) {
  const float left = floorf(x), top = floorf(y);
  float sum = 0.0f;
  for (int i = 0; i < 4; ++i) {
    const float column = left + i % 2, line = top + i / 2;
    if (!(column >= 0 && line >= 0 && column < width && line < height)) continue;
    const int64_t cell = static_cast<int64_t>(line) * width + static_cast<int>(column);
    sum += (1 - fabsf(x - column)) * (1 - fabsf(y - line)) * to_float(plane[cell * stride]);
  }
  return sum;
}

template <typename T, typename Reference>
struct Attend {
  OnrampAttention s;
  const T* value;
  const void* shapes;
  const Reference* references;
  const T *offsets, *weights;
  T* output;

  ONRAMP_DEVICE int extent(int i) const {
    return s.wide_shapes ? static_cast<int>(static_cast<const int64_t*>(shapes)[i])
                         : static_cast<const int32_t*>(shapes)[i];
  }
  ONRAMP_DEVICE void operator()(int index) const {
    const int channel = index % s.channels, row = index / s.channels, head = row % s.heads, query = row / s.heads;
    const int entries = s.levels * s.points;
    const int64_t stride = static_cast<int64_t>(s.heads) * s.channels, first = static_cast<int64_t>(row) * entries;
    const T* plane = value + query / s.queries * s.cells * stride + head * s.channels + channel;
    float largest = -INFINITY, total = 0.0f, sum = 0.0f;
    for (int i = 0; i < entries; ++i) largest = fmaxf(largest, to_float(weights[first + i]));
    for (int i = 0; i < entries; ++i) total += expf(to_float(weights[first + i]) - largest);
    for (int level = 0; level < s.levels; ++level) {
      const int height = extent(2 * level), width = extent(2 * level + 1);
      for (int point = 0; point < s.points; ++point) {
        const int64_t entry = first + level * s.points + point;
        const int64_t reference = (static_cast<int64_t>(query) * s.groups + point % s.groups) * 2;
        const float x = to_float(references[reference]) * width + to_float(offsets[2 * entry]) - 0.5f;
        const float y = to_float(references[reference + 1]) * height + to_float(offsets[2 * entry + 1]) - 0.5f;
        const float share = expf(to_float(weights[entry]) - largest) / total;
        sum += share * bilinear(plane, stride, height, width, x, y);
      }
      plane += static_cast<int64_t>(height) * width * stride;
    }
    from_float(sum, output[index]);
  }
};

template <typename T>
struct Rotate {
  OnrampRotation s;
  const T* image;
  const void *angle, *center;
  T* output;

  ONRAMP_DEVICE float scalar(const void* address, int i) const {
    return s.half_center ? to_float(static_cast<const half*>(address)[i]) : static_cast<const float*>(address)[i];
  }
  ONRAMP_DEVICE void operator()(int index) const {
    const int column = index % s.width, line = index / s.width % s.height;
    const float theta = scalar(angle, 0) * -0.017453292519943295f, cx = scalar(center, 0), cy = scalar(center, 1);
    const float dx = column + 0.5f - cx, dy = line + 0.5f - cy;
    const float x = cosf(theta) * dx + sinf(theta) * dy + cx - 0.5f, y = cosf(theta) * dy - sinf(theta) * dx + cy - 0.5f;
    const T* plane = image + static_cast<int64_t>(index / (s.width * s.height)) * s.width * s.height;
    from_float(bilinear(plane, 1, s.height, s.width, s.nearest ? nearbyintf(x) : x, s.nearest ? nearbyintf(y) : y),
               output[index]);
  }
};

template <typename T>
struct Zero {
  T* output;
  ONRAMP_DEVICE void operator()(int index) const { from_float(0.0f, output[index]); }
};

template <typename T, typename Index>
struct Pool {
  OnrampPooling s;
  const T *depth, *feat;
  const Index *ranks_depth, *ranks_feat, *ranks_bev, *starts, *lengths;
  T* output;

  ONRAMP_DEVICE void operator()(int index) const {
    const int channel = index % s.channels, interval = index / s.channels;
    const Index start = starts[interval];
    float sum = 0.0f;
    for (Index k = start; k < start + lengths[interval]; ++k)
      sum += to_float(depth[ranks_depth[k]]) * to_float(feat[static_cast<int64_t>(ranks_feat[k]) * s.channels + channel]);
    from_float(sum, output[static_cast<int64_t>(ranks_bev[start]) * s.channels + channel]);
  }
};

template <typename T>
struct Sample {
  OnrampVolumeSampling s;
  const T* input;
  const void* grid;
  T* output;

  ONRAMP_DEVICE float at(int64_t i, int extent) const {
    float g = s.half_grid ? to_float(static_cast<const half*>(grid)[i]) : static_cast<const float*>(grid)[i];
    if (!s.points_last) g /= 10.0f;
    const float x = s.align_corners ? (g + 1) / 2 * (extent - 1) : ((g + 1) * extent - 1) / 2;
    const float inside = s.border ? fminf(fmaxf(x, 0.0f), extent - 1.0f) : x;
    return s.nearest ? nearbyintf(inside) : inside;
  }
  ONRAMP_DEVICE void operator()(int index) const {
    const int voxels = s.out_depth * s.out_height * s.out_width, voxel = index % voxels, plane = index / voxels;
    const int64_t first = static_cast<int64_t>(plane / s.channels) * 3 * voxels;
    const int64_t step = s.points_last ? 1 : voxels, point = first + static_cast<int64_t>(voxel) * (s.points_last ? 3 : 1);
    const float x = at(point, s.width), y = at(point + step, s.height), z = at(point + 2 * step, s.depth);
    const T* volume = input + static_cast<int64_t>(plane) * s.depth * s.height * s.width;
    float sum = 0.0f;
    for (int i = 0; i < 2; ++i) {
      const float slice = floorf(z) + i;
      if (slice >= 0 && slice < s.depth)
        sum += (1 - fabsf(z - slice)) *
               bilinear(volume + static_cast<int64_t>(slice) * s.height * s.width, 1, s.height, s.width, x, y);
    }
    from_float(sum, output[index]);
  }
};

// A thread per number of the fine volume.
template <typename T>
struct MixOne {
  OnrampLevels s;
  const T *fine, *shares, *level_1, *level_2, *level_3;
  T* output;

  ONRAMP_DEVICE float at(int place, int size, int extent) const {
    return fminf(fmaxf((place + 0.5f) * extent / size - 0.5f, 0.0f), extent - 1.0f);
  }
  ONRAMP_DEVICE float sampled(const T* volume, int plane, int d, int h, int w, int depth, int height, int width) const {
    const float x = at(w, s.width, width), y = at(h, s.height, height), z = at(d, s.depth, depth);
    const int64_t slice = static_cast<int64_t>(height) * width;
    const T* low = volume + (static_cast<int64_t>(plane) * depth + static_cast<int>(z)) * slice;
    const float part = z - static_cast<int>(z), first = bilinear(low, 1, height, width, x, y);
    return part > 0.0f ? (1 - part) * first + part * bilinear(low + slice, 1, height, width, x, y) : first;
  }
  ONRAMP_DEVICE void operator()(int index) const {
    const int voxels = s.depth * s.height * s.width, voxel = index % voxels, plane = index / voxels;
    const int w = voxel % s.width, h = voxel / s.width % s.height, d = voxel / s.width / s.height;
    const T* part = shares + static_cast<int64_t>(plane / s.channels) * 4 * voxels + voxel;
    float sum = to_float(fine[index]) * to_float(part[0]);
    sum += sampled(level_1, plane, d, h, w, s.depth_1, s.height_1, s.width_1) * to_float(part[voxels]);
    sum += sampled(level_2, plane, d, h, w, s.depth_2, s.height_2, s.width_2) * to_float(part[2 * voxels]);
    sum += sampled(level_3, plane, d, h, w, s.depth_3, s.height_3, s.width_3) * to_float(part[3 * voxels]);
    from_float(sum, output[index]);
  }
};

// A thread per camera and pillar for the points, then one for the weight.
struct ProjectPoints {
  OnrampProjection s;
  const float *lidar2img, *points;
  float *references, *mask;

  ONRAMP_DEVICE void operator()(int index) const {
    const int pillar = index % s.pillars, camera = index / s.pillars;
    const float* m = lidar2img + camera * 16;
    mask[index] = 0.0f;
    for (int k = 0; k < s.points; ++k) {
      const float* p = points + (pillar * s.points + k) * 3;
      float image[3];
      for (int i = 0; i < 3; ++i) image[i] = m[4 * i] * p[0] + m[4 * i + 1] * p[1] + m[4 * i + 2] * p[2] + m[4 * i + 3];
      const float depth = image[2] < 1e-5f ? 1e-5f : image[2];
      const float u = image[0] / depth / s.image_width, v = image[1] / depth / s.image_height;
      references[(static_cast<int64_t>(index) * s.points + k) * 2] = u;
      references[(static_cast<int64_t>(index) * s.points + k) * 2 + 1] = v;
      if (image[2] > 1e-5f && u > 0 && u < 1 && v > 0 && v < 1) mask[index] = 1.0f;
    }
  }
};

struct Weigh {
  OnrampProjection s;
  float* mask;

  ONRAMP_DEVICE void operator()(int index) const {
    float* first = mask + static_cast<int64_t>(index / s.pillars) * s.cameras * s.pillars + index % s.pillars;
    float seeing = 0.0f;
    for (int camera = 0; camera < s.cameras; ++camera) seeing += first[camera * s.pillars];
    for (int camera = 0; camera < s.cameras; ++camera) first[camera * s.pillars] /= seeing > 0 ? seeing : 1.0f;
  }
};

struct InvertEntry {
  const float* matrices;
  float* output;

  ONRAMP_DEVICE void operator()(int index) const {
    const float* m = matrices + index / 9 * static_cast<int64_t>(9);
    const int entry = index % 9;
    float determinant = 0.0f;
    for (int column = 0; column < 3; ++column) determinant += m[column] * cofactor(m, 0, column);
    output[index] = cofactor(m, entry % 3, entry / 3) / determinant;
  }

  ONRAMP_DEVICE float cofactor(const float* m, int row, int column) const {
    const int a = (row + 1) % 3 * 3, b = (row + 2) % 3 * 3, c = (column + 1) % 3, d = (column + 2) % 3;
    return m[a + c] * m[b + d] - m[a + d] * m[b + c];
  }
};

template <typename T>
T* as(void* address) { return static_cast<T*>(address); }
template <typename T>
const T* as(const void* address) { return static_cast<const T*>(address); }

template <typename T, typename Index>
int pool(const OnrampPooling& s, const void* depth, const void* feat, const void* const (&i)[5], void* output,
         void* stream) {
  const int code = for_each(Zero<T>{as<T>(output)}, static_cast<int64_t>(s.rows) * s.channels, stream);
  const Pool<T, Index> body{s, as<T>(depth), as<T>(feat), as<Index>(i[0]), as<Index>(i[1]), as<Index>(i[2]),
                            as<Index>(i[3]), as<Index>(i[4]), as<T>(output)};
  return code ? code : for_each(body, static_cast<int64_t>(s.intervals) * s.channels, stream);
}

}  // namespace
}  // namespace onramp

using namespace onramp;

#define ATTEND(form, T, Reference)                                                                                   \
  ONRAMP_EXPORT int onramp_ms_deform_attn_##form(const OnrampAttention* s, const void* value, const void* shapes,    \
                                                 const void* references, const void* offsets, const void* weights,   \
                                                 void* output, void* stream) {                                       \
    const Attend<T, Reference> body{*s, as<T>(value), shapes, as<Reference>(references), as<T>(offsets),             \
                                    as<T>(weights), as<T>(output)};                                                  \
    return for_each(body, static_cast<int64_t>(s->batch) * s->queries * s->heads * s->channels, stream);             \
  }
#define OTHERS(form, T)                                                                                              \
  ONRAMP_EXPORT int onramp_rotate_##form(const OnrampRotation* s, const void* image, const void* angle,              \
                                         const void* center, void* output, void* stream) {                           \
    const Rotate<T> body{*s, as<T>(image), angle, center, as<T>(output)};                                            \
    return for_each(body, static_cast<int64_t>(s->channels) * s->height * s->width, stream);                         \
  }                                                                                                                  \
  ONRAMP_EXPORT int onramp_bev_pool_v2_##form(const OnrampPooling* s, const void* depth, const void* feat,           \
                                              const void* ranks_depth, const void* ranks_feat, const void* ranks_bev, \
                                              const void* starts, const void* lengths, void*, void* output,          \
                                              void* stream) {                                                        \
    const void* const indices[] = {ranks_depth, ranks_feat, ranks_bev, starts, lengths};                             \
    return s->wide_indices ? pool<T, int64_t>(*s, depth, feat, indices, output, stream)                              \
                           : pool<T, int32_t>(*s, depth, feat, indices, output, stream);                             \
  }                                                                                                                  \
  ONRAMP_EXPORT int onramp_grid_sample_3d_##form(const OnrampVolumeSampling* s, const void* input, const void* grid, \
                                                 void* output, void* stream) {                                       \
    const Sample<T> body{*s, as<T>(input), grid, as<T>(output)};                                                     \
    const int64_t voxels = static_cast<int64_t>(s->out_depth) * s->out_height * s->out_width;                        \
    return for_each(body, voxels * s->batch * s->channels, stream);                                                  \
  }                                                                                                                  \
  ONRAMP_EXPORT int onramp_mix_levels_##form(const OnrampLevels* s, const void* fine, const void* shares,            \
                                             const void* level_1, const void* level_2, const void* level_3,          \
                                             void* output, void* stream) {                                           \
    const MixOne<T> body{*s, as<T>(fine), as<T>(shares), as<T>(level_1), as<T>(level_2), as<T>(level_3),             \
                         as<T>(output)};                                                                             \
    const int64_t voxels = static_cast<int64_t>(s->depth) * s->height * s->width;                                    \
    return for_each(body, voxels * s->batch * s->channels, stream);                                                  \
  }
ONRAMP_EXPORT int onramp_project_pillars_fp32(const OnrampProjection* s, const void* lidar2img, const void* points,
                                              void* references, void* mask, void* stream) {
  const ProjectPoints body{*s, as<float>(lidar2img), as<float>(points), as<float>(references), as<float>(mask)};
  const int64_t pillars = static_cast<int64_t>(s->batch) * s->pillars;
  const int code = for_each(body, pillars * s->cameras, stream);
  return code ? code : for_each(Weigh{*s, as<float>(mask)}, pillars, stream);
}
ONRAMP_EXPORT int onramp_inverse_fp32(const OnrampInverse* s, const void* matrix, void* output, void* stream) {
  return for_each(InvertEntry{as<float>(matrix), as<float>(output)}, 9 * static_cast<int64_t>(s->matrices), stream);
}
ATTEND(fp32, float, float)
ATTEND(fp16, half, half)
ATTEND(fp16_ref32, half, float)
OTHERS(fp32, float)
OTHERS(fp16, half)
