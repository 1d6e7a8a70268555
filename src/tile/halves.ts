/**
 * Programs whose vector part two vector cores can share: each makes one half of every tile, the first or the last of its
 * elements in order of rows, so that both fill their rows of the operands that they hand to the matrix core (3510). That is
 * so where nothing else leaves the vector unit and every instruction treats all elements alike.
 * Main functions: `isHalved`, `halfOf`.
 */
import { dtypes } from "../base/dtype.ts";
import { homesOf } from "./ahead.ts";
import type { Homes } from "./homes.ts";
import type { TileOp, TileValue } from "./ir.ts";
import type { Lowering } from "./passes.ts";
import { sizeOf } from "./walk.ts";

const alike: ReadonlySet<TileOp["kind"]> = new Set(["load", "cast", "unpack", "unary", "binary", "reshape", "broadcast"]); // prettier-ignore

/** The axis that is cut; -1 of a single number, which both have. */
export const cutAxis = (shape: readonly number[]): number => shape.findIndex((n) => n > 1);
export function halfOf<T extends Pick<TileValue, "shape">>(tile: T): T {
  const axis = cutAxis(tile.shape);
  return { ...tile, shape: tile.shape.map((n, d) => (d === axis ? n / 2 : n)) };
}

/** A tile of which both halves are rows of their own, or whole blocks of 32 bytes of one. */
function canCut(homes: Homes, tile: TileValue): boolean {
  const { shape, op } = tile;
  const axis = cutAxis(shape);
  if (axis < 0) return alike.has(op.kind);
  if (shape[axis]! % 2 !== 0 || !alike.has(op.kind)) return false;
  const isOneRow = axis === shape.length - 1 || shape.at(-1) === 1;
  if (isOneRow && (sizeOf(shape) % 32 !== 0 || ((sizeOf(shape) / 2) * dtypes[tile.dtype].size) % 32 !== 0))
    return false;
  switch (op.kind) {
    case "load":
      return homes.isContiguous(op.view, shape) && shape.at(-1) !== 1;
    case "reshape":
      return homes.root(tile.id) !== tile.id;
    // One number a row goes with its row.
    case "broadcast":
      return homes.isRepeatedColumn(tile.id) || sizeOf(homes.tile(op.x).shape) === 1;
    default:
      return tile.dtype !== "bool";
  }
}

const known = new WeakMap<Lowering, boolean>();
export function isHalved(low: Lowering): boolean {
  let found = known.get(low);
  if (found === undefined) known.set(low, (found = decide(low, homesOf(low))));
  return found;
}
function decide({ chip }: Lowering, homes: Homes): boolean {
  if (chip.arch.matrix.vectorPath !== "direct") return false;
  const { live } = homes;
  const tiles = [...live.tiles.values()].filter(({ id }) => homes.isVector(id) && live.usesOf(id).length > 0);
  const operands = [...live.tiles.values()].flatMap(({ op }) => (op.kind === "dot" ? [op.a, op.b] : []));
  const made = operands.filter((id) => homes.isVector(id));
  if (made.length === 0 || !made.every((id) => homes.isHandedOver(homes.root(id)) && homes.tile(id).shape[0]! % 2 === 0)) return false; // prettier-ignore
  const leaves = (id: number): boolean => live.usesOf(id).some(({ kind }) => !["operand", "left", "right"].includes(kind)); // prettier-ignore
  return tiles.every((t) => canCut(homes, t) && !leaves(t.id));
}
