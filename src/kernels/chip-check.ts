/**
 * The mutation matrix of a simulated chip: every kernel that is emitted for it, with every mutant of its text, on a
 * recorded launch. A mutant must be rejected, give a wrong answer or not compile; one that gives the same bits whatever
 * unwritten memory holds, in every order tried and with every pair of accesses ordered by a path of what is left of the
 * synchronisation (engine/audit.h, no clocks), is equivalent. Main function: `checkChip`.
 */
import { CompileError } from "../base/errors.ts";
import { SYMBOL } from "../device/cpu/toolchain.ts";
import { countsTurns, mutantsOf } from "../device/sim/mutate/mutants-of.ts";
import {
  applyMutant,
  loopsOf,
  mutationKinds,
  withMutants,
  type Mutant,
  type MutationKind,
} from "../device/sim/mutate/mutant.ts";
import type { RunOptions, SimDevice, SimKernel } from "../device/sim/sim-device.ts";
import type { EmittedKernel } from "../device/chip-targets.ts";
import { openSim } from "../device/sim/open-sim.ts";
import { simTargets, type SimTarget } from "../device/sim/targets.ts";
import { SimulationError } from "../device/sim/violation.ts";
import type { BufferArg, LaunchArg } from "../device/device.ts";
import type { ChipName } from "../tile/chips/types.ts";
import { chipCases, chooseCases, compareBytes, isRight, planCase, recordLaunches, type Planned, type RecordedLaunch } from "./chip-launches.ts"; // prettier-ignore

/** unreached: the launch never comes to the place, or the programs that go missing write nothing in it. */
export const outcomes = ["rejected", "wrong", "equivalent", "unreached", "survived"] as const;
export type Outcome = (typeof outcomes)[number];
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
  /** Kernels whose launch leaves a loop before its third turn, where a place of two is taken again, and the synchronisations dropped from them that count as equivalent: what orders one turn after another is not shown there. */
  readonly singleTurns: readonly string[];
  readonly equivalentInSingleTurns: number;
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

/** A program as emitted, with its mutants, and a launch of it. */
interface Job {
  readonly kernel: string;
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
  const chosen = [...chooseCases(planned, options.perKernel ?? 2)].filter(([kernel]) => options.kernel === undefined || kernel === options.kernel); // prettier-ignore
  const cases = new Set(chosen.flatMap(([, list]) => list.map((l) => l.planned)));
  const recorded = new Map([...cases].map((p) => [p, recordLaunches(chip, p.c)]));
  return chosen.flatMap(([kernel, list]) =>
    list.map(({ planned: p, index }) => {
      // What a run launches may depend on what it computed: the same kernel at the same place, or its first.
      const launches = recorded.get(p)!;
      const launch = launches[index]?.program.name === kernel ? launches[index] : launches.find((l) => l.program.name === kernel)!; // prettier-ignore
      const emitted = emit(launch.program, SYMBOL, chip);
      return { kernel, emitted, launch, mutants: sampled(mutantsOf(emitted.source, chip), options.sample) };
    }),
  );
}

/** Runs one launch with one mutant; its memory is its own. */
class Bench {
  private readonly device: SimDevice;
  private readonly job: Job;
  private readonly kernel: SimKernel;
  private readonly memory: readonly BufferArg[];
  /** What the kernel as emitted leaves in the buffers; empty before it ran. */
  private after: readonly Uint8Array[] = [];
  readonly numPrograms: number;

  constructor(device: SimDevice, job: Job, kernel: SimKernel) {
    this.device = device;
    this.job = job;
    this.kernel = kernel;
    this.memory = job.launch.buffers.map(({ before }) => ({ buffer: device.alloc(before.length), byteOffset: 0 }));
    this.numPrograms = job.launch.grid.reduce((a, b) => a * b, 1);
  }
  free(): void {
    for (const { buffer } of this.memory) this.device.free(buffer);
  }
  /** How far from the kernel as emitted; throws SimulationError. */
  run(id: number, options: RunOptions): { result: "same" | "near" | "wrong"; isReached: boolean } {
    const { emitted, launch } = this.job;
    const { device, memory } = this;
    launch.buffers.forEach(({ before }, i) => device.copyIn(memory[i]!.buffer, 0, before));
    const args: LaunchArg[] = launch.args.map((a) => (typeof a === "number" ? a : { buffer: memory[a.buffer]!.buffer, byteOffset: a.byteOffset })); // prettier-ignore
    const [x = 1, y = 1, z = 1] = launch.grid;
    args.push(x, y, z);
    const workspace = emitted.workspaceBytesPerBlock * options.numBlocks;
    const room = workspace > 0 ? device.alloc(workspace) : undefined;
    if (room) args.push({ buffer: room, byteOffset: 0 });
    try {
      const isReached = device.run(this.kernel, [...args, id], {
        ...options,
        workspaceArg: room ? args.length - 1 : -1,
      });
      const got = launch.buffers.map(({ before }, i) => {
        const bytes = new Uint8Array(before.length);
        device.copyOut(memory[i]!.buffer, 0, bytes);
        return bytes;
      });
      if (this.after.length === 0) this.after = got;
      const results = got.map((bytes, i) => compareBytes(launch.buffers[i]!.dtype, this.after[i]!, bytes, launch.tolerance)); // prettier-ignore
      return { result: results.includes("wrong") ? "wrong" : results.includes("near") ? "near" : "same", isReached };
    } finally {
      if (room) device.free(room);
    }
  }

  /** Blocks and orders in which a mutant is tried: turns of the grid repeat on one block, meet on several. */
  private plansFor(isShare: boolean): RunOptions[] {
    const limit = this.device.target.numBlocks(this.job.emitted.kind, this.numPrograms);
    return [
      { numBlocks: 1, seed: 0 },
      // Another stride over the programs, some of which may have nothing to do.
      ...(isShare ? [{ numBlocks: Math.min(2, limit), seed: 3 }] : []),
      { numBlocks: Math.min(3, limit), seed: 1 },
      { numBlocks: limit, seed: 2 },
    ];
  }
  judge(id: number, kind: MutationKind): { outcome: Outcome; rule: string } {
    try {
      let isReached = false;
      const isShare = kind === "one core missing or extra";
      for (const plan of this.plansFor(isShare)) {
        const run = this.run(id, plan);
        isReached ||= run.isReached;
        if (run.result === "wrong") return { outcome: "wrong", rule: "wrong answer" };
      }
      // With one program there is nothing to share among cores.
      if (!isReached || (isShare && this.numPrograms === 1)) return { outcome: "unreached", rule: "" };
      if (!this.isEquivalent(id, isShare)) return { outcome: "survived", rule: "" };
      // Nothing was done twice, and the programs that went missing have nothing to do in this launch.
      return { outcome: isShare ? "unreached" : "equivalent", rule: "" };
    } catch (error) {
      if (error instanceof SimulationError) return { outcome: "rejected", rule: error.rule };
      throw error;
    }
  }
  private isEquivalent(id: number, isShare: boolean): boolean {
    for (const [i, poison] of [0xff, 0x00, 0x55].entries())
      for (const plan of this.plansFor(isShare)) {
        const { result } = this.run(id, { ...plan, seed: plan.seed! + 3 * i, poison, audit: true });
        if (result !== "same") return false;
      }
    return true;
  }
  /** Whether every loop of the text comes to a third turn where one core does all. */
  repeatsLoops(): boolean {
    this.run(0, { numBlocks: 1 });
    return this.device.lastRun!.repeatedLoops === loopsOf(this.job.emitted.source).length;
  }
  /** The kernel as emitted: no rule broken, the same bits on any number of blocks. */
  isSteady(): boolean {
    try {
      return [1, 3, 20, 24].every((numBlocks) => this.run(0, { numBlocks, seed: numBlocks, audit: true }).result === "same");
    } catch (error) {
      if (error instanceof SimulationError) return false;
      throw error;
    }
  } // prettier-ignore
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
/** Each with all of its mutants. */
const compileJobs = (device: SimDevice, jobs: readonly Job[]): SimKernel[] =>
  device.compileKernels(
    jobs.map((job) => ({
      name: job.kernel,
      source: withMutants(job.emitted.source, together(job), countsTurns(device.target.chip)),
      kind: job.emitted.kind,
      args: [...job.launch.program.params.map((p) => p.name), "grid x", "grid y", "grid z", "workspace"],
    })),
  );

export async function runMatrix(name: ChipName, options: MatrixOptions = {}): Promise<MatrixResult> {
  const device = openSim(`sim:${name}`);
  const jobs = jobsOf(device.target, chipCases.map((c) => planCase(c, device.target)), options); // prettier-ignore
  const table = Object.fromEntries(mutationKinds.map((kind) => [kind, emptyRow()])) as Record<MutationKind, Row>;
  const rules: Record<string, number> = {};
  const [survivors, failed, singleTurns]: [string[], string[], string[]] = [[], [], []];
  let equivalentInSingleTurns = 0;
  const total = jobs.reduce((n, j) => n + j.mutants.length, 0);
  const kernels: SimKernel[] = [];
  let done = 0;
  for (const [i, job] of jobs.entries()) {
    options.onProgress?.(done, total, job.kernel);
    await breathe();
    if (i % KERNELS_AT_ONCE === 0) kernels.push(...compileJobs(device, jobs.slice(i, i + KERNELS_AT_ONCE)));
    const bench = new Bench(device, job, kernels[i]!);
    if (!bench.isSteady()) {
      failed.push(job.kernel);
      done += job.mutants.length;
      bench.free();
      continue;
    }
    const isSingle = countsTurns(device.target.chip) && !bench.repeatsLoops();
    if (isSingle) singleTurns.push(job.kernel);
    for (const m of job.mutants) {
      const { outcome, rule } = m.mustNotCompile
        ? {
            outcome: isRefused(device, job, m) ? ("rejected" as const) : ("survived" as const),
            rule: "does not compile",
          }
        : bench.judge(together(job).indexOf(m) + 1, m.kind);
      table[m.kind][outcome]++;
      if (outcome !== "unreached") table[m.kind].tried++;
      if (outcome === "rejected" || outcome === "wrong") rules[rule] = (rules[rule] ?? 0) + 1;
      if (outcome === "survived") survivors.push(`${job.kernel}: ${m.kind}: ${m.where}`);
      if (isSingle && outcome === "equivalent" && ofOrder.has(m.kind)) equivalentInSingleTurns++;
      options.onOutcome?.(job.kernel, m, outcome, rule);
      done++;
    }
    bench.free();
  }
  options.onProgress?.(total, total, "");
  return {
    kernels: [...new Set(jobs.map((j) => j.kernel))],
    table,
    rules,
    survivors,
    failed,
    singleTurns,
    equivalentInSingleTurns,
  };
}

export interface CasesResult {
  readonly passed: number;
  readonly total: number;
  readonly failed: readonly string[];
}
/** Every case of the kernels (of one), with every rule checked. */
export async function runCases(name: ChipName, options: Pick<MatrixOptions, "kernel" | "onProgress"> = {}): Promise<CasesResult> {
  const device = openSim(`sim:${name}`);
  const planned = chipCases.map((c) => planCase(c, device.target)).filter((p) => !p.refused && (options.kernel === undefined || p.launches.some((l) => l.program.name === options.kernel))); // prettier-ignore
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
  return { passed: planned.length - failed.length, total: planned.length, failed };
} // prettier-ignore

/** Names of the kernels of inference that a chip has. */
export function kernelsOf(name: ChipName): string[] {
  const target = simTargets[`sim:${name}`];
  return [...chooseCases(chipCases.map((c) => planCase(c, target)), 1).keys()].toSorted();
} // prettier-ignore
