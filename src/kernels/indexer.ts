/**
 * The lightning indexer: which compressed entries a query attends to.
 *   score[t,j] = sum_h relu(iq[t,h] . ik[j]) w[t,h];  -inf where j >= floor((queryStart + t + 1) / ratio)
 *   chosen = the k largest visible scores of each row, lowest index on ties: as a mask, or as a list (topk-indices.ts)
 * shapes   iq [B,T,Hi,di], ik [B,Tc,di], w [B,T,Hi] -> scores f32 [B,T,E], E <= Tc -> mask u8 [B,T,E]
 * source   DeepSeek-V4 spec section 2.6; twins indexScoresRef, topkMaskRef. No gradient.
 */
import { roundToBf16 } from "../base/bf16.ts";
import { dtypes, type DType } from "../base/dtype.ts";
import { ShapeError } from "../base/errors.ts";
import type { Device } from "../device/device.ts";
import { kernel, type Index, type Tile } from "../tile/builder.ts";
import type { Chip } from "../tile/chips/types.ts";
import type { KernelCase, OpCases } from "./case.ts";
import { fitted, type Fitted } from "./fit.ts";
import { ceilDiv, run, specialize } from "./launch.ts";
import { empty, fromHost, sizeOf, wholeLines, type NdArray } from "./nd-array.ts";
import { chosen } from "./tile-choice.ts";

export interface IndexScoresInputs {
  readonly iq: NdArray;
  readonly ik: NdArray;
  readonly w: NdArray;
  readonly ratio: number;
  readonly queryStart: number;
  /**
   * Score so many entries; all of ik unless told. Up to whole lines there may be more than ik has, if none of those is
   * visible to any token.
   */
  readonly numEntries?: number;
  /** Products, their weighted values and the sum are each rounded to bf16. */
  readonly isRounded?: boolean;
}

export function indexScoresRef(
  iq: ArrayLike<number>,
  ik: ArrayLike<number>,
  w: ArrayLike<number>,
  s: { b: number; t: number; h: number; d: number; tc: number; ratio: number; queryStart: number; isRounded?: boolean },
): Float32Array {
  const { b, t, h, d, tc } = s;
  const rounded = s.isRounded ? roundToBf16 : (v: number): number => v;
  return Float32Array.from({ length: b * t * tc }, (_, i) => {
    const [n, token, j] = [Math.floor(i / (t * tc)), Math.floor(i / tc) % t, i % tc];
    if (j >= Math.floor((s.queryStart + token + 1) / s.ratio)) return -Infinity;
    let total = 0;
    for (let head = 0; head < h; head++) {
      let dot = 0;
      for (let c = 0; c < d; c++) dot += iq[((n * t + token) * h + head) * d + c]! * ik[(n * tc + j) * d + c]!;
      total += rounded(Math.max(0, rounded(dot)) * w[(n * t + token) * h + head]!);
    }
    return rounded(total);
  });
}

export function topkMaskRef(scores: ArrayLike<number>, width: number, k: number): Int32Array {
  const mask = new Int32Array(scores.length);
  for (let r = 0; r < scores.length; r += width) {
    const order = Array.from({ length: width }, (_, i) => i).filter((i) => scores[r + i]! > -Infinity);
    order.sort((a, b) => scores[r + b]! - scores[r + a]! || a - b);
    for (const i of order.slice(0, k)) mask[r + i] = 1;
  }
  return mask;
}

interface ScoreStatic {
  readonly dtype: DType;
  readonly heads: number;
  readonly dim: number;
  readonly isRounded: boolean;
  readonly tokens: number;
  readonly entries: number;
}

/** Rows are tokens x heads, which share the keys; an element's sums do not depend on the sizes of the tile. */
const scoreKernel = specialize((p: ScoreStatic) =>
  kernel("index_scores", (k) => {
    const [b, t, tc, n, ratio, queryStart] = ["b", "t", "tc", "n", "ratio", "queryStart"].map((name) => k.index(name)) as [Index, Index, Index, Index, Index, Index]; // prettier-ignore
    const rows = p.tokens * p.heads;
    const iq = k.view(k.buffer("iq", p.dtype), [b, t, p.heads, p.dim]);
    const ik = k.view(k.buffer("ik", p.dtype), [b, tc, p.dim]);
    const w = k.view(k.buffer("w", p.dtype), [b, t, p.heads]);
    const out = k.view(k.buffer("scores", "f32", "out"), [b, t, n]);
    const [j0, t0, z] = [k.programId(0).mul(p.entries), k.programId(1).mul(p.tokens), k.programId(2)];
    const keys = k.load(ik, [z, j0, 0], [1, p.entries, p.dim]).reshape([p.entries, p.dim]);
    const queries = k.load(iq, [z, t0, 0, 0], [1, p.tokens, p.heads, p.dim]).reshape([rows, p.dim]);
    const weights = k.load(w, [z, t0, 0], [1, p.tokens, p.heads]).cast("f32").reshape([rows, 1]);
    const rounded = (x: Tile): Tile => (p.isRounded ? x.cast("bf16").cast("f32") : x);
    const parts = rounded(
      rounded(k.dot(queries, keys, { transB: true }))
        .max(0)
        .mul(weights),
    );
    const total = parts.reshape([p.tokens, p.heads, p.entries]).sum(1).reshape([p.tokens, p.entries]);
    const end = k
      .iota([1, p.entries], 1)
      .add(k.fromIndex(j0.add(1)))
      .mul(k.fromIndex(ratio));
    const position = k.iota([p.tokens, 1], 0).add(k.fromIndex(t0.add(queryStart).add(1)));
    k.store(out, [z, t0, j0], k.select(end.le(position), rounded(total), -Infinity).reshape([1, p.tokens, p.entries]));
  }),
);

/** Entries grow with the sequence, so on a chip a choice is for as many as these. */
const USUAL_ENTRIES = 2048;
const scoreProgram = (chip: Chip | undefined, start: ScoreStatic, t: number, ratio: number): Fitted<ScoreStatic> =>
  chosen(chip, scoreKernel, start, () => ({
    rows: t,
    most: 256,
    problem: { ratio },
    lattice: (height) => ({ entries: [128, 64, 256, 512, 32, 16], tokens: [1, 2, 4, 8].filter((n) => n <= height) }),
    launch: (p, height) => {
      const n = USUAL_ENTRIES;
      const { size } = dtypes[p.dtype];
      return {
        grid: [ceilDiv(n, p.entries), ceilDiv(height, p.tokens), 1],
        numbers: { b: 1, t: height, tc: n, n, ratio, queryStart: n * ratio },
        bytes: { iq: height * p.heads * p.dim * size, ik: n * p.dim * size, w: height * p.heads * size, scores: 4 * height * n },
      };
    },
  })); // prettier-ignore

export function indexScores(device: Device, x: IndexScoresInputs): NdArray {
  const [b, t, heads, dim] = x.iq.shape as [number, number, number, number];
  const tc = x.ik.shape[1]!;
  const n = x.numEntries ?? tc;
  if (x.iq.shape.length !== 4 || x.ik.shape[0] !== b || x.ik.shape[2] !== dim || sizeOf(x.w.shape) !== b * t * heads || n > wholeLines(tc, "f32"))
    throw new ShapeError(`indexScores: expected iq [B,T,H,D], ik [B,Tc,D], w [B,T,H] and at most Tc entries, got [${x.iq.shape}], [${x.ik.shape}], [${x.w.shape}] and ${n}`); // prettier-ignore
  const scores = empty(device, [b, t, n]);
  // About 64 rows; few heights, because each makes a kernel.
  const tokens = Math.min(Math.max(1, Math.floor(64 / heads)), 2 ** Math.ceil(Math.log2(Math.max(1, t))));
  const start: ScoreStatic = {
    dtype: x.iq.dtype,
    heads,
    dim,
    isRounded: x.isRounded ?? false,
    tokens,
    entries: tokens === 1 ? 128 : 64,
  };
  const { program, p } = scoreProgram(device.properties.chip, start, t, x.ratio);
  run(device, program, [ceilDiv(n, p.entries), ceilDiv(t, p.tokens), b], {
    iq: x.iq,
    ik: x.ik,
    w: x.w,
    scores,
    b,
    t,
    tc,
    n,
    ratio: x.ratio,
    queryStart: x.queryStart,
  });
  return scores;
}

/** width: entries held at once, a power of two no smaller than the row. */
const maskKernel = specialize((p: { readonly width: number; readonly k: number; readonly rows: number }) =>
  kernel("topk_mask", (k) => {
    const [rows, width] = [k.index("rows"), k.index("width")];
    const scores = k.view(k.buffer("scores", "f32"), [rows, width]);
    const mask = k.view(k.buffer("mask", "u8", "out"), [rows, width]);
    const at = [k.programId(0).mul(p.rows), 0];
    const x = k.load(scores, at, [p.rows, p.width], { other: -Infinity });
    const visible = x.gt(-Infinity);
    const one = (t: Tile): Tile => t.cast("i32");
    let chosen = visible;
    if (p.k < p.width) {
      // All above the k-th value, then ties with it from the left until k are chosen.
      const kth = k.topk(x, p.k).values.minOver(1);
      const above = x.gt(kth);
      const tied = x.eq(kth);
      const room = one(above).sum(1).neg().add(p.k);
      chosen = above.or(tied.and(one(tied).cumsum(1).le(room))).and(visible);
    }
    k.store(mask, at, chosen.cast("u8"));
  }),
);

export function topkMask(device: Device, scores: NdArray, k: number): NdArray {
  const width = scores.shape[scores.shape.length - 1]!;
  const rows = sizeOf(scores.shape) / Math.max(1, width);
  const mask = empty(device, scores.shape, "u8");
  const tile = 2 ** Math.ceil(Math.log2(Math.max(8, width)));
  const tileRows = Math.max(1, Math.min(8, Math.floor(2048 / tile)));
  const start = { width: tile, k: Math.min(k, tile), rows: tileRows };
  const { program, p } = fitted(device.properties.chip, maskKernel, start, { rows: 1 });
  run(device, program, [ceilDiv(rows, p.rows), 1, 1], {
    scores,
    mask,
    rows,
    width,
  });
  return mask;
}

const wave = (n: number, f: number): Float32Array => Float32Array.from({ length: n }, (_, i) => Math.sin(i * f + 0.2));

const eighths = (n: number, f: number): Float32Array => wave(n, f).map((v) => Math.round(v * 8) / 8);

function maskCase(rows: number, width: number, k: number): KernelCase {
  // Quarter steps make ties; every fifth score is invisible.
  const scores = wave(rows * width, 0.7).map((v, i) => (i % 5 === 4 ? -Infinity : Math.round(v * 4) / 4));
  return {
    name: `mask top ${k} of ${width}`,
    run: (device) => [topkMask(device, fromHost(device, scores, [1, rows, width], "f32"), k)],
    expected: () => [topkMaskRef(scores, width, k)],
    tolerance: { rtol: 0, atol: 0, why: "a choice" },
  };
}

export const cases: OpCases = {
  op: "indexer",
  cases: [
    {
      name: "scores",
      run: (device) => {
        const put = (a: Float32Array, shape: readonly number[]): NdArray => fromHost(device, a, shape, "f32");
        return [
          indexScores(device, {
            iq: put(wave(3 * 9 * 3 * 8, 0.3), [3, 9, 3, 8]),
            ik: put(wave(3 * 5 * 8, 0.7), [3, 5, 8]),
            w: put(wave(3 * 9 * 3, 1.1), [3, 9, 3]),
            ratio: 4,
            queryStart: 6,
          }),
        ];
      },
      expected: () => [
        indexScoresRef(wave(3 * 9 * 3 * 8, 0.3), wave(3 * 5 * 8, 0.7), wave(3 * 9 * 3, 1.1), {
          b: 3,
          t: 9,
          h: 3,
          d: 8,
          tc: 5,
          ratio: 4,
          queryStart: 6,
        }),
      ],
      tolerance: { rtol: 1e-5, atol: 5e-6, why: "24 products of values up to 1 in f32" },
    },
    {
      // Eighths: every product and sum is exact, so only the roundings can differ.
      name: "rounded scores",
      run: (device) => {
        const put = (a: Float32Array, shape: readonly number[]): NdArray => fromHost(device, a, shape, "f32");
        const [iq, ik, w] = [put(eighths(9 * 3 * 8, 0.3), [1, 9, 3, 8]), put(eighths(5 * 8, 0.7), [1, 5, 8]), put(eighths(9 * 3, 1.1), [1, 9, 3])]; // prettier-ignore
        return [indexScores(device, { iq, ik, w, ratio: 4, queryStart: 6, isRounded: true })];
      },
      expected: () => [indexScoresRef(eighths(9 * 3 * 8, 0.3), eighths(5 * 8, 0.7), eighths(9 * 3, 1.1), { b: 1, t: 9, h: 3, d: 8, tc: 5, ratio: 4, queryStart: 6, isRounded: true })], // prettier-ignore
      tolerance: { rtol: 0, atol: 0, why: "exact products and sums, then the same roundings" },
    },
    {
      name: "scores of whole lines",
      run: (device) => {
        const put = (a: Float32Array, shape: readonly number[]): NdArray => fromHost(device, a, shape, "f32");
        const [iq, ik, w] = [put(eighths(2 * 9 * 3 * 8, 0.3), [2, 9, 3, 8]), put(eighths(2 * 19 * 8, 0.7), [2, 19, 8]), put(eighths(2 * 9 * 3, 1.1), [2, 9, 3])]; // prettier-ignore
        return [indexScores(device, { iq, ik, w, ratio: 4, queryStart: 68, numEntries: wholeLines(19, "f32") })];
      },
      expected: () => {
        const some = indexScoresRef(eighths(2 * 9 * 3 * 8, 0.3), eighths(2 * 19 * 8, 0.7), eighths(2 * 9 * 3, 1.1), { b: 2, t: 9, h: 3, d: 8, tc: 19, ratio: 4, queryStart: 68 }); // prettier-ignore
        return [Float32Array.from({ length: 2 * 9 * 32 }, (_, i) => (i % 32 < 19 ? some[Math.floor(i / 32) * 19 + (i % 32)]! : -Infinity))]; // prettier-ignore
      },
      tolerance: { rtol: 0, atol: 0, why: "exact products and sums" },
    },
    maskCase(5, 13, 4),
    maskCase(19, 40, 16),
    maskCase(2, 8, 20),
  ],
  programs: (chip) => [
    scoreProgram(chip, { dtype: "bf16", heads: 4, dim: 32, isRounded: false, tokens: 16, entries: 64 }, 64, 4).program,
    fitted(chip, maskKernel, { width: 128, k: 32, rows: 8 }, { rows: 1 }).program,
  ],
};
