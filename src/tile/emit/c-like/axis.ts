/** Ops along one axis: reductions, argmax, prefix sums, the k largest. */
import type { DType } from "../../../base/dtype.ts";
import type { ReduceOp, TileOp, TileValue } from "../../ir.ts";
import { elementOf } from "./element.ts";
import { elementText, newNest, rowMajor, type Emission, type MemRef, type Ref } from "./emission.ts";
import { sizeOf } from "../../walk.ts";
import { contiguous } from "./places.ts";
import type { CLikeTarget, Place } from "./target.ts";

/** Statement that sets one element of a tile under construction. */
const setElement = (e: Emission, ref: Ref, dtype: DType, idx: readonly string[], text: string): string =>
  ref.kind === "value"
    ? `${ref.text} = ${text};`
    : `${elementText(ref as MemRef, idx)} = ${e.target.types[dtype].store(text)};`;

interface Axis {
  readonly s: number;
  readonly d: number;
}
function loops(e: Emission, list: readonly Axis[], isSimd: boolean, body: () => void): void {
  const open = (k: number): void => {
    const a = list[k];
    if (!a) return body();
    if (isSimd && k === list.length - 1) e.hint();
    e.out.block(e.loopHead(`i${a.d}`, "0", String(a.s)), () => open(k + 1));
  };
  open(0);
}

export function reduce(e: Emission, tile: TileValue, x: number, axis: number, kind: Exclude<ReduceOp, "argmax">): void {
  const { target } = e;
  const from = e.tileOf(x).shape;
  const type = target.types[tile.dtype];
  const { start, join, clause } = target.reduce[kind];
  const ref = e.own(tile);
  const n = from[axis]!;
  const nest = newNest();
  const idx = from.map((s, d) => (s > 1 ? `i${d}` : "0"));
  const outer = from.map((s, d) => ({ s, d })).filter(({ s, d }) => s > 1 && d < axis);
  const after = from.map((s, d) => ({ s, d })).filter(({ s, d }) => s > 1 && d > axis);
  const value = elementOf(e, x, idx, nest);
  e.cost += ((sizeOf(from) * (nest.lines.length + 1)) / 20) * e.trips;
  const axisLoop = e.loopHead(`i${axis}`, "0", String(n));
  const first = start(tile.dtype);
  const lanes = kind === "sum" && type.compute === target.types.f32.compute ? target.sumLanes : undefined;
  if (after.length === 0 && lanes && n >= lanes.count)
    loops(e, outer, false, () =>
      e.out.block("", () =>
        sumInLanes(e, { axis, n, lines: nest.lines, value }, lanes, (r) =>
          e.out.add(setElement(e, ref, tile.dtype, idx, type.round(r))),
        ),
      ),
    );
  else if (after.length === 0)
    loops(e, outer, false, () =>
      e.out.block("", () => {
        e.out.add(target.variable(type.compute, "r", first));
        const body = (): void => e.out.add(...nest.lines, `r = ${join("r", value, tile.dtype)};`);
        const hint = n === 1 || (lanes && kind === "sum") ? undefined : target.simdReduce(clause);
        if (hint) e.out.add(hint);
        e.out.block(n === 1 ? "" : axisLoop, body);
        e.out.add(setElement(e, ref, tile.dtype, idx, type.round("r")));
      }),
    );
  else {
    const size = after.reduce((p, a) => p * a.s, 1);
    const dtype = type.compute === target.types.f32.compute ? "f32" : tile.dtype;
    const acc = e.allocate(e.newName("r"), dtype, size, e.now, type.compute);
    const slot = elementText({ kind: "mem", ...acc, strides: rowMajor(from.map((s, d) => (d > axis ? s : 1))) }, idx);
    loops(e, outer, false, () =>
      e.out.block("", () => {
        loops(e, after, true, () => e.out.add(`${slot} = ${first};`));
        const body = (): void =>
          loops(e, after, true, () => e.out.add(...nest.lines, `${slot} = ${join(slot, value, tile.dtype)};`));
        if (n === 1) body();
        else e.out.block(axisLoop, body);
        loops(e, after, true, () => e.out.add(setElement(e, ref, tile.dtype, idx, type.round(slot))));
      }),
    );
  }
  e.refs.set(tile.id, ref);
}

/**
 * A sum of floats whose order is the row's own: element i goes to lane i mod count, then the lanes are added up. Left to a
 * compiler, the order follows from what surrounds the loop, so a row would have other bits alone than among others.
 */
function sumInLanes(
  e: Emission,
  { axis, n, lines, value }: { axis: number; n: number; lines: readonly string[]; value: string },
  { count, declare, total }: NonNullable<CLikeTarget["sumLanes"]>,
  store: (r: string) => void,
): void {
  const whole = n - (n % count);
  const at = `i${axis}`;
  e.out.add(declare("r"));
  e.out.block(e.loopHead("j", "0", String(whole / count)), () => {
    e.hint();
    e.out.block(e.loopHead("l", "0", String(count)), () =>
      e.out.add(e.target.constant(e.target.indexType, at, `j * ${count} + l`), ...lines, `r[l] += ${value};`),
    );
  });
  if (whole < n)
    e.out.block(e.loopHead(at, String(whole), String(n)), () =>
      e.out.add(...lines, `r[${at} - ${whole}] += ${value};`),
    );
  store(total("r"));
}

export function argmax(e: Emission, tile: TileValue, x: number, axis: number): void {
  const { target } = e;
  const from = e.tileOf(x);
  const ref = e.own(tile);
  e.nest(
    tile.shape,
    undefined,
    (idx) => {
      const nest = newNest();
      const along = idx.map((s, d) => (d === axis ? "j" : s));
      const value = elementOf(e, x, along, nest);
      const place = ref.kind === "value" ? ref.text : elementText(ref as MemRef, idx);
      const better = `if (j == 0 || ${value} > best) { best = ${value}; where = ${target.toI32("j")}; }`;
      return [
        `${target.variable(target.types[from.dtype].compute, "best", "0")} ${target.variable(target.types.i32.compute, "where", "0")}`,
        `${e.loopHead("j", "0", String(from.shape[axis]!))}{ ${nest.lines.join(" ")} ${better} }`,
        `${place} = where;`,
      ];
    },
    false,
  );
  e.cost += sizeOf(from.shape) * 0.7 * e.trips;
  e.refs.set(tile.id, ref);
}

export function cumsum(e: Emission, tile: TileValue, x: number, axis: number): void {
  const { target } = e;
  const ref = e.own(tile);
  const type = target.types[tile.dtype];
  e.nest(
    tile.shape.map((s, d) => (d === axis ? 1 : s)),
    undefined,
    (idx) => {
      const nest = newNest();
      const at = idx.map((s, d) => (d === axis ? "j" : s));
      const value = elementOf(e, x, at, nest);
      const next = target.reduce.sum.join("run", value, tile.dtype);
      const put = ref.kind === "value" ? `${ref.text} = ${type.round("run")};` : setElement(e, ref, tile.dtype, at, "run"); // prettier-ignore
      return [
        target.variable(type.compute, "run", "0"),
        `${e.loopHead("j", "0", String(tile.shape[axis]!))}{ ${nest.lines.join(" ")} run = ${next}; ${put} }`,
      ];
    },
    false,
  );
  e.cost += sizeOf(tile.shape) * 0.7 * e.trips;
  e.refs.set(tile.id, ref);
}

/** Values and positions come from one pass; the builder makes them as neighbours, so the second is found from the first. */
export function topk(e: Emission, tile: TileValue, { x, k, part }: Extract<TileOp, { kind: "topk" }>): void {
  const from = e.tileOf(x);
  const n = from.shape[from.shape.length - 1]!;
  const rows = sizeOf(from.shape) / n;
  const next = e.plan.tiles.get(tile.id + 1)?.tile;
  const twin = next?.op.kind === "topk" && next.op.x === x && next.op.k === k ? next : undefined;
  let source: Place;
  if (from.dtype === "f32") source = contiguous(e, x);
  else {
    const wide = e.memory(e.newName("m"), "f32", from.shape, e.now);
    e.nest(from.shape, undefined, (idx, nest) => [`${elementText(wide, idx)} = ${elementOf(e, x, idx, nest)};`]);
    source = wide;
  }
  const place = (kind: "values" | "indices"): Place => {
    const owner = part === kind ? tile : twin;
    const name = owner ? `t${owner.id}` : e.newName("m");
    const memory = e.allocate(name, kind === "values" ? "f32" : "i32", rows * k, owner ? e.lastUse(owner.id) : e.now);
    if (owner) e.refs.set(owner.id, { kind: "mem", ...memory, strides: rowMajor(owner.shape) });
    return memory;
  };
  const values = place("values");
  const indices = place("indices");
  e.out.add(e.target.topk(source, values, indices, rows, n, k));
  e.cost += rows * n * 3 * e.trips;
}
