/** One tile of a program as BANG C, by the kind of its op. Main functions: `compute`, and `uniform` for plain numbers. */
import { isFloat } from "../../../base/dtype.ts";
import type { TileValue } from "../../ir.ts";
import { opName } from "../../print.ts";
import { gather, load } from "./copy.ts";
import { dot } from "./dot.ts";
import type { MluEmission } from "./emission.ts";
import { broadcast, cumsum, iota, reduce, reshape, topk, transpose } from "./shape.ts";
import { elementType, scalarBinary, scalarCompare, scalarText } from "./types.ts";
import { binary, cast, compare, select, unary } from "./vector.ts";

/** A uniform tile as scalar text. */
export function uniform(e: MluEmission, tile: TileValue): string {
  const { op, dtype } = tile;
  const x = (id: number): string => e.number(id);
  const refuse = (): never => e.fail(opName(op), dtype, "no scalar form");
  switch (op.kind) {
    case "full":
      return scalarText(op.value, dtype);
    case "scalar":
      return `s_${op.name}`;
    case "index":
      return `(int32_t)(${e.index(op.value)})`;
    case "broadcast":
    case "reshape":
      return x(op.x);
    case "cast":
      if (isFloat(dtype) || dtype === "bool") return dtype === "bool" ? `(${x(op.x)} != 0 ? 1.0f : 0.0f)` : `(float)${x(op.x)}`; // prettier-ignore
      return `(${elementType[dtype]})${x(op.x)}`;
    case "unary":
      return `(-${x(op.x)})`;
    case "binary":
      return (scalarBinary[op.op] ?? refuse)(x(op.a), x(op.b));
    case "compare":
      return scalarCompare(op.op, x(op.a), x(op.b));
    case "select":
      return `(${x(op.cond)} != 0 ? ${x(op.a)} : ${x(op.b)})`;
    default:
      return refuse();
  }
}

/** The instructions of one tile. */
export function compute(e: MluEmission, tile: TileValue): void {
  const { op } = tile;
  switch (op.kind) {
    case "load":
      return load(e, tile, op);
    case "gather":
      return gather(e, tile, op, scalarText(op.other, tile.dtype));
    case "unary":
      return unary(e, tile, op);
    case "binary":
      return binary(e, tile, op);
    case "compare":
      return compare(e, tile, op);
    case "select":
      return select(e, tile, op);
    case "cast":
      return cast(e, tile, op);
    case "broadcast":
      return e.deferred.has(tile.id) ? undefined : broadcast(e, tile, op);
    case "reshape":
      return reshape(e, tile, op);
    case "transpose":
      return transpose(e, tile, op);
    case "reduce":
      return reduce(e, tile, op);
    case "cumsum":
      return cumsum(e, tile, op);
    case "iota":
      return iota(e, tile, op);
    case "dot":
      return dot(e, tile, op);
    case "topk":
      return topk(e, tile, op);
    case "unpack":
      return e.fail("unpack", tile.dtype, "no instruction between fp4 and bf16");
    case "random":
      return e.fail("random", tile.dtype, "no integer multiplication to hash with");
    // Carried values are written where their loop starts and ends; the rest is uniform.
    case "carry":
    case "result":
    case "full":
    case "scalar":
    case "index":
  }
}
