/**
 * In which kind of memory each tile of a legal program is, and which tiles share theirs: the decisions behind the
 * plan of spaces.ts, which the emitters ask as well. Main class: `Homes`.
 *   uniform          a number on the scalar unit, no memory
 *   operand          a load that only dots read goes straight to the staging memory
 *   product          a dot whose result is added to by later dots, or leaves by a store, stays in the product memory
 *   vector           everything else, products that vector ops read included
 */
import { dtypes } from "../base/dtype.ts";
import type { Chip, Role, Space } from "./chips/types.ts";
import type { BinaryOp, TileOp, TileValue, View } from "./ir.ts";
import type { LegalProgram } from "./legality.ts";
import { findAccumulations, type Accumulations } from "./accumulate.ts";
import { Liveness } from "./liveness.ts";
import { keepsLayout, rowsOf } from "./padding.ts";
import { isColumnBroadcast } from "./scratch.ts";

/** Ops that are vector instructions and nothing else. */
const inVectorUnit: ReadonlySet<TileOp["kind"]> = new Set(["unary", "binary", "compare", "select", "cast", "broadcast", "reshape", "reduce"]); // prettier-ignore
const repeatable: ReadonlySet<BinaryOp> = new Set(["add", "sub", "mul", "div", "min", "max"]);

export class Homes {
  readonly chip: Chip;
  readonly live: Liveness;
  readonly sums: Accumulations;
  readonly roles: Readonly<Record<Role, Space>>;
  private readonly expansions: LegalProgram["expansions"];
  private readonly repeated = new Map<number, boolean>();

  constructor(legal: LegalProgram, chip: Chip) {
    this.chip = chip;
    this.roles = chip.arch.roles;
    this.expansions = legal.expansions;
    this.live = new Liveness(legal.program);
    this.sums = findAccumulations(this.live, chip.arch.matrix.accumulates);
  }

  get split(): boolean {
    return this.roles.stage !== this.roles.vector;
  }
  get throughWorkspace(): boolean {
    return this.chip.arch.matrix.vectorPath === "workspace";
  }
  tile(id: number): TileValue {
    return this.live.tiles.get(id)!;
  }
  /** The tile whose memory `id` is a view of. */
  root(id: number): number {
    const { op } = this.tile(id);
    if (op.kind === "broadcast" && this.isRepeated(id)) return this.root(op.x);
    return op.kind === "reshape" && keepsLayout(this.chip, this.roles.vector, this.tile(op.x), this.tile(id)) ? this.root(op.x) : id; // prettier-ignore
  }
  /**
   * A broadcast of one number a row, or of one row, that arithmetic takes from its source by steps of 0, again and again:
   * it has no memory of its own.
   */
  isRepeated(id: number): boolean {
    const known = this.repeated.get(id);
    if (known !== undefined) return known;
    const is = this.split && !this.live.uniform.has(id) && this.canRepeat(id);
    this.repeated.set(id, is);
    return is;
  }
  /** Of those, a number a row. Its memory may have another shape, as a view of it. */
  isRepeatedColumn(id: number): boolean {
    const { op, shape } = this.tile(id);
    return op.kind === "broadcast" && this.isRepeated(id) && isColumnBroadcast(this.tile(op.x).shape, shape);
  }
  private canRepeat(id: number): boolean {
    const { op, shape, dtype } = this.tile(id);
    if (op.kind !== "broadcast" || !(dtype === "f32" || dtype === "i32" || dtype === "f16" || dtype === "bf16"))
      return false;
    const from = this.tile(op.x).shape;
    const isRow = from.at(-1) === shape.at(-1) && from.slice(0, -1).every((n) => n === 1);
    if (shape.at(-1) === 1 || !(isRow || isColumnBroadcast(from, shape))) return false;
    const { rows, pitch } = rowsOf(this.chip, this.roles.vector, this.tile(id));
    // What a step of an instruction can say, and one Brcb.
    if (rows > 2040 || (pitch * dtypes[dtype].size) / 32 > 255) return false;
    return this.live.usesOf(id).every((u) => {
      const by = u.kind === "operand" ? this.tile(u.by).op : undefined;
      if (by?.kind !== "binary" || !repeatable.has(by.op) || this.expansions.has(u.by)) return false;
      const other = by.a === id ? by.b : by.a;
      return other !== id && !this.live.uniform.has(other) && this.tile(other).op.kind !== "broadcast";
    });
  }
  /** The tile that names the vector memory `id` is in: views, a carried slot with its result, and rows gathered onto others share one. */
  head(id: number): number {
    const root = this.root(id);
    if (this.sums.products.has(root)) return root;
    const { op } = this.tile(root);
    return op.kind === "gather" && op.onto !== undefined && this.isGatheredInto(op.onto) ? this.head(op.onto) : this.live.slotHead(root); // prettier-ignore
  }
  /** Gathered rows that nothing but one more gather of the same turn reads, which may write over them. */
  private isGatheredInto(id: number): boolean {
    const uses = this.live.usesOf(id);
    return this.tile(id).op.kind === "gather" && uses.length === 1 && uses[0]!.loops.length === this.live.loopsOf(id).length; // prettier-ignore
  }
  isProduct(id: number): boolean {
    return this.sums.products.has(this.root(id));
  }
  isContiguous(view: View, shape: readonly number[]): boolean {
    const stride = view.strides[view.strides.length - 1];
    return (shape[shape.length - 1] ?? 1) === 1 || (stride?.kind === "const" && stride.value === 1);
  }
  /** A product's narrowing cast that only stores read happens on the way out of the product memory. */
  leavesByStore(id: number): boolean {
    const { op, dtype } = this.tile(id);
    if (op.kind !== "cast" || !this.isProduct(op.x) || this.tile(op.x).dtype !== "f32") return false;
    return (dtype === "bf16" || dtype === "f16") && this.onlyStored(id);
  }
  onlyStored(id: number): boolean {
    return this.live.usesOf(id).every((u) => u.kind === "store" || (u.kind === "operand" && this.tile(u.by).op.kind === "reshape" && this.root(u.by) === this.root(id) && this.onlyStored(u.by))); // prettier-ignore
  }
  /** Whether something reads this value from the vector memory. */
  isReadAsVector(id: number): boolean {
    return this.live.usesOf(id).some((u) => {
      switch (u.kind) {
        case "left":
        case "right":
          return !this.split;
        case "acc":
          return !this.sums.products.has(u.by);
        case "init":
        case "next":
          return !this.sums.slots.has(u.slot);
        case "store":
          return !this.isProduct(id);
        case "operand":
          if (this.tile(u.by).op.kind === "reshape" && this.root(u.by) === this.root(id)) return this.isReadAsVector(u.by); // prettier-ignore
          return !this.leavesByStore(u.by);
        case "scatter":
          return true;
      }
    });
  }
  /** Loads that dots read directly in the staging memory. */
  isStaged(id: number): boolean {
    const { op, shape } = this.tile(id);
    return this.split && op.kind === "load" && this.isContiguous(op.view, shape) && !this.isReadAsVector(id);
  }
  /**
   * Operands that the vector core makes and copies to the staging memory itself: where the chip has that way, and whole
   * fractals leave nothing to be filled with zeros or turned on it. Others pass through a workspace.
   */
  isHandedOver(root: number): boolean {
    if (this.chip.arch.matrix.vectorPath !== "direct" || this.live.uniform.has(root) || this.isStaged(root))
      return false;
    const reads = [...this.live.tiles.values()].flatMap(({ op }) => (op.kind === "dot" ? [{ id: op.a, isTurned: op.transA }, { id: op.b, isTurned: !op.transB }] : [])).filter(({ id }) => !this.live.uniform.has(id) && this.root(id) === root); // prettier-ignore
    return reads.length > 0 && reads.every(({ id, isTurned }) => {
      const { shape, dtype } = this.tile(id);
      const [rows, cols] = shape as [number, number];
      const { size } = dtypes[dtype];
      const { n, kBytes } = this.chip.arch.matrix;
      if (cols === 1 || (isTurned && size === 4)) return false;
      return isTurned ? rows % n === 0 : (cols * size) % kBytes === 0;
    }); // prettier-ignore
  }
  /**
   * Products that the matrix core copies to the vector memory itself: where the chip has that way, rows without padding
   * that vector instructions alone read. Others pass through a workspace.
   */
  isTakenOver(id: number): boolean {
    const [, n] = this.tile(id).shape as [number, number];
    if (this.chip.arch.matrix.vectorPath !== "direct" || n % this.chip.arch.matrix.n !== 0) return false;
    const views = [...this.live.tiles.keys()].filter(
      (x) => !this.live.uniform.has(x) && this.root(x) === this.root(id),
    );
    return views
      .flatMap((x) => this.live.usesOf(x))
      .every(({ kind, by }) => {
        if (kind !== "operand") return kind === "acc";
        return inVectorUnit.has(this.tile(by).op.kind);
      });
  }
  isVector(id: number): boolean {
    if (this.live.uniform.has(id)) return false;
    const root = this.root(id);
    if (this.isProduct(root)) return this.isReadAsVector(root);
    return !this.isStaged(root) && !this.leavesByStore(root);
  }
}
