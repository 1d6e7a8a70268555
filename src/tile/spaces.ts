/**
 * Where each tile of a legal program lives on a chip: its memory, bytes with padding, live range and offset.
 * Main function: `assignMemorySpaces`. One tile has one home; homes.ts says which.
 * A cell is a piece of memory several values share: views by reshape, a loop's carried value and its result, the turns
 * of one accumulation. Padding is conservative: rows are aligned, broadcasts are copied, one program has one vector core.
 */
import { dtypes, isFloat } from "../base/dtype.ts";
import { spaceOf, type Chip, type Space } from "./chips/types.ts";
import { boxOf, isSpread } from "./boxes.ts";
import type { IndexExpr, TileValue, View } from "./ir.ts";
import type { LegalProgram } from "./legality.ts";
import { Homes } from "./homes.ts";
import type { Range } from "./liveness.ts";
import { extendedTiles, type Extended, type Pipeline } from "./pipeline.ts";
import { bitsOf, dotBytes, roundUp, rowsOf, tileBytes } from "./padding.ts";
import { scratchOf } from "./scratch.ts";
import { operandsOf } from "./walk.ts";

export interface Placement {
  /** The tile, and what of it: "value", "operand", "left", "right", "product", "scratch". */
  readonly tile: number;
  readonly part: string;
  readonly space: Space;
  readonly bytes: number;
  readonly offset: number;
  /** First and last statement position, both included. */
  readonly from: number;
  readonly to: number;
  /** The loop ("grid": over programs) whose turns take the two halves of the place by turns; else there is one. */
  readonly turns?: string | undefined;
  /** The tile that an instruction turns this one into, in the same place. */
  readonly into?: number;
}

/** A place that copies fill or empty while instructions work on another: whether it has two halves, and if not, why. */
export interface Buffering {
  readonly tile: number;
  readonly part: string;
  readonly space: Space;
  readonly turns: string;
  readonly bytes: number;
  readonly refusal: string | undefined;
}

export interface MemoryPlan {
  readonly placements: readonly Placement[];
  readonly buffering: readonly Buffering[];
  /** Highest byte used of each memory the program touches. */
  readonly peakBytes: Readonly<Partial<Record<Space, number>>>;
  /** Bytes that pass between vector and matrix memories through device memory, per turn of each dot. */
  readonly workspaceBytes: number;
}

/** Whether copies fill a place or empty it while other instructions run. */
type Traffic = "in" | "out" | undefined;
export type Request = Omit<Placement, "offset"> & {
  readonly reuses: readonly string[];
  readonly key: string;
  readonly traffic: Traffic;
  /** Another core fills it, ahead of this one: no other tile may have its bytes, at any time. */
  readonly isShared: boolean;
};

class SpacePlanner extends Homes {
  private readonly legal: LegalProgram;
  private readonly requests: Request[] = [];
  private readonly groups = new Map<number, number[]>();
  private readonly extended: ReadonlyMap<number, Extended>;
  private workspaceBytes = 0;

  constructor(legal: LegalProgram, chip: Chip, pipelines: readonly Pipeline[]) {
    super(legal, chip);
    this.legal = legal;
    this.extended = extendedTiles(this, pipelines);
    for (const id of this.live.tiles.keys()) {
      const head = this.head(id);
      const group = this.groups.get(head);
      if (group) group.push(id);
      else this.groups.set(head, [id]);
    }
  }

  run(): Requests {
    for (const tile of this.live.tiles.values()) this.place(tile);
    for (const s of this.live.stores) if (this.isVector(s.value)) this.stagedStrides(s.value, s.view, s.boxAt, s.at);
    this.operands();
    const loops = [...this.live.loops].map(([id, { from, to }]) => ({ name: String(id), from, to }));
    return { requests: this.requests, workspaceBytes: this.workspaceBytes, loops };
  }

  private ask(key: string, tile: number, part: string, space: Space, bytes: number, range: Range, reuses: readonly string[] = [], traffic: Traffic = undefined, isShared = false): void {
    this.requests.push({ key, tile, part, space, bytes, from: range.from, to: range.to, reuses, traffic: this.split ? traffic : undefined, isShared });
  } // prettier-ignore
  private scratch(tile: number, bytes: number, at: number, part = "scratch"): void {
    this.ask(`${part}${tile}.${this.requests.length}`, tile, part, this.roles.vector, bytes, { from: at, to: at });
  }

  private place(tile: TileValue): void {
    const { id, op } = tile;
    const at = this.live.at(id);
    if (this.live.uniform.has(id)) {
      const slots = this.live.usesOf(id).filter((u) => u.kind === "left" || u.kind === "right" || u.kind === "store" || u.kind === "scatter"); // prettier-ignore
      for (const u of slots) this.scratch(id, tileBytes(this.chip, this.roles.vector, tile), u.at, "filled");
      return;
    }
    if (op.kind === "load" && !this.isStaged(id)) this.stagedStrides(id, op.view, op.at, at);
    if (this.root(id) !== id) return;
    if (this.sums.cellOf(id) === id) this.product(tile);
    if (this.isVector(id) && this.head(id) === id) this.vector(tile);
    const expansion = this.legal.expansions.get(id);
    const largest = Math.max(...[id, ...operandsOf(tile)].map((x) => tileBytes(this.chip, this.roles.vector, this.tile(x)))); // prettier-ignore
    if (expansion && expansion.tiles > 0) this.scratch(id, expansion.tiles * largest, at);
    for (const { part, bytes } of scratchOf(this.chip, tile, operandsOf(tile).map((x) => this.tile(x)))) this.scratch(id, bytes, at, part); // prettier-ignore
    // Numbers of rows that are repeated along them, a block each.
    if (operandsOf(tile).some((x) => this.isRepeatedColumn(x)))
      this.scratch(id, roundUp(rowsOf(this.chip, this.roles.vector, tile).rows, 8) * 32, at, "blocks");
    const filled = this.filledOperands(tile);
    if (filled > 0) this.scratch(id, filled * largest, at, "filled");
  }

  /** Uniform operands the instruction cannot take as a number. */
  private filledOperands(tile: TileValue): number {
    const { op } = tile;
    const { scalarOperand } = this.chip.arch.vector;
    const uniforms = operandsOf(tile).filter((x) => this.live.uniform.has(x)).length;
    switch (op.kind) {
      case "binary":
        return scalarOperand.binary.has(op.op) ? 0 : uniforms;
      case "compare":
        return scalarOperand.compare ? 0 : uniforms;
      case "select":
        return Math.max(0, uniforms - (scalarOperand.select ? 1 : 0));
      default:
        return uniforms;
    }
  }

  private vector(tile: TileValue): void {
    const { id, op } = tile;
    const range = this.live.spanOf(this.groups.get(id)!);
    const space = this.roles.vector;
    const own = tileBytes(this.chip, space, tile);
    const bytes = op.kind === "dot" && !this.split ? Math.max(own, dotBytes(this.chip, this.tile(op.a), tile).product) : own; // prettier-ignore
    // One instruction may write over an operand that ends with it.
    const inPlace = ["unary", "binary", "select", "cast"].includes(op.kind) && (this.legal.expansions.get(id)?.tiles ?? 0) === 0; // prettier-ignore
    // A number to select from is put in place first.
    const isFilled = op.kind === "select" && (this.live.uniform.has(op.a) || (this.live.uniform.has(op.b) && !isFloat(tile.dtype))); // prettier-ignore
    // Elements of another size would be overwritten before they are read.
    const sameSize = operandsOf(tile).filter((x) => !this.isRepeated(x) && bitsOf(this.chip, this.tile(x).dtype) === bitsOf(this.chip, tile.dtype) && tileBytes(this.chip, space, { ...tile, dtype: this.tile(x).dtype }) === own); // prettier-ignore
    const reuses = inPlace && !isFilled ? sameSize.map((x) => `v${this.head(x)}`) : [];
    const more = this.extended.get(id);
    if (more) return this.ask(`v${id}`, id, "value", space, bytes * more.buffers, more.range);
    const isTaken = (op.kind === "dot" || this.isProduct(id)) && this.isTakenOver(id);
    this.ask(`v${id}`, id, "value", space, bytes, range, reuses, this.trafficOf(this.groups.get(id)!), isTaken);
    if (this.sums.products.has(id) && this.throughWorkspace) this.workspaceBytes += own;
  }

  private trafficOf(group: readonly number[]): Traffic {
    const isFilled = (id: number): boolean => {
      const { kind } = this.tile(id).op;
      return (kind === "load" && !this.isStaged(id)) || kind === "gather" || kind === "dot" || this.isProduct(id);
    };
    const isEmptied = (id: number): boolean => this.live.usesOf(id).some(({ kind }) => ["store", "scatter", "left", "right"].includes(kind)); // prettier-ignore
    return group.some(isFilled) ? "in" : group.some(isEmptied) ? "out" : undefined;
  }

  private product(tile: TileValue): void {
    const members = this.sums.cell(tile.id);
    const range = this.live.spanOf(members);
    const dot = members.map((x) => this.tile(x)).find((t) => t.op.kind === "dot")!;
    const { a } = dot.op as Extract<TileValue["op"], { kind: "dot" }>;
    this.ask(`p${tile.id}`, tile.id, "product", this.roles.product, dotBytes(this.chip, this.tile(a), dot).product, range, [], "out"); // prettier-ignore
  }

  private operands(): void {
    const staged: [number, number][] = [];
    for (const tile of this.live.tiles.values()) {
      const { op, id } = tile;
      if (op.kind !== "dot") continue;
      const at = this.live.at(id);
      const here = { from: at, to: at };
      const bytes = dotBytes(this.chip, this.tile(op.a), tile);
      // A product that joins a vector accumulator passes through the product memory.
      if (this.split && !this.sums.products.has(id)) {
        this.ask(`p${id}`, id, "product", this.roles.product, bytes.product, here, [], "out");
        if (this.throughWorkspace) this.workspaceBytes += bytes.product;
      }
      if (this.split) {
        staged.push([op.a, bytes.left], [op.b, bytes.right]);
        this.ask(`l${id}`, id, "left", this.roles.left, bytes.left, here, [], "in");
      } else {
        const { n } = this.chip.arch.matrix;
        const rowBytes = roundUp(tile.shape[1]!, n) * 4;
        if (op.transA) this.scratch(id, bytes.left, at, "turned_left");
        // Columns that are missing are zeros in a copy.
        if (!op.transB || tile.shape[1]! % n !== 0) this.scratch(id, bytes.right, at, "turned_right");
        this.scratch(id, bytes.right, at, "rearranged");
        const own = tileBytes(this.chip, this.roles.vector, tile);
        // A product has padded columns; a tile may have fewer.
        if (own !== tile.shape[0]! * rowBytes) this.scratch(id, bytes.product, at, "product");
        // The integers that a product is added to, as numbers.
        if (tile.dtype === "i32" && op.acc !== undefined) this.scratch(id, own, at, "sum");
      }
      this.ask(`r${id}`, id, "right", this.roles.right, bytes.right, here, [], "in");
    }
    this.stage(staged);
  }

  /** Copies of dot operands in the staging memory, one for all dots that read a tile. */
  private stage(operands: readonly (readonly [id: number, bytes: number])[]): void {
    const largest = new Map<number, number>();
    for (const [id, bytes] of operands) largest.set(this.root(id), Math.max(bytes, largest.get(this.root(id)) ?? 0));
    for (const [root, bytes] of largest) {
      const range = this.live.spanOf(this.groups.get(this.head(root))!.filter((x) => this.root(x) === root));
      this.ask(`s${root}`, root, "operand", this.roles.stage, bytes, range, [], "in", this.isHandedOver(root));
      if (!this.isStaged(root) && this.throughWorkspace) this.workspaceBytes += bytes;
    }
  }

  /** A copy whose elements are apart in device memory needs room to spread and close up again. */
  private stagedStrides(id: number, view: View, boxAt: readonly IndexExpr[], at: number): void {
    const { size } = dtypes[this.tile(id).dtype];
    const spread = this.chip.arch.stridedElementBytes(size);
    if (spread === size) return;
    const box = boxOf(this.chip, this.roles.vector, view, boxAt, this.tile(id));
    if (!isSpread(box, size)) return;
    // With the offsets that gather the elements of a row.
    this.scratch(id, box.rows.rows * roundUp(box.rows.length, 8) * spread + roundUp(box.rows.length, 64) * 4, at, "strided"); // prettier-ignore
  }
}

/** What asks for room, before it has any. */
export interface Requests {
  readonly requests: readonly Request[];
  readonly workspaceBytes: number;
  readonly loops: readonly (Range & { readonly name: string })[];
}

/** Shared places have their bytes all of the time. */
export function lasting(requests: readonly Request[]): Request[] {
  const to = Math.max(0, ...requests.map((r) => r.to));
  return requests.map((r) => (r.isShared ? { ...r, from: 0, to } : r));
}

/** Offsets by first fit in order of definition. */
export function pack(requests: readonly Request[], chip: Chip): Pick<MemoryPlan, "placements" | "peakBytes"> {
  const placements: (Omit<Placement, "to"> & { key: string; to: number })[] = [];
  const peakBytes: Partial<Record<Space, number>> = {};
  const ordered = requests.toSorted((a, b) => a.from - b.from);
  for (const { reuses, traffic: _, isShared: _shared, ...r } of ordered) {
    const { alignBytes } = spaceOf(chip, r.space);
    const bytes = roundUp(r.bytes, alignBytes) * (r.turns === undefined ? 1 : 2);
    const live = placements.filter((p) => p.space === r.space && p.to >= r.from);
    const heir = live.find((p) => reuses.includes(p.key) && p.to === r.from && p.bytes === bytes);
    const busy = live.filter((p) => p !== heir).toSorted((a, b) => a.offset - b.offset);
    let offset = heir?.offset ?? 0;
    if (!heir) for (const p of busy) if (p.offset < offset + bytes && offset < p.offset + p.bytes) offset = roundUp(p.offset + p.bytes, alignBytes); // prettier-ignore
    // The operand ends where its heir begins.
    if (heir) heir.to = r.from - 1;
    placements.push({ ...r, bytes, offset });
    peakBytes[r.space] = Math.max(peakBytes[r.space] ?? 0, offset + bytes);
  }
  return { placements, peakBytes };
}

export const requestsOf = (legal: LegalProgram, chip: Chip, pipelines: readonly Pipeline[] = []): Requests =>
  new SpacePlanner(legal, chip, pipelines).run();

/** `pipelines` say which tiles have two buffers, and until when. */
export function assignMemorySpaces(legal: LegalProgram, chip: Chip, pipelines: readonly Pipeline[] = []): MemoryPlan {
  const { requests, workspaceBytes } = requestsOf(legal, chip, pipelines);
  return { ...pack(lasting(requests), chip), workspaceBytes, buffering: [] };
}
