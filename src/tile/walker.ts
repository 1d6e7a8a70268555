/**
 * What the statements of a lowered program count, as functions of where in a launch they are: built once, called for every
 * program of the grid and every turn of a loop that may differ. Main class: `Walker`.
 */
import { dtypes } from "../base/dtype.ts";
import { copiesBeside, homesOf, type Ahead } from "./ahead.ts";
import type { Space } from "./chips/types.ts";
import type { Team } from "./cluster.ts";
import { assumptions, coreRates, instructionsOf } from "./cost-table.ts";
import { addTo, Counters, WEIGHT, type Tally } from "./counters.ts";
import { forEachRun, isFalling } from "./falling.ts";
import { cutAxis, isHalved } from "./halves.ts";
import type { Homes } from "./homes.ts";
import type { Stmt, TileValue, View } from "./ir.ts";
import type { Liveness } from "./liveness.ts";
import { dotBytes, roundUp, rowsOf, tileBytes } from "./padding.ts";
import type { Lowering } from "./passes.ts";
import { Positions, type At, type Eval } from "./positions.ts";
import { rangeOf } from "./range.ts";
import type { Launch, Overlap } from "./traffic.ts";
import { operandsOf, sizeOf } from "./walk.ts";

type Action = (at: At, t: Tally) => void;
/** Of turns of programs instead of a loop's. */
const GRID = "grid";

/** A tile that goes straight from one core to the other, a turn ahead; the copy may run beside its writer's own work. */
interface Way {
  readonly to: "vector" | "matrix";
  readonly isBeside: boolean;
}
type Place = readonly [part: string, tile: number];

export class Walker {
  readonly counters = new Counters();
  private readonly homes: Homes;
  private readonly low: Lowering;
  private readonly launch: Launch;
  private readonly positions: Positions;
  private readonly ahead: Ahead;
  /** The loop whose turns what is walked now would run beside. */
  private beside = GRID;
  private readonly team: Team | undefined;
  /** By turns, of each tile that passes between the cores; undefined: the two wait for each other. */
  private readonly ways = new Map<string, (Way | undefined)[]>();

  constructor(low: Lowering, launch: Launch, team: Team | undefined) {
    this.low = low;
    this.launch = launch;
    this.team = team;
    this.homes = homesOf(low);
    this.positions = new Positions(launch, (id) => this.homes.tile(id));
    this.ahead = copiesBeside(low, this.homes);
  }

  /** A counter, and the same of the turns it runs beside. */
  private both(name: string): readonly [number, number] {
    return [this.counters.at(name), this.counters.at(`${this.beside}|${name}`)];
  }
  overlaps(t: Tally, programs: number): Overlap[] {
    const turns = new Set([...this.ahead.tiles.values(), ...this.ahead.stores.values()]);
    return [...turns].map((name) => ({
      loop: name === GRID ? undefined : Number(name),
      copied: this.counters.valueOf(t, `${name}|copied`),
      vectorBytes: this.counters.valueOf(t, `${name}|vectorBytes`),
      matrixOps: this.counters.table(t, `${name}|matrixOps:`),
      instructions: this.counters.valueOf(t, `${name}|instructions`),
      syncs: this.counters.valueOf(t, `${name}|syncs`),
      scalarReads: this.counters.valueOf(t, `${name}|scalarReads`),
      handedOver: this.counters.valueOf(t, `${name}|handedOver`),
      passed: this.passed(t, name),
      entries: name === GRID ? 1 : this.counters.valueOf(t, `${name}|entries`),
      turns: name === GRID ? programs : this.counters.valueOf(t, `${name}|turns`),
    }));
  }

  private passed(t: Tally, turns: string): Overlap["passed"] {
    const ways = this.ways.get(turns);
    if (!ways || ways.some((w) => w === undefined || w.to !== ways[0]!.to)) return undefined;
    const value = (name: string): number => this.counters.valueOf(t, `${turns}|matrix core's ${name}`);
    return { instructions: value("instructions"), syncs: value("syncs"), isByMatrixCore: ways[0]!.to === "vector", isHandedBeside: ways.every((w) => w!.isBeside) }; // prettier-ignore
  }

  get live(): Liveness {
    return this.homes.live;
  }

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
        const rows = this.positions.rowsInside(s.rows, s.view);
        const cols = this.positions.inside({ ...s.view, shape: [s.view.shape[1]!] }, [s.col], [this.homes.tile(s.value).shape[1]!]); // prettier-ignore
        return [this.moves(s.view, (at) => rows(at) * cols(at), true, undefined)];
      }
      case "if": {
        const [cond, reads] = [this.positions.index(s.cond), this.scalarReads(this.positions.readsIn(s.cond))];
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
    const slot = this.positions.enter(s.id);
    const [start, end] = [this.positions.index(s.start), this.positions.index(s.end)];
    const reads = this.scalarReads(this.positions.readsIn(s.start) + this.positions.readsIn(s.end));
    const [outer, name] = [this.beside, String(s.id)];
    if (this.ahead.loops.has(name)) this.beside = name;
    const body = this.list(s.body);
    this.beside = outer;
    const falls = isFalling(s.body, { loop: s.id }, this.homes.live, this.launch.numbers);
    const [entries, turns, syncs] = [
      this.counters.at(`${name}|entries`),
      this.counters.at(`${name}|turns`),
      this.counters.at("syncs"),
    ];
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
          const counts = this.counters.tally();
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
      for (const [name, amount] of counts)
        list.push([this.counters.at(`${this.beside}|matrix core's ${name}`), amount]);
    return (_, t) => {
      for (const [place, amount] of list) t[place]! += amount;
      t[WEIGHT]! += weight;
    };
  }

  /** A copy between device memory and the chip; `turns`: those in which it runs beside work. */
  private moves(view: View, count: Eval, isWrite: boolean, turns: string | undefined, space: Space = this.homes.roles.vector): Action {
    const { size } = dtypes[view.dtype];
    const places = [this.counters.at(`${isWrite ? "written" : "read"}:${view.buffer}`), this.counters.at(`local:${space}`), WEIGHT];
    if (turns !== undefined) places.push(this.counters.at(`${turns}|copied`));
    const once = this.steady([["instructions", 1], ["syncs", 2]], 0, this.homes.split && space !== this.homes.roles.vector);
    return (at, t) => {
      const bytes = count(at) * size;
      for (const place of places) t[place]! += bytes;
      once(at, t);
    };
  } // prettier-ignore
  /** A load that the cores of a cluster have in common: of a team the first counts it, the others copy it from SRAM. */
  private shares(load: Action, count: Eval, size: number, { plan: { axis }, lanes }: Team): Action {
    const [sram, vector] = [this.counters.at("local:SRAM"), this.counters.at(`local:${this.homes.roles.vector}`)];
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
    return [this.moves(s.view, this.positions.inside(s.view, s.at, tile.shape), true, this.ahead.stores.get(s), isProduct ? this.homes.roles.product : undefined)]; // prettier-ignore
  }

  private let(tile: TileValue): Action[] {
    const { homes } = this;
    const { id, op } = tile;
    if (homes.live.uniform.has(id)) {
      const reads = op.kind === "index" ? this.positions.readsIn(op.value) : 0;
      return reads > 0 ? [this.scalarReads(reads)] : [];
    }
    if (homes.live.usesOf(id).length === 0) return [];
    const out: Action[] = [];
    if (op.kind === "load") {
      const inside = this.positions.inside(op.view, op.at, tile.shape);
      // A single number is for both vector cores.
      const isTwice = isHalved(this.low) && !homes.isStaged(id) && cutAxis(tile.shape) < 0;
      const load = this.moves(op.view, isTwice ? (at) => 2 * inside(at) : inside, false, this.ahead.tiles.get(id), homes.isStaged(id) ? homes.roles.stage : undefined); // prettier-ignore
      if (this.team?.plan.offsets.has(id)) return [this.shares(load, inside, dtypes[op.view.dtype].size, this.team)];
      // Once on each core that is started, whether or not a program is left for it.
      const cores = rangeOf(this.low.chip.rates.vectorCores)!.low;
      out.push(this.ahead.kept.has(id) ? (at, t) => at.before() < cores && load(at, t) : load);
    } else if (op.kind === "gather") {
      const rows = this.positions.rowsInside(op.rows, op.view);
      const cols = this.positions.inside({ ...op.view, shape: [op.view.shape[1]!] }, [op.col], [tile.shape[1]!]);
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
