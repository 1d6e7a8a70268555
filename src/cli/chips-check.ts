/**
 * `tessera chips check`: per chip, whether its simulator has the right answer in every kernel case and every rule kept,
 * takes none of the kernels' mutants, and lets a tiny network write the tokens of cpu. Exit code 1 if any falls short.
 * A mutant is caught (a rule rejects it, or its answer is wrong), equivalent in the launches that are tried (kernels/chip-bench.ts)
 * or reached by none of them; what is left has survived.
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
  sample: {
    type: "string",
    description: "Mutants of each kind of a kernel at most, in launches of cases only; all by default",
  },
  resume: {
    type: "string",
    description: "File that keeps verdicts on mutants; a run that was stopped goes on from it",
  },
  json: { type: "boolean", description: "Print one JSON object", default: false },
} as const satisfies ArgsDef;

interface ChipReport {
  readonly chip: ChipName;
  readonly ok: boolean;
  /** The figures that must be whole, and how long they took. */
  readonly summary: {
    readonly kernelsEmitted: number;
    readonly casesPassed: number;
    readonly cases: number;
    readonly mutantsTried: number;
    /** Caught or shown equivalent; all of those tried unless one survived. */
    readonly mutantsRejected: number;
    readonly mutantsCaught: number;
    readonly mutantsEquivalent: number;
    /** Of a tiny network, against cpu; absent with `--kernel`. */
    readonly tokensEqual?: boolean;
    readonly tokens?: number;
    readonly seconds: number;
  };
  readonly cases: CasesResult;
  readonly matrix: MatrixResult;
}

const LINE_EVERY_MS = 20_000;
/** On a terminal one line of progress that the next one replaces; else a line now and then. */
function progressOf(chip: string, what: string): (done: number, total: number, name: string) => void {
  let last = 0;
  return (done, total, name) => {
    const text = `${chip}: ${what} ${done}/${total} ${name}`;
    if (process.stderr.isTTY) return void process.stderr.write(`\r\x1b[K${done === total ? "" : text.slice(0, 120)}`);
    if (Date.now() - last < LINE_EVERY_MS && done < total) return;
    last = Date.now();
    process.stderr.write(`${text}\n`);
  };
}

const sumOf = ({ table }: MatrixResult, ...keys: readonly ("tried" | (typeof outcomes)[number])[]): number => mutationKinds.reduce((n, kind) => keys.reduce((m, key) => m + table[kind][key], n), 0); // prettier-ignore

interface CheckOptions {
  readonly kernel: string | undefined;
  readonly sample: number | undefined;
  readonly resume: string | undefined;
}
async function check(chip: ChipName, { kernel, sample, resume }: CheckOptions): Promise<ChipReport> {
  const start = Date.now();
  const own = kernel === undefined ? {} : { kernel };
  const cases = await runCases(chip, { ...own, onProgress: progressOf(chip, "case") });
  const matrix = await runMatrix(chip, { ...own, ...(sample !== undefined && { sample }), journal: resume, onProgress: progressOf(chip, "mutant") }); // prettier-ignore
  let tokens: { readonly tokensEqual: boolean; readonly tokens: number } | undefined;
  if (kernel === undefined) {
    const want = greedy(openDevice("cpu"));
    const device = openSim(`sim:${chip}:fast`);
    device.build(programsOf(device.properties));
    tokens = { tokensEqual: JSON.stringify(greedy(device)) === JSON.stringify(want), tokens: want.length };
  }
  const ok = cases.failed.length === 0 && matrix.survivors.length === 0 && matrix.failed.length === 0 && tokens?.tokensEqual !== false; // prettier-ignore
  const [mutantsCaught, mutantsEquivalent] = [sumOf(matrix, "rejected", "wrong"), sumOf(matrix, "equivalent")];
  const summary = {
    kernelsEmitted: matrix.kernels.length,
    casesPassed: cases.passed,
    cases: cases.total,
    mutantsTried: sumOf(matrix, "tried"),
    mutantsRejected: mutantsCaught + mutantsEquivalent,
    mutantsCaught,
    mutantsEquivalent,
    ...tokens,
    seconds: Math.round((Date.now() - start) / 1000),
  };
  return { chip, ok, summary, cases, matrix };
}

function print({ chip, cases, matrix, ok, summary: s }: ChipReport): void {
  const line = (name: string, values: readonly (string | number)[]): string => `  ${name.padEnd(34)}${values.map((v) => String(v).padStart(11)).join("")}`; // prettier-ignore
  const lines = [
    `${ok ? "ok  " : "FAIL"}  ${chip}: ${s.kernelsEmitted} kernels emitted, ${s.casesPassed} of ${s.cases} cases right, ${s.mutantsRejected} of ${s.mutantsTried} mutants rejected (${s.mutantsCaught} caught, ${s.mutantsEquivalent} equivalent)${s.tokens === undefined ? "" : `, ${s.tokensEqual ? "the" : "NOT the"} ${s.tokens} tokens of cpu`}; ${s.seconds} s`,
    line("", ["tried", ...outcomes]),
    ...mutationKinds.map((kind) => ({ kind, ...matrix.table[kind] })).map(({ kind, ...row }) => line(kind, row.tried + row.unreached === 0 ? ["n/a"] : [row.tried, ...outcomes.map((o) => row[o])])), // prettier-ignore
    ...cases.skipped.map((f) => `  not run, a kernel of training has no lowering: ${f}`),
    ...cases.failed.map((f) => `  case: ${f}`),
    ...matrix.failed.map((k) => `  breaks a rule as emitted, or differs with the number of blocks: ${k}`),
    ...(matrix.equivalentOfOrder > 0 ? [`  ${matrix.equivalentInSingleTurns} of the ${matrix.equivalentOfOrder} equivalent drops of order are in texts with a loop that no launch takes to a third turn:`, ...matrix.singleTurns.map((k) => `    ${k}`)] : []), // prettier-ignore
    ...matrix.unreached.map((k) => `  reached by no launch: ${k}`),
    ...matrix.survivors.map((k) => `  survived: ${k}`),
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
      const report = await check(chip, { kernel: args.kernel, sample, resume: args.resume });
      reports.push(report);
      if (!args.json) print(report);
    }
    const isOk = reports.every((r) => r.ok);
    if (args.json) process.stdout.write(`${JSON.stringify({ ok: isOk, chips: reports })}\n`);
    if (!isOk) process.exitCode = 1;
  },
);
