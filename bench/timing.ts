/**
 * Timing of alternatives that share a machine with other work: they take turns, so that what disturbs one disturbs
 * all, and each is timed by the wall clock and by the processor time of its threads, which other work hardly moves.
 * Main function: `takeTurns`.
 */

export interface Timing {
  readonly bestMs: number;
  readonly medianMs: number;
  /** Least processor time of one run, over all threads. */
  readonly cpuMs: number;
}

export const median = (list: readonly number[]): number =>
  list.toSorted((a, b) => a - b)[Math.floor(list.length / 2)] ?? NaN;

const cpuMs = (): number => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
};

/** Times per run of each alternative: `rounds` turns of `repeats` runs, after one that is not counted. */
export function takeTurns<K extends string>(
  runs: Readonly<Record<K, () => void>>,
  { rounds, repeats }: { readonly rounds: number; readonly repeats: number },
): Record<K, Timing> {
  const names = Object.keys(runs) as K[];
  const samples = new Map(names.map((name) => [name, [] as { wall: number; cpu: number }[]]));
  for (const name of names) runs[name]();
  for (let round = 0; round < rounds; round++)
    for (const name of names) {
      const [wall, cpu] = [performance.now(), cpuMs()];
      for (let i = 0; i < repeats; i++) runs[name]();
      samples.get(name)!.push({ wall: (performance.now() - wall) / repeats, cpu: (cpuMs() - cpu) / repeats });
    }
  const timingOf = (name: K): Timing => {
    const walls = samples.get(name)!.map((s) => s.wall);
    return {
      bestMs: Math.min(...walls),
      medianMs: median(walls),
      cpuMs: Math.min(...samples.get(name)!.map((s) => s.cpu)),
    };
  };
  return Object.fromEntries(names.map((name) => [name, timingOf(name)])) as Record<K, Timing>;
}
