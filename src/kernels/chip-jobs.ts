/**
 * What the mutation matrix runs: programs of kernels and of lists as emitted, their mutants, and launches to try them in.
 * Main function: `jobsOf`.
 */
import type { EmittedKernel, EmittedList } from "../device/chip-targets.ts";
import { SYMBOL } from "../device/cpu/toolchain.ts";
import { foreignKernel } from "../device/sim/foreign.ts";
import { countsTurns, mutantsOf, mutantsOfList, sharesLines } from "../device/sim/mutate/mutants-of.ts";
import { mutationKinds, withMutants, type Mutant } from "../device/sim/mutate/mutant.ts";
import type { SimDevice, SimSource } from "../device/sim/sim-device.ts";
import type { SimTarget } from "../device/sim/targets.ts";
import { chooseCases, offTheLine, recordLaunches, type Launches, type Planned, type RecordedLaunch } from "./chip-launches.ts"; // prettier-ignore
import { listCases, listName } from "./chip-lists.ts";
import { nearby, type Nearby } from "./chip-nearby.ts";

/** A program as emitted, with its mutants. */
export interface Job {
  readonly kernel: string;
  /** Of the case, or of the longer launch. */
  readonly name: string;
  readonly emitted: EmittedKernel | EmittedList;
  /** The launch of it that takes most turns. */
  readonly launch: RecordedLaunch;
  /** More launches of the same program, for what that one does not show; nothing where what a run launches depends on its numbers. */
  readonly others: readonly (() => RecordedLaunch | undefined)[];
  /** Launches that no case makes; such a one counts if the program as emitted keeps every rule in it, too. */
  readonly near: () => Iterable<Nearby>;
  readonly mutants: readonly Mutant[];
  /** Names of the arguments, for messages. */
  readonly args: readonly string[];
}
export interface JobOptions {
  readonly kernel?: string;
  /** Programs of a kernel. */
  readonly perKernel?: number;
  /** Mutants of each kind of a program, evenly over the text, in launches of cases only; all when absent. */
  readonly sample?: number;
}

/** At most `count` of each kind, evenly. */
function sampled(mutants: readonly Mutant[], count = Number.POSITIVE_INFINITY): Mutant[] {
  return mutationKinds.flatMap((kind) => {
    const own = mutants.filter((m) => m.kind === kind);
    return own.length <= count ? own : Array.from({ length: count }, (_, i) => own[Math.floor(((i + 0.5) * own.length) / count)]!);
  });
} // prettier-ignore

/** Records the launches of the cases chosen for each kernel, and the lists. */
export function jobsOf(target: SimTarget, planned: readonly Planned[], options: JobOptions): Job[] {
  const { chip, emit } = target;
  const isAsked = (kernel: string): boolean => options.kernel === undefined || kernel === options.kernel;
  const chosen = [...chooseCases(planned, options.perKernel ?? Number.POSITIVE_INFINITY)].filter(([kernel]) => isAsked(kernel)); // prettier-ignore
  const recorded = new Map<Planned, RecordedLaunch[]>();
  const launchesOf = (p: Planned): RecordedLaunch[] => {
    let list = recorded.get(p);
    if (!list) recorded.set(p, (list = recordLaunches(chip, p.c)));
    return list;
  };
  const jobOf = (kernel: string, [first, ...others]: Launches): Job => {
    const { planned: p, index } = first!;
    // What a run launches may depend on what it computed: the same kernel at the same place, or its first.
    const launches = launchesOf(p);
    const nameOf = (l: RecordedLaunch | undefined): string | undefined => l?.calls[0]!.program.name;
    const launch = nameOf(launches[index]) === kernel ? launches[index]! : launches.find((l) => nameOf(l) === kernel)!;
    const { program } = launch.calls[0]!;
    const emitted = emit(program, SYMBOL, chip);
    const same = others.map((o) => () => {
      const other = launchesOf(o.planned)[o.index];
      return other?.calls[0]!.program === program ? other : undefined;
    });
    return {
      kernel,
      name: p.name,
      emitted,
      launch,
      others: sharesLines(chip) ? [...same, () => offTheLine(launch)] : same,
      near: () => (options.sample === undefined ? nearby(launch, sharesLines(chip)) : []),
      mutants: sampled(mutantsOf(emitted.source, chip), options.sample),
      args: [...program.params.map((param) => param.name), "grid x", "grid y", "grid z", "workspace"],
    };
  };
  return [
    ...chosen.flatMap(([kernel, programs]) => programs.map((launches) => jobOf(kernel, launches))),
    ...listCases.filter((c) => isAsked(listName(c))).map((c) => listJob(target, c, options)),
  ];
}
/** The graph of an audit grows with the square of the cores that meet. */
const MOST_CORES = 48;
const coresOf: Readonly<Record<string, number>> = { mix: 3, mix11: 2 };

/** Grids for which a program that has two forms takes that for cores alone, and that for clusters. */
const formGrids = [[1, 1, 1], [64, 64, 64]] as const; // prettier-ignore

function listJob({ chip, emitList }: SimTarget, c: (typeof listCases)[number], { sample }: JobOptions): Job {
  const [launch] = recordLaunches(chip, c, true) as [RecordedLaunch];
  const emitted = emitList([...new Set(launch.calls.map(({ program }) => program))], SYMBOL);
  const { kind } = emitted;
  // An Ascend list runs on any number of blocks, one of MLU on all clusters of its job.
  const numBlocks = kind.startsWith("union") ? emitted.numBlocks : Math.min(emitted.numBlocks, MOST_CORES / (coresOf[kind] ?? 1)); // prettier-ignore
  return {
    kernel: listName(c),
    name: `${launch.calls.length} launches`,
    emitted: { ...emitted, numBlocks },
    launch,
    others: formGrids.map((formsFor) => () => ({ ...launch, formsFor })),
    near: () => [],
    mutants: sampled(mutantsOfList(emitted.source, chip), sample),
    args: ["list", "launches", "workspace"],
  };
}

/** The mutants that share a text. */
export const together = ({ mutants }: Job): Mutant[] => mutants.filter((m) => !m.mustNotCompile);
/** What orders the turns of a program's loops is tried in that program's own kernel, not in a list. */
export const countsTurnsOf = (device: SimDevice, { emitted }: Job): boolean => countsTurns(device.target.chip) && !("numBlocks" in emitted); // prettier-ignore
/** A program with all of its mutants; functions of a list have names that those of another list have, too. */
export function sourceOf(device: SimDevice, job: Job): SimSource {
  const { emitted, args } = job;
  const name = job.kernel.replace(/\W+/g, "_");
  const source = withMutants(emitted.source, together(job), countsTurnsOf(device, job));
  return "numBlocks" in emitted ? { ...foreignKernel(source, SYMBOL, args, emitted.kind), name } : { name, source, kind: emitted.kind, args }; // prettier-ignore
}
