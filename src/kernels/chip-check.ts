/**
 * The mutation matrix of a simulated chip: every kernel that is emitted for it, with every mutant of its text, on
 * recorded launches. A mutant must be rejected, give a wrong answer or not compile; chip-bench.ts says when one of the
 * rest is equivalent. Main functions: `runMatrix`, and `runCases` for the kernels as emitted.
 */
import { CompileError } from "../base/errors.ts";
import { SYMBOL } from "../device/cpu/toolchain.ts";
import { mutantsOf } from "../device/sim/mutate/mutants-of.ts";
import {
  applyMutant,
  mutationKinds,
  withMutants,
  type Mutant,
  type MutationKind,
} from "../device/sim/mutate/mutant.ts";
import type { SimDevice } from "../device/sim/sim-device.ts";
import type { EmittedKernel } from "../device/chip-targets.ts";
import { simTargets } from "../device/sim/targets.ts";
import { SimulationError } from "../device/sim/violation.ts";
import type { ChipName } from "../tile/chips/types.ts";
import { Bench, judgeAll, type Outcome } from "./chip-bench.ts";
import { chipCases, chooseCases, openRecorder, planCase, recordLaunches, type LaunchRecorder, type Planned, type RecordedLaunch } from "./chip-launches.ts"; // prettier-ignore

export { outcomes, type Outcome } from "./chip-bench.ts";
export type Row = Record<"tried" | Outcome, number>;

export interface MatrixResult {
  readonly kernels: readonly string[];
  readonly table: Record<MutationKind, Row>;
  /** Rules that rejected, with how many. */
  readonly rules: Record<string, number>;
  /** "kernel: kind: where", of those that passed. */
  readonly survivors: readonly string[];
  /** Kernels that are wrong as emitted on some number of blocks. */
  readonly failed: readonly string[];
}
export interface MatrixOptions {
  readonly kernel?: string;
  /** Programs of a kernel. */
  readonly perKernel?: number;
  /** Mutants of each kind of a program, evenly over the text; all when absent. */
  readonly sample?: number;
  readonly onProgress?: (done: number, total: number, kernel: string) => void;
  readonly onOutcome?: (kernel: string, mutant: Mutant, outcome: Outcome, rule: string) => void;
}

/** A program as emitted, with its mutants, and launches of it. */
interface Job {
  readonly kernel: string;
  readonly emitted: EmittedKernel;
  readonly launches: readonly RecordedLaunch[];
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
function jobsOf(device: LaunchRecorder, planned: readonly Planned[], options: MatrixOptions): Job[] {
  const { chip, emit } = device.target;
  const chosen = [...chooseCases(planned, options.perKernel ?? 3)].filter(([kernel]) => options.kernel === undefined || kernel === options.kernel); // prettier-ignore
  const cases = new Set(chosen.flatMap(([, texts]) => texts.flat().map((l) => l.planned)));
  device.build([...cases].flatMap((p) => [...p.sources.keys()]));
  const recorded = new Map([...cases].map((p) => [p, recordLaunches(device, p.c).launches]));
  return chosen.flatMap(([kernel, texts]) =>
    texts.map((sites) => {
      const source = sites[0]!.planned.sources.get(sites[0]!.planned.launches[sites[0]!.index]!.program);
      // What a run launches may depend on what it computed: the same text at the same place, or its first.
      const launches = sites.flatMap(({ planned: p, index }): RecordedLaunch[] => {
        const own = recorded.get(p)!;
        const isSame = (l: RecordedLaunch | undefined): boolean => l?.program.name === kernel && emit(l.program, SYMBOL, chip).source === source; // prettier-ignore
        const found = isSame(own[index]) ? own[index] : own.find(isSame);
        return found ? [found] : [];
      });
      const emitted = emit(launches[0]!.program, SYMBOL, chip);
      return { kernel, emitted, launches: [...new Set(launches)], mutants: sampled(mutantsOf(emitted.source, chip), options.sample) };
    }),
  ); // prettier-ignore
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

export async function runMatrix(name: ChipName, options: MatrixOptions = {}): Promise<MatrixResult> {
  const device = openRecorder(`sim:${name}`);
  device.isInference = true;
  const jobs = jobsOf(device, chipCases.map((c) => planCase(c, device.target)), options); // prettier-ignore
  const table = Object.fromEntries(mutationKinds.map((kind) => [kind, emptyRow()])) as Record<MutationKind, Row>;
  const rules: Record<string, number> = {};
  const [survivors, failed]: [string[], string[]] = [[], []];
  const total = jobs.reduce((n, j) => n + j.mutants.length, 0);
  let done = 0;
  for (const job of jobs) {
    options.onProgress?.(done, total, job.kernel);
    await breathe();
    const together = job.mutants.filter((m) => !m.mustNotCompile);
    const source = withMutants(job.emitted.source, together);
    const args = [...job.launches[0]!.program.params.map((p) => p.name), "grid x", "grid y", "grid z", "workspace"];
    const [kernel] = device.compileKernels([{ name: job.kernel, source, kind: job.emitted.kind, args }]);
    const own = job.launches.map((launch) => new Bench(device, job.emitted, launch, kernel!));
    const benches = [...own, ...own.flatMap((bench) => bench.variants())];
    if (!benches.every((bench) => bench.isRight())) failed.push(job.kernel);
    for (const m of job.mutants) {
      const { outcome, rule } = m.mustNotCompile
        ? {
            outcome: isRefused(device, job, m) ? ("rejected" as const) : ("survived" as const),
            rule: "does not compile",
          }
        : judgeAll(benches, together.indexOf(m) + 1, m.kind);
      table[m.kind][outcome]++;
      if (outcome !== "unreached") table[m.kind].tried++;
      if (outcome === "rejected" || outcome === "wrong") rules[rule] = (rules[rule] ?? 0) + 1;
      if (outcome === "survived") survivors.push(`${job.kernel}: ${m.kind}: ${m.where}`);
      options.onOutcome?.(job.kernel, m, outcome, rule);
      done++;
    }
    for (const bench of benches) bench.free();
  }
  options.onProgress?.(total, total, "");
  return { kernels: [...new Set(jobs.map((j) => j.kernel))], table, rules, survivors, failed };
}

export interface CasesResult {
  readonly passed: number;
  readonly total: number;
  readonly failed: readonly string[];
}
/** Every case of the kernels (of one), with every rule checked. */
export async function runCases(name: ChipName, options: Pick<MatrixOptions, "kernel" | "onProgress"> = {}): Promise<CasesResult> {
  const device = openRecorder(`sim:${name}`);
  const planned = chipCases.map((c) => planCase(c, device.target)).filter((p) => !p.refused && (options.kernel === undefined || p.launches.some((l) => l.program.name === options.kernel))); // prettier-ignore
  device.build(planned.flatMap((p) => [...p.sources.keys()]));
  const failed: string[] = [];
  for (const [i, p] of planned.entries()) {
    options.onProgress?.(i, planned.length, p.name);
    await breathe();
    try {
      if (!recordLaunches(device, p.c).isRight) failed.push(p.name);
    } catch (error) {
      if (!(error instanceof SimulationError)) throw error;
      failed.push(`${p.name}: ${error.message}`);
    }
  }
  options.onProgress?.(planned.length, planned.length, "");
  return { passed: planned.length - failed.length, total: planned.length, failed };
} // prettier-ignore

/** Names of the kernels of inference that a chip has. */
export function kernelsOf(name: ChipName): string[] {
  const target = simTargets[`sim:${name}`];
  return [...chooseCases(chipCases.map((c) => planCase(c, target)), 1).keys()].toSorted();
} // prettier-ignore
