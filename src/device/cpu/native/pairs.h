// bf16 operands as pairs along k, what both bf16.h and amx.h multiply: one u32 holds elements p (low half) and p + 1 of
// a line, an odd end is filled with zero. Main function: packPairs.
// The masked load is written as asm, because its builtins differ between compilers and <immintrin.h> costs more time
// than the rest of dot.cpp; masked-off elements are not read, so no load leaves the operand. Without AVX-512 everything
// here still means the same, slowly.
typedef u16 h32 __attribute__((vector_size(64)));
typedef u32 w16 __attribute__((vector_size(64)));
typedef u16 h32u __attribute__((vector_size(64), aligned(2), may_alias));
typedef u32 w16u __attribute__((vector_size(64), aligned(4), may_alias));
enum { kPanelCols = 32 };

TS_INLINE w16 loadPairs(const u32* p) { return *(const w16u*)p; }
TS_INLINE void storePairs(u32* p, w16 v) { *(w16u*)p = v; }
// The first `count` of 32 elements; the rest is zero.
TS_INLINE u32 firstOf(i64 count) { return count >= 32 ? ~0u : count <= 0 ? 0u : (1u << count) - 1; }
TS_INLINE h32 loadPart(const u16* p, u32 mask) {
#if defined(__AVX512BW__)
  h32 v;
  asm("vmovdqu16 %1, %0%{%2%}%{z%}" : "=v"(v) : "m"(*(const h32u*)p), "Yk"(mask));
  return v;
#else
  h32 v = {};
  for (int i = 0; i < 32; i++)
    if (mask >> i & 1) v[i] = p[i];
  return v;
#endif
}


// Pairs (x[l], y[l]) of l = 0 .. 15, and of l = 16 .. 31.
TS_INLINE w16 interleaveLow(h32 x, h32 y) {
  return (w16)__builtin_shufflevector(x, y, 0, 32, 1, 33, 2, 34, 3, 35, 4, 36, 5, 37, 6, 38, 7, 39, 8, 40, 9, 41, 10, 42, 11, 43, 12, 44, 13, 45, 14, 46, 15, 47);
}
TS_INLINE w16 interleaveHigh(h32 x, h32 y) {
  return (w16)__builtin_shufflevector(x, y, 16, 48, 17, 49, 18, 50, 19, 51, 20, 52, 21, 53, 22, 54, 23, 55, 24, 56, 25, 57, 26, 58, 27, 59, 28, 60, 29, 61, 30, 62, 31, 63);
}

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

// ---- packing: line i, pair q at out[q * W + i] for W lines; lines past `lines` are zero ----
// A row of out is written as whole vectors: the surplus falls on rows (and panels) that are written later, or on slack.
template <int W>
static void packPairs(const u16* src, i64 is, i64 ps, i64 lines, i64 k, u32* out) {
  if (is == 1) {  // two rows of elements, interleaved
    u32 mask = firstOf(lines);
    for (i64 p = 0; p < k; p += 2, out += W) {
      h32 x = loadPart(src + p * ps, mask);
      h32 y = p + 1 < k ? loadPart(src + (p + 1) * ps, mask) : h32{};
      storePairs(out, interleaveLow(x, y));
      if (W > 16) storePairs(out + 16, interleaveHigh(x, y));
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
