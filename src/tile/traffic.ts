/**
 * What one launch of a lowered program moves and computes: bytes between device memory and the chip's memories, matrix
 * operations, vector cycles' worth of bytes, instructions. The emitters' own decisions about where tiles live (Homes) say
 * what is copied; positions are computed for every program of the grid, so tails and idle programs count as they are.
 * Main function: `trafficOf`. test/device/traffic.ts holds the bytes against the simulators' counters.
 */
import { dtypes, type DType } from "../base/dtype.ts";
import { foldIndex } from "./builder.ts";
import type { Space } from "./chips/types.ts";
import { CORES, type ClusterPlan } from "./cluster.ts";
import { assumptions, coreRates, instructionsOf } from "./cost-table.ts";
import { copiesBeside, homesOf, type Ahead } from "./ahead.ts";
import { forEachRun, isFalling } from "./falling.ts";
import { cutAxis, isHalved } from "./halves.ts";
import type { Homes } from "./homes.ts";
import type { IndexExpr, Stmt, TileValue, View } from "./ir.ts";
import { dotBytes, roundUp, rowsOf, tileBytes } from "./padding.ts";
import { groupOf, lineRule } from "./lines.ts";
import type { Liveness } from "./liveness.ts";
import type { Lowering } from "./passes.ts";
import { rangeOf } from "./range.ts";
import { rowNumbers } from "./row-numbers.ts";
import { operandsOf, sizeOf } from "./walk.ts";

export interface Launch {
  readonly grid: readonly [number, number, number];
  /** Index and scalar arguments by name. */
  readonly numbers: Readonly<Record<string, number>>;
  /** Element of a buffer of integers, where its contents are known. */
  readonly read?: (buffer: string, element: number) => number | undefined;
}

export interface Traffic {
  /** By copy engines from and to device memory (or the cache before it), by buffer. */
  readonly read: Readonly<Record<string, number>>;
  readonly written: Readonly<Record<string, number>>;
  /** Through slots between matrix and vector cores, both ways counted. */
  readonly workspaceRead: number;
  readonly workspaceWritten: number;
  /** Between memories of the two cores, where there is a way of its own. */
  readonly handedOver: number;
  /** Into and out of each on-chip memory. */
  readonly local: Readonly<Partial<Record<Space, number>>>;
  /** Single elements that the scalar unit reads from device memory. */
  readonly scalarReads: number;
  /** Bytes of vector instructions: one such instruction handles the chip's vector width of them a cycle. */
  readonly vectorBytes: number;
  /** Multiply-adds of padded products, twice, by operand type. */
  readonly matrixOps: Readonly<Partial<Record<DType, number>>>;
  readonly instructions: number;
  readonly syncs: number;
  /** What runs beside copies, by the turns in which it does. */
  readonly overlaps: readonly Overlap[];
  /** Of a block, that share its vector instructions and what they hand over. */
  readonly vectorCores: 1 | 2;
  /** Programs, and the share of the work that the core with the most of it has, were there `cores` of them. */
  readonly programs: number;
  readonly busiest: (cores: number) => number;
}

/** Turns of a loop, or of the programs of a core, whose copies run beside the work of the turn before or after. */
export interface Overlap {
  /** Undefined: the programs of a core. */
  readonly loop: number | undefined;
  /** Bytes of those copies. */
  readonly copied: number;
  /** Of the work that is in no such turns further inside. */
  readonly vectorBytes: number;
  readonly matrixOps: Readonly<Partial<Record<DType, number>>>;
  readonly instructions: number;
  readonly syncs: number;
  readonly scalarReads: number;
  readonly handedOver: number;
  /**
   * Where one of the two cores hands its tiles to the other a turn ahead and takes nothing back: what of the work is the
   * matrix core's, and whether the copies between them run beside their writer's own.
   */
  readonly passed:
    | {
        readonly instructions: number;
        readonly syncs: number;
        readonly isByMatrixCore: boolean;
        readonly isHandedBeside: boolean;
      }
    | undefined;
  /** How often the loop begins, and its turns in all. */
  readonly entries: number;
  readonly turns: number;
}

export const sumOf = (bytes: Readonly<Record<string, number>>): number => Object.values(bytes).reduce((s, n) => s + n, 0); // prettier-ignore

interface At {
  /** Of the grid, and how many programs come before. */
  readonly p: number[];
  before: () => number;
  readonly loops: number[];
}
type Eval = (at: At) => number;

/** A tile that goes straight from one core to the other, a turn ahead; the copy may run beside its writer's own work. */
interface Way {
  readonly to: "vector" | "matrix";
  readonly isBeside: boolean;
}
type Place = readonly [part: string, tile: number];

/** Counters, each at a place of its own; names are as `Walker.at` gives them. */
type Tally = Float64Array;
type Action = (at: At, t: Tally) => void;
/** The first counter: a rough weight of a program, bytes, and vector bytes at a tenth. */
const WEIGHT = 0;
/** Of turns of programs instead of a loop's. */
const GRID = "grid";

class Walker {
  private readonly homes: Homes;
  private readonly low: Lowering;
  private readonly launch: Launch;
  private numLoops = 0;
  private readonly loopIds = new Map<number, number>();
  private readonly places = new Map<string, number>([["weight", WEIGHT]]);
  private readonly ahead: Ahead;
  /** The loop whose turns what is walked now would run beside. */
  private beside: string;
  private readonly team: Team | undefined;
  /** By turns, of each tile that passes between the cores; undefined: the two wait for each other. */
  private readonly ways = new Map<string, (Way | undefined)[]>();

  constructor(low: Lowering, launch: Launch, team: Team | undefined) {
    this.low = low;
    this.launch = launch;
    this.team = team;
    this.homes = homesOf(low);
    this.ahead = copiesBeside(low, this.homes);
    this.beside = GRID;
  }

  // ---- counters ----
  private at(name: string): number {
    let place = this.places.get(name);
    if (place === undefined) this.places.set(name, (place = this.places.size));
    return place;
  }
  /** A counter, and the same of the turns it runs beside. */
  private both(name: string): readonly [number, number] {
    return [this.at(name), this.at(`${this.beside}|${name}`)];
  }
  tally(): Tally {
    return new Float64Array(this.places.size);
  }
  valueOf(t: Tally, name: string): number {
    return t[this.places.get(name) ?? -1] ?? 0;
  }
  /** Those whose names begin so, by what follows. */
  table(t: Tally, prefix: string): Record<string, number> {
    const out: Record<string, number> = {};
    for (const [name, place] of this.places) if (name.startsWith(prefix) && t[place] !== 0) out[name.slice(prefix.length)] = t[place]!; // prettier-ignore
    return out;
  }
  overlaps(t: Tally, programs: number): Overlap[] {
    const turns = new Set([...this.ahead.tiles.values(), ...this.ahead.stores.values()]);
    return [...turns].map((name) => ({
      loop: name === GRID ? undefined : Number(name),
      copied: this.valueOf(t, `${name}|copied`),
      vectorBytes: this.valueOf(t, `${name}|vectorBytes`),
      matrixOps: this.table(t, `${name}|matrixOps:`),
      instructions: this.valueOf(t, `${name}|instructions`),
      syncs: this.valueOf(t, `${name}|syncs`),
      scalarReads: this.valueOf(t, `${name}|scalarReads`),
      handedOver: this.valueOf(t, `${name}|handedOver`),
      passed: this.passed(t, name),
      entries: name === GRID ? 1 : this.valueOf(t, `${name}|entries`),
      turns: name === GRID ? programs : this.valueOf(t, `${name}|turns`),
    }));
  }

  private passed(t: Tally, turns: string): Overlap["passed"] {
    const ways = this.ways.get(turns);
    if (!ways || ways.some((w) => w === undefined || w.to !== ways[0]!.to)) return undefined;
    const value = (name: string): number => this.valueOf(t, `${turns}|matrix core's ${name}`);
    return { instructions: value("instructions"), syncs: value("syncs"), isByMatrixCore: ways[0]!.to === "vector", isHandedBeside: ways.every((w) => w!.isBeside) }; // prettier-ignore
  }

  get live(): Liveness {
    return this.homes.live;
  }

  // ---- index expressions ----
  index(e: IndexExpr): Eval {
    switch (e.kind) {
      case "const": {
        const { value } = e;
        return () => value;
      }
      case "param": {
        const value = this.launch.numbers[e.name]!;
        return () => value;
      }
      case "program": {
        const { axis } = e;
        return ({ p }) => p[axis]!;
      }
      case "loop": {
        const slot = this.loopIds.get(e.id)!;
        return ({ loops }) => loops[slot]!;
      }
      case "bin": {
        const [a, b, fold] = [this.index(e.a), this.index(e.b), foldIndex[e.op]];
        return (at) => fold(a(at), b(at));
      }
      case "read":
        return this.element(e.view, e.at);
    }
  }
  /** Outside of the view, or unknown: 0. */
  private element(view: View, at: readonly IndexExpr[]): Eval {
    const [where, bounds, strides] = [at, view.shape, view.strides].map((list) => list.map((x) => this.index(x))) as [Eval[], Eval[], Eval[]]; // prettier-ignore
    const offset = this.index(view.offset);
    return (now) => {
      let element = offset(now);
      for (let d = 0; d < where.length; d++) {
        const x = where[d]!(now);
        if (x < 0 || x >= bounds[d]!(now)) return 0;
        element += x * strides[d]!(now);
      }
      return this.launch.read?.(view.buffer, element) ?? 0;
    };
  }
  private readsIn(e: IndexExpr): number {
    if (e.kind === "bin") return this.readsIn(e.a) + this.readsIn(e.b);
    return e.kind === "read" ? 1 + e.at.reduce((s, x) => s + this.readsIn(x), 0) : 0;
  }

  /** Elements of a box that lie in its view. */
  private inside(view: View, at: readonly IndexExpr[], shape: readonly number[]): Eval {
    const axes = shape.map((n, d) => {
      const [start, bound] = [at[d]!, view.shape[d]!];
      const isWhole = start.kind === "const" && bound.kind === "const" && start.value >= 0 && start.value + n <= bound.value; // prettier-ignore
      return isWhole ? { n, from: undefined } : { n, from: this.index(start), bound: this.index(bound) };
    });
    const whole = axes.reduce((p, a) => (a.from ? p : p * a.n), 1);
    const partial = axes.filter((a) => a.from) as { n: number; from: Eval; bound: Eval }[];
    return (now) => {
      let count = whole;
      for (const { n, from, bound } of partial) {
        const start = from(now);
        const rows = Math.min(start + n, bound(now)) - Math.max(start, 0);
        if (rows <= 0) return 0;
        count *= rows;
      }
      return count;
    };
  }
  /** How many of the rows that a tile names exist in a view; those that are not known do. */
  private rowsInside(id: number, view: View): Eval {
    const bound = this.index(view.shape[0]!);
    const numbers = rowNumbers<At>({ tile: (x) => this.homes.tile(x), index: (e) => this.index(e), read: this.launch.read }, id); // prettier-ignore
    return (now) => {
      const end = bound(now);
      return numbers(now).filter((row) => row === undefined || (row >= 0 && row < end)).length;
    };
  }

  // ---- statements ----
  list(stmts: readonly Stmt[]): Action {
    const actions = stmts.flatMap((s) => this.stmt(s));
    return (at, t) => {
      for (const act of actions) act(at, t);
    };
  }
  private stmt(s: Stmt): Action[] {
    switch (s.kind) {
      case "let":
        return this.let(s.tile);
      case "store":
        return this.store(s);
      case "scatter": {
        const rows = this.rowsInside(s.rows, s.view);
        const cols = this.inside({ ...s.view, shape: [s.view.shape[1]!] }, [s.col], [this.homes.tile(s.value).shape[1]!]); // prettier-ignore
        return [this.moves(s.view, (at) => rows(at) * cols(at), true, undefined)];
      }
      case "if": {
        const [cond, reads] = [this.index(s.cond), this.scalarReads(this.readsIn(s.cond))];
        const body = this.list(s.body);
        return [
          (at, t) => {
            reads(at, t);
            if (cond(at) !== 0) body(at, t);
          },
        ];
      }
      case "loop":
        return this.loop(s);
    }
  }
  private loop(s: Extract<Stmt, { kind: "loop" }>): Action[] {
    const slot = this.numLoops++;
    this.loopIds.set(s.id, slot);
    const [start, end] = [this.index(s.start), this.index(s.end)];
    const reads = this.scalarReads(this.readsIn(s.start) + this.readsIn(s.end));
    const [outer, name] = [this.beside, String(s.id)];
    if (this.ahead.loops.has(name)) this.beside = name;
    const body = this.list(s.body);
    this.beside = outer;
    const falls = isFalling(s.body, { loop: s.id }, this.homes.live, this.launch.numbers);
    const [entries, turns, syncs] = [this.at(`${name}|entries`), this.at(`${name}|turns`), this.at("syncs")];
    const meetings = this.team?.plan.loops.has(s.id) ? 1 : 0;
    return [
      (at, t) => {
        reads(at, t);
        const from = start(at);
        const count = Math.max(0, Math.ceil((end(at) - from) / s.step));
        if (count === 0) return;
        t[entries]!++;
        t[turns]! += count;
        t[syncs]! += meetings * (count + 1);
        const visit = (i: number): Tally => {
          at.loops[slot] = from + i * s.step;
          const counts = this.tally();
          body(at, counts);
          return counts;
        };
        forEachRun(count, falls, visit, (_, times, counts) => addTo(t, counts, times));
      },
    ];
  }
  private scalarReads(count: number): Action {
    if (count === 0) return () => {};
    const [all, here] = this.both("scalarReads");
    return (_, t) => {
      t[all]! += count;
      t[here]! += count;
    };
  }
  /** Adds up counters that are the same every time; instructions of the matrix core count for it as well. */
  private steady(
    counts: readonly (readonly [name: string, amount: number])[],
    weight: number,
    isMatrixCore = false,
  ): Action {
    const list = counts.flatMap(([name, amount]) => this.both(name).map((place) => [place, amount] as const));
    if (isMatrixCore)
      for (const [name, amount] of counts) list.push([this.at(`${this.beside}|matrix core's ${name}`), amount]);
    return (_, t) => {
      for (const [place, amount] of list) t[place]! += amount;
      t[WEIGHT]! += weight;
    };
  }

  /** A copy between device memory and the chip; `turns`: those in which it runs beside work. */
  private moves(view: View, count: Eval, isWrite: boolean, turns: string | undefined, space: Space = this.homes.roles.vector): Action {
    const { size } = dtypes[view.dtype];
    const places = [this.at(`${isWrite ? "written" : "read"}:${view.buffer}`), this.at(`local:${space}`), WEIGHT];
    if (turns !== undefined) places.push(this.at(`${turns}|copied`));
    const once = this.steady([["instructions", 1], ["syncs", 2]], 0, this.homes.split && space !== this.homes.roles.vector);
    return (at, t) => {
      const bytes = count(at) * size;
      for (const place of places) t[place]! += bytes;
      once(at, t);
    };
  } // prettier-ignore
  /** A load that the cores of a cluster have in common: of a team the first counts it, the others copy it from SRAM. */
  private shares(load: Action, count: Eval, size: number, { plan: { axis }, lanes }: Team): Action {
    const [sram, vector] = [this.at("local:SRAM"), this.at(`local:${this.homes.roles.vector}`)];
    const once = this.steady([["instructions", 1], ["syncs", 2]], 0);
    return (at, t) => {
      const bytes = count(at) * size;
      t[sram]! += bytes;
      if (at.p[axis]! % lanes === 0) return load(at, t);
      t[vector]! += bytes;
      t[WEIGHT]! += bytes;
      once(at, t);
    };
  } // prettier-ignore
  private store(s: Extract<Stmt, { kind: "store" }>): Action[] {
    const tile = this.homes.tile(s.value);
    const isProduct = this.homes.split && (this.homes.isProduct(s.value) || this.homes.leavesByStore(this.homes.root(s.value))); // prettier-ignore
    return [this.moves(s.view, this.inside(s.view, s.at, tile.shape), true, this.ahead.stores.get(s), isProduct ? this.homes.roles.product : undefined)]; // prettier-ignore
  }

  private let(tile: TileValue): Action[] {
    const { homes } = this;
    const { id, op } = tile;
    if (homes.live.uniform.has(id)) {
      const reads = op.kind === "index" ? this.readsIn(op.value) : 0;
      return reads > 0 ? [this.scalarReads(reads)] : [];
    }
    if (homes.live.usesOf(id).length === 0) return [];
    const out: Action[] = [];
    if (op.kind === "load") {
      const inside = this.inside(op.view, op.at, tile.shape);
      // A single number is for both vector cores.
      const isTwice = isHalved(this.low) && !homes.isStaged(id) && cutAxis(tile.shape) < 0;
      const load = this.moves(op.view, isTwice ? (at) => 2 * inside(at) : inside, false, this.ahead.tiles.get(id), homes.isStaged(id) ? homes.roles.stage : undefined); // prettier-ignore
      if (this.team?.plan.offsets.has(id)) return [this.shares(load, inside, dtypes[op.view.dtype].size, this.team)];
      const cores = rangeOf(this.low.chip.rates.vectorCores)!.low;
      out.push(this.ahead.kept.has(id) ? (at, t) => at.before() < cores && load(at, t) : load);
    } else if (op.kind === "gather") {
      const rows = this.rowsInside(op.rows, op.view);
      const cols = this.inside({ ...op.view, shape: [op.view.shape[1]!] }, [op.col], [tile.shape[1]!]);
      // Ascend reads single elements one by one on the scalar unit.
      if (homes.split && tile.shape[1] === 1) {
        const places = this.both("scalarReads");
        out.push((at, t) => {
          for (const place of places) t[place]! += rows(at) * cols(at);
        });
      } else out.push(this.moves(op.view, (at) => rows(at) * cols(at), false, this.ahead.tiles.get(id)));
    } else if (op.kind === "dot") out.push(this.dot(tile, op));
    else out.push(...this.vector(tile));
    if (homes.split) out.push(...this.handover(tile));
    return out;
  }

  private dot(tile: TileValue, op: Extract<TileValue["op"], { kind: "dot" }>): Action {
    const { homes } = this;
    const { chip } = this.low;
    const a = homes.tile(op.a);
    const { left, right, product } = dotBytes(chip, a, tile);
    const { m: padM, n: padN, kBytes } = chip.arch.matrix;
    const { size } = dtypes[a.dtype];
    const [m, n] = tile.shape as [number, number];
    const k = a.shape[op.transA ? 0 : 1]!;
    const ops = 2 * roundUp(m, padM) * roundUp(n, padN) * roundUp(k, kBytes / size);
    const { roles } = homes;
    return this.steady(
      [
        [`matrixOps:${a.dtype}`, ops],
        [`local:${roles.left}`, left],
        [`local:${roles.right}`, right],
        [`local:${roles.product}`, product],
        ["instructions", 3],
        ["syncs", 4],
      ],
      (left + right) / 8,
      true,
    );
  }

  /** Tiles that pass between the matrix and the vector core, as the emitter of Ascend C passes them. */
  private handover(tile: TileValue): Action[] {
    const { homes } = this;
    const { id, op } = tile;
    const pass = (bytes: number): Action => {
      this.noteWay(undefined);
      return this.steady([["workspaceWritten", bytes], ["workspaceRead", bytes], ["instructions", 2], ["syncs", 4]], 2 * bytes); // prettier-ignore
    };
    const out: Action[] = [];
    const isLast = homes.isProduct(id) && (op.kind === "dot" || op.kind === "result") && homes.isVector(id);
    if (isLast || (op.kind === "dot" && !homes.isProduct(id))) {
      const bytes = sizeOf(tile.shape) * 4;
      const cell = homes.sums.cellOf(homes.root(id)) ?? homes.root(id);
      if (homes.isTakenOver(id))
        out.push(...this.direct("vector", bytes, 1, { id, reader: ["value", id], writer: ["product", cell] })); // prettier-ignore
      else out.push(pass(bytes));
    }
    const isOperand = homes.root(id) === id && [...homes.live.tiles.values()].some(({ op: o }) => o.kind === "dot" && (homes.root(o.a) === id || homes.root(o.b) === id)); // prettier-ignore
    if (!isOperand || homes.isStaged(id)) return out;
    const bytes = sizeOf(tile.shape) * dtypes[tile.dtype].size;
    if (!homes.isHandedOver(id)) return [...out, pass(bytes)];
    // A copy for each column of fractals, or for each row; the next is issued while the last one runs, if that is long.
    const { rows, pitch } = rowsOf(this.low.chip, homes.roles.vector, tile);
    const copies = Math.min(rows, (pitch * dtypes[tile.dtype].size) / 32);
    const hidden = Math.floor(bytes / coreRates[this.low.chip.name].handoverBytes! / assumptions.issueCycles.value);
    return [...out, ...this.direct("matrix", bytes, Math.max(1, copies - hidden), { id, reader: ["operand", id], writer: ["value", homes.head(id)] })]; // prettier-ignore
  }
  /** Straight to the other core's memory: the copies are the writer's, each core sets a flag and waits for one. */
  private direct(to: "vector" | "matrix", bytes: number, copies: number, { id, reader, writer }: { id: number; reader: Place; writer: Place }): Action[] {
    const turnsOf = ([part, of]: Place): string | undefined => this.low.memory.placements.find((p) => p.part === part && p.tile === of)?.turns;
    const isAhead = turnsOf(reader) === this.beside && this.homes.live.isInEachTurn(id, this.beside);
    this.noteWay(isAhead ? { to, isBeside: turnsOf(writer) === this.beside } : undefined);
    const writes = [["handedOver", bytes], ["instructions", copies], ["syncs", 2]] as const;
    return [this.steady(writes, bytes, to === "vector"), this.steady([["syncs", 2]], 0, to === "matrix")];
  } // prettier-ignore

  private noteWay(way: Way | undefined): void {
    const known = this.ways.get(this.beside);
    if (known) known.push(way);
    else this.ways.set(this.beside, [way]);
  }

  private vector(tile: TileValue): Action[] {
    const { homes, low } = this;
    const { id, op } = tile;
    if (op.kind === "carry" || op.kind === "result" || !homes.isVector(id)) return [];
    if (op.kind === "reshape" && homes.root(id) !== id) return [];
    const tiles = [tile, ...operandsOf(tile).map((x) => homes.tile(x))].filter((x) => !homes.live.uniform.has(x.id));
    const width = Math.max(...tiles.map((x) => tileBytes(low.chip, homes.roles.vector, x.dtype === "bool" ? { ...x, dtype: "f16" } : x))); // prettier-ignore
    const last = tiles[tiles.length - 1]!.shape;
    const count = instructionsOf(op, low.expansions.get(id)?.into, last[last.length - 1] ?? 1);
    // A vector unit that is in order needs no barriers, see plan.ts of the emitter.
    const barriers = low.chip.arch.matrix.vectorPath === "direct" ? 0 : count;
    return [this.steady([["vectorBytes", count * width], ["instructions", count], ["syncs", barriers]], (count * width) / 10)]; // prettier-ignore
  }
}

function addTo(t: Tally, counts: Tally, times: number): void {
  for (let i = 0; i < t.length; i++) t[i]! += counts[i]! * times;
}

/** Programs of a launch that begin together on a cluster. */
interface Team {
  readonly plan: ClusterPlan;
  /** How many: one core alone where programs must stay on one. */
  readonly lanes: number;
}

/** Where a program runs if `group` neighbours stay together: cores, or teams and their clusters, take them in turns. */
function coreOf(pid: number, [x, y, z]: Launch["grid"], group: number, cores: number, team: Team | undefined): number {
  const turn = (i: number, n: number): number => Math.floor(i / group) % n;
  if (!team) return turn(pid, cores);
  const { lanes, plan: { axis } } = team; // prettier-ignore
  const place = [pid % x, Math.floor(pid / x) % y, Math.floor(pid / (x * y))] as [number, number, number];
  const lane = place[axis]! % lanes;
  place[axis] = (place[axis]! - lane) / lanes;
  const [w, h] = [x, y, z].map((n, d) => (d === axis ? Math.ceil(n / lanes) : n)) as [number, number, number];
  return CORES * turn(place[0] + w * (place[1] + h * place[2]), Math.max(1, Math.floor(cores / CORES))) + lane;
}

/** `plan`: of a launch whose programs go to clusters, four neighbours at a time; `low` is then of that form (passes.ts, `ofTeams`). */
export function trafficOf(low: Lowering, launch: Launch, plan?: ClusterPlan): Traffic {
  const programs = launch.grid[0] * launch.grid[1] * launch.grid[2];
  const group = homesOf(low).split ? 1 : groupOf(lineRule(low.program), launch.grid, launch.numbers);
  const team = plan && { plan, lanes: group < programs ? CORES : 1 };
  const walker = new Walker(low, launch, team);
  const act = walker.list(low.program.body);
  const { grid: sizes, numbers } = launch;
  const [x, y] = sizes;
  const weights = new Float64Array(programs);
  const at: At = {
    p: [0, 0, 0],
    loops: [],
    before: () => at.p[0]! + x * (at.p[1]! + y * at.p[2]!),
  };
  const falls = [0, 1, 2].map((axis) => sizes[axis]! > 2 && axis !== plan?.axis && isFalling(low.program.body, { axis }, walker.live, numbers)); // prettier-ignore
  /** All programs whose places along the axes above `axis` are those of `at`; their weights begin at `from`. */
  const walk = (axis: number, from: number): Tally => {
    const sum = walker.tally();
    if (axis < 0) {
      act(at, sum);
      weights[from] = sum[WEIGHT]!;
      return sum;
    }
    const each = sizes.slice(0, axis).reduce((p, n) => p * n, 1);
    const visit = (i: number): Tally => {
      at.p[axis] = i;
      return walk(axis - 1, from + i * each);
    };
    forEachRun(sizes[axis]!, falls[axis]!, visit, (i, times, counts, isVisited) => {
      addTo(sum, counts, times);
      if (!isVisited) for (let j = i; j < i + times; j++) weights.copyWithin(from + j * each, from + (i - 1) * each, from + i * each); // prettier-ignore
    });
    return sum;
  };
  const t = programs === 0 ? walker.tally() : walk(2, 0);
  const total = weights.reduce((s, w) => s + w, 0);
  const busiest = (cores: number): number => {
    const each = new Float64Array(Math.max(1, team ? cores : Math.min(cores, Math.ceil(programs / group))));
    // Programs that find nothing to do are idle alike.
    if (total === 0) return 1 / each.length;
    weights.forEach((w, pid) => (each[coreOf(pid, sizes, group, each.length, team)]! += w));
    return Math.max(...each) / total;
  };
  const value = (name: string): number => walker.valueOf(t, name);
  return {
    read: walker.table(t, "read:"),
    written: walker.table(t, "written:"),
    workspaceRead: value("workspaceRead"),
    workspaceWritten: value("workspaceWritten"),
    handedOver: value("handedOver"),
    local: walker.table(t, "local:"),
    scalarReads: value("scalarReads"),
    vectorBytes: value("vectorBytes"),
    matrixOps: walker.table(t, "matrixOps:"),
    instructions: value("instructions"),
    syncs: value("syncs"),
    overlaps: walker.overlaps(t, programs),
    vectorCores: isHalved(low) ? 2 : 1,
    programs,
    busiest,
  };
}
