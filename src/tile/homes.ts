/**
 * In which kind of memory each tile of a legal program is, and which tiles share theirs: the decisions behind the
 * plan of spaces.ts, which the emitters ask as well. Main class: `Homes`.
 *   uniform          a number on the scalar unit, no memory
 *   operand          a load that only dots read goes straight to the staging memory
 *   product          a dot whose result is added to by later dots, or leaves by a store, stays in the product memory
 *   vector           everything else, products that vector ops read included
 */
import type { Chip, Role, Space } from "./chips/types.ts";
import type { TileValue, View } from "./ir.ts";
import type { LegalProgram } from "./legality.ts";
import { findAccumulations, type Accumulations } from "./accumulate.ts";
import { Liveness } from "./liveness.ts";
import { keepsLayout } from "./padding.ts";

export class Homes {
  readonly chip: Chip;
  readonly live: Liveness;
  readonly sums: Accumulations;
  readonly roles: Readonly<Record<Role, Space>>;

  constructor(legal: LegalProgram, chip: Chip) {
    this.chip = chip;
    this.roles = chip.arch.roles;
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
    return op.kind === "reshape" && keepsLayout(this.chip, this.roles.vector, this.tile(op.x), this.tile(id)) ? this.root(op.x) : id; // prettier-ignore
  }
  /** The tile that names the vector memory `id` is in: views, and a carried slot with its result, share one. */
  head(id: number): number {
    const root = this.root(id);
    return this.sums.products.has(root) ? root : this.live.slotHead(root);
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
  isVector(id: number): boolean {
    if (this.live.uniform.has(id)) return false;
    const root = this.root(id);
    if (this.isProduct(root)) return this.isReadAsVector(root);
    return !this.isStaged(root) && !this.leavesByStore(root);
  }
}
