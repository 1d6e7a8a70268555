/**
 * The cube core's part of a program: dot operands from device memory into L1 (Nd2Nz), from there into L0A and L0B in
 * fractals (LoadData), products into L0C (Mmad), and those that a store takes out of it (Fixpipe). Operands that the
 * vector core makes and products it reads pass through the workspace, see handover.ts.
 * Layouts: L1 columns of fractals, 16 rows of 32 bytes each; L0A rows of fractals; L0B rows of k; L0C columns of 16 x 16.
 * Main class: `CubeCore`. Source: the public Ascend C programming guide.
 */
import { dtypes, type DType } from "../../../base/dtype.ts";
import { boxOf } from "../../boxes.ts";
import type { IndexExpr, Stmt, TileOp, TileValue, View } from "../../ir.ts";
import { roundUp } from "../../padding.ts";
import { at, touch, typeNames, wholeOf, type Buf } from "./buffers.ts";
import { DEVICE, type Access } from "./code.ts";
import type { Handover } from "./handover.ts";
import { operandOf, type Operand } from "./operands.ts";
import { Places } from "./places.ts";
import type { Plan } from "./plan.ts";
import { bin, offsetOf } from "./scalars.ts";
import { Steps } from "./steps.ts";
import { cast16, nest, num, plus, runsOf, times, type Run } from "./transfer.ts";

type Dot = Extract<TileOp, { kind: "dot" }>;
const FRACTAL_ROWS = 16;

export class CubeCore {
  private readonly plan: Plan;
  private readonly steps: Steps;
  private readonly handover: Handover;
  readonly places = new Places();

  constructor(plan: Plan, handover: Handover) {
    this.plan = plan;
    this.handover = handover;
    this.steps = new Steps(plan.scalars);
  }

  private tile(id: number): TileValue {
    return this.plan.homes.tile(id);
  }
  private declare(tile: number, part: string, position: string, dtype: DType): Buf {
    return this.places.declare(`${this.plan.nameOf(tile)}_${part}`, position, this.plan.placement(tile, part), dtype);
  }
  private operandBuf(root: number): Buf {
    return this.declare(root, "operand", "A1", this.tile(root).dtype);
  }

  // ---- statements ----
  let(tile: TileValue): void {
    const { homes } = this.plan;
    const { id, op } = tile;
    const root = homes.root(id);
    if (root === id && !homes.live.uniform.has(id)) {
      const operand = operandOf(this.plan, id);
      if (operand && homes.isStaged(id)) this.load(tile, operand);
      else if (operand && !this.awaitOperand(id)) this.receive(id, operand);
    }
    if (op.kind === "dot") this.dot(tile, op);
    if (homes.isProduct(id) && (op.kind === "dot" || op.kind === "result") && homes.isVector(id)) this.send(id);
    else if (op.kind === "dot" && !homes.isProduct(id)) this.send(id);
  }

  /** A matrix of device memory into L1: rows of `box` axes, the part outside of the view as zeros. */
  private load(tile: TileValue, operand: Operand): void {
    const { op } = tile;
    if (op.kind !== "load") return;
    const { homes, scalars, refuse } = this.plan;
    const { cols, dtype } = operand;
    if (op.other !== 0 && (operand.rowsAreDepth || operand.colsAreDepth)) refuse("dot", dtype, `of a load that reads ${op.other} outside of its view`); // prettier-ignore
    if (tile.shape[tile.shape.length - 1] !== cols) refuse("dot", dtype, "of rows that are not the load's");
    this.steps.comment(this.plan.describe(tile));
    const box = boxOf(homes.chip, "L1", op.view, op.at, tile, true);
    const sized = { scalars, steps: this.steps, name: this.plan.nameOf(tile.id), view: op.view, at: op.at, box };
    const { runs, guards, partial } = runsOf(sized);
    this.clear(tile.id, operand, partial);
    const hasRow = cols > 1;
    const row = hasRow ? runs[runs.length - 1] : undefined;
    const rest = hasRow ? runs.slice(0, -1) : runs;
    this.copy({ root: tile.id, operand, source: `${op.view.buffer}Cube`, device: scalars.index(offsetOf(op.view, op.at)), rest, row, guards, pitch: box.rows.pitch }, { pipe: "MTE2", isWrite: false, memory: DEVICE + op.view.buffer, from: 0, to: 1 }); // prettier-ignore
  }

  /** Zeros where depth is padded or, if `partial` holds, cut off. */
  private clear(root: number, operand: Operand, partial: readonly string[]): void {
    const { rows, cols, dtype, rowsAreDepth, colsAreDepth } = operand;
    const l1 = this.operandBuf(root);
    const c0 = 32 / dtypes[dtype].size;
    const isPadded = (rowsAreDepth && rows % FRACTAL_ROWS !== 0) || (colsAreDepth && cols % c0 !== 0);
    if (!isPadded && partial.length === 0) return;
    const fill = fillZero(l1, (l1.to - l1.from) / 32);
    if (isPadded) return this.steps.lines([fill], [touch("MTE2", l1, true)]);
    const body = this.plan.scalars.scoped(() => this.steps.lines([fill, "PipeBarrier<PIPE_MTE2>();"], [touch("MTE2", l1, true)], "MTE2")); // prettier-ignore
    this.steps.nodes.push({ kind: "block", head: `if (${partial.join(" || ")}) `, body, repeats: false });
  }

  private copy(c: { root: number; operand: Operand; source: string; device: string; rest: readonly Run[]; row: Run | undefined; guards: readonly string[]; pitch: number }, from: Access): void {
    const { scalars, refuse } = this.plan;
    const { rows, cols, dtype, isBlocked } = c.operand;
    const l1 = this.operandBuf(c.root);
    const c0 = 32 / dtypes[dtype].size;
    const rowsPadded = roundUp(rows, FRACTAL_ROWS);
    const block = c.rest[c.rest.length - 1];
    const loops = c.rest.slice(0, -1);
    const stride = (r: Run): string => scalars.index(r.axis.stride, 2);
    const rowOf = (r: Run): number => r.axis.inner / c.pitch;
    const firstRow = plus(...loops.map((r, i) => times(`j${i}`, rowOf(r))), block ? times(block.low, rowOf(block)) : "0");
    const device = plus(c.device, ...loops.map((r, i) => times(`j${i}`, stride(r))), block ? times(block.low, stride(block)) : "0"); // prettier-ignore
    if (c.row && c.row.low !== "0") refuse("load", dtype, "a row that begins before its view");
    const [count, width] = [block?.count ?? "1", c.row?.count ?? String(cols)];
    const pitch = block ? stride(block) : String(cols);
    if (block && rowOf(block) !== 1) refuse("load", dtype, "of rows that lie apart in the matrix");
    const nd = (n: string): string => `Nd2NzParams{1, ${cast16(n)}, ${cast16(width)}, 0, ${cast16(pitch)}, ${isBlocked ? FRACTAL_ROWS : rowsPadded}, 1, 0}`; // prettier-ignore
    let lines: string[];
    if (isBlocked) {
      // 16 rows at a time, so that two fractals of a square lie side by side.
      if (loops.length > 0 || firstRow !== "0") refuse("load", dtype, "of a matrix in several pieces, transposed");
      const each = FRACTAL_ROWS * roundUp(cols, FRACTAL_ROWS);
      const n = `(${count} - r < ${FRACTAL_ROWS} ? ${count} - r : ${FRACTAL_ROWS})`;
      lines = nest([], c.guards, [`for (int64_t r = 0; r < ${count}; r += ${FRACTAL_ROWS}) DataCopy(${l1.text}[r / ${FRACTAL_ROWS} * ${each}], ${c.source}[${plus(device, times("r", pitch))}], ${nd(n)});`]); // prettier-ignore
    } else lines = nest(loops, c.guards, [`DataCopy(${at(l1, times(firstRow, c0)).text}, ${c.source}[${device}], ${nd(count)});`]); // prettier-ignore
    this.steps.lines(lines, [touch("MTE2", l1, true), from]);
  } // prettier-ignore

  /** An operand that the vector core copies to L1 by itself, if it is one; its place is free after the last product. */
  private awaitOperand(root: number): boolean {
    const slot = this.handover.inL1(root);
    if (!slot) return false;
    this.steps.comment(`${this.plan.nameOf(root)} from the vector core`);
    this.handover.await(this.steps, slot, "ready");
    return true;
  }
  leave({ id }: TileValue): void {
    const slot = this.plan.homes.root(id) === id ? this.handover.inL1(id) : undefined;
    if (slot) this.handover.tell(this.steps, slot, "free");
  }
  /** An operand that the vector core made, through the workspace. */
  private receive(root: number, operand: Operand): void {
    const slot = this.handover.toCube(root, operand.rows, operand.cols, operand.dtype);
    this.steps.comment(`${this.plan.nameOf(root)} from the vector core`);
    this.clear(root, operand, []);
    this.handover.wait(this.steps, slot, "ready");
    const row = operand.cols > 1 ? [this.wholeRun(operand.cols, 1, 1)] : [];
    const rows = operand.rows > 1 ? [this.wholeRun(operand.rows, operand.cols, 1)] : [];
    this.copy({ root, operand, source: slot.name, device: "0", rest: rows, row: row[0], guards: [], pitch: 1 }, { pipe: "MTE2", isWrite: false, memory: DEVICE + slot.name, from: 0, to: 1 }); // prettier-ignore
    this.handover.set(this.steps, slot, "free", "MTE2");
  }
  private wholeRun(extent: number, stride: number, inner: number): Run {
    const constant = (value: number): IndexExpr => ({ kind: "const", value });
    return { axis: { extent, stride: constant(stride), inner, at: constant(0), bound: constant(extent), unit: 1, isFull: true }, low: "0", count: String(extent) }; // prettier-ignore
  }

  private product(id: number): Buf {
    const { homes } = this.plan;
    const root = homes.root(id);
    return this.declare(homes.sums.cellOf(root) ?? root, "product", "CO1", this.tile(root).dtype);
  }
  private newFlag(id: number): string | undefined {
    const { sums, live } = this.plan.homes;
    const cell = sums.cellOf(id);
    if (cell === undefined || !sums.cell(cell).some((x) => live.tiles.get(x)!.op.kind === "carry")) return undefined;
    const name = `${this.plan.nameOf(cell)}_isNew`;
    this.places.declarations.set(name, `bool ${name} = true;`);
    return name;
  }
  /** A sum of products begins. */
  carry(slot: number, value: number, when: "before" | "next"): void {
    const { homes } = this.plan;
    if (when === "before" && homes.isProduct(slot) && !homes.isProduct(value)) this.steps.lines([`${this.newFlag(slot)} = true;`], []); // prettier-ignore
  }
  /** Zero for a sum whose loop had no turn; sizes are at least 1. */
  private zeroIfNew(product: number): void {
    const { homes } = this.plan;
    const flag = this.newFlag(product);
    const members = homes.sums.cell(product).map((id) => this.tile(id));
    const mayBeEmpty = members.some(({ op }) => {
      if (op.kind !== "carry") return false;
      const { start, end } = homes.live.loops.get(op.loop)!.stmt;
      return !(start.kind === "const" && (end.kind === "param" || (end.kind === "const" && end.value > start.value)));
    });
    const dot = members.find((t) => t.op.kind === "dot");
    if (!flag || !mayBeEmpty || dot?.op.kind !== "dot") return;
    const { dtype } = this.tile(dot.op.a);
    const [m, n] = dot.shape as [number, number];
    const [m16, n16] = [roundUp(m, FRACTAL_ROWS), roundUp(n, FRACTAL_ROWS)];
    const body = this.plan.scalars.scoped(() => {
      // Outside of the loop whose turns take their halves.
      const [l0a, l0b] = [wholeOf(this.declare(dot.id, "left", "A2", dtype)), wholeOf(this.declare(dot.id, "right", "B2", dtype))]; // prettier-ignore
      for (const [l0, size] of [[l0a, m16], [l0b, n16]] as const) this.steps.lines([fillZero(l0, size / FRACTAL_ROWS)], [touch("MTE1", l0, true)]); // prettier-ignore
      const l0c = this.product(product);
      this.steps.lines([`Mmad(${l0c.text}, ${l0a.text}, ${l0b.text}, MmadParams(${m16}, ${n16}, ${32 / dtypes[dtype].size}, 0, false, true));`], [touch("M", l0a, false), touch("M", l0b, false), touch("M", l0c, true)]); // prettier-ignore
    });
    this.steps.nodes.push({ kind: "block", head: `if (${flag}) `, body, repeats: false });
  }
  /** The vector core's. */
  scatter(): void {}

  private dot(tile: TileValue, op: Dot): void {
    const { homes, refuse, lowering } = this.plan;
    const { id } = tile;
    const a = this.tile(op.a);
    const { dtype } = a;
    const { size } = dtypes[dtype];
    if (homes.live.uniform.has(op.a) || homes.live.uniform.has(op.b)) refuse("dot", dtype, "of a number");
    const [m, n] = tile.shape as [number, number];
    const k = a.shape[op.transA ? 0 : 1]!;
    const c0 = 32 / size;
    const [m16, n16] = [roundUp(m, 16), roundUp(n, 16)];
    // Squares of 32-bit elements are two fractals wide, which must not reach into the next rows of L0A.
    const depth = roundUp(k, c0);
    if (op.transA && depth !== roundUp(k, FRACTAL_ROWS)) refuse("dot", dtype, `of depth ${k} along rows of A, expected a multiple of 16`); // prettier-ignore
    const [l1a, l1b] = [this.operandBuf(homes.root(op.a)), this.operandBuf(homes.root(op.b))];
    const l0a = this.declare(id, "left", "A2", dtype);
    const l0b = this.declare(id, "right", "B2", dtype);
    // Architecture 3510 keeps A in L0A as all keep B in L0B, and takes a box of fractals at once.
    const [ofA, ofB] = lowering.chip.arch.matrix.vectorPath === "direct" ? [boxes, boxes] : [left, right];
    this.steps.comment(`${this.plan.nameOf(id)}: ${tile.dtype} [${m}, ${n}] += ${this.plan.nameOf(op.a)}${op.transA ? "^T" : ""} . ${this.plan.nameOf(op.b)}${op.transB ? "^T" : ""}`); // prettier-ignore
    this.fractals(
      l0a,
      l1a,
      op.transA
        ? ofA.transposed(m16, depth, c0)
        : this.isBlocked(op.a)
          ? ofA.blocked(m16, depth, k)
          : ofA.plain(m16, depth, c0),
    );
    this.fractals(
      l0b,
      l1b,
      !op.transB
        ? ofB.transposed(n16, roundUp(k, FRACTAL_ROWS), c0)
        : this.isBlocked(op.b)
          ? ofB.blocked(n16, depth, k)
          : ofB.plain(n16, depth, c0),
    );
    const l0c = this.product(id);
    const flag = this.newFlag(id);
    const isFirst = op.acc === undefined || !homes.isProduct(op.acc) || !homes.isProduct(id);
    const isNew = isFirst ? "true" : (flag ?? "false");
    // One row alone would be taken for a vector.
    const lines = [`Mmad(${l0c.text}, ${l0a.text}, ${l0b.text}, MmadParams(${m === 1 ? 16 : m}, ${n}, ${k}, 0, false, ${isNew}));`]; // prettier-ignore
    if (flag) lines.push(`${flag} = false;`);
    // From ten fractals on a product is complete before the next one needs it.
    const settles = (m16 / 16) * (n16 / 16) >= 10 ? "M" : undefined;
    this.steps.lines(lines, [touch("M", l0a, false), touch("M", l0b, false), touch("M", l0c, true)], settles);
  }
  private isBlocked(id: number): boolean {
    return operandOf(this.plan, this.plan.homes.root(id))!.isBlocked;
  }
  private fractals(l0: Buf, l1: Buf, f: Fractals): void {
    if (f.repeats > 255) this.plan.refuse("dot", l0.dtype, `of ${f.repeats} fractals in a row, expected at most 255`);
    const copy = `${f.name}(${l0.text}[i * ${f.to}], ${l1.text}[i * ${f.from}], ${f.params});`;
    const line =
      f.count === 1 ? copy.replaceAll(/\[i \* \d+\]/g, "") : `for (int32_t i = 0; i < ${f.count}; i++) ${copy}`;
    this.steps.lines([line], [touch("MTE1", l0, true), touch("MTE1", l1, false)]);
  }

  /** A product out of L0C: the rows and columns inside of a view. */
  private fixpipe(l0c: Buf, m: number, target: string, device: string, dtype: DType, rows: string, cols: string, firstRow: string, pitch: string): string {
    const quant = { f32: "NoQuant", i32: "NoQuant", bf16: "F322BF16", f16: "F322F16" } as Partial<Record<DType, string>>;
    const mode = quant[dtype];
    if (!mode || (mode !== "NoQuant" && l0c.dtype !== "f32")) return this.plan.refuse("store", dtype, `of a product in ${l0c.dtype}`); // prettier-ignore
    const source = at(l0c, times(firstRow, 16)).text;
    const pitchText = num(pitch) === undefined ? `(uint32_t)(${pitch})` : pitch;
    return `Fixpipe<${typeNames[dtype]}, ${typeNames[l0c.dtype]}, CFG_ROW_MAJOR>(${target}[${device}], ${source}, FixpipeParamsV220(${cast16(cols)}, ${cast16(rows)}, ${roundUp(m, 16)}, ${pitchText}, false, ${mode}));`;
  } // prettier-ignore
  private send(id: number): void {
    const [m, n] = this.tile(id).shape as [number, number];
    const l0c = this.product(id);
    this.steps.comment(`${this.plan.nameOf(id)} to the vector core`);
    this.zeroIfNew(id);
    const direct = this.handover.inUB(id);
    if (direct) {
      const ub = this.declare(id, "value", "VECCALC", l0c.dtype);
      this.handover.await(this.steps, direct, "free");
      this.steps.lines([this.fixpipe(l0c, m, ub.text, "0", l0c.dtype, String(m), String(n), "0", String(n))], [touch("FIX", l0c, false)]); // prettier-ignore
      return this.handover.tell(this.steps, direct, "ready");
    }
    const slot = this.handover.toVector(id, m, n, l0c.dtype);
    this.handover.wait(this.steps, slot, "free");
    this.steps.lines([this.fixpipe(l0c, m, slot.name, "0", l0c.dtype, String(m), String(n), "0", String(n))], [touch("FIX", l0c, false), { pipe: "FIX", isWrite: true, memory: DEVICE + slot.name, from: 0, to: 1 }]); // prettier-ignore
    this.handover.set(this.steps, slot, "ready", "FIX");
  }

  store(stmt: Extract<Stmt, { kind: "store" }>, statement: number): void {
    const { homes } = this.plan;
    const root = homes.root(stmt.value);
    const cast = homes.leavesByStore(root) ? this.tile(root).op : undefined;
    const product = cast?.kind === "cast" ? homes.root(cast.x) : root;
    if (!homes.isProduct(product) || homes.live.uniform.has(root)) return;
    this.steps.comment(`${stmt.view.buffer} <- ${this.plan.nameOf(product)}`);
    this.storeProduct(product, stmt.value, stmt.view, stmt.at, statement);
  }
  private storeProduct(
    product: number,
    value: number,
    view: View,
    position: readonly IndexExpr[],
    statement: number,
  ): void {
    const { homes, scalars, refuse } = this.plan;
    const tile = this.tile(value);
    const [m, n] = this.tile(product).shape as [number, number];
    const box = boxOf(homes.chip, "L1", view, position, tile, true);
    if (tile.shape[tile.shape.length - 1] !== n) refuse("store", tile.dtype, "of a product in rows of another length");
    const { runs, guards } = runsOf({ scalars, steps: this.steps, name: `${view.buffer}_${statement}`, view, at: position, box }); // prettier-ignore
    const row = n > 1 ? runs[runs.length - 1] : undefined;
    const rest = n > 1 ? runs.slice(0, -1) : runs;
    const [block, loops] = [rest[rest.length - 1], rest.slice(0, -1)];
    if (row && (row.low !== "0" || !(row.axis.stride.kind === "const" && row.axis.stride.value === 1))) refuse("store", tile.dtype, "of a product whose columns lie apart or begin before the view"); // prettier-ignore
    const stride = (r: Run): string => scalars.index(r.axis.stride, 2);
    const rowOf = (r: Run): number => r.axis.inner / box.rows.pitch;
    if (block && rowOf(block) !== 1) refuse("store", tile.dtype, "of a product whose rows lie apart in the tile");
    const firstRow = plus(...loops.map((r, i) => times(`j${i}`, rowOf(r))), block?.low ?? "0");
    const device = plus(scalars.index(offsetOf(view, position)), ...loops.map((r, i) => times(`j${i}`, stride(r))), block ? times(block.low, stride(block)) : "0"); // prettier-ignore
    const pitch = block ? scalars.index(bin("add", block.axis.stride, 0)) : String(n);
    this.zeroIfNew(product);
    const l0c = this.product(product);
    const line = this.fixpipe(l0c, m, `${view.buffer}Cube`, device, tile.dtype, block?.count ?? "1", row?.count ?? "1", firstRow, pitch); // prettier-ignore
    this.steps.lines(nest(loops, guards, [line]), [touch("FIX", l0c, false), { pipe: "FIX", isWrite: true, memory: DEVICE + view.buffer, from: 0, to: 1 }]); // prettier-ignore
  }
}

/** Blocks of 32 bytes in L1, fractals in L0. */
function fillZero(b: Buf, blocks: number): string {
  // Constants are of 16 or 32 bits.
  const zero = dtypes[b.dtype].size <= 2 ? "uint16_t" : typeNames[b.dtype];
  const words = zero === typeNames[b.dtype] ? b.text : `${b.text}.ReinterpretCast<${zero}>()`;
  return `InitConstValue(${words}, InitConstValueParams<${zero}>{1, ${blocks}, 0, 0});`;
}

/** `count` times: from L1 (elements apart) to L0 (elements apart), `repeats` fractals or squares each. */
interface Fractals {
  readonly name: string;
  readonly count: number;
  readonly from: number;
  readonly to: number;
  readonly repeats: number;
  readonly params: string;
}
const load2d = (repeats: number, stride: number, isTransposed: boolean, gap = 0): string => `LoadData2DParams{0, ${repeats}, ${stride}, 0, ${gap}, ${isTransposed}, 0}`; // prettier-ignore

/** Elements of a block of 16 rows in L1. */
const rowBlock = (cols: number): number => FRACTAL_ROWS * roundUp(cols, FRACTAL_ROWS);
/** A, fractals (i, j) of 16 rows and 32 bytes at i * depth / c0 + j. */
const left = {
  plain: (m: number, depth: number, c0: number): Fractals => ({ name: "LoadData", count: m / 16, from: 16 * c0, to: 16 * depth, repeats: depth / c0, params: load2d(depth / c0, m / 16, false) }), // prettier-ignore
  blocked: (m: number, depth: number, k: number): Fractals => ({ name: "LoadData", count: m / 16, from: rowBlock(k), to: 16 * depth, repeats: depth / 8, params: load2d(depth / 8, 1, false) }), // prettier-ignore
  transposed: (m: number, depth: number, c0: number): Fractals =>
    c0 === 8
      ? { name: "LoadDataWithTranspose", count: depth / 16, from: 16 * m, to: 256, repeats: m / 16, params: `LoadData2dTransposeParams{0, ${m / 16}, 1, ${depth / 8 - 1}, 0, 0}` } // prettier-ignore
      : { name: "LoadData", count: m / 16, from: 16 * depth, to: 16 * depth, repeats: depth / 16, params: load2d(depth / 16, 1, true) }, // prettier-ignore
} as const;
/** B, fractals (j, i) of 16 columns and 32 bytes of depth at j * n / 16 + i. */
const right = {
  plain: (n: number, depth: number, c0: number): Fractals => ({ name: "LoadData", count: depth / c0, from: n * c0, to: n * c0, repeats: n / 16, params: load2d(n / 16, 1, false) }), // prettier-ignore
  blocked: (n: number, depth: number, k: number): Fractals => ({ name: "LoadData", count: n / 16, from: rowBlock(k), to: 128, repeats: depth / 8, params: load2d(depth / 8, 1, false, n / 16 - 1) }), // prettier-ignore
  transposed: (n: number, depth: number, c0: number): Fractals =>
    c0 === 8
      ? { name: "LoadDataWithTranspose", count: depth / 16, from: 16 * n, to: 16 * n, repeats: n / 16, params: `LoadData2dTransposeParams{0, ${n / 16}, 1, 0, ${n / 16 - 1}, 0}` } // prettier-ignore
      : { name: "LoadData", count: depth / 16, from: 256, to: 16 * n, repeats: n / 16, params: load2d(n / 16, depth / 16, true) }, // prettier-ignore
} as const;
/** Both as B lies, and all fractals of a plain matrix at once, in the order of L1 (architecture 3510). */
const boxes: typeof right = {
  ...right,
  plain: (rows, depth, c0) => {
    const [down, across] = [rows / 16, depth / c0];
    return { name: "LoadData", count: 1, from: 0, to: 0, repeats: Math.max(down, across), params: `LoadData2DParamsV2{0, 0, ${down}, ${across}, ${down}, ${down}, false, 0}` }; // prettier-ignore
  },
};
