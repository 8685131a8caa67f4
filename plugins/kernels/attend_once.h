// Attention of one new token in one launch: the blocks of a cluster share the slots, the first one adds up.
//
// Eight neighboring threads (16 with 128 dims) hold a slot, eight dims each, so that keys and values go from memory
// to registers, all of a tile under way at once, and no thread of a warp waits for another warp before the end.
#pragma once

#include "cached_operands.h"
#include "clusters.h"

namespace onramp {

template <int N>
struct Floats {
  float item[N];
};

template <typename T, int kDims, int kHeads>  // query heads of one key head, which a cluster computes
struct AttendOnce {
  static constexpr int kBlocks = 8, kWarps = kThreads / kWarp, kParts = kBlocks * kWarps;
  static constexpr int kLanes = kDims / 8, kSlots = kWarp / kLanes;  // threads of a slot; slots of an access
  static constexpr int kRoom = kDims == 128 && kHeads > 1 ? 24 : 48;  // what fits into registers: slots times bytes
  static constexpr int kLoads = kRoom / kSlots / static_cast<int>(sizeof(T));  // of a thread for a tile
  static constexpr int kTile = kLoads * kSlots * kWarps;
  static constexpr float kLowest = -1e30f;  // less than any score; a difference of two such is a number
  struct Shared {
    alignas(16) float sums[kParts][kHeads][kDims];
    alignas(16) float most[kHeads][kParts], total[kHeads][kParts];
  };
  struct Eight {  // of a key or value, in the words that it is read as
    Pack<uint32_t, 4> words[sizeof(T) / 2];
  };
  struct Tile {
    Eight item[kLoads];
  };
  struct Fresh {
    Eight key, value;
  };
  struct Place {
    int row, kv_head, first_head, position, begin, end;
    bool writes;
  };
  struct State {
    Pack<float, 8> queries[kHeads];
    Tile keys, values;
    Fresh fresh;
  };
  using Sums = Floats<8 * kHeads>;
  using PerHead = Floats<kHeads>;
  using Scores = Floats<kLoads * kHeads>;
  Operands<T> of;

  ONRAMP_DEVICE void part(Block block, Shared& shared) const {
    let_next_start();
    Place at = heads(block.index);
    wait_for_inputs();
    slots(block.index % kBlocks, at);
    PerThread<State> states;
    PerThread<Scores> scores;
    PerThread<PerHead> most, next, total;
    PerThread<Sums> sums;
    block.apart([&](int thread) {
      for (int i = 0; i < kHeads; ++i) most[thread].item[i] = kLowest, total[thread].item[i] = 0.0f;
      for (int i = 0; i < 8 * kHeads; ++i) sums[thread].item[i] = 0.0f;
      fetch(thread, at, at.begin, of.keys, states[thread].keys);
      fetch(thread, at, at.begin, of.values, states[thread].values);
      prepare(thread, at, states[thread]);
    });
    for (int tile = at.begin; tile < at.end; tile += kTile) {
      block.apart([&](int thread) { score(thread, at, tile, states[thread], scores[thread]); });
      block.template join<kLanes / 2, 1>(scores, Block::add);
      block.apart([&](int thread) {
        fetch(thread, at, tile + kTile, of.keys, states[thread].keys);
        next[thread] = largest(thread, at, tile, scores[thread], most[thread]);
      });
      block.template join<kWarp / 2, kLanes>(next, larger);
      block.apart([&](int thread) {
        gather(thread, at, tile, states[thread], scores[thread], next[thread], most[thread], total[thread],
               sums[thread]);
        fetch(thread, at, tile + kTile, of.values, states[thread].values);
      });
    }
    block.template join<kWarp / 2, kLanes>(sums, Block::add);
    block.template join<kWarp / 2, kLanes>(total, Block::add);
    wait_for_cluster();
    block.apart([&](int thread) { write(thread, block.index, most[thread], total[thread], sums[thread], shared); });
  }

  ONRAMP_DEVICE void finish(Block block, Shared& shared) const {
    T* output = of.output + static_cast<int64_t>(block.index / kBlocks) * (kHeads * kDims);
    block.apart([&](int thread) {
      for (int index = thread; index < kHeads * kDims; index += kThreads) {
        const int head = index / kDims, dim = index % kDims;
        float most = kLowest, sum = 0.0f, total = 0.0f;
        ONRAMP_UNROLL(32)
        for (int i = 0; i < kParts; ++i) most = fmaxf(most, shared.most[head][i]);
        ONRAMP_UNROLL(32)
        for (int i = 0; i < kParts; ++i) {
          const float factor = exp2f(shared.most[head][i] - most);
          sum += shared.sums[i][head][dim] * factor;
          total += shared.total[head][i] * factor;
        }
        from_float(sum / total, output[index]);
      }
    });
  }

  ONRAMP_DEVICE static Pack<float, 8> widened(const Eight& words) {
    T found[8];
    memcpy(found, &words, sizeof found);
    Pack<float, 8> values;
    for (int k = 0; k < 8; ++k) values.item[k] = to_float(found[k]);
    return values;
  }

  ONRAMP_DEVICE static float larger(float a, float b) { return fmaxf(a, b); }

  // Of what no earlier kernel writes: which heads, and whether this block's cluster is the one that fills the cache.
  ONRAMP_DEVICE Place heads(int index) const {
    const int head = index / kBlocks * kHeads, group = of.size.heads / of.size.kv_heads, shared = head / group;
    Place at;
    at.row = shared / of.size.kv_heads, at.kv_head = shared - at.row * of.size.kv_heads;
    at.first_head = head - at.row * of.size.heads;
    at.writes = shared * group == head;
    return at;
  }

  // Every block gets as many of the filled slots, in whole accesses.
  ONRAMP_DEVICE void slots(int rank, Place& at) const {
    at.position = of.position(at.row, 0);
    const int filled = of.last(at.position) + 1;
    const int span = (filled + kBlocks * kSlots - 1) / (kBlocks * kSlots) * kSlots;
    at.begin = rank * span;
    at.end = at.begin + span < filled ? at.begin + span : filled;
  }

  ONRAMP_DEVICE static int first(int thread) { return thread % kLanes * 8; }
  ONRAMP_DEVICE static int slot(int thread, int tile, int load) {
    return tile + load * kSlots * kWarps + thread / kLanes;
  }

  ONRAMP_DEVICE void fetch(int thread, const Place& at, int tile, const T* cache, Tile& into) const {
    const T* address = cache + of.slot(at.row, at.kv_head, slot(thread, tile, 0)) + first(thread);
    ONRAMP_UNROLL(16)
    for (int i = 0; i < kLoads; ++i)
      if (slot(thread, tile, i) < at.end)
        into.item[i] = *reinterpret_cast<const Eight*>(address + i * kSlots * kWarps * kDims);
  }

  // The queries, scaled so that weights are powers of two; the new token's key and value in the block that sees it.
  ONRAMP_DEVICE void prepare(int thread, const Place& at, State& state) const {
    const float scale = 1.44269504f / sqrtf(static_cast<float>(kDims));
    ONRAMP_UNROLL(16)
    for (int i = 0; i < kHeads; ++i) {
      state.queries[i] = of.turned(of.head(at.row, 0, at.first_head + i), first(thread), at.position);
      for (int k = 0; k < 8; ++k) state.queries[i].item[k] *= scale;
    }
    if (at.begin > at.position || at.position >= at.end) return;
    Pack<T, 8> key, value;
    of.fresh(at.row, 0, at.kv_head, first(thread), at.position, key, value);
    memcpy(&state.fresh.key, &key, sizeof key);
    memcpy(&state.fresh.value, &value, sizeof value);
  }

  ONRAMP_DEVICE void score(int thread, const Place& at, int tile, State& state, Scores& scores) const {
    ONRAMP_UNROLL(16)
    for (int i = 0; i < kLoads; ++i) {
      if (slot(thread, tile, i) == at.position)
        admit(thread, at, state.fresh, state.keys.item[i], state.values.item[i]);
      const Pack<float, 8> key = widened(state.keys.item[i]);
      ONRAMP_UNROLL(16)
      for (int head = 0; head < kHeads; ++head) {
        float sum = 0.0f;
        for (int k = 0; k < 8; ++k) sum += state.queries[head].item[k] * key.item[k];
        scores.item[i * kHeads + head] = sum;
      }
    }
  }

  // Of the clusters with heads of one key head the first one writes into the cache.
  ONRAMP_DEVICE void admit(int thread, const Place& at, const Fresh& fresh, Eight& key, Eight& value) const {
    key = fresh.key, value = fresh.value;
    if (at.position >= at.end || !at.writes) return;
    const int64_t row = of.slot(at.row, at.kv_head, at.position) + first(thread);
    *reinterpret_cast<Eight*>(of.keys + row) = key;
    *reinterpret_cast<Eight*>(of.values + row) = value;
  }

  ONRAMP_DEVICE PerHead largest(int thread, const Place& at, int tile, const Scores& scores, PerHead most) const {
    ONRAMP_UNROLL(64)
    for (int i = 0; i < kLoads * kHeads; ++i)
      if (slot(thread, tile, i / kHeads) < at.end)
        most.item[i % kHeads] = fmaxf(most.item[i % kHeads], scores.item[i]);
    return most;
  }

  ONRAMP_DEVICE void gather(int thread, const Place& at, int tile, const State& state, const Scores& scores,
                            const PerHead& next, PerHead& most, PerHead& total, Sums& sums) const {
    ONRAMP_UNROLL(16)
    for (int head = 0; head < kHeads; ++head) {
      const float fade = exp2f(most.item[head] - next.item[head]);
      most.item[head] = next.item[head], total.item[head] *= fade;
      for (int k = 0; k < 8; ++k) sums.item[8 * head + k] *= fade;
    }
    ONRAMP_UNROLL(16)
    for (int i = 0; i < kLoads; ++i) {
      if (slot(thread, tile, i) >= at.end) continue;
      const Pack<float, 8> value = widened(state.values.item[i]);
      ONRAMP_UNROLL(16)
      for (int head = 0; head < kHeads; ++head) {
        const float weight = exp2f(scores.item[i * kHeads + head] - most.item[head]);
        total.item[head] += weight;
        for (int k = 0; k < 8; ++k) sums.item[8 * head + k] += weight * value.item[k];
      }
    }
  }

  // Threads of one place in their slots have the same sums: each stores those of some heads.
  ONRAMP_DEVICE void write(int thread, int index, const PerHead& most, const PerHead& total, const Sums& sums,
                           Shared& shared) const {
    const int lane = thread % kWarp, part = index % kBlocks * kWarps + thread / kWarp;
    ONRAMP_UNROLL(16)
    for (int head = 0; head < kHeads; ++head) {
      if (lane / kLanes == head % kSlots) {
        Pack<float, 8> eight;
        for (int k = 0; k < 8; ++k) eight.item[k] = sums.item[8 * head + k];
        store_eight(&shared.sums[part][head][first(thread)], eight);
      }
      if (lane == 0) shared.most[head][part] = most.item[head], shared.total[head][part] = total.item[head];
    }
  }
};

template <typename T, int kDims, int kHeads>
int attend_heads(const Operands<T>& of, void* stream) {
  const int64_t clusters = static_cast<int64_t>(of.size.batch) * of.size.heads / kHeads;
  return for_each_cluster<2>(AttendOnce<T, kDims, kHeads>{of}, clusters, stream);
}

template <typename T, int kDims>
int attend_once(const Operands<T>& of, void* stream) {
  return of.size.heads / of.size.kv_heads % 2 ? attend_heads<T, kDims, 1>(of, stream)
                                              : attend_heads<T, kDims, 2>(of, stream);
}

}  // namespace onramp
