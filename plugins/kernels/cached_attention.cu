#include "attend_once.h"
#include "cached_operands.h"

namespace onramp {
namespace {

constexpr int kHeads = 8;      // query heads of one key head that a block computes together
constexpr int kMostDims = 128;
constexpr int kMostSplits = 32;
constexpr int kBlocks = 256;    // two for a multiprocessor of an H200, which has 132
constexpr int kFewQueries = 8;  // so many are split over blocks; more fill the GPU as they are

// Puts new keys and values into the cache, eight elements for each thread.
template <typename T>
struct Write {
  Operands<T> of;

  ONRAMP_DEVICE void operator()(int index) const {
    wait_for_inputs();
    const OnrampCachedAttention& size = of.size;
    const int chunks = size.dims / 8, first = index % chunks * 8, kv_head = index / chunks % size.kv_heads;
    const int token = index / chunks / size.kv_heads % size.tokens, row = index / chunks / size.kv_heads / size.tokens;
    const int position = of.position(row, token);
    if (position < 0 || position >= size.slots) return;
    Pack<T, 8> key, value;
    of.fresh(row, token, kv_head, first, position, key, value);
    of.keep(of.keys + of.slot(row, kv_head, position) + first, key);
    of.keep(of.values + of.slot(row, kv_head, position) + first, value);
  }
};

// One block: some query heads of one token over one span of slots, a tile of them at a time. A token that is alone is
// put into the cache by the block whose span holds its slot.
template <typename T, int kDims, bool kFull>  // kFull: always kHeads heads
struct Attend {
  static constexpr int kTile = 64 / sizeof(T);  // slots
  static constexpr int kStride = (kDims ? kDims : kMostDims) + 16 / sizeof(T);
  static constexpr int kSlices = kThreads / kHeads;
  static constexpr int kOwn = kDims == 64 ? 2 : 4;  // heads of which a thread sums two dims
  static constexpr int kScorers = kThreads / kTile;
  static constexpr int kChunks = kTile * (kDims ? kDims : kMostDims) / 8 / kThreads;  // of a tile, for each thread
  static_assert(kChunks * 8 * kThreads == kTile * (kDims ? kDims : kMostDims) && kScorers <= kHeads);
  struct Shared {
    alignas(16) T keys[kTile][kStride];
    alignas(16) T values[kTile][kStride];
    alignas(16) float queries[kHeads][kDims ? kDims : kMostDims];
    float weights[kHeads][kTile];
    float parts[kHeads][kSlices], sums[kHeads][kSlices];
    float most[kHeads], next[kHeads], fade[kHeads], total[kHeads];
  };
  using Sums = PerThread<Pack<float, 2 * kOwn>>;
  Operands<T> of;

  struct Place {
    int row, token, kv_head, first_head, heads, split, position, begin, end;
  };

  ONRAMP_DEVICE int dims() const { return kDims ? kDims : of.size.dims; }

  ONRAMP_DEVICE void operator()(Block block, Shared& shared) const {
    let_next_start();
    wait_for_inputs();
    const Place at = place(block.index);
    if (at.begin >= at.end && of.splits == 1) return;
    Sums sums;
    PerThread<Held> held;
    block.each([&](int thread) {
      fetch(thread, at, at.begin, held[thread]);
      for (int i = 0; i < 2 * kOwn; ++i) sums[thread].item[i] = 0.0f;
      if (thread < kHeads) shared.most[thread] = -INFINITY, shared.total[thread] = 0.0f;
      queries(thread, at, shared);
      if (at.begin < at.end) fill(thread, at, at.begin, held[thread], shared);
    });
    for (int tile = at.begin; tile < at.end; tile += kTile) {
      const int count = at.end - tile < kTile ? at.end - tile : kTile;
      if (tile > at.begin) block.each([&](int thread) { fill(thread, at, tile, held[thread], shared); });
      block.each([&](int thread) { score(thread, at, count, shared); });
      block.each([&](int thread) { largest(thread, shared); });
      block.each([&](int thread) { weigh(thread, shared); });
      block.each([&](int thread) {
        if (tile + kTile < at.end) fetch(thread, at, tile + kTile, held[thread]);
        gather(thread, at, count, sums[thread], shared);
      });
    }
    block.each([&](int thread) { write(thread, at, sums[thread], shared); });
  }

  ONRAMP_DEVICE Place place(int index) const {
    const OnrampCachedAttention& size = of.size;
    const int group = size.heads / size.kv_heads, parts = of.parts;
    Place at;
    at.split = index % of.splits, index /= of.splits;
    const int part = index % parts;
    index /= parts;
    at.kv_head = index % size.kv_heads, index /= size.kv_heads;
    at.token = index % size.tokens, at.row = index / size.tokens;
    at.first_head = at.kv_head * group + part * kHeads;
    at.heads = group - part * kHeads < kHeads ? group - part * kHeads : kHeads;
    at.position = of.position(at.row, at.token);
    const int end = of.last(at.position) + 1;
    at.begin = at.split * of.span;
    at.end = at.begin + of.span < end ? at.begin + of.span : end;
    return at;
  }

  ONRAMP_DEVICE void queries(int thread, const Place& at, Shared& shared) const {
    const int chunks = dims() / 8;
    const float scale = 1.0f / sqrtf(static_cast<float>(dims()));
    for (int index = thread; index < at.heads * chunks; index += kThreads) {
      const int head = index / chunks, first = index % chunks * 8;
      const Pack<float, 8> query = of.turned(of.head(at.row, at.token, at.first_head + head), first, at.position);
      for (int i = 0; i < 8; ++i) shared.queries[head][first + i] = query.item[i] * scale;
    }
  }

  struct Held {
    Pack<T, 8> keys[kChunks], values[kChunks];
  };

  // A thread's part of a tile, all of its loads under way at once.
  ONRAMP_DEVICE void fetch(int thread, const Place& at, int tile, Held& held) const {
    const int chunks = dims() / 8, count = at.end - tile < kTile ? at.end - tile : kTile;
    const int64_t start = of.slot(at.row, at.kv_head, tile);
    ONRAMP_UNROLL(16)
    for (int i = 0; i < kChunks; ++i) {
      const int index = thread + i * kThreads;
      if (index >= count * chunks) continue;
      held.keys[i] = of.eight(of.keys + start + static_cast<int64_t>(index) * 8);
      held.values[i] = of.eight(of.values + start + static_cast<int64_t>(index) * 8);
    }
  }

  ONRAMP_DEVICE void fill(int thread, const Place& at, int tile, Held& held, Shared& shared) const {
    const int chunks = dims() / 8, count = at.end - tile < kTile ? at.end - tile : kTile;
    ONRAMP_UNROLL(16)
    for (int i = 0; i < kChunks; ++i) {
      const int index = thread + i * kThreads;
      if (index >= count * chunks) continue;
      if (of.size.tokens == 1 && tile + index / chunks == at.position)
        admit(at, index % chunks * 8, held.keys[i], held.values[i]);
      of.keep(&shared.keys[index / chunks][index % chunks * 8], held.keys[i]);
      of.keep(&shared.values[index / chunks][index % chunks * 8], held.values[i]);
    }
  }

  // Of several blocks with heads of one key head the first one writes.
  ONRAMP_DEVICE void admit(const Place& at, int first, Pack<T, 8>& key, Pack<T, 8>& value) const {
    of.fresh(at.row, 0, at.kv_head, first, at.position, key, value);
    if (at.first_head % (of.size.heads / of.size.kv_heads)) return;
    of.keep(of.keys + of.slot(at.row, at.kv_head, at.position) + first, key);
    of.keep(of.values + of.slot(at.row, at.kv_head, at.position) + first, value);
  }

  ONRAMP_DEVICE void score(int thread, const Place& at, int count, Shared& shared) const {
    const int slot = thread % kTile, scorer = thread / kTile;
    float scores[kHeads / kScorers] = {};
    if (slot < count) {
      ONRAMP_UNROLL(8)
      for (int first = 0; first < dims(); first += 8) {
        const Pack<float, 8> key = load_eight(&shared.keys[slot][first]);
        ONRAMP_UNROLL(16)
        for (int i = 0; i < kHeads / kScorers; ++i) {
          const int head = scorer + i * kScorers;
          if (!kFull && head >= at.heads) continue;
          const Pack<float, 8> query = load_eight(&shared.queries[head][first]);
          for (int k = 0; k < 8; ++k) scores[i] += query.item[k] * key.item[k];
        }
      }
    }
    for (int i = 0; i < kHeads / kScorers; ++i)
      shared.weights[scorer + i * kScorers][slot] = slot < count ? scores[i] : -INFINITY;
  }

  ONRAMP_DEVICE void largest(int thread, Shared& shared) const {
    const int head = thread / kSlices, slice = thread % kSlices;
    float most = -INFINITY;
    for (int slot = slice; slot < kTile; slot += kSlices) most = fmaxf(most, shared.weights[head][slot]);
    shared.parts[head][slice] = most;
  }

  ONRAMP_DEVICE void weigh(int thread, Shared& shared) const {
    const int head = thread / kSlices, slice = thread % kSlices;
    const float before = shared.most[head];
    float most = before, sum = 0.0f;
    for (float part : shared.parts[head]) most = fmaxf(most, part);
    for (int slot = slice; slot < kTile; slot += kSlices) {
      const float weight = expf(shared.weights[head][slot] - most);
      shared.weights[head][slot] = weight;
      sum += weight;
    }
    shared.sums[head][slice] = sum;
    if (slice == 0) shared.next[head] = most, shared.fade[head] = expf(before - most);
  }

  ONRAMP_DEVICE void gather(int thread, const Place& at, int count, Pack<float, 2 * kOwn>& sums, Shared& shared) const {
    const int pairs = dims() / 2, pair = thread % pairs, worker = thread / pairs, workers = kThreads / pairs;
    if (thread < kHeads) {
      float sum = shared.total[thread] * shared.fade[thread];
      for (float part : shared.sums[thread]) sum += part;
      shared.total[thread] = sum, shared.most[thread] = shared.next[thread];
    }
    if (worker >= workers) return;
    ONRAMP_UNROLL(16)
    for (int i = 0; i < kOwn; ++i) {
      const int head = worker + i * workers;
      if (!kFull && head >= at.heads) continue;
      sums.item[2 * i] *= shared.fade[head], sums.item[2 * i + 1] *= shared.fade[head];
    }
    ONRAMP_UNROLL(8)
    for (int slot = 0; slot < count; ++slot) {
      const Pack<T, 2> value = load<2>(&shared.values[slot][2 * pair]);
      ONRAMP_UNROLL(16)
      for (int i = 0; i < kOwn; ++i) {
        const int head = worker + i * workers;
        if (!kFull && head >= at.heads) continue;
        sums.item[2 * i] += shared.weights[head][slot] * to_float(value.item[0]);
        sums.item[2 * i + 1] += shared.weights[head][slot] * to_float(value.item[1]);
      }
    }
  }

  ONRAMP_DEVICE void write(int thread, const Place& at, const Pack<float, 2 * kOwn>& sums, const Shared& shared) const {
    const int pairs = dims() / 2, pair = thread % pairs, worker = thread / pairs, workers = kThreads / pairs;
    const int64_t query = (static_cast<int64_t>(at.row) * of.size.tokens + at.token) * of.size.heads + at.first_head;
    ONRAMP_UNROLL(16)
    for (int i = 0; i < kOwn; ++i) {
      const int head = worker + i * workers;
      if (worker >= workers || head >= at.heads) continue;
      const float factor = of.splits > 1 ? 1.0f : 1.0f / shared.total[head];
      if (of.splits > 1) {
        float* part = of.partial + ((query + head) * of.splits + at.split) * (dims() + 2);
        part[2 * pair] = sums.item[2 * i], part[2 * pair + 1] = sums.item[2 * i + 1];
        if (pair == 0) part[dims()] = shared.most[head], part[dims() + 1] = shared.total[head];
      } else {
        T* result = of.output + (query + head) * dims() + 2 * pair;
        from_float(sums.item[2 * i] * factor, result[0]);
        from_float(sums.item[2 * i + 1] * factor, result[1]);
      }
    }
  }
};

// Adds up what the blocks of a token found, one dim for each thread.
template <typename T>
struct Combine {
  Operands<T> of;

  ONRAMP_DEVICE void operator()(int index) const {
    let_next_start();
    wait_for_inputs();
    const OnrampCachedAttention& size = of.size;
    const int dim = index % size.dims, query = index / size.dims, width = size.dims + 2;
    const float* parts = of.partial + static_cast<int64_t>(query) * of.splits * width;
    float sums[kMostSplits], largest[kMostSplits], totals[kMostSplits];
    ONRAMP_UNROLL(32)
    for (int split = 0; split < kMostSplits; ++split) {
      const float* part = parts + split * width;
      const bool used = split < of.splits;
      largest[split] = used ? part[size.dims] : -INFINITY;
      totals[split] = used ? part[size.dims + 1] : 0.0f;
      sums[split] = used ? part[dim] : 0.0f;
    }
    float most = -INFINITY, sum = 0.0f, total = 0.0f;
    ONRAMP_UNROLL(32)
    for (int split = 0; split < kMostSplits; ++split) most = fmaxf(most, largest[split]);
    ONRAMP_UNROLL(32)
    for (int split = 0; split < kMostSplits; ++split) {
      const float factor = expf(largest[split] - most);
      sum += sums[split] * factor;
      total += totals[split] * factor;
    }
    from_float(sum / total, of.output[index]);
  }
};

template <typename T, int kDims>
int attend(const Operands<T>& of, void* stream) {
  const OnrampCachedAttention& size = of.size;
  const int group = size.heads / size.kv_heads;
  const int64_t blocks = static_cast<int64_t>(size.batch) * size.tokens * size.kv_heads * of.parts * of.splits;
  return !kDims || group % kHeads ? for_each_block_overlapping<2>(Attend<T, kDims, false>{of}, blocks, stream)
                                 : for_each_block_overlapping<2>(Attend<T, kDims, kDims != 0>{of}, blocks, stream);
}

int copied(const void* from, void* to, size_t bytes, void* stream) {
  if (from == to) return cudaSuccess;
#ifdef __CUDACC__
  return cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, static_cast<cudaStream_t>(stream));
#else
  (void)stream;
  memcpy(to, from, bytes);
  return cudaSuccess;
#endif
}

bool fits(const OnrampCachedAttention& size) {
  return size.batch >= 0 && size.tokens >= 0 && size.kv_heads >= 1 && size.heads >= 1 &&
         size.heads % size.kv_heads == 0 && size.dims >= 16 && size.dims % 16 == 0 && size.dims <= kMostDims &&
         size.slots >= 1 && size.slots <= INT32_MAX / 2 && size.tokens <= INT32_MAX / 2 && size.splits >= 0 &&
         size.splits <= kMostSplits && within(INT32_MAX, {size.batch, size.tokens}) &&
         within(INT32_MAX, {size.batch, size.slots}) &&
         within(INT32_MAX, {size.heads + 2 * int64_t{size.kv_heads}, size.dims});
}

// Splits of the slots with which the blocks of all queries fill the GPU once.
int filling(const OnrampCachedAttention& size, int parts) {
  const int64_t blocks = static_cast<int64_t>(size.batch) * size.tokens * size.kv_heads * parts;
  const int64_t splits = blocks ? kBlocks / blocks : 1;
  return splits < 1 ? 1 : splits > kMostSplits ? kMostSplits : static_cast<int>(splits);
}

template <typename T>
int cached_attention(const OnrampCachedAttention* size, const void* qkv, const void* lengths, const void* rotation,
                     const void* past_key, const void* past_value, void* workspace, void* output, void* present_key,
                     void* present_value, void* stream) {
  if (!fits(*size) || !aligned(qkv, 16) || !aligned(rotation, 16) || !aligned(present_key, 16) ||
      !aligned(present_value, 16))
    return cudaErrorInvalidValue;
  const int64_t queries = static_cast<int64_t>(size->batch) * size->tokens;
  const size_t bytes = sizeof(T) * size->batch * size->kv_heads * size->slots * size->dims;
  if (const int code = copied(past_key, present_key, bytes, stream)) return code;
  if (const int code = copied(past_value, present_value, bytes, stream)) return code;
  Operands<T> of{*size, static_cast<const T*>(qkv), lengths, static_cast<const float*>(rotation),
                 static_cast<T*>(present_key), static_cast<T*>(present_value), static_cast<T*>(output),
                 static_cast<float*>(workspace), 1, 1, size->slots};
  if (size->tokens == 1 && !size->splits && has_clusters() && (size->dims == 64 || size->dims == 128))
    return size->dims == 64 ? attend_once<T, 64>(of, stream) : attend_once<T, 128>(of, stream);
  of.parts = (size->heads / size->kv_heads + kHeads - 1) / kHeads;
  const int wanted = queries > kFewQueries ? 1 : size->splits ? size->splits : filling(*size, of.parts);
  of.span = (size->slots + wanted - 1) / wanted, of.splits = (size->slots + of.span - 1) / of.span;
  if (size->tokens > 1)
    if (const int code = for_each_overlapping(Write<T>{of}, queries * size->kv_heads * size->dims / 8, stream))
      return code;
  const int code = size->dims == 64    ? attend<T, 64>(of, stream)
                   : size->dims == 128 ? attend<T, 128>(of, stream)
                                       : attend<T, 0>(of, stream);
  if (code || of.splits == 1) return code;
  return for_each_overlapping(Combine<T>{of}, queries * size->heads * size->dims, stream);
}

}  // namespace
}  // namespace onramp

ONRAMP_EXPORT size_t onramp_cached_attention_workspace(int batch, int tokens, int width) {
  const int64_t queries = static_cast<int64_t>(batch) * tokens;
  const int64_t few = queries < onramp::kFewQueries ? queries : onramp::kFewQueries;
  return sizeof(float) * few * width * onramp::kMostSplits * 9 / 8;  // a head has 16 dims at least, and two numbers more
}

ONRAMP_EXPORT int onramp_cached_attention_fp32(const OnrampCachedAttention* size, const void* qkv, const void* lengths,
                                               const void* rotation, const void* past_key, const void* past_value,
                                               void* workspace, void* output, void* present_key, void* present_value,
                                               void* stream) {
  return onramp::cached_attention<float>(size, qkv, lengths, rotation, past_key, past_value, workspace, output,
                                         present_key, present_value, stream);
}

ONRAMP_EXPORT int onramp_cached_attention_fp16(const OnrampCachedAttention* size, const void* qkv, const void* lengths,
                                               const void* rotation, const void* past_key, const void* past_value,
                                               void* workspace, void* output, void* present_key, void* present_value,
                                               void* stream) {
  return onramp::cached_attention<half>(size, qkv, lengths, rotation, past_key, past_value, workspace, output,
                                        present_key, present_value, stream);
}
