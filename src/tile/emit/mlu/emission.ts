/**
 * State of one emission to BANG C: the lines so far, names of buffers, where each tile is in NRAM and WRAM, which
 * numbers are the same for a whole tile. Ops write through it; emit.ts drives it. Main class: `MluEmission`.
 */
import { dtypes, type DType } from "../../../base/dtype.ts";
import { CompileError } from "../../../base/errors.ts";
import type { Space } from "../../chips/types.ts";
import type { IndexExpr, TileValue, View } from "../../ir.ts";
import { Homes } from "../../homes.ts";
import type { Liveness } from "../../liveness.ts";
import { extendedTiles } from "../../pipeline.ts";
import { tileBytes } from "../../padding.ts";
import type { Lowering } from "../../passes.ts";
import { opName, printIndex } from "../../print.ts";
import type { Placement } from "../../spaces.ts";
import { sizeOf } from "../../walk.ts";
import { indexText, offsetText } from "../c-like/index-text.ts";
import { LineWriter } from "../c-like/line-writer.ts";
import { elementType, indexForms, scalarText } from "./types.ts";

/** A tile in NRAM: rows (all axes but the last) of `width` elements, `pitch` elements apart. */
export interface Buffer {
  readonly name: string;
  readonly dtype: DType;
  readonly type: string;
  readonly size: number;
  readonly shape: readonly number[];
  readonly rows: number;
  readonly width: number;
  readonly pitch: number;
  /** Elements with padding, a multiple of 128 bytes. */
  readonly count: number;
  /** First byte in NRAM. */
  readonly offset: number;
}

/** Two buffers that take turns: `base` is the first, `now` what this turn reads or makes, `next` what is on its way. */
export interface Pair {
  readonly base: string;
  readonly now: string;
  readonly next: string;
  readonly type: string;
  readonly count: number;
}

export class MluEmission {
  readonly out = new LineWriter();
  readonly live: Liveness;
  readonly state: Lowering;
  /** Statement position, counted as liveness does. */
  at = 0;
  private readonly names = new Map<string, number>();
  /** Buffers by offset and type, in the order of their declaration. */
  private readonly declared = new Map<string, string>();
  private readonly buffers = new Map<number, Buffer>();
  private readonly homes: Homes;
  /** Homes with two buffers; a stored one is called after what it is stored to. */
  private readonly pairHomes: ReadonlySet<number>;
  private readonly pairs = new Map<number, Pair>();
  /** Whether loads being written are those of the next turn. */
  isAhead = false;
  /** Text of uniform tiles. */
  readonly uniforms = new Map<number, string>();
  /** Products that are already where their loop carries them. */
  readonly joined = new Set<number>();
  /** Broadcasts that the next op reads as what they repeat. */
  readonly deferred = new Set<number>();
  /** Loop variables that start at 0 or above. */
  private readonly forward = new Set<number>();
  /** Memory reads named so far, innermost block last. */
  private readonly reads: Map<string, string>[] = [new Map()];

  constructor(state: Lowering) {
    this.state = state;
    this.homes = new Homes(state, state.chip);
    this.live = this.homes.live;
    const extended = extendedTiles(this.homes, state.overlap.pipelines);
    this.pairHomes = new Set([...extended].filter(([, x]) => x.buffers === 2).map(([home]) => home));
    for (const p of state.program.params) this.names.set(p.name, 1);
  }

  fail(op: string, dtype: DType, reason: string): never {
    const { chip, program } = this.state;
    throw new CompileError(`emitMlu: kernel ${program.name} on ${chip.name}: ${op} of ${dtype}: ${reason}`, { pass: "emitMlu", target: chip.name }); // prettier-ignore
  }

  // ---- tiles ----
  tile(id: number): TileValue {
    return this.live.tiles.get(id)!;
  }
  isUniform(id: number): boolean {
    return this.live.uniform.has(id);
  }
  isRead(id: number): boolean {
    return this.live.usesOf(id).length > 0;
  }
  typeOf(dtype: DType, op: string): string {
    return elementType[dtype] ?? this.fail(op, dtype, "the chip has no such type");
  }
  /** The tile whose memory `id` is in: views, and a carried slot with its result, share one. */
  home(id: number): number {
    return this.homes.head(id);
  }

  // ---- buffers ----
  private placement(test: (p: Placement) => boolean, what: string): Placement {
    const found = this.state.memory.placements.find(test);
    if (!found) throw new CompileError(`emitMlu: ${this.state.program.name}: expected a place for ${what}`, { pass: "emitMlu", target: this.state.chip.name }); // prettier-ignore
    return found;
  }
  private declare(space: Space, offset: number, type: string, wanted: string): string {
    const key = `${space}${offset}${type}${wanted}`;
    const known = this.declared.get(key);
    if (known) return known.slice(0, known.indexOf(" "));
    const name = this.fresh(wanted);
    this.declared.set(key, `${name} ${type}* ${name} = (${type}*)(${space.toLowerCase()} + ${offset});`);
    return name;
  }
  /** Lines that name all buffers. */
  declarations(): string[] {
    return [...this.declared.values()].map((d) => d.slice(d.indexOf(" ") + 1));
  }
  shaped(name: string, dtype: DType, shape: readonly number[], offset = -1): Buffer {
    const type = this.typeOf(dtype, "tile");
    const size = dtype === "bool" ? 4 : dtypes[dtype].size;
    const width = shape[shape.length - 1] ?? 1;
    const rows = sizeOf(shape) / width;
    const count = tileBytes(this.state.chip, "NRAM", { dtype, shape }) / size;
    return { name, dtype, type, size, shape, rows, width, pitch: count / rows, count, offset };
  }
  /** The tile in NRAM; a uniform one must have been filled by `filled`. */
  buffer(id: number): Buffer {
    const known = this.buffers.get(id);
    if (known) return known;
    const tile = this.tile(id);
    const home = this.home(id);
    const { offset } = this.placement((p) => p.tile === home && p.part === "value", `tile ${id}`);
    if (this.isPair(home)) {
      const { now, next } = this.pair(home);
      return this.shaped(this.isAhead ? next : now, tile.dtype, tile.shape, offset);
    }
    const first = this.tile(home);
    const name = this.declare("NRAM", offset, this.typeOf(tile.dtype, opName(tile.op)), `${nameOf(first)}`);
    const buffer = this.shaped(name, tile.dtype, tile.shape, offset);
    this.buffers.set(id, buffer);
    return buffer;
  }
  /** Where the memory core brings a tile for the cluster: the first of two buffers in SRAM, and how long each is. */
  shared(id: number, offset: number): { readonly name: string; readonly count: number } {
    const { dtype, shape } = this.tile(id);
    const { type, count } = this.shaped("", dtype, shape);
    return { name: this.declare("SRAM", offset, type, `shared_${nameOf(this.tile(id))}s`), count };
  }
  isPair(id: number): boolean {
    return this.pairHomes.has(this.home(id));
  }
  pair(id: number): Pair {
    const home = this.home(id);
    const known = this.pairs.get(home);
    if (known) return known;
    const { dtype, shape, op } = this.tile(home);
    const { offset } = this.placement((p) => p.tile === home && p.part === "value", `tile ${home}`);
    const stored = this.state.overlap.pipelines.flatMap((p) => p.stores).find((s) => this.home(s.value) === home);
    const { type, count } = this.shaped("", dtype, shape);
    const now = this.fresh(stored && op.kind !== "load" ? `${stored.view.buffer}_tile` : nameOf(this.tile(home)));
    const base = this.declare("NRAM", offset, type, `${now}s`);
    const pair = { base, now, next: this.fresh(`next_${now}`), type, count };
    this.pairs.set(home, pair);
    return pair;
  }
  /** Extra memory that the plan has for a tile at this statement; `index` counts pieces of `bytes`. */
  scratch(id: number, part: string, type: string, bytes = 0, space: Space = "NRAM"): string {
    const own = (p: Placement): boolean => p.tile === id && p.part === part && p.space === space && p.from <= this.at && this.at <= p.to; // prettier-ignore
    const { offset } = this.placement(own, `${part} of tile ${id}`);
    return this.declare(space, offset + bytes, type, part === "right" ? "filter" : part);
  }
  fresh(name: string): string {
    const n = this.names.get(name) ?? 0;
    this.names.set(name, n + 1);
    return n === 0 ? name : this.fresh(`${name}_${n + 1}`);
  }

  // ---- uniform integers ----
  scope(head: string, body: () => void): void {
    this.reads.push(new Map());
    this.out.block(head, body);
    this.reads.pop();
  }
  openLoop(id: number, start: IndexExpr): void {
    if (this.isNatural(start)) this.forward.add(id);
  }
  /** Whether an index is surely 0 or above. */
  isNatural(e: IndexExpr): boolean {
    switch (e.kind) {
      case "const":
        return e.value >= 0;
      case "param":
      case "program":
        return true;
      case "loop":
        return this.forward.has(e.id);
      case "read":
        return false;
      case "bin": {
        const [a, b] = [this.isNatural(e.a), this.isNatural(e.b)];
        if (e.op === "max") return a || b;
        return e.op === "sub" ? false : a && b;
      }
    }
  }
  index(e: IndexExpr): string {
    return indexText(e, indexForms, (view, at) => this.read(view, at));
  }
  /** An i32 element of memory, named once per block; 0 outside of the view. */
  private read(view: View, at: readonly IndexExpr[]): string {
    const key = `${view.buffer}[${at.map(printIndex).join()}]${printIndex(view.offset)}`;
    const known = this.reads.findLast((m) => m.has(key))?.get(key);
    if (known) return known;
    const idx = at.map((e) => this.index(e));
    const inside = at.flatMap((e, d) => [
      ...(this.isNatural(e) ? [] : [`${idx[d]} >= 0`]),
      `${idx[d]} < ${this.index(view.shape[d]!)}`,
    ]);
    const offset = this.offset(view, idx);
    const name = this.fresh(`${view.buffer}_at`);
    this.out.add(`const int64_t ${name} = ${inside.join(" && ")} ? ${view.buffer}[${offset}] : 0;`);
    this.reads[this.reads.length - 1]!.set(key, name);
    return name;
  }
  /** Element offset of a position of a view. */
  offset(view: View, at: readonly string[]): string {
    const text = offsetText(at, view.strides.map((s) => this.index(s))); // prettier-ignore
    const start = this.index(view.offset);
    return start === "0" ? text : text === "0" ? start : `${start} + ${text}`;
  }
  /** A uniform tile as the text of a scalar. */
  number(id: number): string {
    return this.uniforms.get(id)!;
  }
}

/** What a reader would call a tile: the buffer it was loaded from, else what computed it. */
function nameOf(tile: TileValue): string {
  const { op } = tile;
  if (op.kind === "load" || op.kind === "gather") return `${op.view.buffer}_tile`;
  if (op.kind === "cast") return `as_${tile.dtype}`;
  if (op.kind === "carry") return op.slot === 0 ? `state${op.loop}` : `state${op.loop}_${op.slot}`;
  if (op.kind === "reduce") return `row_${op.op}`;
  return "op" in op ? (spelled[op.op] ?? op.op) : op.kind;
}
/** Ops whose names are words of C++. */
const spelled: Readonly<Record<string, string>> = { and: "both", or: "either", xor: "differs", not: "inverse" };

/** Fills `count` elements with a number. */
export const fill = (b: Pick<Buffer, "name" | "type" | "count">, value: string): string =>
  `__bang_write_value(${b.name}, ${b.count}, (${b.type})${value});`;
export const fillWith = (e: MluEmission, b: Buffer, value: number): void =>
  e.out.add(fill(b, scalarText(value, b.dtype)));
