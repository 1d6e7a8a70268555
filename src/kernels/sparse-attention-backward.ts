/**
 * Gradient of V4 attention. With p = exp(logit - lse) and delta = sum_d dy * o:
 *   ds = p * (dy . k - delta) * scale;  dq = sum ds k;  dk = sum ds q + p dy (V = K);  dsink = -sum exp(sink - lse) delta
 * Three kernels without atomics: queries gather over their keys, keys over the queries that saw them, entries likewise.
 */
import type { Device } from "../device/device.ts";
import { kernel, type Tile } from "../tile/builder.ts";
import type { View } from "../tile/ir.ts";
import type { KernelCase, OpCases } from "./case.ts";
import { fitted } from "./fit.ts";
import { ceilDiv, run, specialize } from "./launch.ts";
import { empty, fromHost, sizeOf, type NdArray } from "./nd-array.ts";
import { sum } from "./reduce.ts";
import {
  attentionArgs,
  attentionForwardProgram,
  AttentionParts,
  attentionShape,
  attentionStatic,
  smallestTiles,
  sparseAttention,
  sparseAttentionRef,
  type AttentionInputs,
  type AttentionShape,
  type AttentionStatic,
  type RowStart,
} from "./sparse-attention.ts";

/** Loads what every backward kernel needs of a tile of tokens. */
class RowLoader {
  private readonly a: AttentionParts;
  private readonly q: View;
  private readonly dy: View;
  private readonly o: View;
  private readonly lseView: View;
  constructor(a: AttentionParts) {
    this.a = a;
    const { dtype, d } = a.p;
    [this.q, this.dy, this.o] = [a.tokenView("q", dtype, d), a.tokenView("dy", dtype, d), a.tokenView("o", dtype, d)];
    this.lseView = a.tokenView("lse", "f32", 1);
  }
  load(at: RowStart): { query: Tile; dy: Tile; lse: Tile; delta: Tile } {
    const { d } = this.a.p;
    const dy = this.a.loadRows(this.dy, at, d);
    const delta = dy
      .cast("f32")
      .mul(this.a.loadRows(this.o, at, d).cast("f32"))
      .sum(1);
    return { query: this.a.loadRows(this.q, at, d), dy, lse: this.a.loadRows(this.lseView, at, 1), delta };
  }
}

type Rows = ReturnType<RowLoader["load"]>;

/** p and ds of a block of rows and keys, both [rows, n]. */
function probabilities(a: AttentionParts, r: Rows, keys: Tile, visible: Tile): { p: Tile; ds: Tile } {
  const logits = a.k.dot(r.query, keys, { transB: true }).mul(a.scale);
  const p = a.k.select(visible, logits.sub(r.lse).exp(), 0);
  const dp = a.k.dot(r.dy, keys, { transB: true });
  return { p, ds: p.mul(dp.sub(r.delta)).mul(a.scale) };
}

const queryKernel = specialize((p: AttentionStatic) =>
  kernel("sparse_attention_query_grad", (k) => {
    const a = new AttentionParts(k, p);
    const rows = new RowLoader(a);
    const dq = a.tokenView("dq", p.dtype, p.d, "out");
    const parts = k.index("parts");
    const dsink = k.view(k.buffer("dsink", "f32", "out"), [a.size.b, parts, p.h]);
    const [t0, b] = [k.programId(0).mul(p.tokens), k.programId(1)];
    const at = { b, t0, h0: a.firstHead(2) };
    const r = rows.load(at);
    const position = a.positions(t0);
    const turn = (keys: Tile, visible: Tile, acc: Tile): Tile[] => [
      k.dot(probabilities(a, r, keys, visible).ds.cast(p.dtype), keys, { acc }),
    ];
    let [acc] = k.loop(a.keyRange(t0), [k.full([a.rows, p.d], 0)], (i, [c]) =>
      turn(a.loadKeys(i, b), a.seesKey(position, i), c!),
    );
    if (p.hasCkv)
      [acc] = k.loop(a.entryRange(t0), [acc!], (j, [c]) =>
        turn(a.loadEntries(j, b), a.seesEntry(position, b, t0, j), c!),
      );
    a.storeRows(dq, at, p.d, acc!.cast(p.dtype));
    // A row past T has dy = 0, so delta and its share of dsink are 0.
    const share = a.sink(at.h0).sub(r.lse).exp().mul(r.delta).neg().reshape([p.tokens, p.heads]).sum(0);
    k.store(dsink, [b, k.programId(0), at.h0], share.reshape([1, 1, p.heads]));
  }),
);

/** dk of a tile of window keys, or of compressed entries. */
const keyKernel = specialize(({ ofEntries, ...p }: AttentionStatic & { readonly ofEntries: boolean }) =>
  kernel(ofEntries ? "sparse_attention_entry_grad" : "sparse_attention_key_grad", (k) => {
    const a = new AttentionParts(k, p);
    const loader = new RowLoader(a);
    const n = ofEntries ? p.entries : p.keys;
    const { b: batch, t, tk, tc, queryStart, keyStart, window, ratio } = a.size;
    const dk = k.view(k.buffer("dk", p.dtype, "out"), [batch, ofEntries ? tc : tk, p.d]);
    const [i, b] = [k.programId(0).mul(n), k.programId(1)];
    const keys = ofEntries ? a.loadEntries(i, b) : a.loadKeys(i, b);
    // First token that sees the first key, last token that sees the last one.
    const start = (ofEntries ? i.add(1).mul(ratio).sub(1) : keyStart.add(i)).sub(queryStart).max(0);
    const end = ofEntries
      ? t
      : keyStart
          .add(i)
          .add(n - 1)
          .add(window)
          .sub(queryStart)
          .min(t);
    const [acc] = k.loop({ start, end, step: p.tokens }, [k.full([n, p.d], 0)], (t0, [c]) => {
      let sum = c!;
      for (let h0 = 0; h0 < p.h; h0 += p.heads) {
        const r = loader.load({ b, t0, h0 });
        const position = a.positions(t0);
        // Rows past T and heads past H read zeros and add nothing; rows past `end` are masked by visibility.
        const { p: weights, ds } = probabilities(
          a,
          r,
          keys,
          ofEntries ? a.seesEntry(position, b, t0, i) : a.seesKey(position, i),
        );
        const withQueries = k.dot(ds.cast(p.dtype), r.query, { transA: true, acc: sum });
        sum = k.dot(weights.cast(p.dtype), r.dy, { transA: true, acc: withQueries });
      }
      return [sum];
    });
    k.store(dk, [b, i, 0], acc!.cast(p.dtype).reshape([1, n, p.d]));
  }),
);

export function sparseAttentionBackward(
  device: Device,
  dy: NdArray,
  o: NdArray,
  lse: NdArray,
  x: AttentionInputs,
): { dq: NdArray; dkv: NdArray; dckv: NdArray | undefined; dsink: NdArray } {
  const s = attentionShape("sparseAttentionBackward", x);
  const start = attentionStatic(x, s);
  const args = { ...attentionArgs(x, s, start), q: x.q, dy, o, lse };
  const { chip } = device.properties;
  const dq = empty(device, x.q.shape, x.q.dtype);
  const query = fitted(chip, queryKernel, start, smallestTiles);
  const parts = ceilDiv(s.t, query.p.tokens);
  const partial = empty(device, [s.b, parts, s.h]);
  run(device, query.program, [parts, s.b, ceilDiv(s.h, query.p.heads)], { ...args, dq, dsink: partial, parts });
  const dsink = sum(device, { ...partial, shape: [s.b * parts, s.h] }, 0);
  device.free(partial.buffer);
  const dkv = empty(device, x.kv.shape, x.kv.dtype);
  const keys = fitted(chip, keyKernel, { ...start, ofEntries: false }, smallestTiles);
  run(device, keys.program, [ceilDiv(s.tk, keys.p.keys), s.b, 1], { ...args, dk: dkv });
  let dckv: NdArray | undefined;
  if (x.ckv) {
    dckv = empty(device, x.ckv.shape, x.ckv.dtype);
    if (start.hasCkv) {
      const entries = fitted(chip, keyKernel, { ...start, ofEntries: true }, smallestTiles);
      run(device, entries.program, [ceilDiv(s.tc, entries.p.entries), s.b, 1], { ...args, dk: dckv });
    }
  }
  return { dq, dkv, dckv, dsink: { ...dsink, shape: [s.h] } };
}

/** Backward twin by its formulas in f64, from the forward twin's lse. */
export function sparseAttentionBackwardRef(
  dy: ArrayLike<number>,
  x: {
    q: ArrayLike<number>;
    kv: ArrayLike<number>;
    ckv?: ArrayLike<number>;
    mask?: ArrayLike<number>;
    sink: ArrayLike<number>;
  },
  s: AttentionShape,
  p: Pick<AttentionInputs, "queryStart" | "keyStart" | "window" | "ratio" | "scale">,
): { dq: Float32Array; dkv: Float32Array; dckv: Float32Array; dsink: Float32Array } {
  const { o, lse } = sparseAttentionRef(x, s, p);
  const { b, t, h, d, tk, tc } = s;
  const [dq, dkv, dckv, dsink] = [
    new Float32Array(b * t * h * d),
    new Float32Array(b * tk * d),
    new Float32Array(b * tc * d),
    new Float32Array(h),
  ];
  for (let row = 0; row < b * t * h; row++) {
    const [n, i, head] = [Math.floor(row / (t * h)), Math.floor(row / h) % t, row % h];
    const position = p.queryStart + i;
    let delta = 0;
    for (let c = 0; c < d; c++) delta += dy[row * d + c]! * o[row * d + c]!;
    dsink[head]! -= Math.exp(x.sink[head]! - lse[row]!) * delta;
    const visit = (k: ArrayLike<number>, dk: Float32Array, at: number): void => {
      let [logit, dp] = [0, 0];
      for (let c = 0; c < d; c++) {
        logit += x.q[row * d + c]! * k[at + c]!;
        dp += dy[row * d + c]! * k[at + c]!;
      }
      const w = Math.exp(logit * p.scale - lse[row]!);
      const ds = w * (dp - delta) * p.scale;
      for (let c = 0; c < d; c++) {
        dq[row * d + c]! += ds * k[at + c]!;
        dk[at + c]! += ds * x.q[row * d + c]! + w * dy[row * d + c]!;
      }
    };
    for (let j = 0; j < tk; j++)
      if (p.keyStart + j <= position && p.keyStart + j > position - p.window) visit(x.kv, dkv, (n * tk + j) * d);
    for (let j = 0; j < tc; j++)
      if (j < Math.floor((position + 1) / p.ratio) && (!x.mask || x.mask[(n * t + i) * tc + j]))
        visit(x.ckv!, dckv, (n * tc + j) * d);
  }
  return { dq, dkv, dckv, dsink };
}

const wave = (n: number, f: number): Float32Array =>
  Float32Array.from({ length: n }, (_, i) => Math.sin(i * f + 0.1) * 1.5);

function caseOf(
  name: string,
  s: Omit<AttentionShape, "picks">,
  p: { queryStart: number; keyStart: number; window: number; ratio: number; isAnchored?: boolean },
  masked: boolean,
): KernelCase {
  const { b, t, h, d, tk, tc } = s;
  const host = {
    q: wave(b * t * h * d, 0.37),
    kv: wave(b * tk * d, 0.73),
    ckv: wave(b * tc * d, 0.51),
    sink: wave(h, 1.9),
  };
  const mask = masked ? Uint8Array.from({ length: b * t * tc }, (_, i) => (i % 3 === 0 ? 0 : 1)) : undefined;
  const dy = wave(b * t * h * d, 0.91);
  const rest = { ...p, scale: d ** -0.5 };
  const ref = { ...host, ...(mask && { mask }) };
  return {
    name,
    run: (device) => {
      const put = (a: Float32Array, shape: readonly number[]): NdArray => fromHost(device, a, shape, "f32");
      const x: AttentionInputs = {
        q: put(host.q, [b, t, h, d]),
        kv: put(host.kv, [b, tk, d]),
        sink: put(host.sink, [h]),
        ...(tc > 0 && { ckv: put(host.ckv, [b, tc, d]) }),
        ...(mask && { mask: fromHost(device, mask, [b, t, tc], "u8") }),
        ...rest,
      };
      const { o, lse } = sparseAttention(device, x);
      const back = sparseAttentionBackward(device, put(dy, [b, t, h, d]), o, lse, x);
      return [o, lse, back.dq, back.dkv, ...(back.dckv ? [back.dckv] : []), back.dsink];
    },
    expected: () => {
      const f = sparseAttentionRef(ref, { ...s, picks: 0 }, rest);
      const back = sparseAttentionBackwardRef(dy, ref, { ...s, picks: 0 }, rest);
      return [f.o, f.lse, back.dq, back.dkv, ...(tc > 0 ? [back.dckv] : []), back.dsink];
    },
    tolerance: {
      rtol: 2e-5,
      atol: 3e-6 * Math.sqrt(sizeOf([t, h])) * 4,
      why: "online softmax in f32; key gradients add up T*H rows of values up to 4",
    },
  };
}

/** Lists of up to 40 of 90 entries, some shorter; forward only. */
function chosenCase(): KernelCase {
  const s: AttentionShape = { b: 2, t: 5, h: 4, d: 16, tk: 20, tc: 90, picks: 40 };
  const p = { queryStart: 330, keyStart: 320, window: 6, ratio: 4, isAnchored: true, scale: 0.25 };
  const { b, t, h, d, tk, tc, picks } = s;
  const host = {
    q: wave(b * t * h * d, 0.37),
    kv: wave(b * tk * d, 0.73),
    ckv: wave(b * tc * d, 0.51),
    sink: wave(h, 1.9),
  };
  const chosen = Int32Array.from({ length: b * t * picks }, (_, i) => {
    const [list, place] = [Math.floor(i / picks), i % picks];
    return place < picks - 9 * list ? 2 * place + (list % 2) : -1;
  });
  return {
    name: "chosen entries",
    run: (device) => {
      const put = (a: Float32Array, shape: readonly number[]): NdArray => fromHost(device, a, shape, "f32");
      const { o, lse } = sparseAttention(device, {
        q: put(host.q, [b, t, h, d]),
        kv: put(host.kv, [b, tk, d]),
        ckv: put(host.ckv, [b, tc, d]),
        chosen: fromHost(device, chosen, [b, t, picks], "i32"),
        sink: put(host.sink, [h]),
        ...p,
      });
      return [o, lse];
    },
    expected: () => {
      const { o, lse } = sparseAttentionRef({ ...host, chosen }, s, p);
      return [o, lse];
    },
    tolerance: { rtol: 2e-5, atol: 2e-6, why: "online softmax over at most 46 keys in f32" },
  };
}

const example: AttentionStatic = {
  dtype: "bf16",
  h: 8,
  d: 64,
  hasCkv: true,
  hasMask: true,
  hasChosen: false,
  isAnchored: false,
  tokens: 8,
  heads: 8,
  keys: 64,
  entries: 32,
};

export const cases: OpCases = {
  op: "sparseAttention",
  cases: [
    caseOf(
      "window only",
      { b: 2, t: 21, h: 2, d: 8, tk: 21, tc: 0 },
      { queryStart: 0, keyStart: 0, window: 5, ratio: 4 },
      false,
    ),
    caseOf(
      "window and entries",
      { b: 1, t: 40, h: 4, d: 16, tk: 40, tc: 10 },
      { queryStart: 0, keyStart: 0, window: 8, ratio: 4 },
      false,
    ),
    caseOf(
      "masked entries, later chunk",
      { b: 2, t: 7, h: 2, d: 8, tk: 12, tc: 9 },
      { queryStart: 30, keyStart: 25, window: 6, ratio: 4 },
      true,
    ),
    caseOf(
      "anchored, more memory than keys",
      { b: 2, t: 7, h: 2, d: 8, tk: 90, tc: 12 },
      { queryStart: 130, keyStart: 64, window: 70, ratio: 16, isAnchored: true },
      false,
    ),
    chosenCase(),
    caseOf(
      "one token",
      { b: 2, t: 1, h: 8, d: 32, tk: 16, tc: 5 },
      { queryStart: 20, keyStart: 5, window: 16, ratio: 4 },
      false,
    ),
    caseOf(
      "long",
      { b: 1, t: 150, h: 2, d: 8, tk: 150, tc: 37 },
      { queryStart: 0, keyStart: 0, window: 128, ratio: 4 },
      false,
    ),
  ],
  programs: (chip) => [
    attentionForwardProgram(chip, example),
    fitted(chip, queryKernel, example, smallestTiles).program,
    ...[false, true].map((ofEntries) => fitted(chip, keyKernel, { ...example, ofEntries }, smallestTiles).program),
  ],
  training: ["sparse_attention_query_grad", "sparse_attention_key_grad", "sparse_attention_entry_grad"],
};
