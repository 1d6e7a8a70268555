/**
 * The compressor's pooling: one entry per group of m tokens, a softmax over its slots per channel.
 *   HCA          entry j = sum_i softmax_i(score + ape)[i,c] kv[i,c] over the m tokens of group j
 *   CSA overlap  2m slots: tokens of group j-1 through channels [0,d), tokens of group j through [d,2d)
 * shapes   kv, score [B,T,coff*d], ape f32 [m,coff*d], coff 2 with overlap -> [B,floor(T/m),d]; T starts a group
 * numeric  f32; group 0 has no previous group (score -inf there)
 * source   DeepSeek-V4 spec section 2.5; twin compressPoolRef
 */
import type { DType } from "../base/dtype.ts";
import { ShapeError } from "../base/errors.ts";
import type { Device } from "../device/device.ts";
import { kernel, type KernelBuilder, type Tile } from "../tile/builder.ts";
import type { View } from "../tile/ir.ts";
import type { KernelCase, OpCases } from "./case.ts";
import { stridedMap } from "./elementwise.ts";
import { fitted, type Smallest } from "./fit.ts";
import { copyStrided } from "./layout.ts";
import { ceilDiv, run, specialize } from "./launch.ts";
import { empty, fromHost, sizeOf, type NdArray } from "./nd-array.ts";
import { sum } from "./reduce.ts";

export interface CompressPoolInputs {
  readonly kv: NdArray;
  readonly score: NdArray;
  readonly ape: NdArray;
  readonly m: number;
  readonly overlap: boolean;
}

interface PoolShape {
  readonly b: number;
  readonly t: number;
  readonly d: number;
  readonly m: number;
  readonly overlap: boolean;
}

/** The 2m (or m) slots of entry j: [token, first channel]; tokens below 0 are absent. */
function slots(j: number, { m, d, overlap }: PoolShape): [token: number, channel: number, ape: number][] {
  const group = (g: number, channel: number): [number, number, number][] =>
    Array.from({ length: m }, (_, i) => [g * m + i, channel, i]);
  return overlap ? [...group(j - 1, 0).filter(([t]) => t >= 0), ...group(j, d)] : group(j, 0);
}

/** Entries and, when dy is given, gradients, in plain loops. */
export function compressPoolRef(
  kv: ArrayLike<number>,
  score: ArrayLike<number>,
  ape: ArrayLike<number>,
  s: PoolShape,
  dy?: ArrayLike<number>,
): { y: Float32Array; dkv: Float32Array; dscore: Float32Array; dape: Float32Array } {
  const { b, t, d, m, overlap } = s;
  const width = overlap ? 2 * d : d;
  const groups = Math.floor(t / m);
  const y = new Float32Array(b * groups * d);
  const [dkv, dscore, dape] = [new Float32Array(kv.length), new Float32Array(kv.length), new Float32Array(m * width)];
  for (let n = 0; n < b; n++)
    for (let j = 0; j < groups; j++)
      for (let c = 0; c < d; c++) {
        const list = slots(j, s).map(([token, channel, i]) => ({
          at: (n * t + token) * width + channel + c,
          ape: i * width + channel + c,
        }));
        const logits = list.map((l) => score[l.at]! + ape[l.ape]!);
        const max = Math.max(...logits);
        const e = logits.map((l) => Math.exp(l - max));
        const total = e.reduce((p, q) => p + q, 0);
        const out = list.reduce((p, l, i) => p + (e[i]! / total) * kv[l.at]!, 0);
        const at = (n * groups + j) * d + c;
        y[at] = out;
        if (!dy) continue;
        list.forEach((l, i) => {
          const p = e[i]! / total;
          const g = p * dy[at]! * (kv[l.at]! - out);
          dkv[l.at]! += p * dy[at]!;
          dscore[l.at]! += g;
          dape[l.ape]! += g;
        });
      }
  return { y, dkv, dscore, dape };
}

interface PoolStatic {
  readonly dtype: DType;
  readonly m: number;
  readonly d: number;
  readonly overlap: boolean;
  /** Entries and channels per program. */
  readonly entries: number;
  readonly channels: number;
}

/** One half of the slots of a block of entries: tiles [entries, m, channels], and where they live. */
interface Half {
  readonly kv: Tile;
  readonly logit: Tile;
  readonly at: readonly Parameters<KernelBuilder["load"]>[1][number][];
}

class PoolParts {
  readonly k: KernelBuilder;
  readonly p: PoolStatic;
  readonly j0;
  readonly halves: readonly Half[];
  readonly probabilities: readonly Tile[];
  private readonly groupShape: Parameters<KernelBuilder["view"]>[1];
  private readonly groupStrides: Parameters<KernelBuilder["view"]>[1];

  constructor(k: KernelBuilder, p: PoolStatic) {
    this.k = k;
    this.p = p;
    const width = p.overlap ? 2 * p.d : p.d;
    const [b, t, groups] = [k.index("b"), k.index("t"), k.index("groups")];
    this.groupShape = [b, groups, p.m, width];
    this.groupStrides = [t.mul(width), p.m * width, width, 1];
    const [kv, score] = [this.tokens("kv", "in"), this.tokens("score", "in")];
    const ape = k.view(k.buffer("ape", "f32"), [p.m, width]);
    this.j0 = k.programId(0).mul(p.entries);
    const c0 = k.programId(1).mul(p.channels);
    const box = [1, p.entries, p.m, p.channels];
    const half = (group: typeof this.j0, channel: typeof c0): Half => {
      const at = [k.programId(2), group, 0, channel];
      const bias = k.load(ape, [0, channel], [p.m, p.channels]).reshape([1, p.m, p.channels]);
      const logit = k.load(score, at, box, { other: LOW }).cast("f32").reshape(box.slice(1)).add(bias);
      return { kv: k.load(kv, at, box).cast("f32").reshape(box.slice(1)), logit, at };
    };
    this.halves = p.overlap ? [half(this.j0.sub(1), c0), half(this.j0, c0.add(p.d))] : [half(this.j0, c0)];
    const max = this.halves.map((h) => h.logit.maxOver(1)).reduce((x, y) => x.max(y));
    const e = this.halves.map((h) => h.logit.sub(max).exp());
    const total = e.map((x) => x.sum(1)).reduce((x, y) => x.add(y));
    this.probabilities = e.map((x) => x.div(total));
  }
  /** A [B,G,m,width] view of a token array; tokens past the last whole group are outside. */
  tokens(name: string, mode: "in" | "out"): View {
    return this.k.view(this.k.buffer(name, this.p.dtype, mode), this.groupShape, { strides: this.groupStrides });
  }
  /** [B,G,d]. */
  entryView(name: string, mode: "in" | "out"): View {
    const [b, groups] = this.groupShape;
    return this.k.view(this.k.buffer(name, this.p.dtype, mode), [b!, groups!, this.p.d]);
  }
  entryAt(): Half["at"] {
    return [this.k.programId(2), this.j0, this.k.programId(1).mul(this.p.channels)];
  }
  /** [entries,1,channels] */
  pooled(): Tile {
    return this.halves.map((h, i) => h.kv.mul(this.probabilities[i]!).sum(1)).reduce((x, y) => x.add(y));
  }
}

/** Stands for minus infinity outside of the tokens, so that a wholly absent entry is finite. */
const LOW = -1e30;

const poolKernel = specialize((p: PoolStatic) =>
  kernel("compress_pool", (k) => {
    const parts = new PoolParts(k, p);
    k.store(
      parts.entryView("y", "out"),
      parts.entryAt(),
      parts.pooled().reshape([1, p.entries, p.channels]).cast(p.dtype),
    );
  }),
);

/**
 * A program also takes one entry past the last: its previous group is the last group, whose first channels
 * no entry pools, and dy there reads 0, so those gradients are written as zeros.
 */
const poolBackwardKernel = specialize((p: PoolStatic) =>
  kernel("compress_pool_backward", (k) => {
    const parts = new PoolParts(k, p);
    const dy = k
      .load(parts.entryView("dy", "in"), parts.entryAt(), [1, p.entries, p.channels])
      .cast("f32")
      .reshape([p.entries, 1, p.channels]);
    const y = parts.pooled();
    const [dkv, dscore] = [parts.tokens("dkv", "out"), parts.tokens("dscore", "out")];
    parts.halves.forEach((h, i) => {
      const g = parts.probabilities[i]!.mul(dy);
      const box = [1, p.entries, p.m, p.channels];
      k.store(dkv, h.at, g.cast(p.dtype).reshape(box));
      k.store(dscore, h.at, g.mul(h.kv.sub(y)).cast(p.dtype).reshape(box));
    });
  }),
);

function plan(op: string, x: CompressPoolInputs): { shape: PoolShape; groups: number; p: PoolStatic } {
  const [b, t, width] = x.kv.shape as [number, number, number];
  const d = x.overlap ? width / 2 : width;
  if (x.kv.shape.length !== 3 || sizeOf(x.score.shape) !== sizeOf(x.kv.shape) || x.ape.shape[0] !== x.m || x.ape.shape[1] !== width || !Number.isInteger(d))
    throw new ShapeError(`${op}: expected kv and score [B,T,${x.overlap ? "2d" : "d"}], ape [${x.m},${width}], got [${x.kv.shape}], [${x.score.shape}], [${x.ape.shape}]`); // prettier-ignore
  const channels = d % 64 === 0 ? 64 : d;
  const entries = Math.max(1, Math.min(16, Math.floor(4096 / (x.m * channels))));
  return {
    shape: { b, t, d, m: x.m, overlap: x.overlap },
    groups: Math.floor(t / x.m),
    p: { dtype: x.kv.dtype, m: x.m, d, overlap: x.overlap, entries, channels },
  };
}

/** The channels of a program must divide d. */
const smallestTiles = (p: PoolStatic): Smallest<PoolStatic> =>
  p.channels === 64 ? { entries: 1, channels: 16 } : { entries: 1 };

export function compressPool(device: Device, x: CompressPoolInputs): NdArray {
  const { shape, groups, p: start } = plan("compressPool", x);
  const { program, p } = fitted(device.properties.chip, poolKernel, start, smallestTiles(start));
  const y = empty(device, [shape.b, groups, shape.d], x.kv.dtype);
  run(device, program, [ceilDiv(groups, p.entries), shape.d / p.channels, shape.b], {
    kv: x.kv,
    score: x.score,
    ape: x.ape,
    y,
    b: shape.b,
    t: shape.t,
    groups,
  });
  return y;
}

const zeros = (device: Device, shape: readonly number[], dtype: DType): NdArray =>
  stridedMap(device, "zeros", [], shape, [dtype], (k) => [k.full([], 0)])[0]!;

export function compressPoolBackward(
  device: Device,
  dy: NdArray,
  x: CompressPoolInputs,
): { dkv: NdArray; dscore: NdArray; dape: NdArray } {
  const { shape, groups, p: start } = plan("compressPoolBackward", x);
  const { program, p } = fitted(device.properties.chip, poolBackwardKernel, start, smallestTiles(start));
  const { b, t, d, m } = shape;
  const width = x.kv.shape[2]!;
  const make = (): NdArray =>
    t % m === 0 ? empty(device, x.kv.shape, x.kv.dtype) : zeros(device, x.kv.shape, x.kv.dtype);
  const [dkv, dscore] = [make(), make()];
  if (groups === 0) return { dkv, dscore, dape: zeros(device, x.ape.shape, "f32") };
  run(device, program, [ceilDiv(groups + (x.overlap ? 1 : 0), p.entries), d / p.channels, b], {
    kv: x.kv,
    score: x.score,
    ape: x.ape,
    dy,
    dkv,
    dscore,
    b,
    t,
    groups,
  });
  const whole = t % m === 0;
  const grouped = whole
    ? dscore
    : copyStrided(device, dscore, { shape: [b, groups * m, width], strides: [t * width, width, 1], offset: 0 });
  const dape = sum(device, { ...grouped, shape: [b * groups, m * width] }, 0);
  if (!whole) device.free(grouped.buffer);
  return { dkv, dscore, dape: { ...dape, shape: x.ape.shape } };
}

const wave = (n: number, f: number): Float32Array =>
  Float32Array.from({ length: n }, (_, i) => Math.sin(i * f + 0.2) * 2);

function caseOf(s: PoolShape): KernelCase {
  const width = s.overlap ? 2 * s.d : s.d;
  const n = s.b * s.t * width;
  const groups = Math.floor(s.t / s.m);
  const [kv, score, ape, dy] = [wave(n, 0.37), wave(n, 0.91), wave(s.m * width, 1.3), wave(s.b * groups * s.d, 0.5)];
  return {
    name: `${s.overlap ? "overlapping" : "plain"} groups of ${s.m}, T=${s.t}`,
    run: (device) => {
      const put = (a: Float32Array, shape: readonly number[]): NdArray => fromHost(device, a, shape, "f32");
      const x = {
        kv: put(kv, [s.b, s.t, width]),
        score: put(score, [s.b, s.t, width]),
        ape: put(ape, [s.m, width]),
        m: s.m,
        overlap: s.overlap,
      };
      const back = compressPoolBackward(device, put(dy, [s.b, groups, s.d]), x);
      return [compressPool(device, x), back.dkv, back.dscore, back.dape];
    },
    expected: () => {
      const r = compressPoolRef(kv, score, ape, s, dy);
      return [r.y, r.dkv, r.dscore, r.dape];
    },
    tolerance: {
      rtol: 1e-5,
      atol: 4e-6 * Math.sqrt(s.b * groups + 1),
      why: "a softmax over at most 2m slots in f32; dape adds up all groups",
    },
  };
}

const example = { dtype: "f32", d: 64, channels: 64 } as const;
const csa: PoolStatic = { ...example, m: 4, overlap: true, entries: 16 };
const hca: PoolStatic = { ...example, m: 128, overlap: false, entries: 1 };

export const cases: OpCases = {
  op: "compressPool",
  cases: [
    caseOf({ b: 2, t: 16, d: 8, m: 4, overlap: true }),
    caseOf({ b: 1, t: 78, d: 64, m: 4, overlap: true }),
    caseOf({ b: 2, t: 20, d: 8, m: 8, overlap: false }),
    caseOf({ b: 1, t: 256, d: 16, m: 128, overlap: false }),
  ],
  programs: (chip) =>
    [csa, hca].flatMap((p) =>
      [poolKernel, poolBackwardKernel].map((f) => fitted(chip, f, p, smallestTiles(p)).program),
    ),
  training: ["compress_pool_backward"],
};
