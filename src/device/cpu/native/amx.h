// bf16 products on AMX tiles, included by dot.cpp where the flags allow it. Main function: amxPanels.
// A tile register is 16 rows of 64 bytes. 32 x 32 of C fill four of them, two hold 32 lines of A and two 32 columns of B,
// each 32 deep: one step of four TDPBF16PS reads 4 KiB. Everything is padded with zeros to whole tiles.
// Numerics as in bf16.h. Source: Intel SDM, chapter "Intel AMX" and TDPBF16PS.
// The primitives have two bodies: the instructions, and with -DTS_AMX_MODEL a model in plain C++, so that packing and
// tails are tested on machines without the unit. The model does not flush denormals.
#ifdef TS_AMX_MODEL
static __thread u32 modelTiles[8][16][16];
static void tileConfigure() {}
static void tileRelease() {}
template <int T>
static void tileLoad(const void* p, i64 strideBytes) {
  for (int r = 0; r < 16; r++) __builtin_memcpy(modelTiles[T][r], (const char*)p + r * strideBytes, 64);
}
template <int T>
static void tileStore(void* p, i64 strideBytes) {
  for (int r = 0; r < 16; r++) __builtin_memcpy((char*)p + r * strideBytes, modelTiles[T][r], 64);
}
template <int C, int A, int B>
static void tileDot() {
  for (int i = 0; i < 16; i++)
    for (int q = 0; q < 16; q++)
      for (int j = 0; j < 16; j++) {
        u32 x = modelTiles[A][i][q], y = modelTiles[B][q][j];
        float sum = ts_f(modelTiles[C][i][j]);
        sum += ts_f(x << 16) * ts_f(y << 16);
        sum += ts_f(x & 0xffff0000u) * ts_f(y & 0xffff0000u);
        modelTiles[C][i][j] = ts_u(sum);
      }
}
#else
// LDTILECFG: palette 1, eight tiles of 64 bytes by 16 rows.
static void tileConfigure() {
  struct alignas(64) { u8 palette, start, zero[14]; u16 bytes[16]; u8 rows[16]; } config = {};
  config.palette = 1;
  for (int t = 0; t < 8; t++) config.bytes[t] = 64, config.rows[t] = 16;
  asm volatile("ldtilecfg %0" ::"m"(config));
}
// Back to the initial state, so that a task switch has no tiles to save.
static void tileRelease() { asm volatile("tilerelease"); }
template <int T>
TS_INLINE void tileLoad(const void* p, i64 strideBytes) {
  asm volatile("tileloadd (%0,%1,1), %%tmm%c2" ::"r"(p), "r"(strideBytes), "i"(T) : "memory");
}
template <int T>
TS_INLINE void tileStore(void* p, i64 strideBytes) {
  asm volatile("tilestored %%tmm%c2, (%0,%1,1)" ::"r"(p), "r"(strideBytes), "i"(T) : "memory");
}
template <int C, int A, int B>
TS_INLINE void tileDot() { asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(C), "i"(A), "i"(B)); }
#endif

enum { kTileLines = 16, kTileDeep = 32, kTileDepth = 512, kTileWords = 256 };

// Line i, pair q of step s at out[s * kTileWords + i * 16 + q]; lines and depth are filled with zeros to a whole tile.
static void packTiles(const u16* src, i64 is, i64 ps, i64 lines, i64 k, u32* out) {
  for (i64 p = 0; p < k; p += kTileDeep, out += kTileWords) {
    u32 depthMask = firstOf(k - p), lineMask = firstOf(lines);
    if (ps == 1) {
      for (i64 i = 0; i < 16; i++) storePairs(out + i * 16, (w16)loadPart(src + i * is + p, i < lines ? depthMask : 0));
    } else if (is == 1) {
      w16 r[16];
#pragma GCC unroll 16
      for (int q = 0; q < 16; q++) {
        h32 x = loadPart(src + (p + 2 * q) * ps, depthMask >> (2 * q) & 1 ? lineMask : 0);
        h32 y = loadPart(src + (p + 2 * q + 1) * ps, depthMask >> (2 * q + 1) & 1 ? lineMask : 0);
        r[q] = interleaveLow(x, y);
      }
      transpose16(r);
#pragma GCC unroll 16
      for (int i = 0; i < 16; i++) storePairs(out + i * 16, r[i]);
    } else {
      for (i64 at = 0; at < 2 * kTileWords; at++) {
        i64 i = at / 32, q = at % 32;
        ((u16*)out)[at] = i < lines && p + q < k ? src[i * is + (p + q) * ps] : 0;
      }
    }
  }
}

// C[rows, cols] += A-tiles . B-panel for MT x NT tiles of C; the second tile of A lies aNext words behind the first.
// Sums go on from C also where C is not whole tiles, so that they have one order.
template <int MT, int NT>
static void microTiles(const u32* a, i64 aNext, const u32* b, i64 steps, float* c, i64 ldc, i64 rows, i64 cols) {
  alignas(64) float tmp[MT * 16][NT * 16];
  bool whole = rows == MT * 16 && cols == NT * 16;
  float* to = whole ? c : &tmp[0][0];
  i64 stride = (whole ? ldc : NT * 16) * 4;
  if (!whole)
    for (i64 i = 0; i < MT * 16; i++)
      for (i64 j = 0; j < NT * 16; j++) tmp[i][j] = i < rows && j < cols ? c[i * ldc + j] : 0;
  tileLoad<0>(to, stride);
  if (NT > 1) tileLoad<1>(to + 16, stride);
  if (MT > 1) tileLoad<2>(to + 4 * stride, stride);
  if (MT > 1 && NT > 1) tileLoad<3>(to + 4 * stride + 16, stride);
  for (i64 s = 0; s < steps; s++, a += kTileWords, b += kTileDeep / 2 * kPanelCols) {
    tileLoad<6>(b, kPanelCols * 4);
    if (NT > 1) tileLoad<7>(b + 16, kPanelCols * 4);
    tileLoad<4>(a, 64);
    tileDot<0, 4, 6>();
    if (NT > 1) tileDot<1, 4, 7>();
    if (MT > 1) {
      tileLoad<5>(a + aNext, 64);
      tileDot<2, 5, 6>();
      if (NT > 1) tileDot<3, 5, 7>();
    }
  }
  tileStore<0>(to, stride);
  if (NT > 1) tileStore<1>(to + 16, stride);
  if (MT > 1) tileStore<2>(to + 4 * stride, stride);
  if (MT > 1 && NT > 1) tileStore<3>(to + 4 * stride + 16, stride);
  if (whole) return;
  for (i64 i = 0; i < rows; i++)
    for (i64 j = 0; j < cols; j++) c[i * ldc + j] = tmp[i][j];
}

static void amxPanels(float* c, i64 ldc, const u16* a, i64 am, i64 ak, const u16* b, i64 bk, i64 bn, i64 m, i64 n, i64 k, char* work) {
  u32* bPanel = (u32*)work;                               // [depth / 2][kPanelCols], in L1
  u32* aTiles = bPanel + kTileDepth / 2 * kPanelCols;     // [m / 16][depth / 32] tiles, in L2
  i64 turns = (k + kTileDepth - 1) / kTileDepth;
  i64 step = ((k + turns - 1) / turns + kTileDeep - 1) & ~(i64)(kTileDeep - 1);
  tileConfigure();
  for (i64 p = 0; p < k; p += step) {
    i64 depth = k - p < step ? k - p : step, steps = (depth + kTileDeep - 1) / kTileDeep;
    for (i64 i = 0; i < m; i += kTileLines)
      packTiles(a + i * am + p * ak, am, ak, m - i < kTileLines ? m - i : (i64)kTileLines, depth, aTiles + i * steps * 16);
    for (i64 j = 0; j < n; j += kPanelCols) {
      i64 cols = n - j < kPanelCols ? n - j : (i64)kPanelCols;
      packPairs<kPanelCols>(b + p * bk + j * bn, bn, bk, cols, depth, bPanel);
      for (i64 at = (depth + 1) / 2 * kPanelCols; at < steps * 16 * kPanelCols; at += 16) storePairs(bPanel + at, w16{});
      for (i64 i = 0; i < m; i += 2 * kTileLines) {
        i64 rows = m - i < 2 * kTileLines ? m - i : (i64)(2 * kTileLines);
        const u32* tiles = aTiles + i * steps * 16;
        i64 next = steps * kTileWords;
        float* at = c + i * ldc + j;
        if (rows > 16 && cols > 16) microTiles<2, 2>(tiles, next, bPanel, steps, at, ldc, rows, cols);
        else if (rows > 16) microTiles<2, 1>(tiles, next, bPanel, steps, at, ldc, rows, cols);
        else if (cols > 16) microTiles<1, 2>(tiles, next, bPanel, steps, at, ldc, rows, cols);
        else microTiles<1, 1>(tiles, next, bPanel, steps, at, ldc, rows, cols);
      }
    }
  }
  tileRelease();
}
