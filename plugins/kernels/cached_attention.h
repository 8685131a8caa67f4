// Causal attention of new tokens over a cache of fixed length, which takes in their keys and values.
//
//   qkv [batch,tokens,(heads + 2 kv_heads) dims]  lengths [batch], tokens in the cache  rotation [slots,dims], of every
//   position the cosines of dims/2 angles, then their sines  past_key, past_value [batch,kv_heads,slots,dims]
//   -> output [batch,tokens,heads dims]  present_key, present_value as the past ones, or the same memory
//
// Token s of row b goes to slot lengths[b] + s: queries and keys are turned by the angles of that position (element i
// makes a pair with i + dims/2), the key is rounded to the cache's type, and the token sees the slots up to its own. All
// else in float32. A slot outside of the cache is not written. Where past and present are the same memory only the new
// rows are written; otherwise the cache is copied first. Minimum traffic of a token: the filled slots once.
#pragma once

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
  int batch, tokens, heads, kv_heads;
  int dims;          // of a head: a multiple of 16, at most 128
  int slots;
  int wide_lengths;  // 64-bit, else 32-bit
  int splits;        // blocks that share the slots of a token, at most 32; 0: as many as fill the GPU once
} OnrampCachedAttention;

// Bytes of scratch memory: for a few tokens their partial results, for more none.
size_t onramp_cached_attention_workspace(int batch, int tokens, int width);

// All pointers on the device, packed row-major, at multiples of 16 bytes. Returns a cudaError_t: 0 when queued.
int onramp_cached_attention_fp32(const OnrampCachedAttention* size, const void* qkv, const void* lengths,
                                 const void* rotation, const void* past_key, const void* past_value, void* workspace,
                                 void* output, void* present_key, void* present_value, void* stream);
int onramp_cached_attention_fp16(const OnrampCachedAttention* size, const void* qkv, const void* lengths,
                                 const void* rotation, const void* past_key, const void* past_value, void* workspace,
                                 void* output, void* present_key, void* present_value, void* stream);

#ifdef __cplusplus
}
#endif
