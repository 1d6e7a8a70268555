/**
 * Which places get two halves, so that a copy fills or empties one while instructions work on the other: what loads fill,
 * what stores empty, operands and products of the matrix unit. The turns of the loop around a place (of the loop over
 * programs, outside of all others) take its halves by turns, so it is its own for all of that loop. Inner loops choose
 * first, then what is filled, then what is small; what does not fit keeps one place. Only of chips whose matrix unit has
 * memories of its own (Ascend). Main function: `doubleBuffer`.
 */
import { capacityOf, type Chip } from "./chips/types.ts";
import type { LegalProgram } from "./legality.ts";
import type { Range } from "./liveness.ts";
import type { Pipeline } from "./pipeline.ts";
import { lasting, pack, requestsOf, type Buffering, type MemoryPlan, type Placement, type Request } from "./spaces.ts";

type Turns = Range & { readonly name: string };

export function doubleBuffer(legal: LegalProgram, chip: Chip, pipelines: readonly Pipeline[]): MemoryPlan {
  const { requests, workspaceBytes, loops } = requestsOf(legal, chip, pipelines);
  const grid: Turns = {
    name: "grid",
    from: 0,
    to: Math.max(0, ...requests.map((r) => r.to), ...loops.map((l) => l.to)),
  };
  const turnsOf = ({ from, to }: Request): Turns => loops.filter((l) => l.from < from && to <= l.to).reduce((a, b) => (b.to - b.from <= a.to - a.from ? b : a), grid); // prettier-ignore
  const wishes = requests.filter((r) => r.traffic).map((r) => ({ r, turns: turnsOf(r) }));
  wishes.sort((a, b) => a.turns.to - a.turns.from - (b.turns.to - b.turns.from) || Number(a.r.traffic === "out") - Number(b.r.traffic === "out") || a.r.bytes - b.r.bytes); // prettier-ignore
  let chosen = [...requests];
  const buffering: Buffering[] = [];
  const capacity = (r: Request): number => capacityOf(chip, r.space);
  // Memories are packed each for itself.
  const peakOf = (trial: readonly Request[], r: Request): number => pack(lasting(trial).filter((c) => c.space === r.space), chip).peakBytes[r.space]!; // prettier-ignore
  const joined: Joined[] = [];
  for (const { r, turns } of wishes) {
    let trial = chosen.map((c) => (c === r ? { ...c, turns: turns.name, from: turns.from, to: turns.to } : c));
    let peak = peakOf(trial, r);
    const before = peak > capacity(r) ? turnedInto(r, chosen) : undefined;
    if (before && turnsOf(before) === turns) {
      const without = trial.filter((c) => c !== before);
      const less = peakOf(without, r);
      if (less <= capacity(r)) {
        [trial, peak] = [without, less];
        joined.push({ before, into: r });
      }
    }
    const refusal = peak > capacity(r) ? `two need ${peak} of ${capacity(r)} bytes` : undefined;
    if (!refusal) chosen = trial;
    buffering.push({ tile: r.tile, part: r.part, space: r.space, bytes: r.bytes, turns: turns.name, refusal });
  }
  const { placements, peakBytes } = pack(lasting(chosen), chip);
  const theirs = joined.map(({ before, into }): Placement => ({ ...placements.find((p) => p.part === into.part && p.tile === into.tile)!, tile: before.tile, into: into.tile })); // prettier-ignore
  return { placements: [...placements, ...theirs], peakBytes, workspaceBytes, buffering };
}

/** A tile that lies in the halves of the one that an instruction turns it into. */
interface Joined {
  readonly before: Request;
  readonly into: Request;
}
/**
 * Of a tile that goes to the matrix unit's memory by itself (a shared place): the one that an instruction turns into it in
 * place, which needs no room of its own.
 */
function turnedInto(r: Request, requests: readonly Request[]): Request | undefined {
  const isHandedOver =
    r.part === "value" && requests.some((s) => s.isShared && s.part === "operand" && s.tile === r.tile);
  return isHandedOver ? requests.find((q) => r.reuses.includes(q.key) && q.to === r.from && q.bytes === r.bytes && !q.traffic && q.turns === undefined) : undefined; // prettier-ignore
}
