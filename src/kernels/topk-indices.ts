/**
 * Which k entries have the largest scores, as a list: ascending, lowest index on ties, -1 where fewer are visible.
 *   chosen[r] = sort(argtopk_k scores[r]);  a score of -inf is never chosen
 * shapes   scores f32 [R,N] -> i32 [R,k]; N below 2^24, since indices are sorted as f32
 * method   stages: blocks of a row give their k best, with indices; what they give is the next stage's row, until it is
 *          one block. At a context of 1M tokens a row of 262,144 scores takes three stages for k = 512.
 * source   DeepSeek-V4 spec section 2.6; twin topkIndicesRef. No gradient.
 */
import { ShapeError } from "../base/errors.ts";
import type { Device } from "../device/device.ts";
import { kernel } from "../tile/builder.ts";
import type { KernelCase, OpCases } from "./case.ts";
import { ceilDiv, run, specialize } from "./launch.ts";
import { empty, fromHost, sizeOf, type NdArray } from "./nd-array.ts";

export function topkIndicesRef(scores: ArrayLike<number>, width: number, k: number): Int32Array {
  const rows = scores.length / width;
  const out = new Int32Array(rows * k).fill(-1);
  for (let r = 0; r < rows; r++) {
    const order = Array.from({ length: width }, (_, i) => i).filter((i) => scores[r * width + i]! > -Infinity);
    order.sort((a, b) => scores[r * width + b]! - scores[r * width + a]! || a - b);
    out.set(
      order.slice(0, k).sort((a, b) => a - b),
      r * k,
    );
  }
  return out;
}

interface StageStatic {
  /** Scores of a block, a power of two. */
  readonly width: number;
  readonly k: number;
  /** Scores of a later stage bring their indices. */
  readonly hasIds: boolean;
  readonly isLast: boolean;
}

/** Below every negated index. */
const ABSENT = -(2 ** 25);

const stageKernel = specialize((p: StageStatic) =>
  kernel(p.isLast ? "topk_last_stage" : "topk_stage", (k) => {
    const [rows, width, outWidth] = [k.index("rows"), k.index("width"), k.index("outWidth")];
    const [block, row] = [k.programId(0), k.programId(1)];
    const scores = k.view(k.buffer("scores", "f32"), [rows, width]);
    const first = block.mul(p.width);
    const top = k.topk(k.load(scores, [row, first], [1, p.width], { other: -Infinity }), p.k);
    const at = top.indices.add(k.fromIndex(first));
    const ids = p.hasIds
      ? k.gather(k.view(k.buffer("ids", "i32"), [width, 1], { offset: row.mul(width) }), at.reshape([p.k]), 1).reshape([1, p.k]) // prettier-ignore
      : at;
    const out = k.view(k.buffer("chosen", "i32", "out"), [rows, outWidth]);
    const to = [row, block.mul(p.k)];
    if (p.isLast) {
      // Ascending indices are the negated ones descending.
      const keys = k.select(top.values.gt(-Infinity), ids.cast("f32").neg(), ABSENT);
      const sorted = k.topk(keys, p.k).values;
      k.store(out, to, k.select(sorted.gt(ABSENT), sorted.neg(), -1).cast("i32"));
    } else {
      k.store(out, to, ids);
      k.store(k.view(k.buffer("best", "f32", "out"), [rows, outWidth]), to, top.values);
    }
  }),
);

const powerOfTwo = (n: number): number => 2 ** Math.ceil(Math.log2(n));
/** A stage keeps at most an eighth of a long row. */
const blockWidth = (k: number): number => Math.max(1024, powerOfTwo(8 * k));

/** scores [..,N] -> i32 [..,k]. */
export function topkIndices(device: Device, scores: NdArray, k: number): NdArray {
  const width = scores.shape[scores.shape.length - 1] ?? 0;
  if (scores.dtype !== "f32" || width === 0 || width >= 2 ** 24)
    throw new ShapeError(`topkIndices: expected f32 scores [..,N] with N from 1 to 2^24 - 1, got ${scores.dtype} [${scores.shape}]`); // prettier-ignore
  const rows = sizeOf(scores.shape) / width;
  const most = blockWidth(k);
  const stage = (from: NdArray, ids: NdArray | undefined, n: number): NdArray => {
    const isLast = n <= most;
    const tile = isLast ? powerOfTwo(Math.max(n, k, 64)) : most;
    const blocks = ceilDiv(n, tile);
    const outWidth = blocks * k;
    const chosen = empty(device, isLast ? [...scores.shape.slice(0, -1), k] : [rows, outWidth], "i32");
    const best = isLast ? undefined : empty(device, [rows, outWidth]);
    run(device, stageKernel({ width: tile, k, hasIds: ids !== undefined, isLast }), [blocks, rows, 1], {
      scores: from,
      rows,
      width: n,
      outWidth,
      chosen,
      ...(ids && { ids }),
      ...(best && { best }),
    });
    if (!best) return chosen;
    const last = stage(best, chosen, outWidth);
    for (const a of [best, chosen]) device.free(a.buffer);
    return last;
  };
  return stage(scores, undefined, width);
}

const wave = (n: number, f: number): Float32Array => Float32Array.from({ length: n }, (_, i) => Math.sin(i * f + 0.2));

function caseOf(
  rows: number,
  width: number,
  k: number,
  what: string,
  score: (v: number, i: number) => number,
): KernelCase {
  const scores = wave(rows * width, 0.7).map(score);
  return {
    name: `list of ${k} of ${width}, ${what}`,
    run: (device) => [topkIndices(device, fromHost(device, scores, [1, rows, width], "f32"), k)],
    expected: () => [topkIndicesRef(scores, width, k)],
    tolerance: { rtol: 0, atol: 0, why: "a choice" },
  };
}
const coarse = (v: number, i: number): number => (i % 5 === 4 ? -Infinity : Math.round(v * 4) / 4);

export const cases: OpCases = {
  op: "topkIndices",
  cases: [
    caseOf(5, 13, 4, "ties and invisible ones", coarse),
    caseOf(2, 8, 20, "fewer than wanted", coarse),
    caseOf(3, 700, 32, "ties across one block", coarse),
    caseOf(2, 5000, 40, "two stages, ties across blocks", coarse),
    caseOf(2, 9001, 300, "three stages, all different", (v) => v),
    caseOf(1, 20_000, 128, "one value, zeros of both signs", (_v, i) => (i % 2 ? 0 : -0)),
    caseOf(1, 4200, 16, "three visible", (v, i) => (i === 7 || i === 2048 || i === 4199 ? v : -Infinity)),
  ],
  programs: () => [
    stageKernel({ width: 4096, k: 512, hasIds: false, isLast: false }),
    stageKernel({ width: 4096, k: 512, hasIds: true, isLast: true }),
  ],
};
