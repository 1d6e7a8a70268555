/**
 * One launch of an emitted kernel with one mutant after another, and the verdict. A mutant is equivalent in a launch if it
 * gives the same bits whatever unwritten memory holds, in every order tried and with every pair of accesses ordered by a
 * path of what is left of the synchronisation (engine/audit.h, no clocks). Main functions: `Bench`, `judgeAll`.
 */
import type { EmittedKernel } from "../device/chip-targets.ts";
import type { BufferArg, LaunchArg } from "../device/device.ts";
import type { MutationKind } from "../device/sim/mutate/mutant.ts";
import type { RunOptions, SimDevice, SimKernel } from "../device/sim/sim-device.ts";
import { SimulationError } from "../device/sim/violation.ts";
import { changedBytes, compareBytes, otherNumbers, type RecordedLaunch } from "./chip-launches.ts";

/** near: other bits, within the case's tolerance; unreached: the launch never comes to the place. */
export const outcomes = ["rejected", "wrong", "equivalent", "unreached", "survived"] as const;
export type Outcome = (typeof outcomes)[number];

export interface Verdict {
  readonly outcome: Outcome;
  readonly rule: string;
}

/** Runs one launch with one mutant; its memory is its own. */
export class Bench {
  private readonly device: SimDevice;
  private readonly emitted: EmittedKernel;
  private readonly launch: RecordedLaunch;
  private readonly kernel: SimKernel;
  private readonly memory: readonly BufferArg[];
  /** At most so many blocks share the programs. */
  private readonly limit: number;

  constructor(device: SimDevice, emitted: EmittedKernel, launch: RecordedLaunch, kernel: SimKernel) {
    this.device = device;
    this.emitted = emitted;
    this.launch = launch;
    this.kernel = kernel;
    this.memory = launch.buffers.map(({ before }) => ({ buffer: device.alloc(before.length), byteOffset: 0 }));
    this.limit = device.target.numBlocks(emitted.kind, launch.grid.reduce((a, b) => a * b, 1)); // prettier-ignore
  }
  free(): void {
    for (const { buffer } of this.memory) this.device.free(buffer);
  }
  /** How far from the kernel as emitted; throws SimulationError. */
  run(id: number, options: RunOptions): { result: "same" | "near" | "wrong"; isReached: boolean } {
    const { emitted, launch, device, memory } = this;
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
      const after = this.contents();
      const results = launch.buffers.map((b, i) => compareBytes(b, after[i]!, launch.tolerance));
      return { result: results.includes("wrong") ? "wrong" : results.includes("near") ? "near" : "same", isReached };
    } finally {
      if (room) device.free(room);
    }
  }

  private contents(): Uint8Array[] {
    return this.launch.buffers.map(({ before }, i) => {
      const bytes = new Uint8Array(before.length);
      this.device.copyOut(this.memory[i]!.buffer, 0, bytes);
      return bytes;
    });
  }
  /** The launch with other numbers; what it writes is what the kernel as emitted does with them. */
  variants(): Bench[] {
    const { device, emitted, launch, kernel } = this;
    return otherNumbers.map((change) => {
      const before = changedBytes(launch, change);
      const buffers = launch.buffers.map(({ dtype }, i) => ({ dtype, before: before[i]!, after: before[i]! }));
      const other = new Bench(device, emitted, { ...launch, buffers }, kernel);
      other.run(0, { numBlocks: this.limit, seed: 0 });
      for (const [i, after] of other.contents().entries()) buffers[i]!.after = after;
      return other;
    });
  }

  /** Blocks and orders in which a mutant is tried: turns of the grid repeat on one block, meet on several. */
  private get plans(): RunOptions[] {
    const { limit } = this;
    return [
      { numBlocks: 1, seed: 0 },
      { numBlocks: Math.min(3, limit), seed: 1 },
      { numBlocks: limit, seed: 2 },
    ];
  }
  judge(id: number, kind: MutationKind): Verdict {
    try {
      let isReached = false;
      for (const plan of this.plans) {
        const run = this.run(id, plan);
        isReached ||= run.isReached;
        if (run.result === "wrong") return { outcome: "wrong", rule: "wrong answer" };
      }
      if (!isReached) return { outcome: "unreached", rule: "" };
      if (kind === "one core missing or extra") return { outcome: this.judgeShare(id), rule: "" };
      const result = this.underPoisons(id);
      if (result === "wrong") return { outcome: "wrong", rule: "wrong answer" };
      return { outcome: result === "same" ? "equivalent" : "survived", rule: "" };
    } catch (error) {
      if (error instanceof SimulationError) return { outcome: "rejected", rule: error.rule };
      throw error;
    }
  }
  /**
   * A changed share of the grid on every number of blocks that the launch can have. Where each moves as many bytes in
   * as much time as the kernel as emitted, no block got other programs: this launch does not come to the change.
   */
  private judgeShare(id: number): Outcome {
    let isOther = false;
    for (let numBlocks = 1; numBlocks <= this.limit; numBlocks++) {
      const [own, mutated] = [0, id].map((i) => {
        const { result } = this.run(i, { numBlocks, seed: numBlocks, audit: true });
        return { result, figures: JSON.stringify(this.device.lastRun) };
      }) as [{ result: string; figures: string }, { result: string; figures: string }];
      if (mutated.result !== "same") return mutated.result === "wrong" ? "wrong" : "survived";
      isOther ||= own.figures !== mutated.figures;
    }
    return isOther ? "equivalent" : "unreached";
  }
  /** The first result that differs, whatever unwritten memory holds: NaN does not show where a maximum drops it. */
  private underPoisons(id: number): "same" | "near" | "wrong" {
    for (const [i, poison] of [0xff, 0x00, 0x55].entries())
      for (const plan of this.plans) {
        const { result } = this.run(id, { ...plan, seed: plan.seed! + 3 * i, poison, audit: true });
        if (result !== "same") return result;
      }
    return "same";
  }
  /** The kernel as emitted on any number of blocks. */
  isRight(): boolean {
    try {
      return [1, 3, 20, 24].every((numBlocks) => this.run(0, { numBlocks, seed: numBlocks, audit: true }).result === "same");
    } catch (error) {
      if (error instanceof SimulationError) return false;
      throw error;
    }
  } // prettier-ignore
}

/** What the launches of a text say together: caught by one is caught; of the rest the worst. */
export function judgeAll(benches: readonly Bench[], id: number, kind: MutationKind): Verdict {
  const verdicts: Verdict[] = [];
  for (const bench of benches) {
    const verdict = bench.judge(id, kind);
    if (verdict.outcome === "rejected" || verdict.outcome === "wrong") return verdict;
    verdicts.push(verdict);
  }
  const worst = (["survived", "equivalent"] as const).find((o) => verdicts.some((v) => v.outcome === o));
  return { outcome: worst ?? "unreached", rule: "" };
}
