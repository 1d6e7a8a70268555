/**
 * A training run's folder and manners: its lock, log.jsonl, progress bar, samples, and a Ctrl-C that loses
 * nothing (the loop finishes its step, saves and returns; a second Ctrl-C leaves at once). A log that cannot be written is said once and does not stop the run; a checkpoint that cannot be is an error.
 * What is trained is the caller's: train/visual.ts, train/language.ts, train/judge.ts.
 */
import { appendFileSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { setImmediate } from "node:timers/promises";
import cliProgress from "cli-progress";
import pc from "picocolors";
import { describeWriteError } from "../base/files.ts";
import { lockFolder } from "./lock.ts";

export interface StepReport {
  readonly step: number;
  readonly loss: number;
  readonly [metric: string]: number;
}

export interface RunOptions {
  readonly dir: string;
  readonly numSteps: number;
  /** Stop (and save) after so many seconds in this process; a later call resumes. */
  readonly maxSeconds?: number;
  readonly quiet?: boolean;
  /** Ctrl-C came: the loop will save and return early. */
  readonly onInterrupt?: (() => void) | undefined;
}

export class Run {
  readonly dir: string;
  private readonly options: RunOptions;
  private readonly startedMs = performance.now();
  private readonly bar: cliProgress.SingleBar | undefined;
  private readonly lock: Disposable;
  private interrupts = 0;
  private isLogBroken = false;
  private readonly onSignal = (): void => {
    if (++this.interrupts > 1) process.exit(130);
    this.options.onInterrupt?.();
    process.stderr.write(pc.yellow("\nfinishing this step, then saving; Ctrl-C again to leave at once\n"));
  };

  constructor(options: RunOptions, startStep: number) {
    this.options = options;
    this.dir = options.dir;
    this.lock = lockFolder(options.dir);
    mkdirSync(this.samplesDir, { recursive: true });
    process.on("SIGINT", this.onSignal);
    process.on("SIGTERM", this.onSignal);
    if (!options.quiet && process.stderr.isTTY) {
      const format = `{bar} {value}/{total} | loss {loss} | {rate} | {eta_formatted} left`;
      this.bar = new cliProgress.SingleBar(
        { format, stream: process.stderr, hideCursor: true },
        cliProgress.Presets.shades_classic,
      );
      this.bar.start(options.numSteps, startStep, { loss: "-", rate: "-" });
    }
  }

  get samplesDir(): string {
    return join(this.dir, "samples");
  }

  /** Seconds since this process began the run. */
  get elapsedS(): number {
    return (performance.now() - this.startedMs) / 1000;
  }

  /** Lets signals in: a loop of synchronous kernels would never see Ctrl-C. Call once per step. */
  async breathe(): Promise<void> {
    await setImmediate();
  }

  /** True when the loop should save and return. */
  get shouldStop(): boolean {
    return this.interrupts > 0 || (this.options.maxSeconds !== undefined && this.elapsedS >= this.options.maxSeconds);
  }

  report(report: StepReport, rate: string): void {
    this.log(`${JSON.stringify({ ...report, elapsedS: Math.round(this.elapsedS * 10) / 10 })}\n`);
    this.bar?.update(report.step, { loss: report.loss.toFixed(4), rate });
    if (!this.bar && !this.options.quiet)
      process.stderr.write(`step ${report.step}/${this.options.numSteps}  loss ${report.loss.toFixed(4)}  ${rate}\n`);
  }

  private log(line: string): void {
    const path = join(this.dir, "log.jsonl");
    try {
      appendFileSync(path, line);
      this.isLogBroken = false;
    } catch (error) {
      if (!this.isLogBroken) process.stderr.write(pc.yellow(`\nlog: ${(describeWriteError(error, path, line.length) as Error).message}; training goes on\n`)); // prettier-ignore
      this.isLogBroken = true;
    }
  }

  [Symbol.dispose](): void {
    this.lock[Symbol.dispose]();
    this.bar?.stop();
    process.off("SIGINT", this.onSignal);
    process.off("SIGTERM", this.onSignal);
  }
}
