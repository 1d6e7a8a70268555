/**
 * A loop of turns.ts on the cores of a cluster: the memory core brings the tiles that all of them load to SRAM, one turn
 * before they copy them from there to NRAM, two turns before they compute. All meet once a turn:
 *
 *   memory core: bring the first
 *   __sync_cluster();
 *   for (turn = 0, ...) {
 *     memory core: bring the one after next
 *     cores: load next;  if (turn > 0) compute;  __sync();
 *     __sync_cluster();
 *   }
 *
 * What a core waits for itself it says itself: that a barrier waits for the pipes as well is nowhere documented.
 * Main function: `teamTurns`. Source: chips spec C.2 (memory core, barrier of a cluster).
 */
import type { ClusterPlan } from "../../cluster.ts";
import type { Pipeline } from "../../pipeline.ts";
import { loadShared, store } from "./copy.ts";
import type { MluEmission } from "./emission.ts";
import { few, loadAhead, nameOf, nameBuffers, tileOf, type Rounds } from "./turns.ts";

export interface TeamRounds extends Rounds {
  /** Whether there is a first round, one after the next one, and what each calls its indices. */
  readonly hasFirst: string;
  readonly firstIndices: string;
  readonly hasAfter: string;
  readonly afterIndices: string;
}

export function teamTurns(e: MluEmission, p: Pipeline, plan: ClusterPlan, rounds: TeamRounds, compute: () => void): void {
  const at = (id: number): void => void (e.at = e.live.at(id));
  const turn = `turn${rounds.name}`;
  const shared = p.loads.filter((id) => plan.offsets.has(id));
  const sramOf = (id: number, parity: string): string => {
    const { name, count } = e.shared(id, plan.offsets.get(id)!);
    return parity === "0" ? name : `${name} + ${parity} * ${count}`;
  };
  const bring = (has: string, indices: string, parity: string): void =>
    e.scope(`if (__is_mpu() && ${has}) `, () => {
      e.out.add(indices);
      for (const id of shared) {
        at(id);
        loadShared(e, tileOf(e, id), tileOf(e, id).op, sramOf(id, parity));
      }
    });

  e.out.add(`// for the cluster ${few(shared.map((id) => nameOf(e, id)))}`);
  bring(rounds.hasFirst, rounds.firstIndices, "0");
  // What else is in these buffers may still be at work on them.
  if (!p.isExclusive) e.out.add("if (has_work) __sync_compute();");
  e.out.add("__sync_cluster();");
  e.scope(rounds.head, () => {
    nameBuffers(e, p, turn);
    e.out.add("// for the cluster, one turn more ahead");
    bring(rounds.hasAfter, rounds.afterIndices, `(${turn} + 1) % 2`);
    e.scope("if (has_work) ", () => {
      loadAhead(e, p, rounds, (id) => (plan.offsets.has(id) ? sramOf(id, `${turn} % 2`) : undefined));
      e.scope(`if (${turn} > 0) `, () => {
        e.out.add(rounds.indices);
        compute();
      });
      e.out.add("// what was loaded is here, what was computed is done, what was stored has left", "__sync();");
    });
    e.out.add("// the next tiles of all are in SRAM, the last ones no longer needed", "__sync_cluster();");
    if (p.stores.length === 0) return;
    e.scope(`if (has_work && ${turn} > 0) `, () => {
      e.out.add(rounds.indices, `// store ${few(p.stores.map((s) => s.view.buffer))}, beside the next turn`);
      for (const s of p.stores) {
        e.at = e.live.positionOf(s);
        store(e, s, "__memcpy_async");
      }
    });
  });
} // prettier-ignore
