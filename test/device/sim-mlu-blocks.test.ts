/** Blocks of NRAM, rows by offsets, atomics and products, as public kernels use them; and mutations that must not pass. */
import { tinyTests, unset, wave, type Tiny, type Values } from "./mlu-tiny.ts";

const x = wave(512);
const same = (count: number, f: (i: number) => number): Float32Array => Float32Array.from({ length: count }, (_, i) => f(i)); // prettier-ignore
const on590 = { chips: ["sim:mlu-590"] } as const;

/** y [out] = body(a = x [512]) in one core's NRAM. */
const unit = (body: string, out: number): string => `#include <bang.h>
#define N 512
__nram__ float a[N];
__nram__ float d[2 * N];
__mlu_global__ void tiny(float* y, const float* x) {
  __memcpy(a, x, N * sizeof(float), GDRAM2NRAM);
  ${body}
  __memcpy(y, d, ${out} * sizeof(float), NRAM2GDRAM);
}
`;
const block = (name: string, body: string, expected: Float32Array, mutants: Tiny["mutants"], more: Partial<Tiny> = {}): Tiny => ({ name, source: unit(body, expected.length), values: [unset(expected.length), x], expected, mutants, ...more }); // prettier-ignore
const of = (h: number, w: number, at: (r: number, c: number) => number): Float32Array => same(h * w, (i) => x[at(Math.floor(i / w), i % w)]!); // prettier-ignore

const layouts: readonly Tiny[] = [
  block("rotate90", "__bang_rotate90(d, a, 16, 32);", of(32, 16, (r, c) => (15 - c) * 32 + r), [["16, 32", "32, 16"], ["16, 32", "32, 32"]]),
  block("rotate180", "__bang_rotate180(d, a, 16, 32);", of(16, 32, (r, c) => (15 - r) * 32 + 31 - c), [["(d, a, ", "(a, a, "]]),
  block("rotate270", "__bang_rotate270(d, a, 16, 32);", of(32, 16, (r, c) => c * 32 + 31 - r), [["16, 32", "32, 16"]]),
  block("mirror", "__bang_mirror(d, a, 16, 32);", of(16, 32, (r, c) => r * 32 + 31 - c), [["16, 32", "8, 64"]]),
  block("pad", "__bang_pad(d, a, 16, 2, 4, 1, 0, 2, 1);", same(3 * 7 * 16, (i) => { const [row, col, c] = [Math.floor(i / 112) - 1, Math.floor(i / 16) % 7 - 2, i % 16]; return row < 0 || col < 0 || col > 3 ? 0 : x[(row * 4 + col) * 16 + c]!; }), [["1, 0, 2, 1", "0, 1, 2, 1"], ["16, 2, 4", "16, 2, 40"]]),
  block("pools step along the width first", "__bang_sumpool(d, a, 16, 1, 32, 1, 4, 4, 1);", same(8 * 16, (i) => [0, 1, 2, 3].reduce((s, k) => Math.fround(s + x[(Math.floor(i / 16) * 4 + k) * 16 + i % 16]!), 0)), [["1, 4, 4, 1", "1, 4, 1, 4"], ["16, 1, 32", "16, 1, 33"]], { tolerance: 1e-6 }),
  block("a pool in place", "__bang_maxpool(a, a, 32, 16, 1, 16, 1, 1, 1); __bang_move(d, a, 128);", same(32, (i) => Math.max(...Array.from({ length: 16 }, (_, k) => x[k * 32 + i]!))), [["(a, a, ", "(a + 32, a, "], ["16, 1, 16, 1, 1, 1", "16, 1, 15, 1, 1, 1"]]),
  block("columns that are not written stay apart", "for (int r = 0; r < 4; ++r) __memcpy(d + 256 + r * 32, a + r * 16, 64, NRAM2NRAM); __bang_sumpool(d, d + 256, 32, 4, 1, 4, 1, 1, 1);", same(16, (i) => Math.fround(Math.fround(Math.fround(x[i]! + x[16 + i]!) + x[32 + i]!) + x[48 + i]!)), [["r * 16, 64, ", "r * 16, 60, "], ["r < 4", "r < 3"]], { tolerance: 1e-6 }),
  block("move of runs", "__bang_move(d, a, 64, 64, 128, 7);", of(8, 16, (r, c) => r * 32 + c), [["64, 128, 7", "64, 64, 7"], ["128, 7", "128, 16"]]),
  block("compaction in place", "__memcpy(a, a, 64, NRAM2NRAM, 64, 128, 7); __memcpy(d, a, 512, NRAM2NRAM);", of(8, 16, (r, c) => r * 32 + c), [["NRAM2NRAM, 64, 128", "NRAM2NRAM, 128, 64"]]),
  block("runs of a value", "__bang_write_zero(d, 64); __nramset_async(d, 8, (float)2, 64, 3); __sync_move();", same(64, (i) => (i % 16 < 8 ? 2 : 0)), [["64, 3)", "64, 2)"], [" __sync_move();", ""], ["64, 3)", "64, 300)"]]),
] as const; // prettier-ignore
tinyTests("blocks of NRAM", layouts);

const rows = Uint32Array.of(9, 2, 30, 5, 11, 0, 31, 7);
const pick = (call: string, more: Partial<Tiny> & { expected: Float32Array; mutants: Tiny["mutants"] }): Tiny => ({
  name: call,
  source: `#include <bang.h>
__nram__ unsigned at[8];
__nram__ unsigned char mask[64];
__nram__ float a[512];
__nram__ float d[512];
__mlu_global__ void tiny(float* y, const float* x, const unsigned* rows) {
  __memcpy(a, x, 512 * sizeof(float), GDRAM2NRAM);
  __memcpy(at, rows, 8 * sizeof(unsigned), GDRAM2NRAM);
  for (int i = 0; i < 8; ++i) at[i] *= 64;
  mask[0] = 0xb5;
  for (int i = 0; i < 512; ++i) d[i] = 0;
  ${call}
  __sync_io();
  __memcpy(y, d, 128 * sizeof(float), NRAM2GDRAM);
}
`,
  values: [unset(128), x, rows],
  ...on590,
  ...more,
});
const gathered = of(8, 16, (r, c) => rows[r]! * 16 + c);
const kept = gathered.map((v, i) => ((0xb5 >> Math.floor(i / 16)) & 1 ? v : 0));
const picks: readonly Tiny[] = [
  pick("__gather(d, x, at, 64, GDRAM2NRAM, 64, 8);", { expected: gathered, mutants: [["GDRAM2NRAM, 64, 8", "GDRAM2NRAM, 128, 8"], ["GDRAM2NRAM, 64, 8", "NRAM2NRAM, 64, 8"], ["GDRAM2NRAM, 64, 8", "GDRAM2NRAM, 64, 9"], ["at[i] *= 64", "at[i] *= 128"]] }),
  pick("__gather_async(d, x, at, mask, 64, GDRAM2NRAM, 64, 8);", { expected: kept, mutants: [["mask[0] = 0xb5", "mask[1] = 0xb5"], ["at, mask, 64", "at, 64"], ["\n  __sync_io();", "at[0] = 3; __bang_write_zero(at, 8);\n  __sync_io();"], ["\n  __sync_io();", "__bang_write_zero(d, 32);\n  __sync_io();"]] }),
  { ...pick("__scatter(d, a, at, 16, NRAM2NRAM, 16, 8);", { expected: same(128, (i) => { const r = rows.indexOf(Math.floor(i / 16)); return r >= 0 && i % 16 < 4 ? x[r * 4 + (i % 16)]! : 0; }), mutants: [["NRAM2NRAM, 16, 8", "NRAM2NRAM, 64, 8"], ["at[i] *= 64", "at[i] *= 80"]] }) },
]; // prettier-ignore
tinyTests("rows by offsets", picks);

const tasks = 8;
const atomic = (name: string, body: string, y: Values, expected: ArrayLike<number>, mutants: Tiny["mutants"], more: Partial<Tiny> = {}): Tiny => ({
  name,
  source: `#include <bang.h>
__nram__ float a[32];
__nram__ int32_t c[64];
__mlu_global__ void tiny(${y instanceof Int32Array ? "int32_t" : "float"}* y, const float* x) {
  if (__is_mpu()) return;
  __memcpy(a, x + taskId * 32, 32 * sizeof(float), GDRAM2NRAM);
  ${body}
}
`,
  values: [y, x],
  tasks,
  expected,
  tolerance: 1e-5,
  mutants,
  ...more,
}); // prettier-ignore
const column = (i: number): number[] => Array.from({ length: tasks }, (_, t) => x[t * 32 + i]!);
const atomics: readonly Tiny[] = [
  atomic("reduce_add", "__bang_atomic_reduce_add(y, a, 32);", new Float32Array(32), same(32, (i) => column(i).reduce((s, v) => s + v, 0)), [["y, a, 32", "y, a, 33"], ["y, a, 32", "y + 1, a, 32"], ["y, a, 32", "a, a, 32"]]),
  atomic("reduce_max", "__bang_atomic_reduce_max(y, a, 32);", new Float32Array(32).fill(-99), same(32, (i) => Math.max(...column(i))), [["y, a, 32", "y, a, 16"]]),
  atomic("counting", "__bang_atomic_add(c, y, 3); c[1] = 1; __bang_atomic_or(c + 32, y + 1, 1 << taskId);", new Int32Array(2), [3 * tasks, 255], [["y, 3", "y + 2, 3"], ["1 << taskId", "1 << coreId"]]),
]; // prettier-ignore
tinyTests("atomics", atomics);

const [k, n, m] = [64, 64, 5];
const left = Int8Array.from({ length: m * k }, (_, i) => ((i * 37) % 31) - 15);
const right = Int8Array.from({ length: n * k }, (_, i) => ((i * 53) % 29) - 14);
const products = same(m * n, (i) => left.subarray(Math.floor(i / n) * k, (Math.floor(i / n) + 1) * k).reduce((s, v, c) => s + v * right[(i % n) * k + c]!, 0)); // prettier-ignore
const product = (name: string, D: string, call: string, y: Values, expected: ArrayLike<number>, mutants: Tiny["mutants"]): Tiny => ({
  name,
  source: `#include <bang.h>
#define K ${k}
#define N ${n}
#define M ${m}
__nram__ int8_t left[M * K];
__nram__ int8_t plain[N * K];
__nram__ int8_t arranged[N * K];
__wram__ int8_t filter[N * K];
__nram__ ${D} out[M * N];
__mlu_global__ void tiny(${D}* y, const int8_t* a, const int8_t* b) {
  __memcpy(left, a, M * K, GDRAM2NRAM);
  __memcpy(plain, b, N * K, GDRAM2NRAM);
  __bang_reshape_filter(arranged, plain, N, 1, 1, K);
  __memcpy(filter, arranged, N * K, NRAM2WRAM);
  ${call}
  __memcpy(y, out, M * N * sizeof(${D}), NRAM2GDRAM);
}
`,
  values: [y, left, right],
  expected,
  mutants,
}); // prettier-ignore
const int8Products: readonly Tiny[] = [
  product("int8 to float by pos", "float", "__bang_matmul(out, left, filter, M, K, N, -4);", unset(m * n), products.map((v) => v / 16), [["K, N, -4", "K, N"], ["arranged, N * K, NRAM2WRAM", "plain, N * K, NRAM2WRAM"], ["filter, M, K", "filter, M + 1, K"]]),
  product("int8 to int32 by conv", "int32_t", "__bang_conv(out, left, filter, K, M, 1, 1, 1, 1, 1, N, 0);", new Int32Array(m * n), products, [["K, M, 1, 1, 1, 1, 1, N", "K, M - 1, 1, 1, 1, 1, 1, N"], ["(out, left, filter", "(out, left, plain"]]),
  product("int8 to int32 by mlp", "int32_t", "for (int i = 0; i < M; ++i) __bang_mlp(out + i * N, left + i * K, filter, K, N, 0);", new Int32Array(m * n), products, [["left + i * K", "left"], ["i < M", "i < M - 1"]]),
]; // prettier-ignore
tinyTests("products of int8", int8Products);
