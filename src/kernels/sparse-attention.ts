/**
 * V4 attention: one shared key-value head, a sliding window and compressed entries under one softmax.
 *   logit[t,h,i] = scale * q[t,h] . k_i;   o = sum_i p_i k_i (V = K);   den = sum exp(logit - m) + exp(sink_h - m)
 * shapes   q [B,T,H,D], kv [B,Tk,D], ckv [B,Tc,D], sink f32 [H] -> o [B,T,H,D], lse f32 [B,T,H]
 * choice   of entries, where not all are used: mask u8 [B,T,Tc], which still reads all; or chosen i32 [B,T,K], each
 *          token's entries ascending with -1 behind them, which reads those only (no gradient)
 * visible  key i sits at keyStart + i and is seen from position p iff p - window < keyStart + i <= p;
 *          entry j iff j < floor((p + 1) / ratio) and mask is not 0; the sink is in the denominator only
 * method   flash attention (arXiv:2205.14135): rows of a program are tokens x heads, which all share the keys.
 * source   DeepSeek-V4 spec section 2.7; twin sparseAttentionRef. Backward: sparse-attention-backward.ts
 */
import { dtypes, type DType } from "../base/dtype.ts";
import { ShapeError } from "../base/errors.ts";
import type { Device } from "../device/device.ts";
import { kernel, type Index, type IndexLike, type KernelBuilder, type Tile } from "../tile/builder.ts";
import type { Chip } from "../tile/chips/types.ts";
import type { TileProgram, View } from "../tile/ir.ts";
import type { Fitted } from "./fit.ts";
import { ceilDiv, run, specialize } from "./launch.ts";
import { empty, type NdArray } from "./nd-array.ts";
import { chosen } from "./tile-choice.ts";

export interface AttentionInputs {
  readonly q: NdArray;
  readonly kv: NdArray;
  readonly ckv?: NdArray | undefined;
  readonly mask?: NdArray | undefined;
  readonly chosen?: NdArray | undefined;
  readonly sink: NdArray;
  /** Absolute position of query 0. */
  readonly queryStart: number;
  /** Absolute position of key 0. */
  readonly keyStart: number;
  /** Turns begin at absolute multiples of their size, so that the order of a row's sums is the row's own. */
  readonly isAnchored?: boolean;
  readonly window: number;
  /** Tokens per compressed entry; any number when ckv is absent. */
  readonly ratio: number;
  readonly scale: number;
}

export interface AttentionShape {
  readonly b: number;
  readonly t: number;
  readonly h: number;
  readonly d: number;
  readonly tk: number;
  readonly tc: number;
  /** Length of a token's list of entries. */
  readonly picks: number;
}

/** Plain loops in f64: o and lse. */
export function sparseAttentionRef(
  x: {
    q: ArrayLike<number>;
    kv: ArrayLike<number>;
    ckv?: ArrayLike<number>;
    mask?: ArrayLike<number>;
    chosen?: ArrayLike<number>;
    sink: ArrayLike<number>;
  },
  { b, t, h, d, tk, tc, picks }: AttentionShape,
  p: Pick<AttentionInputs, "queryStart" | "keyStart" | "window" | "ratio" | "scale">,
): { o: Float32Array; lse: Float32Array } {
  const o = new Float32Array(b * t * h * d);
  const lse = new Float32Array(b * t * h);
  for (let n = 0; n < b; n++)
    for (let i = 0; i < t; i++)
      for (let head = 0; head < h; head++) {
        const position = p.queryStart + i;
        const row = (n * t + i) * h + head;
        const keys: [ArrayLike<number>, number][] = [];
        for (let j = 0; j < tk; j++)
          if (p.keyStart + j <= position && p.keyStart + j > position - p.window) keys.push([x.kv, (n * tk + j) * d]);
        const list = Array.from({ length: picks }, (_, j) => x.chosen?.[(n * t + i) * picks + j]);
        for (let j = 0; j < tc; j++)
          if (
            (!x.chosen || list.includes(j)) &&
            j < Math.floor((position + 1) / p.ratio) &&
            (!x.mask || x.mask[(n * t + i) * tc + j])
          )
            keys.push([x.ckv!, (n * tc + j) * d]);
        const logits = keys.map(([k, at]) => {
          let s = 0;
          for (let c = 0; c < d; c++) s += x.q[row * d + c]! * k[at + c]!;
          return s * p.scale;
        });
        const max = Math.max(x.sink[head]!, ...logits);
        const den = logits.reduce((s, l) => s + Math.exp(l - max), Math.exp(x.sink[head]! - max));
        lse[row] = max + Math.log(den);
        for (let c = 0; c < d; c++)
          o[row * d + c] = keys.reduce((s, [k, at], j) => s + (Math.exp(logits[j]! - max) / den) * k[at + c]!, 0);
      }
  return { o, lse };
}

export interface AttentionStatic {
  readonly dtype: DType;
  readonly h: number;
  readonly d: number;
  readonly hasCkv: boolean;
  readonly hasMask: boolean;
  readonly hasChosen: boolean;
  readonly isAnchored: boolean;
  /** Tokens and heads per program, keys and compressed entries per turn. */
  readonly tokens: number;
  readonly heads: number;
  readonly keys: number;
  readonly entries: number;
}

/** Sequence, first token and first head of a program's rows. */
export interface RowStart {
  readonly b: Index;
  readonly t0: Index;
  readonly h0: IndexLike;
}

/** Names shared by the forward and backward kernels: parameters, positions and visibility. */
export class AttentionParts {
  readonly k: KernelBuilder;
  readonly p: AttentionStatic;
  readonly rows: number;
  readonly size: Readonly<Record<"b" | "t" | "tk" | "tc" | "queryStart" | "keyStart" | "window" | "ratio", Index>>;
  readonly scale: Tile;
  readonly kv: View;
  readonly ckv: View | undefined;
  private readonly mask: View | undefined;
  private readonly chosen: View | undefined;
  private readonly picks: Index | undefined;
  private readonly sinkView: View;

  constructor(k: KernelBuilder, p: AttentionStatic) {
    this.k = k;
    this.p = p;
    this.rows = p.tokens * p.heads;
    const names = ["b", "t", "tk", "tc", "queryStart", "keyStart", "window", "ratio"] as const;
    this.size = Object.fromEntries(names.map((n) => [n, k.index(n)])) as AttentionParts["size"];
    this.scale = k.scalar("scale");
    const { b, t, tk, tc } = this.size;
    this.kv = k.view(k.buffer("kv", p.dtype), [b, tk, p.d]);
    this.ckv = p.hasCkv ? k.view(k.buffer("ckv", p.dtype), [b, tc, p.d]) : undefined;
    this.mask = p.hasMask ? k.view(k.buffer("mask", "u8"), [b, t, tc]) : undefined;
    this.picks = p.hasChosen ? k.index("picks") : undefined;
    this.chosen = this.picks && k.view(k.buffer("chosen", "i32"), [b, t, this.picks]);
    this.sinkView = k.view(k.buffer("sink", "f32"), [1, p.h]);
  }
  tokenView(name: string, dtype: DType, width: number, mode: "in" | "out" = "in"): View {
    return this.k.view(this.k.buffer(name, dtype, mode), [this.size.b, this.size.t, this.p.h, width]);
  }
  /** First head of the program along grid axis `axis`; a program that takes all heads needs no axis. */
  firstHead(axis: 1 | 2): IndexLike {
    return this.p.heads === this.p.h ? 0 : this.k.programId(axis).mul(this.p.heads);
  }
  /** [tokens*heads, width] of a [B,T,H,width] view. */
  loadRows(view: View, { b, t0, h0 }: RowStart, width: number): Tile {
    return this.k.load(view, [b, t0, h0, 0], [1, this.p.tokens, this.p.heads, width]).reshape([this.rows, width]);
  }
  storeRows(view: View, { b, t0, h0 }: RowStart, width: number, value: Tile): void {
    this.k.store(view, [b, t0, h0, 0], value.reshape([1, this.p.tokens, this.p.heads, width]));
  }
  /** Repeats [tokens, n] over heads: [tokens*heads, n]. */
  overHeads(tile: Tile): Tile {
    const n = tile.shape[1]!;
    return tile.reshape([this.p.tokens, 1, n]).broadcast([this.p.tokens, this.p.heads, n]).reshape([this.rows, n]);
  }
  sink(h0: IndexLike): Tile {
    const { tokens, heads } = this.p;
    return this.k.load(this.sinkView, [0, h0], [1, heads]).broadcast([tokens, heads]).reshape([this.rows, 1]);
  }
  /** Absolute position of each row, i32 [rows,1]. */
  positions(t0: Index): Tile {
    return this.overHeads(this.k.iota([this.p.tokens, 1], 0).add(this.k.fromIndex(t0.add(this.size.queryStart))));
  }
  /** Which of `keys` window keys from index i on a row sees: bool [rows, keys]. */
  seesKey(position: Tile, i: Index): Tile {
    const { k, p } = this;
    const { keyStart, window } = this.size;
    const at = k.iota([1, p.keys], 1).add(k.fromIndex(i.add(keyStart)));
    const before = position.sub(k.fromIndex(window));
    return at.le(position).and(at.gt(before));
  }
  /** Which of `entries` compressed entries from j on a row sees: bool [rows, entries]. */
  seesEntry(position: Tile, b: Index, t0: Index, j: Index): Tile {
    const { k, p } = this;
    const end = k
      .iota([1, p.entries], 1)
      .add(k.fromIndex(j.add(1)))
      .mul(k.fromIndex(this.size.ratio));
    const visible = end.le(position.add(1));
    if (!this.mask) return visible;
    const chosen = k.load(this.mask, [b, t0, j], [1, p.tokens, p.entries]).reshape([p.tokens, p.entries]);
    return visible.and(this.overHeads(chosen).ne(0));
  }
  loadKeys(i: Index, b: Index): Tile {
    return this.k.load(this.kv, [b, i, 0], [1, this.p.keys, this.p.d]).reshape([this.p.keys, this.p.d]);
  }
  loadEntries(j: Index, b: Index): Tile {
    return this.k.load(this.ckv!, [b, j, 0], [1, this.p.entries, this.p.d]).reshape([this.p.entries, this.p.d]);
  }
  /** Window keys that some token of the program can see. */
  keyRange(t0: Index): { start: Index; end: Index; step: number } {
    const { queryStart, keyStart, window, t, tk } = this.size;
    const { keys, isAnchored } = this.p;
    const oldest = queryStart.add(t0).sub(window).add(1);
    // Anchored, turns begin at multiples of their length, as the first key does.
    const from = isAnchored ? oldest.max(0).div(keys).mul(keys) : oldest;
    const start = from.sub(keyStart).max(0);
    const last = queryStart.add(t0.add(this.p.tokens).min(t)).sub(keyStart);
    return { start, end: last.min(tk), step: keys };
  }
  /** Entries that some token of the program can see, or places of its list. */
  entryRange(t0: Index): { end: Index; step: number } {
    const { queryStart, ratio, t, tc } = this.size;
    const visible = queryStart.add(t0.add(this.p.tokens).min(t)).div(ratio);
    return { end: visible.min(this.picks ?? tc), step: this.p.entries };
  }
  /** The entries at places j.. of the list of the program's one token, and which of the places are taken: [1, entries]. */
  gatherEntries(j: Index, b: Index, t0: Index): { keys: Tile; isTaken: Tile } {
    const { k, p } = this;
    const ids = k.load(this.chosen!, [b, t0, j], [1, 1, p.entries], { other: -1 });
    const own = k.view({ name: this.ckv!.buffer, dtype: p.dtype }, [this.size.tc, p.d], {
      offset: b.mul(this.size.tc).mul(p.d),
    });
    return { keys: k.gather(own, ids.reshape([p.entries]), p.d), isTaken: ids.reshape([1, p.entries]).ge(0) };
  }
}

/** Finite stand-in for minus infinity, so that an empty tile never gives NaN. */
const LOW = -1e30;

const forwardKernel = specialize((p: AttentionStatic) =>
  kernel("sparse_attention", (k) => {
    const a = new AttentionParts(k, p);
    const q = a.tokenView("q", p.dtype, p.d);
    const o = a.tokenView("o", p.dtype, p.d, "out");
    const lseView = a.tokenView("lse", "f32", 1, "out");
    const [t0, b] = [k.programId(0).mul(p.tokens), k.programId(1)];
    const at = { b, t0, h0: a.firstHead(2) };
    const query = a.loadRows(q, at, p.d);
    const position = a.positions(t0);
    /** One turn of the online softmax over keys [n, D]. */
    const turn = (keys: Tile, visible: Tile, [max, total, out]: readonly Tile[]): Tile[] => {
      const logits = k.select(visible, k.dot(query, keys, { transB: true }).mul(a.scale), LOW);
      const top = max!.max(logits.maxOver(1));
      const weights = k.select(visible, logits.sub(top).exp(), 0);
      const shrink = max!.sub(top).exp();
      return [
        top,
        total!.mul(shrink).add(weights.sum(1)),
        k.dot(weights.cast(p.dtype), keys, { acc: out!.mul(shrink) }),
      ];
    };
    let state = [k.full([a.rows, 1], LOW), k.full([a.rows, 1], 0), k.full([a.rows, p.d], 0)];
    state = k.loop(a.keyRange(t0), state, (i, s) => turn(a.loadKeys(i, b), a.seesKey(position, i), s));
    if (p.hasCkv)
      state = k.loop(a.entryRange(t0), state, (j, s) => {
        if (!p.hasChosen) return turn(a.loadEntries(j, b), a.seesEntry(position, b, t0, j), s);
        const { keys, isTaken } = a.gatherEntries(j, b, t0);
        return turn(keys, isTaken, s);
      });
    const [max, total, out] = state as [Tile, Tile, Tile];
    const sink = a.sink(at.h0);
    const top = max.max(sink);
    const shrink = max.sub(top).exp();
    const den = total.mul(shrink).add(sink.sub(top).exp());
    a.storeRows(o, at, p.d, out.mul(shrink.div(den)).cast(p.dtype));
    a.storeRows(lseView, at, 1, top.add(den.log()));
  }),
);

export function attentionShape(op: string, x: AttentionInputs): AttentionShape {
  const [b, t, h, d] = x.q.shape as [number, number, number, number];
  const [tk, tc, picks] = [x.kv.shape[1]!, x.ckv?.shape[1] ?? 0, x.chosen?.shape[2] ?? 0];
  const ok =
    x.q.shape.length === 4 && x.kv.shape[0] === b && x.kv.shape[2] === d && (!x.ckv || (x.ckv.shape[0] === b && x.ckv.shape[2] === d)) &&
    (!x.mask || (x.ckv && x.mask.shape[0] === b && x.mask.shape[1] === t && x.mask.shape[2] === tc)) && (!x.chosen || (x.ckv && !x.mask && x.chosen.shape[0] === b && x.chosen.shape[1] === t)) && x.sink.shape[0] === h; // prettier-ignore
  if (!ok)
    throw new ShapeError(`${op}: expected q [B,T,H,D], kv [B,Tk,D], ckv [B,Tc,D], mask [B,T,Tc] or chosen [B,T,K], sink [H], got [${x.q.shape}], [${x.kv.shape}], [${x.ckv?.shape ?? "none"}], [${x.mask?.shape ?? "none"}], [${x.chosen?.shape ?? "none"}], [${x.sink.shape}]`); // prettier-ignore
  if (x.isAnchored && x.keyStart % KEY_ANCHOR !== 0)
    throw new ShapeError(`${op}: expected anchored keys from a multiple of ${KEY_ANCHOR} on, got ${x.keyStart}`);
  return { b, t, h, d, tk, tc, picks };
}

/** Tiles of about 64 rows by 64 keys, fewer for wide heads; a program takes all heads of its tokens where they fit. */
export function attentionStatic(x: AttentionInputs, s: AttentionShape): AttentionStatic {
  const wide = s.d > 128;
  const most = Math.max(1, Math.floor((wide ? 16 : 64) / s.h));
  // Few heights, because each makes a kernel; rows past the last token are masked.
  // Each token has its own list.
  const tokens = x.chosen ? 1 : Math.min(most, 2 ** Math.ceil(Math.log2(Math.max(1, s.t))));
  const hasCkv = s.tc > 0;
  return {
    dtype: x.q.dtype,
    h: s.h,
    d: s.d,
    hasCkv,
    hasMask: hasCkv && x.mask !== undefined,
    hasChosen: hasCkv && x.chosen !== undefined,
    isAnchored: x.isAnchored ?? false,
    tokens,
    heads: s.h,
    keys: wide ? 16 : 64,
    entries: wide ? 16 : 32,
  };
}

/** Positions at which turns of anchored attention may begin: the most keys of one, which tiles of fewer divide. */
export const KEY_ANCHOR = 64;
export const smallestTiles = { keys: 16, entries: 16, tokens: 1, heads: 16 } as const;

/** Launch arguments by parameter name. */
export const attentionArgs = (
  x: AttentionInputs,
  s: AttentionShape,
  p: AttentionStatic,
): Record<string, NdArray | number> => ({
  b: s.b,
  t: s.t,
  tk: s.tk,
  tc: s.tc,
  queryStart: x.queryStart,
  keyStart: x.keyStart,
  window: x.window,
  ratio: Math.max(1, x.ratio),
  scale: x.scale,
  kv: x.kv,
  sink: x.sink,
  ...(p.hasCkv && { ckv: x.ckv! }),
  ...(p.hasMask && { mask: x.mask! }),
  ...(p.hasChosen && { chosen: x.chosen!, picks: s.picks }),
});

/** Entries grow with the sequence, so on a chip a choice is for as many as these where no list says how many. */
const USUAL_ENTRIES = 128;
interface AttentionProblem {
  readonly t: number;
  readonly picks: number;
  readonly window: number;
  readonly ratio: number;
}
/** A program may have some of the heads: decoding has too few tokens for all cores. */
const forwardProgram = (chip: Chip | undefined, start: AttentionStatic, { t, picks, window, ratio }: AttentionProblem): Fitted<AttentionStatic> =>
  chosen(chip, forwardKernel, start, () => {
    const entries = start.hasChosen ? picks : start.hasCkv ? USUAL_ENTRIES : 0;
    const each = Math.max(1, ratio);
    return {
      rows: t,
      most: 64,
      problem: { window, entries, ratio },
      lattice: (height) => ({
        heads: [start.h, ...[64, 32, 16].filter((n) => n < start.h)],
        tokens: (start.hasChosen ? [1] : [1, 2, 4, 8, 16]).filter((n) => n <= height),
        keys: [32, 64, 16],
        entries: start.hasCkv ? [32, 64, 16] : [start.entries],
      }),
      order: ["keys", "entries"],
      launch: (p, height) => {
        const row = p.d * dtypes[p.dtype].size;
        const [queries, keys] = [height * p.h, window + height];
        return {
          grid: [ceilDiv(height, p.tokens), 1, ceilDiv(p.h, p.heads)],
          numbers: { b: 1, t: height, tk: keys, tc: entries, picks: entries, window, ratio: each, queryStart: entries * each + window, keyStart: entries * each },
          bytes: { q: queries * row, o: queries * row, kv: keys * row, ckv: entries * row, lse: 4 * queries, mask: height * entries, chosen: 4 * height * entries, sink: 4 * p.h },
        };
      },
    };
  }); // prettier-ignore

export function sparseAttention(device: Device, x: AttentionInputs): { o: NdArray; lse: NdArray } {
  const s = attentionShape("sparseAttention", x);
  const { program, p } = forwardProgram(device.properties.chip, attentionStatic(x, s), {
    t: s.t,
    picks: s.picks,
    window: x.window,
    ratio: x.ratio,
  });
  const o = empty(device, x.q.shape, x.q.dtype);
  const lse = empty(device, [s.b, s.t, s.h]);
  run(device, program, [ceilDiv(s.t, p.tokens), s.b, ceilDiv(s.h, p.heads)], {
    ...attentionArgs(x, s, p),
    q: x.q,
    o,
    lse,
  });
  return { o, lse };
}

export const attentionForwardProgram = (chip: Chip | undefined, start: AttentionStatic): TileProgram =>
  forwardProgram(chip, start, { t: 64, picks: 64, window: 128, ratio: 4 }).program;
export { sparseAttentionBackward } from "./sparse-attention-backward.ts";
