/**
 * A rule of the programming model that a kernel broke on a simulator, as an error that says which kernel, which line of
 * its source, which memory and which rule. Main function: `parseReport`, of the text that engine/report.h writes.
 */
import { DeviceError } from "../../base/errors.ts";

export class SimulationError extends DeviceError {
  readonly kernel: string;
  /** The source line of the operation that broke the rule, with its number. */
  readonly stage: string;
  /** The bytes concerned, e.g. `UB[0..32)`, or an argument or flag by name. */
  readonly buffer: string;
  /** E.g. `race-raw`, `out-of-bounds`, `uninitialised`, `deadlock`. */
  readonly rule: string;
  constructor(
    backend: string,
    where: { kernel: string; stage: string; buffer: string; rule: string },
    message: string,
  ) {
    super(`${where.kernel}: ${where.rule}: ${message} (${where.buffer || "no buffer"}; ${where.stage})`, { backend });
    this.kernel = where.kernel;
    this.stage = where.stage;
    this.buffer = where.buffer;
    this.rule = where.rule;
  }
}

const fieldsOf = (report: string): Map<string, string> => new Map(report.split("\n").map((line) => [line.slice(0, line.indexOf("=")), line.slice(line.indexOf("=") + 1)])); // prettier-ignore

/**
 * Of a checked run. Times are of a model with unit costs (engine/core.h, mlu/runtime/machine.h): how kernels compare, not
 * the time of any chip.
 */
export interface RunFigures {
  /** When the last pipe of the last core is done, and the work of all together (Ascend only). */
  readonly makespan: number;
  readonly work: number;
  /** Flags set and barriers passed; Ascend only. */
  readonly syncs: number;
  /** Of device memory, by copies; and what scalar code read of it one by one (Ascend only). */
  readonly bytesIn: number;
  readonly bytesOut: number;
  readonly scalarReads: number;
  /** Numbers of the loops that came to a third turn; only of a text with mutants (mutate/mutant.ts). */
  readonly repeatedLoops: readonly number[];
}

/** What a simulator writes of a run that broke no rule. */
export function parseFigures(report: string): RunFigures {
  const fields = fieldsOf(report);
  const number = (name: string): number => Number(fields.get(name) ?? 0);
  return {
    makespan: number("makespan"),
    work: number("work"),
    syncs: number("syncs"),
    bytesIn: number("bytesIn"),
    bytesOut: number("bytesOut"),
    scalarReads: number("scalarReads"),
    repeatedLoops: (fields.get("repeated") ?? "").split(",").slice(1).map(Number),
  };
}

/** `names` are those of the arguments, `source` the text whose lines the report counts. Not of the kernel is that the simulator ran out of memory. */
export function parseReport(
  report: string,
  kernel: { readonly name: string; readonly source: string; readonly args: readonly string[] },
  backend: string,
): DeviceError {
  const fields = fieldsOf(report);
  if (fields.get("rule") === "host-memory") return new DeviceError(`${kernel.name}: ${fields.get("message")}`, { backend }); // prettier-ignore
  const line = Number(fields.get("line") ?? 0);
  const text = kernel.source.split("\n")[line - 1]?.trim();
  const stage = text === undefined ? "whole kernel" : `line ${line}: ${text}`;
  // Arguments are numbered in the report, since their names are not C++.
  const buffer = (fields.get("buffer") ?? "").replace(/argument (\d+)/, (all, i: string) => kernel.args[Number(i)] ?? all); // prettier-ignore
  const where = { kernel: kernel.name, stage, buffer, rule: fields.get("rule") ?? "unknown" };
  return new SimulationError(backend, where, fields.get("message") ?? report);
}
