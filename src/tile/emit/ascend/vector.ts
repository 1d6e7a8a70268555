/**
 * The vector core's part of a program: every tile whose home is the unified buffer, as vector instructions and copies.
 * Rows of a tile are `pitch` elements apart; an op that treats all elements alike runs over the whole of it, padding
 * included. Main class: `VectorCore`. Tables: elementwise.ts; copies: transfer.ts; layout ops: shapes.ts.
 */
import { dtypes, type DType } from "../../../base/dtype.ts";
import { assert } from "../../../base/errors.ts";
import { boxOf } from "../../boxes.ts";
import type { Stmt, TileOp, TileValue, View, IndexExpr } from "../../ir.ts";
import { roundUp, rowsOf, type Rows } from "../../padding.ts";
import { cutAxis, halfOf } from "../../halves.ts";
import { opName } from "../../print.ts";
import type { Placement } from "../../spaces.ts";
import type { Handover } from "./handover.ts";
import { operandOf, type Operand } from "./operands.ts";
import { Places } from "./places.ts";
import type { Plan } from "./plan.ts";
import { asLanes16, touch, typeNames, type Buf } from "./buffers.ts";
import {
  binaryRows,
  castMode,
  emitCompare,
  emitMaskCast,
  emitSelect,
  instructionOf,
  unaryRows,
  type Lanes,
} from "./elementwise.ts";
import { emitBroadcast, emitCumsum, emitIota, emitReduce, emitRelayout } from "./shapes.ts";
import { emitRepeated } from "./repeat.ts";
import { bin } from "./scalars.ts";
import { Steps, part } from "./steps.ts";
import { emitTopk } from "./topk.ts";
import { emitGather, emitLoad, emitScatter, emitStore, rowBlocks, type Transfer } from "./transfer.ts";

/** Which of the two vector cores of a block this is, in its text. */
export const HALF = "subBlock";
/** Of a tile of one column, which lies as one dense row. */
const isColumn = (shape: readonly number[]): boolean => shape.at(-1) === 1 && shape.some((n) => n > 1);

export class VectorCore {
  readonly plan: Plan;
  readonly steps: Steps;
  readonly places = new Places();
  private readonly handover: Handover;

  constructor(plan: Plan, handover: Handover) {
    this.plan = plan;
    this.handover = handover;
    this.steps = new Steps(plan.scalars);
  }

  // ---- where things are ----
  private isUniform(id: number): boolean {
    return this.plan.homes.live.uniform.has(id);
  }
  /** As this core has it: a half, where there are two. */
  private tile(id: number): TileValue {
    const tile = this.plan.homes.tile(id);
    return this.plan.isHalved && !this.isUniform(id) ? halfOf(tile) : tile;
  }
  /** Where its part of a box begins. */
  private startOf(id: number, position: readonly IndexExpr[]): readonly IndexExpr[] {
    if (!this.plan.isHalved) return position;
    const { shape } = this.tile(id);
    const axis = cutAxis(this.plan.homes.tile(id).shape);
    return position.map((x, d) => (d === axis ? bin("add", x, bin("mul", { kind: "param", name: HALF }, shape[axis]!)) : x)); // prettier-ignore
  }
  rows(id: number): Rows {
    const { homes } = this.plan;
    return rowsOf(homes.chip, homes.roles.vector, this.tile(id));
  }
  private declare(name: string, p: Placement, dtype: DType): Buf {
    return this.places.declare(name, "VECCALC", p, dtype);
  }
  /** The tensor a tile lives in. */
  buf(id: number): Buf {
    const head = this.plan.homes.head(id);
    const p = this.plan.placement(head, "value");
    return this.declare(this.plan.nameOf(head), p, this.tile(head).dtype);
  }
  /** Room that the plan gives beside the tiles; `at` tells which statement's. */
  private area(id: number, what: string, at: number | undefined, dtype: DType): Buf {
    const p = this.plan.placement(id, what, at);
    const name = `${this.plan.nameOf(id)}_${what}${at !== undefined && at !== this.plan.homes.live.at(id) ? `_${at}` : ""}`;
    return this.declare(name, p, dtype);
  }
  private hasArea(id: number, what: string, at?: number): boolean {
    return this.plan.findPlacement(id, what, at) !== undefined;
  }
  /** An operand: a tile, or the text of a number where the instruction takes one, else a tile filled with it. */
  private operand(of: number, id: number, canBeNumber: boolean, slot = 0): Buf | string {
    if (!this.isUniform(id)) return this.buf(id);
    const text = this.plan.scalars.number(id);
    if (canBeNumber && this.tile(id).dtype === "bf16") return this.plan.refuse(opName(this.tile(of).op), "bf16", "with a number as an operand"); // prettier-ignore
    if (canBeNumber) return text;
    return this.filled(of, id, slot);
  }
  private filled(of: number, id: number, slot: number): Buf {
    const { n } = this.lanesOf(of);
    const { dtype } = this.tile(id);
    const area = this.area(of, "filled", undefined, dtype);
    const bytes = n * (dtype === "bool" ? 1 / 8 : dtypes[dtype].size);
    const each = Math.ceil(bytes / 256) * 256;
    const dst = part(area, dtype, slot * each, each);
    const value = this.plan.scalars.constant(id);
    this.steps.fill(dst, value ?? this.plan.scalars.number(id), n);
    return dst;
  }
  private lanesOf(id: number): Lanes {
    const { rows, pitch } = this.rows(id);
    const n = rows * pitch;
    return {
      steps: this.steps,
      n,
      scratch: (index, dtype) => {
        const area = this.area(id, "scratch", undefined, "f32");
        // The whole of it is rounded up; each part begins at a block.
        const each = Math.floor((area.to - area.from) / (this.plan.expansionTiles(id) || 1) / 32) * 32;
        return part(area, dtype, index * each, each);
      },
    };
  }

  // ---- statements ----
  let(whole: TileValue): void {
    const { homes } = this.plan;
    const tile = this.tile(whole.id);
    const { id, op } = tile;
    // A reshaped tile is a view of one that is already there.
    if (homes.root(id) !== id) return;
    if (homes.isVector(id) && op.kind !== "carry") {
      const isThere = op.kind === "result" && !homes.isProduct(id);
      if (!isThere) this.steps.comment(this.plan.describe(tile));
      if (op.kind === "dot" || (op.kind === "result" && !isThere)) this.receive(tile);
      else this.compute(tile);
    }
    this.send(tile);
  }
  /** A product of the cube core, and the sum it joins. */
  private receive(tile: TileValue): void {
    const [m, n] = tile.shape as [number, number];
    const dst = this.buf(tile.id);
    const direct = this.handover.inUB(tile.id);
    if (direct) {
      this.handover.await(this.steps, direct, "ready");
      return this.addAcc(tile, dst);
    }
    const slot = this.handover.toVector(tile.id, m, n, tile.dtype);
    const rows = this.rows(tile.id);
    const { pitch } = rows;
    this.steps.clearPadding(dst, rows, roundUp(rows.length, 32 / dtypes[tile.dtype].size));
    this.handover.wait(this.steps, slot, "ready");
    this.steps.lines([`DataCopyPad(${dst.text}, ${slot.name}, ${blocks(n === 1 ? 1 : m, n === 1 ? m : n, pitch, tile.dtype, true)}, DataCopyPadExtParams<${typeNames[tile.dtype]}>{false, 0, 0, 0});`], [touch("MTE2", dst, true)]); // prettier-ignore
    this.handover.set(this.steps, slot, "free", "MTE2");
    this.addAcc(tile, dst);
  }
  private addAcc(tile: TileValue, dst: Buf): void {
    const { homes } = this.plan;
    if (tile.op.kind !== "dot" || homes.isProduct(tile.id) || tile.op.acc === undefined) return;
    const { acc } = tile.op;
    if (this.isUniform(acc))
      this.steps.op("Adds", dst, dst, this.plan.scalars.number(acc), String(this.lanesOf(tile.id).n)); // prettier-ignore
    else this.steps.op("Add", dst, dst, this.buf(acc), String(this.lanesOf(tile.id).n));
  }
  /** A tile that dots of the cube core read. */
  private send({ id, dtype }: TileValue): void {
    const { homes } = this.plan;
    if (homes.live.uniform.has(id) || homes.isStaged(id)) return;
    const operand = operandOf(this.plan, id);
    if (!operand) return;
    const { rows, cols } = operand;
    const src = this.buf(id);
    // In the shape that the dot reads, which may be a view of this tile.
    const { pitch } = rowsOf(homes.chip, homes.roles.vector, { dtype, shape: [rows, cols] });
    this.steps.comment(`${this.plan.nameOf(id)} to the cube core`);
    if (this.sendToL1(id, src, operand, pitch)) return;
    const slot = this.handover.toCube(id, rows, cols, dtype);
    this.handover.wait(this.steps, slot, "free");
    const words = dtype === "bf16" ? asLanes16(src) : src;
    this.steps.lines([`DataCopyPad(${slot.name}, ${words.text}, ${blocks(cols === 1 ? 1 : rows, cols === 1 ? rows : cols, pitch, dtype, false)});`], [touch("MTE3", src, false)]); // prettier-ignore
    this.handover.set(this.steps, slot, "ready", "MTE3");
  }

  /** Rows become columns of fractals, blocks of 32 bytes; along the shorter side, so that copies are few. */
  private sendToL1(id: number, src: Buf, { rows: all, cols, dtype }: Operand, pitch: number): boolean {
    const slot = this.handover.inL1(id);
    if (!slot) return false;
    const { size } = dtypes[dtype];
    const c0 = 32 / size;
    const [across, height] = [Math.ceil(cols / c0), roundUp(all, this.plan.homes.chip.arch.matrix.n)];
    const rows = this.plan.isHalved ? all / 2 : all;
    const first = this.plan.isHalved ? ` + ${HALF} * ${rows * c0}` : "";
    const l1 = this.places.declare(
      `${this.plan.nameOf(id)}_operand`,
      "TSCM",
      this.plan.placement(id, "operand"),
      dtype,
    );
    const isByColumn = across <= rows;
    const [count, to, from] = isByColumn ? [across, height * c0, c0] : [rows, c0, pitch];
    const params = isByColumn ? `${rows}, 1, ${pitch / c0 - 1}, 0` : `${across}, 1, 0, ${height - 1}`;
    const copy = `DataCopy(${l1.text}[i * ${to}${first}], ${src.text}[i * ${from}], DataCopyParams{${params}});`;
    this.handover.await(this.steps, slot, "free");
    this.steps.lines([count === 1 ? copy.replaceAll(/\[i \* \d+\]/g, "").replace(/i \* \d+ \+ /, "") : `for (int32_t i = 0; i < ${count}; i++) ${copy}`], [touch("MTE3", src, false)]); // prettier-ignore
    this.handover.tell(this.steps, slot, "ready");
    return true;
  }
  /** A product's place is free after its last reader. */
  leave({ id, op }: TileValue): void {
    if (!this.isReceived(id, op)) return;
    const slot = this.handover.inUB(id);
    if (slot) this.handover.tell(this.steps, slot, "free");
  }
  private isReceived(id: number, op: TileOp): boolean {
    const { homes } = this.plan;
    return homes.root(id) === id && homes.isVector(id) && (op.kind === "dot" || (op.kind === "result" && homes.isProduct(id))); // prettier-ignore
  }

  private compute(tile: TileValue): void {
    const { id, op, dtype } = tile;
    const { homes } = this.plan;
    const { scalarOperand } = homes.chip.arch.vector;
    const dst = this.buf(id);
    const lanes = this.lanesOf(id);
    const { steps } = this;
    switch (op.kind) {
      case "load":
        return emitLoad(this.transfer(id, op.view, op.at, undefined), op.other);
      case "gather": {
        if (op.onto !== undefined) steps.copy(dst, this.operand(id, op.onto, false, this.isUniform(op.rows) ? 1 : 0) as Buf, lanes.n); // prettier-ignore
        return emitGather(this.transfer(id, op.view, [{ kind: "const", value: 0 }, op.col], undefined), this.operand(id, op.rows, false) as Buf, op.col, isColumn(tile.shape), op.onto === undefined ? op.other : undefined); // prettier-ignore
      }
      case "unary":
        return unaryRows[op.op](lanes, dst, this.buf(op.x));
      case "binary": {
        if (homes.isRepeated(op.a) || homes.isRepeated(op.b)) return this.repeated(tile, op);
        const takes = scalarOperand.binary.has(op.op) || op.op === "shl" || op.op === "shr";
        return binaryRows[op.op](lanes, dst, this.operand(id, op.a, takes), this.operand(id, op.b, takes, this.isUniform(op.a) ? 1 : 0)); // prettier-ignore
      }
      case "compare":
        return emitCompare(op.op, lanes, dst, this.operand(id, op.a, true), this.operand(id, op.b, true));
      case "select":
        return emitSelect(lanes, dst, this.operand(id, op.cond, false) as Buf, this.operand(id, op.a, dtype !== "bool"), this.operand(id, op.b, dtype !== "bool")); // prettier-ignore
      case "cast":
        return this.cast(tile, op.x);
      case "unpack":
        return this.unpack(tile, op.x);
      case "broadcast": {
        const blocks = this.hasArea(id, "blocks") ? this.area(id, "blocks", undefined, dtype) : undefined;
        return emitBroadcast({ steps, dst, to: this.rows(id), shape: tile.shape, src: this.buf(op.x), from: this.rows(op.x), fromShape: this.tile(op.x).shape, blocks }); // prettier-ignore
      }
      case "reshape":
        return emitRelayout({ steps, dst, to: this.rows(id), src: this.buf(op.x), from: this.rows(op.x), refuse: this.plan.refuse }); // prettier-ignore
      case "reduce": {
        const partial = this.hasArea(id, "partial")
          ? this.area(id, "partial", undefined, this.tile(op.x).dtype)
          : undefined;
        const perRow = this.hasArea(id, "perRow")
          ? this.area(id, "perRow", undefined, this.tile(op.x).dtype)
          : undefined;
        return emitReduce({ steps, op: op.op, axis: op.axis, dst, to: this.rows(id), src: this.buf(op.x), from: this.rows(op.x), shape: this.tile(op.x).shape, partial, perRow, refuse: this.plan.refuse }); // prettier-ignore
      }
      case "cumsum":
        return emitCumsum({ lanes, dst, src: this.buf(op.x), rows: this.rows(id), isLast: op.axis === tile.shape.length - 1, refuse: this.plan.refuse }); // prettier-ignore
      case "topk":
        return emitTopk({ steps, dst, to: this.rows(id), src: this.buf(op.x), from: this.rows(op.x), k: op.k, part: op.part, area: this.area(id, "scratch", undefined, "f32"), refuse: this.plan.refuse }); // prettier-ignore
      case "iota":
        return emitIota({
          steps,
          dst,
          rows: this.rows(id),
          shape: tile.shape,
          axis: op.axis,
          refuse: this.plan.refuse,
        });
      case "transpose":
      case "random":
        return this.plan.refuse(op.kind, dtype, "no lowering yet");
      case "full":
      case "scalar":
      case "index":
      case "dot":
      case "carry":
      case "result":
        return;
    }
  }

  /** Arithmetic with an operand that is one row, or one number a row. */
  private repeated({ id, dtype }: TileValue, op: Extract<TileOp, { kind: "binary" }>): void {
    const isFirst = this.plan.homes.isRepeated(op.a);
    const [x, full] = isFirst ? [op.a, op.b] : [op.b, op.a];
    const { op: broadcast } = this.tile(x);
    const blocks = this.plan.homes.isRepeatedColumn(x) ? this.area(id, "blocks", undefined, dtype) : undefined;
    assert(broadcast.kind === "broadcast", "expected a broadcast");
    emitRepeated({ steps: this.steps, name: instructionOf(op.op), dst: this.buf(id), rows: this.rows(id), full: this.buf(full), source: this.buf(broadcast.x), blocks, isFirst }); // prettier-ignore
  }

  private cast(tile: TileValue, x: number): void {
    const { dtype } = tile;
    const from = this.tile(x).dtype;
    const lanes = this.lanesOf(tile.id);
    const [dst, src] = [this.buf(tile.id), this.buf(x)];
    if (dtype === "bool" || from === "bool") return emitMaskCast(lanes, dst, src);
    const mode = castMode(from, dtype);
    const [to, of] = [this.rows(tile.id), this.rows(x)];
    if (!mode) return this.steps.copy(dst, src, lanes.n);
    const width = Math.min(to.pitch, of.pitch);
    if (to.pitch === of.pitch || to.rows === 1) return this.steps.cast(dst, src, mode, to.rows * width);
    this.steps.rows(to.rows, `Cast(${dst.text}[r * ${to.pitch}], ${src.text}[r * ${of.pitch}], RoundMode::CAST_${mode}, ${width});`, dst, src); // prettier-ignore
  }

  /** Rows of a byte for two numbers. */
  private unpack({ id, dtype }: TileValue, x: number): void {
    const [dst, src, to, of] = [this.buf(id), this.buf(x), this.rows(id), this.rows(x)];
    if (to.pitch !== 2 * of.pitch) this.plan.refuse("unpack", dtype, "of rows that are not whole blocks of 32 bytes");
    this.steps.cast(dst, { ...src, text: `${src.text}.ReinterpretCast<fp4x2_e2m1_t>()` }, "NONE", to.rows * to.pitch);
  }

  private transfer(id: number, view: View, position: readonly IndexExpr[], statement: number | undefined): Transfer {
    const { homes, scalars, refuse } = this.plan;
    const at = this.startOf(id, position);
    const isUniform = this.isUniform(id);
    const tile = isUniform ? this.area(id, "filled", statement, this.tile(id).dtype) : this.buf(id);
    const name = statement === undefined ? this.plan.nameOf(id) : `${view.buffer}_${statement}`;
    const box = boxOf(homes.chip, homes.roles.vector, view, at, this.tile(id));
    const [blocks, offsets] = this.spread(id, box.rows, statement);
    return { scalars, steps: this.steps, name, view, at, box, tile, blocks, offsets, refuse };
  }
  /** Room for a box whose elements lie apart: a block each, then the offsets that gather a row of them. */
  private spread(id: number, rows: Rows, statement: number | undefined): readonly [Buf | undefined, Buf | undefined] {
    const p = this.plan.findPlacement(id, "strided", statement);
    if (!p) return [undefined, undefined];
    const name = `${this.plan.nameOf(id)}${statement === undefined ? "" : `_${statement}`}`;
    const bytes = rows.rows * rowBlocks(rows, statement !== undefined) * 32;
    const blocks = this.declare(`${name}_blocks`, { ...p, bytes }, this.tile(id).dtype);
    if (statement !== undefined) return [blocks, undefined];
    return [blocks, this.declare(`${name}_offsets`, { ...p, offset: p.offset + bytes, bytes: rows.pitch * 4 }, "i32")];
  }
  store(stmt: Extract<Stmt, { kind: "store" }>, statement: number): void {
    const { dtype } = this.tile(stmt.value);
    // Products leave by the cube core.
    if (!this.isUniform(stmt.value) && !this.plan.homes.isVector(stmt.value)) return;
    if (dtype === "bool") this.plan.refuse("store", dtype, "of packed bits");
    this.steps.comment(`${stmt.view.buffer} <- ${this.plan.nameOf(stmt.value)}`);
    const t = this.transfer(stmt.value, stmt.view, stmt.at, statement);
    if (this.isUniform(stmt.value)) {
      const { rows, pitch } = this.rows(stmt.value);
      this.steps.fill(t.tile, this.plan.scalars.constant(stmt.value) ?? this.plan.scalars.number(stmt.value), rows * pitch); // prettier-ignore
    }
    emitStore(t);
  }
  scatter(stmt: Extract<Stmt, { kind: "scatter" }>, statement: number): void {
    this.steps.comment(`${stmt.view.buffer} rows <- ${this.plan.nameOf(stmt.value)}`);
    emitScatter(this.transfer(stmt.value, stmt.view, [{ kind: "const", value: 0 }, stmt.col], statement), this.buf(stmt.rows), stmt.col, isColumn(this.tile(stmt.value).shape)); // prettier-ignore
  }
  /** A carried tile takes a value: before the first turn, and at the end of each. */
  carry(slot: number, value: number): void {
    if (!this.plan.homes.isVector(slot)) return;
    const dst = this.buf(slot);
    const { rows, pitch } = this.rows(slot);
    if (this.isUniform(value))
      this.steps.fill(dst, this.plan.scalars.constant(value) ?? this.plan.scalars.number(value), rows * pitch); // prettier-ignore
    else
      this.steps.copy(dst, this.buf(value), dst.dtype === "bool" ? Math.ceil((rows * pitch) / 16) * 2 : rows * pitch);
  }
}

/** Rows between the workspace, where they follow each other, and the unified buffer. */
function blocks(rows: number, cols: number, pitch: number, dtype: DType, isLoad: boolean): string {
  const { size } = dtypes[dtype];
  const gap = (pitch * size - Math.ceil((cols * size) / 32) * 32) / 32;
  return `DataCopyExtParams{${rows}, ${cols * size}, ${isLoad ? `0, ${gap}` : `${gap}, 0`}, 0}`;
}
