/** Tiles in memory: writing a tile out, finding memory that holds it, and tiles that are another tile's memory seen otherwise. */
import type { DType } from "../../../base/dtype.ts";
import { assert } from "../../../base/errors.ts";
import type { TileValue } from "../../ir.ts";
import { elementOf, storedElement, type MappingOp } from "./element.ts";
import { elementText, rowMajor, type Emission, type MemRef, type Ref } from "./emission.ts";
import { sizeOf } from "../../walk.ts";
import { isUnitReshape, type TilePlan } from "./fusion-plan.ts";

/** target[i] = tile[i] over the whole shape. */
export function fill(e: Emission, shape: readonly number[], dtype: DType, target: Ref, id: number): void {
  e.nest(shape, undefined, (idx, nest) => {
    if (target.kind === "value") return [`${target.text} = ${elementOf(e, id, idx, nest)};`];
    assert(target.kind === "mem", "fill of a virtual tile");
    return [`${elementText(target, idx)} = ${storedElement(e, id, idx, nest, dtype)};`];
  });
}

/** Computes an element-wise tile into its own memory, or where a target says. */
export function materialise(e: Emission, tile: TileValue): void {
  const place = e.targets.get(tile.id) ?? e.own(tile);
  e.refs.set(tile.id, { kind: "virtual" });
  fill(e, tile.shape, tile.dtype, place, tile.id);
  e.refs.set(tile.id, place);
}

function copyOf(e: Emission, id: number, until: number): MemRef {
  const tile = e.tileOf(id);
  const target = e.memory(e.newName("m"), tile.dtype, tile.shape, until);
  fill(e, tile.shape, tile.dtype, target, id);
  return target;
}
/** Any strided memory that holds the tile. */
export function inMemory(e: Emission, id: number): MemRef {
  const ref = e.refs.get(id)!;
  return ref.kind === "mem" ? ref : copyOf(e, id, e.now);
}
/** Row-major memory that holds the tile. */
export function contiguous(e: Emission, id: number, until = e.now): MemRef {
  const { shape } = e.tileOf(id);
  const ref = inMemory(e, id);
  const want = rowMajor(shape);
  const fits = ref.strides.every((s, d) => shape[d] === 1 || s === want[d] || s === `${want[d]}LL`);
  return fits ? { ...ref, strides: want } : copyOf(e, id, until);
}

/** A private copy of a tile, as a new id. */
export function keep(e: Emission, id: number): number {
  const tile = e.tileOf(id);
  const copy = -1_000_000 - Number(e.newName(""));
  const ref = e.place(e.newName("m"), tile, e.now);
  fill(e, tile.shape, tile.dtype, ref, id);
  e.refs.set(copy, ref);
  const plan: TilePlan = { tile: { ...tile, id: copy }, life: "memory", lastUse: e.now, dotOnly: false };
  (e.plan.tiles as Map<number, TilePlan>).set(copy, plan);
  return copy;
}

/** A broadcast, reshape or transpose: the operand's memory under other strides where that is possible. */
export function alias(e: Emission, tile: TileValue, op: MappingOp): void {
  const from = e.tileOf(op.x);
  const ref = e.refs.get(op.x)!;
  if (ref.kind === "value" && sizeOf(tile.shape) === 1) {
    e.refs.set(tile.id, ref);
    return;
  }
  const isUnit = op.kind !== "reshape" || isUnitReshape(from.shape, tile.shape);
  if (!isUnit) {
    const { ptr, start } = contiguous(e, op.x, e.lastUse(tile.id));
    e.refs.set(tile.id, { kind: "mem", ptr, start, strides: rowMajor(tile.shape) });
    return;
  }
  if (ref.kind !== "mem") {
    e.refs.set(tile.id, { kind: "virtual" });
    return;
  }
  const pick = (list: readonly string[], missing: string): string[] => {
    if (op.kind === "broadcast") return list.map((s, d) => (from.shape[d] === 1 ? missing : s));
    if (op.kind === "transpose") return op.perm.map((p) => list[p]!);
    const rest = list.filter((_, d) => from.shape[d] !== 1);
    return tile.shape.map((n) => (n === 1 ? missing : rest.shift()!));
  };
  const { ptr, start, strides, lo, hi } = ref;
  const seen: MemRef = { kind: "mem", ptr, start, strides: pick(strides, "0") };
  if (!lo || !hi) {
    e.refs.set(tile.id, seen);
    return;
  }
  // A unit axis that leaves the view empties the whole box.
  const empties = from.shape
    .flatMap((n, d) => (n === 1 && hi[d] !== "1" ? [`${hi[d]} == 1`] : []))
    .concat(from.shape.flatMap((n, d) => (n === 1 && lo[d] !== "0" ? [`${lo[d]} == 0`] : [])));
  const clipped = pick(hi, "1");
  if (op.kind === "reshape" && empties.length) {
    const d = tile.shape.findIndex((n) => n !== 1);
    if (d >= 0) clipped[d] = `(${empties.join(" && ")} ? ${clipped[d]} : 0)`;
  }
  e.refs.set(tile.id, { ...seen, lo: pick(lo, "0"), hi: clipped });
}
