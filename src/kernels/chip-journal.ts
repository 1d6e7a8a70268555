/**
 * Verdicts on mutants kept in a file, a program of a kernel to a line, so that a matrix that was stopped goes on where it
 * was. A line counts only for the same text, mutants, numbers, simulator and judge. Main class: `Journal`.
 */
import { createHash } from "node:crypto";
import { appendFileSync, existsSync, readFileSync } from "node:fs";
import type { Verdict } from "./chip-bench.ts";
import type { RecordedLaunch } from "./chip-launches.ts";

/** What came of one program of a kernel with all of its mutants. */
export interface Judged {
  /** No rule broken as emitted, the same bits on any number of blocks; else no mutant was tried. */
  readonly isSteady: boolean;
  /** Loops that do not come to a third turn, see `Bench.shortLoops`. */
  readonly short: readonly string[];
  /** In the order of the mutants. */
  readonly verdicts: readonly Verdict[];
}

/** What judges: its text is part of every key. */
const judge = ["./chip-bench.ts", "./chip-launches.ts"].map((file) => readFileSync(new URL(file, import.meta.url), "utf8")); // prettier-ignore

/** `parts`: all that a verdict hangs on but the launch. */
export function keyOf(parts: readonly string[], { calls, buffers, tolerance, formsFor }: RecordedLaunch): string {
  const hash = createHash("sha256");
  for (const part of [
    ...judge,
    ...parts,
    JSON.stringify([calls.map(({ grid, args }) => [grid, args]), tolerance, formsFor]),
  ])
    hash.update(part).update("\0");
  for (const { dtype, before } of buffers) hash.update(dtype).update(before);
  return hash.digest("hex").slice(0, 32);
}

export class Journal {
  private readonly path: string | undefined;
  private readonly known = new Map<string, Judged>();

  /** Without a path nothing is kept. */
  constructor(path: string | undefined) {
    this.path = path;
    if (path === undefined || !existsSync(path)) return;
    for (const line of readFileSync(path, "utf8").split("\n")) {
      // The last line of a run that was killed may be cut.
      if (!line.endsWith("}")) continue;
      const { key, ...judged } = JSON.parse(line) as Judged & { readonly key: string };
      this.known.set(key, judged);
    }
  }
  find(key: string): Judged | undefined {
    return this.known.get(key);
  }
  keep(key: string, judged: Judged): void {
    if (this.path !== undefined) appendFileSync(this.path, `\n${JSON.stringify({ key, ...judged })}\n`);
  }
}
