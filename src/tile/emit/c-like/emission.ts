/**
 * The state of one emission: lines written so far, where each tile's elements are found, the scratch plan, and the
 * uniform integers. Statement files are functions over it. Main noun: `Emission`.
 * A tile is a value (one element), memory with strides, or virtual: an expression inside the loops that read it.
 */
import { dtypes, type DType } from "../../../base/dtype.ts";
import type { IndexExpr, TileProgram, TileValue, View } from "../../ir.ts";
import { sizeOf } from "../../walk.ts";
import { planFusion, type FusionPlan } from "./fusion-plan.ts";
import { indexText, offsetText, paren } from "./index-text.ts";
import { LineWriter, ScratchPlan } from "./line-writer.ts";
import type { CLikeTarget, Place } from "./target.ts";

export interface MemRef extends Place {
  readonly kind: "mem";
  readonly strides: readonly string[];
  /** Valid box of an unpadded load; absent when all of it is. */
  readonly lo?: readonly string[];
  readonly hi?: readonly string[];
}
/** Where a tile's elements are found. */
export type Ref = { readonly kind: "value"; readonly text: string } | MemRef | { readonly kind: "virtual" };

/** One loop nest under construction: temporaries already named, by tile and index. */
export interface Nest {
  readonly names: Map<string, string>;
  readonly lines: string[];
}
export const newNest = (): Nest => ({ names: new Map(), lines: [] });

/** Valid range of a box along each axis, and the conditions under which all of it is valid. */
export interface Clip {
  readonly lo: string[];
  readonly hi: string[];
  readonly inside: string[];
}

export const rowMajor = (shape: readonly number[]): string[] => {
  let step = 1;
  const out: string[] = [];
  for (let d = shape.length - 1; d >= 0; d--) {
    out.unshift(shape[d] === 1 ? "0" : String(step));
    step *= shape[d]!;
  }
  return out;
};

/** Text of one element of memory. */
export const elementText = ({ ptr, start, strides }: MemRef, idx: readonly string[]): string =>
  `${ptr}[${offsetText([start, ...idx], ["1", ...strides])}]`;

/** Memory of a tile as a byte range of the program's scratch. */
export interface ScratchArray {
  readonly name: string;
  readonly storage: string;
  readonly byteOffset: number;
  readonly size: number;
}

export class Emission {
  readonly out = new LineWriter();
  readonly scratch = new ScratchPlan();
  /** Everything ever placed in scratch. */
  readonly arrays: ScratchArray[] = [];
  readonly refs = new Map<number, Ref>();
  /** Where a tile must be computed to, when something else owns that memory. */
  readonly targets = new Map<number, Ref>();
  readonly plan: FusionPlan;
  readonly program: TileProgram;
  readonly target: CLikeTarget;
  /** Rough time of one program in ns, so far. */
  cost = 0;
  /** How often the current statement runs. */
  trips = 1;
  /** Position of the current statement. */
  now = 0;
  private readonly reads: Map<string, string>[] = [new Map()];
  private numNames = 0;

  constructor(program: TileProgram, target: CLikeTarget) {
    this.program = program;
    this.target = target;
    this.plan = planFusion(program);
  }

  newName(prefix: string): string {
    return `${prefix}${this.numNames++}`;
  }
  tileOf(id: number): TileValue {
    return this.plan.tiles.get(id)!.tile;
  }
  lastUse(id: number): number {
    return this.plan.tiles.get(id)!.lastUse;
  }
  /** A block whose uniform reads are not known after it. */
  nested(head: string, body: () => void): void {
    this.reads.push(new Map());
    this.out.block(head, body);
    this.reads.pop();
  }
  loopHead(name: string, from: string, to: string): string {
    return `for (${this.target.counter} ${name} = ${from}; ${name} < ${to}; ${name}++) `;
  }

  // ---- uniform integers ----
  index(e: IndexExpr): string {
    const { target } = this;
    return indexText(e, target.index, (view, at) => {
      const shape = view.shape.map((s) => this.index(s));
      const where = at.map((a) => this.index(a));
      const offset = offsetText([this.index(view.offset), ...where], ["1", ...view.strides.map((s) => this.index(s))]);
      const inside = where.map((a, d) => target.inRange(`(${a})`, shape[d]!)).join(" && ");
      const text = `(${inside || "true"} ? ${target.readIndex(view.buffer, offset)} : 0)`;
      if (this.plan.written.has(view.buffer)) return text;
      for (const scope of this.reads) {
        const known = scope.get(text);
        if (known) return known;
      }
      const name = this.newName("x");
      this.out.add(target.constant(target.indexType, name, text));
      this.reads[this.reads.length - 1]!.set(text, name);
      return name;
    });
  }
  /** Offset in the buffer of element `at` of a view. */
  offset(view: View, at: readonly IndexExpr[]): string {
    const strides = view.strides.map((s) => this.index(s));
    return offsetText([this.index(view.offset), ...at.map((a) => this.index(a))], ["1", ...strides]);
  }
  /** Valid range of a box: constants where provable, else named. */
  clip(name: string, view: View, at: readonly IndexExpr[], box: readonly number[]): Clip {
    const { constant, indexType } = this.target;
    const clip: Clip = { lo: [], hi: [], inside: [] };
    box.forEach((n, d) => {
      const a = at[d]!;
      const s = view.shape[d]!;
      if (a.kind === "const" && a.value >= 0) clip.lo.push("0");
      else {
        this.out.add(constant(indexType, `${name}l${d}`, `ts_clamp(-${paren(this.index(a))}, 0, ${n})`));
        clip.lo.push(`${name}l${d}`);
        clip.inside.push(`${name}l${d} == 0`);
      }
      if (a.kind === "const" && s.kind === "const" && a.value + n <= s.value) clip.hi.push(String(n));
      else {
        const rest = `ts_clamp(${this.index(s)} - ${paren(this.index(a))}, 0, ${n})`;
        this.out.add(constant(indexType, `${name}h${d}`, rest));
        clip.hi.push(`${name}h${d}`);
        clip.inside.push(`${name}h${d} == ${n}`);
      }
    });
    return clip;
  }

  // ---- memory ----
  /** New contiguous memory, declared as `name`, free after statement `until`. */
  allocate(name: string, dtype: DType, size: number, until: number, storage?: string): Place {
    const type = storage ?? this.target.types[dtype].storage;
    const bytes = size * dtypes[dtype].size;
    const byteOffset = bytes <= this.target.localBytes ? undefined : this.scratch.alloc(bytes, until);
    if (byteOffset !== undefined) this.arrays.push({ name, storage: type, byteOffset, size });
    this.out.add(...this.target.array(type, name, size, byteOffset));
    return { ptr: name, start: "0" };
  }
  /** Memory for a tile of this shape, or a variable when it has one element. */
  place(name: string, tile: TileValue, until: number): Ref {
    if (sizeOf(tile.shape) === 1) {
      this.out.add(this.target.variable(this.target.types[tile.dtype].compute, name));
      return { kind: "value", text: name };
    }
    return this.memory(name, tile.dtype, tile.shape, until);
  }
  memory(name: string, dtype: DType, shape: readonly number[], until: number): MemRef {
    return { kind: "mem", ...this.allocate(name, dtype, sizeOf(shape), until), strides: rowMajor(shape) };
  }
  /** A tile's own place. */
  own(tile: TileValue): Ref {
    return this.place(`t${tile.id}`, tile, this.lastUse(tile.id));
  }

  // ---- loops over a shape ----
  nest(
    shape: readonly number[],
    range: { readonly lo: readonly string[]; readonly hi: readonly string[] } | undefined,
    body: (idx: string[], nest: Nest) => string[],
    isSimd = true,
  ): void {
    const axes = shape.map((n, d) => ({ n, d })).filter((a) => a.n > 1);
    const idx = shape.map((n, d) => (n > 1 ? `i${d}` : "0"));
    const nest = newNest();
    const tail = body(idx, nest);
    this.cost += ((sizeOf(shape) * (nest.lines.length + tail.length)) / 20) * this.trips;
    const open = (k: number): void => {
      const axis = axes[k];
      if (!axis) return this.out.add(...nest.lines, ...tail);
      const { d, n } = axis;
      if (isSimd && k === axes.length - 1) this.hint();
      this.out.block(this.loopHead(`i${d}`, range?.lo[d] ?? "0", range?.hi[d] ?? String(n)), () => open(k + 1));
    };
    if (axes.length === 0) this.out.block("", () => open(0));
    else open(0);
  }
  /** The line that says that the next loop's turns are independent. */
  hint(): void {
    if (this.target.simd) this.out.add(this.target.simd);
  }
}
