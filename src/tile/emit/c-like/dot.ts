/** The matrix product: operands as strided memory, clipped to their valid parts, handed to the target's library. */
import { isFloat, type DType } from "../../../base/dtype.ts";
import { assert } from "../../../base/errors.ts";
import type { TileOp, TileValue } from "../../ir.ts";
import { elementOf } from "./element.ts";
import { elementText, type Emission, type MemRef } from "./emission.ts";
import { offsetText } from "./index-text.ts";
import { fill, inMemory } from "./places.ts";
import type { Place } from "./target.ts";

/** One operand as rows by columns of the product, axes in [outer, k] or [k, outer] order after a transposition. */
interface Side extends Place {
  readonly strides: readonly string[];
  readonly lo: readonly string[];
  readonly hi: readonly string[];
  readonly dtype: DType;
}

function sideOf(e: Emission, id: number, isTransposed: boolean): Side {
  const { shape, dtype } = e.tileOf(id);
  const isWidened = isFloat(dtype) && !e.target.dotReads.has(dtype);
  const ref = isWidened ? widened(e, id) : inMemory(e, id);
  const pick = <T>(list: readonly T[]): T[] => (isTransposed ? [list[1]!, list[0]!] : [...list]);
  return {
    ptr: ref.ptr,
    start: ref.start,
    strides: pick(ref.strides),
    lo: pick(ref.lo ?? ["0", "0"]),
    hi: pick(ref.hi ?? shape.map(String)),
    dtype: isWidened ? "f32" : dtype,
  };
}

/** An f32 copy of a narrow tile; what is outside the valid box stays unread, as in the tile. */
function widened(e: Emission, id: number): MemRef {
  const ref = e.refs.get(id)!;
  const { lo, hi } = ref.kind === "mem" ? ref : {};
  const { shape } = e.tileOf(id);
  const copy = e.memory(e.newName("m"), "f32", shape, e.now);
  const range = lo && hi && { lo, hi };
  e.nest(shape, range, (idx, nest) => [`${elementText(copy, idx)} = ${elementOf(e, id, idx, nest)};`]);
  return { ...copy, ...range };
}

/** The narrower of two bounds; `free` is the bound that excludes nothing. */
const narrower = (x: string, y: string, free: string, f: string): string =>
  x === free ? y : y === free || x === y ? x : `${f}(${x}, ${y})`;

function shift({ ptr, start }: Place, at: readonly string[], strides: readonly string[]): Place {
  return { ptr, start: offsetText([start, ...at], ["1", ...strides]) };
}

export function dot(e: Emission, tile: TileValue, op: Extract<TileOp, { kind: "dot" }>): void {
  const { target } = e;
  const [m, n] = tile.shape as [number, number];
  const k = e.tileOf(op.a).shape[op.transA ? 0 : 1]!;
  const owner = e.targets.get(tile.id);
  const c = owner?.kind === "mem" ? owner : e.memory(`t${tile.id}`, tile.dtype, tile.shape, e.lastUse(tile.id));
  const acc = op.acc === undefined ? undefined : e.refs.get(op.acc)!;
  if (op.acc === undefined) {
    const zero = `${elementText({ ...c, strides: ["1"] }, ["i"])} = ${target.literal(0, tile.dtype)};`;
    e.out.add(`${target.simd ? `${target.simd} ` : ""}${e.loopHead("i", "0", String(m * n))}${zero}`);
  } else if (!(acc!.kind === "mem" && acc!.ptr === c.ptr)) fill(e, tile.shape, tile.dtype, c, op.acc);

  const a = sideOf(e, op.a, op.transA);
  const b = sideOf(e, op.b, op.transB);
  assert(a.dtype === b.dtype, "dot of two dtypes");
  // A size-1 axis has stride "0"; the library tests strides for 1 to find contiguous rows.
  const am = a.strides[0]!;
  const ak = k === 1 ? "1" : a.strides[1]!;
  const bk = k === 1 ? "1" : b.strides[0]!;
  const bn = n === 1 ? (bk === "1" ? "0" : "1") : b.strides[1]!;
  const kLo = narrower(a.lo[1]!, b.lo[0]!, "0", "ts_max");
  const kHi = narrower(a.hi[1]!, b.hi[0]!, String(k), "ts_min");
  const minus = (hi: string, lo: string): string => (lo === "0" ? hi : `${hi} - ${lo}`);
  e.cost += ((2 * m * n * k) / 90) * e.trips;
  const needsWork = target.dotReads.has(a.dtype);
  const work = needsWork ? e.scratch.alloc(target.dotWorkBytes(m, k), e.now) : 0;
  e.out.add(
    target.dot(
      {
        dtype: a.dtype,
        c: shift(c, [a.lo[0]!, b.lo[1]!], [String(n), "1"]),
        ldc: String(n),
        a: { ...shift(a, [a.lo[0]!, kLo], [am, ak]), strides: [am, ak] },
        b: { ...shift(b, [kLo, b.lo[1]!], [bk, bn]), strides: [bk, bn] },
        size: [minus(a.hi[0]!, a.lo[0]!), minus(b.hi[1]!, b.lo[1]!), minus(kHi, kLo)],
      },
      work,
    ),
  );
  e.refs.set(tile.id, c);
}
