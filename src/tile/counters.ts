/** Named sums that a walk over a program adds to. Main class: `Counters`. */

/** Counters, each at a place of its own. */
export type Tally = Float64Array;
/** The first counter: a rough weight of a program, bytes, and vector bytes at a tenth. */
export const WEIGHT = 0;

export class Counters {
  private readonly places = new Map<string, number>([["weight", WEIGHT]]);

  at(name: string): number {
    let place = this.places.get(name);
    if (place === undefined) this.places.set(name, (place = this.places.size));
    return place;
  }
  tally(): Tally {
    return new Float64Array(this.places.size);
  }
  valueOf(t: Tally, name: string): number {
    return t[this.places.get(name) ?? -1] ?? 0;
  }
  /** Those whose names begin so, by what follows. */
  table(t: Tally, prefix: string): Record<string, number> {
    const out: Record<string, number> = {};
    for (const [name, place] of this.places) if (name.startsWith(prefix) && t[place] !== 0) out[name.slice(prefix.length)] = t[place]!; // prettier-ignore
    return out;
  }
}

export function addTo(t: Tally, counts: Tally, times: number): void {
  for (let i = 0; i < t.length; i++) t[i]! += counts[i]! * times;
}
