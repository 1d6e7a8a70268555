/**
 * The mutation matrix of a simulated chip: every kernel that is emitted for it, with every mutant of its text, on
 * a recorded launch. A mutant must be rejected, give a wrong answer or not compile; chip-bench.ts says when one of the
 * rest is equivalent. Main functions: `runMatrix`, and `runCases` for the kernels as emitted.
 */
import { CompileError } from "../base/errors.ts";
import { SYMBOL } from "../device/cpu/toolchain.ts";
import { countsTurns, mutantsOf } from "../device/sim/mutate/mutants-of.ts";
import {
  applyMutant,
  mutationKinds,
  withMutants,
  type Mutant,
  type MutationKind,
} from "../device/sim/mutate/mutant.ts";
import type { SimDevice, SimKernel, SimSource } from "../device/sim/sim-device.ts";
import type { EmittedKernel } from "../device/chip-targets.ts";
import { openSim } from "../device/sim/open-sim.ts";
import { simTargets, type SimTarget } from "../device/sim/targets.ts";
import { SimulationError } from "../device/sim/violation.ts";
import type { ChipName } from "../tile/chips/types.ts";
import { Bench, judgeAll, type Outcome, type Verdict } from "./chip-bench.ts";
import { Journal, keyOf, type Judged } from "./chip-journal.ts";
import { chooseCases, isRight, planCases, planLaunches, recordLaunches, type Planned, type RecordedLaunch } from "./chip-launches.ts"; // prettier-ignore

export { outcomes } from "./chip-bench.ts";
export type Row = Record<"tried" | Outcome, number>;

export interface MatrixResult {
  readonly kernels: readonly string[];
  readonly table: Record<MutationKind, Row>;
  /** Rules that rejected, with how many. */
  readonly rules: Record<string, number>;
  /** "kernel: kind: where", of those that passed. */
  readonly survivors: readonly string[];
  /** Kernels that break a rule as emitted, or differ with the number of blocks; their mutants are not tried. */
  readonly failed: readonly string[];
  /** "kernel: case: lines and variables" of launches that leave a loop before its third turn, where a place of two is taken again, and the synchronisations dropped from them that count as equivalent: what orders one turn after another is not shown there. */
  readonly singleTurns: readonly string[];
  readonly equivalentInSingleTurns: number;
  /** The same of all launches. */
  readonly equivalentOfOrder: number;
}
export interface MatrixOptions {
  readonly kernel?: string;
  /** Programs of a kernel. */
  readonly perKernel?: number;
  /** Mutants of each kind of a program, evenly over the text; all when absent. */
  readonly sample?: number;
  readonly onProgress?: (done: number, total: number, kernel: string) => void;
  /** File of verdicts to go on with, see chip-journal.ts. */
  readonly journal?: string | undefined;
  readonly onOutcome?: (kernel: string, mutant: Mutant, outcome: Outcome, rule: string) => void;
}

/** A program as emitted, with its mutants, and a launch of it. */
interface Job {
  readonly kernel: string;
  /** Of the case, or of the longer launch. */
  readonly name: string;
  readonly emitted: EmittedKernel;
  readonly launch: RecordedLaunch;
  readonly mutants: readonly Mutant[];
}

/** At most `count` of each kind, evenly. */
function sampled(mutants: readonly Mutant[], count = Number.POSITIVE_INFINITY): Mutant[] {
  return mutationKinds.flatMap((kind) => {
    const own = mutants.filter((m) => m.kind === kind);
    return own.length <= count ? own : Array.from({ length: count }, (_, i) => own[Math.floor(((i + 0.5) * own.length) / count)]!);
  });
} // prettier-ignore

const emptyRow = (): Row => ({ tried: 0, rejected: 0, wrong: 0, equivalent: 0, unreached: 0, survived: 0 });

/** Records the launches of the cases chosen for each kernel. */
function jobsOf({ chip, emit }: SimTarget, planned: readonly Planned[], options: MatrixOptions): Job[] {
  const chosen = [...chooseCases(planned, options.perKernel ?? Number.POSITIVE_INFINITY)].filter(([kernel]) => options.kernel === undefined || kernel === options.kernel); // prettier-ignore
  const cases = new Set(chosen.flatMap(([, list]) => list.map((l) => l.planned)));
  const recorded = new Map([...cases].map((p) => [p, recordLaunches(chip, p.c)]));
  return chosen.flatMap(([kernel, list]) =>
    list.map(({ planned: p, index }) => {
      // What a run launches may depend on what it computed: the same kernel at the same place, or its first.
      const launches = recorded.get(p)!;
      const launch = launches[index]?.program.name === kernel ? launches[index] : launches.find((l) => l.program.name === kernel)!; // prettier-ignore
      const emitted = emit(launch.program, SYMBOL, chip);
      return {
        kernel,
        name: p.name,
        emitted,
        launch,
        mutants: sampled(mutantsOf(emitted.source, chip), options.sample),
      };
    }),
  );
}

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

/** Kinds that only order what a kernel does. */
const ofOrder: ReadonlySet<MutationKind> = new Set([
  "drop one synchronisation",
  "swap ids",
  "drop a barrier of one pipe",
]);
/** Kernels that share a unit of the compiler: what they have in common is compiled once, and progress still moves. */
const KERNELS_AT_ONCE = 12;
const together = ({ mutants }: Job): Mutant[] => mutants.filter((m) => !m.mustNotCompile);
/** With all of its mutants. */
const sourceOf = (device: SimDevice, job: Job): SimSource => ({
  name: job.kernel,
  source: withMutants(job.emitted.source, together(job), countsTurns(device.target.chip)),
  kind: job.emitted.kind,
  args: [...job.launch.program.params.map((p) => p.name), "grid x", "grid y", "grid z", "workspace"],
});

/** Jobs that share a unit of the compiler, with what the journal knows of each; `missing`: the texts of the others. */
interface Batch {
  readonly jobs: readonly Job[];
  readonly keys: readonly string[];
  readonly known: readonly (Judged | undefined)[];
  readonly missing: readonly SimSource[];
}
function batchOf(device: SimDevice, jobs: readonly Job[], journal: Journal): Batch {
  const sources = jobs.map((job) => sourceOf(device, job));
  const keys = jobs.map((job, i) => keyOf([device.keyOf(sources[i]!), JSON.stringify(job.mutants)], job.launch));
  const known = keys.map((key) => journal.find(key));
  return { jobs, keys, known, missing: sources.filter((_, i) => !known[i]) };
}

/** A program as emitted, then each of its mutants. */
async function judgeJob(device: SimDevice, job: Job, kernel: SimKernel, onProgress: (done: number) => void): Promise<Judged> {
  const bench = new Bench(device, job.emitted, job.launch, kernel);
  const benches = [bench, ...bench.variants()];
  try {
    if (!benches.every((b) => b.isSteady())) return { isSteady: false, short: [], verdicts: [] };
    const short = countsTurns(device.target.chip) ? bench.shortLoops() : [];
    const ids = new Map(together(job).map((m, i) => [m, i + 1]));
    const verdicts: Verdict[] = [];
    for (const m of job.mutants) {
      const id = ids.get(m);
      if (id !== undefined) verdicts.push(judgeAll(benches, id, m.kind));
      else verdicts.push({ outcome: isRefused(device, job, m) ? "rejected" : "survived", rule: "does not compile" });
      if (verdicts.length % 50 === 0) {
        onProgress(verdicts.length);
        await breathe();
      }
    }
    return { isSteady: true, short, verdicts };
  } finally {
    for (const b of benches) b.free();
  }
} // prettier-ignore

export async function runMatrix(name: ChipName, options: MatrixOptions = {}): Promise<MatrixResult> {
  const device = openSim(`sim:${name}`);
  const jobs = jobsOf(device.target, planLaunches(device.target), options);
  const journal = new Journal(options.journal);
  const table = Object.fromEntries(mutationKinds.map((kind) => [kind, emptyRow()])) as Record<MutationKind, Row>;
  const rules: Record<string, number> = {};
  const [survivors, failed, singleTurns]: [string[], string[], string[]] = [[], [], []];
  let [equivalentInSingleTurns, equivalentOfOrder] = [0, 0];
  const total = jobs.reduce((n, j) => n + j.mutants.length, 0);
  const batches: Batch[] = [];
  for (let first = 0; first < jobs.length; first += KERNELS_AT_ONCE) batches.push(batchOf(device, jobs.slice(first, first + KERNELS_AT_ONCE), journal)); // prettier-ignore
  const ahead = (b: Batch | undefined): Promise<void> => device.compileAhead(b?.missing ?? []);
  let [done, ready] = [0, ahead(batches[0])];
  for (const [b, { jobs: now, keys, known, missing }] of batches.entries()) {
    options.onProgress?.(done, total, `compiling ${now.map((j) => j.kernel).join(", ")}`);
    await ready;
    // One unit is compiled while the mutants of the one before it run.
    ready = ahead(batches[b + 1]);
    const kernels = device.compileKernels(missing);
    for (const [i, job] of now.entries()) {
      const at = done;
      options.onProgress?.(at, total, job.kernel);
      const judged = known[i] ?? (await judgeJob(device, job, kernels.shift()!, (n) => options.onProgress?.(at + n, total, job.kernel))); // prettier-ignore
      if (!known[i]) journal.keep(keys[i]!, judged);
      done += job.mutants.length;
      if (!judged.isSteady) failed.push(`${job.kernel}: ${job.name}`);
      if (judged.short.length > 0) singleTurns.push(`${job.kernel}: ${job.name}: ${judged.short.join(", ")}`);
      for (const [n, { outcome, rule }] of judged.verdicts.entries()) {
        const m = job.mutants[n]!;
        table[m.kind][outcome]++;
        if (outcome !== "unreached") table[m.kind].tried++;
        if (outcome === "rejected" || outcome === "wrong") rules[rule] = (rules[rule] ?? 0) + 1;
        if (outcome === "survived") survivors.push(`${job.kernel}: ${job.name}: ${m.kind}: ${m.where}`);
        if (outcome === "equivalent" && ofOrder.has(m.kind)) {
          equivalentOfOrder++;
          if (judged.short.length > 0) equivalentInSingleTurns++;
        }
        options.onOutcome?.(job.kernel, m, outcome, rule);
      }
    }
  }
  options.onProgress?.(total, total, "");
  const kernels = [...new Set(jobs.map((j) => j.kernel))];
  return { kernels, table, rules, survivors, failed, singleTurns, equivalentInSingleTurns, equivalentOfOrder };
}

export interface CasesResult {
  /** Cases with a kernel of training that has no lowering, "case: kernel"; not among the rest. */
  readonly skipped: readonly string[];
  readonly passed: number;
  readonly total: number;
  readonly failed: readonly string[];
}
/** Every case of the kernels (of one), with every rule checked. */
export async function runCases(name: ChipName, options: Pick<MatrixOptions, "kernel" | "onProgress"> = {}): Promise<CasesResult> {
  const device = openSim(`sim:${name}`);
  const all = planCases(device.target).filter((p) => options.kernel === undefined || p.launches.some((l) => l.program.name === options.kernel));
  const planned = all.filter((p) => p.refused === undefined);
  const skipped = all.flatMap((p) => (p.refused === undefined ? [] : [`${p.name}: ${p.refused}`]));
  options.onProgress?.(0, planned.length, "compiling");
  device.build(planned.flatMap((p) => [...p.sources.keys()]));
  const failed: string[] = [];
  for (const [i, p] of planned.entries()) {
    options.onProgress?.(i, planned.length, p.name);
    await breathe();
    try {
      if (!isRight(device, p.c)) failed.push(p.name);
    } catch (error) {
      if (!(error instanceof SimulationError)) throw error;
      failed.push(`${p.name}: ${error.message}`);
    }
  }
  options.onProgress?.(planned.length, planned.length, "");
  return { skipped, passed: planned.length - failed.length, total: planned.length, failed };
} // prettier-ignore

/** Names of the kernels of inference that a chip has. */
export function kernelsOf(name: ChipName): string[] {
  const target = simTargets[`sim:${name}`];
  return [...chooseCases(planLaunches(target), 1).keys()].toSorted();
} // prettier-ignore
