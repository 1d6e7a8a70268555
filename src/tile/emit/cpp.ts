/**
 * Tile program -> C++ text for the cpu target: one `extern "C"` function that runs one program of the grid.
 * Element-wise chains become one loop over the shape that g++ vectorises; what must be kept goes to small arrays or
 * to the caller's scratch, planned by cpp-plan.ts. Loads inside the view are pointers into the buffer; a load that
 * leaves it is copied with padding first, so every loop has one version. Dots call the library of dot.cpp on the valid part.
 * Main function: `emitCpp`. Meaning: interpret.ts. Over 300 lines because the statement cases share one emitter state.
 */
import { dtypes, isFloat, type DType } from "../../base/dtype.ts";
import { assert } from "../../base/errors.ts";
import type { IndexExpr, Stmt, TileProgram, TileValue, View } from "../ir.ts";
import { indexText, offsetText } from "./cpp-index.ts";
import { isUnitReshape, planCpp, sizeOf, type CppPlan } from "./cpp-plan.ts";
import { cppBinary, cppCast, cppCompare, cppLiteral, cppReduce, cppTypes, cppUnary } from "./cpp-types.ts";
import { LineWriter, ScratchPlan } from "./cpp-writer.ts";

export interface CppKernel {
  readonly source: string;
  readonly scratchBytes: number;
  /** Rough time of one program, for deciding whether waking threads pays. */
  readonly costNs: number;
}

/** Where a tile's elements are found. */
type Ref =
  | { readonly kind: "value"; readonly text: string }
  | {
      readonly kind: "mem";
      readonly ptr: string;
      readonly strides: readonly string[];
      /** Valid box of an unpadded load; absent when all of it is. */
      readonly lo?: readonly string[];
      readonly hi?: readonly string[];
    }
  | { readonly kind: "virtual" };

type PlacedRef = Extract<Ref, { kind: "mem" }>;

/** One loop nest under construction: temporaries already named, by tile and index. */
interface Nest {
  readonly names: Map<string, string>;
  readonly lines: string[];
}

const rowMajor = (shape: readonly number[]): string[] => {
  let step = 1;
  const out: string[] = [];
  for (let d = shape.length - 1; d >= 0; d--) {
    out.unshift(shape[d] === 1 ? "0" : String(step));
    step *= shape[d]!;
  }
  return out;
};
const LOCAL_BYTES = 512;
/** Trip count assumed for loops whose length is an argument. */
const GUESSED_TRIPS = 8;

/** Scratch that the dot library may use for one product; see dot.cpp. */
const dotWorkBytes = (m: number, k: number): number => (m + 64) * Math.min(k, 512) * 4 + 160 * 1024;

class CppEmitter {
  private readonly out = new LineWriter();
  private readonly scratch = new ScratchPlan();
  private readonly refs = new Map<number, Ref>();
  private readonly plan: CppPlan;
  private readonly program: TileProgram;
  private readonly reads: Map<string, string>[] = [new Map()];
  private numNames = 0;
  private cost = 0;
  private trips = 1;
  private now = 0;

  constructor(program: TileProgram) {
    this.program = program;
    this.plan = planCpp(program);
  }

  run(symbol: string): CppKernel {
    this.program.params.forEach((p, i) => {
      if (p.kind === "buffer") {
        const type = `${p.mode === "in" ? "const " : ""}${cppTypes[p.dtype].storage}`;
        this.out.add(`${type}* b_${p.name} = (${type}*)(u64)a[${i}];`);
      } else if (p.kind === "index") this.out.add(`const i64 n_${p.name} = (i64)a[${i}];`);
      else this.out.add(`const float s_${p.name} = (float)a[${i}];`);
    });
    this.stmts(this.program.body);
    const head = `extern "C" void ${symbol}(const double* a, i64 p0, i64 p1, i64 p2, char* scratch) {\n  (void)p0, (void)p1, (void)p2, (void)scratch;`;
    return {
      source: `// ${this.program.name}\n${head}\n${this.out}\n}\n`,
      scratchBytes: this.scratch.size,
      costNs: Math.ceil(this.cost) + 20,
    };
  }

  // ---- statements ----
  private stmts(list: readonly Stmt[]): void {
    for (const stmt of list) {
      const { at, end } = this.plan.positions.get(stmt)!;
      this.now = at;
      if (stmt.kind === "let") this.let(stmt.tile);
      else if (stmt.kind === "store") this.store(stmt);
      else if (stmt.kind === "scatter") this.scatter(stmt);
      else if (stmt.kind === "loop") this.loop(stmt);
      else this.nested(`if (${this.index(stmt.cond)} != 0) `, () => this.stmts(stmt.body));
      this.now = end;
      this.scratch.release(end);
    }
  }
  private nested(head: string, body: () => void): void {
    this.reads.push(new Map());
    this.out.block(head, body);
    this.reads.pop();
  }

  private let(tile: TileValue): void {
    if (this.refs.has(tile.id)) return;
    const op = tile.op;
    const { life } = this.plan.tiles.get(tile.id)!;
    if (life === "virtual") {
      this.refs.set(tile.id, { kind: "virtual" });
      return;
    }
    switch (op.kind) {
      case "load":
        this.load(tile, op.view, op.at, op.other);
        return;
      case "gather":
        this.gather(tile, op.view, op.rows, op.col, op.other);
        return;
      case "full":
      case "scalar":
      case "index":
      case "iota":
      case "unary":
      case "binary":
      case "compare":
      case "select":
      case "cast":
      case "random":
        this.materialise(tile, tile.id);
        return;
      case "broadcast":
      case "reshape":
      case "transpose":
        this.alias(tile);
        return;
      case "reduce":
        if (op.op === "argmax") this.argmax(tile, op.x, op.axis);
        else this.reduce(tile, op.x, op.axis, op.op);
        return;
      case "cumsum":
        this.cumsum(tile, op.x, op.axis);
        return;
      case "dot":
        this.dot(tile);
        return;
      case "topk":
        this.topk(tile, op.x, op.k);
        return;
      case "carry":
      case "result":
        assert(this.refs.has(tile.id), `${op.kind} before its loop`);
    }
  }

  // ---- uniform integers ----
  private index(e: IndexExpr): string {
    return indexText(e, (view, at) => {
      const shape = view.shape.map((s) => this.index(s));
      const where = at.map((a) => this.index(a));
      const offset = offsetText([this.index(view.offset), ...where], ["1", ...view.strides.map((s) => this.index(s))]);
      const inside = where.map((a, d) => `(u64)(${a}) < (u64)(${shape[d]})`).join(" && ");
      const text = `(${inside || "true"} ? (i64)b_${view.buffer}[${offset}] : 0)`;
      if (this.plan.written.has(view.buffer)) return text;
      for (const scope of this.reads) {
        const known = scope.get(text);
        if (known) return known;
      }
      const name = `x${this.numNames++}`;
      this.out.add(`const i64 ${name} = ${text};`);
      this.reads[this.reads.length - 1]!.set(text, name);
      return name;
    });
  }
  /** Pointer text to element `at` of a view. */
  private address(view: View, at: readonly IndexExpr[]): string {
    const strides = view.strides.map((s) => this.index(s));
    const offset = offsetText([this.index(view.offset), ...at.map((a) => this.index(a))], ["1", ...strides]);
    return offset === "0" ? `b_${view.buffer}` : `b_${view.buffer} + ${offset}`;
  }
  /** Valid range of a box along each axis: constants where provable, else named. `full` when all of it is inside. */
  private clip(
    name: string,
    view: View,
    at: readonly IndexExpr[],
    box: readonly number[],
  ): { lo: string[]; hi: string[]; inside: string[] } {
    const lo: string[] = [];
    const hi: string[] = [];
    const inside: string[] = [];
    box.forEach((n, d) => {
      const a = at[d]!;
      const s = view.shape[d]!;
      if (a.kind === "const" && a.value >= 0) lo.push("0");
      else {
        this.out.add(`const i64 ${name}l${d} = ts_clamp(-${paren(this.index(a))}, 0, ${n});`);
        lo.push(`${name}l${d}`);
        inside.push(`${name}l${d} == 0`);
      }
      if (a.kind === "const" && s.kind === "const" && a.value + n <= s.value) hi.push(String(n));
      else {
        this.out.add(`const i64 ${name}h${d} = ts_clamp(${this.index(s)} - ${paren(this.index(a))}, 0, ${n});`);
        hi.push(`${name}h${d}`);
        inside.push(`${name}h${d} == ${n}`);
      }
    });
    return { lo, hi, inside };
  }

  // ---- memory ----
  /** New contiguous memory for `dtype` elements; declared as `name`. */
  private allocate(name: string, dtype: DType, size: number, until: number, storage = cppTypes[dtype].storage): void {
    const bytes = size * (storage === "float" ? 4 : dtypes[dtype].size);
    if (bytes <= LOCAL_BYTES) this.out.add(`alignas(64) ${storage} ${name}[${size}];`);
    else this.out.add(`${storage}* ${name} = (${storage}*)(scratch + ${this.scratch.alloc(bytes, until)});`);
  }
  /** Declares a tile's own memory (or variable when it has one element) and returns its ref. */
  private own(tile: TileValue, until = this.plan.tiles.get(tile.id)!.lastUse): Ref {
    const size = sizeOf(tile.shape);
    if (size === 1) {
      this.out.add(`${cppTypes[tile.dtype].compute} t${tile.id};`);
      return { kind: "value", text: `t${tile.id}` };
    }
    this.allocate(`t${tile.id}`, tile.dtype, size, until);
    return { kind: "mem", ptr: `t${tile.id}`, strides: rowMajor(tile.shape) };
  }
  private tileOf(id: number): TileValue {
    return this.plan.tiles.get(id)!.tile;
  }
  /** Any strided memory that holds the tile. */
  private mem(id: number): Extract<Ref, { kind: "mem" }> {
    const ref = this.refs.get(id)!;
    if (ref.kind === "mem") return ref;
    const tile = this.tileOf(id);
    const name = `m${this.numNames++}`;
    this.allocate(name, tile.dtype, sizeOf(tile.shape), this.now);
    const target: Ref = { kind: "mem", ptr: name, strides: rowMajor(tile.shape) };
    this.fill(tile.shape, tile.dtype, target, id);
    return target;
  }
  /** Row-major memory that holds the tile. */
  private contiguous(id: number, until = this.now): Extract<Ref, { kind: "mem" }> {
    const tile = this.tileOf(id);
    const ref = this.mem(id);
    const want = rowMajor(tile.shape);
    if (ref.strides.every((s, d) => tile.shape[d] === 1 || s === want[d] || s === `${want[d]}LL`))
      return { ...ref, strides: want };
    const name = `m${this.numNames++}`;
    this.allocate(name, tile.dtype, sizeOf(tile.shape), until);
    const target: Ref = { kind: "mem", ptr: name, strides: want };
    this.fill(tile.shape, tile.dtype, target, id);
    return target as Extract<Ref, { kind: "mem" }>;
  }
  /** target[i] = tile[i] over the whole shape. */
  private fill(shape: readonly number[], dtype: DType, target: Ref, id: number): void {
    this.nest(shape, undefined, (idx, nest) => {
      if (target.kind === "value") return [`${target.text} = ${this.at(id, idx, nest)};`];
      assert(target.kind === "mem", "fill of a virtual tile");
      return [`${target.ptr}[${offsetText(idx, target.strides)}] = ${this.stored(id, idx, nest, dtype)};`];
    });
  }
  private materialise(tile: TileValue, id: number): void {
    const place = this.refs.get(-1 - tile.id) ?? this.own(tile);
    this.refs.set(tile.id, { kind: "virtual" });
    this.fill(tile.shape, tile.dtype, place, id);
    this.refs.set(tile.id, place);
  }

  private load(tile: TileValue, view: View, at: readonly IndexExpr[], other: number): void {
    const name = `t${tile.id}`;
    const type = cppTypes[tile.dtype];
    const written = this.plan.written.has(view.buffer);
    const { lo, hi, inside } = this.clip(name, view, at, tile.shape);
    const strides = view.strides.map((s, d) => (tile.shape[d] === 1 ? "0" : this.index(s)));
    this.cost += (sizeOf(tile.shape) / 32) * this.trips;
    if (sizeOf(tile.shape) === 1) {
      const value = type.load(`(${this.address(view, at)})[0]`);
      const cond = inside.join(" && ") || "true";
      this.out.add(`const ${type.compute} ${name} = ${cond} ? ${value} : ${cppLiteral(other, tile.dtype)};`);
      this.refs.set(tile.id, { kind: "value", text: name });
      return;
    }
    const { lastUse, dotOnly } = this.plan.tiles.get(tile.id)!;
    const raw = `const ${type.storage}* ${name} = ${this.address(view, at)};`;
    if (!written && inside.length === 0) {
      this.out.add(raw);
      this.refs.set(tile.id, { kind: "mem", ptr: name, strides });
      return;
    }
    if (!written && dotOnly && other === 0) {
      this.out.add(raw);
      this.refs.set(tile.id, { kind: "mem", ptr: name, strides, lo, hi });
      return;
    }
    const want = rowMajor(tile.shape);
    const named = strides.map((s, d) => (s === want[d] || s === `${want[d]}LL` ? want[d]! : `${name}s${d}`));
    this.out.add(raw);
    named.forEach((s, d) => {
      if (s === `${name}s${d}`) this.out.add(`i64 ${s} = ${strides[d]};`);
    });
    const copy = (): void => {
      const pad = `${name}p`;
      const list = (x: readonly string[]): string => `{${x.join(", ")}}`;
      this.out.add(
        `static const i64 ${name}b[] = ${list(tile.shape.map(String))};`,
        `const i64 ${name}t[] = ${list(named)}, ${name}l[] = ${list(lo)}, ${name}h[] = ${list(hi)};`,
        `ts_pad<${type.storage}>(${pad}, ${name}, ${name}b, ${name}t, ${name}l, ${name}h, ${tile.shape.length}, ${type.store(cppLiteral(other, tile.dtype))});`,
        `${name} = ${pad};`,
      );
      named.forEach((s, d) => {
        if (s === `${name}s${d}`) this.out.add(`${s} = ${want[d]};`);
      });
    };
    this.allocate(`${name}p`, tile.dtype, sizeOf(tile.shape), lastUse);
    this.out.block(written ? "" : `if (!(${inside.join(" && ")})) `, copy);
    this.refs.set(tile.id, { kind: "mem", ptr: name, strides: written ? want : named });
  }

  private gather(tile: TileValue, view: View, rowsId: number, col: IndexExpr, other: number): void {
    const name = `t${tile.id}`;
    const type = cppTypes[tile.dtype];
    const [numRows, cols] = tile.shape as [number, number];
    const { lo, hi } = this.clip(`${name}c`, { ...view, shape: [view.shape[1]!] }, [col], [cols]);
    const rowCount = this.index(view.shape[0]!);
    const [s0, s1] = view.strides.map((s) => this.index(s)) as [string, string];
    const base = offsetText([this.index(view.offset), this.index(col)], ["1", s1]);
    this.allocate(name, tile.dtype, sizeOf(tile.shape), this.plan.tiles.get(tile.id)!.lastUse);
    const ref: Ref = { kind: "mem", ptr: name, strides: rowMajor(tile.shape) };
    this.refs.set(tile.id, ref);
    const fill = type.store(cppLiteral(other, tile.dtype));
    this.cost += (sizeOf(tile.shape) / 16 + numRows * 3) * this.trips;
    this.nest(
      [numRows],
      undefined,
      (idx, nest) => {
        const row = this.at(rowsId, idx, nest);
        return [
          `const i64 r = ${row}; ${type.storage}* d = ${name} + ${offsetText(idx, [String(cols)])};`,
          `const ${type.storage}* s = b_${view.buffer} + ${base} + r * ${s0};`,
          `const i64 lo = (u64)r < (u64)(${rowCount}) ? ${lo[0]} : ${cols}, hi = (u64)r < (u64)(${rowCount}) ? ${hi[0]} : ${cols};`,
          `for (i64 j = 0; j < lo; j++) d[j] = ${fill};`,
          `TS_SIMD for (i64 j = lo; j < hi; j++) d[j] = s[${offsetText(["j"], [s1])}];`,
          `for (i64 j = hi; j < ${cols}; j++) d[j] = ${fill};`,
        ];
      },
      false,
    );
  }
  private scatter(stmt: Extract<Stmt, { kind: "scatter" }>): void {
    const { view } = stmt;
    const value = this.tileOf(stmt.value);
    const [numRows, cols] = value.shape as [number, number];
    const name = `w${this.numNames++}`;
    const { lo, hi } = this.clip(name, { ...view, shape: [view.shape[1]!] }, [stmt.col], [cols]);
    const [s0, s1] = view.strides.map((s) => this.index(s)) as [string, string];
    const base = offsetText([this.index(view.offset), this.index(stmt.col)], ["1", s1]);
    const rowCount = this.index(view.shape[0]!);
    const rows = this.mem(stmt.rows);
    this.out.block(`for (i64 i0 = 0; i0 < ${numRows}; i0++) `, () => {
      this.out.add(`const i64 r = ${rows.ptr}[${offsetText(["i0"], rows.strides)}];`);
      this.out.add(`if ((u64)r >= (u64)(${rowCount})) continue;`);
      this.out.add(`${cppTypes[view.dtype].storage}* d = b_${view.buffer} + ${base} + r * ${s0};`);
      const nest: Nest = { names: new Map(), lines: [] };
      const text = this.stored(stmt.value, ["i0", "j"], nest, view.dtype);
      this.out.add("TS_SIMD");
      this.out.block(`for (i64 j = ${lo[0]}; j < ${hi[0]}; j++) `, () =>
        this.out.add(...nest.lines, `d[${offsetText(["j"], [s1])}] = ${text};`),
      );
    });
    this.cost += (sizeOf(value.shape) / 8) * this.trips;
  }
  private store(stmt: Extract<Stmt, { kind: "store" }>): void {
    const { view } = stmt;
    const { shape } = this.tileOf(stmt.value);
    const name = `w${this.numNames++}`;
    const { lo, hi, inside } = this.clip(name, view, stmt.at, shape);
    const type = cppTypes[view.dtype];
    const strides = view.strides.map((s, d) => (shape[d] === 1 ? "0" : this.index(s)));
    this.out.add(`${type.storage}* ${name} = ${this.address(view, stmt.at)};`);
    const body = (): void =>
      this.nest(shape, { lo, hi }, (idx, nest) => [
        `${name}[${offsetText(idx, strides)}] = ${this.stored(stmt.value, idx, nest, view.dtype)};`,
      ]);
    // Axes of size 1 have no loop to clip.
    const unit = inside.filter((c) =>
      shape.some((n, d) => n === 1 && (c.startsWith(`${name}l${d} `) || c.startsWith(`${name}h${d} `))),
    );
    if (unit.length) this.out.block(`if (${unit.join(" && ")}) `, body);
    else body();
  }

  private loop(stmt: Extract<Stmt, { kind: "loop" }>): void {
    const { end } = this.plan.positions.get(stmt)!;
    const carried: Ref[] = stmt.init.map((id, slot) => {
      const tile = this.tileOf(id);
      const name = `c${stmt.id}_${slot}`;
      const until = Math.max(end, ...this.carriers(stmt.id, slot).map((t) => this.plan.tiles.get(t.id)!.lastUse));
      let ref: Ref;
      if (sizeOf(tile.shape) === 1) {
        this.out.add(`${cppTypes[tile.dtype].compute} ${name};`);
        ref = { kind: "value", text: name };
      } else {
        this.allocate(name, tile.dtype, sizeOf(tile.shape), until);
        ref = { kind: "mem", ptr: name, strides: rowMajor(tile.shape) };
      }
      this.fill(tile.shape, tile.dtype, ref, id);
      for (const t of this.carriers(stmt.id, slot)) this.refs.set(t.id, ref);
      return ref;
    });
    stmt.next.forEach((id, slot) => {
      if (this.plan.inPlace.has(`${stmt.id}:${slot}`)) this.refs.set(-1 - id, carried[slot]!);
    });
    const l = `l${stmt.id}`;
    const trips =
      stmt.start.kind === "const" && stmt.end.kind === "const"
        ? Math.max(0, Math.ceil((stmt.end.value - stmt.start.value) / stmt.step))
        : GUESSED_TRIPS;
    const outer = this.trips;
    this.trips *= trips;
    const until = this.index(stmt.end);
    this.nested(
      `for (i64 ${l} = ${this.index(stmt.start)}, ${l}e = ${until}; ${l} < ${l}e; ${l} += ${stmt.step}) `,
      () => {
        this.stmts(stmt.body);
        this.now = end;
        // A slot that takes another slot's old value must be read before any slot is written.
        const sources = stmt.next.map((id) => {
          const op = this.tileOf(id).op;
          return op.kind === "carry" && op.loop === stmt.id ? this.keep(id) : id;
        });
        sources.forEach((id, slot) => {
          const op = this.tileOf(stmt.next[slot]!).op;
          const unchanged = op.kind === "carry" && op.loop === stmt.id && op.slot === slot;
          if (unchanged || this.plan.inPlace.has(`${stmt.id}:${slot}`)) return;
          const tile = this.tileOf(stmt.next[slot]!);
          this.fill(tile.shape, tile.dtype, carried[slot]!, id);
        });
      },
    );
    this.trips = outer;
  }
  private carriers(loop: number, slot: number): TileValue[] {
    return [...this.plan.tiles.values()]
      .map((p) => p.tile)
      .filter((t) => (t.op.kind === "carry" || t.op.kind === "result") && t.op.loop === loop && t.op.slot === slot);
  }
  /** A private copy of a tile, as a new id. */
  private keep(id: number): number {
    const tile = this.tileOf(id);
    const copy = -1_000_000 - this.numNames++;
    const name = `m${this.numNames++}`;
    let ref: Ref;
    if (sizeOf(tile.shape) === 1) {
      this.out.add(`${cppTypes[tile.dtype].compute} ${name};`);
      ref = { kind: "value", text: name };
    } else {
      this.allocate(name, tile.dtype, sizeOf(tile.shape), this.now);
      ref = { kind: "mem", ptr: name, strides: rowMajor(tile.shape) };
    }
    this.fill(tile.shape, tile.dtype, ref, id);
    this.refs.set(copy, ref);
    (this.plan.tiles as Map<number, { tile: TileValue; life: "memory"; lastUse: number; dotOnly: boolean }>).set(copy, {
      tile: { ...tile, id: copy },
      life: "memory",
      lastUse: this.now,
      dotOnly: false,
    });
    return copy;
  }

  // ---- loops over a shape ----
  private nest(
    shape: readonly number[],
    range: { readonly lo: readonly string[]; readonly hi: readonly string[] } | undefined,
    body: (idx: string[], nest: Nest) => string[],
    simd = true,
  ): void {
    const axes = shape.map((n, d) => ({ n, d })).filter((a) => a.n > 1);
    const idx = shape.map((n, d) => (n > 1 ? `i${d}` : "0"));
    const nest: Nest = { names: new Map(), lines: [] };
    const tail = body(idx, nest);
    this.cost += ((sizeOf(shape) * (nest.lines.length + tail.length)) / 20) * this.trips;
    const open = (k: number): void => {
      const axis = axes[k];
      if (!axis) return this.out.add(...nest.lines, ...tail);
      const { d, n } = axis;
      if (simd && k === axes.length - 1) this.out.add("TS_SIMD");
      const from = range?.lo[d] ?? "0";
      const to = range?.hi[d] ?? String(n);
      this.out.block(`for (i64 i${d} = ${from}; i${d} < ${to}; i${d}++) `, () => open(k + 1));
    };
    if (axes.length === 0) this.out.block("", () => open(0));
    else open(0);
  }
  /** Storage-typed text of one element. */
  private stored(id: number, idx: readonly string[], nest: Nest, dtype: DType): string {
    const ref = this.refs.get(id)!;
    const type = cppTypes[dtype];
    if (ref.kind === "mem") return `${ref.ptr}[${offsetText(idx, ref.strides)}]`;
    const op = this.tileOf(id).op;
    // A cast that is only stored needs one rounding, not a rounding and an encoding.
    if (ref.kind === "virtual" && op.kind === "cast" && isFloat(dtype) && isFloat(this.tileOf(op.x).dtype))
      return type.store(this.at(op.x, idx, nest));
    return type.store(this.at(id, idx, nest));
  }
  /** Compute-typed text of one element; temporaries go to the nest. */
  private at(id: number, idx: readonly string[], nest: Nest): string {
    const tile = this.tileOf(id);
    const ref = this.refs.get(id);
    assert(ref, `tile ${id} has no place yet`);
    if (ref.kind === "value") return ref.text;
    const op = tile.op;
    const type = cppTypes[tile.dtype];
    if (ref.kind === "virtual") {
      if (op.kind === "full") return cppLiteral(op.value, tile.dtype);
      if (op.kind === "scalar") return `s_${op.name}`;
      if (op.kind === "index") return `(i32)${paren(this.index(op.value))}`;
      if (op.kind === "iota") return `(i32)${idx[op.axis]}`;
      if (op.kind === "broadcast" || op.kind === "reshape" || op.kind === "transpose")
        return this.at(op.x, this.mapIndex(tile, idx), nest);
    }
    const key = `${id}:${idx.join(",")}`;
    const known = nest.names.get(key);
    if (known) return known;
    const text =
      ref.kind === "mem" ? type.load(`${ref.ptr}[${offsetText(idx, ref.strides)}]`) : this.compute(tile, idx, nest);
    const name = `v${this.numNames++}`;
    nest.lines.push(`const ${type.compute} ${name} = ${text};`);
    nest.names.set(key, name);
    return name;
  }
  private compute(tile: TileValue, idx: readonly string[], nest: Nest): string {
    const op = tile.op;
    const { round } = cppTypes[tile.dtype];
    const x = (id: number): string => this.at(id, idx, nest);
    switch (op.kind) {
      case "unary":
        return round(cppUnary[op.op](x(op.x), tile.dtype));
      case "binary":
        return round(cppBinary[op.op](x(op.a), x(op.b), tile.dtype));
      case "compare":
        return cppCompare(op.op, x(op.a), x(op.b));
      case "select": {
        const [c, a, b] = [x(op.cond), x(op.a), x(op.b)];
        return `${c} ? ${a} : ${b}`;
      }
      case "cast":
        return cppCast(x(op.x), this.tileOf(op.x).dtype, tile.dtype);
      case "random":
        return `ts_random(ts_random_key(${this.index(op.seed)}), ${x(op.counter)})`;
      default:
        throw new Error(`internal: ${op.kind} is not element-wise`);
    }
  }
  /** Index into the operand of a broadcast, unit reshape or transpose. */
  private mapIndex(tile: TileValue, idx: readonly string[]): string[] {
    const op = tile.op;
    assert(op.kind === "broadcast" || op.kind === "reshape" || op.kind === "transpose", "mapIndex");
    const from = this.tileOf(op.x).shape;
    if (op.kind === "broadcast") return from.map((n, d) => (n === 1 ? "0" : idx[d]!));
    if (op.kind === "transpose") return from.map((_, d) => idx[op.perm.indexOf(d)]!);
    const rest = idx.filter((_, d) => tile.shape[d] !== 1);
    return from.map((n) => (n === 1 ? "0" : rest.shift()!));
  }
  private alias(tile: TileValue): void {
    const op = tile.op;
    assert(op.kind === "broadcast" || op.kind === "reshape" || op.kind === "transpose", "alias");
    const from = this.tileOf(op.x);
    let ref = this.refs.get(op.x)!;
    if (ref.kind === "value" && sizeOf(tile.shape) === 1) {
      this.refs.set(tile.id, ref);
      return;
    }
    const unit = op.kind !== "reshape" || isUnitReshape(from.shape, tile.shape);
    if (unit && ref.kind !== "mem") {
      this.refs.set(tile.id, { kind: "virtual" });
      return;
    }
    if (!unit) {
      ref = this.contiguous(op.x, this.plan.tiles.get(tile.id)!.lastUse);
      this.refs.set(tile.id, { kind: "mem", ptr: ref.ptr, strides: rowMajor(tile.shape) });
      return;
    }
    assert(ref.kind === "mem", "alias of memory");
    const pick = (list: readonly string[], missing: string): string[] => {
      if (op.kind === "broadcast") return list.map((s, d) => (from.shape[d] === 1 ? missing : s));
      if (op.kind === "transpose") return op.perm.map((p) => list[p]!);
      const rest = list.filter((_, d) => from.shape[d] !== 1);
      return tile.shape.map((n) => (n === 1 ? missing : rest.shift()!));
    };
    const { ptr, strides, lo, hi } = ref;
    if (lo && hi) {
      // A unit axis that leaves the view empties the whole box.
      const empties = from.shape
        .flatMap((n, d) => (n === 1 && hi[d] !== "1" ? [`${hi[d]} == 1`] : []))
        .concat(from.shape.flatMap((n, d) => (n === 1 && lo[d] !== "0" ? [`${lo[d]} == 0`] : [])));
      const clipped = pick(hi, "1");
      if (op.kind === "reshape" && empties.length) {
        const d = tile.shape.findIndex((n) => n !== 1);
        if (d >= 0) clipped[d] = `(${empties.join(" && ")} ? ${clipped[d]} : 0)`;
      }
      this.refs.set(tile.id, { kind: "mem", ptr, strides: pick(strides, "0"), lo: pick(lo, "0"), hi: clipped });
      return;
    }
    this.refs.set(tile.id, { kind: "mem", ptr, strides: pick(strides, "0") });
  }

  // ---- along an axis ----
  private reduce(tile: TileValue, x: number, axis: number, kind: "sum" | "max" | "min"): void {
    const from = this.tileOf(x).shape;
    const type = cppTypes[tile.dtype];
    const { start, join, clause } = cppReduce[kind];
    const ref = this.own(tile);
    const n = from[axis]!;
    const inner = from.slice(axis + 1).some((s) => s > 1);
    const nest: Nest = { names: new Map(), lines: [] };
    const idx = from.map((s, d) => (s > 1 ? `i${d}` : "0"));
    const put = (text: string): string =>
      ref.kind === "value"
        ? `${ref.text} = ${text};`
        : `${(ref as PlacedRef).ptr}[${offsetText(idx, (ref as PlacedRef).strides)}] = ${type.store(text)};`;
    const outer = from.map((s, d) => ({ s, d })).filter(({ s, d }) => s > 1 && d < axis);
    const after = from.map((s, d) => ({ s, d })).filter(({ s, d }) => s > 1 && d > axis);
    const loops = (list: readonly { s: number; d: number }[], simd: boolean, body: () => void): void => {
      const open = (k: number): void => {
        const a = list[k];
        if (!a) return body();
        if (simd && k === list.length - 1) this.out.add("TS_SIMD");
        this.out.block(`for (i64 i${a.d} = 0; i${a.d} < ${a.s}; i${a.d}++) `, () => open(k + 1));
      };
      open(0);
    };
    const value = this.at(x, idx, nest);
    this.cost += ((sizeOf(from) * (nest.lines.length + 1)) / 20) * this.trips;
    const axisLoop = `for (i64 i${axis} = 0; i${axis} < ${n}; i${axis}++) `;
    if (!inner) {
      loops(outer, false, () =>
        this.out.block("", () => {
          this.out.add(`${type.compute} r = ${start(tile.dtype)};`);
          if (n === 1) this.out.block("", () => this.out.add(...nest.lines, `r = ${join("r", value, tile.dtype)};`));
          else {
            this.out.add(`_Pragma("omp simd reduction(${clause}:r)")`);
            this.out.block(axisLoop, () => this.out.add(...nest.lines, `r = ${join("r", value, tile.dtype)};`));
          }
          this.out.add(put(type.round("r")));
        }),
      );
    } else {
      const acc = `r${this.numNames++}`;
      const size = after.reduce((p, a) => p * a.s, 1);
      this.allocate(acc, type.compute === "float" ? "f32" : tile.dtype, size, this.now, type.compute);
      const strides = rowMajor(from.map((s, d) => (d > axis ? s : 1)));
      const slot = `${acc}[${offsetText(idx, strides)}]`;
      loops(outer, false, () =>
        this.out.block("", () => {
          loops(after, true, () => this.out.add(`${slot} = ${start(tile.dtype)};`));
          const body = (): void =>
            loops(after, true, () => this.out.add(...nest.lines, `${slot} = ${join(slot, value, tile.dtype)};`));
          if (n === 1) body();
          else this.out.block(axisLoop, body);
          loops(after, true, () => this.out.add(put(type.round(slot))));
        }),
      );
    }
    this.refs.set(tile.id, ref);
  }
  private argmax(tile: TileValue, x: number, axis: number): void {
    const from = this.tileOf(x);
    const ref = this.own(tile);
    const n = from.shape[axis]!;
    this.nest(
      tile.shape,
      undefined,
      (idx) => {
        const nest: Nest = { names: new Map(), lines: [] };
        const value = this.at(
          x,
          idx.map((s, d) => (d === axis ? "j" : s)),
          nest,
        );
        const target =
          ref.kind === "value" ? ref.text : `${(ref as PlacedRef).ptr}[${offsetText(idx, (ref as PlacedRef).strides)}]`;
        return [
          `${cppTypes[from.dtype].compute} best = 0; i32 where = 0;`,
          `for (i64 j = 0; j < ${n}; j++) { ${nest.lines.join(" ")} if (j == 0 || ${value} > best) { best = ${value}; where = (i32)j; } }`,
          `${target} = where;`,
        ];
      },
      false,
    );
    this.cost += sizeOf(from.shape) * 0.7 * this.trips;
    this.refs.set(tile.id, ref);
  }
  private cumsum(tile: TileValue, x: number, axis: number): void {
    const ref = this.own(tile);
    const type = cppTypes[tile.dtype];
    const n = tile.shape[axis]!;
    this.nest(
      tile.shape.map((s, d) => (d === axis ? 1 : s)),
      undefined,
      (idx) => {
        const nest: Nest = { names: new Map(), lines: [] };
        const at = idx.map((s, d) => (d === axis ? "j" : s));
        const value = this.at(x, at, nest);
        const put =
          ref.kind === "value"
            ? `${ref.text} = ${type.round("run")};`
            : `${(ref as PlacedRef).ptr}[${offsetText(at, (ref as PlacedRef).strides)}] = ${type.store("run")};`;
        return [
          `${type.compute} run = 0;`,
          `for (i64 j = 0; j < ${n}; j++) { ${nest.lines.join(" ")} run = run + ${value}; ${put} }`,
        ];
      },
      false,
    );
    this.cost += sizeOf(tile.shape) * 0.7 * this.trips;
    this.refs.set(tile.id, ref);
  }
  private topk(tile: TileValue, x: number, k: number): void {
    const from = this.tileOf(x);
    const n = from.shape[from.shape.length - 1]!;
    const rows = sizeOf(from.shape) / n;
    const twin = [...this.plan.tiles.values()].find(
      (p) =>
        p.tile.op.kind === "topk" &&
        p.tile.op.x === x &&
        p.tile.op.k === k &&
        p.tile.id !== tile.id &&
        p.tile.id === tile.id + 1,
    )?.tile;
    let rowPtr: string;
    if (from.dtype === "f32") rowPtr = this.contiguous(x).ptr;
    else {
      rowPtr = `m${this.numNames++}`;
      this.allocate(rowPtr, "f32", sizeOf(from.shape), this.now);
      this.nest(from.shape, undefined, (idx, nest) => [
        `${rowPtr}[${offsetText(idx, rowMajor(from.shape))}] = ${this.at(x, idx, nest)};`,
      ]);
    }
    const place = (part: "values" | "indices"): string => {
      const owner = tile.op.kind === "topk" && tile.op.part === part ? tile : twin;
      const name = owner ? `t${owner.id}` : `m${this.numNames++}`;
      const dtype: DType = part === "values" ? "f32" : "i32";
      this.allocate(name, dtype, rows * k, owner ? this.plan.tiles.get(owner.id)!.lastUse : this.now);
      if (owner) this.refs.set(owner.id, { kind: "mem", ptr: name, strides: rowMajor(owner.shape) });
      return name;
    };
    const values = place("values");
    const indices = place("indices");
    this.out.add(
      `for (i64 r = 0; r < ${rows}; r++) ts_topk(${rowPtr} + r * ${n}, ${n}, ${k}, ${values} + r * ${k}, ${indices} + r * ${k});`,
    );
    this.cost += rows * n * 3 * this.trips;
  }

  // ---- matrix product ----
  private dot(tile: TileValue): void {
    const op = tile.op;
    assert(op.kind === "dot", "dot");
    const [m, n] = tile.shape as [number, number];
    const ta = this.tileOf(op.a);
    const k = op.transA ? ta.shape[0]! : ta.shape[1]!;
    const known = this.refs.get(-1 - tile.id);
    let target: Ref;
    if (known?.kind === "mem") target = known;
    else {
      this.allocate(`t${tile.id}`, tile.dtype, m * n, this.plan.tiles.get(tile.id)!.lastUse);
      target = { kind: "mem", ptr: `t${tile.id}`, strides: rowMajor(tile.shape) };
    }
    assert(target.kind === "mem", "dot target");
    const accRef = op.acc === undefined ? undefined : this.refs.get(op.acc)!;
    const zero = cppLiteral(0, tile.dtype);
    const c = target.ptr;
    if (op.acc === undefined) this.out.add(`TS_SIMD for (i64 i = 0; i < ${m * n}; i++) ${c}[i] = ${zero};`);
    else if (!(accRef!.kind === "mem" && accRef!.ptr === c)) this.fill(tile.shape, tile.dtype, target, op.acc);

    const side = (
      id: number,
      trans: boolean,
    ): { ptr: string; strides: string[]; lo: string[]; hi: string[]; dtype: DType } => {
      const t = this.tileOf(id);
      let ref = this.mem(id);
      let dtype = t.dtype;
      if (dtype === "f16" || dtype === "e4m3") {
        const name = `m${this.numNames++}`;
        this.allocate(name, "f32", sizeOf(t.shape), this.now);
        const strides = rowMajor(t.shape);
        assert(!ref.lo, "clipped operand of a widened dot");
        this.nest(t.shape, undefined, (idx, nest) => [
          `${name}[${offsetText(idx, strides)}] = ${this.at(id, idx, nest)};`,
        ]);
        ref = { kind: "mem", ptr: name, strides };
        dtype = "f32";
      }
      const order = trans ? [1, 0] : [0, 1];
      const pick = <T>(list: readonly T[]): T[] => order.map((d) => list[d]!);
      const size = t.shape.map(String);
      return {
        ptr: ref.ptr,
        strides: pick(ref.strides),
        lo: pick(ref.lo ?? ["0", "0"]),
        hi: pick(ref.hi ?? size),
        dtype,
      };
    };
    const a = side(op.a, op.transA);
    const b = side(op.b, op.transB);
    // A size-1 axis has stride "0"; the library tests strides for 1 to find contiguous rows.
    const stride = (s: string, other: number): string => (s === "0" ? (other === 1 ? "1" : s) : s);
    const am = a.strides[0]!;
    const ak = k === 1 ? "1" : stride(a.strides[1]!, k);
    const bk = k === 1 ? "1" : stride(b.strides[0]!, k);
    const bn = n === 1 ? (bk === "1" ? "0" : "1") : b.strides[1]!;
    const narrow = (x: string, y: string, f: string): string => (x === y ? x : `${f}(${x}, ${y})`);
    const kLo = a.lo[1] === "0" ? b.lo[0]! : b.lo[0] === "0" ? a.lo[1]! : narrow(a.lo[1]!, b.lo[0]!, "ts_max");
    const full = String(k);
    const kHi = a.hi[1] === full ? b.hi[0]! : b.hi[0] === full ? a.hi[1]! : narrow(a.hi[1]!, b.hi[0]!, "ts_min");
    const minus = (hi: string, lo: string): string => (lo === "0" ? hi : `${hi} - ${lo}`);
    const plus = (ptr: string, at: string[], strides: string[]): string => {
      const o = offsetText(at, strides);
      return o === "0" ? ptr : `${ptr} + ${o}`;
    };
    const args = [
      plus(c, [a.lo[0]!, b.lo[1]!], [String(n), "1"]),
      String(n),
      plus(a.ptr, [a.lo[0]!, kLo], [am, ak]),
      am,
      ak,
      plus(b.ptr, [kLo, b.lo[1]!], [bk, bn]),
      bk,
      bn,
      minus(a.hi[0]!, a.lo[0]!),
      minus(b.hi[1]!, b.lo[1]!),
      minus(kHi, kLo),
    ];
    this.cost += ((2 * m * n * k) / 90) * this.trips;
    if (a.dtype === "f32" || a.dtype === "bf16") {
      const work = this.scratch.alloc(dotWorkBytes(m, k), this.now);
      this.out.add(`ts_dot_${a.dtype}(${[...args, `scratch + ${work}`].join(", ")});`);
    } else this.out.add(`ts_dot_plain(${args.join(", ")});`);
    this.refs.set(tile.id, target);
  }
}

const paren = (text: string): string => (/^\w+$/.test(text) || /^\([^()]*\)$/.test(text) ? text : `(${text})`);

/** The C++ function of one program. `symbol` names it; everything it needs beyond is declared in tessera.h. */
export function emitCpp(program: TileProgram, symbol: string): CppKernel {
  return new CppEmitter(program).run(symbol);
}
