// Blocks in another order, tables, fills. An element carries with it whether it was written.
#include "machine.h"

using namespace bang;

namespace {
/// dst[i] is source element from(i), or a zero where that is negative.
template <class T, class F>
void permute(const char* op, int line, T* d, int64_t count, const T* s, int64_t n, F from) {
  if (count <= 0 || n <= 0) return report("count", op, line, "expected positive sizes");
  if (!begin_vector(op, line, {writes(d, count, sizeof(T)), reads(s, n, sizeof(T))}, BLOCKS)) return;
  if (d == s) return report("overlap", op, line, "expected source and destination apart, got " + name_of(d), d);
  const Known known(s, n, sizeof(T));
  for (int64_t i = 0; i < count; i++) {
    const int64_t j = from(i);
    d[i] = j < 0 ? (T)0 : s[j];
    if (!known.all()) settle(d + i, sizeof(T), j < 0 || known[j]);
  }
  if (known.all()) settle(d, count * sizeof(T), true);
}
template <class T>
void pad(T* d, const T* s, int c, int h, int w, int top, int bottom, int left, int right, int line) {
  if (top < 0 || bottom < 0 || left < 0 || right < 0) return report("count", "__bang_pad", line, "expected no negative pad");
  const int64_t width = left + w + right;
  permute("__bang_pad", line, d, (top + h + bottom) * width * c, s, (int64_t)h * w * c, [=](int64_t i) -> int64_t {
    const int64_t y = i / c / width - top, x = i / c % width - left;
    return y < 0 || y >= h || x < 0 || x >= w ? -1 : (y * w + x) * c + i % c;
  });
}
template <class T, class I>
void lut(T* d, const I* index, const T* table, int n, int length, int line) {
  const char* op = "__bang_lut";
  if (!begin_vector(op, line, {writes(d, n, sizeof(T)), reads(index, n, sizeof(I)), reads(table, length, sizeof(T))})) return;
  const Known known(index, n, sizeof(I)), known_table(table, length, sizeof(T));
  for (int i = 0; i < n; i++) {
    const I at = index[i];
    // What lies at an index that nothing has written nobody will use.
    if (at >= (I)length && known[i]) return report("bounds", op, line, "expected indices below " + std::to_string(length) + ", got " + std::to_string(at));
    const bool is = known[i] && known_table[at % length];
    d[i] = table[at % length];
    settle(d + i, sizeof(T), is);
  }
}
template <class T>
void fill(const char* op, Space space, T* d, int64_t n, T value, int line) {
  if (machine.is_checked()) {
    const Use use{{(const char*)d, n * (int64_t)sizeof(T), 0, 1}, true, sizeof(T)};
    if (space == SRAM && machine.config.clusters == 0) return report("task type", op, line, "expected no SRAM in a Block kernel");
    if (!is_inside(op, line, use.region, space, true)) return;
    check_pending(op, line, &use, 1, space == GDRAM ? IO : MOVE);
    touch_shared(op, line, use, space);
  }
  finish(space == GDRAM ? IO : MOVE);
  for (int64_t i = 0; i < n; i++) d[i] = value;
  if (space == SRAM) settle(d, n * sizeof(T), true), yield_sometimes();
}
}  // namespace

#define X(T)                                                                                                           \
  void __bang_pad(T* d, const T* s, int c, int h, int w, int top, int bottom, int left, int right, Line line) { pad(d, s, c, h, w, top, bottom, left, right, line); } \
  void __bang_rotate90(T* d, const T* s, int h, int w, Line line) { permute("__bang_rotate90", line, d, (int64_t)h * w, s, (int64_t)h * w, [=](int64_t i) { return (h - 1 - i % h) * w + i / h; }); } \
  void __bang_rotate180(T* d, const T* s, int h, int w, Line line) { permute("__bang_rotate180", line, d, (int64_t)h * w, s, (int64_t)h * w, [=](int64_t i) { return (int64_t)h * w - 1 - i; }); } \
  void __bang_rotate270(T* d, const T* s, int h, int w, Line line) { permute("__bang_rotate270", line, d, (int64_t)h * w, s, (int64_t)h * w, [=](int64_t i) { return i % h * w + (w - 1 - i / h); }); } \
  void __bang_mirror(T* d, const T* s, int h, int w, Line line) { permute("__bang_mirror", line, d, (int64_t)h * w, s, (int64_t)h * w, [=](int64_t i) { return i / w * w + (w - 1 - i % w); }); } \
  void __gdramset(T* d, int64_t n, T value, Line line) { fill("__gdramset", GDRAM, d, n, value, line); }                \
  void __sramset(T* d, int64_t n, T value, Line line) { fill("__sramset", SRAM, d, n, value, line); }
BANG_ANY(X)
#undef X
#define X(T, I) void __bang_lut(T* d, const I* index, const T* table, int n, int length, Line line) { lut(d, index, table, n, length, line); }
BANG_TABLES(X)
#undef X
#define X(T)                                                                                                           \
  void __bang_incseq(T* d, int n, Line line) {                                                                         \
    if (!begin_vector("__bang_incseq", line, {writes(d, n, sizeof(T))})) return;                                       \
    for (int i = 0; i < n; i++) d[i] = (T)i;                                                                           \
    settle(d, (int64_t)n * sizeof(T), true);                                                                           \
  }
BANG_SEQUENCES(X)
#undef X
void __bang_move(void* d, const void* s, int n, Line line) {
  if (!begin_vector("__bang_move", line, {writes(d, n, 1), reads(s, n, 1)}, ELEMENTS, FORWARD)) return;
  if (machine.is_checked()) is_known((const char*)s, n, n % 4 == 0 ? 4 : 1);
  const Known known(s, n, 1);
  memmove(d, s, n);
  if (known.all()) return settle(d, n, true);
  for (int i = 0; i < n; i++) settle((char*)d + i, 1, known[i]);
}
void __bang_move(void* d, const void* s, int n, int dst_stride, int src_stride, int segments, Line line) {
  if (n <= 0 || segments < 0) return report("count", "__bang_move", line, "expected positive sizes");
  // As a whole first: a run of its own may lie in the next variable.
  const auto fits = [&](const void* p, int stride, bool writes) { return is_inside("__bang_move", line, {(const char*)p, n, stride, segments + 1}, NRAM, writes); };
  if (machine.is_checked() && (!fits(d, dst_stride, true) || !fits(s, src_stride, false))) return;
  for (int i = 0; i <= segments; i++) __bang_move((char*)d + (int64_t)i * dst_stride, (const char*)s + (int64_t)i * src_stride, n, line);
}
