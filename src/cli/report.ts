/**
 * Shows a build's report: on a terminal one bar per phase, elsewhere a line when a phase begins and one every few
 * seconds. Ctrl-C closes the bar, says what to do and leaves with 130. Main function: `openReport`.
 */
import cliProgress from "cli-progress";
import pc from "picocolors";
import type { Report } from "../train/data/report.ts";

const LINE_EVERY_MS = 5000;

export interface ClosableReport extends Report {
  close(): void;
  [Symbol.dispose](): void;
}

/** `onStop`: what is said after Ctrl-C. */
export function openReport(stream: NodeJS.WriteStream, onStop: string): ClosableReport {
  const show = stream.isTTY ? new BarReport(stream) : new LineReport(stream);
  const stop = (): void => {
    show.close();
    stream.write(`${pc.yellow("stopped")}: ${onStop}\n`);
    process.exit(130);
  };
  const signals = ["SIGINT", "SIGTERM"] as const;
  for (const signal of signals) process.on(signal, stop);
  const close = (): void => {
    show.close();
    for (const signal of signals) process.off(signal, stop);
  };
  return {
    phase: (name, total) => show.phase(name, total),
    progress: (done) => show.progress(done),
    note: (line) => show.note(line),
    close,
    [Symbol.dispose]: close,
  };
}

class BarReport implements Report {
  private readonly stream: NodeJS.WriteStream;
  private bar: cliProgress.SingleBar | undefined;
  private state = { name: "", total: 0, done: 0 };

  constructor(stream: NodeJS.WriteStream) {
    this.stream = stream;
  }
  phase(name: string, total: number): void {
    this.close();
    this.state = { name, total, done: 0 };
    this.open();
  }
  progress(done: number): void {
    this.state.done = done;
    this.bar?.update(done);
  }
  /** Above the bar, which goes on below. */
  note(line: string): void {
    const isOpen = this.bar !== undefined;
    this.close();
    this.stream.write(`${line}\n`);
    if (isOpen) this.open();
  }
  close(): void {
    if (this.bar === undefined) return;
    this.bar.stop();
    this.bar = undefined;
  }
  private open(): void {
    const { name, total, done } = this.state;
    if (total === 0) {
      this.stream.write(`${name} ...\n`);
      return;
    }
    const format = "{name} {bar} {value}/{total} | {eta_formatted} left";
    this.bar = new cliProgress.SingleBar(
      { format, stream: this.stream, hideCursor: true, clearOnComplete: false },
      cliProgress.Presets.shades_classic,
    );
    this.bar.start(total, done, { name: name.padEnd(32) });
  }
}

class LineReport implements Report {
  private readonly stream: NodeJS.WriteStream;
  private name = "";
  private total = 0;
  private shownMs = 0;
  private shownDone = 0;

  constructor(stream: NodeJS.WriteStream) {
    this.stream = stream;
  }
  phase(name: string, total: number): void {
    this.name = name;
    this.total = total;
    this.shownMs = performance.now();
    this.shownDone = 0;
    this.stream.write(total > 0 ? `${name}: 0/${total}\n` : `${name} ...\n`);
  }
  progress(done: number): void {
    const now = performance.now();
    if (done === this.shownDone || (done !== this.total && now - this.shownMs < LINE_EVERY_MS)) return;
    this.shownMs = now;
    this.shownDone = done;
    this.stream.write(`${this.name}: ${done}${this.total > 0 ? `/${this.total}` : ""}\n`);
  }
  note(line: string): void {
    this.stream.write(`${line}\n`);
  }
  close(): void {}
}
