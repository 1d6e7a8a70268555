// Products. A filter in WRAM is known by its tag; its bytes are in the order of 64 lanes, so that nothing else can use them.
#include "machine.h"
#include <algorithm>

using namespace bang;

namespace {
constexpr int lanes = 64;

/// Row r goes to lane r % 64, slot r / 64.
int64_t place(int r, int n, int64_t row_bytes) { return ((int64_t)(r % lanes) * (n / lanes) + r / lanes) * row_bytes; }

template <class T>
void arrange(T* d, const T* s, int n, int64_t row, bool transposed, int pitch) {
  for (int r = 0; r < n; r++)
    for (int64_t i = 0; i < row; i++) d[place(r, n, row) + i] = transposed ? s[i * pitch + r] : s[r * row + i];
}

bool check_filter(const char* op, int line, int n, int64_t row_bytes) {
  if (n > 0 && n % lanes == 0 && row_bytes > 0 && row_bytes % grain == 0) return true;
  report("count", op, line, "expected rows in multiples of 64 and of 64 bytes each, got " + std::to_string(n) + " rows of " + std::to_string(row_bytes) + " bytes");
  return false;
}

template <class T>
void reshape_filter(T* d, const T* s, int n, int h, int w, int c, int line) {
  const char* op = "__bang_reshape_filter";
  const int64_t row = (int64_t)h * w * c;
  if (!check_filter(op, line, n, row * (int64_t)sizeof(T))) return;
  if (!begin_vector(op, line, {writes(d, n * row, sizeof(T)), reads(s, n * row, sizeof(T))}, BLOCKS)) return;
  if (d == s) return report("overlap", op, line, "expected source and destination apart");
  arrange(d, s, n, row, false, 0);
  if (!machine.is_checked()) return;
  if (!is_known((const char*)s, n * row * (int64_t)sizeof(T), sizeof(T)))
    return report("unwritten", op, line, "arranges bytes of " + name_of(s) + " that nothing has written", s);
  set_known(d, n * row * (int64_t)sizeof(T), true);
  machine.core->nram_tags.push_back({(char*)d - machine.nram.base, n * row * (int64_t)sizeof(T), n, row * (int64_t)sizeof(T), (int)sizeof(T)});
}

template <class T>
void load_matrix(T* d, const T* s, mluMemcpyDirection_t dir, int k, int n, int pitch, bool transposed, int line) {
  const char* op = "__bang_load_matrix";
  if (dir != NRAM2WRAM) return report("space", op, line, "expected NRAM2WRAM");
  if (!check_filter(op, line, n, k * (int64_t)sizeof(T))) return;
  const int64_t bytes = (int64_t)n * k * (int64_t)sizeof(T);
  if (machine.is_checked()) {
    if (!begin_vector(op, line, {reads(s, transposed ? (int64_t)k * pitch : (int64_t)n * k, sizeof(T))}, BLOCKS)) return;
    if (!is_inside(op, line, {(const char*)d, bytes, 0, 1}, WRAM, true)) return;
    drop_tags(d, bytes);
    machine.core->wram_tags.push_back({(char*)d - machine.wram.base, bytes, n, k * (int64_t)sizeof(T), (int)sizeof(T)});
  }
  arrange((T*)wram_bytes(d), s, n, k, transposed, pitch);
}

/// Whether WRAM at b holds a filter of n rows of k elements.
template <class T>
bool is_filter(const char* op, int line, const T* b, int n, int64_t k) {
  if (!machine.is_checked()) return true;
  const int64_t bytes = (int64_t)n * k * (int64_t)sizeof(T);
  const Use use{{(const char*)b, bytes, 0, 1}, false, (int)sizeof(T)};
  if (!is_inside(op, line, use.region, WRAM, false)) return false;
  check_pending(op, line, &use, 1, COMPUTE);
  const Tag* t = find_tag(machine.core->wram_tags, (const char*)b - machine.wram.base);
  if (!t) {
    report("layout", op, line, "expected a filter of __bang_reshape_filter or __bang_load_matrix at " + name_of(b) + ", got plain bytes", b);
    return false;
  }
  if (t->n == n && t->row_bytes == k * (int64_t)sizeof(T) && t->size == (int)sizeof(T)) return true;
  report("layout", op, line, "expected a filter of " + std::to_string(n) + " rows of " + std::to_string(k * (int64_t)sizeof(T)) + " bytes, got " + std::to_string(t->n) + " of " + std::to_string(t->row_bytes));
  return false;
}

template <class W, class T>
std::vector<W> widened(const T* s, int64_t n) {
  std::vector<W> out(n);
  for (int64_t i = 0; i < n; i++) out[i] = (W)s[i];
  return out;
}
float dot(const float* a, const float* b, int64_t k) {
  float lanes_sum[16] = {};
  int64_t i = 0;
  for (; i + 16 <= k; i += 16)
    for (int j = 0; j < 16; j++) lanes_sum[j] += a[i + j] * b[i + j];
  float sum = 0;
  for (int j = 0; j < 16; j++) sum += lanes_sum[j];
  for (; i < k; i++) sum += a[i] * b[i];
  return sum;
}

/// Of integers exactly, then by 2^pos.
double dot(const double* a, const double* b, int64_t k) {
  double sum = 0;
  for (int64_t i = 0; i < k; i++) sum += a[i] * b[i];
  return sum;
}
template <class D>
D scaled(double x, int pos) {
  const double v = std::ldexp(x, pos);
  if constexpr (!std::is_integral_v<D>) return (D)v;
  else return (D)std::min(2147483647.0, std::max(-2147483648.0, std::nearbyint(v)));
}
template <class T>
using Sum = std::conditional_t<std::is_integral_v<T>, double, float>;

template <class D, class T>
void matmul(const char* op, D* d, const T* a, const T* b, int m, int k, int n, int pos, int line) {
  if (!check_filter(op, line, n, k * (int64_t)sizeof(T))) return;
  if (!begin_vector(op, line, {writes(d, (int64_t)m * n, sizeof(D)), reads(a, (int64_t)m * k, sizeof(T))}, BLOCKS)) return;
  if ((const void*)d == (const void*)a) return report("overlap", op, line, "expected source and destination apart, got " + name_of(d), d);
  if (!is_filter(op, line, b, n, k)) return;
  spend(COMPUTE, (int64_t)m * n * k / unit_multiply_adds);
  const auto left = widened<Sum<T>>(a, (int64_t)m * k), right = widened<Sum<T>>((const T*)wram_bytes(b), (int64_t)n * k);
  std::vector<bool> known(m, true);
  if (machine.is_checked())
    for (int i = 0; i < m; i++) known[i] = is_known((const char*)(a + (int64_t)i * k), k * (int64_t)sizeof(T), sizeof(T));
  for (int r = 0; r < n; r++) {
    const auto* row = right.data() + place(r, n, k);
    for (int i = 0; i < m; i++) d[(int64_t)i * n + r] = scaled<D>(dot(left.data() + (int64_t)i * k, row, k), pos);
  }
  for (int i = 0; i < m; i++) settle(d + (int64_t)i * n, n * (int64_t)sizeof(D), known[i]);
}

template <class D, class T>
void conv(D* d, const T* s, const T* b, int ci, int h, int w, int kh, int kw, int sx, int sy, int co, int pos, int line) {
  const char* op = "__bang_conv";
  if (ci <= 0 || kh <= 0 || kw <= 0 || sx <= 0 || sy <= 0 || kh > h || kw > w) return report("count", op, line, "expected windows inside the block");
  const int64_t k = (int64_t)kh * kw * ci;
  const int oh = (h - kh) / sy + 1, ow = (w - kw) / sx + 1;
  if (!check_filter(op, line, co, k * (int64_t)sizeof(T))) return;
  if (!begin_vector(op, line, {writes(d, (int64_t)oh * ow * co, sizeof(D)), reads(s, (int64_t)h * w * ci, sizeof(T))}, BLOCKS)) return;
  if ((const void*)d == (const void*)s) return report("overlap", op, line, "expected source and destination apart, got " + name_of(d), d);
  if (!is_filter(op, line, b, co, k)) return;
  spend(COMPUTE, (int64_t)oh * ow * co * k / unit_multiply_adds);
  std::vector<Sum<T>> window(k);
  const auto filter = widened<Sum<T>>((const T*)wram_bytes(b), (int64_t)co * k);
  const Known known(s, (int64_t)h * w * ci, sizeof(T));
  for (int y = 0; y < oh; y++)
    for (int x = 0; x < ow; x++) {
      bool is = true;
      for (int i = 0; i < kh; i++)
        for (int j = 0; j < kw * ci; j++) {
          const int64_t at = ((int64_t)(y * sy + i) * w + x * sx) * ci + j;
          window[(int64_t)i * kw * ci + j] = (Sum<T>)s[at];
          is = is && known[at];
        }
      D* out = d + ((int64_t)y * ow + x) * co;
      for (int r = 0; r < co; r++) out[r] = scaled<D>(dot(window.data(), filter.data() + place(r, co, k), k), pos);
      settle(out, co * (int64_t)sizeof(D), is);
    }
}
}  // namespace

#define X(T)                                                                                                           \
  void __bang_reshape_filter(T* d, const T* s, int n, int h, int w, int c, Line line) { reshape_filter(d, s, n, h, w, c, line); } \
  void __bang_load_matrix(T* d, const T* s, mluMemcpyDirection_t dir, int k, int n, int pitch, bool transposed, Line line) { load_matrix(d, s, dir, k, n, pitch, transposed, line); }
BANG_FACTORS(X)
#undef X
#define X(D, T)                                                                                                        \
  void __bang_matmul(D* d, const T* a, const T* b, int m, int k, int n, Line line) { matmul("__bang_matmul", d, a, b, m, k, n, 0, line); } \
  void __bang_conv(D* d, const T* s, const T* b, int ci, int h, int w, int kh, int kw, int sx, int sy, int co, Line line) { conv(d, s, b, ci, h, w, kh, kw, sx, sy, co, 0, line); } \
  void __bang_mlp(D* d, const T* v, const T* b, int height, int width, Line line) { matmul("__bang_mlp", d, v, b, 1, height, width, 0, line); }
BANG_PRODUCTS(X) X(float, int8_t) X(float, int16_t)
#undef X
#define X(D, T)                                                                                                        \
  void __bang_matmul(D* d, const T* a, const T* b, int m, int k, int n, int pos, Line line) { matmul("__bang_matmul", d, a, b, m, k, n, pos, line); } \
  void __bang_conv(D* d, const T* s, const T* b, int ci, int h, int w, int kh, int kw, int sx, int sy, int co, int pos, Line line) { conv(d, s, b, ci, h, w, kh, kw, sx, sy, co, pos, line); } \
  void __bang_mlp(D* d, const T* v, const T* b, int height, int width, int pos, Line line) { matmul("__bang_mlp", d, v, b, 1, height, width, pos, line); }
BANG_FIXED_PRODUCTS(X)
#undef X
