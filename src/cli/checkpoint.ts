/** `tessera inspect | import | export`: what a checkpoint holds, and checkpoints in and out in three layouts. */
import { resolve } from "node:path";
import { RequestError } from "../base/errors.ts";
import { exportCheckpoint, exportDTypes, importCheckpoint } from "../model/exchange.ts";
import { inspectPath, planOf, type Totals } from "../model/inspect.ts";
import { layouts, openCheckpoint } from "../model/open-checkpoint.ts";
import { releasedNames } from "../model/released.ts";
import { command, modelArgs, numberOf, oneOf } from "./common.ts";

const line = (text: string): void => void process.stdout.write(`${text}\n`);
const grouped = (n: number): string => n.toLocaleString("en-US");

function printTotals(what: string, { numTensors, sizeBytes, dtypes }: Totals): void {
  line(`${what}: ${grouped(numTensors)} tensors, ${grouped(sizeBytes)} bytes`);
  for (const [dtype, sum] of Object.entries(dtypes)) line(`  ${dtype.padEnd(8)} ${grouped(sum.numTensors).padStart(8)} tensors ${grouped(sum.sizeBytes).padStart(18)} bytes`); // prettier-ignore
}

/** Findings shown without --json. */
const MAX_SHOWN = 20;

export const inspectCommand = command(
  { name: "inspect", description: "What a checkpoint holds and what it lacks, or what a released model would hold" },
  {
    path: { type: "positional", required: false, description: "Folder, .safetensors or .gguf" },
    plan: { type: "string", description: `Instead of a path: one of ${releasedNames.join(", ")}` },
    json: { type: "boolean", description: "One JSON object with every tensor", default: false },
  },
  async ({ path, plan, json }) => {
    if ((path === undefined) === (plan === undefined)) throw new RequestError("inspect: expected a path or --plan, got both or none"); // prettier-ignore
    if (plan !== undefined) {
      const made = planOf(oneOf("plan", plan, releasedNames));
      if (json) line(JSON.stringify(made));
      else printTotals(made.name, made);
      return;
    }
    const found = inspectPath(resolve(path!));
    if (found.findings.length > 0) process.exitCode = 1;
    if (json) return line(JSON.stringify(found));
    printTotals(found.path, found);
    const forms = Object.entries(found.forms).map(([form, n]) => `${form} ${grouped(n)}`);
    if (forms.length > 0) line(`weights: ${forms.join(", ")}`);
    line(found.layout ? `layout: ${found.layout}` : "no config beside it: names and shapes are not checked");
    for (const { kind, tensor, expected, found: got } of found.findings.slice(0, MAX_SHOWN)) line(`${kind}  ${tensor}: expected ${expected}, found ${got}`); // prettier-ignore
    if (found.findings.length > MAX_SHOWN) line(`and ${found.findings.length - MAX_SHOWN} more (--json lists all)`);
    if (found.layout && found.findings.length === 0) line("every tensor of the config is there, and no other");
  },
);

const outArgs = {
  out: { type: "string", required: true, description: "New folder" },
  "shard-gb": { type: "string", description: "Most gigabytes of a file", default: "5" },
  json: { type: "boolean", description: "Print one JSON object", default: false },
} as const;

const shardBytes = (value: string): number => Math.round(numberOf("shard-gb", value, [1e-6, 1e6])! * 1e9);

export const importCommand = command(
  { name: "import", description: "A checkpoint in the official or transformers layout, or a GGUF, as a model folder" },
  { path: { type: "positional", required: true, description: "Folder or file" }, ...outArgs },
  async (args) => {
    using source = openCheckpoint(resolve(args.path));
    const made = importCheckpoint(source, args.out, { maxShardBytes: shardBytes(args["shard-gb"]) });
    if (args.json) line(JSON.stringify({ layout: source.layout, ...made }));
    else line(`${source.layout}: ${grouped(made.numTensors)} tensors, ${grouped(made.sizeBytes)} bytes into ${args.out}`); // prettier-ignore
  },
);

export const exportCommand = command(
  { name: "export", description: "A model folder in the official or transformers layout, or as GGUF" },
  {
    model: modelArgs.model,
    layout: { type: "string", description: layouts.join(", "), default: "official" },
    dtype: { type: "string", description: `Of matrices: ${exportDTypes.join(", ")}`, default: "keep" },
    ...outArgs,
  },
  async (args) => {
    const layout = oneOf("layout", args.layout, layouts);
    const before = inspectPath(resolve(args.model)).sizeBytes;
    const dtype = oneOf("dtype", args.dtype, exportDTypes);
    using source = openCheckpoint(resolve(args.model));
    const made = exportCheckpoint(source, args.out, { layout, dtype, maxShardBytes: shardBytes(args["shard-gb"]) });
    if (args.json) return line(JSON.stringify({ layout, ...made }));
    line(`${grouped(made.numTensors)} tensors, ${grouped(made.sizeBytes)} bytes into ${args.out}, ${((made.sizeBytes / before) * 100).toFixed(0)} % of ${grouped(before)}`); // prettier-ignore
    if (made.note !== undefined) line(made.note);
    if (made.left.length > 0) line(`${made.left.length} tensors that ${layout} has no place for went into a file of their own; see README.md there`); // prettier-ignore
  },
);
