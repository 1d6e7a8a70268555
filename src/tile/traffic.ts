/**
 * What one launch of a lowered program moves and computes: bytes between device memory and the chip's memories, matrix
 * operations, vector cycles' worth of bytes, instructions. The emitters' own decisions about where tiles live (Homes) say
 * what is copied; positions are computed for every program of the grid, so tails and idle programs count as they are.
 * Main function: `trafficOf`. test/device/traffic.ts holds the bytes against the simulators' counters.
 */
import { dtypes, type DType } from "../base/dtype.ts";
import { foldIndex } from "./builder.ts";
import type { Space } from "./chips/types.ts";
import { instructionsOf } from "./cost-table.ts";
import { Homes } from "./homes.ts";
import type { IndexExpr, Stmt, TileValue, View } from "./ir.ts";
import { dotBytes, roundUp, tileBytes } from "./padding.ts";
import type { Lowering } from "./passes.ts";
import { operandsOf, sizeOf } from "./walk.ts";

export interface Launch {
  readonly grid: readonly [number, number, number];
  /** Index and scalar arguments by name. */
  readonly numbers: Readonly<Record<string, number>>;
  /** Only these programs of one axis, as a card that has a share of them. */
  readonly share?: { readonly axis: 0 | 2; readonly from: number; readonly to: number };
  /** Element of an i32 buffer, where its contents are known. */
  readonly read?: (buffer: string, element: number) => number | undefined;
}

export interface Traffic {
  /** By copy engines from and to device memory (or the cache before it), by buffer. */
  readonly read: Readonly<Record<string, number>>;
  readonly written: Readonly<Record<string, number>>;
  /** Through slots between matrix and vector cores, both ways counted. */
  readonly workspaceRead: number;
  readonly workspaceWritten: number;
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
  /** Programs, and the share of the work that the core with the most of it has, were there `cores` of them. */
  readonly programs: number;
  readonly busiest: (cores: number) => number;
}

export const sumOf = (bytes: Readonly<Record<string, number>>): number => Object.values(bytes).reduce((s, n) => s + n, 0); // prettier-ignore

interface At {
  readonly p: number[];
  readonly loops: number[];
}
type Eval = (at: At) => number;

/** Counters of a launch under way. */
class Tally {
  read: Record<string, number> = {};
  written: Record<string, number> = {};
  workspaceRead = 0;
  workspaceWritten = 0;
  local: Partial<Record<Space, number>> = {};
  scalarReads = 0;
  vectorBytes = 0;
  matrixOps: Partial<Record<DType, number>> = {};
  instructions = 0;
  syncs = 0;
  /** A rough weight of the program at hand: bytes, and vector bytes at a tenth. */
  weight = 0;
}
type Action = (at: At, t: Tally) => void;

class Walker {
  private readonly homes: Homes;
  private readonly low: Lowering;
  private readonly launch: Launch;
  private numLoops = 0;
  private readonly loopIds = new Map<number, number>();

  constructor(low: Lowering, launch: Launch) {
    this.low = low;
    this.launch = launch;
    this.homes = new Homes(low, low.chip);
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
  /** How many of the rows that an index tile names exist in a view. */
  private rowsInside(id: number, view: View): Eval {
    const { op, shape } = this.homes.tile(id);
    if (op.kind === "reshape" || op.kind === "cast") return this.rowsInside(op.x, view);
    const total = sizeOf(shape);
    if (op.kind !== "load") return () => total;
    const bound = this.index(view.shape[0]!);
    const [present, first] = [this.inside(op.view, op.at, shape), op.at.map((x) => this.index(x))];
    const bounds = op.view.shape.map((x) => this.index(x));
    const strides = op.view.strides.map((x) => this.index(x));
    const offset = this.index(op.view.offset);
    const { read } = this.launch;
    return (now) => {
      if (!read) return present(now);
      let rows = 0;
      for (let i = 0; i < total; i++) {
        let [rest, element, isIn] = [i, offset(now), true];
        for (let d = shape.length - 1; d >= 0; d--) {
          const x = first[d]!(now) + (rest % shape[d]!);
          rest = Math.floor(rest / shape[d]!);
          if (x < 0 || x >= bounds[d]!(now)) isIn = false;
          element += x * strides[d]!(now);
        }
        const row = isIn ? read(op.view.buffer, element) : op.other;
        if (row === undefined ? isIn : row >= 0 && row < bound(now)) rows++;
      }
      return rows;
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
        return [this.moves(s.view, (at) => rows(at) * cols(at), true)];
      }
      case "if": {
        const [cond, body, reads] = [this.index(s.cond), this.list(s.body), this.readsIn(s.cond)];
        return [
          (at, t) => {
            t.scalarReads += reads;
            if (cond(at) !== 0) body(at, t);
          },
        ];
      }
      case "loop": {
        const slot = this.numLoops++;
        this.loopIds.set(s.id, slot);
        const [start, end, body] = [this.index(s.start), this.index(s.end), this.list(s.body)];
        const reads = this.readsIn(s.start) + this.readsIn(s.end);
        return [
          (at, t) => {
            t.scalarReads += reads;
            for (let i = start(at), to = end(at); i < to; i += s.step) {
              at.loops[slot] = i;
              body(at, t);
            }
          },
        ];
      }
    }
  }

  /** A copy between device memory and the chip. */
  private moves(view: View, count: Eval, isWrite: boolean, space: Space = this.homes.roles.vector): Action {
    const { size } = dtypes[view.dtype];
    const { buffer } = view;
    return (at, t) => {
      const bytes = count(at) * size;
      const table = isWrite ? t.written : t.read;
      table[buffer] = (table[buffer] ?? 0) + bytes;
      t.local[space] = (t.local[space] ?? 0) + bytes;
      t.instructions++;
      t.syncs += 2;
      t.weight += bytes;
    };
  }
  private store(s: Extract<Stmt, { kind: "store" }>): Action[] {
    const tile = this.homes.tile(s.value);
    const isProduct = this.homes.split && (this.homes.isProduct(s.value) || this.homes.leavesByStore(this.homes.root(s.value))); // prettier-ignore
    return [this.moves(s.view, this.inside(s.view, s.at, tile.shape), true, isProduct ? this.homes.roles.product : undefined)]; // prettier-ignore
  }

  private let(tile: TileValue): Action[] {
    const { homes } = this;
    const { id, op } = tile;
    if (homes.live.uniform.has(id)) {
      const reads = op.kind === "index" ? this.readsIn(op.value) : 0;
      return reads > 0 ? [(_, t) => void (t.scalarReads += reads)] : [];
    }
    if (homes.live.usesOf(id).length === 0) return [];
    const out: Action[] = [];
    if (op.kind === "load")
      out.push(this.moves(op.view, this.inside(op.view, op.at, tile.shape), false, homes.isStaged(id) ? homes.roles.stage : undefined)); // prettier-ignore
    else if (op.kind === "gather") {
      const rows = this.rowsInside(op.rows, op.view);
      const cols = this.inside({ ...op.view, shape: [op.view.shape[1]!] }, [op.col], [tile.shape[1]!]);
      // Ascend reads single elements one by one on the scalar unit.
      if (homes.split && tile.shape[1] === 1) out.push((at, t) => void (t.scalarReads += rows(at) * cols(at)));
      else out.push(this.moves(op.view, (at) => rows(at) * cols(at), false));
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
    return (_, t) => {
      t.matrixOps[a.dtype] = (t.matrixOps[a.dtype] ?? 0) + ops;
      t.local[roles.left] = (t.local[roles.left] ?? 0) + left;
      t.local[roles.right] = (t.local[roles.right] ?? 0) + right;
      t.local[roles.product] = (t.local[roles.product] ?? 0) + product;
      t.instructions += 3;
      t.syncs += 4;
      t.weight += (left + right) / 8;
    };
  }

  /** Tiles that pass between the matrix and the vector core, as the emitter of Ascend C passes them. */
  private handover(tile: TileValue): Action[] {
    const { homes } = this;
    const { id, op } = tile;
    const pass =
      (bytes: number): Action =>
      (_, t) => {
        t.workspaceWritten += bytes;
        t.workspaceRead += bytes;
        t.instructions += 2;
        t.syncs += 4;
        t.weight += 2 * bytes;
      };
    const out: Action[] = [];
    const isLast = homes.isProduct(id) && (op.kind === "dot" || op.kind === "result") && homes.isVector(id);
    if (isLast || (op.kind === "dot" && !homes.isProduct(id))) out.push(pass(sizeOf(tile.shape) * 4));
    const isOperand = homes.root(id) === id && [...homes.live.tiles.values()].some(({ op: o }) => o.kind === "dot" && (homes.root(o.a) === id || homes.root(o.b) === id)); // prettier-ignore
    if (isOperand && !homes.isStaged(id)) out.push(pass(sizeOf(tile.shape) * dtypes[tile.dtype].size));
    return out;
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
    return [
      (_, t) => {
        t.vectorBytes += count * width;
        t.instructions += count;
        t.syncs += count;
        t.weight += (count * width) / 10;
      },
    ];
  }
}

export function trafficOf(low: Lowering, launch: Launch): Traffic {
  const act = new Walker(low, launch).list(low.program.body);
  const t = new Tally();
  const { share } = launch;
  const whole = launch.grid;
  const first = [0, 0, 0];
  if (share) first[share.axis] = share.from;
  const [x, y, z] = whole.map((n, axis) => (share?.axis === axis ? Math.max(0, Math.min(n, share.to) - share.from) : n)) as [number, number, number]; // prettier-ignore
  const weights = new Float64Array(x * y * z);
  const at: At = { p: [0, 0, 0], loops: [] };
  for (let pid = 0; pid < weights.length; pid++) {
    at.p[0] = first[0]! + (pid % x);
    at.p[1] = Math.floor(pid / x) % y;
    at.p[2] = first[2]! + Math.floor(pid / (x * y));
    t.weight = 0;
    act(at, t);
    weights[pid] = t.weight;
  }
  const total = weights.reduce((s, w) => s + w, 0);
  const busiest = (cores: number): number => {
    const each = new Float64Array(Math.max(1, Math.min(cores, weights.length)));
    // Programs that find nothing to do are idle alike.
    if (total === 0) return 1 / each.length;
    weights.forEach((w, pid) => (each[pid % each.length]! += w));
    return Math.max(...each) / total;
  };
  return { ...t, programs: weights.length, busiest };
}
