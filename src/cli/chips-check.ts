/**
 * `tessera chips check`: per chip, whether its simulator has the right answer in every kernel case and every rule kept,
 * takes none of the kernels' mutants, and lets a tiny network write the tokens of cpu. Exit code 1 if any falls short.
 */
import type { ArgsDef } from "citty";
import { openDevice } from "../device/open.ts";
import { openSim } from "../device/sim/open-sim.ts";
import { mutationKinds } from "../device/sim/mutate/mutant.ts";
import { RequestError } from "../base/errors.ts";
import { greedy, programsOf } from "../engine/tiny-network.ts";
import {
  kernelsOf,
  outcomes,
  runCases,
  runMatrix,
  type CasesResult,
  type MatrixResult,
} from "../kernels/chip-check.ts";
import { chips } from "../tile/chips/chips.ts";
import type { ChipName } from "../tile/chips/types.ts";
import { command, integerOf, oneOf } from "./common.ts";

const chipNames = Object.keys(chips) as ChipName[];
/** 910C has the cores of 910B: same architecture, same text. */
const architectures: readonly ChipName[] = chipNames.filter((name) => name !== "ascend-910c");

const checkArgs = {
  chip: { type: "string", description: `One of ${chipNames.join(", ")}; by default one of each architecture` },
  kernel: { type: "string", description: "Only this kernel, e.g. rms_norm, and no network" },
  sample: { type: "string", description: "Mutants of each kind of a kernel at most; all by default" },
  json: { type: "boolean", description: "Print one JSON object", default: false },
} as const satisfies ArgsDef;

interface ChipReport {
  readonly chip: ChipName;
  readonly cases: CasesResult;
  readonly matrix: MatrixResult;
  /** Absent with `--kernel`. */
  readonly tokens: { readonly equal: boolean; readonly count: number } | undefined;
  readonly ok: boolean;
}

/** One line of progress that the next one replaces; nothing where stderr is no terminal. */
function progressOf(chip: string, what: string): (done: number, total: number, name: string) => void {
  return (done, total, name) => void (process.stderr.isTTY && process.stderr.write(`\r\x1b[K${done === total ? "" : `${chip}: ${what} ${done}/${total} ${name}`}`)); // prettier-ignore
}

async function check(chip: ChipName, kernel: string | undefined, sample: number | undefined): Promise<ChipReport> {
  const own = kernel === undefined ? {} : { kernel };
  const cases = await runCases(chip, { ...own, onProgress: progressOf(chip, "case") });
  const matrix = await runMatrix(chip, { ...own, ...(sample !== undefined && { sample }), onProgress: progressOf(chip, "mutant") }); // prettier-ignore
  let tokens: ChipReport["tokens"];
  if (kernel === undefined) {
    const want = greedy(openDevice("cpu"));
    const device = openSim(`sim:${chip}:fast`);
    device.build(programsOf(device.properties));
    tokens = { equal: JSON.stringify(greedy(device)) === JSON.stringify(want), count: want.length };
  }
  const ok = cases.failed.length === 0 && matrix.survivors.length === 0 && matrix.failed.length === 0 && tokens?.equal !== false; // prettier-ignore
  return { chip, cases, matrix, tokens, ok };
}

function print({ chip, cases, matrix, tokens, ok }: ChipReport): void {
  const rows = mutationKinds.map((kind) => ({ kind, ...matrix.table[kind] }));
  const sum = (key: "tried" | (typeof outcomes)[number]): number => rows.reduce((n, r) => n + r[key], 0);
  const line = (name: string, values: readonly (string | number)[]): string => `  ${name.padEnd(34)}${values.map((v) => String(v).padStart(11)).join("")}`; // prettier-ignore
  const lines = [
    `${ok ? "ok  " : "FAIL"}  ${chip}: ${matrix.kernels.length} kernels emitted, ${cases.passed} of ${cases.total} cases right, ${sum("rejected") + sum("wrong")} of ${sum("tried")} mutants caught, ${sum("equivalent")} equivalent${tokens ? `, ${tokens.equal ? "the" : "NOT the"} ${tokens.count} tokens of cpu` : ""}`,
    line("", ["tried", ...outcomes]),
    ...rows.map(({ kind, ...row }) => line(kind, row.tried + row.unreached === 0 ? ["n/a"] : [row.tried, ...outcomes.map((o) => row[o])])), // prettier-ignore
    ...cases.failed.map((f) => `  case: ${f}`),
    ...matrix.failed.map((k) => `  breaks a rule as emitted, or differs with the number of blocks: ${k}`),
    ...(matrix.equivalentInSingleTurns > 0 ? [`  ${matrix.equivalentInSingleTurns} of the equivalent drops of order are in launches with a loop of fewer than three turns: ${matrix.singleTurns.join(", ")}`] : []), // prettier-ignore
    ...matrix.survivors.map((s) => `  survived: ${s}`),
  ];
  process.stdout.write(`${lines.join("\n")}\n`);
}

export const checkCommand = command(
  { name: "check", description: "Kernel cases, mutants and a network on the simulators of chips" },
  checkArgs,
  async (args) => {
    const list = args.chip === undefined ? architectures : [oneOf("chip", args.chip, chipNames)];
    const sample = integerOf("sample", args.sample, [1, 10_000]);
    if (args.kernel !== undefined) {
      const names = kernelsOf(list[0]!);
      if (!names.includes(args.kernel)) throw new RequestError(`--kernel: expected one of ${names.join(", ")}, got "${args.kernel}"`, "kernel"); // prettier-ignore
    }
    const reports: ChipReport[] = [];
    for (const chip of list) {
      const report = await check(chip, args.kernel, sample);
      reports.push(report);
      if (!args.json) print(report);
    }
    const isOk = reports.every((r) => r.ok);
    if (args.json) process.stdout.write(`${JSON.stringify({ ok: isOk, chips: reports })}\n`);
    if (!isOk) process.exitCode = 1;
  },
);
