// Ops on bits and on masks of bits. What is known of them is kept by bytes, so a mask's byte needs all its 8 elements.
#include "machine.h"

using namespace bang;

namespace {
template <class T, class F>
void bitwise(const char* op, T* d, const T* a, const T* b, int n, int nb, int line, F f) {
  if (nb <= 0 || n % nb != 0) return report("count", op, line, "expected the long count to be a multiple of the short one, got " + std::to_string(n) + " and " + std::to_string(nb));
  if (!begin_vector(op, line, {writes(d, n, 1), reads(a, n, 1), reads(b, nb, 1)})) return;
  // Scalar code writes words, of which a byte may look unwritten.
  if (machine.is_checked()) is_known((const char*)a, n, n % 4 == 0 ? 4 : 1), is_known((const char*)b, nb, nb % 4 == 0 ? 4 : 1);
  const Known known_a(a, n, 1), known_b(b, nb, 1);
  for (int i = 0; i < n; i++) d[i] = (T)f(a[i], b[i % nb]);
  if (known_a.all() && known_b.all()) return settle(d, n, true);
  for (int i = 0; i < n; i++) settle(d + i, 1, known_a[i] && known_b[i % nb]);
}
template <class T, class F>
void each_word(const char* op, T* d, const T* a, int n, int line, F f) {
  if (!begin_vector(op, line, {writes(d, n, 4), reads(a, n, 4)})) return;
  for (int i = 0; i < n; i++) d[i] = (T)f((uint32_t)a[i]);
  spread(d, 4, n, {reads(a, n, 4)});
}
bool is_eighth(const char* op, int line, int n) {
  if (n > 0 && n % 8 == 0) return true;
  report("count", op, line, "expected a multiple of 8 elements, got " + std::to_string(n));
  return false;
}
template <class T, class F>
void compare(const char* op, T* mask, const T* a, const T* b, int n, int line, F f) {
  if (!is_eighth(op, line, n) || !begin_vector(op, line, {writes(mask, n / 8, 1), reads(a, n, sizeof(T)), reads(b, n, sizeof(T))}, ELEMENTS, FORWARD)) return;
  const Known known_a(a, n, sizeof(T)), known_b(b, n, sizeof(T));
  for (int i = 0; i < n; i += 8) {
    uint8_t bits = 0;
    bool is = true;
    for (int j = i; j < i + 8; j++) {
      bits |= (f((float)a[j], (float)b[j]) ? 1 : 0) << (j - i);
      is = is && known_a[j] && known_b[j];
    }
    ((uint8_t*)mask)[i / 8] = bits;
    settle((uint8_t*)mask + i / 8, 1, is);
  }
}
bool bit(const void* mask, int i) { return ((const uint8_t*)mask)[i / 8] >> i % 8 & 1; }

/// `offset`: elements before the first one kept, whose first four bytes are the count; 0: none. Elements after the last bit
/// that is unknown have no known place.
template <class T>
int keep(const char* op, T* d, const T* s, const void* mask, int n, int offset, int line) {
  if (!is_eighth(op, line, n) || !begin_vector(op, line, {writes(d, n + offset, sizeof(T)), reads(s, n, sizeof(T)), reads(mask, n / 8, 1)})) return 0;
  const Known known(s, n, sizeof(T)), known_mask(mask, n / 8, 1);
  const std::vector<uint8_t> bits((const uint8_t*)mask, (const uint8_t*)mask + n / 8);
  uint32_t count = 0;
  bool has_place = true;
  for (int i = 0; i < n; i++) {
    has_place = has_place && known_mask[i / 8];
    if (!bit(bits.data(), i)) continue;
    d[offset + count] = s[i];
    settle(d + offset + count++, sizeof(T), known[i] && has_place);
  }
  if (offset > 0) memcpy((void*)d, &count, 4), settle(d, 4, has_place);
  return (int)count;
}
}  // namespace

#define X(T)                                                                                                           \
  void __bang_band(T* d, const T* a, const T* b, int n, Line line) { bitwise("__bang_band", d, a, b, n, n, line, [](T x, T y) { return x & y; }); } \
  void __bang_bor(T* d, const T* a, const T* b, int n, Line line) { bitwise("__bang_bor", d, a, b, n, n, line, [](T x, T y) { return x | y; }); } \
  void __bang_bxor(T* d, const T* a, const T* b, int n, Line line) { bitwise("__bang_bxor", d, a, b, n, n, line, [](T x, T y) { return x ^ y; }); } \
  void __bang_bnot(T* d, const T* a, int n, Line line) { bitwise("__bang_bnot", d, a, a, n, n, line, [](T x, T) { return ~x; }); } \
  void __bang_cycle_band(T* d, const T* a, const T* b, int n, int nb, Line line) { bitwise("__bang_cycle_band", d, a, b, n, nb, line, [](T x, T y) { return x & y; }); } \
  void __bang_cycle_bor(T* d, const T* a, const T* b, int n, int nb, Line line) { bitwise("__bang_cycle_bor", d, a, b, n, nb, line, [](T x, T y) { return x | y; }); } \
  void __bang_cycle_bxor(T* d, const T* a, const T* b, int n, int nb, Line line) { bitwise("__bang_cycle_bxor", d, a, b, n, nb, line, [](T x, T y) { return x ^ y; }); }
BANG_BYTES(X)
#undef X
#define X(T)                                                                                                           \
  void __bang_band_scalar(T* d, const T* a, T b, int n, Line line) { each_word("__bang_band_scalar", d, a, n, line, [=](uint32_t x) { return x & (uint32_t)b; }); } \
  void __bang_bor_scalar(T* d, const T* a, T b, int n, Line line) { each_word("__bang_bor_scalar", d, a, n, line, [=](uint32_t x) { return x | (uint32_t)b; }); } \
  void __bang_bxor_scalar(T* d, const T* a, T b, int n, Line line) { each_word("__bang_bxor_scalar", d, a, n, line, [=](uint32_t x) { return x ^ (uint32_t)b; }); } \
  void __bang_sll(T* d, const T* a, int by, int n, Line line) { each_word("__bang_sll", d, a, n, line, [=](uint32_t x) { return by > 31 ? 0 : x << by; }); } \
  void __bang_srl(T* d, const T* a, int by, int n, Line line) { each_word("__bang_srl", d, a, n, line, [=](uint32_t x) { return by > 31 ? 0 : x >> by; }); } \
  void __bang_sra(T* d, const T* a, int by, int n, Line line) { each_word("__bang_sra", d, a, n, line, [=](uint32_t x) { return (uint32_t)((int32_t)x >> (by > 31 ? 31 : by)); }); }
BANG_WORDS(X)
#undef X
#define DEF_BITS(op, sign, T)                                                                                          \
  void __bang_##op(T* mask, const T* a, const T* b, int n, Line line) { compare("__bang_" #op, mask, a, b, n, line, [](float x, float y) { return x sign y; }); }
#define X(T)                                                                                                           \
  DEF_BITS(ge_bitindex, >=, T) DEF_BITS(gt_bitindex, >, T) DEF_BITS(le_bitindex, <=, T) DEF_BITS(lt_bitindex, <, T)     \
  DEF_BITS(eq_bitindex, ==, T) DEF_BITS(ne_bitindex, !=, T)                                                            \
  int __bang_filter_bitindex(T* d, const T* s, const void* mask, int n, Line line) { return keep("__bang_filter_bitindex", d, s, mask, n, 0, line); } \
  void __bang_select_bitindex(T* d, const T* s, const void* mask, int n, Line line) { keep("__bang_select_bitindex", d, s, mask, n, 128 / (int)sizeof(T), line); } \
  void __bang_collect_bitindex(T* d, const T* s, const void* mask, int n, Line line) { keep("__bang_collect_bitindex", d, s, mask, n, 0, line); } \
  void __bang_maskmove_bitindex(T* d, const T* s, const void* mask, int n, Line line) {                                \
    if (!is_eighth("__bang_maskmove_bitindex", line, n) || !begin_vector("__bang_maskmove_bitindex", line, {writes(d, n, sizeof(T)), reads(s, n, sizeof(T)), reads(mask, n / 8, 1)})) return; \
    const Known known(s, n, sizeof(T)), known_mask(mask, n / 8, 1), before(d, n, sizeof(T));                           \
    for (int i = 0; i < n; i++) {                                                                                      \
      const bool moves = bit(mask, i);                                                                                 \
      if (moves) d[i] = s[i];                                                                                          \
      settle(d + i, sizeof(T), known_mask[i / 8] && (moves ? known[i] : before[i]));                                   \
    }                                                                                                                  \
  }
BANG_FLOATS(X)
#undef X
int __bang_count_bitindex(const void* mask, int n, Line line) {
  const char* op = "__bang_count_bitindex";
  if (!is_eighth(op, line, n) || !begin_vector(op, line, {reads(mask, n / 8, 1)})) return 0;
  if (!Known(mask, n / 8, 1).all()) report("unwritten", op, line, "counts bits of " + name_of(mask) + " that nothing has written", mask);
  int count = 0;
  for (int i = 0; i < n; i++) count += bit(mask, i);
  return count;
}
