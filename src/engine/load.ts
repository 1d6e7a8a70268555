/**
 * A model folder: config.json (the hub's fields, and ours under "tessera"), model.safetensors (official names; with an MTP
 * module two shards and their index, the second the module's), visual.safetensors, tokenizer.json. They must agree with
 * each other; what does not is named with its file, field or tensor, what was expected and what was found.
 * Main functions: `loadLlm`, `saveLlm`.
 */
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { FormatError } from "../base/errors.ts";
import { writeWhole } from "../base/files.ts";
import type { Device } from "../device/device.ts";
import { hasFp8Products } from "../kernels/fp8-matmul.ts";
import type { V4Config } from "../model/config.ts";
import { packedOf, parseStored } from "../model/storage.ts";
import { V4 } from "../model/v4.ts";
import { VisualTokenizer, type VisualTokenizerConfig } from "../model/visual-tokenizer.ts";
import { loadForms, loadOfficial, saveOfficial, type WeightFormat } from "../model/weights.ts";
import { shardNames, writeIndex } from "../nn/tensor-set.ts";
import { readChatTexts } from "../processor/chat-texts.ts";
import { Tokenizer } from "../processor/tokenizer.ts";
import { makeVocabulary, specialTokens, type Vocabulary } from "../processor/vocabulary.ts";
import { LocalLlm, type LlmParts } from "./llm.ts";

const FILES = {
  config: "config.json",
  model: "model.safetensors",
  visual: "visual.safetensors",
  tokenizer: "tokenizer.json",
} as const;

const count = z.number().int().positive();
const ownSchema = z.object({
  id: z.string().min(1),
  created_unix_s: z.number().int().nonnegative(),
  fps: z.number().positive(),
  /** It has learned when to think. */
  chooses_thinking: z.boolean().default(false),
  /** It has learned to go on after earlier turns. */
  talks: z.boolean().default(false),
  /** Frames of a clip, 1 + 4k. */
  num_frames: count,
  visual_tokenizer: z.object({
    image_size: count,
    channels: z.tuple([count, count]),
    num_blocks: count,
    levels: z.array(count).min(1),
  }),
});
type Own = z.infer<typeof ownSchema>;

export interface LoadOptions {
  /** Of activations. */
  readonly dtype?: "f32" | "bf16";
  /**
   * FP8 and FP4 weights in memory: as they are, or widened to f32. Kept by default where the chip multiplies FP8; integers
   * always are.
   */
  readonly codes?: "keep" | "widen" | undefined;
  /** "none" leaves them as they start: for finding out what a model of this form does. */
  readonly weights?: "read" | "none";
}

export function loadLlm(dir: string, device: Device, options: LoadOptions = {}): LocalLlm {
  const path = (file: keyof typeof FILES): string => join(dir, FILES[file]);
  const json = readJson(path("config"));
  const { config, storage } = parseStored(json, path("config"));
  const own = parseOwn(json, path("config"));
  const tokenizer = Tokenizer.load(path("tokenizer"));
  const visualConfig = visualConfigOf(own);
  const vocabulary = vocabularyOf(own, tokenizer);
  checkAgreement(config, vocabulary, tokenizer, { config: path("config"), tokenizer: path("tokenizer") });
  const keepsCodes = options.codes === undefined ? hasFp8Products(device.properties.chip) : options.codes === "keep";
  const { weights = "read", codes: _, ...activations } = options;
  const packed = keepsCodes ? packedOf(storage) : storage.integers;
  const model = new V4(device, config, { init: "zeros", packed, ...activations });
  const visual = new VisualTokenizer(device, visualConfig);
  if (weights === "read") {
    loadOfficial(path("model"), model);
    loadOfficial(path("visual"), visual);
  } else loadForms(path("model"), model);
  const { id, created_unix_s: createdUnixS, fps, chooses_thinking: choosesThinking, talks } = own;
  return new LocalLlm({
    id,
    createdUnixS,
    fps,
    choosesThinking,
    talks,
    model,
    visual,
    tokenizer,
    vocabulary,
    texts: readChatTexts(dir),
  });
}

export interface SaveOptions {
  readonly format: WeightFormat;
  /** Of the visual tokenizer, whose pixels show rounding first. */
  readonly visualFormat?: WeightFormat;
}

/** The files are made beside the folder and moved in at the end, so a full disk never leaves a mixed model. */
export function saveLlm(dir: string, parts: LlmParts, options: SaveOptions): void {
  const staging = `${dir.replace(/[/\\]+$/, "")}.${process.pid}.tmp`;
  mkdirSync(staging, { recursive: true });
  try {
    writeFiles(staging, parts, options);
    mkdirSync(dir, { recursive: true });
    const files = readdirSync(staging);
    for (const file of files) renameSync(join(staging, file), join(dir, file));
    // The form that the folder had before, one file or shards.
    for (const file of readdirSync(dir))
      if (/^model[-.].*safetensors/.test(file) && !files.includes(file)) rmSync(join(dir, file));
  } finally {
    rmSync(staging, { recursive: true, force: true });
  }
}

function writeFiles(dir: string, parts: LlmParts, options: SaveOptions): void {
  const { config } = parts.visual;
  const own: Own = {
    id: parts.id,
    created_unix_s: parts.createdUnixS,
    fps: parts.fps,
    chooses_thinking: parts.choosesThinking ?? false,
    talks: parts.talks ?? false,
    num_frames: parts.vocabulary.visual.numFrames,
    visual_tokenizer: {
      image_size: config.imageSize,
      channels: [...config.channels],
      num_blocks: config.numBlocks,
      levels: [...config.levels],
    },
  };
  const head = { architectures: ["DeepseekV4ForCausalLM"], model_type: "deepseek_v4" };
  const json = { ...head, ...parts.model.config, tessera: own };
  writeWhole(join(dir, FILES.config), `${JSON.stringify(json, null, 1)}\n`);
  saveNetwork(dir, parts.model, options.format);
  saveOfficial(join(dir, FILES.visual), parts.visual, { format: options.visualFormat ?? "bf16" });
  parts.tokenizer.save(join(dir, FILES.tokenizer));
}

function saveNetwork(dir: string, model: V4, format: WeightFormat): void {
  if (model.mtp.length === 0) return void saveOfficial(join(dir, FILES.model), model, { format });
  const isDrafter = (name: string): boolean => name.startsWith("mtp.");
  const [trunk, drafter] = shardNames(2) as [string, string];
  const shards = new Map([
    [trunk, saveOfficial(join(dir, trunk), model, { format, only: (name) => !isDrafter(name) })],
    [drafter, saveOfficial(join(dir, drafter), model, { format, only: isDrafter })],
  ]);
  const total = [...shards.keys()].reduce((n, file) => n + statSync(join(dir, file)).size, 0);
  writeIndex(dir, shards, total);
}

function readJson(file: string): unknown {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (cause) {
    throw new FormatError(`config: ${file}: cannot be read (${(cause as Error).message})`, { file, cause });
  }
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new FormatError(`config: ${file}: expected JSON (${(cause as Error).message})`, { file, cause });
  }
}

function parseOwn(json: unknown, file: string): Own {
  const parsed = ownSchema.safeParse((json as { tessera?: unknown } | null)?.tessera);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0]!;
  const key = ["tessera", ...issue.path].join(".");
  throw new FormatError(`config: ${file}: field "${key}": ${issue.message}`, { file, key });
}

const visualConfigOf = ({ visual_tokenizer: v }: Own): VisualTokenizerConfig => ({
  imageSize: v.image_size,
  channels: v.channels,
  numBlocks: v.num_blocks,
  levels: v.levels,
});

function vocabularyOf(own: Own, tokenizer: Tokenizer): Vocabulary {
  const { image_size: imageSize, levels } = own.visual_tokenizer;
  const numLatents = 1 + (own.num_frames - 1) / 4;
  return makeVocabulary(
    { imageSize, side: imageSize / 8, numFrames: own.num_frames, numLatents, levels },
    tokenizer.numText,
  );
}

function checkAgreement(
  config: V4Config,
  vocabulary: Vocabulary,
  tokenizer: Tokenizer,
  files: { readonly config: string; readonly tokenizer: string },
): void {
  const expect = (file: string, key: string, expected: unknown, found: unknown): void => {
    const [a, b] = [JSON.stringify(expected), JSON.stringify(found)];
    if (a !== b) throw new FormatError(`${file}: field "${key}": expected ${a}, found ${b}`, { file, key });
  };
  const { startId, levels, side, numLatents } = vocabulary.visual;
  expect(files.tokenizer, "added_tokens", specialTokens, tokenizer.specials);
  const specialIds = specialTokens.map((token) => tokenizer.specialId(token));
  expect(files.tokenizer, "added_tokens", specialTokens.map((_, i) => tokenizer.numText + i), specialIds); // prettier-ignore
  expect(files.config, "vocab_size", vocabulary.size, config.vocab_size);
  expect(files.config, "visual", { start_id: startId, levels, max_rows: side, max_cols: side, max_frames: numLatents }, config.visual); // prettier-ignore
}
