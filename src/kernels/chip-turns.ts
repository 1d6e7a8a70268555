/**
 * Launches for mutants in which the loops of a chip's text take at least three turns, so that what takes two places by
 * turns takes the first again: more rows, longer sums, more keys than the kernel cases have. Inference only, no twins: a
 * mutant is held against the kernel as emitted, and the kernel cases hold that against its twin.
 * Main function: `longLaunches`.
 */
import { f32ToBf16 } from "../base/bf16.ts";
import type { Device } from "../device/device.ts";
import type { Chip } from "../tile/chips/types.ts";
import type { KernelCase } from "./case.ts";
import { compressPool } from "./compress-pool.ts";
import { conv3x3 } from "./conv.ts";
import { fp8Matmul, hasFp8Products, quantizeE4m3 } from "./fp8-matmul.ts";
import { groupedMatmul } from "./grouped-matmul.ts";
import { hadamard } from "./hadamard.ts";
import { appendRows } from "./append-rows.ts";
import { hcFinish, hcProject, type Projected } from "./hc-project.ts";
import { hcPost, hcPre, hcSplit } from "./hyper-connection.ts";
import { indexScores, topkMask } from "./indexer.ts";
import { intMatmul, packInt4, packedWidth } from "./int-matmul.ts";
import { linear, matmul } from "./matmul.ts";
import { combineRows, gatherRows, moeRouter } from "./moe.ts";
import { moePlan } from "./moe-plan.ts";
import { fromHost, sizeOf, type NdArray } from "./nd-array.ts";
import { layerNorm, rmsNorm } from "./norm.ts";
import { narrowCase } from "./narrow-matmul.ts";
import { muonOrthogonalize } from "./optim.ts";
import { quantize } from "./quantize.ts";
import { quantizeRows } from "./quantize-rows.ts";
import { maxOver, sum } from "./reduce.ts";
import { rope } from "./rope.ts";
import { slotAttention } from "./slot-attention.ts";
import { softmax } from "./softmax.ts";
import { sparseAttention, type AttentionInputs } from "./sparse-attention.ts";
import { topkIndices } from "./topk-indices.ts";
import { sortedRows } from "./work-list.ts";

export type LongLaunch = Pick<KernelCase, "name" | "run" | "tolerance">;

const tolerance = { rtol: 2e-5, atol: 1e-5, why: "sums of up to 600 products of values near 1 in f32, any order" };
const wave = (n: number, f: number): Float32Array => Float32Array.from({ length: n }, (_, i) => Math.sin(i * f + 0.2));
const put = (device: Device, f: number, shape: readonly number[]): NdArray => fromHost(device, wave(sizeOf(shape), f), shape, "f32"); // prettier-ignore
const putHalf = (device: Device, f: number, shape: readonly number[]): NdArray => fromHost(device, f32ToBf16(wave(sizeOf(shape), f)), shape, "bf16"); // prettier-ignore
const putInts = (device: Device, values: readonly number[], shape: readonly number[] = [values.length]): NdArray => fromHost(device, Int32Array.from(values), shape, "i32"); // prettier-ignore
const bytes = (n: number, most: number): Int8Array => Int8Array.from({ length: n }, (_, i) => ((i * 37) % (2 * most + 1)) - most); // prettier-ignore

function attention(device: Device, s: { b: number; t: number; h: number; d: number; tk: number; tc: number }, p: Partial<AttentionInputs> & Pick<AttentionInputs, "queryStart" | "keyStart" | "window" | "ratio">): NdArray[] {
  const { b, t, h, d, tk, tc } = s;
  const { o, lse } = sparseAttention(device, {
    q: put(device, 0.37, [b, t, h, d]),
    kv: put(device, 0.73, [b, tk, d]),
    ...(tc > 0 && { ckv: put(device, 0.51, [b, tc, d]) }),
    sink: put(device, 1.9, [h]),
    scale: d ** -0.5,
    ...p,
  });
  return [o, lse];
} // prettier-ignore

type PutFloats = typeof put;
function slots(device: Device, floats: PutFloats, s: { b: number; t: number; h: number; d: number; tk: number; tc: number }, p: Pick<AttentionInputs, "queryStart" | "keyStart" | "window" | "ratio">): NdArray[] {
  const { b, t, h, d, tk, tc } = s;
  const mask = (): NdArray => fromHost(device, Uint8Array.from({ length: b * t * tc }, (_, i) => (i % 3 === 1 ? 0 : 1)), [b, t, tc], "u8");
  return [
    slotAttention(device, {
      q: floats(device, 0.37, [b, t, h, d]),
      kv: floats(device, 0.73, [b, tk, d]),
      ...(tc > 0 && { ckv: floats(device, 0.51, [b, tc, d]), mask: mask() }),
      sink: put(device, 1.9, [h]),
      scale: d ** -0.5,
      ...p,
    }),
  ];
} // prettier-ignore

function integers(device: Device, [rows, n, depth]: readonly [number, number, number], o: { group?: number; ends?: readonly number[]; out?: "f32" | "bf16" }): NdArray[] {
  const { group, ends, out = "f32" } = o;
  const experts = ends?.length ?? 1;
  const codes = bytes(experts * n * depth, group ? 7 : 127);
  const scales = (shape: readonly number[]): NdArray => fromHost(device, wave(sizeOf(shape), 0.9).map((v) => 0.02 + 0.01 * v), shape, "f32"); // prettier-ignore
  return [
    intMatmul(
      device,
      { q: fromHost(device, bytes(rows * depth, 127), [rows, depth], "i8"), scale: scales([rows]) },
      {
        codes: group ? fromHost(device, packInt4(codes, depth, group), [experts, n, packedWidth(depth, group)], "i8") : fromHost(device, codes, [experts, n, depth], "i8"),
        scale: scales([experts, group ? Math.ceil(depth / group) : 1, n]),
        group,
      },
      { out, ...(ends && { sorted: sortedRows(device, putInts(device, [0, ...ends]), rows) }) },
    ),
  ];
} // prettier-ignore

const projected = (device: Device, rows: number, columns: number): Projected => ({
  rows,
  pitch: rows,
  dots: put(device, 0.7, [3, rows, columns]),
  squares: fromHost(device, wave(3 * rows, 0.9).map((v) => 1 + v * v), [3, rows], "f32"),
  channels: 64,
}); // prettier-ignore

/** Ends of experts that need every tile which a list of 36 rows among 4 of them may have: none of its programs is idle. */
const fullTiles = [33, 34, 35, 36];

const runs: Readonly<Record<string, (device: Device) => NdArray[]>> = {
  "compressPool, overlapping": (d) => [compressPool(d, { kv: put(d, 0.37, [1, 300, 128]), score: put(d, 0.91, [1, 300, 128]), ape: put(d, 1.3, [4, 128]), m: 4, overlap: true })],
  "compressPool, plain": (d) => [compressPool(d, { kv: put(d, 0.37, [3, 20, 8]), score: put(d, 0.91, [3, 20, 8]), ape: put(d, 1.3, [8, 8]), m: 8, overlap: false })],
  conv3x3: (d) => [conv3x3(d, put(d, 0.3, [3, 5, 4, 3]), put(d, 0.7, [6, 3, 3, 3]), put(d, 0.2, [6]))],
  groupedMatmul: (d) => {
    const w = put(d, 0.7, [4, 300, 320]);
    return [[5, 5, 26, 30], fullTiles].flatMap((ends) => {
      const sorted = sortedRows(d, putInts(d, [0, ...ends]), ends.at(-1)!);
      return [groupedMatmul(d, put(d, 0.3, [ends.at(-1)!, 320]), w, sorted), groupedMatmul(d, put(d, 0.9, [ends.at(-1)!, 300]), w, sorted, { transW: true })];
    });
  },
  hadamard: (d) => [hadamard(d, put(d, 0.37, [100, 32])), hadamard(d, put(d, 0.37, [100, 8]))],
  hcProject: (d) => [300, 40].flatMap((channels) => { const { y, s } = hcFinish(d, hcProject(d, put(d, 0.3, [150, channels]), put(d, 0.7, [24, channels])), { eps: 1e-6 }); return [y, s]; }),
  "hcSplit, few turns": (d) => [2, 4].flatMap((n) => { const { pre, post, comb } = hcSplit(d, projected(d, 200, (2 + n) * n), { base: put(d, 1.3, [(2 + n) * n]), scale: put(d, 0.4, [3]), n, iters: 5, eps: 1e-6, normEps: 1e-6 }); return [pre, post, comb]; }),
  "hyper-connection streams": (d) => [24, 64].flatMap((width) => [hcPre(d, put(d, 0.3, [70, 4, width]), put(d, 0.9, [70, 4])), hcPost(d, put(d, 0.57, [70, width]), put(d, 0.31, [70, 4, width]), put(d, 1.2, [70, 4]), put(d, 1.7, [70, 4, 4]))]),
  "indexScores, rounded": (d) => [indexScores(d, { iq: put(d, 0.3, [3, 9, 3, 8]), ik: put(d, 0.7, [3, 5, 8]), w: put(d, 1.1, [3, 9, 3]), ratio: 4, queryStart: 6, isRounded: true })],
  topkMask: (d) => [topkMask(d, put(d, 0.7, [1, 70, 13]), 4), topkMask(d, put(d, 0.7, [1, 70, 8]), 20)],
  "intMatmul of experts": (d) => [...integers(d, [30, 20, 600], { ends: [5, 5, 26, 30] }), ...integers(d, [36, 20, 600], { ends: fullTiles })],
  "intMatmul, one row": (d) => integers(d, [1, 300, 600], {}),
  "intMatmul to bf16": (d) => integers(d, [3, 200, 800], { out: "bf16" }),
  "intMatmul, more rows": (d) => integers(d, [300, 140, 800], {}),
  "int4 of experts": (d) => [...integers(d, [30, 20, 600], { group: 128, ends: [5, 5, 26, 30] }), ...integers(d, [36, 20, 600], { group: 128, ends: fullTiles })],
  "fp4 of experts": narrowCase("e2m1", 36, 20, 1536, { ends: fullTiles }).run,
  "fp4, one row": narrowCase("e2m1", 1, 70, 1536).run,
  "int4, one row": (d) => integers(d, [1, 300, 512], { group: 128 }),
  "int4 to bf16": (d) => integers(d, [200, 140, 300], { group: 64, out: "bf16" }),
  "matmul, f32": (d) => [matmul(d, put(d, 0.3, [100, 300]), put(d, 0.9, [300, 130])), matmul(d, put(d, 0.3, [1, 600]), put(d, 0.9, [600, 300])), matmul(d, put(d, 0.3, [300, 300]), put(d, 0.9, [300, 130]), { transA: true })],
  "matmul, f32, B^T into": (d) => [matmul(d, put(d, 0.3, [100, 600]), put(d, 0.9, [130, 600]), { transB: true, acc: put(d, 1.1, [100, 130]) })],
  "matmul, batched": (d) => [matmul(d, put(d, 0.3, [3, 20, 300]), put(d, 0.9, [3, 300, 21]))],
  "linear with bias": (d) => [linear(d, put(d, 0.3, [300, 300]), put(d, 0.5, [130, 300]), put(d, 0.2, [130]))],
  "matmul, bf16": (d) => [matmul(d, putHalf(d, 0.3, [100, 600]), putHalf(d, 0.9, [600, 130]), { outDtype: "f32" }), matmul(d, putHalf(d, 0.3, [600, 300]), putHalf(d, 0.9, [130, 600]), { transA: true, transB: true, outDtype: "f32" }), matmul(d, putHalf(d, 0.3, [300, 900]), putHalf(d, 0.9, [130, 900]), { transB: true, outDtype: "f32" })],
  moeRouter: (d) => ["fixed", "biased"].flatMap((kind) => [8, 16].flatMap((experts) => { const { weights, indices } = moeRouter(d, put(d, 0.9, [70, experts]), { k: 3, scale: 1.5, bias: kind === "biased" ? put(d, 1.1, [experts]) : undefined, fixedIds: kind === "fixed" ? putInts(d, Array.from({ length: 210 }, (_, i) => (i * 3) % experts), [70, 3]) : undefined }); return [weights, indices]; })),
  "gather and combine": (d) => {
    const plan = moePlan(d, putInts(d, Array.from({ length: 120 }, (_, i) => (i * 7 + Math.floor(i / 5)) % 4), [60, 2]), put(d, 0.9, [60, 2]), 4);
    return [plan.rowScale, plan.offsets, combineRows(d, gatherRows(d, put(d, 0.7, [60, 5]), plan.order), plan)];
  },
  "moePlan, a tile that is not full": (d) => { const plan = moePlan(d, putInts(d, Array.from({ length: 14 }, (_, i) => (i * 3) % 4), [7, 2]), put(d, 0.9, [7, 2]), 4); return [plan.order, plan.inverse, plan.offsets, plan.rowScale]; },
  appendRows: (d) => { const memory = put(d, 0.3, [3, 90, 24]); appendRows(d, [{ rows: put(d, 0.7, [3, 70, 24]), memory }], 11); return [memory]; },
  norms: (d) => {
    const [x, w, b] = [put(d, 0.3, [130, 24]), put(d, 0.7, [24]), put(d, 0.9, [24])];
    return [true, false].flatMap((keeps) => {
      const [n, l] = [rmsNorm(d, x, w, { eps: 1e-6, keeps }), layerNorm(d, x, w, b, { eps: 1e-6, keeps })];
      return [n.y, l.y, ...[n.rstd, l.mean, l.rstd].filter((a) => a !== undefined)];
    });
  },
  muon: (d) => [muonOrthogonalize(d, put(d, 1.7, [1, 70, 100]))],
  "reduce rows": (d) => [sum(d, put(d, 1.3, [30, 1700]), 1), maxOver(d, put(d, 1.3, [30, 1700]), 1)],
  "reduce columns": (d) => [sum(d, put(d, 1.3, [2, 200, 33]), 1), sum(d, put(d, 1.3, [40, 512]), 0), maxOver(d, put(d, 1.3, [300, 270]), 0)],
  quantizeRows: (d) => [19, 5].flatMap((rows) => { const { q, scale } = quantizeRows(d, put(d, 1.3, [rows, 700])); return [q, scale]; }),
  quantize: (d) => [
    quantize(d, put(d, 1.3, [70, 300]), { format: "e4m3", block: 64, width: 200 }),
    quantize(d, putHalf(d, 1.3, [70, 130]), { format: "e2m1", block: 32 }),
    quantize(d, put(d, 1.3, [100, 100]), { format: "e4m3", block: 32, square: true }),
  ],
  rope: (d) => [[[3, 41, 3, 16], 4], [[1, 100, 2, 8], 4], [[1, 42, 4, 64], 8]].flatMap(([shape, half]) => [false, true].map((inverse) => rope(d, put(d, 0.31, shape as number[]), { freqs: put(d, 0.4, [half as number]), start: 3, step: 2, inverse }))),
  softmax: (d) => [softmax(d, put(d, 0.9, [70, 13]))],
  "attention, window only": (d) => attention(d, { b: 1, t: 70, h: 2, d: 8, tk: 270, tc: 0 }, { queryStart: 200, keyStart: 0, window: 190, ratio: 4 }),
  "attention, entries": (d) => attention(d, { b: 1, t: 40, h: 4, d: 16, tk: 240, tc: 220 }, { queryStart: 400, keyStart: 200, window: 190, ratio: 2 }),
  "attention, masked entries": (d) => attention(d, { b: 3, t: 7, h: 2, d: 8, tk: 220, tc: 210 }, { queryStart: 420, keyStart: 207, window: 190, ratio: 2, mask: fromHost(d, Uint8Array.from({ length: 3 * 7 * 210 }, (_, i) => (i % 3 === 0 ? 0 : 1)), [3, 7, 210], "u8") }),
  "attention, chosen entries": (d) => attention(d, { b: 1, t: 5, h: 4, d: 16, tk: 233, tc: 200 }, { queryStart: 420, keyStart: 192, window: 190, ratio: 2, isAnchored: true, chosen: putInts(d, Array.from({ length: 500 }, (_, i) => (i % 100 < 100 - 5 * Math.floor(i / 100) ? 2 * (i % 100) : -1)), [1, 5, 100]) }),
  "attention, anchored": (d) => attention(d, { b: 3, t: 7, h: 2, d: 8, tk: 227, tc: 110 }, { queryStart: 220, keyStart: 0, window: 190, ratio: 2, isAnchored: true }),
  "attention, one token": (d) => attention(d, { b: 3, t: 1, h: 8, d: 32, tk: 220, tc: 210 }, { queryStart: 420, keyStart: 207, window: 190, ratio: 2 }),
  "slotAttention, window and entries": (d) => slots(d, putHalf, { b: 2, t: 3, h: 20, d: 24, tk: 112, tc: 100 }, { queryStart: 210, keyStart: 101, window: 110, ratio: 2 }),
  "slotAttention, few entries": (d) => slots(d, put, { b: 3, t: 3, h: 4, d: 8, tk: 203, tc: 9 }, { queryStart: 210, keyStart: 10, window: 180, ratio: 20 }),
  "slotAttention, window only": (d) => [4, 3].flatMap((h) => slots(d, put, { b: 3, t: 3, h, d: 8, tk: 203, tc: 0 }, { queryStart: 210, keyStart: 10, window: 190, ratio: 1 })),
  topkIndices: (d) => [topkIndices(d, put(d, 0.7, [1, 3, 9001]), 300)],
}; // prettier-ignore

const fp8Runs: typeof runs = {
  "fp8 of experts": (d) => [192, 600].flatMap((depth) => narrowCase("e4m3", 30, 20, depth, { ends: [9, 10, 20, 30] }).run(d)),
  fp8Matmul: (d) => [[300, 150], [1, 300]].flatMap(([rows, n]) => [fp8Matmul(d, quantizeE4m3(d, put(d, 0.37, [rows!, 600])), quantizeE4m3(d, put(d, 0.73, [n!, 600]), { square: true }), "f32")]),
}; // prettier-ignore

export const longLaunches = (chip: Chip): LongLaunch[] =>
  [runs, hasFp8Products(chip) ? fp8Runs : {}]
    .flatMap(Object.entries<(typeof runs)[string]>)
    .map(([name, run]) => ({ name, run, tolerance }));
