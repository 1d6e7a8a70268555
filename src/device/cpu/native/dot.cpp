// Matrix products for emitted kernels, built once per machine with its own flags and loaded before any kernel.
//   C[m,n] += sum_k A[m,k] B[k,n], any strides, f32 accumulate.
// One path per dtype and machine: panels (packed B panel in L1, register tile of kRows x kCols), the same on bf16 pairs
// (bf16.h), or AMX for bf16. The panel scheme is the usual one of Goto and van de Geijn (2008) with the roles of L1 and L2
// chosen for one packed B panel at a time.
// An element adds up its k products in one order, given by k alone: the same bits whatever m and n are, so that a token's
// numbers do not depend on how many tokens came with it. A single row pays with a transposition in registers of the
// weights it reads, which is faster than memory delivers them.
#include "tessera.h"
#if defined(__AVX512BF16__) && defined(__AVX512BW__)
#define TS_BF16 1
#endif
#if defined(__AMX_BF16__) || defined(TS_AMX_MODEL)
#define TS_AMX 1
#endif

#if defined(__AVX512F__)
enum { kLanes = 16, kVecs = 2, kRows = 12 };
#elif defined(__AVX__)
enum { kLanes = 8, kVecs = 2, kRows = 6 };
#elif defined(__aarch64__)
enum { kLanes = 4, kVecs = 4, kRows = 6 };
#else
enum { kLanes = 4, kVecs = 2, kRows = 6 };
#endif
enum { kCols = kLanes * kVecs, kDepth = 256 };

typedef float vf __attribute__((vector_size(kLanes * 4)));
typedef float vfu __attribute__((vector_size(kLanes * 4), aligned(4), may_alias));
typedef u32 vu __attribute__((vector_size(kLanes * 4)));
typedef u16 vh __attribute__((vector_size(kLanes * 2)));
typedef u16 vhu __attribute__((vector_size(kLanes * 2), aligned(2), may_alias));
typedef float v4 __attribute__((vector_size(16)));
typedef float v4u __attribute__((vector_size(16), aligned(4), may_alias));

TS_INLINE vf load(const float* p) { return *(const vfu*)p; }
TS_INLINE vf load(const u16* p) { return (vf)(__builtin_convertvector(*(const vhu*)p, vu) << 16); }
TS_INLINE void store(float* p, vf v) { *(vfu*)p = v; }
TS_INLINE float value(float x) { return x; }
TS_INLINE float value(u16 x) { return ts_from_bf16(x); }

TS_INLINE bool isFloat(const float*) { return true; }
TS_INLINE bool isFloat(const u16*) { return false; }

#if TS_AMX || defined(__AVX512BW__)
#include "pairs.h"
#endif
#if TS_BF16
#include "bf16.h"
#endif
#if TS_AMX
#include "amx.h"
#endif

// ---- panels ----
// C[MR, cols] += A-panel . B-panel; A element (i, p) at a[i*rs + p*cs], B row p at b + p*bs.
template <int MR>
static void micro(const float* a, i64 rs, i64 cs, const float* b, i64 bs, i64 k, float* c, i64 ldc, i64 cols) {
  vf acc[MR][kVecs];
#pragma GCC unroll 16
  for (int i = 0; i < MR; i++)
#pragma GCC unroll 4
    for (int v = 0; v < kVecs; v++) acc[i][v] = vf{};
  for (i64 p = 0; p < k; p++) {
    vf bv[kVecs];
#pragma GCC unroll 4
    for (int v = 0; v < kVecs; v++) bv[v] = load(b + v * kLanes);
#pragma GCC unroll 16
    for (int i = 0; i < MR; i++) {
      vf av = a[i * rs] - vf{};
#pragma GCC unroll 4
      for (int v = 0; v < kVecs; v++) acc[i][v] += av * bv[v];
    }
    a += cs;
    b += bs;
  }
  if (cols == kCols) {
#pragma GCC unroll 16
    for (int i = 0; i < MR; i++)
#pragma GCC unroll 4
      for (int v = 0; v < kVecs; v++) {
        float* at = c + i * ldc + v * kLanes;
        store(at, load(at) + acc[i][v]);
      }
  } else {
    alignas(64) float tmp[MR][kCols];
#pragma GCC unroll 16
    for (int i = 0; i < MR; i++)
#pragma GCC unroll 4
      for (int v = 0; v < kVecs; v++) store(&tmp[i][v * kLanes], acc[i][v]);
    for (int i = 0; i < MR; i++)
      for (i64 j = 0; j < cols; j++) c[i * ldc + j] += tmp[i][j];
  }
}
static void microRows(i64 rows, const float* a, i64 rs, i64 cs, const float* b, i64 bs, i64 k, float* c, i64 ldc, i64 cols) {
  while (rows >= kRows) {
    micro<kRows>(a, rs, cs, b, bs, k, c, ldc, cols);
    return;  // one panel at a time; panels differ in layout
  }
  i64 i = 0;
  for (; rows - i >= 4; i += 4) micro<4>(a + i * rs, rs, cs, b, bs, k, c + i * ldc, ldc, cols);
  for (; rows - i >= 2; i += 2) micro<2>(a + i * rs, rs, cs, b, bs, k, c + i * ldc, ldc, cols);
  for (; rows - i >= 1; i += 1) micro<1>(a + i * rs, rs, cs, b, bs, k, c + i * ldc, ldc, cols);
}

// out[p][0..kCols) = B[p][j..j+kCols), zero past `cols`.
TS_INLINE void transpose4(const float* src, i64 stride, float* dst, i64 ld) {
  v4 r0 = *(const v4u*)src, r1 = *(const v4u*)(src + stride), r2 = *(const v4u*)(src + 2 * stride), r3 = *(const v4u*)(src + 3 * stride);
  v4 a = __builtin_shufflevector(r0, r1, 0, 4, 1, 5), b = __builtin_shufflevector(r0, r1, 2, 6, 3, 7);
  v4 c = __builtin_shufflevector(r2, r3, 0, 4, 1, 5), d = __builtin_shufflevector(r2, r3, 2, 6, 3, 7);
  *(v4u*)dst = __builtin_shufflevector(a, c, 0, 1, 4, 5);
  *(v4u*)(dst + ld) = __builtin_shufflevector(a, c, 2, 3, 6, 7);
  *(v4u*)(dst + 2 * ld) = __builtin_shufflevector(b, d, 0, 1, 4, 5);
  *(v4u*)(dst + 3 * ld) = __builtin_shufflevector(b, d, 2, 3, 6, 7);
}

// Packs `width` lines of `k` elements, element (line i, p) at src[i*is + p*ps], as out[p*width + i]; lines past `lines` are zero.
template <class T>
static void pack(const T* src, i64 is, i64 ps, i64 lines, i64 width, i64 k, float* out) {
#if defined(__AVX512BW__)
  // A float is a pair of halves: the same transposition.
  if (isFloat(src) && ps == 1 && width == kCols) return packPairs<kCols>((const u16*)src, 2 * is, 1, lines, 2 * k, (u32*)out);
#endif
  if (is == 1 && lines == width && width % kLanes == 0) {
    for (i64 p = 0; p < k; p++)
      for (i64 i = 0; i < width; i += kLanes) store(out + p * width + i, load(src + p * ps + i));
    return;
  }
  if (is == 1) {
    for (i64 p = 0; p < k; p++) {
      for (i64 i = 0; i < lines; i++) out[p * width + i] = value(src[p * ps + i]);
      for (i64 i = lines; i < width; i++) out[p * width + i] = 0;
    }
    return;
  }
  i64 i = 0;
  if (ps == 1) {
    for (; i + 4 <= lines; i += 4) {
      i64 p = 0;
      if (isFloat(src)) {
        for (; p + 4 <= k; p += 4) transpose4((const float*)(src + i * is + p), is, out + p * width + i, width);
      } else {
        for (; p + 4 <= k; p += 4) {
          alignas(16) float block[16];
          for (int l = 0; l < 4; l++)
            for (int q = 0; q < 4; q++) block[l * 4 + q] = value(src[(i + l) * is + p + q]);
          transpose4(block, 4, out + p * width + i, width);
        }
      }
      for (; p < k; p++)
        for (int l = 0; l < 4; l++) out[p * width + i + l] = value(src[(i + l) * is + p]);
    }
  }
  for (; i < lines; i++)
    for (i64 p = 0; p < k; p++) out[p * width + i] = value(src[i * is + p * ps]);
  for (; i < width; i++)
    for (i64 p = 0; p < k; p++) out[p * width + i] = 0;
}

template <class T>
static void panels(float* c, i64 ldc, const T* a, i64 am, i64 ak, const T* b, i64 bk, i64 bn, i64 m, i64 n, i64 k, char* work) {
  float* bPanel = (float*)work;             // [depth][kCols]
  float* aPanels = bPanel + kDepth * kCols;  // [m / kRows][depth][kRows]
  bool packA = !isFloat(a) || ak != 1;
  bool packB = !isFloat(b) || bn != 1 || m > 2 * kRows;
  i64 turns = (k + kDepth - 1) / kDepth;
  i64 step = turns > 0 ? ((k + turns - 1) / turns + 7) & ~(i64)7 : 0;
  for (i64 p = 0; p < k; p += step) {
    i64 depth = k - p < step ? k - p : step;
    if (packA)
      for (i64 i = 0; i < m; i += kRows)
        pack(a + i * am + p * ak, am, ak, m - i < kRows ? m - i : (i64)kRows, kRows, depth, aPanels + i * depth);
    for (i64 j = 0; j < n; j += kCols) {
      i64 cols = n - j < kCols ? n - j : (i64)kCols;
      const float* bAt = (const float*)(b + p * bk + j * bn);
      i64 bs = bk;
      if (packB || cols < kCols) {
        pack(b + p * bk + j * bn, bn, bk, cols, kCols, depth, bPanel);
        bAt = bPanel;
        bs = kCols;
      }
      for (i64 i = 0; i < m; i += kRows) {
        i64 rows = m - i < kRows ? m - i : (i64)kRows;
        if (packA) microRows(rows, aPanels + i * depth, 1, kRows, bAt, bs, depth, c + i * ldc + j, ldc, cols);
        else microRows(rows, (const float*)a + i * am + p, am, 1, bAt, bs, depth, c + i * ldc + j, ldc, cols);
      }
    }
  }
}

extern "C" {
static int useAmx = 0;  // set by ts_enable_amx

void ts_dot_f32(float* c, i64 ldc, const float* a, i64 am, i64 ak, const float* b, i64 bk, i64 bn, i64 m, i64 n, i64 k, void* work) {
  if (m <= 0 || n <= 0 || k <= 0) return;
  panels(c, ldc, a, am, ak, b, bk, bn, m, n, k, (char*)work);
}
void ts_dot_bf16(float* c, i64 ldc, const u16* a, i64 am, i64 ak, const u16* b, i64 bk, i64 bn, i64 m, i64 n, i64 k, void* work) {
  if (m <= 0 || n <= 0 || k <= 0) return;
#if TS_AMX
  if (useAmx) return amxPanels(c, ldc, a, am, ak, b, bk, bn, m, n, k, (char*)work);
#endif
#if TS_BF16
  return bf16Panels(c, ldc, a, am, ak, b, bk, bn, m, n, k, (char*)work);
#endif
  panels(c, ldc, a, am, ak, b, bk, bn, m, n, k, (char*)work);
}
// 1 when products run on AMX from now on: the unit is compiled in, and a product with tails of every kind agrees with the
// portable path. Both add k = 70 products of sizes below 1 in their own order, so they differ by less than 2 * 70 * 2^-24
// times the sum of those sizes.
int ts_enable_amx() {
#if TS_AMX
  enum { M = 45, N = 50, K = 70 };
  static u16 ab[(M + N) * K];
  const u16 *a = ab, *b = ab + M * K;
  static float x[M * N], y[M * N];
  alignas(64) static char work[256 * 1024];
  u32 bits = 1;
  for (int i = 0; i < (M + N) * K; i++) ab[i] = ts_to_bf16((float)((bits = bits * 1664525u + 1013904223u) >> 8) * 0x1p-23f - 1.0f);
  for (int trans = 0; trans < 4; trans++) {
    i64 am = trans & 1 ? 1 : K, ak = trans & 1 ? M : 1, bk = trans & 2 ? 1 : N, bn = trans & 2 ? K : 1;
    for (int i = 0; i < M * N; i++) x[i] = y[i] = 0;
    amxPanels(x, N, a, am, ak, b, bk, bn, M, N, K, work);
    panels(y, N, a, am, ak, b, bk, bn, M, N, K, work);
    for (int i = 0; i < M * N; i++)
      if (!(ts_abs(x[i] - y[i]) <= 2 * K * K * 0x1p-24f)) return useAmx = 0;
  }
  return useAmx = 1;
#else
  return 0;
#endif
}
}
