/**
 * Software pipelines of a chip whose copies run beside its vector unit (MLU): which loads run one turn ahead of what
 * reads them and which stores run beside the next turn, each with two buffers. A turn is one turn of a loop, or one of
 * the programs that a task takes in order. The ping-pong of load, compute and store needs one wait a turn.
 * Main functions: `findPipelines`, everything that may be done; `choosePipelines`, as much of it as the memories hold.
 */
import { capacityOf, type Chip, type Space } from "./chips/types.ts";
import { Homes } from "./homes.ts";
import type { IndexExpr, Stmt, TileOp, TileValue, View } from "./ir.ts";
import type { LegalProgram } from "./legality.ts";
import type { Range } from "./liveness.ts";
import type { MemoryPlan } from "./spaces.ts";

export type StoreStmt = Extract<Stmt, { kind: "store" }>;
type LoopStmt = Extract<Stmt, { kind: "loop" }>;

/** Copies of one loop, or of the programs of a task, that run beside its computation. */
export interface Pipeline {
  /** Undefined: the programs of a task. */
  readonly loop: number | undefined;
  /** Tiles loaded a turn ahead, in text order; two buffers each. */
  readonly loads: readonly number[];
  /** Loads that every turn would repeat: done before the first one. Only of programs. */
  readonly kept: readonly number[];
  /** Stores that run beside the next turn; two buffers for each value. */
  readonly stores: readonly StoreStmt[];
  /** The whole program keeps its hands off these buffers, so that no wait is needed where the loop begins. */
  readonly isExclusive: boolean;
}

export interface PipelinePlan {
  readonly pipelines: readonly Pipeline[];
  /** What was found and what became of it, for readers. */
  readonly notes: readonly string[];
  /** Whether every loop that may run its loads ahead does; smaller tiles would help where not. */
  readonly hasRoom: boolean;
}
export const noPipelines: PipelinePlan = { pipelines: [], notes: [], hasRoom: true };

/** A tile that needs more than the memory of one turn. */
export interface Extended {
  readonly range: Range;
  readonly buffers: 1 | 2;
}

/** By head of their memory: the tiles of `pipelines`, how many buffers they need and when. */
export function extendedTiles(homes: Homes, pipelines: readonly Pipeline[]): Map<number, Extended> {
  const out = new Map<number, Extended>();
  const whole: Range = { from: 0, to: Number.POSITIVE_INFINITY };
  for (const p of pipelines) {
    const range = p.isExclusive || p.loop === undefined ? whole : homes.live.loops.get(p.loop)!;
    for (const id of p.kept) out.set(homes.head(id), { range, buffers: 1 });
    for (const id of [...p.loads, ...p.stores.map((s) => s.value)])
      if (out.get(homes.head(id))?.buffers !== 1) out.set(homes.head(id), { range, buffers: 2 });
  }
  return out;
}

// ---- what may be done ----
const viewExprs = (v: View): readonly IndexExpr[] => [...v.shape, ...v.strides, v.offset];

class Finder {
  private readonly homes: Homes;
  /** Buffers that the program writes; all but loads of them may move. */
  private readonly written = new Set<string>();
  private readonly scattered = new Set<string>();
  private readonly loaded = new Map<string, number>();

  constructor(homes: Homes, body: readonly Stmt[]) {
    this.homes = homes;
    this.visit(body);
  }
  private visit(stmts: readonly Stmt[]): void {
    for (const s of stmts) {
      if (s.kind === "store" || s.kind === "scatter") this.written.add(s.view.buffer);
      if (s.kind === "scatter") this.scattered.add(s.view.buffer);
      if (s.kind === "let" && (s.tile.op.kind === "load" || s.tile.op.kind === "gather"))
        this.loaded.set(s.tile.op.view.buffer, this.homes.live.positionOf(s));
      if (s.kind === "loop" || s.kind === "if") this.visit(s.body);
    }
  }

  /** Whether an index is known before the program has done anything. */
  private isSteady(e: IndexExpr): boolean {
    if (e.kind === "bin") return this.isSteady(e.a) && this.isSteady(e.b);
    if (e.kind !== "read") return true;
    return !this.written.has(e.view.buffer) && [...viewExprs(e.view), ...e.at].every((x) => this.isSteady(x));
  }
  private isOfPrograms(e: IndexExpr): boolean {
    if (e.kind === "bin") return this.isOfPrograms(e.a) || this.isOfPrograms(e.b);
    if (e.kind === "read") return [...viewExprs(e.view), ...e.at].some((x) => this.isOfPrograms(x));
    return e.kind === "program";
  }

  private loads(body: readonly Stmt[], loop: LoopStmt | undefined): { tile: TileValue; isKept: boolean }[] {
    const stored = new Set<string>();
    const out: { tile: TileValue; isKept: boolean }[] = [];
    for (const s of body) {
      if (s.kind === "store" || s.kind === "scatter") stored.add(s.view.buffer);
      if (s.kind !== "let" || s.tile.op.kind !== "load" || this.homes.live.usesOf(s.tile.id).length === 0) continue;
      const op: Extract<TileOp, { kind: "load" }> = s.tile.op;
      const exprs = [...viewExprs(op.view), ...op.at];
      // The next turn of a loop may read what this one writes; programs are independent of each other.
      const { buffer } = op.view;
      if ((loop ? this.written : stored).has(buffer) || !exprs.every((e) => this.isSteady(e))) continue;
      const isKept = !loop && !this.written.has(buffer) && !exprs.some((e) => this.isOfPrograms(e));
      out.push({ tile: s.tile, isKept });
    }
    return out;
  }

  /** Stores whose value nothing but this turn writes, of buffers that the rest of the program leaves alone. */
  private stores(body: readonly Stmt[]): StoreStmt[] {
    const { live } = this.homes;
    const direct = body.filter((s): s is StoreStmt => s.kind === "store");
    const mayMove = (s: StoreStmt): boolean => {
      if (live.uniform.has(s.value) || this.scattered.has(s.view.buffer)) return false;
      if ((this.loaded.get(s.view.buffer) ?? -1) > live.positionOf(s)) return false;
      const { op } = this.homes.tile(this.homes.head(s.value));
      const isMade = body.some((x) => x.kind === "let" && x.tile.id === this.homes.head(s.value));
      return isMade && op.kind !== "carry" && op.kind !== "result";
    };
    const kept = live.stores.filter((s) => !direct.some((d) => live.positionOf(d) === s.at && mayMove(d)));
    return direct.filter((s) => mayMove(s) && !kept.some((k) => k.view.buffer === s.view.buffer));
  }

  pipeline(body: readonly Stmt[], loop: LoopStmt | undefined): Pipeline | string {
    const all = this.loads(body, loop);
    const loads = all.filter((x) => !x.isKept).map((x) => x.tile.id);
    if (loads.length === 0) return "no load is known a turn ahead";
    const stores = this.stores(body);
    const heads = new Set(loads.map((id) => this.homes.head(id)));
    // Copies of one pipe run one after another whatever is done.
    const isRead = (id: number): boolean =>
      this.homes.live.usesOf(id).some((u) => u.kind !== "store" && !(u.kind === "operand" && heads.has(this.homes.head(u.by)) && !isRead(u.by))); // prettier-ignore
    if (!loads.some(isRead)) return "only copies, nothing to compute beside them";
    const kept = all.filter((x) => x.isKept).map((x) => x.tile.id);
    return { loop: loop?.id, loads, kept, stores, isExclusive: true };
  }
}

const nameOf = (p: { readonly loop: number | undefined }): string => (p.loop === undefined ? "programs of a task" : `loop ${p.loop}`); // prettier-ignore

/** Outermost first, with a note for each place where there is none. */
export function findPipelines(legal: LegalProgram, chip: Chip): PipelinePlan {
  if (chip.arch.roles.vector !== "NRAM") return noPipelines;
  const homes = new Homes(legal, chip);
  const { body } = legal.program;
  const finder = new Finder(homes, body);
  const pipelines: Pipeline[] = [];
  const notes: string[] = [];
  const take = (stmts: readonly Stmt[], loop: LoopStmt | undefined): void => {
    const found = finder.pipeline(stmts, loop);
    if (typeof found === "string") notes.push(`${nameOf({ loop: loop?.id })}: ${found}`);
    else pipelines.push(found);
  };
  const visit = (stmts: readonly Stmt[]): void => {
    for (const s of stmts) {
      if (s.kind === "loop") take(s.body, s);
      if (s.kind === "loop" || s.kind === "if") visit(s.body);
    }
  };
  take(body, undefined);
  visit(body);
  return { pipelines, notes, hasRoom: true };
}

type Step = (p: Pipeline) => { readonly now: Pipeline | undefined; readonly why: string } | undefined;
/** What a pipeline gives up for room, in this order. */
const steps: readonly Step[] = [
  (p) => (p.stores.length === 0 ? undefined : { now: { ...p, stores: [] }, why: "no room for two buffers of what it stores" }), // prettier-ignore
  // What is stored from such buffers would still leave when others use them, so nothing is.
  (p) => (p.loop === undefined ? undefined : { now: { ...p, isExclusive: false }, why: "no buffers of its own" }),
  () => ({ now: undefined, why: "no room for two buffers" }),
];

/** As much as fits: first stores wait again, then loops share their buffers with what is around them, then a pipeline goes; outermost first. */
export function choosePipelines(legal: LegalProgram, chip: Chip, place: (plan: readonly Pipeline[]) => MemoryPlan): PipelinePlan {
  const found = findPipelines(legal, chip);
  const fits = (plan: readonly Pipeline[]): boolean =>
    Object.entries(place(plan).peakBytes).every(([space, bytes]) => bytes <= capacityOf(chip, space as Space));
  const notes = [...found.notes];
  let pipelines = found.pipelines;
  const hasRoom = (): boolean =>
    found.pipelines.every((f) => f.loop === undefined || pipelines.some((p) => p.loop === f.loop && p.loads.length === f.loads.length)); // prettier-ignore
  for (const step of steps)
    for (const { loop } of found.pipelines) {
      if (pipelines.length === 0 || fits(pipelines)) return { pipelines, notes, hasRoom: hasRoom() };
      const old = pipelines.find((p) => p.loop === loop)!;
      const given = step(old);
      if (!given) continue;
      const less = (now: Pipeline | undefined): Pipeline[] => pipelines.flatMap((p) => (p !== old ? [p] : now ? [now] : []));
      // Rather fewer loads ahead than none.
      const some = given.now ? undefined : old.loads.map((_, i) => ({ ...old, loads: old.loads.slice(0, -1 - i) })).find((p) => p.loads.length > 0 && fits(less(p))); // prettier-ignore
      pipelines = less(some ?? given.now);
      notes.push(`${nameOf(old)}: ${some ? `no room for two buffers of ${old.loads.length - some.loads.length} more loads` : given.why}`); // prettier-ignore
    }
  return { pipelines, notes, hasRoom: hasRoom() };
} // prettier-ignore

export const printPipeline = (p: Pipeline, tile: (id: number) => string): string =>
  [
    `${nameOf(p)}: ahead ${p.loads.map(tile).join(", ")}`,
    ...(p.kept.length > 0 ? [`once ${p.kept.map(tile).join(", ")}`] : []),
    ...(p.stores.length > 0 ? [`behind ${p.stores.map((s) => `store ${s.view.buffer}`).join(", ")}`] : []),
    ...(p.isExclusive ? [] : ["buffers shared"]),
  ].join("; ");
