// bf16 products on VDPBF16PS (AVX512_BF16), included by dot.cpp where the flags allow it.
// One instruction adds two products to each of 16 f32 lanes; operands are packed by pairs.h. Main function: bf16Panels.
// Numerics: products of two bf16 are exact in f32; each pair costs at most two f32 roundings (nearest even), as the plain
// loop does. Denormal inputs and results count as zero, whatever MXCSR says (Intel SDM, VDPBF16PS).
enum { kPairRows = 12, kPairDepth = 256 };

// acc[l] += a[2l] * b[2l] + a[2l + 1] * b[2l + 1]
TS_INLINE vf dotPairs(vf acc, w16 a, w16 b) {
  asm("vdpbf16ps %2, %1, %0" : "+v"(acc) : "v"(a), "v"(b));
  return acc;
}

// ---- C[rows, cols] += A-panel . B-panel over `steps` pairs; rows <= MR, cols <= 16 NV ----
template <int MR, int NV>
static void microPairs(const u32* a, const u32* b, i64 steps, float* c, i64 ldc, i64 rows, i64 cols) {
  vf acc[MR][NV];
#pragma GCC unroll 12
  for (int i = 0; i < MR; i++)
#pragma GCC unroll 2
    for (int v = 0; v < NV; v++) acc[i][v] = vf{};
  for (i64 s = 0; s < steps; s++, a += kPairRows, b += kPanelCols) {
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
  else if (rows > 1) microPairs<4, NV>(a, b, steps, c, ldc, rows, cols);
  else microPairs<1, NV>(a, b, steps, c, ldc, rows, cols);
}

static void bf16Panels(float* c, i64 ldc, const u16* a, i64 am, i64 ak, const u16* b, i64 bk, i64 bn, i64 m, i64 n, i64 k, char* work) {
  u32* bPanel = (u32*)work;                               // [depth / 2][kPanelCols], stays in L1
  u32* aPanels = bPanel + kPairDepth / 2 * kPanelCols;     // [m / kPairRows][depth / 2][kPairRows], stays in L2
  i64 turns = (k + kPairDepth - 1) / kPairDepth;
  i64 step = ((k + turns - 1) / turns + 7) & ~(i64)7;
  for (i64 p = 0; p < k; p += step) {
    i64 depth = k - p < step ? k - p : step, steps = (depth + 1) / 2;
    for (i64 i = 0; i < m; i += kPairRows)
      packPairs<kPairRows>(a + i * am + p * ak, am, ak, m - i < kPairRows ? m - i : (i64)kPairRows, depth, aPanels + i * steps);
    for (i64 j = 0; j < n; j += kPanelCols) {
      i64 cols = n - j < kPanelCols ? n - j : (i64)kPanelCols;
      packPairs<kPanelCols>(b + p * bk + j * bn, bn, bk, cols, depth, bPanel);
      for (i64 i = 0; i < m; i += kPairRows) {
        i64 rows = m - i < kPairRows ? m - i : (i64)kPairRows;
        float* at = c + i * ldc + j;
        if (cols > 16) microPairsOf<2>(aPanels + i * steps, bPanel, steps, at, ldc, rows, cols);
        else microPairsOf<1>(aPanels + i * steps, bPanel, steps, at, ldc, rows, cols);
      }
    }
  }
}
