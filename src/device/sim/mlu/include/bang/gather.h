// Rows picked or placed by byte offsets, which are in NRAM like the mask of one bit a row; rows whose bit is 0 are left
// alone. `stride`: of the side without offsets, from start to start.
#pragma once
#include "types.h"

#if __BANG_ARCH__ >= 592
#define BANG_PICK(name)                                                                                                \
  void name(void* dst, const void* src, const unsigned* offsets, int64_t size, mluMemcpyDirection_t dir,               \
            int64_t stride, int64_t count, BANG_LINE);                                                                 \
  void name(void* dst, const void* src, const unsigned* offsets, const void* mask, int64_t size,                       \
            mluMemcpyDirection_t dir, int64_t stride, int64_t count, BANG_LINE);
/// Row i goes from src + offsets[i] to dst + i * stride.
BANG_PICK(__gather)
BANG_PICK(__gather_async)
/// Row i goes from src + i * stride to dst + offsets[i].
BANG_PICK(__scatter)
BANG_PICK(__scatter_async)
#undef BANG_PICK
#endif
