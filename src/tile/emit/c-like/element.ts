/**
 * One element of a tile as text: element-wise chains become expressions of named temporaries inside the loop that
 * reads them. Main function: `elementOf`.
 */
import { isFloat, type DType } from "../../../base/dtype.ts";
import { assert } from "../../../base/errors.ts";
import type { TileOp, TileValue } from "../../ir.ts";
import { elementText, type Emission, type Nest } from "./emission.ts";
import { paren } from "./index-text.ts";

/** What only maps indices: its elements are those of its operand. */
export type MappingOp = Extract<TileOp, { kind: "broadcast" | "reshape" | "transpose" }>;
export const isMapping = (op: TileOp): op is MappingOp =>
  op.kind === "broadcast" || op.kind === "reshape" || op.kind === "transpose";

/** Compute-typed text of one element; temporaries go to the nest. */
export function elementOf(e: Emission, id: number, idx: readonly string[], nest: Nest): string {
  const tile = e.tileOf(id);
  const ref = e.refs.get(id);
  assert(ref, `tile ${id} has no place yet`);
  if (ref.kind === "value") return ref.text;
  const { op, dtype } = tile;
  const { target } = e;
  if (ref.kind === "virtual") {
    if (op.kind === "full") return target.literal(op.value, dtype);
    if (op.kind === "scalar") return `s_${op.name}`;
    if (op.kind === "index") return target.toI32(paren(e.index(op.value)));
    if (op.kind === "iota") return target.toI32(idx[op.axis]!);
    if (isMapping(op)) return elementOf(e, op.x, mapIndex(e, tile, op, idx), nest);
  }
  const key = `${id}:${idx.join(",")}`;
  const known = nest.names.get(key);
  if (known) return known;
  const type = target.types[dtype];
  const text = ref.kind === "mem" ? type.load(elementText(ref, idx)) : compute(e, tile, idx, nest);
  const name = e.newName("v");
  nest.lines.push(target.constant(type.compute, name, text));
  nest.names.set(key, name);
  return name;
}

/** Storage-typed text of one element, for memory of `dtype`. */
export function storedElement(e: Emission, id: number, idx: readonly string[], nest: Nest, dtype: DType): string {
  const ref = e.refs.get(id)!;
  const type = e.target.types[dtype];
  if (ref.kind === "mem") return elementText(ref, idx);
  const { op } = e.tileOf(id);
  // A cast that is only stored needs one rounding, not a rounding and an encoding.
  if (ref.kind === "virtual" && op.kind === "cast" && isFloat(dtype) && isFloat(e.tileOf(op.x).dtype))
    return type.store(elementOf(e, op.x, idx, nest));
  return type.store(elementOf(e, id, idx, nest));
}

function compute(e: Emission, { op, dtype }: TileValue, idx: readonly string[], nest: Nest): string {
  const { target } = e;
  const x = (id: number): string => elementOf(e, id, idx, nest);
  switch (op.kind) {
    case "unary":
      return target.unary[op.op](x(op.x), dtype);
    case "binary":
      return target.binary[op.op](x(op.a), x(op.b), dtype);
    case "compare":
      return target.compare(op.op, x(op.a), x(op.b));
    case "select": {
      const [c, a, b] = [x(op.cond), x(op.a), x(op.b)];
      return `${c} ? ${a} : ${b}`;
    }
    case "cast":
      return target.cast(x(op.x), e.tileOf(op.x).dtype, dtype);
    case "unpack": {
      const last = idx.length - 1;
      return `ts_e2m1(${elementOf(e, op.x, idx.with(last, `((${idx[last]}) >> 1)`), nest)}, (${idx[last]}) & 1)`;
    }
    case "random":
      return `ts_random(ts_random_key(${e.index(op.seed)}), ${x(op.counter)})`;
    default:
      throw new Error(`internal: ${op.kind} is not element-wise`);
  }
}

/** Index into the operand of a broadcast, unit reshape or transpose. */
function mapIndex(e: Emission, tile: TileValue, op: MappingOp, idx: readonly string[]): string[] {
  const from = e.tileOf(op.x).shape;
  if (op.kind === "broadcast") return from.map((n, d) => (n === 1 ? "0" : idx[d]!));
  if (op.kind === "transpose") return from.map((_, d) => idx[op.perm.indexOf(d)]!);
  const rest = idx.filter((_, d) => tile.shape[d] !== 1);
  return from.map((n) => (n === 1 ? "0" : rest.shift()!));
}
