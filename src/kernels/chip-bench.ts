/**
 * One launch of an emitted kernel with one mutant after another, and the verdict. A mutant is equivalent in a launch if it
 * gives the same bits whatever unwritten memory holds, in every order tried and with every pair of accesses ordered by a
 * path of what is left of the synchronisation (engine/audit.h, no clocks). Main classes: `Bench`, `Trial`.
 */
import { DeviceError } from "../base/errors.ts";
import type { EmittedKernel, EmittedList } from "../device/chip-targets.ts";
import type { BufferArg, LaunchArg } from "../device/device.ts";
import { LaunchList } from "../device/launch-list.ts";
import type { RunOptions, SimDevice, SimKernel } from "../device/sim/sim-device.ts";
import { SimulationError } from "../device/sim/violation.ts";
import { loopsOf, type MutationKind } from "../device/sim/mutate/mutant.ts";
import { changedBytes, compareBytes, otherNumbers, type RecordedCall, type RecordedLaunch } from "./chip-launches.ts";

/** unreached: the launch never comes to the place, or the programs that go missing write nothing in it. */
export const outcomes = ["rejected", "wrong", "equivalent", "unreached", "survived"] as const;
export type Outcome = (typeof outcomes)[number];
export interface Verdict {
  readonly outcome: Outcome;
  readonly rule: string;
}

const programsOf = ({ grid }: RecordedCall): number => grid.reduce((a, b) => a * b, 1);

/** Runs one launch, or a list of launches as one, with one mutant; its memory is its own. */
export class Bench {
  private readonly device: SimDevice;
  private readonly emitted: EmittedKernel | EmittedList;
  private readonly launch: RecordedLaunch;
  private readonly kernel: SimKernel;
  private readonly memory: readonly BufferArg[];
  /** Order does not depend on numbers: paths are looked for in one launch, not again in those that only have others. */
  private readonly isFirst: boolean;
  /** What the kernel as emitted leaves in the buffers; empty before it ran. */
  private after: readonly Uint8Array[] = [];
  /** Of the largest call. */
  readonly numPrograms: number;
  /** Of a list, in memory that ends with it. */
  private readonly table: { readonly words: BigUint64Array; readonly at: BufferArg } | undefined;

  constructor(
    device: SimDevice,
    emitted: EmittedKernel | EmittedList,
    launch: RecordedLaunch,
    kernel: SimKernel,
    isFirst = true,
  ) {
    this.device = device;
    this.emitted = emitted;
    this.launch = launch;
    this.kernel = kernel;
    this.isFirst = isFirst;
    this.memory = launch.buffers.map(({ before }) => ({ buffer: device.alloc(before.length), byteOffset: 0 }));
    this.numPrograms = Math.max(...launch.calls.map(programsOf));
    if (!("numBlocks" in emitted)) return;
    const words = this.wordsOfList(emitted);
    this.table = { words, at: { buffer: device.alloc(words.byteLength), byteOffset: 0 } };
  }
  free(): void {
    for (const { buffer } of [...this.memory, ...(this.table ? [this.table.at] : [])]) this.device.free(buffer);
  }
  private argsOf({ args }: RecordedCall): LaunchArg[] {
    return args.map((a) => (typeof a === "number" ? a : { buffer: this.memory[a.buffer]!.buffer, byteOffset: a.byteOffset })); // prettier-ignore
  }
  private wordsOfList(emitted: EmittedList): BigUint64Array {
    const { calls, formsFor } = this.launch;
    let words = new BigUint64Array();
    const chosen = formsFor ? { ...emitted, caseOf: (program: number) => emitted.caseOf(program, formsFor) } : emitted;
    const list = new LaunchList([...new Set(calls.map((c) => c.program))], chosen, this.device.properties.name, (waiting) => (words = BigUint64Array.from(waiting.words))); // prettier-ignore
    for (const call of calls) {
      const args = this.argsOf(call);
      list.push(
        call.program,
        call.grid,
        Object.fromEntries(call.program.params.map(({ name }, i) => [name, args[i]!])),
      );
    }
    list.run();
    return words;
  }
  /** What the kernel is called with, but for its workspace; a list reaches the rest by addresses. */
  private argsOfKernel(): LaunchArg[] {
    const { calls } = this.launch;
    if (!this.table) {
      const [x = 1, y = 1, z = 1] = calls[0]!.grid;
      return [...this.argsOf(calls[0]!), x, y, z];
    }
    const { words, at } = this.table;
    this.device.copyIn(at.buffer, 0, words);
    return [at, calls.length];
  }
  /** Blocks that can be started: all clusters of a job or none. */
  private blocks(wanted: number): number {
    const { emitted, device, numPrograms } = this;
    if (!("numBlocks" in emitted)) return Math.min(wanted, device.target.numBlocks(emitted.kind, numPrograms));
    return emitted.kind.startsWith("union") ? emitted.numBlocks : Math.min(wanted, emitted.numBlocks);
  }
  /** How far from the kernel as emitted; throws SimulationError. */
  run(id: number, options: RunOptions): { result: "same" | "near" | "wrong"; isReached: boolean } {
    const { emitted, launch, device, memory } = this;
    launch.buffers.forEach(({ before }, i) => device.copyIn(memory[i]!.buffer, 0, before));
    const args = this.argsOfKernel();
    const workspace = emitted.workspaceBytesPerBlock * options.numBlocks;
    const room = workspace > 0 ? device.alloc(workspace) : undefined;
    if (room) args.push({ buffer: room, byteOffset: 0 });
    try {
      const isReached = device.run(this.kernel, [...args, id], {
        ...options,
        ...(this.table && { memory }),
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

  /** The launch with other numbers. */
  variants(): Bench[] {
    const { device, emitted, launch, kernel } = this;
    return otherNumbers.map((change) => {
      const before = changedBytes(launch, change);
      const buffers = launch.buffers.map(({ dtype }, i) => ({ dtype, before: before[i]! }));
      return new Bench(device, emitted, { ...launch, buffers }, kernel, false);
    });
  }

  /** Blocks and orders in which a mutant is tried: turns of the grid repeat on one block, meet on several. */
  private plansFor(isShare: boolean): RunOptions[] {
    const limit = Number.POSITIVE_INFINITY;
    return [
      { numBlocks: this.blocks(1), seed: 0 },
      // Another stride over the programs, some of which may have nothing to do.
      ...(isShare ? [{ numBlocks: this.blocks(2), seed: 3 }] : []),
      { numBlocks: this.blocks(3), seed: 1 },
      { numBlocks: this.blocks(limit), seed: 2 },
    ];
  }
  /** `isBrief`: a share is only asked what it leaves, not with other contents of memory: without its programs there are bytes that no one wrote. */
  judge(id: number, kind: MutationKind, isBrief = false): Verdict {
    try {
      let [isReached, isNear] = [false, false];
      const isShare = kind === "one core missing or extra";
      for (const plan of this.plansFor(isShare)) {
        const run = this.run(id, plan);
        isReached ||= run.isReached;
        isNear ||= run.result === "near";
        if (run.result === "wrong") return { outcome: "wrong", rule: "wrong answer" };
        // Where every core is as the others, one that does all comes to all that any of them does.
        if (!isReached && plan.numBlocks === 1 && !this.emitted.kind.startsWith("union")) break;
      }
      // With one program there is nothing to share among cores.
      if (!isReached || (isShare && this.numPrograms === 1)) return { outcome: "unreached", rule: "" };
      if (isShare && isBrief) return { outcome: isNear ? "survived" : "unreached", rule: "" };
      const result = this.underPoisons(id, isShare);
      if (result === "wrong") return { outcome: "wrong", rule: "wrong answer" };
      if (result === "near") return { outcome: "survived", rule: "" };
      // Nothing was done twice, and the programs that went missing have nothing to do in this launch.
      return { outcome: isShare ? "unreached" : "equivalent", rule: "" };
    } catch (error) {
      if (error instanceof SimulationError) return { outcome: "rejected", rule: error.rule };
      throw error;
    }
  }
  /** The first result that differs, whatever unwritten memory holds: NaN does not show where a maximum drops it. */
  private underPoisons(id: number, isShare: boolean): "same" | "near" | "wrong" {
    for (const [i, poison] of (this.isFirst ? [0xff, 0x00, 0x55] : [0x00]).entries())
      for (const plan of this.plansFor(isShare)) {
        const audit = this.isFirst && i === 0;
        const { result } = this.run(id, { ...plan, seed: plan.seed! + 3 * i, poison, audit });
        if (result !== "same") return result;
      }
    return "same";
  }
  /** Loops of the text that do not come to a third turn where one core does all: "48 i0", line and variable. */
  shortLoops(): string[] {
    this.run(0, { numBlocks: 1 });
    const { repeatedLoops } = this.device.lastRun!;
    return loopsOf(this.emitted.source).filter((_, i) => !repeatedLoops.includes(i));
  }
  /** The kernel as emitted: no rule broken, the same bits on any number of blocks. */
  isSteady(): boolean {
    try {
      return [1, 3, 20, 24].every((n) => this.run(0, { numBlocks: this.table ? this.blocks(n) : n, seed: n, audit: this.isFirst }).result === "same");
    } catch (error) {
      // Or the simulator has no memory for it.
      if (error instanceof DeviceError) return false;
      throw error;
    }
  } // prettier-ignore
}

export const isCaught = ({ outcome }: Verdict): boolean => outcome === "rejected" || outcome === "wrong";

/** A launch, and the same with other numbers, which are made and run when something asks for them. */
export class Trial {
  readonly own: Bench;
  private readonly makesOthers: () => readonly Bench[];
  private others: readonly Bench[] | undefined;
  private areOthersSteady: boolean | undefined;

  constructor(device: SimDevice, emitted: EmittedKernel | EmittedList, launch: RecordedLaunch, kernel: SimKernel) {
    this.own = new Bench(device, emitted, launch, kernel);
    // What a list adds to its programs moves their numbers and computes none.
    this.makesOthers = () => ("numBlocks" in emitted ? [] : this.own.variants());
  }
  free(): void {
    for (const bench of [this.own, ...(this.others ?? [])]) bench.free();
  }
  isSteady(withOthers: boolean): boolean {
    return this.own.isSteady() && (!withOthers || this.isSteadyWithOthers());
  }
  /** A mutant asked for other numbers, and the kernel as emitted breaks a rule with them: nothing that was judged counts. */
  get isSpoilt(): boolean {
    return this.areOthersSteady === false;
  }
  /** Caught with some numbers is caught; of the rest the worst. `isBrief`: see `Bench.judge`. */
  judge(id: number, kind: MutationKind, isBrief = false): Verdict {
    const own = this.own.judge(id, kind, isBrief);
    // What runs hangs on integers, which are the same with other numbers; what a program leaves does not.
    if (isCaught(own) || (own.outcome === "unreached" && (isBrief || kind !== "one core missing or extra"))) return own;
    if (!this.isSteadyWithOthers()) return own;
    let worst = own;
    for (const bench of this.others!) {
      const verdict = bench.judge(id, kind);
      if (isCaught(verdict)) return verdict;
      if (verdict.outcome === "survived") worst = verdict;
    }
    return worst;
  }
  private isSteadyWithOthers(): boolean {
    this.others ??= this.makesOthers();
    return (this.areOthersSteady ??= this.others.every((bench) => bench.isSteady()));
  }
}
