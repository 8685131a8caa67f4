// The few names of CUDA that a kernel needs, for a compiler without CUDA: half precision, its pairs, atomics and return codes.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#define ONRAMP_DEVICE inline
#define ONRAMP_BOTH inline

enum cudaError { cudaSuccess = 0, cudaErrorInvalidValue = 1 };

struct half {
  uint16_t bits;
};

inline float __half2float(half x) {
  const int exponent = x.bits >> 10 & 31, fraction = x.bits & 1023;
  const float sign = x.bits & 0x8000 ? -1.0f : 1.0f;
  if (exponent == 31) return fraction ? NAN : sign * INFINITY;
  return sign * (exponent ? std::ldexp(1024.0f + fraction, exponent - 25) : std::ldexp(1.0f * fraction, -24));
}

// Rounds to nearest, ties to even, as the device does; overflow gives infinity.
inline half __float2half_rn(float x) {
  uint32_t word;
  std::memcpy(&word, &x, sizeof word);
  const uint16_t sign = word >> 16 & 0x8000;
  const float size = std::fabs(x);
  if (std::isnan(x)) return {0x7fff};
  if (size >= 65520.0f) return {static_cast<uint16_t>(sign | 0x7c00)};
  const int scale = size < 0x1p-13f ? -24 : std::ilogb(size) - 10;  // the weight of the last bit, subnormal or not
  const int steps = static_cast<int>(std::nearbyint(std::ldexp(size, -scale)));
  return {static_cast<uint16_t>(sign | (steps + (scale == -24 ? 0 : (scale + 24) << 10)))};
}

struct half2 {
  half x, y;
};

inline half __low2half(half2 pair) { return pair.x; }
inline half __high2half(half2 pair) { return pair.y; }
inline half2 __halves2half2(half low, half high) { return {low, high}; }
inline half2 __half2half2(half both) { return {both, both}; }
inline half2 __float2half2_rn(float both) { return __half2half2(__float2half_rn(both)); }
inline half __hfma(half a, half b, half c) {  // rounded once but where float32 has already lost what decides a tie
  return __float2half_rn(std::fma(__half2float(a), __half2float(b), __half2float(c)));
}
inline half2 __hfma2(half2 a, half2 b, half2 c) { return {__hfma(a.x, b.x, c.x), __hfma(a.y, b.y, c.y)}; }

// What the kernels do without, and who writes one of his own may not.
inline half __float2half(float x) { return __float2half_rn(x); }
inline half __hmul(half a, half b) { return __float2half_rn(__half2float(a) * __half2float(b)); }
inline half __hadd(half a, half b) { return __float2half_rn(__half2float(a) + __half2float(b)); }
inline half2 __hmul2(half2 a, half2 b) { return {__hmul(a.x, b.x), __hmul(a.y, b.y)}; }
inline half2 __hadd2(half2 a, half2 b) { return {__hadd(a.x, b.x), __hadd(a.y, b.y)}; }
inline half2 operator*(half2 a, half2 b) { return __hmul2(a, b); }
inline half2 operator+(half2 a, half2 b) { return __hadd2(a, b); }
inline half2& operator+=(half2& a, half2 b) { return a = a + b; }

template <typename T>
inline T __ldg(const T* address) {
  return *address;
}
template <typename T>
inline void __stcs(T* address, T value) {
  *address = value;
}

inline int atomicMax(int* address, int value) {
  const int before = *address;
  if (value > before) *address = value;
  return before;
}
