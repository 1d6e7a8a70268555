/**
 * Decides, before text is printed, how each tile of a program lives: recomputed inside the loops that use it
 * ("virtual"), or held in memory, and until when. One pass from the last statement to the first, so that a tile's
 * readers are decided before the tile. Main function: `planFusion`.
 */
import type { Stmt, TileProgram, TileValue } from "../../ir.ts";
import { operandsOf, sizeOf } from "../../walk.ts";

export type Life = "virtual" | "memory";

export interface TilePlan {
  readonly tile: TileValue;
  life: Life;
  /** Position of the last statement that reads it, loops counted to their end. */
  lastUse: number;
  /** Loads only: read by nothing but dots, which clip to the valid box themselves. */
  dotOnly: boolean;
}

export interface FusionPlan {
  readonly tiles: ReadonlyMap<number, TilePlan>;
  /** Statement positions, in text order. */
  readonly positions: ReadonlyMap<Stmt, { readonly at: number; readonly end: number }>;
  /** Buffers some statement writes; loads from them are copied where they stand. */
  readonly written: ReadonlySet<string>;
  /** Carried slots whose `next` may be computed in place: key `loop:slot`. */
  readonly inPlace: ReadonlySet<string>;
}

const elementwise = new Set(["unary", "binary", "compare", "select", "cast", "random"]);
const free = new Set(["full", "scalar", "index", "iota"]);

/** Only size-1 axes come or go. */
export const isUnitReshape = (from: readonly number[], to: readonly number[]): boolean => {
  const a = from.filter((n) => n !== 1);
  const b = to.filter((n) => n !== 1);
  return a.length === b.length && a.every((n, i) => n === b[i]);
};

export function planFusion(program: TileProgram): FusionPlan {
  const tiles = new Map<number, TilePlan>();
  const positions = new Map<Stmt, { at: number; end: number }>();
  const written = new Set<string>();
  /** The statement list a tile is defined in, and the loops around it. */
  const home = new Map<number, { list: readonly Stmt[]; loops: readonly Stmt[] }>();
  let clock = 0;
  const scan = (list: readonly Stmt[], loops: readonly Stmt[]): void => {
    for (const stmt of list) {
      const at = clock++;
      if (stmt.kind === "let") {
        tiles.set(stmt.tile.id, {
          tile: stmt.tile,
          life: "memory",
          lastUse: at,
          dotOnly: stmt.tile.op.kind === "load",
        });
        home.set(stmt.tile.id, { list, loops });
      } else if (stmt.kind === "loop") scan(stmt.body, [...loops, stmt]);
      else if (stmt.kind === "if") scan(stmt.body, loops);
      else written.add(stmt.view.buffer);
      positions.set(stmt, { at, end: clock++ });
    }
  };
  scan(program.body, []);

  /** Which root loops would evaluate a tile if it stayed virtual; "" forces memory. */
  const roots = new Map<number, Set<string>>();
  const touch = (id: number, at: number, list: readonly Stmt[], loops: readonly Stmt[], root: string): void => {
    const plan = tiles.get(id)!;
    const own = home.get(id)!;
    const outer = loops.find((l) => !own.loops.includes(l));
    plan.lastUse = Math.max(plan.lastUse, outer ? positions.get(outer)!.end : at);
    let set = roots.get(id);
    if (!set) roots.set(id, (set = new Set()));
    set.add(list === own.list ? root : "");
  };
  const isLoadLike = (id: number): boolean => {
    const tile = tiles.get(id)!.tile;
    return tile.op.kind === "load" && !written.has(tile.op.view.buffer);
  };

  const visitLet = (tile: TileValue, at: number, list: readonly Stmt[], loops: readonly Stmt[]): void => {
    const plan = tiles.get(tile.id)!;
    const op = tile.op;
    const reads = roots.get(tile.id) ?? new Set<string>();
    const one = reads.size === 1 && !reads.has("");
    // A cast of plain memory costs less to redo than to keep.
    const light = op.kind === "cast" && isLoadLike(op.x) && ![...reads].some((r) => r === "" || r.startsWith("m"));
    if (sizeOf(tile.shape) === 1 && !free.has(op.kind)) plan.life = "memory";
    else if (free.has(op.kind)) plan.life = "virtual";
    else if (elementwise.has(op.kind))
      plan.life = (one && ![...reads][0]!.startsWith("m")) || light ? "virtual" : "memory";
    else plan.life = "memory";

    const asWhole = (id: number): void => {
      touch(id, Math.max(at, plan.lastUse), list, loops, `m${tile.id}`);
      if (op.kind !== "dot" && op.kind !== "transpose" && op.kind !== "reshape") dropDotOnly(id);
    };
    switch (op.kind) {
      case "unary":
      case "binary":
      case "compare":
      case "select":
      case "cast":
      case "random":
        for (const x of operandsOf(tile)) {
          dropDotOnly(x);
          if (plan.life === "memory") touch(x, at, list, loops, `t${tile.id}`);
          else for (const root of reads) touch(x, plan.lastUse, root === "" ? [] : list, loops, root);
        }
        return;
      case "reduce":
        dropDotOnly(op.x);
        touch(op.x, at, list, loops, `t${tile.id}`);
        return;
      case "broadcast":
        // Index mapping only; what is repeated must already be in memory.
        asWhole(op.x);
        return;
      case "reshape":
      case "transpose":
        if (onlyDots(tile.id)) markDot(op.x);
        else dropDotOnly(op.x);
        if (op.kind === "reshape" && !isUnitReshape(tiles.get(op.x)!.tile.shape, tile.shape)) dropDotOnly(op.x);
        asWhole(op.x);
        return;
      case "dot":
        asWhole(op.a);
        asWhole(op.b);
        markDot(op.a);
        markDot(op.b);
        if (op.acc !== undefined) {
          dropDotOnly(op.acc);
          touch(op.acc, at, list, loops, `t${tile.id}`);
        }
        return;
      case "carry":
      case "result":
        return;
      default:
        for (const x of operandsOf(tile)) asWhole(x);
    }
  };
  /** Reshapes and transposes seen so far only by dots. */
  const dotReads = new Set<number>();
  const otherReads = new Set<number>();
  const markDot = (id: number): void => void dotReads.add(id);
  const onlyDots = (id: number): boolean => dotReads.has(id) && !otherReads.has(id);
  const dropDotOnly = (id: number): void => {
    otherReads.add(id);
    tiles.get(id)!.dotOnly = false;
  };

  const visit = (list: readonly Stmt[], loops: readonly Stmt[]): void => {
    for (let i = list.length - 1; i >= 0; i--) {
      const stmt = list[i]!;
      const { at, end } = positions.get(stmt)!;
      switch (stmt.kind) {
        case "let":
          visitLet(stmt.tile, at, list, loops);
          break;
        case "store":
          dropDotOnly(stmt.value);
          touch(stmt.value, at, list, loops, `s${at}`);
          break;
        case "scatter":
          dropDotOnly(stmt.value);
          dropDotOnly(stmt.rows);
          touch(stmt.value, at, list, loops, `s${at}`);
          touch(stmt.rows, at, list, loops, `m${at}`);
          break;
        case "loop":
          for (const id of stmt.next) {
            dropDotOnly(id);
            touch(id, end, stmt.body, [...loops, stmt], `m-next${at}`);
          }
          visit(stmt.body, [...loops, stmt]);
          for (const id of stmt.init) {
            dropDotOnly(id);
            touch(id, at, list, loops, `t-init${at}`);
          }
          break;
        case "if":
          visit(stmt.body, loops);
          break;
      }
    }
  };
  visit(program.body, []);
  return { tiles, positions, written, inPlace: findInPlace(program, tiles) };
}

/** Loop slots whose new value may overwrite the carried one while it is computed: nothing after reads the old one. */
function findInPlace(program: TileProgram, tiles: ReadonlyMap<number, TilePlan>): Set<string> {
  const found = new Set<string>();
  /** Memory tiles whose contents an expression reads, through virtual ones; `same` when always at the same index. */
  const sources = (id: number, same: boolean, out: Map<number, boolean>): void => {
    const { tile, life } = tiles.get(id)!;
    const kind = tile.op.kind;
    if (life === "virtual" && elementwise.has(kind)) for (const x of operandsOf(tile)) sources(x, same, out);
    else if (kind === "broadcast" || kind === "reshape" || kind === "transpose") {
      out.set(id, false);
      sources(operandsOf(tile)[0]!, false, out);
    } else out.set(id, same && (out.get(id) ?? true));
  };
  const readsOf = (stmt: Stmt, out: Map<number, boolean>): void => {
    if (stmt.kind === "let") {
      const { life } = tiles.get(stmt.tile.id)!;
      const kind = stmt.tile.op.kind;
      // Aliases and virtual tiles read where their readers stand.
      if (kind === "broadcast" || kind === "reshape" || kind === "transpose") return;
      if (life === "memory") for (const x of operandsOf(stmt.tile)) sources(x, elementwise.has(kind), out);
    } else if (stmt.kind === "store" || stmt.kind === "scatter") {
      sources(stmt.value, false, out);
      if (stmt.kind === "scatter") sources(stmt.rows, false, out);
    } else {
      if (stmt.kind === "loop") for (const x of stmt.init) sources(x, false, out);
      for (const inner of stmt.body) readsOf(inner, out);
      if (stmt.kind === "loop") for (const x of stmt.next) sources(x, false, out);
    }
  };
  const walk = (list: readonly Stmt[]): void => {
    for (const stmt of list) {
      if (stmt.kind === "if") walk(stmt.body);
      if (stmt.kind !== "loop") continue;
      walk(stmt.body);
      stmt.next.forEach((next, slot) => {
        if (stmt.next.indexOf(next) !== slot) return;
        const at = stmt.body.findIndex((s) => s.kind === "let" && s.tile.id === next);
        if (at < 0) return;
        const { tile, life } = tiles.get(next)!;
        if (life !== "memory" || !(tile.op.kind === "dot" || elementwise.has(tile.op.kind))) return;
        const carried = [...tiles.values()].find(
          (p) => p.tile.op.kind === "carry" && p.tile.op.loop === stmt.id && p.tile.op.slot === slot,
        );
        if (!carried) return;
        const id = carried.tile.id;
        const own = new Map<number, boolean>();
        if (tile.op.kind === "dot") {
          sources(tile.op.a, false, own);
          sources(tile.op.b, false, own);
          if (tile.op.acc !== undefined) sources(tile.op.acc, true, own);
        } else for (const x of operandsOf(tile)) sources(x, true, own);
        if (own.get(id) === false) return;
        const later = new Map<number, boolean>();
        for (const s of stmt.body.slice(at + 1)) readsOf(s, later);
        for (const [i, x] of stmt.next.entries()) if (i !== slot) sources(x, false, later);
        if (later.has(id)) return;
        found.add(`${stmt.id}:${slot}`);
      });
    }
  };
  walk(program.body);
  return found;
}
