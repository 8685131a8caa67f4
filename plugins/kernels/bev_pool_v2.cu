// Three steps on one stream: no interval for any row; each interval enters its row, the last wins; each row is summed and
// written. In the last step a thread owns N neighboring channels of a row, and takes points in batches whose loads are all
// under way before the first is used. Most rows have a few points, but those beside the cameras have hundreds: what a row
// has beyond kAlone points is divided among all threads of its block, and the rows of a block lie far apart, so that rows
// with many points, which are neighbors, fall into different blocks.
#include "bev_pool_v2.h"

#include <type_traits>

#include "launch.h"

namespace onramp {
namespace {

constexpr int kBatch = 4;
constexpr int kAlone = 16;
constexpr int kResident = 8;  // blocks per multiprocessor

struct Clear {
  int* intervals;

  ONRAMP_DEVICE void operator()(int row) const { intervals[row] = -1; }
};

template <typename Index>
struct Interval {
  int start, stop, row;  // row -1: it does not count

  ONRAMP_DEVICE Interval(const OnrampPooling& size, const Index* starts, const Index* lengths, const Index* ranks_bev,
                         int index) {
    const int64_t first = starts[index], length = lengths[index], room = size.points - first;
    const bool any = first >= 0 && first < size.points && length > 0;
    start = any ? static_cast<int>(first) : 0;
    stop = any ? start + static_cast<int>(length < room ? length : room) : 0;
    const int64_t target = any ? static_cast<int64_t>(ranks_bev[start]) : -1;
    row = target >= 0 && target < size.rows ? static_cast<int>(target) : -1;
  }
};

template <typename Index>
struct Enter {
  OnrampPooling size;
  const Index *starts, *lengths, *ranks_bev;
  int* intervals;

  ONRAMP_DEVICE void operator()(int index) const {
    const Interval<Index> interval(size, starts, lengths, ranks_bev, index);
    if (interval.row >= 0) atomicMax(intervals + interval.row, index);
  }
};

// N channels of a row: batches of points are added in float32, or in halves whose sum goes on in float32.
template <typename T, int N>
struct Sum {
  float item[N] = {};

  ONRAMP_DEVICE void add(const T (&weight)[kBatch], const Pack<T, N> (&channels)[kBatch]) {
    for (int k = 0; k < kBatch; ++k)
      for (int i = 0; i < N; ++i) item[i] += to_float(weight[k]) * to_float(channels[k].item[i]);
  }
};

template <int N>
struct PairSum {
  float item[N] = {};

  ONRAMP_DEVICE void add(const half (&weight)[kBatch], const Pack<half, N> (&channels)[kBatch]) {
    for (int i = 0; i < N; i += 2) {
      half2 sum = __float2half2_rn(0.0f);
      for (int k = 0; k < kBatch; ++k)
        sum = __hfma2(__half2half2(weight[k]), __halves2half2(channels[k].item[i], channels[k].item[i + 1]), sum);
      item[i] += to_float(__low2half(sum));
      item[i + 1] += to_float(__high2half(sum));
    }
  }
};

template <typename T, typename Index, int N, typename Total>
struct Pool {
  OnrampPooling size;
  const T *depth, *feat;
  const Index *ranks_depth, *ranks_feat, *ranks_bev, *starts, *lengths;
  const int* intervals;
  T* output;

  struct Shared {
    int start[kThreads], stop[kThreads];  // what is left of each row of the block
    float part[N][kThreads];
  };

  // The threads of a block: `rows` rows of `width` threads, the same channels of each row.
  ONRAMP_BOTH int lanes() const { return size.channels / N; }
  ONRAMP_BOTH int width() const { return lanes() < kThreads ? lanes() : kThreads; }
  ONRAMP_BOTH int64_t blocks() const { return static_cast<int64_t>(groups()) * splits(); }
  ONRAMP_BOTH int splits() const { return (lanes() + width() - 1) / width(); }
  ONRAMP_BOTH int groups() const { return (size.rows + rows() - 1) / rows(); }
  ONRAMP_BOTH int rows() const { return kThreads / width(); }

  ONRAMP_DEVICE void operator()(const Block& block, Shared& shared) const {
    const int wide = width(), high = rows(), far = groups();
    const int group = block.index % far, split = block.index / far;
    const auto row_of = [&](int thread) { return thread / wide * far + group; };
    const auto lane_of = [&](int thread) { return split * wide + thread % wide; };
    const auto idle = [&](int thread) {
      return thread / wide >= high || row_of(thread) >= size.rows || lane_of(thread) >= lanes();
    };
    PerThread<Total> total, share;
    block.each([&](int thread) {
      total[thread] = Total();
      shared.start[thread] = shared.stop[thread] = 0;
    });
    block.each([&](int thread) {
      if (idle(thread)) return;
      const int interval = intervals[row_of(thread)];
      if (interval < 0) return;
      const Interval<Index> points(size, starts, lengths, ranks_bev, interval);
      const int alone = points.stop - points.start < kAlone ? points.stop : points.start + kAlone;
      add(lane_of(thread), points.start, alone, kBatch, total[thread]);
      if (thread % wide == 0) {
        shared.start[thread / wide] = alone;
        shared.stop[thread / wide] = points.stop;
      }
    });
    for (int row = 0; row < high; ++row) {
      const int start = shared.start[row], stop = shared.stop[row];
      if (start >= stop) continue;
      block.each([&](int thread) {
        share[thread] = Total();
        if (thread / wide < high && lane_of(thread) < lanes())
          add(lane_of(thread), start + thread / wide * kBatch, stop, high * kBatch, share[thread]);
        for (int i = 0; i < N; ++i) shared.part[i][thread] = share[thread].item[i];
      });
      block.each([&](int thread) {
        if (thread / wide != row) return;
        for (int other = thread % wide; other < high * wide; other += wide)
          for (int i = 0; i < N; ++i) total[thread].item[i] += shared.part[i][other];
      });
    }
    block.each([&](int thread) {
      if (idle(thread)) return;
      Pack<T, N> result;
      for (int i = 0; i < N; ++i) from_float(total[thread].item[i], result.item[i]);
      store(output + static_cast<int64_t>(row_of(thread)) * size.channels + lane_of(thread) * N, result);
    });
  }

  // Adds the points from `point` to `stop`, a batch of every `step` points.
  ONRAMP_DEVICE void add(int lane, int point, int stop, int step, Total& total) const {
    for (const T* channels = feat + lane * N; point < stop; point += step) {
      Index of_depth[kBatch], of_feat[kBatch];
      T weight[kBatch];
      Pack<T, N> terms[kBatch];
      for (int k = 0; k < kBatch; ++k) {
        of_depth[k] = point + k < stop ? ranks_depth[point + k] : -1;
        of_feat[k] = point + k < stop ? ranks_feat[point + k] : -1;
      }
      for (int k = 0; k < kBatch; ++k) {
        const bool inside = of_depth[k] >= 0 && of_depth[k] < size.depths && of_feat[k] >= 0 && of_feat[k] < size.features;
        if (inside) {
          weight[k] = depth[of_depth[k]];
          terms[k] = load<N>(channels + static_cast<int64_t>(of_feat[k]) * size.channels);
        } else {
          from_float(0.0f, weight[k]);
          for (int i = 0; i < N; ++i) from_float(0.0f, terms[k].item[i]);
        }
      }
      total.add(weight, terms);
    }
  }
};

// The operands as they are handed over: depth, feat, three ranks, starts, lengths, scratch, output.
using Operands = const void* const (&)[9];

template <typename T, typename Index, template <int> class Total, int N>
int pool(const OnrampPooling& s, Operands given, void* stream) {
  const auto index = [&](int position) { return static_cast<const Index*>(given[position]); };
  int* intervals = static_cast<int*>(const_cast<void*>(given[7]));
  if (const int code = for_each(Clear{intervals}, s.rows, stream)) return code;
  const Enter<Index> enter{s, index(5), index(6), index(4), intervals};
  if (const int code = for_each(enter, s.intervals, stream)) return code;
  const Pool<T, Index, N, Total<N>> body{s,        static_cast<const T*>(given[0]), static_cast<const T*>(given[1]),
                                         index(2), index(3),                        index(4),
                                         index(5), index(6),                        intervals,
                                         static_cast<T*>(const_cast<void*>(given[8]))};
  return for_each_block<kResident>(body, body.blocks(), stream);
}

template <int N>
using SingleSum = Sum<float, N>;
template <int N>
using HalfSum = Sum<half, N>;

template <typename T, template <int> class Total, bool paired>
int choose(const OnrampPooling* size, Operands given, void* stream) {
  const OnrampPooling& s = *size;
  if (s.depths < 0 || s.features < 0 || s.channels < 1 || s.points < 0 || s.intervals < 0 || s.rows < 0 ||
      s.channels > INT32_MAX - kThreads || s.points > INT32_MAX - kThreads * kBatch)
    return cudaErrorInvalidValue;
  const auto launch = [&](auto width) {
    constexpr int N = decltype(width)::value;
    return s.wide_indices ? pool<T, int64_t, Total, N>(s, given, stream) : pool<T, int32_t, Total, N>(s, given, stream);
  };
  const auto fits = [&](int n) {
    return s.channels % n == 0 && aligned(given[1], n * sizeof(T)) && aligned(given[8], n * sizeof(T));
  };
  if (fits(8)) return launch(std::integral_constant<int, 8>());
  if (fits(2)) return launch(std::integral_constant<int, 2>());
  if constexpr (paired) return choose<T, HalfSum, false>(size, given, stream);
  else return launch(std::integral_constant<int, 1>());
}

}  // namespace
}  // namespace onramp

#define ONRAMP_POOL(form, ...)                                                                                        \
  ONRAMP_EXPORT int onramp_bev_pool_v2_##form(const OnrampPooling* size, const void* depth, const void* feat,         \
                                              const void* ranks_depth, const void* ranks_feat, const void* ranks_bev, \
                                              const void* starts, const void* lengths, void* intervals_of_rows,       \
                                              void* output, void* stream) {                                           \
    const void* const given[] = {depth,  feat,    ranks_depth,       ranks_feat, ranks_bev,                           \
                                 starts, lengths, intervals_of_rows, output};                                         \
    return onramp::choose<__VA_ARGS__>(size, given, stream);                                                          \
  }

ONRAMP_POOL(fp32, float, onramp::SingleSum, false)
ONRAMP_POOL(fp16, half, onramp::HalfSum, false)
ONRAMP_POOL(fp16x2, half, onramp::PairSum, true)
