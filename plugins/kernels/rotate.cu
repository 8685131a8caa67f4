// Compiled without contraction to fused multiply-adds: every coordinate is rounded as in the operator's definition, so
// that nearest takes the same pixel.
#include "rotate.h"

#include <cmath>

#include "launch.h"

namespace onramp {
namespace {

constexpr int kChannels = 8;  // per thread

template <typename T>
struct Rotate {
  OnrampRotation size;
  const T* image;
  const void* angle;
  const void* center;
  T* output;

  ONRAMP_DEVICE void operator()(int index) const {
    const int pixels = size.height * size.width, pixel = index % pixels, first = index / pixels * kChannels;
    const int last = first + kChannels < size.channels ? first + kChannels : size.channels;
    const float half_w = 0.5f * size.width, half_h = 0.5f * size.height;
    const float theta = scalar(angle, 0) * -0.017453292519943295f, cosine = cosf(theta), sine = sinf(theta);
    const float cx = scalar(center, 0) - half_w, cy = scalar(center, 1) - half_h;
    const float x = pixel % size.width + (0.5f - half_w), y = pixel / size.width + (0.5f - half_h);
    const float source_x = cosine * x + sine * y + (cx - cx * cosine - cy * sine);
    const float source_y = cosine * y - sine * x + (cy + cx * sine - cy * cosine);
    const float column = ((source_x / half_w + 1.0f) * size.width - 1.0f) / 2.0f;
    const float line = ((source_y / half_h + 1.0f) * size.height - 1.0f) / 2.0f;
    for (int channel = first; channel < last; ++channel) {
      const int64_t plane = static_cast<int64_t>(channel) * pixels;
      const float result = size.nearest ? at(image + plane, nearbyintf(column), nearbyintf(line))
                                        : blend(image + plane, column, line);
      from_float(result, output[plane + pixel]);
    }
  }

  ONRAMP_DEVICE float scalar(const void* address, int position) const {
    return size.half_center ? to_float(static_cast<const half*>(address)[position])
                            : static_cast<const float*>(address)[position];
  }

  ONRAMP_DEVICE float at(const T* plane, float column, float line) const {
    const bool inside = column >= 0.0f && line >= 0.0f && column < size.width && line < size.height;
    return inside ? to_float(plane[static_cast<int>(line) * size.width + static_cast<int>(column)]) : 0.0f;
  }

  ONRAMP_DEVICE float blend(const T* plane, float x, float y) const {
    const float left = floorf(x), top = floorf(y), right_part = x - left, lower_part = y - top;
    const float upper = at(plane, left, top) * (1.0f - right_part) + at(plane, left + 1.0f, top) * right_part;
    const float lower =
        at(plane, left, top + 1.0f) * (1.0f - right_part) + at(plane, left + 1.0f, top + 1.0f) * right_part;
    return upper * (1.0f - lower_part) + lower * lower_part;
  }
};

template <typename T>
int rotate(const OnrampRotation* size, const void* image, const void* angle, const void* center, void* output,
           void* stream) {
  if (size->channels < 0 || size->channels > INT32_MAX - kChannels || size->height < 1 || size->width < 1 ||
      !within(INT32_MAX, {size->height, size->width}))
    return cudaErrorInvalidValue;
  const int64_t groups = (static_cast<int64_t>(size->channels) + kChannels - 1) / kChannels;
  const Rotate<T> body{*size, static_cast<const T*>(image), angle, center, static_cast<T*>(output)};
  return for_each(body, groups * size->height * size->width, stream);
}

}  // namespace
}  // namespace onramp

ONRAMP_EXPORT int onramp_rotate_fp32(const OnrampRotation* size, const void* image, const void* angle,
                                     const void* center, void* output, void* stream) {
  return onramp::rotate<float>(size, image, angle, center, output, stream);
}

ONRAMP_EXPORT int onramp_rotate_fp16(const OnrampRotation* size, const void* image, const void* angle,
                                     const void* center, void* output, void* stream) {
  return onramp::rotate<half>(size, image, angle, center, output, stream);
}
