/**
 * What both cores of a kernel share: homes and places of tiles, names, scalars, refusals, and how tiles pass between the
 * cube and the vector core. Main class: `Plan`.
 */
import type { DType } from "../../../base/dtype.ts";
import { assert, CompileError } from "../../../base/errors.ts";
import { Homes } from "../../homes.ts";
import type { Stmt, TileValue } from "../../ir.ts";
import { isHalved } from "../../halves.ts";
import type { Lowering } from "../../passes.ts";
import { opName } from "../../print.ts";
import type { Placement } from "../../spaces.ts";
import { loopStartsOf, operandsOf } from "../../walk.ts";
import type { Pipe } from "./code.ts";
import { Scalars } from "./scalars.ts";

/** Parts that a tile has one of, however long they live. */
const lasting: ReadonlySet<string> = new Set(["value", "operand", "product", "left", "right"]);

export class Plan {
  readonly lowering: Lowering;
  readonly homes: Homes;
  readonly scalars: Scalars;
  private readonly placements = new Map<string, Placement[]>();

  constructor(lowering: Lowering) {
    this.lowering = lowering;
    this.homes = new Homes(lowering, lowering.chip);
    this.scalars = new Scalars(this.homes.live.tiles, loopStartsOf(lowering.program), this.refuse);
    for (const p of lowering.memory.placements) {
      const key = `${p.tile} ${p.part}`;
      const list = this.placements.get(key);
      if (list) list.push(p);
      else this.placements.set(key, [p]);
    }
  }

  refuse = (op: string, dtype: DType, reason: string): never => {
    const { program, chip } = this.lowering;
    throw new CompileError(`emit: kernel ${program.name} on ${chip.name}: ${op} of ${dtype}: ${reason}`, { pass: "emitAscend", target: chip.name }); // prettier-ignore
  };

  /** Room of a tile; of several under one name, that of the statement at `at`, or else of the tile's own. */
  findPlacement(tile: number, part: string, at = lasting.has(part) ? undefined : this.homes.live.at(tile)): Placement | undefined {
    const list = this.placements.get(`${tile} ${part}`);
    return at === undefined ? list?.[0] : list?.find((p) => p.from === at);
  } // prettier-ignore
  placement(tile: number, part: string, at?: number): Placement {
    const p = this.findPlacement(tile, part, at);
    assert(p, `${this.lowering.program.name}: no ${part} of tile %${tile}`);
    return p;
  }
  expansionTiles(tile: number): number {
    return this.lowering.expansions.get(tile)?.tiles ?? 0;
  }

  /** Whether both vector cores of a block work, each on its half of every tile. */
  get isHalved(): boolean {
    return isHalved(this.lowering);
  }
  /** Pipes whose instructions complete in order: the vector unit of architecture 3510. */
  get inOrder(): ReadonlySet<Pipe> {
    return new Set(this.lowering.chip.arch.matrix.vectorPath === "direct" ? ["V"] : []);
  }
  /**
   * Statements of a block as they are issued: loads into places with two halves first, stores out of such at the end, as
   * far as no one else in the block touches their buffers. Such a place is the tile's own for all of a turn.
   */
  scheduled(stmts: readonly Stmt[]): readonly Stmt[] {
    const rank = stmts.map((s) => {
      if (s.kind === "let" && s.tile.op.kind === "load") {
        const { id, op } = s.tile;
        return this.isTurning(id) && this.isOnlyRead(op.view.buffer) ? 0 : 1;
      }
      return s.kind === "store" && this.isTurning(s.value) && stmts.every((o) => o === s || !touches(o, s.view.buffer)) ? 2 : 1; // prettier-ignore
    });
    return [0, 1, 2].flatMap((r) => stmts.filter((_, i) => rank[i] === r));
  }
  private isTurning(id: number): boolean {
    if (this.homes.live.uniform.has(id)) return false;
    const [head, root] = [this.homes.head(id), this.homes.root(id)];
    const cell = this.homes.sums.cellOf(root) ?? root;
    return [this.findPlacement(head, "value"), this.findPlacement(root, "operand"), this.findPlacement(cell, "product")].some((p) => p?.turns !== undefined); // prettier-ignore
  }
  private isOnlyRead(buffer: string): boolean {
    return this.lowering.program.params.some((p) => p.kind === "buffer" && p.name === buffer && p.mode === "in");
  }
  nameOf(id: number): string {
    const { op } = this.homes.tile(this.homes.head(id));
    const base = op.kind === "load" || op.kind === "gather" ? op.view.buffer : op.kind === "carry" ? "sum" : opName(op);
    return `${base}_${this.homes.head(id)}`;
  }
  /** One line about a tile. */
  describe(tile: TileValue): string {
    const { op, dtype, shape } = tile;
    const reads = "x" in op ? [op.x] : "a" in op ? [op.a, op.b] : op.kind === "gather" ? operandsOf(tile) : [];
    const names = reads.map((x) => (this.homes.live.uniform.has(x) ? this.scalars.number(x) : this.nameOf(x)));
    const from = op.kind === "load" || op.kind === "gather" ? ` ${op.view.buffer}` : "";
    return `${this.nameOf(tile.id)}: ${dtype} [${shape.join(", ")}] = ${opName(op)}${from}${names.length ? ` ${names.join(", ")}` : ""}`; // prettier-ignore
  }
}

const touches = (s: Stmt, buffer: string): boolean => {
  if (s.kind === "loop" || s.kind === "if") return s.body.some((x) => touches(x, buffer));
  if (s.kind !== "let") return s.view.buffer === buffer;
  return (s.tile.op.kind === "load" || s.tile.op.kind === "gather") && s.tile.op.view.buffer === buffer;
};
