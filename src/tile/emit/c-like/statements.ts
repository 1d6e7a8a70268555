/** Statements in order: one handler per tile op, loops with carried tiles, conditions. Main function: `emitBody`. */
import { assert } from "../../../base/errors.ts";
import type { Stmt, TileOp, TileValue } from "../../ir.ts";
import { argmax, cumsum, reduce, topk } from "./axis.ts";
import { dot } from "./dot.ts";
import type { Emission } from "./emission.ts";
import { gather, load, scatter, store } from "./memory.ts";
import { alias, fill, keep, materialise } from "./places.ts";

/** Trip count assumed for loops whose length is an argument. */
const GUESSED_TRIPS = 8;

type Handlers = {
  readonly [K in TileOp["kind"]]: (e: Emission, tile: TileValue, op: Extract<TileOp, { kind: K }>) => void;
};
const placed = (e: Emission, tile: TileValue): void => assert(e.refs.has(tile.id), `${tile.op.kind} before its loop`);

/** What a tile that lives in memory costs in statements. */
const handlers: Handlers = {
  load,
  gather,
  full: materialise,
  scalar: materialise,
  index: materialise,
  iota: materialise,
  unary: materialise,
  binary: materialise,
  compare: materialise,
  select: materialise,
  cast: materialise,
  random: materialise,
  unpack: materialise,
  broadcast: alias,
  reshape: alias,
  transpose: alias,
  reduce: (e, tile, { op, x, axis }) => (op === "argmax" ? argmax(e, tile, x, axis) : reduce(e, tile, x, axis, op)),
  cumsum: (e, tile, { x, axis }) => cumsum(e, tile, x, axis),
  dot,
  topk,
  carry: placed,
  result: placed,
};

function emitLet(e: Emission, tile: TileValue): void {
  if (e.refs.has(tile.id)) return;
  if (e.plan.tiles.get(tile.id)!.life === "virtual") e.refs.set(tile.id, { kind: "virtual" });
  else (handlers[tile.op.kind] as (e: Emission, tile: TileValue, op: TileOp) => void)(e, tile, tile.op);
}

export function emitBody(e: Emission, list: readonly Stmt[]): void {
  for (const stmt of list) {
    const { at, end } = e.plan.positions.get(stmt)!;
    e.now = at;
    if (stmt.kind === "let") emitLet(e, stmt.tile);
    else if (stmt.kind === "store") store(e, stmt);
    else if (stmt.kind === "scatter") scatter(e, stmt);
    else if (stmt.kind === "loop") loop(e, stmt);
    else e.nested(`if (${e.index(stmt.cond)} != 0) `, () => emitBody(e, stmt.body));
    e.now = end;
    e.scratch.release(end);
  }
}

/** Tiles that name a loop's slot, inside the body or after it. */
function carriers(e: Emission, loopId: number, slot: number): TileValue[] {
  return [...e.plan.tiles.values()]
    .map((p) => p.tile)
    .filter((t) => (t.op.kind === "carry" || t.op.kind === "result") && t.op.loop === loopId && t.op.slot === slot);
}

function loop(e: Emission, stmt: Extract<Stmt, { kind: "loop" }>): void {
  const { end } = e.plan.positions.get(stmt)!;
  const carried = stmt.init.map((id, slot) => {
    const tile = e.tileOf(id);
    const names = carriers(e, stmt.id, slot);
    const ref = e.place(`c${stmt.id}_${slot}`, tile, Math.max(end, ...names.map((t) => e.lastUse(t.id))));
    fill(e, tile.shape, tile.dtype, ref, id);
    for (const t of names) e.refs.set(t.id, ref);
    return ref;
  });
  const isInPlace = (slot: number): boolean => e.plan.inPlace.has(`${stmt.id}:${slot}`);
  stmt.next.forEach((id, slot) => {
    if (isInPlace(slot)) e.targets.set(id, carried[slot]!);
  });
  const outer = e.trips;
  e.trips *=
    stmt.start.kind === "const" && stmt.end.kind === "const"
      ? Math.max(0, Math.ceil((stmt.end.value - stmt.start.value) / stmt.step))
      : GUESSED_TRIPS;
  const l = `l${stmt.id}`;
  const until = e.index(stmt.end);
  e.nested(
    `for (${e.target.counter} ${l} = ${e.index(stmt.start)}, ${l}e = ${until}; ${l} < ${l}e; ${l} += ${stmt.step}) `,
    () => {
      emitBody(e, stmt.body);
      e.now = end;
      const slotOf = (id: number): number | undefined => {
        const { op } = e.tileOf(id);
        return op.kind === "carry" && op.loop === stmt.id ? op.slot : undefined;
      };
      // A slot that takes another slot's old value must be read before any slot is written.
      const sources = stmt.next.map((id) => (slotOf(id) === undefined ? id : keep(e, id)));
      sources.forEach((id, slot) => {
        if (slotOf(stmt.next[slot]!) === slot || isInPlace(slot)) return;
        const tile = e.tileOf(stmt.next[slot]!);
        fill(e, tile.shape, tile.dtype, carried[slot]!, id);
      });
    },
  );
  e.trips = outer;
}
