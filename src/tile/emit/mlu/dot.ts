/**
 * Products: the right operand is brought to [N,K] rows, rearranged for the banks of WRAM by `__bang_reshape_filter`,
 * the one documented way, and multiplied by `__bang_matmul` with f32 results in NRAM. Main function: `dot`.
 */
import { dtypes } from "../../../base/dtype.ts";
import type { TileOp, TileValue } from "../../ir.ts";
import { roundUp } from "../../padding.ts";
import { filledBuffer } from "./copy.ts";
import type { Buffer, MluEmission } from "./emission.ts";
import { fillTails } from "./shape.ts";

/** [rows, cols] of `x` turned into [cols, pitch] at `to`: a row of the result is a column, copied element by element. */
function turn(e: MluEmission, to: string, x: Buffer, pitch: number): void {
  const step = x.pitch * x.size;
  e.out.block(
    `for (int c = 0; c < ${x.width}; ++c) `,
    () =>
    e.out.add(`__memcpy(${to} + c * ${pitch}, ${x.name} + c, ${x.size}, NRAM2NRAM, ${x.size}, ${step}, ${x.rows - 1});`), // prettier-ignore
  );
}

export function dot(e: MluEmission, tile: TileValue, op: Extract<TileOp, { kind: "dot" }>): void {
  const [a, b] = [filledBuffer(e, op.a), filledBuffer(e, op.b)];
  if (tile.dtype !== "f32" && a.dtype !== "i8") e.fail("dot", a.dtype, "only products in f32 have a lowering");
  const { n: padN, kBytes } = e.state.chip.arch.matrix;
  const [m, n] = tile.shape as [number, number];
  const depth = op.transA ? a.rows : a.width;
  const size = dtypes[a.dtype].size;
  // The padding of depth is multiplied too, so it is zero on both sides.
  const k = roundUp(depth, kBytes / size);
  const wide = roundUp(n, padN);

  let left = a.name;
  if (op.transA) {
    left = e.scratch(tile.id, "turned_left", a.type);
    if (k > depth) e.out.add(`__bang_write_value(${left}, ${m * k}, (${a.type})0.0f);`);
    turn(e, left, a, k);
  } else fillTails(e, a, "0.0f");

  let right = b.name;
  if (!op.transB || n < wide) {
    right = e.scratch(tile.id, "turned_right", b.type);
    if (n < wide || k > depth) e.out.add(`__bang_write_value(${right}, ${wide * k}, (${b.type})0.0f);`);
    if (!op.transB) turn(e, right, b, k);
    else e.out.add(`__memcpy(${right}, ${b.name}, ${depth * size}, NRAM2NRAM, ${k * size}, ${b.pitch * size}, ${n - 1});`); // prettier-ignore
  } else fillTails(e, b, "0.0f");

  const rearranged = e.scratch(tile.id, "rearranged", b.type);
  const filter = e.scratch(tile.id, "right", b.type, 0, "WRAM");
  const d = e.buffer(tile.id);
  const isDirect = d.pitch === wide;
  const sum = tile.dtype === "f32" ? d.name : `(float*)${d.name}`;
  const product = isDirect ? sum : e.scratch(tile.id, "product", "float");
  e.out.add(
    `__bang_reshape_filter(${rearranged}, ${right}, ${wide}, 1, 1, ${k});`,
    `__memcpy(${filter}, ${rearranged}, ${wide * k * size}, NRAM2WRAM);`,
    `__bang_matmul(${product}, ${left}, ${filter}, ${m}, ${k}, ${wide});`,
  );
  if (!isDirect) e.out.add(`__memcpy(${d.name}, ${product}, ${n * 4}, NRAM2NRAM, ${d.pitch * 4}, ${wide * 4}, ${m - 1});`); // prettier-ignore
  if (tile.dtype === "i32") addIntegers(e, tile, d, op.acc);
  else if (!joinState(e, tile, op, d)) addTo(e, d, op.acc);
}

/** Products of int8 come as f32; so are the integers that they are added to (legality.ts says up to where). */
function addIntegers(e: MluEmission, tile: TileValue, d: Buffer, acc: number | undefined): void {
  const sum = `(float*)${d.name}`;
  if (acc !== undefined && !e.isUniform(acc)) {
    const before = e.scratch(tile.id, "sum", "float");
    e.out.add(`__bang_int322float(${before}, ${e.buffer(acc).name}, ${d.count}, 0);`, `__bang_add(${sum}, ${sum}, ${before}, ${d.count});`); // prettier-ignore
  } else if (acc !== undefined && e.number(acc) !== "0") e.out.add(`__bang_add_scalar(${sum}, ${sum}, (float)${e.number(acc)}, ${d.count});`); // prettier-ignore
  e.out.add(`__bang_float2int32_rn(${d.name}, ${sum}, ${d.count}, 0);`);
}

/** A sum that only its loop carries is added up where it is carried; the loop then has nothing to copy. */
function joinState(e: MluEmission, tile: TileValue, op: Extract<TileOp, { kind: "dot" }>, d: Buffer): boolean {
  if (op.acc === undefined || e.isUniform(op.acc)) return false;
  const acc = e.tile(op.acc).op;
  const [use, ...more] = e.live.usesOf(tile.id);
  if (acc.kind !== "carry" || e.live.usesOf(op.acc).length !== 1 || use?.kind !== "next" || more.length > 0) return false; // prettier-ignore
  if (use.slot !== `${acc.loop}:${acc.slot}`) return false;
  const state = e.buffer(op.acc);
  e.out.add(`__bang_add(${state.name}, ${state.name}, ${d.name}, ${d.count});`);
  e.joined.add(tile.id);
  return true;
}

function addTo(e: MluEmission, d: Buffer, acc: number | undefined): void {
  if (acc === undefined) return;
  if (!e.isUniform(acc)) return e.out.add(`__bang_add(${d.name}, ${d.name}, ${e.buffer(acc).name}, ${d.count});`);
  const value = e.number(acc);
  if (value !== "0.0f") e.out.add(`__bang_add_scalar(${d.name}, ${d.name}, ${value}, ${d.count});`);
}
