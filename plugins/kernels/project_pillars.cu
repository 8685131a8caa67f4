// Compiled without contraction to fused multiply-adds: every value is rounded as in the operator's definition.
#include "project_pillars.h"

#include "launch.h"

namespace onramp {
namespace {

constexpr float kNearest = 1e-5f;

// One pillar in all cameras.
struct Project {
  OnrampProjection size;
  const float *lidar2img, *points;
  float *references, *mask;

  ONRAMP_DEVICE void operator()(int index) const {
    const int batch = index / size.pillars, pillar = index % size.pillars;
    const int64_t first = static_cast<int64_t>(batch) * size.cameras;
    int seeing = 0;
    for (int camera = 0; camera < size.cameras; ++camera) {
      const int64_t row = (first + camera) * size.pillars + pillar;
      const bool seen = project(lidar2img + (first + camera) * 16, pillar, references + row * 2 * size.points);
      mask[row] = seen;
      seeing += seen;
    }
    for (int camera = 0; camera < size.cameras; ++camera) {
      float& weight = mask[(first + camera) * size.pillars + pillar];
      if (weight) weight = 1.0f / seeing;
    }
  }

  // Writes (u, v) of each point; whether the camera sees any.
  ONRAMP_DEVICE bool project(const float* matrix, int pillar, float* output) const {
    bool seen = false;
    for (int k = 0; k < size.points; ++k) {
      const float* point = points + (static_cast<int64_t>(pillar) * size.points + k) * 3;
      const float depth = along(matrix + 8, point), floored = depth < kNearest ? kNearest : depth;  // keeps NaN
      const float u = along(matrix, point) / floored / size.image_width;
      const float v = along(matrix + 4, point) / floored / size.image_height;
      seen |= depth > kNearest && u > 0.0f && u < 1.0f && v > 0.0f && v < 1.0f;
      output[2 * k] = u;
      output[2 * k + 1] = v;
    }
    return seen;
  }

  ONRAMP_DEVICE float along(const float* row, const float* point) const {
    return row[0] * point[0] + row[1] * point[1] + row[2] * point[2] + row[3];
  }
};

}  // namespace
}  // namespace onramp

ONRAMP_EXPORT int onramp_project_pillars_fp32(const OnrampProjection* size, const void* lidar2img, const void* points,
                                              void* references, void* mask, void* stream) {
  if (size->batch < 0 || size->cameras < 1 || size->pillars < 0 || size->points < 1 || size->points > INT32_MAX / 2 ||
      size->image_height < 1 || size->image_width < 1)
    return cudaErrorInvalidValue;
  const onramp::Project body{*size, static_cast<const float*>(lidar2img), static_cast<const float*>(points),
                             static_cast<float*>(references), static_cast<float*>(mask)};
  return onramp::for_each(body, static_cast<int64_t>(size->batch) * size->pillars, stream);
}
