/**
 * Which copies of a lowered program run beside its work, and by whose turns they take one of two places: by the plan of
 * pipelines (MLU) and that of double buffers (Ascend), which the emitters follow. Main function: `copiesBeside`.
 */
import { Homes } from "./homes.ts";
import type { Lowering } from "./passes.ts";
import type { StoreStmt } from "./pipeline.ts";
import type { Stmt } from "./ir.ts";

export interface Ahead {
  /** Loads by tile: the loop's id, or "grid" for the programs of a core. */
  readonly tiles: ReadonlyMap<number, string>;
  readonly stores: ReadonlyMap<StoreStmt, string>;
  /** Loads that a core does once, before the first of its programs. */
  readonly kept: ReadonlySet<number>;
  /** Loops that any of them names. */
  readonly loops: ReadonlySet<string>;
}

const homes = new WeakMap<Lowering, Homes>();
/** Made once for a lowering. */
export function homesOf(low: Lowering): Homes {
  let found = homes.get(low);
  if (!found) homes.set(low, (found = new Homes(low, low.chip)));
  return found;
}

const known = new WeakMap<Lowering, Ahead>();
export function copiesBeside(low: Lowering, h: Homes): Ahead {
  const found = known.get(low);
  if (found) return found;
  const tiles = new Map<number, string>();
  const stores = new Map<StoreStmt, string>();
  for (const p of low.overlap.pipelines) {
    const turns = String(p.loop ?? "grid");
    for (const id of p.loads) tiles.set(id, turns);
    for (const s of p.stores) stores.set(s, turns);
  }
  const twice = new Map(low.memory.placements.flatMap((p) => (p.turns === undefined ? [] : [[`${p.part} ${p.tile}`, p.turns] as const]))); // prettier-ignore
  const visit = (stmts: readonly Stmt[]): void => {
    for (const s of stmts) {
      if (s.kind === "let" && (s.tile.op.kind === "load" || s.tile.op.kind === "gather")) {
        const { id } = s.tile;
        const turns = twice.get(h.isStaged(id) ? `operand ${h.root(id)}` : `value ${h.head(id)}`);
        if (turns !== undefined) tiles.set(id, turns);
      } else if (s.kind === "store" && !h.live.uniform.has(s.value)) {
        const { op } = h.tile(h.root(s.value));
        const from = h.leavesByStore(h.root(s.value)) && op.kind === "cast" ? op.x : s.value;
        const turns = h.isProduct(from) ? twice.get(`product ${h.sums.cellOf(h.root(from))!}`) : twice.get(`value ${h.head(from)}`); // prettier-ignore
        if (turns !== undefined) stores.set(s, turns);
      } else if (s.kind === "if" || s.kind === "loop") visit(s.body);
    }
  };
  if (twice.size > 0) visit(low.program.body);
  const kept = new Set(low.overlap.pipelines.flatMap((p) => (p.loop === undefined ? p.kept : [])));
  const ahead: Ahead = { tiles, stores, kept, loops: new Set([...tiles.values(), ...stores.values()]) };
  known.set(low, ahead);
  return ahead;
}
