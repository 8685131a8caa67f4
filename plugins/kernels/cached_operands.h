// What the kernels of `cached_attention` share: the operands, and where things lie in them.
#pragma once

#include "cached_attention.h"
#include "overlap.h"

namespace onramp {

// The operands, and what the kernels ask of them.
template <typename T>
struct Operands {
  OnrampCachedAttention size;
  const T* qkv;
  const void* lengths;
  const float* rotation;
  T* keys;
  T* values;
  T* output;
  float* partial;  // [batch,tokens,heads,splits,dims + 2]: sums, largest score, total weight
  int parts;         // blocks for the query heads of one key head
  int splits, span;  // blocks for a token, and slots of each

  ONRAMP_DEVICE int position(int row, int token) const {
    const int64_t length = size.wide_lengths ? static_cast<const int64_t*>(lengths)[row]
                                             : static_cast<const int32_t*>(lengths)[row];
    return length < -size.tokens || length > size.slots ? size.slots : static_cast<int>(length) + token;
  }

  // The last slot that a token sees.
  ONRAMP_DEVICE int last(int position) const { return position < size.slots ? position : size.slots - 1; }

  ONRAMP_DEVICE const T* head(int row, int token, int number) const {
    const int64_t width = static_cast<int64_t>(size.heads + 2 * size.kv_heads) * size.dims;
    return qkv + (static_cast<int64_t>(row) * size.tokens + token) * width + static_cast<int64_t>(number) * size.dims;
  }

  ONRAMP_DEVICE int64_t slot(int row, int kv_head, int number) const {
    return ((static_cast<int64_t>(row) * size.kv_heads + kv_head) * size.slots + number) * size.dims;
  }

  // Eight elements from `first` on of a head, turned by the angles of a position.
  ONRAMP_DEVICE Pack<float, 8> turned(const T* head, int first, int position) const {
    const int half_dims = size.dims / 2, angle = first % half_dims;
    const bool upper = first >= half_dims;
    const Pack<float, 8> own = load_eight(head + first);
    const Pack<float, 8> other = load_eight(head + (upper ? angle : angle + half_dims));
    const float* angles = rotation + static_cast<int64_t>(last(position < 0 ? 0 : position)) * size.dims + angle;
    const Pack<float, 8> cosine = load_eight(angles), sine = load_eight(angles + half_dims);
    Pack<float, 8> made;
    for (int i = 0; i < 8; ++i) {
      const float across = other.item[i] * sine.item[i];
      made.item[i] = own.item[i] * cosine.item[i] + (upper ? across : -across);
    }
    return made;
  }

  // Eight elements of a new token's key and value, as the cache has them.
  ONRAMP_DEVICE void fresh(int row, int token, int kv_head, int first, int position, Pack<T, 8>& key,
                           Pack<T, 8>& value) const {
    const Pack<float, 8> wide = turned(head(row, token, size.heads + kv_head), first, position);
    for (int i = 0; i < 8; ++i) from_float(wide.item[i], key.item[i]);
    value = eight(head(row, token, size.heads + size.kv_heads + kv_head) + first);
  }

  ONRAMP_DEVICE static Pack<T, 8> eight(const T* address) {
    Pack<T, 8> found;
    const auto low = load<16 / sizeof(T)>(address), high = load<16 / sizeof(T)>(address + 8 - 16 / sizeof(T));
    for (int i = 0; i < 8; ++i) found.item[i] = i < 16 / static_cast<int>(sizeof(T)) ? low.item[i] : high.item[i & 3];
    return found;
  }

  ONRAMP_DEVICE static void keep(T* address, const Pack<T, 8>& eight) {
    constexpr int kPart = 16 / sizeof(T);
    for (int first = 0; first < 8; first += kPart) {
      Pack<T, kPart> part;
      for (int i = 0; i < kPart; ++i) part.item[i] = eight.item[first + i];
      store(address + first, part);
    }
  }
};

}  // namespace onramp
