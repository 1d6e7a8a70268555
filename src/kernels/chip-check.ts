/**
 * The mutation matrix of a simulated chip: every kernel that is emitted for it, with every mutant of its text, on
 * a recorded launch. A mutant must be rejected, give a wrong answer or not compile; chip-bench.ts says when one of the
 * rest is equivalent. Main functions: `runMatrix`, and `runCases` for the kernels as emitted.
 */
import { CompileError } from "../base/errors.ts";
import { applyMutant, mutationKinds, type Mutant, type MutationKind } from "../device/sim/mutate/mutant.ts";
import type { SimDevice, SimKernel, SimSource } from "../device/sim/sim-device.ts";
import { openDevice } from "../device/open.ts";
import { PlanningDevice } from "../device/planning.ts";
import { openSim } from "../device/sim/open-sim.ts";
import { simTargets } from "../device/sim/targets.ts";
import { SimulationError } from "../device/sim/violation.ts";
import type { ChipName } from "../tile/chips/types.ts";
import { isCaught, Trial, type Outcome, type Verdict } from "./chip-bench.ts";
import { Journal, keyOf, type Judged } from "./chip-journal.ts";
import { chooseCases, isNear, isRight, planCases, planLaunches, type RecordedLaunch } from "./chip-launches.ts";
import { countsTurnsOf, jobsOf, sourceOf, together, type Job, type JobOptions } from "./chip-jobs.ts";
import { all, judgeMore, ofOrder } from "./chip-left.ts";
import { listCases, listName } from "./chip-lists.ts";
import type { LongLaunch } from "./chip-turns.ts";
import { toHost } from "./nd-array.ts";

export { outcomes } from "./chip-bench.ts";
export type Row = Record<"tried" | Outcome, number>;

export interface MatrixResult {
  readonly kernels: readonly string[];
  readonly table: Record<MutationKind, Row>;
  /** Rules that rejected, with how many. */
  readonly rules: Record<string, number>;
  /** "kernel: case: kind: where", of those that passed. */
  readonly survivors: readonly string[];
  /** The same of those that no launch reaches. */
  readonly unreached: readonly string[];
  /** Kernels that break a rule as emitted, or differ with the number of blocks; their mutants are not tried. */
  readonly failed: readonly string[];
  /** "kernel: case: lines and variables" of texts with a loop that no launch takes to a third turn, where a place of two is taken again, and the mutants of order that count as equivalent there: what orders one turn after another is not shown. */
  readonly singleTurns: readonly string[];
  readonly equivalentInSingleTurns: number;
  /** The same of all launches. */
  readonly equivalentOfOrder: number;
}
export interface MatrixOptions extends JobOptions {
  readonly onProgress?: (done: number, total: number, kernel: string) => void;
  /** File of verdicts to go on with, see chip-journal.ts. */
  readonly journal?: string | undefined;
  readonly onOutcome?: (kernel: string, mutant: Mutant, outcome: Outcome, rule: string) => void;
}

const emptyRow = (): Row => ({ tried: 0, rejected: 0, wrong: 0, equivalent: 0, unreached: 0, survived: 0 });

/** Whether a source that must not compile is refused for the reason it should be. */
function isRefused(device: SimDevice, { emitted, kernel }: Job, mutant: Mutant): boolean {
  try {
    device.compileKernels([
      { name: kernel, source: applyMutant(emitted.source, mutant), kind: emitted.kind, args: [] },
    ]);
    return false;
  } catch (error) {
    if (
      error instanceof CompileError &&
      /no instruction for this element type|no matching function for call to .__bang_/.test(error.message)
    )
      return true;
    throw error;
  }
}

/** Yields to timers and signals between kernels. */
const breathe = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Kernels that share a unit of the compiler: what they have in common is compiled once, and progress still moves. */
const KERNELS_AT_ONCE = 12;

/** Jobs that share a unit of the compiler, with what the journal knows of each; `missing`: the texts of the others. */
interface Batch {
  readonly jobs: readonly Job[];
  readonly sources: readonly SimSource[];
  readonly known: readonly (Judged | undefined)[];
  readonly missing: readonly SimSource[];
}
/** `left`: the mutants by number that are tried in this launch. */
const keyOfJob = (device: SimDevice, job: Job, source: SimSource, launch: RecordedLaunch, left: readonly number[]): string => keyOf([device.keyOf(source), JSON.stringify(left.map((i) => job.mutants[i]))], launch); // prettier-ignore
function batchOf(device: SimDevice, jobs: readonly Job[], journal: Journal): Batch {
  const sources = jobs.map((job) => sourceOf(device, job));
  const known = jobs.map((job, i) => journal.find(keyOfJob(device, job, sources[i]!, job.launch, all(job))));
  return { jobs, sources, known, missing: sources.filter((_, i) => !known[i]) };
}

/** A program as emitted, then each of its mutants that are `left`. */
async function judgeLaunch(device: SimDevice, job: Job, kernel: SimKernel, launch: RecordedLaunch, left: readonly number[], onProgress: (done: number) => void): Promise<Judged> {
  const trial = new Trial(device, job.emitted, launch, kernel);
  const unsteady: Judged = { isSteady: false, short: [], verdicts: [] };
  const isFirst = left.length === job.mutants.length;
  try {
    if (!trial.isSteady(isFirst)) return unsteady;
    const short = countsTurnsOf(device, job) ? trial.own.shortLoops() : [];
    const ids = new Map(together(job).map((m, i) => [m, i + 1]));
    const verdicts: Verdict[] = [];
    for (const m of left.map((i) => job.mutants[i]!)) {
      const id = ids.get(m);
      if (id !== undefined) verdicts.push(trial.judge(id, m.kind, !isFirst));
      else verdicts.push({ outcome: isRefused(device, job, m) ? "rejected" : "survived", rule: "does not compile" });
      if (verdicts.length % 50 === 0) {
        onProgress(verdicts.length);
        await breathe();
      }
    }
    return trial.isSpoilt ? unsteady : { isSteady: true, short, verdicts };
  } finally {
    trial.free();
  }
} // prettier-ignore

export async function runMatrix(name: ChipName, options: MatrixOptions = {}): Promise<MatrixResult> {
  const device = openSim(`sim:${name}`);
  const jobs = jobsOf(device.target, planLaunches(device.target), options);
  const journal = new Journal(options.journal);
  const table = Object.fromEntries(mutationKinds.map((kind) => [kind, emptyRow()])) as Record<MutationKind, Row>;
  const rules: Record<string, number> = {};
  const [survivors, unreached, failed, singleTurns]: [string[], string[], string[], string[]] = [[], [], [], []];
  let [equivalentInSingleTurns, equivalentOfOrder] = [0, 0];
  const total = jobs.reduce((n, j) => n + j.mutants.length, 0);
  const batches: Batch[] = [];
  for (let first = 0; first < jobs.length; first += KERNELS_AT_ONCE) batches.push(batchOf(device, jobs.slice(first, first + KERNELS_AT_ONCE), journal)); // prettier-ignore
  /** The verdict in a launch, known or not. */
  const judge = async (
    job: Job,
    source: SimSource,
    kernel: () => SimKernel,
    launch: RecordedLaunch,
    left: readonly number[],
    onProgress: (done: number) => void,
  ): Promise<Judged> => {
    const key = keyOfJob(device, job, source, launch, left);
    const known = journal.find(key);
    if (known) return known;
    const judged = await judgeLaunch(device, job, kernel(), launch, left, onProgress);
    journal.keep(key, judged);
    return judged;
  };
  const ahead = (b: Batch | undefined): Promise<void> => device.compileAhead(b?.missing ?? []);
  let [done, ready] = [0, ahead(batches[0])];
  for (const [b, { jobs: now, sources, known, missing }] of batches.entries()) {
    options.onProgress?.(done, total, `compiling ${now.map((j) => j.kernel).join(", ")}`);
    await ready;
    // One unit is compiled while the mutants of the one before it run.
    ready = ahead(batches[b + 1]);
    const kernels = device.compileKernels(missing);
    for (const [i, job] of now.entries()) {
      const at = done;
      options.onProgress?.(at, total, job.kernel);
      const onProgress = (n: number): void => options.onProgress?.(at + n, total, job.kernel);
      let own = known[i] ? undefined : kernels.shift()!;
      const kernel = (): SimKernel => (own ??= device.compileKernels([sources[i]!])[0]!);
      const first = await judge(job, sources[i]!, kernel, job.launch, all(job), onProgress);
      const judged = await judgeMore(job, first, (launch, left) =>
        judge(job, sources[i]!, kernel, launch, left, () => {}),
      );
      done += job.mutants.length;
      if (!judged.isSteady) failed.push(`${job.kernel}: ${job.name}`);
      const unordered = job.mutants.filter(
        (m, n) => ofOrder.has(m.kind) && judged.verdicts[n]?.outcome === "equivalent",
      ).length;
      equivalentOfOrder += unordered;
      if (judged.short.length > 0 && unordered > 0) {
        singleTurns.push(`${job.kernel}: ${job.name}: ${judged.short.join(", ")}`);
        equivalentInSingleTurns += unordered;
      }
      for (const [n, { outcome, rule }] of judged.verdicts.entries()) {
        const m = job.mutants[n]!;
        table[m.kind][outcome]++;
        if (outcome !== "unreached") table[m.kind].tried++;
        if (isCaught({ outcome, rule })) rules[rule] = (rules[rule] ?? 0) + 1;
        const list = { survived: survivors, unreached }[outcome as string];
        list?.push(`${job.kernel}: ${job.name}: ${m.kind}: ${m.where}`);
        options.onOutcome?.(job.kernel, m, outcome, rule);
      }
    }
  }
  options.onProgress?.(total, total, "");
  const kernels = [...new Set(jobs.map((j) => j.kernel))];
  return {
    kernels,
    table,
    rules,
    survivors,
    unreached,
    failed,
    singleTurns,
    equivalentInSingleTurns,
    equivalentOfOrder,
  };
}

export interface CasesResult {
  /** Cases with a kernel of training that has no lowering, "case: kernel"; not among the rest. */
  readonly skipped: readonly string[];
  readonly passed: number;
  readonly total: number;
  readonly failed: readonly string[];
}
/** Whether launches as one list leave what cpu does. */
function isListRight(device: SimDevice, c: LongLaunch): boolean {
  const planning = new PlanningDevice(device.properties);
  c.run(planning);
  device.fuse(planning.programs);
  const want = c.run(openDevice("cpu")).map(toHost);
  return c.run(device).every((array, i) => isNear(toHost(array) as Float32Array, want[i] as Float32Array, c.tolerance));
}
/** Every case of the kernels (of one) and of the lists, with every rule checked. */
export async function runCases(name: ChipName, options: Pick<MatrixOptions, "kernel" | "onProgress"> = {}): Promise<CasesResult> {
  const device = openSim(`sim:${name}`);
  const all = planCases(device.target).filter((p) => options.kernel === undefined || p.launches.some((l) => l.program.name === options.kernel));
  const planned = all.filter((p) => p.refused === undefined);
  const skipped = all.flatMap((p) => (p.refused === undefined ? [] : [`${p.name}: ${p.refused}`]));
  const lists = listCases.filter((c) => options.kernel === undefined || listName(c) === options.kernel);
  const checks = [
    ...planned.map((p) => ({ name: p.name, isRight: () => isRight(device, p.c) })),
    ...lists.map((c) => ({ name: listName(c), isRight: () => isListRight(openSim(`sim:${name}`), c) })),
  ];
  const total = checks.length;
  options.onProgress?.(0, total, "compiling");
  device.build(planned.flatMap((p) => [...p.sources.keys()]));
  const failed: string[] = [];
  for (const [i, check] of checks.entries()) {
    options.onProgress?.(i, total, check.name);
    await breathe();
    try {
      if (!check.isRight()) failed.push(check.name);
    } catch (error) {
      if (!(error instanceof SimulationError)) throw error;
      failed.push(`${check.name}: ${error.message}`);
    }
  }
  options.onProgress?.(total, total, "");
  return { skipped, passed: total - failed.length, total, failed };
} // prettier-ignore

/** Names of the kernels of inference that a chip has. */
export function kernelsOf(name: ChipName): string[] {
  const target = simTargets[`sim:${name}`];
  return [...[...chooseCases(planLaunches(target), 1).keys()].toSorted(), ...listCases.map(listName)];
} // prettier-ignore
