/** Vector ops that public kernels use, each in a kernel of its own: what it gives, and mutations that must not pass. */
import { tinyTests, unset, wave, type Tiny, type Values } from "./mlu-tiny.ts";

const n = 256;
const x = wave(n);
const w = wave(n, 3).map((v, i) => Math.fround(v + i * 0.01));
const same = (count: number, f: (i: number) => number): Float32Array => Float32Array.from({ length: count }, (_, i) => f(i)); // prettier-ignore
const fround = Math.fround;

/** y [out] = body(a = x, b = w) in one core's NRAM. */
export const unit = (body: string, out = n, types = "float"): string => `#include <bang.h>
#define N ${n}
__nram__ float a[N];
__nram__ float b[N];
__nram__ ${types} d[2 * N];
__mlu_entry__ void tiny(${types}* y, float* x, float* w) {
  __memcpy(a, x, N * sizeof(float), GDRAM2NRAM);
  __memcpy(b, w, N * sizeof(float), GDRAM2NRAM);
  ${body}
  __memcpy(y, d, ${out} * sizeof(${types}), NRAM2GDRAM);
}
`;
const simple = (name: string, body: string, expected: ArrayLike<number>, mutants: Tiny["mutants"], more: Partial<Tiny> = {}): Tiny => ({ name, source: unit(body, expected.length), values: [unset(expected.length), x, w], expected, mutants, ...more }); // prettier-ignore
const on590 = { chips: ["sim:mlu-590"] } as const;
const short = ["d, a, b, N)", "d, a, b, N - 1)"] as const;

const elementwise: readonly Tiny[] = [
  simple("fusion", "__bang_fusion(FUSION_FSM, d, a, b, b, N, N);", same(n, (i) => fround(fround(x[i]! - w[i]!) * w[i]!)), [["N, N);", "N - 1, N - 1);"], ["FSM", "FMS"], ["N, N);", "N + 32, N + 32);"]], { tolerance: 1e-6 }),
  simple("fusion with numbers", "__bang_fusion(FUSION_FMA, d, a, -1, 2, N);", same(n, (i) => fround(2 - x[i]!)), [["a, -1", "a + 1, -1"]], { tolerance: 1e-6 }),
  simple("fusion with a cycle", "__bang_fusion(FUSION_FAS, d, a, b, (float)0.5, N, 64);", same(n, (i) => x[i]! + w[i % 64]! - 0.5), [["N, 64", "N, 65"], ["N, 64", "N, 128"]], { tolerance: 1e-6 }),
  simple("maxeq_scalar", "__bang_maxeq_scalar(d, a, 1, N);", x.map((v) => Math.max(1, v)), [["a, 1, N", "a, 1, N - 8"]]),
  simple("cycle_and", "__bang_gt_scalar(a, a, 0, N); __bang_gt_scalar(b, b, 0, N); __bang_cycle_and(d, a, b, N, 32);", same(n, (i) => (x[i]! > 0 && w[i % 32]! > 0 ? 1 : 0)), [["N, 32", "N, 48"], ["cycle_and", "cycle_or"]]),
  simple("div", "__bang_div(d, a, b, N);", same(n, (i) => fround(x[i]! / w[i]!)), [short], on590),
  simple("div by a number", "__bang_div(d, a, 3, N);", x.map((v) => fround(v / 3)), [["a, 3, N", "a, 3, N - 1"]], on590),
  simple("rem", "__bang_abs(a, a, N); __bang_rem(d, a, (float)1.5, N);", x.map((v) => Math.abs(v) % 1.5), [["1.5, N", "1.5, N / 2"]], { ...on590, tolerance: 1e-6 }),
  simple("compare to bits and back", "__bang_gt_bitindex((float*)d, a, b, N); const int kept = __bang_filter_bitindex(d + N, a, d, N); d[0] = kept; __bang_move(d + 1, d + N, kept * sizeof(float)); __memcpy(y, d, (kept + 1) * 4, NRAM2GDRAM); return;",
    [x.filter((v, i) => v > w[i]!).length, ...x.filter((v, i) => v > w[i]!)], [["a, b, N)", "a, b, N - 4)"], ["a, d, N)", "a, d, N / 8)"]]),
  simple("maskmove", "__bang_lt_scalar(b, b, 0, N); __bang_write_zero(d, N); __bang_maskmove(d, a, b, N);", same(n, (i) => (w[i]! < 0 ? x[i]! : 0)), [["__bang_write_zero(d, N); ", ""], ["d, a, b, N)", "d, a, b, N / 2)"]]),
  simple("collect", "__bang_write_zero(d, N); __bang_lt_scalar(b, b, 0, N); __bang_collect(d, a, b, N);", (() => { const kept = x.filter((_, i) => w[i]! < 0); return same(n, (i) => kept[i] ?? 0); })(), [["a, b, N)", "a, b, N - 64)"]]),
  simple("bytes", "__bang_band((int8_t*)d, (int8_t*)a, (int8_t*)b, N * 4); __bang_bnot((char*)d, (char*)d, N * 4); __bang_bnot((char*)d, (char*)d, N * 4); __bang_cycle_bor((int8_t*)d, (int8_t*)d, (int8_t*)a, N * 4, N * 4);", x, [["(int8_t*)a, N * 4, N * 4", "(int8_t*)a, N * 4, N"], ["(int8_t*)b, N * 4", "(int8_t*)b, N"]]),
  simple("words", "__bang_srl((uint32_t*)d, (uint32_t*)a, 31, N); __bang_band_scalar((uint32_t*)d, (uint32_t*)d, 1, N); __bang_int322float(d, (int32_t*)d, N, 0);", x.map((v) => (v < 0 || Object.is(v, -0) ? 1 : 0)), [["31, N", "30, N"], ["(uint32_t*)d, 1, N)", "(uint32_t*)d, 1, 2 * N + 1)"]], on590),
  simple("integers of 32 bits", "__bang_float2int32_rd((int32_t*)d, a, N, 0); __bang_mul_scalar((int32_t*)d, (int32_t*)d, 3, N); __bang_int322float(d, (int32_t*)d, N, 0);", x.map((v) => 3 * Math.sign(v) * Math.floor(Math.abs(v) + 0.5)), [["3, N", "3, N / 2"]]),
  simple("incseq", "__bang_incseq((int32_t*)d, N); __bang_int322float(d, (int32_t*)d, N, 0);", same(n, (i) => i), [["__bang_incseq((int32_t*)d, N)", "__bang_incseq((int32_t*)d, N - 1)"]], on590),
  simple("library", "__cn_vector_sin_f32(N, d, a); d[0] = __cn_scalar_cos_f32(a[0]) + expf(0.0f) + fmaxf(1.0f, 2.0f);", same(n, (i) => (i === 0 ? Math.cos(x[0]!) + 3 : Math.sin(x[i]!))), [["sin_f32(N,", "sin_f32(N / 2,"]], { tolerance: 1e-6 }),
  simple("bounds of a table", "for (int i = 0; i < N; ++i) ((uint32_t*)b)[i] = i % 64; __bang_lut((int32_t*)d, (uint32_t*)b, (int32_t*)a, N, 64);", same(n, (i) => x[i % 64]!), [["i % 64", "i"], ["N, 64", "N, 32"]]),
] as const; // prettier-ignore
tinyTests("ops by elements", elementwise);

const suffixes: readonly (readonly [string, (v: number) => number])[] = [
  ["rn", (v) => { const f = Math.floor(v); return v - f === 0.5 ? f + (f & 1) : Math.round(v); }],
  ["rd", (v) => Math.sign(v) * Math.floor(Math.abs(v) + 0.5)],
  ["tz", Math.trunc],
  ["oz", (v) => Math.sign(v) * Math.ceil(Math.abs(v))],
  ["dn", Math.floor],
  ["up", Math.ceil],
]; // prettier-ignore
const halves = same(n, (i) => (i - 128) / 4);
const conversion = (name: string, type: string, y: Values, body: string, expected: ArrayLike<number>, mutants: Tiny["mutants"], more: Partial<Tiny> = {}): Tiny => ({ name, source: unit(body, y.length, type), values: [y, halves, w], expected, mutants, ...more }); // prettier-ignore
const conversions: readonly Tiny[] = [
  ...suffixes.flatMap(([suffix, round]) => [
    conversion(`float2int16_${suffix}`, "int16_t", new Int16Array(n), `__bang_float2int16_${suffix}(d, a, N, 0);`, halves.map(round), [["a, N, 0", "a, N, 1"], ["a, N, 0", "a, N - 1, 0"]]),
    conversion(`half2int8_${suffix}`, "int8_t", new Int8Array(n), `__bang_float2half_rn((half*)a, a, N); __bang_half2int8_${suffix}(d, (half*)a, N, 0);`, halves.map(round), [["N, 0);", "N + 512, 0);"]]),
  ]),
  conversion("in place, and back from the end", "float", unset(n), "__bang_float2half((half*)b + N, a, N); __bang_half2float(b, (half*)b + N, N); __bang_move(d, b, N * sizeof(float));", halves, [["__bang_half2float(b, (half*)b + N", "__bang_half2float(b, (half*)b"], ["__bang_move(d, b, N * sizeof(float))", "__bang_move(d, b, N)"]]),
  conversion("saturation and pos", "int8_t", new Int8Array(n), "__bang_float2int8_tz(d, a, N, -3);", halves.map((v) => Math.max(-128, Math.min(127, Math.trunc(v * 8)))), [["-3", "3"]]),
  conversion("bytes of an image", "float", unset(n), "for (int i = 0; i < N; ++i) ((uint8_t*)b)[i] = i; __bang_uchar2float(d, (uint8_t*)b, N);", same(n, (i) => i), [["(uint8_t*)b, N", "(uint8_t*)b, N / 2"]]),
  conversion("int322int16", "int16_t", new Int16Array(n), "__bang_float2int32_dn((int32_t*)a, a, N, 0); __bang_int322int16(d, (int32_t*)a, N, 0, 0);", halves.map(Math.floor), [["N, 0, 0", "N, 1, 0"]]),
  conversion("bf16 to integers", "int32_t", new Int32Array(n), "__bang_float2bfloat16_rn((bfloat16_t*)a, a, N); __bang_bfloat162int32_tz(d, (bfloat16_t*)a, N, 0);", halves.map(Math.trunc), [["tz(d", "up(d"]], on590),
] as const; // prettier-ignore
tinyTests("conversions", conversions);
