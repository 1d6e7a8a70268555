/** `tessera chips profile`: what a step of a model costs on cards of a chip by the cost model, kernel by kernel. */
import { existsSync, readFileSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import type { ArgsDef } from "citty";
import { FormatError, RequestError } from "../base/errors.ts";
import { writeWhole } from "../base/files.ts";
import { makeConfig, presets, type PresetName, type V4Config } from "../model/config.ts";
import { released, releasedNames } from "../model/released.ts";
import { stepCost, type StepCost } from "../model/step-cost.ts";
import { MOST_BYTES, MOST_LAUNCHES } from "../model/step-cut.ts";
import { weightFormatOf } from "../model/step-floor.ts";
import { parseStored, type Storage } from "../model/storage.ts";
import { weightForms } from "../model/weight-form.ts";
import { productNames, products, type ProductName } from "../tile/chips/chips.ts";
import { assumptions } from "../tile/cost-table.ts";
import { rangeOf, type Range } from "../tile/range.ts";
import { command, integerOf, oneOf, packageDir } from "./common.ts";
import { rooflineSvg } from "./roofline-svg.ts";

/** Most bytes over the floor, and launches a layer, that fused and captured kernels should need. */
const TARGET = { bytes: MOST_BYTES, launches: MOST_LAUNCHES };

const profileArgs = {
  model: { type: "string", description: `nano, mini, ${releasedNames.join(", ")}, or a model folder`, default: join(packageDir, "assets", "model") }, // prettier-ignore
  chip: { type: "string", description: `One of ${productNames.join(", ")}`, required: true },
  cards: { type: "string", description: "How many", default: "1" },
  batch: { type: "string", description: "Sequences", default: "1" },
  context: { type: "string", description: "Tokens before this step, or of the prompt", default: "8192" },
  weights: {
    type: "string",
    description:
      "Of large matrices: bf16, w8a8, w4a8 or native, as the model has them; by default native where the chip has FP8, else w8a8",
  },
  fuse: {
    type: "boolean",
    description: "Launches run as lists, see generate --fuse; --no-fuse: each alone",
    default: true,
  },
  phase: { type: "string", description: "decode or prefill", default: "decode" },
  svg: { type: "string", description: "Write the roofline of the kernels to this file as well" },
  json: { type: "boolean", description: "One JSON object on stdout", default: false },
} as const satisfies ArgsDef;

export function modelOf(name: string): { config: V4Config; storage: Storage } {
  if (name in presets) {
    const config = makeConfig(name as PresetName, { vocab_size: 8192 });
    return { config, storage: { linear: "bf16", expert: "bf16", drafter: { kind: "none" } } };
  }
  const known = releasedNames.find((n) => n === name);
  if (known) return parseStored(released[known], known);
  const file = join(resolve(name), "config.json");
  if (!existsSync(file)) throw new FormatError(`--model: expected nano, mini, ${releasedNames.join(", ")} or a model folder, found no ${file}`, { file }); // prettier-ignore
  return parseStored(JSON.parse(readFileSync(file, "utf8")), file);
}

const mark = (r: Range): string => (r.isRumoured ? " (rumoured)" : "");
const figure = (x: number): string => (x >= 100 ? x.toFixed(0) : x >= 10 ? x.toFixed(1) : x.toFixed(2));
const ms = (r: Range): string => `${figure(r.low * 1e3)}${r.high > r.low * 1.001 ? ` to ${figure(r.high * 1e3)}` : ""} ms`; // prettier-ignore
const gb = (n: number): string => (n >= 1e9 ? `${figure(n / 1e9)} GB` : `${figure(n / 1e6)} MB`);

export const profileCommand = command(
  { name: "profile", description: "Predicted time, bytes and limits of a step on a chip; no chip is needed" },
  profileArgs,
  async (args) => {
    const product = oneOf("chip", args.chip, productNames);
    const phase = oneOf("phase", args.phase, ["decode", "prefill"]);
    const cards = integerOf("cards", args.cards, [1, 1024])!;
    const batch = integerOf("batch", args.batch, [1, 8192])!;
    const context = integerOf("context", args.context, [1, 2 ** 20])!;
    const { config, storage } = modelOf(args.model);
    if (context >= config.max_position_embeddings) throw new RequestError(`--context: expected less than ${config.max_position_embeddings}, the longest of this model, got ${context}`, "context"); // prettier-ignore
    const shape = phase === "decode" ? { batch, tokens: 1, context } : { batch, tokens: context, context: 0 };
    const chip = products[product];
    const weights = oneOf(
      "weights",
      args.weights ?? (weightFormatOf[chip.name] === "W8A8" ? "w8a8" : "native"),
      weightForms,
    );
    const cost = stepCost({ config, storage, chip, cards, shape, weights, isFused: args.fuse });
    if (args.svg !== undefined) writeWhole(resolve(args.svg), rooflineOf(args.model, product, phase, cost));
    process.stdout.write(args.json ? `${JSON.stringify({ chip: product, model: args.model, phase, weights, ...cost, assumptions })}\n` : text(args.model, product, phase, weights, cost)); // prettier-ignore
  },
);

/** Kernels without products have no place in the picture of the matrix unit. */
function rooflineOf(model: string, product: ProductName, phase: string, c: StepCost): string {
  const { rates } = products[product];
  const [memory, peak] = [rangeOf(rates.memoryBytesPerSecond)!, rangeOf(rates.opsPerSecond.f16)!];
  const points = c.kernels.flatMap(({ name, ops, bytes, seconds }) => (ops > 0 && bytes > 0 ? [{ name, intensity: ops / bytes, opsPerSecond: ops / seconds.high }] : [])); // prettier-ignore
  return rooflineSvg({
    title: `${rates.product}: ${phase} of ${basename(model)}, batch ${c.shape.batch}, one of ${c.cards} cards`,
    note: `Predicted, not measured; the roof is of bf16 products${mark(memory)}. Red: what memory and the matrix unit allow.`,
    bytesPerSecond: memory.low,
    peak: peak.low,
    points,
  });
}

/** How the step is cut over cards, and what that costs beside the fastest plan. */
function planLines(c: StepCost): string[] {
  if (c.tensor === 1) return [];
  const fastest = c.alternatives.reduce((a, b) => (b.seconds.high < a.seconds.high ? b : a));
  const named = (options: readonly string[]): string => (options.length > 0 ? options.join(", ") : "none");
  const told = c.collectives.map((x) => `${x.name} ${figure(x.count)} ${x.kind}`);
  const isFastest = fastest.seconds.high === c.seconds.high;
  return [
    `plan           options of the cut: ${named(c.options)}; ${isFastest ? "the fastest" : `the fastest is ${named(fastest.options)} with ${ms(fastest.seconds)} and ${(fastest.bytes / c.floor.total).toFixed(2)} of the floor`}`,
    `between cards  ${told.join(", ")}`,
  ]; // prettier-ignore
}

/** Of what the host starts; collectives count as launches. */
const perLayer = ({ launchesPerLayer, collectivesPerLayer: collected }: StepCost): string => `${(launchesPerLayer - collected).toFixed(1)} of kernels and ${collected.toFixed(1)} collectives`; // prettier-ignore

function text(model: string, chip: string, phase: string, weights: string, c: StepCost): string {
  const per = c.kernels.map((k) => [k.name, figure(k.runs), ms(k.seconds) + mark(k.seconds), gb(k.bytes), k.limit]);
  const head = ["kernel (on one card)", "runs", "time", "bytes", "limit"];
  const widths = head.map((h, i) => Math.max(h.length, ...per.map((row) => row[i]!.length)));
  const line = (row: readonly string[]): string => row.map((cell, i) => (i === 0 || i === 4 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))).join("  ").trimEnd(); // prettier-ignore
  const { floor, ownFloor } = c;
  const ratio = c.bytes / floor.total;
  const verdict = (isMet: boolean): string => (isMet ? "met" : "MISSED");
  return [
    `${phase} of ${model} on ${c.cards} x ${chip}, batch ${c.shape.batch}, context ${c.shape.context + (phase === "prefill" ? c.shape.tokens : 0)}: ${c.tensor} cards share a step, ${c.replicas} replicas`,
    `Predicted from tables, not measured. Our kernels as they are, ${weights} weights; copies run beside work where the emitted kernels let them.`,
    "",
    line(head),
    ...per.map(line),
    "",
    `time           ${ms(c.seconds)}${mark(c.seconds)}, of which between cards ${ms(c.communication)}${mark(c.communication)}`,
    ...planLines(c),
    `queue          ${figure(c.programs)} programs in ${figure(c.launches)} launches, ${figure(c.copies)} copies, ${figure(c.hostWaits)} waits for the host`,
    `bytes          ${gb(c.bytes)} of device memory over all cards${c.cachedBytes > 0 ? `; ${gb(c.cachedBytes)} of results are read from the shared cache` : ""}`,
    `floor          ${gb(floor.total)} in ${floor.format}: dense ${gb(floor.dense)}, ${figure(floor.distinctExperts)} experts a layer ${gb(floor.experts)}, keys ${gb(floor.keys)}; ${ms(c.floorSeconds)}${mark(c.floorSeconds)}`,
    `floor in bf16  ${gb(ownFloor.total)}; bytes over it ${(c.bytes / ownFloor.total).toFixed(2)}`,
    `target         bytes at most ${TARGET.bytes} of the floor: ${verdict(ratio <= TARGET.bytes)}, ${ratio.toFixed(2)}`,
    `target         at most ${TARGET.launches} launches a layer: ${verdict(c.launchesPerLayer <= TARGET.launches)}, ${perLayer(c)}`,
    "",
  ].join("\n"); // prettier-ignore
}
