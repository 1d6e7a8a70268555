/**
 * When each tile of a program is made and last read, as statement positions in text order, loops counted to their end.
 * Owns positions and uses; what they mean for memory is spaces.ts. Main class: `Liveness`.
 */
import type { IndexExpr, Stmt, TileProgram, TileValue, View } from "./ir.ts";
import { isUniform } from "./legality.ts";
import { operandsOf } from "./walk.ts";

export interface Range {
  readonly from: number;
  readonly to: number;
}

type LoopStmt = Extract<Stmt, { kind: "loop" }>;
interface LoopSpan extends Range {
  readonly stmt: LoopStmt;
}

/** One reading of a tile. `by` is the reading tile (-1 for statements), `slot` the carried slot, "loop:slot". */
export interface Use {
  readonly kind: "operand" | "left" | "right" | "acc" | "store" | "scatter" | "init" | "next";
  readonly by: number;
  readonly slot: string;
  readonly at: number;
  readonly loops: readonly number[];
}

export class Liveness {
  readonly tiles = new Map<number, TileValue>();
  readonly uniform = new Set<number>();
  readonly stores: { readonly value: number; readonly view: View; readonly boxAt: readonly IndexExpr[]; readonly at: number }[] = []; // prettier-ignore
  readonly loops = new Map<number, LoopSpan>();
  private readonly defs = new Map<number, { readonly at: number; readonly loops: readonly number[] }>();
  private readonly uses = new Map<number, Use[]>();
  /** "loop:slot" -> its carry tile and, after the loop, its result tile. */
  private readonly carries = new Map<string, number>();
  private readonly results = new Map<string, number>();
  private readonly positions = new Map<Stmt, number>();
  private clock = 0;
  private readonly body: readonly Stmt[];

  constructor(program: TileProgram) {
    this.body = program.body;
    this.list(program.body, []);
  }

  positionOf(stmt: Stmt): number {
    return this.positions.get(stmt)!;
  }
  at(id: number): number {
    return this.defs.get(id)!.at;
  }
  /** Around its definition, outermost first. */
  loopsOf(id: number): readonly number[] {
    return this.defs.get(id)!.loops;
  }
  usesOf(id: number): readonly Use[] {
    return this.uses.get(id) ?? [];
  }
  carryOf(slot: string): number | undefined {
    return this.carries.get(slot);
  }
  resultOf(slot: string): number | undefined {
    return this.results.get(slot);
  }
  /** The first value of the memory a carried slot lives in; other tiles are their own. */
  slotHead(id: number): number {
    const { op } = this.tiles.get(id)!;
    return op.kind === "result" ? (this.carries.get(`${op.loop}:${op.slot}`) ?? id) : id;
  }

  /** Whether every turn of a loop ("grid": of the programs) makes a tile once: no condition or inner loop is around it. */
  isInEachTurn(id: number, turns: string): boolean {
    const stmts = turns === "grid" ? this.body : this.loops.get(Number(turns))!.stmt.body;
    return stmts.some((s) => s.kind === "let" && s.tile.id === id);
  }

  /** From the first definition to the last reading of several tiles that share memory. */
  spanOf(ids: readonly number[]): Range {
    let [from, to] = [Number.POSITIVE_INFINITY, 0];
    for (const id of ids) {
      const { op } = this.tiles.get(id)!;
      const def = this.defs.get(id)!;
      from = Math.min(from, def.at);
      to = Math.max(to, def.at);
      if (op.kind === "carry") {
        // Filled before the first turn, overwritten at the end of each.
        const loop = this.loops.get(op.loop)!;
        [from, to] = [Math.min(from, loop.from), Math.max(to, loop.to)];
      }
      for (const use of this.usesOf(id)) {
        const outer = use.loops.find((l) => !def.loops.includes(l));
        to = Math.max(to, outer === undefined ? use.at : this.loops.get(outer)!.to);
      }
    }
    return { from, to };
  }

  private list(stmts: readonly Stmt[], loops: readonly number[]): void {
    for (const stmt of stmts) this.stmt(stmt, loops);
  }

  private stmt(stmt: Stmt, loops: readonly number[]): void {
    const at = this.clock++;
    this.positions.set(stmt, at);
    const use = (id: number, kind: Use["kind"], by = -1, slot = "", where = { at, loops }): void => {
      const list = this.uses.get(id);
      if (list) list.push({ kind, by, slot, ...where });
      else this.uses.set(id, [{ kind, by, slot, ...where }]);
    };
    switch (stmt.kind) {
      case "let": {
        const { tile } = stmt;
        const { op } = tile;
        this.tiles.set(tile.id, tile);
        this.defs.set(tile.id, { at, loops });
        if (isUniform(tile, (id) => this.uniform.has(id))) this.uniform.add(tile.id);
        if (op.kind === "carry") this.carries.set(`${op.loop}:${op.slot}`, tile.id);
        if (op.kind === "result") this.results.set(`${op.loop}:${op.slot}`, tile.id);
        if (op.kind === "dot") {
          use(op.a, "left", tile.id);
          use(op.b, "right", tile.id);
          if (op.acc !== undefined) use(op.acc, "acc", tile.id);
        } else for (const x of operandsOf(tile)) use(x, "operand", tile.id);
        return;
      }
      case "store":
        use(stmt.value, "store");
        this.stores.push({ value: stmt.value, view: stmt.view, boxAt: stmt.at, at });
        return;
      case "scatter":
        use(stmt.value, "scatter");
        use(stmt.rows, "scatter");
        return;
      case "if":
        this.list(stmt.body, loops);
        return;
      case "loop": {
        stmt.init.forEach((id, slot) => use(id, "init", -1, `${stmt.id}:${slot}`));
        const inside = [...loops, stmt.id];
        this.list(stmt.body, inside);
        const end = this.clock++;
        this.loops.set(stmt.id, { stmt, from: at, to: end });
        stmt.next.forEach((id, slot) => use(id, "next", -1, `${stmt.id}:${slot}`, { at: end, loops: inside }));
      }
    }
  }
}
