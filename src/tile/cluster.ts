/**
 * What the cores of a cluster need not load each for itself. Four programs that are neighbours along one axis of the grid
 * go to the four cores of a cluster at once; a tile whose address does not depend on that axis is the same for all of
 * them, so the memory core brings it from device memory to the cluster's SRAM once, a turn before the cores copy it from
 * there. Cores then meet at every turn, so all of them must take the same turns.
 * Main function: `planCluster`. Only loads that run a turn ahead (pipeline.ts) are shared.
 * Source: chips spec C.1 (Union tasks, who meets at a barrier), C.2 (the five stages of a ping-pong through SRAM).
 */
import { capacityOf, type Chip } from "./chips/types.ts";
import type { IndexExpr, Stmt, TileOp, TileProgram, TileValue, View } from "./ir.ts";
import { roundUp, tileBytes } from "./padding.ts";
import type { Pipeline, PipelinePlan } from "./pipeline.ts";
import { tilesOf } from "./walk.ts";

/** Cores of a cluster, beside its memory core. */
export const CORES = 4;

export interface ClusterPlan {
  /** The grid axis along which the cores of a cluster differ. */
  readonly axis: number;
  /** By tile: the first byte in SRAM of its two buffers, laid out as the tile is in NRAM. */
  readonly offsets: ReadonlyMap<number, number>;
  readonly sramBytes: number;
  /** Loops at whose every turn the cores meet. */
  readonly loops: ReadonlySet<number>;
}
export interface ClusterDecision {
  readonly plan: ClusterPlan | undefined;
  /** Why, or why not, for readers. */
  readonly notes: readonly string[];
}
export const noCluster: ClusterDecision = { plan: undefined, notes: [] };

/**
 * Tasks of a Union1 launch: four for each cluster that gets a team; 0 where Block is better, because no programs share a
 * team or the busiest core would have more to do.
 */
export function teamTasks(grid: readonly [number, number, number], axis: number, cores: number): number {
  const clusters = Math.floor(cores / CORES);
  const teams = grid.reduce((p, n, d) => p * (d === axis ? Math.ceil(n / CORES) : n), 1);
  const alone = Math.ceil(grid.reduce((p, n) => p * n, 1) / cores);
  if (grid[axis]! < 2 || Math.ceil(teams / clusters) > alone) return 0;
  return CORES * Math.min(teams, clusters);
}

type LoopStmt = Extract<Stmt, { kind: "loop" }>;
type Load = TileValue & { readonly op: Extract<TileOp, { kind: "load" }> };

/**
 * Best first: kernels have their rows along y, batches along z. Lines of device memory run along x, so
 * neighbours along x may have to stay on one core (lines.ts).
 */
const axes = [
  { axis: 1, name: "y" },
  { axis: 2, name: "z" },
] as const;

/** Whether an index differs between programs that differ along `axis` only. */
class Variation {
  private readonly axis: number;
  private readonly loops: ReadonlyMap<number, LoopStmt>;
  /** Buffers that the program writes: what is read there may be different from core to core. */
  private readonly written: ReadonlySet<string>;
  constructor(axis: number, loops: ReadonlyMap<number, LoopStmt>, written: ReadonlySet<string>) {
    this.axis = axis;
    this.loops = loops;
    this.written = written;
  }
  index(e: IndexExpr): boolean {
    switch (e.kind) {
      case "const":
      case "param":
        return false;
      case "program":
        return e.axis === this.axis;
      case "loop":
        return this.turns(this.loops.get(e.id)!);
      case "bin":
        return this.index(e.a) || this.index(e.b);
      case "read":
        return this.written.has(e.view.buffer) || this.box(e.view, e.at);
    }
  }
  box(view: View, at: readonly IndexExpr[]): boolean {
    return [...view.shape, ...view.strides, view.offset, ...at].some((e) => this.index(e));
  }
  turns(s: LoopStmt): boolean {
    return this.index(s.start) || this.index(s.end);
  }
}

/** Loops with loads ahead, with the ifs and loops around them; those inside another such loop are its own affair. */
function pipelined(program: TileProgram, pipelines: readonly Pipeline[]): { loop: LoopStmt; pipeline: Pipeline; around: readonly Stmt[] }[] {
  const out: { loop: LoopStmt; pipeline: Pipeline; around: readonly Stmt[] }[] = [];
  const visit = (stmts: readonly Stmt[], around: readonly Stmt[]): void => {
    for (const s of stmts) {
      const pipeline = s.kind === "loop" ? pipelines.find((p) => p.loop === s.id) : undefined;
      if (s.kind === "loop" && pipeline) out.push({ loop: s, pipeline, around });
      else if (s.kind === "loop" || s.kind === "if") visit(s.body, [...around, s]);
    }
  };
  visit(program.body, []);
  return out;
} // prettier-ignore

function loopsOf(stmts: readonly Stmt[], out = new Map<number, LoopStmt>()): Map<number, LoopStmt> {
  for (const s of stmts) {
    if (s.kind === "loop") out.set(s.id, s);
    if (s.kind === "loop" || s.kind === "if") loopsOf(s.body, out);
  }
  return out;
}

/** Whether any program does something else than its neighbour along the axis. */
function usesAxis(stmts: readonly Stmt[], varies: Variation): boolean {
  return stmts.some((s) => {
    switch (s.kind) {
      case "let": {
        const { op } = s.tile;
        if (op.kind === "load") return varies.box(op.view, op.at);
        if (op.kind === "gather") return varies.box(op.view, [op.col]);
        return (op.kind === "index" && varies.index(op.value)) || (op.kind === "random" && varies.index(op.seed));
      }
      case "store":
        return varies.box(s.view, s.at);
      case "scatter":
        return varies.box(s.view, [s.col]);
      case "loop":
        return varies.turns(s) || usesAxis(s.body, varies);
      case "if":
        return varies.index(s.cond) || usesAxis(s.body, varies);
    }
  });
}

/** The first axis along which cores share anything. */
export function planCluster(program: TileProgram, chip: Chip, overlap: PipelinePlan): ClusterDecision {
  if (!("SRAM" in chip.arch.spaces)) return noCluster;
  const places = pipelined(program, overlap.pipelines);
  if (places.length === 0) return { plan: undefined, notes: ["Block: no loop loads a turn ahead"] };
  const loops = loopsOf(program.body);
  const written = new Set(program.params.filter((p) => p.kind === "buffer" && p.mode !== "in").map((p) => p.name));
  const tiles = new Map(tilesOf(program).map((t) => [t.id, t]));
  const notes: string[] = [];
  for (const { axis, name } of axes) {
    const varies = new Variation(axis, loops, written);
    if (!usesAxis(program.body, varies)) {
      notes.push(`not along ${name}: the grid has no such axis`);
      continue;
    }
    const offsets = new Map<number, number>();
    const meeting = new Set<number>();
    let sramBytes = 0;
    let why = "no load that its programs share";
    for (const { loop, pipeline, around } of places) {
      const shared = pipeline.loads.filter((id) => {
        const { op } = tiles.get(id) as Load;
        return !varies.box(op.view, op.at);
      });
      if (shared.length === 0) continue;
      if (varies.turns(loop) || around.some((s) => (s.kind === "loop" ? varies.turns(s) : s.kind === "if" && varies.index(s.cond)))) {
        why = `loop ${loop.id} takes other turns in each of its programs`;
        continue;
      } // prettier-ignore
      meeting.add(loop.id);
      for (const id of shared) {
        offsets.set(id, sramBytes);
        sramBytes += 2 * roundUp(tileBytes(chip, chip.arch.roles.vector, tiles.get(id)!), 128);
      }
    }
    const capacity = capacityOf(chip, "SRAM");
    if (sramBytes > capacity)
      why = `two buffers of what its programs share are ${sramBytes} bytes, SRAM has ${capacity}`;
    if (sramBytes === 0 || sramBytes > capacity) notes.push(`not along ${name}: ${why}`);
    else return { plan: { axis, offsets, sramBytes, loops: meeting }, notes };
  }
  return { plan: undefined, notes: ["Block", ...notes] };
}

export const printCluster = ({ plan, notes }: ClusterDecision, tile: (id: number) => string): string[] =>
  [
    ...(plan ? [`Union1 where the grid has several programs along ${"xyz"[plan.axis]}, else Block: SRAM ${plan.sramBytes} for ${[...plan.offsets.keys()].map(tile).join(", ")}`] : []),
    ...notes,
  ]; // prettier-ignore

/** Programs of a launch that begin together on a cluster. */
export interface Team {
  readonly plan: ClusterPlan;
  /** How many: one core alone where programs must stay on one. */
  readonly lanes: number;
}

/** Where a program runs if `group` neighbours stay together: cores, or teams and their clusters, take them in turns. */
export function coreOf(
  pid: number,
  [x, y, z]: readonly [number, number, number],
  group: number,
  cores: number,
  team: Team | undefined,
): number {
  const turn = (i: number, n: number): number => Math.floor(i / group) % n;
  if (!team) return turn(pid, cores);
  const { lanes, plan: { axis } } = team; // prettier-ignore
  const place = [pid % x, Math.floor(pid / x) % y, Math.floor(pid / (x * y))] as [number, number, number];
  const lane = place[axis]! % lanes;
  place[axis] = (place[axis]! - lane) / lanes;
  const [w, h] = [x, y, z].map((n, d) => (d === axis ? Math.ceil(n / lanes) : n)) as [number, number, number];
  return CORES * turn(place[0] + w * (place[1] + h * place[2]), Math.max(1, Math.floor(cores / CORES))) + lane;
}
