// What every emitted kernel includes: element codecs, branch-free math that auto-vectorises, small helpers.
// No library headers: they would cost more compile time than the kernel itself.
// Math is good to about 2 ulp of f32; polynomials are the classic Cephes single-precision sets (S. Moshier).
#pragma once
typedef unsigned char u8;
typedef signed char i8;
typedef unsigned short u16;
typedef int i32;
typedef unsigned int u32;
typedef long long i64;
typedef unsigned long long u64;
#define TS_INLINE static inline __attribute__((always_inline))
#define TS_SIMD _Pragma("omp simd")
#define TS_INF __builtin_inff()

TS_INLINE float ts_f(u32 u) { return __builtin_bit_cast(float, u); }
TS_INLINE u32 ts_u(float f) { return __builtin_bit_cast(u32, f); }

// ---- uniform integers ----
TS_INLINE i64 ts_min(i64 a, i64 b) { return a < b ? a : b; }
TS_INLINE i64 ts_max(i64 a, i64 b) { return a > b ? a : b; }
TS_INLINE i64 ts_clamp(i64 x, i64 lo, i64 hi) { return x < lo ? lo : x > hi ? hi : x; }
TS_INLINE i64 ts_floordiv(i64 a, i64 b) { i64 q = a / b; return q - ((a % b != 0) & ((a < 0) != (b < 0))); }
TS_INLINE i64 ts_floormod(i64 a, i64 b) { return a - b * ts_floordiv(a, b); }

// ---- codecs ----
TS_INLINE float ts_from_bf16(u16 b) { return ts_f((u32)b << 16); }
// Nearest even; NaN keeps its top bits and stays NaN.
TS_INLINE u16 ts_to_bf16(float f) {
  u32 u = ts_u(f);
  u32 rounded = (u + 0x7fffu + ((u >> 16) & 1u)) >> 16;
  return (u16)((u & 0x7fffffffu) > 0x7f800000u ? ((u >> 16) | 0x40u) : rounded);
}
TS_INLINE float ts_round_bf16(float f) { return ts_from_bf16(ts_to_bf16(f)); }
TS_INLINE float ts_from_f16(u16 h) {
  u32 sign = (u32)(h & 0x8000u) << 16, mag = h & 0x7fffu;
  float f = ts_f(mag << 13) * 0x1p112f;  // exact for normals and subnormals
  u32 u = mag >= 0x7c00u ? ((mag << 13) | 0x7f800000u) : ts_u(f);
  return ts_f(u | sign);
}
TS_INLINE u16 ts_to_f16(float f) {
  u32 u = ts_u(f), sign = (u >> 16) & 0x8000u, mag = u & 0x7fffffffu;
  u32 normal = (mag - (112u << 23) + 0xfffu + ((mag >> 13) & 1u)) >> 13;
  u32 sub = ts_u(ts_f(mag) + 0.5f) - ts_u(0.5f);  // the add rounds to multiples of 2^-24
  u32 h = mag < (113u << 23) ? sub : normal;
  h = mag >= 0x477ff000u ? 0x7c00u : h;
  h = mag > 0x7f800000u ? 0x7e00u : h;
  return (u16)(h | sign);
}
TS_INLINE float ts_round_f16(float f) { return ts_from_f16(ts_to_f16(f)); }
// OCP e4m3fn: bias 7, no infinity, 0x7f is NaN, largest 448; narrowing saturates.
TS_INLINE float ts_from_e4m3(u8 b) {
  u32 sign = (u32)(b & 0x80u) << 24, mag = b & 0x7fu;
  float f = ts_f(mag << 20) * 0x1p120f;
  u32 u = mag == 0x7fu ? 0x7fc00000u : ts_u(f);
  return ts_f(u | sign);
}
TS_INLINE u8 ts_to_e4m3(float f) {
  u32 u = ts_u(f), sign = (u >> 24) & 0x80u, mag = u & 0x7fffffffu;
  u32 normal = (mag - (120u << 23) + 0x7ffffu + ((mag >> 20) & 1u)) >> 20;
  u32 sub = ts_u(ts_f(mag) + 16384.0f) - ts_u(16384.0f);  // rounds to multiples of 2^-9
  u32 b = mag < (121u << 23) ? sub : normal;
  b = (mag >= 0x43e00000u && b > 0x7eu) || mag >= 0x43f00000u ? 0x7eu : b;
  b = mag > 0x7f800000u ? 0x7fu : b;
  return (u8)(b | sign);
}
// One of the two e2m1 codes in a byte: 0 .5 1 1.5 2 3 4 6 and their negatives.
TS_INLINE float ts_e2m1(int byte, int half) {
  const int code = byte >> (4 * half) & 15, e = code >> 1 & 3, m = code & 1;
  const float size = e == 0 ? 0.5f * (float)m : (1.0f + 0.5f * (float)m) * (float)(1 << e) * 0.5f;
  return code & 8 ? -size : size;
}
TS_INLINE float ts_round_e4m3(float f) { return ts_from_e4m3(ts_to_e4m3(f)); }

// ---- float math ----
TS_INLINE float ts_fmin(float a, float b) { return a < b ? a : (b != b ? b : (a != a ? a : b)); }
TS_INLINE float ts_fmax(float a, float b) { return a > b ? a : (b != b ? b : (a != a ? a : b)); }
TS_INLINE float ts_exp(float x) {
  float c = x > 90.0f ? 90.0f : x;
  c = c < -105.0f ? -105.0f : c;
  float magic = c * 1.44269504088896341f + 12582912.0f;  // nearest integer in the low bits
  i32 n = (i32)(ts_u(magic) - 0x4b400000u);
  float nf = magic - 12582912.0f;
  float r = c - nf * 0.693145751953125f;
  r = r - nf * 1.428606765330187e-6f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  i32 half = n >> 1;  // two steps, so that the ends of the range neither overflow nor flush early
  return p * ts_f((u32)(half + 127) << 23) * ts_f((u32)(n - half + 127) << 23);
}
TS_INLINE float ts_log(float x) {
  bool tiny = x < 1.17549435e-38f;
  float s = tiny ? x * 8388608.0f : x;
  u32 u = ts_u(s);
  i32 e = (i32)((u >> 23) & 255u) - 126 - (tiny ? 23 : 0);
  float m = ts_f((u & 0x7fffffu) | 0x3f000000u);  // [0.5, 1)
  bool low = m < 0.707106781186547524f;
  float ef = (float)(low ? e - 1 : e);
  float f = (low ? m + m : m) - 1.0f;
  float z = f * f;
  float p = 7.0376836292e-2f;
  p = p * f - 1.1514610310e-1f;
  p = p * f + 1.1676998740e-1f;
  p = p * f - 1.2420140846e-1f;
  p = p * f + 1.4249322787e-1f;
  p = p * f - 1.6668057665e-1f;
  p = p * f + 2.0000714765e-1f;
  p = p * f - 2.4999993993e-1f;
  p = p * f + 3.3333331174e-1f;
  float y = f * z * p + ef * -2.12194440e-4f - 0.5f * z;
  float r = f + y + ef * 0.693359375f;
  r = x == TS_INF ? x : r;
  r = x == 0.0f ? -TS_INF : r;
  return x < 0.0f || x != x ? ts_f(0x7fc00000u) : r;
}
// Quadrant reduction in f64: good for |x| up to 2^30.
TS_INLINE float ts_sincos(float x, i32 shift) {
  double d = (double)x;
  double magic = d * 0.63661977236758134308 + 6755399441055744.0;
  double q = magic - 6755399441055744.0;
  float r = (float)((d - q * 1.57079632673412561417) - q * 6.07710050650619224932e-11);
  i32 k = (i32)q + shift;
  float z = r * r;
  float s = -1.9515295891e-4f;
  s = s * z + 8.3321608736e-3f;
  s = s * z - 1.6666654611e-1f;
  s = s * z * r + r;
  float c = 2.443315711809948e-5f;
  c = c * z - 1.388731625493765e-3f;
  c = c * z + 4.166664568298827e-2f;
  c = c * z * z - 0.5f * z + 1.0f;
  float v = (k & 1) ? c : s;
  return ts_f(ts_u(v) ^ ((u32)(k & 2) << 30));
}
TS_INLINE float ts_sin(float x) { return ts_sincos(x, 0); }
TS_INLINE float ts_cos(float x) { return ts_sincos(x, 1); }
TS_INLINE float ts_sigmoid(float x) { return 1.0f / (1.0f + ts_exp(-x)); }
TS_INLINE float ts_abs(float x) { return ts_f(ts_u(x) & 0x7fffffffu); }
TS_INLINE float ts_tanh(float x) {
  float a = ts_abs(x), z = x * x;
  float p = -5.70498872745e-3f;
  p = p * z + 2.06390887954e-2f;
  p = p * z - 5.37397155531e-2f;
  p = p * z + 1.33314422036e-1f;
  p = p * z - 3.33332819422e-1f;
  p = p * z * x + x;
  float big = 1.0f - 2.0f / (ts_exp(2.0f * a) + 1.0f);
  big = ts_f(ts_u(big) | (ts_u(x) & 0x80000000u));
  return a < 0.625f ? p : big;
}
TS_INLINE float ts_sqrt(float x) { return __builtin_sqrtf(x); }
TS_INLINE float ts_rsqrt(float x) { return 1.0f / __builtin_sqrtf(x); }
TS_INLINE float ts_recip(float x) { return 1.0f / x; }
TS_INLINE float ts_floor(float x) { return __builtin_floorf(x); }
TS_INLINE float ts_round(float x) { return __builtin_rintf(x); }
TS_INLINE float ts_fmod(float a, float b) { return a - b * __builtin_floorf(a / b); }
// Float to int truncates; NaN and out of range give the x86 result.
TS_INLINE i32 ts_to_i32(float x) { return (i32)x; }

// ---- random bits: base/prng.ts, 32-bit counter ----
TS_INLINE u32 ts_mix(u32 x) {
  x ^= x >> 17; x *= 0xed5ad4bbu; x ^= x >> 11; x *= 0xac4c1b51u; x ^= x >> 15; x *= 0x31848babu;
  return x ^ (x >> 14);
}
TS_INLINE u32 ts_random_key(i64 seed) { return ts_mix(ts_mix((u32)seed) + (u32)(seed >> 32)); }
TS_INLINE u32 ts_random(u32 key, i32 counter) {
  u32 high = counter < 0 ? 0xffffffffu : 0u;
  return ts_mix(ts_mix((u32)counter ^ key) + high * 0x9e3779b9u + key);
}

// ---- rows ----
// Of partial sums, halves onto halves: what the order is matters less than that it is one.
TS_INLINE float ts_sum16(const float* r) {
  float half[8], quarter[4];
  for (int i = 0; i < 8; i++) half[i] = r[i] + r[i + 8];
  for (int i = 0; i < 4; i++) quarter[i] = half[i] + half[i + 4];
  return (quarter[0] + quarter[2]) + (quarter[1] + quarter[3]);
}
// The k largest, descending, lowest index on ties: long rows by ts_topk_long, short ones by insertion into a sorted list.
static void ts_topk_long(const float* x, i64 n, i64 k, float* values, i32* indices);
static __attribute__((unused)) void ts_topk(const float* x, i64 n, i64 k, float* values, i32* indices) {
  if (n >= 512 && k <= 4096) return ts_topk_long(x, n, k, values, indices);
  i64 filled = 0;
  for (i64 i = 0; i < n; i++) {
    float v = x[i];
    if (filled == k && !(v > values[k - 1])) continue;
    i64 j = filled < k ? filled++ : k - 1;
    for (; j > 0 && v > values[j - 1]; j--) values[j] = values[j - 1], indices[j] = indices[j - 1];
    values[j] = v, indices[j] = (i32)i;
  }
}

// Larger floats, larger keys; -0 is 0.
TS_INLINE u32 ts_order_key(float x) {
  u32 bits = ts_u(x + 0.0f);
  return bits >> 31 ? ~bits : bits | 0x80000000u;
}
// Time n + k whatever the order: the k-th largest key is found by three histograms of its digits, then what is above it
// and the first of its equals are sorted by radix (stable, so the lowest index stays first).
static __attribute__((unused)) void ts_topk_long(const float* x, i64 n, i64 k, float* values, i32* indices) {
  static const int shifts[] = {21, 10, 0}, widths[] = {11, 11, 10};
  u32 kth = 0;
  i64 room = k;  // how many of those with the digits so far are wanted
  for (int pass = 0; pass < 3; pass++) {
    i32 counts[2048] = {};
    int shift = shifts[pass], width = widths[pass];
    u32 above = pass == 0 ? 0 : ~0u << (shift + width), digit = (1u << width) - 1;
    for (i64 i = 0; i < n; i++) {
      u32 key = ts_order_key(x[i]);
      if (((key ^ kth) & above) == 0) counts[key >> shift & digit]++;
    }
    u32 d = digit;
    for (; counts[d] < room; d--) room -= counts[d];
    kth |= d << shift;
  }
  u32* key = (u32*)__builtin_alloca((u64)k * 16);
  u32 *at = key + k, *nextKey = at + k, *nextAt = nextKey + k;
  i64 found = 0;
  for (i64 i = 0; i < n && found < k; i++) {
    u32 order = ts_order_key(x[i]);
    if (order < kth || (order == kth && room-- <= 0)) continue;
    key[found] = ~order, at[found++] = (u32)i;
  }
  for (int shift = 0; shift < 32; shift += 8) {
    i32 starts[257] = {};
    for (i64 i = 0; i < k; i++) starts[(key[i] >> shift & 255) + 1]++;
    for (int d = 0; d < 256; d++) starts[d + 1] += starts[d];
    for (i64 i = 0; i < k; i++) {
      i32 to = starts[key[i] >> shift & 255]++;
      nextKey[to] = key[i], nextAt[to] = at[i];
    }
    u32* swap = key; key = nextKey, nextKey = swap;
    swap = at; at = nextAt, nextAt = swap;
  }
  for (i64 i = 0; i < k; i++) values[i] = x[at[i]], indices[i] = (i32)at[i];
}

// ---- matrix products, defined in dot.cpp, built once per machine ----
// C[M,N] (row stride ldc) += A.B; strides in elements. The order of an element's sum is given by k alone. `work` is the
// caller's scratch, of the size that the emitter allots (dotWorkBytes).
extern "C" {
void ts_dot_f32(float* c, i64 ldc, const float* a, i64 am, i64 ak, const float* b, i64 bk, i64 bn, i64 m, i64 n, i64 k, void* work);
void ts_dot_bf16(float* c, i64 ldc, const u16* a, i64 am, i64 ak, const u16* b, i64 bk, i64 bn, i64 m, i64 n, i64 k, void* work);
}
template <class TA, class TB, class TC>
static void ts_dot_plain(TC* c, i64 ldc, const TA* a, i64 am, i64 ak, const TB* b, i64 bk, i64 bn, i64 m, i64 n, i64 k) {
  for (i64 i = 0; i < m; i++)
    for (i64 p = 0; p < k; p++)
      for (i64 j = 0; j < n; j++) c[i * ldc + j] += (TC)a[i * am + p * ak] * (TC)b[p * bk + j * bn];
}

// int8 products with i32 sums. Rows of both operands that are contiguous along k are taken four columns at a time, in
// loops that compilers turn into multiply-add of pairs.
static void ts_dot_i8(i32* c, i64 ldc, const i8* a, i64 am, i64 ak, const i8* b, i64 bk, i64 bn, i64 m, i64 n, i64 k) {
  if (k > 1 && (ak != 1 || bk != 1)) return ts_dot_plain(c, ldc, a, am, ak, b, bk, bn, m, n, k);
  for (i64 i = 0; i < m; i++) {
    const i8* x = a + i * am;
    i64 j = 0;
    for (; j + 4 <= n; j += 4) {
      const i8 *b0 = b + j * bn, *b1 = b0 + bn, *b2 = b1 + bn, *b3 = b2 + bn;
      i32 s0 = 0, s1 = 0, s2 = 0, s3 = 0;
      for (i64 p = 0; p < k; p++) {
        const short v = x[p];
        s0 += v * (short)b0[p], s1 += v * (short)b1[p], s2 += v * (short)b2[p], s3 += v * (short)b3[p];
      }
      i32* to = c + i * ldc + j;
      to[0] += s0, to[1] += s1, to[2] += s2, to[3] += s3;
    }
    for (; j < n; j++) {
      i32 s = 0;
      for (i64 p = 0; p < k; p++) s += (short)x[p] * (short)b[j * bn + p];
      c[i * ldc + j] += s;
    }
  }
}

// ---- integer division of tiles: floors; by zero gives 0 ----
TS_INLINE i32 ts_idiv(i32 a, i32 b) { return b == 0 ? 0 : (i32)ts_floordiv(a, b); }
TS_INLINE i32 ts_imod(i32 a, i32 b) { return b == 0 ? 0 : (i32)ts_floormod(a, b); }
TS_INLINE u32 ts_udiv(u32 a, u32 b) { return b == 0 ? 0 : a / b; }
TS_INLINE u32 ts_umod(u32 a, u32 b) { return b == 0 ? 0 : a % b; }

// Copies a strided box into contiguous `dst`, `other` where the box leaves [lo, hi) of an axis.
template <class T>
static void ts_pad(T* dst, const T* src, const i64* box, const i64* strides, const i64* lo, const i64* hi, int rank, T other) {
  i64 inner = 1;
  for (int d = 1; d < rank; d++) inner *= box[d];
  for (i64 i = 0; i < box[0]; i++, dst += inner) {
    bool inside = i >= lo[0] && i < hi[0];
    if (rank == 1) *dst = inside ? src[i * strides[0]] : other;
    else if (!inside) for (i64 j = 0; j < inner; j++) dst[j] = other;
    else if (rank > 2) ts_pad<T>(dst, src + i * strides[0], box + 1, strides + 1, lo + 1, hi + 1, rank - 1, other);
    else {
      const T* row = src + i * strides[0];
      i64 s = strides[1], from = lo[1] < hi[1] ? lo[1] : box[1], to = lo[1] < hi[1] ? hi[1] : box[1];
      for (i64 j = 0; j < from; j++) dst[j] = other;
      if (s == 1) for (i64 j = from; j < to; j++) dst[j] = row[j];
      else for (i64 j = from; j < to; j++) dst[j] = row[j * s];
      for (i64 j = to; j < box[1]; j++) dst[j] = other;
    }
  }
}
