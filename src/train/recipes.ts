/**
 * The runs that make a shippable model, each resumable in its own folder under `runDir`:
 *   visual    pictures and clips -> visual tokenizer
 *   decoder   the same, its codes fixed -> a sharper decoder
 *   language  everything, as ids of that tokenizer -> V4
 *   judge     pictures -> the judge of generated pictures (run-judge.ts)
 *   pack      all of them and the vocabulary -> a model folder
 */
import { copyFileSync, existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import type { Device } from "../device/device.ts";
import { paramsFor } from "../engine/defaults.ts";
import { LocalLlm } from "../engine/llm.ts";
import { saveLlm } from "../engine/load.ts";
import { configFor, type V4Config } from "../model/config.ts";
import type { V4 } from "../model/v4.ts";
import { VisualTokenizer, visualTokenizerConfigs } from "../model/visual-tokenizer.ts";
import { loadOfficial } from "../model/weights.ts";
import { loadCheckpoint } from "../nn/checkpoint.ts";
import { FormatError } from "../base/errors.ts";
import { writeWhole } from "../base/files.ts";
import { encodePng, pictureSheet } from "../processor/image.ts";
import { encodeMp4 } from "../processor/video.ts";
import { Tokenizer } from "../processor/tokenizer.ts";
import { vocabularies } from "../processor/vocabulary.ts";
import { learnChoice, type ChoiceMetrics } from "./choice.ts";
import { readTables } from "./data/build.ts";
import { buildCodes, type PoolSizes } from "./data/codes.ts";
import { Mixture, type MixtureName } from "./data/mixture.ts";
import { openPixels, type Pixels } from "./data/pixels.ts";
import { trainTokenizer } from "./data/tokenizer-train.ts";
import { JUDGE_FILE, judgeFile } from "./judge.ts";
import { refuseIfLocked } from "./lock.ts";
import { trainLanguage } from "./language.ts";
import { Trainee } from "./trainee.ts";
import { measureVisual, trainVisual, type VisualMetrics, type VisualTrainOptions } from "./visual.ts";

export interface RecipeOptions {
  readonly dataDir: string;
  readonly packagesDir: string;
  readonly sharedDir?: string;
  readonly runDir: string;
  readonly numSteps: number;
  readonly maxSeconds?: number;
  /** A model folder whose weights a new run starts from. */
  readonly initFrom?: string;
  readonly onInterrupt?: () => void;
}

/** Of the model that ships; sizes are `sizesOf(shippedConfig())`. */
export function shippedConfig(): V4Config {
  return configFor("nano", vocabularies.mini, {
    sliding_window: 128,
    compress_ratios: [0, 4, 128, 4, 128, 4],
    index_topk: 512,
    max_position_embeddings: 2048,
  });
}

const pools: PoolSizes = { scenes: 30_000, motions: 5_000 };
const visualBatches = { config: "mini", seed: 1, imagesPerStep: 64, clipEvery: 2, clipsPerStep: 5, saveEvery: 100 } as const; // prettier-ignore
const visualCounts = { images: 200, clips: 48 };
const CLIP_FPS = 11;
const visualDir = (runDir: string): string => join(runDir, "visual");
const decoderDir = (runDir: string): string => join(runDir, "decoder");
const languageDir = (runDir: string): string => join(runDir, "language");

export const pixelsOf = ({ dataDir }: Pick<RecipeOptions, "dataDir">): Pixels =>
  openPixels(dataDir, vocabularies.mini.visual.imageSize, vocabularies.mini.visual.numFrames);

export const runVisual = (device: Device, options: RecipeOptions): Promise<VisualMetrics | undefined> =>
  visualRun(device, options, {
    part: "all",
    dir: visualDir(options.runDir),
    start: (own) => options.initFrom && loadOfficial(join(options.initFrom, "visual.safetensors"), own),
    peakLr: 4e-3,
  });

/** After `runVisual`: sharpens the decoder for the codes as they are. */
export const runDecoder = (device: Device, options: RecipeOptions): Promise<VisualMetrics | undefined> =>
  visualRun(device, options, {
    part: "decoder",
    dir: decoderDir(options.runDir),
    start: (own) => loadVisual(own, options, [visualDir(options.runDir)]),
    peakLr: 1e-3,
  });

/** Measures at the end, unless it was interrupted: who pressed Ctrl-C wants to leave. */
async function visualRun(
  device: Device,
  options: RecipeOptions,
  phase: Pick<VisualTrainOptions, "part" | "dir" | "start" | "peakLr">,
): Promise<VisualMetrics | undefined> {
  const pixels = pixelsOf(options);
  let isInterrupted = false;
  const onInterrupt = (): void => {
    isInterrupted = true;
    options.onInterrupt?.();
  };
  const model = await trainVisual(device, pixels, { ...options, ...visualBatches, ...phase, onInterrupt });
  return isInterrupted ? undefined : measureVisual(model, pixels, visualCounts);
}

/** From the first of `dirs` that has a checkpoint, else from the model folder that the run starts from. */
function loadVisual(visual: VisualTokenizer, { initFrom }: RecipeOptions, dirs: readonly string[]): void {
  if (dirs.some((dir) => loadCheckpoint(dir, { model: visual }))) return;
  const dir = dirs.at(-1)!;
  if (initFrom === undefined)
    throw new FormatError(`${dir}: expected a checkpoint of the visual tokenizer; run \`tessera train visual\` first, or give --init`, { file: dir }); // prettier-ignore
  loadOfficial(join(initFrom, "visual.safetensors"), visual);
}

/** The trained visual tokenizer of a run, with its sharpened decoder where there is one. */
export function trainedVisual(device: Device, options: RecipeOptions): VisualTokenizer {
  const visual = new VisualTokenizer(device, visualTokenizerConfigs.mini, 0);
  loadVisual(visual, options, [decoderDir(options.runDir), visualDir(options.runDir)]);
  return visual;
}

export async function vocabularyOfRun(options: RecipeOptions): Promise<Tokenizer> {
  const path = join(options.runDir, "tokenizer.json");
  if (existsSync(path)) return Tokenizer.load(path);
  const tokenizer =
    options.initFrom === undefined
      ? trainTokenizer(await readTables(options.packagesDir, options.sharedDir))
      : Tokenizer.load(join(options.initFrom, "tokenizer.json"));
  mkdirSync(options.runDir, { recursive: true });
  tokenizer.save(path);
  return tokenizer;
}

export interface LanguageRecipeOptions extends RecipeOptions {
  readonly mixture: MixtureName;
  /** Muon's. */
  readonly peakLr: number;
}

/** Samples are cut nowhere; longer ones are not made. */
const maxLength = 352;

export interface LanguageData {
  readonly tokenizer: Tokenizer;
  readonly visual: VisualTokenizer;
  readonly mixture: Mixture;
}

/** The stream of samples of a run, whose codes are made where they are not there yet. */
export async function languageData(device: Device, options: RecipeOptions, name: MixtureName): Promise<LanguageData> {
  const tokenizer = await vocabularyOfRun(options);
  const visual = trainedVisual(device, options);
  const pixels = pixelsOf(options);
  const show = (done: number, total: number): void => {
    if (done % 3200 < 8) process.stderr.write(`codes ${done}/${total}\n`);
  };
  const codes = buildCodes(options.runDir, visual, pixels, pools, show);
  const tables = await readTables(options.packagesDir, options.sharedDir);
  const mixture = new Mixture({ name, seed: 1, tables, pixels, codes, tokenizer, vocabulary: vocabularies.mini, maxLength }); // prettier-ignore
  return { tokenizer, visual, mixture };
}

/** Of every run over the mixture. */
export const languageBatches = {
  vocabulary: vocabularies.mini,
  maxLength,
  tokensPerStep: 8192,
  tokensPerMicroBatch: 2048,
  saveEvery: 50,
} as const;

export async function runLanguage(device: Device, options: LanguageRecipeOptions): Promise<V4> {
  refuseIfLocked(languageDir(options.runDir));
  const { tokenizer, visual, mixture } = await languageData(device, options, options.mixture);
  const parts = { id: "tessera-nano-64", createdUnixS: 0, fps: CLIP_FPS, visual, tokenizer, vocabulary: vocabularies.mini }; // prettier-ignore
  return trainLanguage(device, {
    ...options,
    ...languageBatches,
    dir: languageDir(options.runDir),
    start: (own) => options.initFrom && own.unfold(join(options.initFrom, "model.safetensors")),
    config: shippedConfig(),
    sample: mixture.sample,
    seed: 1,
    sampleEvery: 250,
    onSample: (m, step) => writeSamples(new LocalLlm({ ...parts, model: m }), languageDir(options.runDir), step), // prettier-ignore
  });
}

/** What the model makes of a few fixed prompts: text, a sheet of pictures, a clip. */
export async function writeSamples(llm: LocalLlm, dir: string, step: number): Promise<void> {
  const lines: string[] = [];
  const pictures = [];
  const ask = (content: string, modality: "text" | "image" | "video", thinking = false) =>
    llm.generate({ messages: [{ role: "user", content }], modality, thinking, params: paramsFor(modality, { seed: 1, ...(modality === "text" && { maxTokens: 80 }) }) }); // prettier-ignore
  for (const [prompt, thinking] of [
    ["Hello!", false],
    ["Tell me a story.", false],
    ["What is 47 + 85?", true],
    ["What is butter?", false],
  ] as const) {
    // prettier-ignore
    let text = "";
    for await (const delta of ask(prompt, "text", thinking))
      if (delta.kind === "content" || delta.kind === "reasoning") text += delta.text;
    lines.push(`> ${prompt}\n${text}\n`);
  }
  for (const prompt of [
    "a red circle",
    "a blue square left of a green circle",
    "red apple",
    "sun",
    "cat face",
    "red heart",
  ])
    // prettier-ignore
    for await (const delta of ask(prompt, "image")) if (delta.kind === "image") pictures.push(delta.image);
  const name = join(dir, "samples", String(step).padStart(6, "0"));
  for await (const delta of ask("a red circle moves to the left", "video"))
    if (delta.kind === "video") writeWhole(`${name}.mp4`, await encodeMp4(delta.frames, { fps: delta.fps }));
  writeWhole(`${name}.txt`, lines.join("\n"));
  if (pictures.length > 0) writeWhole(`${name}.png`, await encodePng(pictureSheet(pictures, 6)));
}

export async function packRun(device: Device, options: RecipeOptions, outDir: string): Promise<ChoiceMetrics> {
  const trained = new Trainee(device, shippedConfig(), { init: "zeros" });
  const dir = languageDir(options.runDir);
  if (!loadCheckpoint(dir, { model: trained }))
    throw new FormatError(`${dir}: expected a checkpoint; run \`tessera train language\` first`, { file: dir });
  trained.fold();
  const model = trained.network;
  const visual = trainedVisual(device, options);
  const tokenizer = await vocabularyOfRun(options);
  const createdUnixS = Math.floor(Date.now() / 1000);
  const parts = { id: "tessera-nano-64", createdUnixS, fps: CLIP_FPS, choosesThinking: true, model, visual, tokenizer, vocabulary: vocabularies.mini }; // prettier-ignore
  const choice = learnChoice(parts, await readTables(options.packagesDir, options.sharedDir));
  saveLlm(outDir, parts, { format: "bf16", visualFormat: "bf16" });
  if (existsSync(judgeFile(options.runDir))) copyFileSync(judgeFile(options.runDir), join(outDir, JUDGE_FILE));
  return choice;
}
