/**
 * Loads, gathers, stores and scatters. A load inside its view is a pointer into the buffer; one that leaves it is
 * copied with padding first, so every loop has one version. Loads that only products read stay clipped instead.
 */
import type { IndexExpr, Stmt, TileOp, TileValue } from "../../ir.ts";
import { elementOf, storedElement } from "./element.ts";
import { elementText, newNest, rowMajor, type Clip, type Emission, type MemRef } from "./emission.ts";
import { sizeOf } from "../../walk.ts";
import { offsetText } from "./index-text.ts";
import { inMemory } from "./places.ts";
import type { Place } from "./target.ts";

type LoadOp = Extract<TileOp, { kind: "load" }>;

function loadOne(e: Emission, tile: TileValue, { view, at, other }: LoadOp, { inside }: Clip): void {
  const { target } = e;
  const type = target.types[tile.dtype];
  const value = type.load(target.readOne(view.buffer, e.offset(view, at)));
  const cond = inside.join(" && ") || "true";
  const name = `t${tile.id}`;
  e.out.add(target.constant(type.compute, name, `${cond} ? ${value} : ${target.literal(other, tile.dtype)}`));
  e.refs.set(tile.id, { kind: "value", text: name });
}

export function load(e: Emission, tile: TileValue, op: LoadOp): void {
  const { view, at, other } = op;
  const { target } = e;
  const name = `t${tile.id}`;
  const type = target.types[tile.dtype];
  const isWritten = e.plan.written.has(view.buffer);
  const clip = e.clip(name, view, at, tile.shape);
  const { lo, hi, inside } = clip;
  const strides = view.strides.map((s, d) => (tile.shape[d] === 1 ? "0" : e.index(s)));
  e.cost += (sizeOf(tile.shape) / 32) * e.trips;
  if (sizeOf(tile.shape) === 1) return loadOne(e, tile, op, clip);
  const { lastUse, dotOnly } = e.plan.tiles.get(tile.id)!;
  const isWhole = !isWritten && inside.length === 0;
  const isClipped = !isWritten && dotOnly && other === 0;
  const offset = e.offset(view, at);
  const pointer = target.pointer({
    name,
    storage: type.storage,
    isConst: true,
    moves: !isWhole && !isClipped,
    base: target.buffer(view.buffer),
    offset: offset === "0" ? undefined : offset,
  });
  e.out.add(pointer.line);
  const raw: MemRef = { kind: "mem", ...pointer.place, strides };
  if (isWhole || isClipped) {
    e.refs.set(tile.id, isWhole ? raw : { ...raw, lo, hi });
    return;
  }
  const want = rowMajor(tile.shape);
  const named = strides.map((s, d) => (s === want[d] || s === `${want[d]}LL` ? want[d]! : `${name}s${d}`));
  named.forEach((s, d) => {
    if (s === `${name}s${d}`) e.out.add(target.variable(target.indexType, s, strides[d]!));
  });
  const padded = e.allocate(`${name}p`, tile.dtype, sizeOf(tile.shape), lastUse);
  e.out.block(isWritten ? "" : `if (!(${inside.join(" && ")})) `, () => {
    e.out.add(
      ...target.pad({
        name,
        storage: type.storage,
        box: tile.shape,
        from: pointer.place,
        strides: named,
        to: padded,
        lo,
        hi,
        other: type.store(target.literal(other, tile.dtype)),
      }),
      ...target.move(pointer.place, padded),
    );
    named.forEach((s, d) => {
      if (s === `${name}s${d}`) e.out.add(`${s} = ${want[d]};`);
    });
  });
  e.refs.set(tile.id, { ...raw, strides: isWritten ? want : named });
}

export function gather(e: Emission, tile: TileValue, op: Extract<TileOp, { kind: "gather" }>): void {
  const { view } = op;
  const { target } = e;
  const { constant, indexType } = target;
  const name = `t${tile.id}`;
  const type = target.types[tile.dtype];
  const [numRows, cols] = tile.shape as [number, number];
  const { lo, hi } = e.clip(`${name}c`, { ...view, shape: [view.shape[1]!] }, [op.col], [cols]);
  const rowCount = e.index(view.shape[0]!);
  const [s0, s1] = view.strides.map((s) => e.index(s)) as [string, string];
  const base = offsetText([e.index(view.offset), e.index(op.col)], ["1", s1]);
  const onto = op.onto === undefined ? undefined : inMemory(e, op.onto);
  const ref = e.memory(name, tile.dtype, tile.shape, e.lastUse(tile.id));
  e.refs.set(tile.id, ref);
  const other = (row: string): string => (onto ? elementText(onto, [row, "j"]) : type.store(target.literal(op.other, tile.dtype))); // prettier-ignore
  e.cost += (sizeOf(tile.shape) / 16 + numRows * 3) * e.trips;
  const at = (place: Place, strides: readonly string[]): string => elementText({ kind: "mem", ...place, strides }, ["j"]); // prettier-ignore
  e.nest(
    [numRows],
    undefined,
    (idx, nest) => {
      const row = elementOf(e, op.rows, idx, nest);
      const { storage } = type;
      const d = target.pointer({ name: "d", storage, isConst: false, moves: false, base: ref, offset: offsetText(idx, [String(cols)]) }); // prettier-ignore
      const s = target.pointer({ name: "s", storage, isConst: true, moves: false, base: target.buffer(view.buffer), offset: `${base} + r * ${s0}` }); // prettier-ignore
      const valid = target.inRange("r", rowCount);
      const loop = (from: string, to: string, body: string): string =>
        `for (${target.counter} j = ${from}; j < ${to}; j++) ${body}`;
      const set = `${at(d.place, ["1"])} = ${other(idx[0]!)};`;
      return [
        `${constant(indexType, "r", row)} ${d.line}`,
        s.line,
        constant(indexType, "lo", `${valid} ? ${lo[0]} : ${cols}, hi = ${valid} ? ${hi[0]} : ${cols}`),
        loop("0", "lo", set),
        `${target.simd ? `${target.simd} ` : ""}${loop("lo", "hi", `${at(d.place, ["1"])} = ${at(s.place, [s1])};`)}`,
        loop("hi", String(cols), set),
      ];
    },
    false,
  );
}

export function scatter(e: Emission, stmt: Extract<Stmt, { kind: "scatter" }>): void {
  const { view } = stmt;
  const { target } = e;
  const { shape } = e.tileOf(stmt.value);
  const [numRows, cols] = shape as [number, number];
  const { lo, hi } = e.clip(e.newName("w"), { ...view, shape: [view.shape[1]!] }, [stmt.col], [cols]);
  const [s0, s1] = view.strides.map((s) => e.index(s)) as [string, string];
  const base = offsetText([e.index(view.offset), e.index(stmt.col)], ["1", s1]);
  const rowCount = e.index(view.shape[0]!);
  const rows = inMemory(e, stmt.rows);
  e.out.block(e.loopHead("i0", "0", String(numRows)), () => {
    e.out.add(target.constant(target.indexType, "r", elementText(rows, ["i0"])));
    e.out.add(`if (${target.outOfRange("r", rowCount)}) continue;`);
    const { storage } = target.types[view.dtype];
    const d = target.pointer({ name: "d", storage, isConst: false, moves: false, base: target.buffer(view.buffer), offset: `${base} + r * ${s0}` }); // prettier-ignore
    e.out.add(d.line);
    const nest = newNest();
    const text = storedElement(e, stmt.value, ["i0", "j"], nest, view.dtype);
    e.hint();
    e.out.block(e.loopHead("j", lo[0]!, hi[0]!), () =>
      e.out.add(...nest.lines, `${elementText({ kind: "mem", ...d.place, strides: [s1] }, ["j"])} = ${text};`),
    );
  });
  e.cost += (sizeOf(shape) / 8) * e.trips;
}

export function store(e: Emission, stmt: Extract<Stmt, { kind: "store" }>): void {
  const { view, at } = stmt;
  const { target } = e;
  const { shape } = e.tileOf(stmt.value);
  const name = e.newName("w");
  const { lo, hi, inside } = e.clip(name, view, at, shape);
  const strides = view.strides.map((s: IndexExpr, d) => (shape[d] === 1 ? "0" : e.index(s)));
  const offset = e.offset(view, at);
  const pointer = target.pointer({
    name,
    storage: target.types[view.dtype].storage,
    isConst: false,
    moves: false,
    base: target.buffer(view.buffer),
    offset: offset === "0" ? undefined : offset,
  });
  e.out.add(pointer.line);
  const body = (): void =>
    e.nest(shape, { lo, hi }, (idx, nest) => [
      `${elementText({ kind: "mem", ...pointer.place, strides }, idx)} = ${storedElement(e, stmt.value, idx, nest, view.dtype)};`,
    ]);
  // Axes of size 1 have no loop to clip.
  const unit = inside.filter((c) =>
    shape.some((n, d) => n === 1 && (c.startsWith(`${name}l${d} `) || c.startsWith(`${name}h${d} `))),
  );
  if (unit.length) e.out.block(`if (${unit.join(" && ")}) `, body);
  else body();
}
