/**
 * A loop whose copies run beside its computation, as the plan of pipeline.ts has it. Turn t brings the tiles of the next
 * round while it computes the one before and what that one stored leaves; one `__sync` a turn stands between them:
 *
 *   for (turn = 0, ...) { load next;  if (turn == 0) { wait; continue; }  compute;  __sync();  store; }
 *
 * Main function: `turns`.
 */
import type { Stmt, TileValue } from "../../ir.ts";
import type { Pipeline } from "../../pipeline.ts";
import { load, store } from "./copy.ts";
import type { MluEmission } from "./emission.ts";

export interface Rounds {
  /** Suffix of this loop's names. */
  readonly name: string;
  /** `for (...) `; declares `turn<name>`. */
  readonly head: string;
  /** Whether there is a next round, and what it calls its indices. */
  readonly hasNext: string;
  readonly nextIndices: string;
  readonly indices: string;
}

type Loaded = TileValue & { readonly op: Extract<TileValue["op"], { kind: "load" }> };
export const tileOf = (e: MluEmission, id: number): Loaded => e.tile(id) as Loaded;
export const nameOf = (e: MluEmission, id: number): string => `${tileOf(e, id).op.view.buffer} [${e.tile(id).shape}]`;
export const few = (names: readonly string[]): string => (names.length > 8 ? [...names.slice(0, 7), "...", names[names.length - 1]!] : names).join(", "); // prettier-ignore

/** Statements that `turns` writes itself. */
export const movedBy = (p: Pipeline, s: Stmt): boolean =>
  s.kind === "store" ? p.stores.includes(s) : s.kind === "let" && (p.loads.includes(s.tile.id) || p.kept.includes(s.tile.id)); // prettier-ignore

/** Which of the two buffers of each tile is this turn's. */
export function nameBuffers(e: MluEmission, p: Pipeline, turn: string): void {
  const loaded = new Set(p.loads.map((id) => e.home(id)));
  for (const id of p.loads) {
    const { base, now, next, type, count } = e.pair(id);
    e.out.add(`${type}* ${next} = ${base} + ${turn} % 2 * ${count};`, `${type}* ${now} = ${base} + (${turn} + 1) % 2 * ${count};`); // prettier-ignore
  }
  for (const home of new Set(p.stores.map((s) => e.home(s.value))))
    if (e.isPair(home) && !loaded.has(home)) {
      const { base, now, type, count } = e.pair(home);
      e.out.add(`${type}* ${now} = ${base} + ${turn} % 2 * ${count};`);
    }
}

/** The next round's tiles, each from device memory or from where `sourceOf` says. */
export function loadAhead(e: MluEmission, p: Pipeline, rounds: Rounds, sourceOf: (id: number) => string | undefined = () => undefined): void {
  const stored = new Set(p.stores.map((s) => e.home(s.value)));
  e.out.add(`// load ahead ${few(p.loads.map((id) => nameOf(e, id)))}`);
  e.scope(`if (${rounds.hasNext}) `, () => {
    e.out.add(rounds.nextIndices);
    e.isAhead = true;
    for (const id of p.loads) {
      e.at = e.live.at(id);
      load(e, tileOf(e, id), tileOf(e, id).op, stored.has(e.home(id)) ? "ahead, stored from" : "ahead", sourceOf(id));
    }
    e.isAhead = false;
  });
} // prettier-ignore

export function turns(e: MluEmission, p: Pipeline, rounds: Rounds, compute: () => void): void {
  const at = (id: number): void => void (e.at = e.live.at(id));
  const turn = `turn${rounds.name}`;

  if (p.kept.length > 0) e.out.add(`// load once ${few(p.kept.map((id) => nameOf(e, id)))}`);
  for (const id of p.kept) {
    at(id);
    load(e, tileOf(e, id), tileOf(e, id).op);
  }
  // What else is in these bytes may still be at work on them.
  if (!p.isExclusive) e.out.add("__sync_compute();");
  e.scope(rounds.head, () => {
    nameBuffers(e, p, turn);
    loadAhead(e, p, rounds);
    e.out.block(`if (${turn} == 0) `, () => e.out.add("__sync_io();", "continue;"));
    e.out.add(rounds.indices);
    compute();
    e.out.add("// what was loaded is here, what was computed is done, what was stored has left", "__sync();");
    if (p.stores.length > 0) e.out.add(`// store ${few(p.stores.map((s) => s.view.buffer))}, beside the next turn`);
    for (const s of p.stores) {
      e.at = e.live.positionOf(s);
      store(e, s, "__memcpy_async");
    }
  });
}
