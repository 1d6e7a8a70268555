/**
 * V4 attention with the rounding of the official kernel: keys in slots, 64 at a time, probabilities rounded to bf16
 * against the running maximum. The same function as sparse-attention.ts, whose tiles follow the program instead.
 *   slot s of token p:  s < window: position max(0, p - window + 1) + s, if not past p;  then entry s - window
 * shapes   as sparseAttention: q [B,T,H,D], kv [B,Tk,D], ckv [B,Tc,D], mask u8 [B,T,Tc], sink f32 [H] -> o [B,T,H,D]
 * numeric  f32 sums; only the block a key falls into depends on its slot. Entries keep their slots whether chosen or not.
 * source   DeepSeek-V4 spec section 2.7; twin slotAttentionRef. Inference only.
 */
import { roundToBf16 } from "../base/bf16.ts";
import type { DType } from "../base/dtype.ts";
import type { Device } from "../device/device.ts";
import { kernel, type Index, type Tile } from "../tile/builder.ts";
import type { View } from "../tile/ir.ts";
import type { KernelCase, OpCases } from "./case.ts";
import { fitted } from "./fit.ts";
import { ceilDiv, run, specialize } from "./launch.ts";
import { empty, fromHost, type NdArray } from "./nd-array.ts";
import { attentionShape, type AttentionInputs, type AttentionShape } from "./sparse-attention.ts";

/** Slots of one turn of the online softmax; part of the result's definition. */
const BLOCK = 64;
/** Finite stand-in for minus infinity, so that an empty block never gives NaN. */
const LOW = -1e30;

type Sizes = Pick<AttentionInputs, "queryStart" | "keyStart" | "window" | "ratio" | "scale">;

/** Plain loops; probabilities are rounded to bf16 as the kernel does. */
export function slotAttentionRef(
  x: {
    q: ArrayLike<number>;
    kv: ArrayLike<number>;
    ckv: ArrayLike<number>;
    mask: ArrayLike<number>;
    sink: ArrayLike<number>;
  },
  { b, t, h, d, tk, tc }: AttentionShape,
  p: Sizes,
): Float32Array {
  const o = new Float32Array(b * t * h * d);
  for (let row = 0; row < b * t * h; row++) {
    const [n, token, head] = [Math.floor(row / (t * h)), Math.floor(row / h) % t, row % h];
    const position = p.queryStart + token;
    const first = Math.max(0, position - p.window + 1);
    let [max, den] = [LOW, 0];
    const acc = new Float64Array(d);
    for (let s0 = 0; s0 < p.window + tc; s0 += BLOCK) {
      const keys: { logit: number; source: ArrayLike<number>; at: number }[] = [];
      for (let s = s0; s < Math.min(s0 + BLOCK, p.window + tc); s++) {
        const entry = s - p.window;
        const sees = entry < 0 ? first + s <= position : entry < Math.floor((position + 1) / p.ratio) && x.mask[(n * t + token) * tc + entry]; // prettier-ignore
        if (!sees) continue;
        const [source, at] = entry < 0 ? [x.kv, (n * tk + first + s - p.keyStart) * d] : [x.ckv, (n * tc + entry) * d];
        let dot = 0;
        for (let c = 0; c < d; c++) dot += x.q[row * d + c]! * source[at + c]!;
        keys.push({ logit: dot * p.scale, source, at });
      }
      const top = keys.reduce((m, { logit }) => Math.max(m, logit), max);
      const shrink = Math.exp(max - top);
      den *= shrink;
      for (let c = 0; c < d; c++) acc[c]! *= shrink;
      for (const { logit, source, at } of keys) {
        const weight = Math.exp(logit - top);
        den += weight;
        for (let c = 0; c < d; c++) acc[c]! += roundToBf16(weight) * source[at + c]!;
      }
      max = top;
    }
    for (let c = 0; c < d; c++) o[row * d + c] = acc[c]! / (den + Math.exp(x.sink[head]! - max));
  }
  return o;
}

interface SlotStatic {
  readonly dtype: DType;
  readonly h: number;
  readonly d: number;
  readonly hasCkv: boolean;
  readonly hasMask: boolean;
  readonly heads: number;
}

const slotKernel = specialize((p: SlotStatic) =>
  kernel("slot_attention", (k) => {
    const names = ["b", "t", "tk", "tc", "queryStart", "keyStart", "window", "ratio"] as const;
    const [batch, t, tk, tc, queryStart, keyStart, window, ratio] = names.map((name) => k.index(name)) as [Index, Index, Index, Index, Index, Index, Index, Index]; // prettier-ignore
    const scale = k.scalar("scale");
    const [token, b, h0] = [k.programId(0), k.programId(1), k.programId(2).mul(p.heads)];
    const whole = (name: string, mode: "in" | "out"): View =>
      k.view(k.buffer(name, p.dtype, mode), [batch, t, p.h, p.d]);
    const [qView, oView] = [whole("q", "in"), whole("o", "out")];
    /** The rows of one sequence, so that a row outside of it reads 0. */
    const keysOf = (name: string, rows: Index): View =>
      k.view(k.buffer(name, p.dtype), [rows, p.d], { strides: [p.d, 1], offset: b.mul(rows).mul(p.d) });
    const kv = keysOf("kv", tk);
    const ckv = p.hasCkv ? keysOf("ckv", tc) : undefined;
    const mask = p.hasMask ? k.view(k.buffer("mask", "u8"), [batch, t, tc]) : undefined;
    const query = k.load(qView, [b, token, h0, 0], [1, 1, p.heads, p.d]).reshape([p.heads, p.d]);
    const position = queryStart.add(token);
    const first = position.sub(window).add(1).max(0);
    const visible = position.add(1).div(ratio).min(tc);
    const end = p.hasCkv ? window.add(visible) : window;
    const init = [k.full([p.heads, 1], LOW), k.full([p.heads, 1], 0), k.full([p.heads, p.d], 0)];
    const [max, total, out] = k.loop({ end, step: BLOCK }, init, (s0, [before, den, acc]) => {
      const slot = k.iota([BLOCK], 0).add(k.fromIndex(s0));
      const at = slot.add(k.fromIndex(first));
      let isSeen = slot.lt(k.fromIndex(window)).and(at.le(k.fromIndex(position)));
      let keys = k.gather(kv, k.select(isSeen, at.sub(k.fromIndex(keyStart)), -1), p.d);
      if (ckv) {
        const entry = slot.sub(k.fromIndex(window));
        let isChosen = entry.ge(0).and(entry.lt(k.fromIndex(visible)));
        if (mask)
          isChosen = isChosen.and(
            k
              .load(mask, [b, token, s0.sub(window)], [1, 1, BLOCK])
              .reshape([BLOCK])
              .ne(0),
          );
        // A slot has a key of one kind at most.
        keys = k.gather(ckv, k.select(isChosen, entry, -1), p.d, { other: keys });
        isSeen = isSeen.or(isChosen);
      }
      const sees = isSeen.reshape([1, BLOCK]);
      const logits = k.select(sees, k.dot(query, keys, { transB: true }).mul(scale), LOW);
      const top = before!.max(logits.maxOver(1));
      const weights = k.select(sees, logits.sub(top).exp(), 0);
      const shrink = before!.sub(top).exp();
      const rounded = weights.cast("bf16").cast(p.dtype);
      return [top, den!.mul(shrink).add(weights.sum(1)), k.dot(rounded, keys, { acc: acc!.mul(shrink) })];
    }) as [Tile, Tile, Tile];
    const sink = k.load(k.view(k.buffer("sink", "f32"), [p.h, 1]), [h0, 0], [p.heads, 1]);
    const top = max.max(sink);
    const shrink = max.sub(top).exp();
    const den = total.mul(shrink).add(sink.sub(top).exp());
    k.store(oView, [b, token, h0, 0], out.mul(shrink.div(den)).cast(p.dtype).reshape([1, 1, p.heads, p.d]));
  }),
);

export function slotAttention(device: Device, x: AttentionInputs): NdArray {
  const s = attentionShape("slotAttention", x);
  const hasCkv = s.tc > 0;
  const start: SlotStatic = {
    dtype: x.q.dtype,
    h: s.h,
    d: s.d,
    hasCkv,
    hasMask: hasCkv && x.mask !== undefined,
    heads: s.h,
  };
  const { program, p } = fitted(device.properties.chip, slotKernel, start, { heads: 16 });
  const o = empty(device, x.q.shape, x.q.dtype);
  const { queryStart, keyStart, window, scale } = x;
  run(device, program, [s.t, s.b, ceilDiv(s.h, p.heads)], {
    b: s.b,
    t: s.t,
    tk: s.tk,
    tc: s.tc,
    queryStart,
    keyStart,
    window,
    ratio: Math.max(1, x.ratio),
    scale,
    q: x.q,
    kv: x.kv,
    sink: x.sink,
    o,
    ...(p.hasCkv && { ckv: x.ckv! }),
    ...(p.hasMask && { mask: x.mask! }),
  });
  return o;
}

const wave = (n: number, f: number): Float32Array => Float32Array.from({ length: n }, (_, i) => Math.sin(i * f + 0.2));

function caseOf(name: string, shape: Omit<AttentionShape, "picks">, p: Sizes): KernelCase {
  const s = { ...shape, picks: 0 };
  const { b, t, h, d, tk, tc } = s;
  const data = {
    q: wave(b * t * h * d, 0.31),
    kv: wave(b * tk * d, 0.7),
    ckv: wave(b * tc * d, 0.43),
    sink: wave(h, 1.3),
  };
  const mask = Uint8Array.from({ length: b * t * tc }, (_, i) => (i % 3 === 1 ? 0 : 1));
  return {
    name,
    run: (device) => {
      const put = (a: Float32Array, shape: readonly number[]): NdArray => fromHost(device, a, shape, "f32");
      const ckv = tc > 0 ? { ckv: put(data.ckv, [b, tc, d]), mask: fromHost(device, mask, [b, t, tc], "u8") } : {};
      return [slotAttention(device, { q: put(data.q, [b, t, h, d]), kv: put(data.kv, [b, tk, d]), sink: put(data.sink, [h]), ...ckv, ...p })]; // prettier-ignore
    },
    expected: () => [slotAttentionRef({ ...data, mask }, s, p)],
    tolerance: { rtol: 0, atol: 2 ** -9 / 8, why: "an exp that differs by one f32 ulp may round to the next bf16, 2^-9 of one probability of several" }, // prettier-ignore
  };
}

export const cases: OpCases = {
  op: "slotAttention",
  cases: [
    caseOf("window only", { b: 2, t: 5, h: 3, d: 8, tk: 9, tc: 0 }, { queryStart: 4, keyStart: 0, window: 4, ratio: 1, scale: 0.4 }), // prettier-ignore
    caseOf("two blocks", { b: 1, t: 3, h: 2, d: 16, tk: 72, tc: 23 }, { queryStart: 90, keyStart: 21, window: 70, ratio: 4, scale: 0.3 }), // prettier-ignore
    // A mask that begins inside of a block of bytes and goes on in the next, and one that begins with a block.
    caseOf("short window", { b: 1, t: 2, h: 2, d: 16, tk: 11, tc: 90 }, { queryStart: 400, keyStart: 391, window: 10, ratio: 4, scale: 0.3 }), // prettier-ignore
    caseOf("window of whole blocks", { b: 1, t: 2, h: 2, d: 16, tk: 33, tc: 40 }, { queryStart: 400, keyStart: 369, window: 32, ratio: 4, scale: 0.3 }), // prettier-ignore
  ],
  programs: (chip) => [
    fitted(chip, slotKernel, { dtype: "bf16", h: 8, d: 64, hasCkv: true, hasMask: true, heads: 8 }, { heads: 1 })
      .program,
  ],
};
