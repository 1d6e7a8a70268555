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
import { pack, requestsOf, type Buffering, type MemoryPlan, type Request } from "./spaces.ts";

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
  for (const { r, turns } of wishes) {
    const trial = chosen.map((c) => (c === r ? { ...c, turns: turns.name, from: turns.from, to: turns.to } : c));
    // Memories are packed each for itself.
    const packed = pack(trial.filter((c) => c.space === r.space), chip); // prettier-ignore
    const [peak, capacity] = [packed.peakBytes[r.space]!, capacityOf(chip, r.space)];
    const refusal = peak > capacity ? `two need ${peak} of ${capacity} bytes` : undefined;
    if (!refusal) chosen = trial;
    buffering.push({ tile: r.tile, part: r.part, space: r.space, bytes: r.bytes, turns: turns.name, refusal });
  }
  return { ...pack(chosen, chip), workspaceBytes, buffering };
}
