// bf16 products on VDPBF16PS (AVX512_BF16), included by dot.cpp where the flags allow it.
// One instruction adds two products to each of 16 f32 lanes, so both operands are packed as pairs along k: one u32 holds
// elements p (low half) and p + 1 of a line, an odd end is filled with zero. Main function: bf16Panels.
// Numerics: products of two bf16 are exact in f32; each pair costs at most two f32 roundings (nearest even), as the plain
// loop does. Denormal inputs and results count as zero, whatever MXCSR says (Intel SDM, VDPBF16PS).
// Instructions with masks are written as asm, because their builtins differ between compilers and <immintrin.h> costs
// more time than the rest of the file; masked-off elements are not read, so no load leaves the operand.
typedef u16 h32 __attribute__((vector_size(64)));
typedef u32 w16 __attribute__((vector_size(64)));
typedef u16 h32u __attribute__((vector_size(64), aligned(2), may_alias));
typedef u32 w16u __attribute__((vector_size(64), aligned(4), may_alias));
enum { kPairRows = 12, kPairCols = 32, kPairDepth = 256 };

// acc[l] += a[2l] * b[2l] + a[2l + 1] * b[2l + 1]
TS_INLINE vf dotPairs(vf acc, w16 a, w16 b) {
  asm("vdpbf16ps %2, %1, %0" : "+v"(acc) : "v"(a), "v"(b));
  return acc;
}
TS_INLINE w16 loadPairs(const u32* p) { return *(const w16u*)p; }
TS_INLINE void storePairs(u32* p, w16 v) { *(w16u*)p = v; }
// The first `count` of 32 elements; the rest is zero.
TS_INLINE u32 firstOf(i64 count) { return count >= 32 ? ~0u : count <= 0 ? 0u : (1u << count) - 1; }
TS_INLINE h32 loadPart(const u16* p, u32 mask) {
  h32 v;
  asm("vmovdqu16 %1, %0%{%2%}%{z%}" : "=v"(v) : "m"(*(const h32u*)p), "Yk"(mask));
  return v;
}

// The rows path of dot.cpp: acc[i][j] += a row i . b row j; returns how far it came, which is k.
template <int MT, int NT>
TS_INLINE i64 rowsPairs(vf (&acc)[MT][NT], const u16* a, i64 am, const u16* b, i64 bn, i64 k) {
  for (i64 p = 0; p < k; p += 32) {
    u32 mask = firstOf(k - p);
    w16 av[MT];
#pragma GCC unroll 8
    for (int i = 0; i < MT; i++) av[i] = (w16)loadPart(a + i * am + p, mask);
#pragma GCC unroll 8
    for (int j = 0; j < NT; j++) {
      w16 bv = (w16)loadPart(b + j * bn + p, mask);
#pragma GCC unroll 8
      for (int i = 0; i < MT; i++) acc[i][j] = dotPairs(acc[i][j], av[i], bv);
    }
  }
  return k;
}

// ---- packing: line i, pair q at out[q * W + i] for W lines; lines past `lines` are zero ----
// A row of out is written as whole vectors: the surplus falls on rows (and panels) that are written later, or on slack.
#define TS_PERM2(x, y, f) __builtin_shufflevector(x, y, f(0), f(1), f(2), f(3), f(4), f(5), f(6), f(7), f(8), f(9), f(10), f(11), f(12), f(13), f(14), f(15))
#define TS_LOW1(l) ((l) / 4 * 4 + (l) % 4 / 2 + (l) % 2 * 16)       // a0 b0 a1 b1 of each quarter
#define TS_HIGH1(l) (TS_LOW1(l) + 2)                                // a2 b2 a3 b3
#define TS_LOW2(l) ((l) / 4 * 4 + (l) % 2 + (l) % 4 / 2 * 16)       // a0 a1 b0 b1
#define TS_HIGH2(l) (TS_LOW2(l) + 2)                                // a2 a3 b2 b3
#define TS_EVEN4(l) ((l) / 4 % 2 * 8 + (l) % 4 + (l) / 8 * 16)      // quarters a0 a2 b0 b2
#define TS_ODD4(l) (TS_EVEN4(l) + 4)                                // quarters a1 a3 b1 b3

TS_INLINE void transpose16(w16* r) {
  w16 s[16];
#pragma GCC unroll 8
  for (int i = 0; i < 16; i += 2) {
    s[i] = TS_PERM2(r[i], r[i + 1], TS_LOW1);
    s[i + 1] = TS_PERM2(r[i], r[i + 1], TS_HIGH1);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 16; i += 4) {  // r[i + j], quarter h: column 4h + j of rows i .. i + 3
    r[i] = TS_PERM2(s[i], s[i + 2], TS_LOW2);
    r[i + 1] = TS_PERM2(s[i], s[i + 2], TS_HIGH2);
    r[i + 2] = TS_PERM2(s[i + 1], s[i + 3], TS_LOW2);
    r[i + 3] = TS_PERM2(s[i + 1], s[i + 3], TS_HIGH2);
  }
#pragma GCC unroll 4
  for (int j = 0; j < 4; j++) {  // a 4 x 4 transpose of quarters
    w16 e0 = TS_PERM2(r[j], r[j + 4], TS_EVEN4), o0 = TS_PERM2(r[j], r[j + 4], TS_ODD4);
    w16 e1 = TS_PERM2(r[j + 8], r[j + 12], TS_EVEN4), o1 = TS_PERM2(r[j + 8], r[j + 12], TS_ODD4);
    s[j] = TS_PERM2(e0, e1, TS_EVEN4);
    s[j + 8] = TS_PERM2(e0, e1, TS_ODD4);
    s[j + 4] = TS_PERM2(o0, o1, TS_EVEN4);
    s[j + 12] = TS_PERM2(o0, o1, TS_ODD4);
  }
#pragma GCC unroll 16
  for (int i = 0; i < 16; i++) r[i] = s[i];
}

template <int W>
static void packPairs(const u16* src, i64 is, i64 ps, i64 lines, i64 k, u32* out) {
  if (is == 1) {  // two rows of elements, interleaved
    u32 mask = firstOf(lines);
    for (i64 p = 0; p < k; p += 2, out += W) {
      h32 x = loadPart(src + p * ps, mask);
      h32 y = p + 1 < k ? loadPart(src + (p + 1) * ps, mask) : h32{};
      storePairs(out, (w16)__builtin_shufflevector(x, y, 0, 32, 1, 33, 2, 34, 3, 35, 4, 36, 5, 37, 6, 38, 7, 39, 8, 40, 9, 41, 10, 42, 11, 43, 12, 44, 13, 45, 14, 46, 15, 47));
      if (W > 16)
        storePairs(out + 16, (w16)__builtin_shufflevector(x, y, 16, 48, 17, 49, 18, 50, 19, 51, 20, 52, 21, 53, 22, 54, 23, 55, 24, 56, 25, 57, 26, 58, 27, 59, 28, 60, 29, 61, 30, 62, 31, 63));
    }
    return;
  }
  if (ps == 1) {  // pairs already lie together: a transpose of u32
    for (i64 p = 0; p < k; p += 32) {
      u32 mask = firstOf(k - p);
      i64 depth = k - p < 32 ? (k - p + 1) / 2 : 16;
      for (int l = 0; l < W; l += 16) {
        w16 r[16];
#pragma GCC unroll 16
        for (int i = 0; i < 16; i++)
          r[i] = l + i < W ? (w16)loadPart(src + (l + i) * is + p, l + i < lines ? mask : 0) : w16{};
        transpose16(r);
        u32* to = out + p / 2 * W + l;
        if (depth == 16) {
#pragma GCC unroll 16
          for (int i = 0; i < 16; i++) storePairs(to + i * W, r[i]);
        } else
          for (i64 i = 0; i < depth; i++) storePairs(to + i * W, r[i]);
      }
    }
    return;
  }
  for (i64 p = 0; p < k; p += 2, out += W)
    for (i64 i = 0; i < W; i++) {
      u32 low = i < lines ? src[i * is + p * ps] : 0, high = i < lines && p + 1 < k ? src[i * is + (p + 1) * ps] : 0;
      out[i] = low | high << 16;
    }
}

// ---- C[rows, cols] += A-panel . B-panel over `steps` pairs; rows <= MR, cols <= 16 NV ----
template <int MR, int NV>
static void microPairs(const u32* a, const u32* b, i64 steps, float* c, i64 ldc, i64 rows, i64 cols) {
  vf acc[MR][NV];
#pragma GCC unroll 12
  for (int i = 0; i < MR; i++)
#pragma GCC unroll 2
    for (int v = 0; v < NV; v++) acc[i][v] = vf{};
  for (i64 s = 0; s < steps; s++, a += kPairRows, b += kPairCols) {
    w16 bv[NV];
#pragma GCC unroll 2
    for (int v = 0; v < NV; v++) bv[v] = loadPairs(b + v * 16);
#pragma GCC unroll 12
    for (int i = 0; i < MR; i++) {
      w16 av = a[i] - w16{};
#pragma GCC unroll 2
      for (int v = 0; v < NV; v++) acc[i][v] = dotPairs(acc[i][v], av, bv[v]);
    }
  }
  if (rows == MR && cols == NV * 16) {
#pragma GCC unroll 12
    for (int i = 0; i < MR; i++)
#pragma GCC unroll 2
      for (int v = 0; v < NV; v++) {
        float* at = c + i * ldc + v * 16;
        store(at, load(at) + acc[i][v]);
      }
    return;
  }
  alignas(64) float tmp[MR][NV * 16];
#pragma GCC unroll 12
  for (int i = 0; i < MR; i++)
#pragma GCC unroll 2
    for (int v = 0; v < NV; v++) store(&tmp[i][v * 16], acc[i][v]);
  for (i64 i = 0; i < rows; i++)
    for (i64 j = 0; j < cols; j++) c[i * ldc + j] += tmp[i][j];
}
template <int NV>
static void microPairsOf(const u32* a, const u32* b, i64 steps, float* c, i64 ldc, i64 rows, i64 cols) {
  if (rows > 8) microPairs<12, NV>(a, b, steps, c, ldc, rows, cols);
  else if (rows > 4) microPairs<8, NV>(a, b, steps, c, ldc, rows, cols);
  else microPairs<4, NV>(a, b, steps, c, ldc, rows, cols);
}

static void bf16Panels(float* c, i64 ldc, const u16* a, i64 am, i64 ak, const u16* b, i64 bk, i64 bn, i64 m, i64 n, i64 k, char* work) {
  u32* bPanel = (u32*)work;                               // [depth / 2][kPairCols], stays in L1
  u32* aPanels = bPanel + kPairDepth / 2 * kPairCols;     // [m / kPairRows][depth / 2][kPairRows], stays in L2
  i64 turns = (k + kPairDepth - 1) / kPairDepth;
  i64 step = ((k + turns - 1) / turns + 7) & ~(i64)7;
  for (i64 p = 0; p < k; p += step) {
    i64 depth = k - p < step ? k - p : step, steps = (depth + 1) / 2;
    for (i64 i = 0; i < m; i += kPairRows)
      packPairs<kPairRows>(a + i * am + p * ak, am, ak, m - i < kPairRows ? m - i : (i64)kPairRows, depth, aPanels + i * steps);
    for (i64 j = 0; j < n; j += kPairCols) {
      i64 cols = n - j < kPairCols ? n - j : (i64)kPairCols;
      packPairs<kPairCols>(b + p * bk + j * bn, bn, bk, cols, depth, bPanel);
      for (i64 i = 0; i < m; i += kPairRows) {
        i64 rows = m - i < kPairRows ? m - i : (i64)kPairRows;
        float* at = c + i * ldc + j;
        if (cols > 16) microPairsOf<2>(aPanels + i * steps, bPanel, steps, at, ldc, rows, cols);
        else microPairsOf<1>(aPanels + i * steps, bPanel, steps, at, ldc, rows, cols);
      }
    }
  }
}
