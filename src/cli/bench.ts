/** `tessera bench gemm | train | tokenizer | speculation | context | layer | quantization`: speed beside peers, measured in one run; the benchmarks themselves lie in bench/. */
import { resolve } from "node:path";
import { defineCommand, type ArgsDef } from "citty";
import { benchContext, type ContextReport } from "../../bench/context.ts";
import { benchGemm, type GemmRate, type GemmReport, type GemmRow } from "../../bench/gemm.ts";
import { benchLayers, type LayerRow } from "../../bench/layer.ts";
import { oneDnnHint } from "../../bench/onednn.ts";
import { benchQuantization, type QuantizationRow } from "../../bench/quantization.ts";
import { benchSpeculation } from "../../bench/speculation.ts";
import { benchTrain, trainConfigs, type TrainConfigName, type TrainReport } from "../../bench/train.ts";
import { RequestError } from "../base/errors.ts";
import { openDevice } from "../device/open.ts";
import { MAX_DRAFT } from "../model/state.ts";
import { command, integerOf, modelArgs, numberOf, openModel } from "./common.ts";

const shared = {
  json: { type: "boolean", description: "One JSON object on stdout instead of a table", default: false },
} as const satisfies ArgsDef;

const line = (text: string): void => void process.stdout.write(`${text}\n`);
const giga = (flops: number): string => (flops / 1e9).toFixed(0).padStart(6);
const percent = (share: number): string => `${(share * 100).toFixed(0)}%`.padStart(5);

const rateText = (rate: GemmRate | undefined): string =>
  rate ? `${giga(rate.best)} ${giga(rate.median)} ${giga(rate.byCpu)}${percent(rate.byCpuOfPeak)}` : "-".padStart(25);

function printGemmRow({ dtype, m, n, k, transA, transB, name, ours, oneDnn, oneDnnPacked }: GemmRow): void {
  const shape = `${dtype} ${m}x${n}x${k}${transA ? " A^T" : ""}${transB ? " B^T" : ""} ${name}`;
  const ratio = oneDnn ? `${(ours.byCpu / oneDnn.byCpu).toFixed(2)} ${(ours.best / oneDnn.best).toFixed(2)}` : "-";
  line(`${shape.padEnd(48)}${[ours, oneDnn, oneDnnPacked].map(rateText).join(" |")} | ${ratio}`);
}

function printGemmHead(): void {
  line("GFLOP/s. Each: best, median by the wall clock; by processor time, and that as a share of the measured peak.");
  line(`${"".padEnd(48)}${"ours".padEnd(26)}| ${"oneDNN".padEnd(25)}| ${"oneDNN, B packed".padEnd(25)}| ours / oneDNN, by both clocks`); // prettier-ignore
}

function printGemmFoot({ peak, numThreads, oneDnn }: GemmReport): void {
  line(`peak of ${numThreads} threads: f32 ${giga(peak.f32.wall)} (by processor time ${giga(peak.f32.cpu)}), bf16 by ${peak.bf16Unit} ${giga(peak.bf16.wall)} (${giga(peak.bf16.cpu)})`); // prettier-ignore
  line(oneDnn ? `oneDNN ${oneDnn}` : oneDnnHint);
}

const gemmCommand = command(
  { name: "gemm", description: "Matrix products in bf16 and f32 beside oneDNN (optional: libdnnl-dev)" },
  { ...shared, rounds: { type: "string", description: "Turns of each product", default: "7" } },
  async (args) => {
    const rounds = integerOf("rounds", args.rounds, [1, 1000])!;
    if (!args.json) printGemmHead();
    const report = benchGemm({ rounds, ...(!args.json && { onRow: printGemmRow }) });
    if (args.json) line(JSON.stringify(report));
    else printGemmFoot(report);
  },
);

/** One of a table's names. */
function nameOf<K extends string>(flag: string, value: string, table: Readonly<Record<K, unknown>>): K {
  if (Object.hasOwn(table, value)) return value as K;
  throw new RequestError(`--${flag}: expected one of ${Object.keys(table).join(", ")}, got "${value}"`, flag);
}

function printTrain(r: TrainReport): void {
  const thousands = (n: number): string => n.toFixed(0).padStart(8);
  line(`${r.config}: ${r.parameters} parameters, ${r.batch} x ${r.length} tokens a step, ${(r.flopPerToken / 1e6).toFixed(1)} MFLOP a token, ${r.numThreads} threads`); // prettier-ignore
  line(`${"tokens/s".padEnd(38)}    best   median  by processor time, and that as a share of the measured peak`);
  for (const row of r.rows) {
    const rates = [row.bestTokensPerS, row.medianTokensPerS, row.byCpuTokensPerS].map(thousands).join(" ");
    line(`${`${row.name}, ${row.optimizer}, ${row.dtype}`.padEnd(38)}${rates}  ${percent(row.byCpuOfPeak)}`);
  }
  line(r.torch);
}

const torchDTypes = { bfloat16: true, float32: true } as const;

export const benchTrainCommand = command(
  { name: "train", description: "Steps of the network beside PyTorch and transformers (optional, from pip)" },
  {
    ...shared,
    config: { type: "string", description: `One of ${Object.keys(trainConfigs).join(", ")}`, default: "shipped" },
    batch: { type: "string", description: "Sequences of a step", default: "8" },
    length: { type: "string", description: "Tokens of a sequence", default: "256" },
    rounds: { type: "string", description: "Turns of each contender", default: "3" },
    steps: { type: "string", description: "Steps of a turn", default: "1" },
    python: { type: "string", description: "Interpreter that has torch and transformers", default: "python3" },
    "torch-dtype": { type: "string", description: "Of PyTorch's network: bfloat16 or float32", default: "bfloat16" },
  },
  async (args) => {
    const count = (name: "batch" | "length" | "rounds" | "steps"): number => integerOf(name, args[name], [1, 1e6])!;
    const report = await benchTrain({
      config: nameOf<TrainConfigName>("config", args.config, trainConfigs),
      batch: count("batch"),
      length: count("length"),
      rounds: count("rounds"),
      steps: count("steps"),
      python: args.python,
      torchDType: nameOf("torch-dtype", args["torch-dtype"], torchDTypes),
    });
    if (args.json) line(JSON.stringify(report));
    else printTrain(report);
  },
);

const tokenizerCommand = command(
  {
    name: "tokenizer",
    description: "Encoding text beside @huggingface/tokenizers, a tokenizer of DeepSeek's structure",
  },
  {
    ...shared,
    megabytes: { type: "string", description: "Of mixed text", default: "1" },
    vocab: { type: "string", description: "Tokens to train for the run", default: "8000" },
    rounds: { type: "string", description: "Turns of each", default: "3" },
  },
  async (args) => {
    // The peer is a library of the tests; the other commands do without it.
    const { benchTokenizer } = await import("../../bench/tokenizer.ts");
    const report = benchTokenizer({
      megabytes: numberOf("megabytes", args.megabytes, [0.01, 100])!,
      vocabSize: integerOf("vocab", args.vocab, [300, 200_000])!,
      rounds: integerOf("rounds", args.rounds, [1, 100])!,
    });
    if (args.json) return line(JSON.stringify(report));
    line(`${report.bytes} bytes, ${report.tokens} equal tokens. MB/s by the wall clock, and by processor time`);
    for (const r of report.rows) line(`${`${r.name}, ${r.words}`.padEnd(32)}${r.megabytesPerS.toFixed(2).padStart(8)}${r.byCpuMegabytesPerS.toFixed(2).padStart(8)}`); // prettier-ignore
  },
);

const speculationCommand = command(
  { name: "speculation", description: "A model's text with and without drafts, and how many of them stand" },
  {
    ...shared,
    ...modelArgs,
    tokens: { type: "string", description: "Most of an answer", default: "96" },
    rounds: { type: "string", description: "Turns of each", default: "5" },
    limits: { type: "string", description: "Most guesses a call, comma between", default: "1,2,3,5" },
  },
  async (args) => {
    const limits = args.limits.split(",").map((x) => integerOf("limits", x, [1, MAX_DRAFT - 1])!);
    const llm = await openModel(args);
    if (llm.parts.model.mtp.length === 0) throw new RequestError("--model: expected a model with an MTP module or DSpark stages, got none; `tessera train draft` makes one", "model"); // prettier-ignore
    const report = await benchSpeculation(llm, {
      tokens: integerOf("tokens", args.tokens, [4, 400])!,
      rounds: integerOf("rounds", args.rounds, [1, 100])!,
      limits,
    });
    if (args.json) return line(JSON.stringify(report));
    line(`${report.model}: tokens/s, times no drafts, guesses that stand, tokens that were guessed`);
    for (const r of report.rows) line(`${`${r.kind}, ${r.sampling}, ${r.drafts}`.padEnd(24)}${r.tokensPerS.toFixed(1).padStart(8)}${r.speedUp.toFixed(2).padStart(7)}${percent(r.acceptance)}${percent(r.guessed)}`); // prettier-ignore
  },
);

function printContext(r: ContextReport): void {
  const mib = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(1)} MiB`.padStart(12);
  line(`${r.layers} layers, ${(r.activeParameters / 1e6).toFixed(0)} of ${(r.parameters / 1e6).toFixed(0)} M parameters a token, ${r.dtype}, ${r.numThreads} threads; ${r.kvBytesPerToken} bytes of entries and index keys a token`); // prettier-ignore
  line("decode, ms a token (synthetic states: random rows of the right shapes)   best   median   processor   state");
  for (const c of r.contexts)
    line(`${c.context.padEnd(62)}${[c.bestMsPerToken, c.medianMsPerToken, c.cpuMsPerToken].map((x) => x.toFixed(1).padStart(9)).join("")}  ${mib(c.stateBytes)}`); // prettier-ignore
  line(`1M over 8K: ${r.ratio.best.toFixed(2)} by the best step, ${r.ratio.cpu.toFixed(2)} by processor time`);
  line(`real prefill in chunks of ${r.chunk}: tokens, ms of the chunk, most memory beyond weights and state, state`);
  for (const p of r.prefill) line(`${String(p.tokens).padStart(8)}${p.ms.toFixed(0).padStart(9)}  ${mib(p.peakBytes)}  ${mib(p.stateBytes)}`); // prettier-ignore
}

const contextCommand = command(
  { name: "context", description: "A token's time and memory at 8K to 1M tokens of context, and a prefill in chunks" },
  {
    ...shared,
    rounds: { type: "string", description: "Decode steps of each context", default: "7" },
    prefill: { type: "string", description: "Tokens of the real prefill", default: "4096" },
    chunk: { type: "string", description: "Tokens of a chunk", default: "256" },
  },
  async (args) => {
    const count = (name: "rounds" | "prefill" | "chunk"): number => integerOf(name, args[name], [1, 1e6])!;
    const report = await benchContext({ rounds: count("rounds"), prefill: count("prefill"), chunk: count("chunk") });
    if (args.json) line(JSON.stringify(report));
    else printContext(report);
  },
);

const printLayer = ({ name, tokens, seconds, worst, peakBytes }: LayerRow): void => line(`${name.padEnd(8)} ${tokens} tokens, ${seconds.toFixed(1)} s with loading, ${worst.toExponential(1)} of the largest off the reference, peak ${(peakBytes / 1e9).toFixed(2)} GB`); // prettier-ignore

const layerCommand = command(
  {
    name: "layer",
    description: "Layers of V4-Flash at their true size, from a 3.8 GB file of noise in released storage",
  },
  shared,
  async (args) => {
    const report = benchLayers(args.json ? {} : { onRow: printLayer });
    if (args.json) line(JSON.stringify(report));
    else line(`file ${(report.fileBytes / 1e9).toFixed(2)} GB, ${report.expertsRead} of 256 experts read, ${report.device}`); // prettier-ignore
  },
);

const printQuantization = (r: QuantizationRow): void => line(`${r.format.padEnd(6)} file ${(r.fileBytes / 1e6).toFixed(2)} MB, in memory ${(r.memoryBytes / 1e6).toFixed(2)} MB; bits per byte ${Object.entries(r.bitsPerByte).map(([name, bits]) => `${name} ${bits.toFixed(4)}`).join(", ")}; likeliest token as bf16's ${(r.greedyAgreement * 100).toFixed(1)} % of ${r.greedyTokens}; sums ${r.sums.toFixed(3)}`); // prettier-ignore

const quantizationCommand = command(
  {
    name: "quantization",
    description: "What int8, int4, FP8 and FP4 weights cost a model: bits per byte, greedy tokens, sums",
  },
  {
    ...shared,
    model: modelArgs.model,
    device: { type: "string", description: "cpu, js or sim:...; by default the fastest that works here" },
    count: { type: "string", description: "Prompts per measure", default: "24" },
    shared: { type: "string", description: "Folder of extra text", default: "../shared/data" },
  },
  async (args) => {
    const report = await benchQuantization(resolve(args.model), openDevice(args.device), {
      sharedDir: args.shared,
      count: integerOf("count", args.count, [1, 10_000])!,
      ...(!args.json && { onRow: printQuantization }),
    });
    if (args.json) line(JSON.stringify(report));
    else for (const what of report.skipped) line(`left out  ${what}`);
  },
);

export const benchCommand = defineCommand({
  meta: { name: "bench", description: "Speed beside other libraries, and as a share of this machine's measured peak" },
  subCommands: {
    gemm: gemmCommand,
    train: benchTrainCommand,
    tokenizer: tokenizerCommand,
    speculation: speculationCommand,
    context: contextCommand,
    layer: layerCommand,
    quantization: quantizationCommand,
  },
});
