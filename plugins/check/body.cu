// The frame of a pooling kernel whose operator() is still to be written: lesson 05 puts its statements in place of
// body.inc. It compiles for a GPU, and as host code with a function that runs some of the indices.
#include "kernels/bev_pool_v2.h"
#include "kernels/launch.h"

namespace onramp {

struct Mine {
  OnrampPooling s;           // s.channels, s.depths, s.features, s.rows
  const half *depth, *feat;  // depth: s.depths halves; feat: s.features rows of s.channels halves
  const int *ranks_depth, *ranks_feat;
  const int* first;  // the points of a row are first[row] to first[row + 1] - 1
  half* output;      // s.rows rows of s.channels halves

  ONRAMP_DEVICE void operator()(int index) const {
#include "body.inc"
  }
};

#ifdef __CUDACC__
template __global__ void each(Mine, int);
#else
ONRAMP_EXPORT void call(const OnrampPooling* s, const half* depth, const half* feat, const int* ranks_depth,
                        const int* ranks_feat, const int* first, half* output, int from, int to) {
  const Mine body{*s, depth, feat, ranks_depth, ranks_feat, first, output};
  for (int index = from; index < to; ++index) body(index);
}
#endif

}  // namespace onramp
