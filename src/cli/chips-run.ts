/**
 * `tessera chips run`: a kernel that someone wrote for a chip, on its simulator with every rule checked, in several orders of
 * what may run late. Exit code 1 if a rule is broken or the orders differ. Main function: `runFile`.
 */
import { readFileSync } from "node:fs";
import { basename, resolve } from "node:path";
import type { ArgsDef } from "citty";
import { RequestError } from "../base/errors.ts";
import { writeWhole } from "../base/files.ts";
import type { LaunchArg } from "../device/device.ts";
import { foreignKernel } from "../device/sim/foreign.ts";
import { bangKernel } from "../device/sim/mlu/foreign.ts";
import { openSim } from "../device/sim/open-sim.ts";
import type { SimDevice, SimSource } from "../device/sim/sim-device.ts";
import { SimulationError, type RunFigures } from "../device/sim/violation.ts";
import { chips } from "../tile/chips/chips.ts";
import type { ChipName } from "../tile/chips/types.ts";
import { command, integerOf, oneOf } from "./common.ts";

const chipNames = Object.keys(chips) as ChipName[];

const runArgs = {
  file: { type: "positional", description: "Ascend C or BANG C with a kernel", required: true },
  chip: { type: "string", description: `One of ${chipNames.join(", ")}`, required: true },
  args: {
    type: "string",
    description:
      "The kernel's arguments in order, by commas: a number; x.bin, a buffer with a file's bytes; y.bin:4096, one of so many bytes that is written to a file after; x.bin:y.bin, both; :4096, one of zeros",
    default: "",
  },
  entry: { type: "string", description: "The kernel's function, of a template with its arguments; by default the only one" }, // prettier-ignore
  blocks: { type: "string", description: "Blocks, or tasks along x, y and z as 4,2,1", default: "1" },
  kind: { type: "string", description: "Ascend: vector, cube, mix or mix11, by default as the source says; MLU: block, union1 ... union16", }, // prettier-ignore
  orders: { type: "string", description: "In how many orders it runs", default: "4" },
  "auto-sync": { type: "boolean", description: "Ascend: with the synchronisation that the vendor's compiler inserts", default: false }, // prettier-ignore
  json: { type: "boolean", description: "One JSON object on stdout", default: false },
} as const satisfies ArgsDef;

/** What a kernel takes: a number, or memory with what it holds before and where it goes after. */
type Argument = number | { readonly name: string; readonly before: Uint8Array; readonly saved: string | undefined };

/** Bytes that nobody has written. */
const STALE = 0xff;

export function parseArgument(text: string): Argument {
  const fail = (what: string): never => { throw new RequestError(`--args: expected a number, file, file:bytes, file:file or :bytes, ${what}`, "args"); }; // prettier-ignore
  if (text.trim() !== "" && Number.isFinite(Number(text))) return Number(text);
  const [from = "", to] = text.split(":");
  const size = to !== undefined && /^\d+$/.test(to) ? Number(to) : undefined;
  if (size === 0 || text.split(":").length > 2 || text === "" || text === ":") fail(`got "${text}"`);
  if (size !== undefined) return { name: from === "" ? "zeros" : basename(from), before: new Uint8Array(size).fill(from === "" ? 0 : STALE), saved: from || undefined }; // prettier-ignore
  try {
    return { name: basename(from), before: readFileSync(resolve(from)), saved: to };
  } catch (cause) {
    return fail(`cannot read ${from} (${(cause as Error).message})`);
  }
}

/** The function that the host starts. */
export function entryOf(source: string): string {
  const found = [...source.matchAll(/(?:__global__|__mlu_global__|__mlu_entry__)[^;{}()]*?(?:\([\d,\s]*\)[^;{}()]*?)?\b(\w+)\s*\(/g)].map((m) => m[1]!); // prettier-ignore
  const names = [...new Set(found)];
  if (names.length !== 1) throw new RequestError(`--entry: expected the name of a kernel, the file has ${names.length === 0 ? "none that is marked __global__ or __mlu_global__" : names.join(", ")}`, "entry"); // prettier-ignore
  return names[0]!;
}

export interface RunReport {
  readonly ok: boolean;
  readonly kernel: string;
  readonly kind: string;
  readonly orders: number;
  /** Absent if all went well. */
  readonly problem?: { readonly rule: string; readonly order: number; readonly message: string };
  readonly figures?: RunFigures;
}

interface RunFile {
  readonly source: SimSource;
  readonly args: readonly Argument[];
  readonly dims: readonly [number, number, number];
  readonly orders: number;
  readonly autoSync: boolean;
}

/** Every order starts from the same memory; what the first one leaves is what the others must leave, and is saved. */
export function runFile(device: SimDevice, { source, args, dims, orders, autoSync }: RunFile): RunReport {
  const [kernel] = device.compileKernels([source]);
  const report = { kernel: source.name, kind: source.kind, orders };
  let first: Uint8Array[] | undefined;
  for (let seed = 0; seed < orders; seed++) {
    const memory: LaunchArg[] = args.map((a) => (typeof a === "number" ? a : { buffer: device.alloc(a.before.length), byteOffset: 0 })); // prettier-ignore
    try {
      memory.forEach((m, i) => typeof m !== "number" && device.copyIn(m.buffer, 0, (args[i] as Exclude<Argument, number>).before)); // prettier-ignore
      device.run(kernel!, memory, { numBlocks: dims[0] * dims[1] * dims[2], dims, seed, autoSync });
      const after = memory.flatMap((m) => {
        if (typeof m === "number") return [];
        const bytes = new Uint8Array(m.buffer.sizeBytes);
        device.copyOut(m.buffer, 0, bytes);
        return [bytes];
      });
      first ??= after;
      const differing = after.findIndex((bytes, i) => Buffer.compare(bytes, first![i]!) !== 0);
      const names = args.flatMap((a) => (typeof a === "number" ? [] : [a.name]));
      if (differing >= 0) return { ok: false, ...report, problem: { rule: "order", order: seed, message: `${names[differing]}: other bytes than in order 0` } }; // prettier-ignore
    } catch (error) {
      if (!(error instanceof SimulationError)) throw error;
      return { ok: false, ...report, problem: { rule: error.rule, order: seed, message: error.message } };
    } finally {
      for (const m of memory) if (typeof m !== "number") device.free(m.buffer);
    }
  }
  const saved = args.filter((a) => typeof a !== "number");
  saved.forEach((a, i) => a.saved !== undefined && writeWhole(resolve(a.saved), first![i]!));
  return { ok: true, ...report, ...(device.lastRun && { figures: device.lastRun }) };
}

export const runCommand = command(
  { name: "run", description: "A kernel that you wrote, on a chip's simulator with every rule checked" },
  runArgs,
  async (flags) => {
    const chip = oneOf("chip", flags.chip, chipNames);
    const text = readFileSync(resolve(flags.file), "utf8");
    const args = flags.args === "" ? [] : flags.args.split(",").map(parseArgument);
    const [x = 1, y = 1, z = 1] = flags.blocks.split(",").map((n) => integerOf("blocks", n, [1, 4096])!);
    const orders = integerOf("orders", flags.orders, [1, 1000])!;
    const entry = flags.entry ?? entryOf(text);
    const names = args.map((a, i) => (typeof a === "number" ? `argument ${i}` : a.name));
    const source = chip.startsWith("mlu") ? bangKernel(text, entry, names, flags.kind ?? "block") : foreignKernel(text, entry, names, flags.kind); // prettier-ignore
    const report = runFile(openSim(`sim:${chip}`), { source, args, dims: [x, y, z], orders, autoSync: flags["auto-sync"] }); // prettier-ignore
    const { ok, problem, figures } = report;
    const told = ok ? `ok: ${orders} orders keep every rule and agree; ${figures?.bytesIn} bytes in, ${figures?.bytesOut} out` : `FAIL, order ${problem!.order}: ${problem!.message}`; // prettier-ignore
    process.stdout.write(flags.json ? `${JSON.stringify(report)}\n` : `${report.kernel} (${report.kind}) on ${chip}: ${told}\n`); // prettier-ignore
    if (!ok) process.exitCode = 1;
  },
);
