// Reductions, transposes, compaction. Granularity is 64 bytes.
#include "machine.h"
#include <algorithm>
#include <limits>

using namespace bang;

namespace {
enum PoolKind { SUM, MAX, MIN, AVG };
template <class T>
void pool(const char* op, PoolKind kind, T* d, const T* s, int c, int h, int w, int kh, int kw, int sw, int sh, int line) {
  if (c <= 0 || kh <= 0 || kw <= 0 || sh <= 0 || sw <= 0 || kh > h || kw > w) return report("count", op, line, "expected windows inside the block");
  const int oh = (h - kh) / sh + 1, ow = (w - kw) / sw + 1;
  if (!machine.config.is_any(BLOCKS) && (int64_t)c * (int64_t)sizeof(T) % grain != 0) return report("alignment", op, line, "expected channels in multiples of 64 bytes, got " + std::to_string(c) + " elements");
  if (!begin_vector(op, line, {writes(d, (int64_t)oh * ow * c, sizeof(T)), reads(s, (int64_t)h * w * c, sizeof(T))}, BLOCKS, FORWARD)) return;
  const Known known(s, (int64_t)h * w * c, sizeof(T));
  for (int y = 0; y < oh; y++)
    for (int x = 0; x < ow; x++)
      for (int i = 0; i < c; i++) {
        const int64_t first = ((int64_t)y * sh * w + x * sw) * c + i, out = ((int64_t)y * ow + x) * c + i;
        float acc = (float)s[first];
        bool is = known[first];
        for (int a = 0; a < kh; a++)
          for (int b = 0; b < kw; b++) {
            if (a == 0 && b == 0) continue;
            const int64_t at = first + ((int64_t)a * w + b) * c;
            const float v = (float)s[at];
            acc = kind == MAX ? std::max(acc, v) : kind == MIN ? std::min(acc, v) : acc + v;
            is = is && known[at];
          }
        d[out] = (T)(kind == AVG ? acc / (float)(kh * kw) : acc);
        if (!known.all()) settle(d + out, sizeof(T), is);
      }
  if (known.all()) settle(d, (int64_t)oh * ow * c * sizeof(T), true);
}

/// A tree over neighbours: the order that a group of lanes would add in.
template <class T>
float tree(const T* s, int64_t n) {
  if (n == 1) return (float)s[0];
  const int64_t half_n = n / 2;
  return tree(s, half_n) + tree(s + half_n, n - half_n);
}

template <class T>
void extreme(const char* op, bool wants_max, T* d, const T* s, int n, int line) {
  // Four bytes for the value, four for the position.
  if (n <= 0) return report("count", op, line, "expected elements");
  if (!begin_vector(op, line, {writes(d, 8 / (int)sizeof(T), sizeof(T)), reads(s, n, sizeof(T))})) return;
  if (!machine.config.is_any(REDUCTION) && (int64_t)n * (int64_t)sizeof(T) % grain != 0) return report("alignment", op, line, "expected a multiple of 64 bytes, got " + std::to_string(n) + " elements");
  uint32_t best = 0;
  for (int i = 1; i < n; i++)
    if (wants_max ? (float)s[i] > (float)s[best] : (float)s[i] < (float)s[best]) best = (uint32_t)i;
  const T value = s[best];
  const bool known = !machine.is_checked() || is_known((const char*)s, (int64_t)n * sizeof(T), sizeof(T));
  d[0] = value;
  memcpy((char*)d + 4, &best, 4);
  if (!machine.is_checked()) return;
  set_known(d, sizeof(T), true);
  set_known((char*)d + 4, 4, true);
  if (!known) spread_whole(d, sizeof(T), {reads(s, n, sizeof(T))}), spread_whole((char*)d + 4, 4, {reads(s, n, sizeof(T))});
}

/// `offset`: elements before the first one kept, whose first four bytes are the count; 0: none. Elements after one whose mask
/// is unknown have no known place.
template <class T>
int filter(const char* op, T* d, const T* s, const T* mask, int n, int offset, int line) {
  if (!begin_vector(op, line, {writes(d, n + offset, sizeof(T)), reads(s, n, sizeof(T)), reads(mask, n, sizeof(T))})) return 0;
  const Known known(s, n, sizeof(T)), known_mask(mask, n, sizeof(T));
  const std::vector<T> kept(mask, mask + n);
  uint32_t count = 0;
  bool has_place = true;
  T* to = d + offset;
  for (int i = 0; i < n; i++) {
    has_place = has_place && known_mask[i];
    if ((float)kept[i] == 0) continue;
    to[count] = s[i];
    settle(to + count++, sizeof(T), known[i] && has_place);
  }
  if (offset > 0) memcpy((void*)d, &count, 4), settle(d, 4, has_place);
  return (int)count;
}
template <class T>
void maskmove(T* d, const T* s, const T* mask, int n, int line) {
  if (!begin_vector("__bang_maskmove", line, {writes(d, n, sizeof(T)), reads(s, n, sizeof(T)), reads(mask, n, sizeof(T))})) return;
  const Known known(s, n, sizeof(T)), known_mask(mask, n, sizeof(T)), before(d, n, sizeof(T));
  for (int i = 0; i < n; i++) {
    const bool moves = (float)mask[i] != 0;
    if (moves) d[i] = s[i];
    settle(d + i, sizeof(T), known_mask[i] && (moves ? known[i] : before[i]));
  }
}
}  // namespace

#define X(T)                                                                                                           \
  void __bang_sumpool(T* d, const T* s, int c, int h, int w, int kh, int kw, int sx, int sy, Line line) { pool("__bang_sumpool", SUM, d, s, c, h, w, kh, kw, sx, sy, line); } \
  void __bang_maxpool(T* d, const T* s, int c, int h, int w, int kh, int kw, int sx, int sy, Line line) { pool("__bang_maxpool", MAX, d, s, c, h, w, kh, kw, sx, sy, line); } \
  void __bang_minpool(T* d, const T* s, int c, int h, int w, int kh, int kw, int sx, int sy, Line line) { pool("__bang_minpool", MIN, d, s, c, h, w, kh, kw, sx, sy, line); } \
  void __bang_avgpool(T* d, const T* s, int c, int h, int w, int kh, int kw, int sx, int sy, Line line) { pool("__bang_avgpool", AVG, d, s, c, h, w, kh, kw, sx, sy, line); } \
  void __bang_reduce_sum(T* d, const T* s, int n, Line line) {                                                          \
    const int group = 128 / (int)sizeof(T);                                                                            \
    if (n % group != 0) return report("count", "__bang_reduce_sum", line, "expected whole groups of 128 bytes, got " + std::to_string(n) + " elements"); \
    if (!begin_vector("__bang_reduce_sum", line, {writes(d, n, sizeof(T)), reads(s, n, sizeof(T))}, REDUCTION)) return;     \
    for (int g = 0; g < n; g += group) {                                                                               \
      const T sum = (T)tree(s + g, group);                                                                             \
      d[g] = sum;                                                                                                      \
      spread_whole(d + g, sizeof(T), {reads(s + g, group, sizeof(T))});                                                \
    }                                                                                                                  \
  }                                                                                                                    \
  void __bang_argmax(T* d, const T* s, int n, Line line) { extreme("__bang_argmax", true, d, s, n, line); }             \
  void __bang_argmin(T* d, const T* s, int n, Line line) { extreme("__bang_argmin", false, d, s, n, line); }            \
  void __bang_max(T* d, const T* s, int n, Line line) { extreme("__bang_max", true, d, s, n, line); }                   \
  void __bang_min(T* d, const T* s, int n, Line line) { extreme("__bang_min", false, d, s, n, line); }                  \
  int __bang_filter(T* d, const T* s, const T* mask, int n, Line line) { return filter("__bang_filter", d, s, mask, n, 0, line); } \
  void __bang_select(T* d, const T* s, const T* mask, int n, Line line) { filter("__bang_select", d, s, mask, n, 128 / (int)sizeof(T), line); } \
  void __bang_collect(T* d, const T* s, const T* mask, int n, Line line) { filter("__bang_collect", d, s, mask, n, 0, line); } \
  void __bang_maskmove(T* d, const T* s, const T* mask, int n, Line line) { maskmove(d, s, mask, n, line); }           \
  int __bang_count(const T* s, int n, Line line) {                                                                      \
    int count = 0;                                                                                                     \
    if (begin_vector("__bang_count", line, {reads(s, n, sizeof(T))})) for (int i = 0; i < n; i++) count += (float)s[i] != 0; \
    return count;                                                                                                      \
  }                                                                                                                    \
  int __bang_findfirst1(const T* s, int n, Line line) {                                                                 \
    if (begin_vector("__bang_findfirst1", line, {reads(s, n, sizeof(T))})) for (int i = 0; i < n; i++) if ((float)s[i] != 0) return i; \
    return -1;                                                                                                         \
  }                                                                                                                    \
  int __bang_findlast1(const T* s, int n, Line line) {                                                                  \
    if (begin_vector("__bang_findlast1", line, {reads(s, n, sizeof(T))})) for (int i = n; i-- > 0;) if ((float)s[i] != 0) return i; \
    return -1;                                                                                                         \
  }
BANG_FLOATS(X)
#undef X

/// The result is a number of the scalar unit, so what was not written becomes NaN.
template <class T>
float sum(const T* s, int n, int line) {
  if (!begin_vector("__bang_sum", line, {reads(s, n, sizeof(T))}, REDUCTION)) return NAN;
  if (machine.is_checked() && !is_known((const char*)s, (int64_t)n * sizeof(T), sizeof(T))) {
    report("unwritten", "__bang_sum", line, "adds bytes of " + name_of(s) + " that nothing has written", s);
    return NAN;
  }
  return tree(s, n);
}
float __bang_sum(const float* s, int n, Line line) { return sum(s, n, line); }
half __bang_sum(const half* s, int n, Line line) { return (half)sum(s, n, line); }

#define X(T)                                                                                                           \
  void __bang_transpose(T* d, const T* s, int h, int w, Line line) {                                                    \
    if (!machine.config.is_any(BLOCKS) && ((int64_t)h * (int64_t)sizeof(T) % grain || (int64_t)w * (int64_t)sizeof(T) % grain))                            \
      return report("alignment", "__bang_transpose", line, "expected both sides in multiples of 64 bytes, got " + std::to_string(h) + " x " + std::to_string(w)); \
    if (d == s) return report("overlap", "__bang_transpose", line, "expected source and destination apart");           \
    if (!begin_vector("__bang_transpose", line, {writes(d, (int64_t)h * w, sizeof(T)), reads(s, (int64_t)h * w, sizeof(T))}, BLOCKS)) return; \
    if (machine.is_checked()) is_known((const char*)s, (int64_t)h * w * sizeof(T), sizeof(T));                         \
    for (int y = 0; y < h; y++)                                                                                        \
      for (int x = 0; x < w; x++) {                                                                                    \
        d[x * h + y] = s[y * w + x];                                                                                   \
        if (machine.is_checked()) memcpy(known_of(d + x * h + y), known_of(s + y * w + x), sizeof(T));                 \
      }                                                                                                                \
  }
BANG_ANY(X)
#undef X
