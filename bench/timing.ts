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

/** Of one run: by the wall clock, and of the processor over all threads. */
export interface StepTime {
  readonly wallMs: number;
  readonly cpuMs: number;
}

/** Time per run of `repeats` runs. */
export function timeOf(run: () => void, repeats = 1): StepTime {
  const [wall, cpu] = [performance.now(), process.cpuUsage()];
  for (let i = 0; i < repeats; i++) run();
  const { user, system } = process.cpuUsage(cpu);
  return { wallMs: (performance.now() - wall) / repeats, cpuMs: (user + system) / 1000 / repeats };
}

export const timingOf = (times: readonly StepTime[]): Timing => ({
  bestMs: Math.min(...times.map((t) => t.wallMs)),
  medianMs: median(times.map((t) => t.wallMs)),
  cpuMs: Math.min(...times.map((t) => t.cpuMs)),
});

/** Times per run of each alternative: `rounds` turns of `repeats` runs, after one that is not counted. */
export function takeTurns<K extends string>(
  runs: Readonly<Record<K, () => void>>,
  { rounds, repeats }: { readonly rounds: number; readonly repeats: number },
): Record<K, Timing> {
  const names = Object.keys(runs) as K[];
  const times = new Map(names.map((name) => [name, [] as StepTime[]]));
  for (const name of names) runs[name]();
  for (let round = 0; round < rounds; round++)
    for (const name of names) times.get(name)!.push(timeOf(runs[name], repeats));
  return Object.fromEntries(names.map((name) => [name, timingOf(times.get(name)!)])) as Record<K, Timing>;
}
