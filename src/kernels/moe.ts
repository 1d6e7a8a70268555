/**
 * Mixture-of-experts routing and row movement.
 *   s = sqrt(softplus(logit)); the k experts with the largest s + bias (or given ids); weight = scale * s / sum s
 *   gatherRows   y[i] = x[rows[i]];  combineRows  y[r] = sum_j x[inverse[r*k + j]]
 * shapes   logits f32 [R,E], bias f32 [E], fixedIds i32 [R,k] -> weights f32 [R,k], indices i32 [R,k]
 * numeric  f32; softplus is linear above 20; ties go to the lowest expert
 * source   DeepSeek-V4 spec section 2.9; twin moeRouterRef. How rows sort by expert: moe-plan.ts.
 */
import { dtypes, type DType } from "../base/dtype.ts";
import { ShapeError } from "../base/errors.ts";
import type { Device } from "../device/device.ts";
import { kernel, type KernelBuilder, type Tile } from "../tile/builder.ts";
import type { Chip } from "../tile/chips/types.ts";
import type { KernelCase, OpCases } from "./case.ts";
import type { Fitted } from "./fit.ts";
import { ceilDiv, run, specialize } from "./launch.ts";
import type { MoePlan } from "./moe-plan.ts";
import { empty, fromHost, sizeOf, type NdArray } from "./nd-array.ts";
import { softplus } from "./softplus.ts";
import { chosenRows } from "./tile-choice.ts";

export interface MoeRouterParams {
  readonly k: number;
  readonly bias?: NdArray | undefined;
  readonly fixedIds?: NdArray | undefined;
  readonly scale: number;
}

const score = (x: number): number => Math.sqrt(x > 20 ? x : Math.log1p(Math.exp(x)));

export function moeRouterRef(
  logits: ArrayLike<number>,
  numExperts: number,
  p: { k: number; bias?: ArrayLike<number>; fixedIds?: ArrayLike<number>; scale: number },
): { weights: Float32Array; indices: Int32Array } {
  const rows = logits.length / numExperts;
  const [weights, indices] = [new Float32Array(rows * p.k), new Int32Array(rows * p.k)];
  for (let r = 0; r < rows; r++) {
    const s = Array.from({ length: numExperts }, (_, e) => score(logits[r * numExperts + e]!));
    const order = s.map((_, e) => e).sort((a, b) => s[b]! + (p.bias?.[b] ?? 0) - (s[a]! + (p.bias?.[a] ?? 0)) || a - b);
    const ids = Array.from({ length: p.k }, (_, j) => p.fixedIds?.[r * p.k + j] ?? order[j]!);
    const total = ids.reduce((t, e) => t + s[e]!, 0);
    ids.forEach((e, j) => {
      indices[r * p.k + j] = e;
      weights[r * p.k + j] = (p.scale * s[e]!) / total;
    });
  }
  return { weights, indices };
}

const ROWS = 16;

interface RouterStatic {
  readonly experts: number;
  readonly k: number;
  readonly biased: boolean;
  readonly fixed: boolean;
}

const scoreTile = (k: KernelBuilder, x: Tile): Tile => softplus(k, x).sqrt();
/** Keeps the slope of a score finite where the score itself is too small for f32; there it is s / 2, as good as 0. */
const TINY_SCORE = 1e-18;
const column = (
  k: KernelBuilder,
  name: string,
  dtype: DType,
  mode: "in" | "out",
  rows: ReturnType<KernelBuilder["index"]>,
  width: number,
): ((j: number) => ReturnType<KernelBuilder["view"]>) => {
  const buffer = k.buffer(name, dtype, mode);
  return (j) => k.view(buffer, [rows, 1], { strides: [width, 1], offset: j });
};

const routerKernel = specialize((p: RouterStatic) =>
  kernel("moe_router", (k) => {
    const rows = k.index("rows");
    const scale = k.scalar("scale");
    const at = [k.programId(0).mul(ROWS), 0];
    const x = k.load(k.view(k.buffer("logits", "f32"), [rows, p.experts]), at, [ROWS, p.experts]);
    const s = scoreTile(k, x);
    const ids = column(k, "indices", "i32", "out", rows, p.k);
    const weights = column(k, "weights", "f32", "out", rows, p.k);
    const given = p.fixed ? column(k, "fixedIds", "i32", "in", rows, p.k) : undefined;
    const lanes = k.iota([1, p.experts], 1);
    let left = p.biased ? s.add(k.load(k.view(k.buffer("bias", "f32"), [1, p.experts]), [0, 0], [1, p.experts])) : s;
    const chosen: Tile[] = [];
    for (let j = 0; j < p.k; j++) {
      const id = given ? k.load(given(j), at, [ROWS, 1]) : left.argmax(1);
      const hot = lanes.eq(id);
      chosen.push(k.select(hot, s, 0).sum(1));
      left = k.select(hot, -1e30, left);
      k.store(ids(j), at, id);
    }
    const total = chosen.reduce((a, b) => a.add(b));
    chosen.forEach((c, j) => k.store(weights(j), at, c.div(total).mul(scale)));
  }),
);

/** w_j = scale s_j / S: ds_j = scale (dw_j - sum_i dw_i s_i / S) / S; d s / d x = sigmoid(x) / (2 s), 1 / (2 s) above 20. */
const routerBackwardKernel = specialize((p: { readonly experts: number; readonly k: number }) =>
  kernel("moe_router_backward", (k) => {
    const rows = k.index("rows");
    const scale = k.scalar("scale");
    const at = [k.programId(0).mul(ROWS), 0];
    const x = k.load(k.view(k.buffer("logits", "f32"), [rows, p.experts]), at, [ROWS, p.experts]);
    const s = scoreTile(k, x);
    const ids = column(k, "indices", "i32", "in", rows, p.k);
    const dws = column(k, "dWeights", "f32", "in", rows, p.k);
    const lanes = k.iota([1, p.experts], 1);
    const hot = Array.from({ length: p.k }, (_, j) => lanes.eq(k.load(ids(j), at, [ROWS, 1])));
    const dw = hot.map((_, j) => k.load(dws(j), at, [ROWS, 1]));
    const chosen = hot.map((h) => k.select(h, s, 0).sum(1));
    const sum = (terms: Tile[]): Tile => terms.reduce((a, b) => a.add(b));
    const total = sum(chosen);
    const mean = sum(dw.map((g, j) => g.mul(chosen[j]!))).div(total);
    const ds = sum(
      hot.map((h, j) => k.select(h, dw[j]!.sub(mean).div(total).mul(scale).broadcast([ROWS, p.experts]), 0)),
    );
    const slope = k.select(x.gt(20), k.full([], 1), x.sigmoid()).div(s.max(TINY_SCORE).mul(2));
    k.store(k.view(k.buffer("dLogits", "f32", "out"), [rows, p.experts]), at, ds.mul(slope));
  }),
);

export function moeRouter(
  device: Device,
  logits: NdArray,
  { k, bias, fixedIds, scale }: MoeRouterParams,
): { weights: NdArray; indices: NdArray } {
  const [rows, experts] = logits.shape as [number, number];
  if (
    logits.shape.length !== 2 ||
    logits.dtype !== "f32" ||
    k > experts ||
    (fixedIds && sizeOf(fixedIds.shape) !== rows * k)
  )
    throw new ShapeError(
      `moeRouter: expected f32 logits [R,E] with E >= ${k} and fixedIds [R,${k}], got ${logits.dtype} [${logits.shape}] and [${fixedIds?.shape ?? "none"}]`,
    );
  const [weights, indices] = [empty(device, [rows, k]), empty(device, [rows, k], "i32")];
  const program = routerKernel({ experts, k, biased: bias !== undefined, fixed: fixedIds !== undefined });
  run(device, program, [ceilDiv(rows, ROWS), 1, 1], {
    logits,
    weights,
    indices,
    rows,
    scale,
    ...(bias && { bias }),
    ...(fixedIds && { fixedIds }),
  });
  return { weights, indices };
}

export function moeRouterBackward(
  device: Device,
  dWeights: NdArray,
  logits: NdArray,
  indices: NdArray,
  { scale }: { readonly scale: number },
): NdArray {
  const [rows, experts] = logits.shape as [number, number];
  const dLogits = empty(device, logits.shape);
  run(device, routerBackwardKernel({ experts, k: indices.shape[1]! }), [ceilDiv(rows, ROWS), 1, 1], {
    dWeights,
    logits,
    indices,
    dLogits,
    rows,
    scale,
  });
  return dLogits;
}

interface RowStatic {
  readonly dtype: DType;
  readonly width: number;
  readonly rows: number;
  /** Rows added up per output row; 1 is a plain gather. */
  readonly k: number;
}

const rowsKernel = specialize((p: RowStatic) =>
  kernel(p.k === 1 ? "gather_rows" : "combine_rows", (k) => {
    const [rows, source] = [k.index("rows"), k.index("source")];
    const x = k.view(k.buffer("x", p.dtype), [source, p.width]);
    const index = k.buffer("index", "i32");
    const y = k.view(k.buffer("y", p.dtype, "out"), [rows, p.width]);
    const r0 = k.programId(0).mul(p.rows);
    const terms = Array.from({ length: p.k }, (_, j) =>
      k.gather(x, k.load(k.view(index, [rows], { strides: [p.k], offset: j }), [r0], [p.rows], { other: -1 }), p.width),
    );
    const total = terms.length === 1 ? terms[0]! : terms.map((t) => t.cast("f32")).reduce((a, b) => a.add(b));
    k.store(y, [r0, 0], total.cast(p.dtype));
  }),
);

const movingProgram = (chip: Chip | undefined, start: RowStatic, rows: number): Fitted<RowStatic> =>
  chosenRows(chip, rowsKernel, start, rows, (height) => {
    const [source, row] = [height * start.k, start.width * dtypes[start.dtype].size];
    return { numbers: { rows: height, source }, bytes: { x: source * row, index: 4 * source, y: height * row } };
  });

function moveRows(device: Device, x: NdArray, index: NdArray, k: number): NdArray {
  const [source, width] = x.shape as [number, number];
  const rows = sizeOf(index.shape) / k;
  const y = empty(device, [rows, width], x.dtype);
  const tile = Math.max(1, Math.min(16, Math.floor(4096 / width)));
  const start = { dtype: x.dtype, width, rows: tile, k };
  const { program, p } = movingProgram(device.properties.chip, start, rows);
  run(device, program, [ceilDiv(rows, p.rows), 1, 1], {
    x,
    index,
    y,
    rows,
    source,
  });
  return y;
}

/** y[i] = x[rows[i]]; x [N,W], rows i32 [R]. */
export const gatherRows = (device: Device, x: NdArray, rows: NdArray): NdArray => moveRows(device, x, rows, 1);
/** Sorted slots [R*k,W] back to rows [R,W], adding each row's k slots in f32 in choice order. */
export const combineRows = (device: Device, x: NdArray, plan: Pick<MoePlan, "k" | "inverse">): NdArray =>
  moveRows(device, x, plan.inverse, plan.k);

const wave = (n: number, f: number, scale = 2): Float32Array =>
  Float32Array.from({ length: n }, (_, i) => Math.sin(i * f + 0.2) * scale);

function routerCase(
  rows: number,
  experts: number,
  k: number,
  kind: "plain" | "biased" | "fixed",
  reach = 3,
): KernelCase {
  const logits = wave(rows * experts, 0.9, reach);
  const bias = kind === "biased" ? wave(experts, 1.1, 0.5) : undefined;
  const fixedIds = kind === "fixed" ? Int32Array.from({ length: rows * k }, (_, i) => (i * 3) % experts) : undefined;
  const dw = wave(rows * k, 0.6, 1);
  const ref = { k, scale: 1.5, ...(bias && { bias }), ...(fixedIds && { fixedIds }) };
  return {
    name: `router ${kind} ${rows}x${experts} top ${k}, logits to ${reach}`,
    run: (device) => {
      const x = fromHost(device, logits, [rows, experts], "f32");
      const out = moeRouter(device, x, {
        k,
        scale: 1.5,
        bias: bias && fromHost(device, bias, [experts], "f32"),
        fixedIds: fixedIds && fromHost(device, fixedIds, [rows, k], "i32"),
      });
      return [
        out.weights,
        out.indices,
        moeRouterBackward(device, fromHost(device, dw, [rows, k], "f32"), x, out.indices, { scale: 1.5 }),
      ];
    },
    expected: () => {
      const { weights, indices } = moeRouterRef(logits, experts, ref);
      const dLogits = Float32Array.from(logits, (v, i) => {
        const r = Math.floor(i / experts);
        const value = (x: number): number => {
          const row = Float64Array.from(logits.subarray(r * experts, (r + 1) * experts));
          row[i % experts] = x;
          const ids = Array.from(indices.subarray(r * k, (r + 1) * k));
          const total = ids.reduce((t, e) => t + score(row[e]!), 0);
          return ids.reduce((t, e, j) => t + (dw[r * k + j]! * 1.5 * score(row[e]!)) / total, 0);
        };
        return (value(v + 1e-4) - value(v - 1e-4)) / 2e-4;
      });
      return [weights, indices, dLogits];
    },
    tolerance: {
      rtol: 1e-4,
      atol: 2e-6,
      why: "f32 log, exp and sqrt; the gradient against central differences in f64",
    },
  };
}

export const cases: OpCases = {
  op: "moe",
  cases: [
    routerCase(37, 8, 2, "plain"),
    routerCase(5, 16, 3, "biased"),
    routerCase(5, 8, 2, "fixed"),
    // A trained router is sure of itself: far below 0 a score is tiny, not 0, and its slope is a number.
    routerCase(9, 8, 2, "plain", 150),
    routerCase(9, 8, 2, "biased", 40),
    routerCase(5, 8, 2, "fixed", 30),
    {
      name: "gather of single numbers",
      run: (device) => {
        const rows = fromHost(
          device,
          Int32Array.from({ length: 37 }, (_, i) => (i * 5) % 37),
          [37],
          "i32",
        );
        return [gatherRows(device, fromHost(device, wave(37, 0.7), [37, 1], "f32"), rows)];
      },
      expected: () => [Float32Array.from({ length: 37 }, (_, i) => wave(37, 0.7)[(i * 5) % 37]!)],
      tolerance: { rtol: 0, atol: 0, why: "copies" },
    },
    {
      name: "gather and combine",
      run: (device) => {
        const put = (...ids: number[]): NdArray => fromHost(device, Int32Array.from(ids), [ids.length], "i32");
        const x = fromHost(device, wave(3 * 5, 0.7), [3, 5], "f32");
        const sorted = gatherRows(device, x, put(0, 2, 1, 2, 0, 1));
        return [sorted, combineRows(device, sorted, { k: 2, inverse: put(4, 0, 2, 5, 1, 3) })];
      },
      expected: () => {
        const x = wave(15, 0.7);
        const order = [0, 2, 1, 2, 0, 1];
        return [Float32Array.from(order.flatMap((r) => [...x.subarray(r * 5, r * 5 + 5)])), x.map((v) => v + v)];
      },
      tolerance: { rtol: 0, atol: 0, why: "copies, and doubling" },
    },
  ],
  programs: (chip) => [
    routerKernel({ experts: 8, k: 2, biased: true, fixed: false }),
    routerBackwardKernel({ experts: 8, k: 2 }),
    ...[1, 2].map((k) => movingProgram(chip, { dtype: "bf16", width: 384, rows: 8, k }, 256).program),
  ],
  training: ["moe_router_backward"],
};
