// Copies between memories. Sizes and strides are bytes, strides from start to start; counts of segments are less one.
// The pointers are void*, as in the real tool chain: a pointer into the wrong memory is found when the copy runs.
#pragma once
#include "types.h"

#define BANG_COPY(name)                                                                                                \
  void name(void* dst, const void* src, int64_t size, mluMemcpyDirection_t dir, BANG_LINE);                            \
  void name(void* dst, const void* src, int64_t size, mluMemcpyDirection_t dir, int64_t dst_stride,                    \
            int64_t src_stride, int64_t segments, BANG_LINE);                                                          \
  void name(void* dst, const void* src, int64_t size, mluMemcpyDirection_t dir, int64_t dst_stride0,                   \
            int64_t dst_segments1, int64_t dst_stride1, int64_t dst_segments2, int64_t src_stride0,                    \
            int64_t src_segments1, int64_t src_stride1, int64_t src_segments2, BANG_LINE);                             \
  /* SRAM2SRAM alone: from this cluster to the same address of another one of the job. */                              \
  void name(void* dst, const void* src, int64_t size, mluMemcpyDirection_t dir, int dst_cluster_id, BANG_LINE);        \
  void name(void* dst, const void* src, int64_t size, mluMemcpyDirection_t dir, int64_t dst_stride,                    \
            int64_t src_stride, int64_t segments, int dst_cluster_id, BANG_LINE);
// Returns when the copy is done.
BANG_COPY(__memcpy)
// Done only after a sync of its pipe: IO where device memory is involved, Move on the chip.
BANG_COPY(__memcpy_async)
#undef BANG_COPY
