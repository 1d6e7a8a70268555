/**
 * The smoke suite: what a model folder can do, measured on held-out prompts. Greedy text; pictures and clips with
 * fixed seeds. What needs data that is not there is left out of the result by name, never guessed.
 * Main function: `evaluateSmoke`.
 */
import type { Device } from "../device/device.ts";
import type { LocalLlm, LlmParts } from "../engine/llm.ts";
import { sideInputs } from "../processor/visual.ts";
import type { Delta, GenerateRequest, RgbImage } from "../engine/types.ts";
import * as t from "../tensor/ops.ts";
import { Tensor } from "../tensor/tensor.ts";
import { additionProblem } from "./data/arithmetic.ts";
import { captionMotion, makeMotion, readMotion } from "./data/motions.ts";
import { motionSeeds, sceneSeeds, type Pixels } from "./data/pixels.ts";
import { captionScene, checkScene, makeScene } from "./data/scenes.ts";
import { mse, psnrFromMse, ssim } from "./visual-loss.ts";
import { toBytes, toUnitPixels } from "./visual.ts";

export interface SmokeData {
  /** Held-out English prose; empty where the books are absent. */
  readonly prose: readonly string[];
  readonly pixels: Pixels | undefined;
}

export interface SmokeResult {
  [metric: string]: number | string[];
  skipped: string[];
}

const ANSWER = { maxTokens: 120, temperature: 0, topP: 1, topK: 0, seed: 1, stop: [], guidance: 1 };
const DRAWING = { ...ANSWER, temperature: 1, topK: 100, guidance: 3 };

async function collect(
  llm: LocalLlm,
  content: GenerateRequest["messages"][number]["content"],
  o: Pick<GenerateRequest, "modality" | "thinking" | "params">,
): Promise<Delta[]> {
  // prettier-ignore
  const deltas: Delta[] = [];
  for await (const delta of llm.generate({ messages: [{ role: "user", content }], ...o })) deltas.push(delta);
  return deltas;
}
const textOf = (deltas: readonly Delta[]): string => deltas.map((d) => (d.kind === "content" ? d.text : "")).join("");

export async function evaluateSmoke(
  device: Device,
  llm: LocalLlm,
  parts: LlmParts,
  data: SmokeData,
  options: { readonly count: number; readonly onProgress?: (name: string) => void },
): Promise<SmokeResult> {
  const { count, onProgress } = options;
  const result: SmokeResult = { skipped: ["judge top-5 accuracy: no judge network is shipped yet"] };
  const { size, numFrames } = { size: llm.info.imageSize, numFrames: llm.info.numFrames };
  onProgress?.("prose");
  if (data.prose.length === 0) result.skipped.push("bits per byte of prose: the books are not here");
  else result["proseBitsPerByte"] = bitsPerByte(device, parts, data.prose.slice(0, 4 * count));

  onProgress?.("addition");
  let right = 0;
  for (let i = 0; i < 2 * count; i++) {
    const [a, b] = additionProblem(501, i, true);
    const text = textOf(
      await collect(llm, `What is ${a} + ${b}?`, { modality: "text", thinking: true, params: ANSWER }),
    );
    if (text.trim() === `${a} + ${b} = ${a + b}`) right++;
  }
  result["additionExactMatch"] = right / (2 * count);

  onProgress?.("scenes");
  const scenes = { color: 0, shape: 0, both: 0, all: 0 };
  for (let i = 0; i < count; i++) {
    const scene = makeScene(sceneSeeds.heldOut, i);
    const deltas = await collect(llm, captionScene(scene, "en"), { modality: "image", thinking: false, params: { ...DRAWING, seed: i } }); // prettier-ignore
    const image = deltas.find((d) => d.kind === "image")?.image as RgbImage;
    const check = checkScene(image.data, size, scene);
    if (check.isColorRight) scenes.color++;
    if (check.isShapeRight) scenes.both++;
    if (check.isShapeRight && check.isRelationRight) scenes.all++;
  }
  result["sceneColorsRight"] = scenes.color / count;
  result["sceneColorsAndShapesRight"] = scenes.both / count;
  result["sceneAllRight"] = scenes.all / count;

  onProgress?.("motions");
  let moved = 0;
  const numMotions = Math.ceil(count / 2);
  for (let i = 0; i < numMotions; i++) {
    const motion = makeMotion(motionSeeds.heldOut, i);
    const deltas = await collect(llm, captionMotion(motion, "en"), { modality: "video", thinking: false, params: { ...DRAWING, seed: i } }); // prettier-ignore
    const frames = deltas.find((d) => d.kind === "video")?.frames ?? [];
    const joined = new Uint8Array(size * size * 3 * numFrames);
    frames.forEach((f, k) => joined.set(f.data, k * size * size * 3));
    if (readMotion(joined, size, numFrames) === motion.kind) moved++;
  }
  result["motionRight"] = moved / numMotions;

  const { pixels } = data;
  if (!pixels) {
    result.skipped.push("PSNR, SSIM and captions: the built pictures are not here");
    return result;
  }
  onProgress?.("reconstruction");
  const list = pixels.pictureSplit.heldOut;
  let [psnr, similarity] = [0, 0];
  for (let i = 0; i < 8 * count; i++) {
    const pixel = pixels.picture(list[(i * 13) % list.length]!);
    using _scope = t.tensorScope();
    const ids = parts.visual.encode(toUnitPixels(device, [pixel], [1, size, size, 3]));
    const got = toBytes(parts.visual.decode(ids, 1).toArray());
    psnr += psnrFromMse(mse(got, pixel)) / (8 * count);
    similarity += ssim(got, pixel, size, size) / (8 * count);
  }
  result["imagePsnr"] = psnr;
  result["imageSsim"] = similarity;

  onProgress?.("captions");
  let f1 = 0;
  for (let i = 0; i < count; i++) {
    const index = pixels.pictureSplit.train[(i * 97) % pixels.pictureSplit.train.length]!;
    const image = { width: size, height: size, data: pixels.picture(index) };
    const content = [{ kind: "image", image }, { kind: "text", text: "What is this?" }] as const; // prettier-ignore
    const text = textOf(await collect(llm, content, { modality: "text", thinking: false, params: ANSWER }));
    f1 += wordF1(text, pixels.pictures[index]!.en) / count;
  }
  result["captionWordF1OnSeenPictures"] = f1;
  return result;
}

/** Teacher-forced cost of the texts, in bits per UTF-8 byte. */
function bitsPerByte(device: Device, { model, tokenizer, vocabulary }: LlmParts, texts: readonly string[]): number {
  let nats = 0;
  let bytes = 0;
  for (const text of texts) {
    using _scope = t.tensorScope();
    const ids = [vocabulary.id("<｜begin▁of▁sentence｜>"), ...tokenizer.encode(text)];
    bytes += new TextEncoder().encode(text).length;
    nats += t.noGrad(() => {
      const input = Tensor.from(device, Int32Array.from(ids.slice(0, -1)), [1, ids.length - 1]);
      const { hidden } = model.forward(input, { visual: sideInputs(vocabulary, ids.slice(0, -1)) });
      const logits = model.logits(hidden, { start: 0, end: vocabulary.visual.startId });
      const targets = Tensor.from(device, Int32Array.from(ids.slice(1)), [1, ids.length - 1]);
      return t.crossEntropy(logits, targets, { reduction: "sum" }).item();
    });
  }
  return nats / Math.LN2 / bytes;
}

/** Harmonic mean of word precision and recall. */
export function wordF1(got: string, want: string): number {
  const words = (s: string): string[] => s.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? [];
  const [a, b] = [words(got), words(want)];
  const rest = [...b];
  let both = 0;
  for (const word of a) {
    const at = rest.indexOf(word);
    if (at < 0) continue;
    rest.splice(at, 1);
    both++;
  }
  return both === 0 ? 0 : (2 * both) / (a.length + b.length);
}
