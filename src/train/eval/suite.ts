/**
 * What the measures of a suite share: the model, held-out data, how much to ask, and how to ask. Text is greedy;
 * pictures and clips are drawn as for a user who says nothing (engine/defaults.ts), with seeds that depend on the
 * suite's seed and their number only.
 * Main parts: `Suite`, `Figures`.
 */
import { randomBits } from "../../base/prng.ts";
import { paramsFor } from "../../engine/defaults.ts";
import type { LocalLlm } from "../../engine/llm.ts";
import type { Delta, GenerateRequest, Modality, RgbImage } from "../../engine/types.ts";
import type { PictureJudge } from "../../model/picture-judge.ts";
import type { Pixels } from "../data/pixels.ts";
import type { HeldOutTexts } from "./texts.ts";

export interface SmokeData {
  readonly texts: HeldOutTexts;
  /** Absent where the pictures are not built, or built for another size. */
  readonly pixels: Pixels | undefined;
  readonly judge: PictureJudge | undefined;
}

/** Numbers by name, in groups; every group says how many cases it is of. */
export interface Figures {
  readonly [name: string]: number | Figures;
}

/** Figures, and for what could not be measured its name and why. */
export interface Measured {
  readonly figures?: Figures;
  readonly skipped?: readonly string[];
}

export type Prompt = GenerateRequest["messages"][number]["content"];

export class Suite {
  readonly llm: LocalLlm;
  readonly data: SmokeData;
  /** Prompts per measure; each measure asks a fixed multiple. */
  readonly count: number;
  readonly seed: number;
  private readonly onProgress: (done: number, total: number) => void;

  constructor(
    llm: LocalLlm,
    data: SmokeData,
    options: { readonly count: number; readonly seed: number },
    onProgress: (done: number, total: number) => void,
  ) {
    this.llm = llm;
    this.data = data;
    this.count = options.count;
    this.seed = options.seed;
    this.onProgress = onProgress;
  }

  get size(): number {
    return this.llm.info.imageSize;
  }
  get numFrames(): number {
    return this.llm.info.numFrames;
  }

  /** One after the other, since a device does one thing at a time. */
  async each<T, R>(items: readonly T[], work: (item: T, index: number) => Promise<R> | R): Promise<R[]> {
    const out: R[] = [];
    for (const item of items) {
      out.push(await work(item, out.length));
      this.onProgress(out.length, items.length);
    }
    return out;
  }

  async answer(content: Prompt, options: { readonly thinking: boolean }): Promise<string> {
    const deltas = await this.collect(content, "text", options.thinking, 0);
    return deltas.map((d) => (d.kind === "content" ? d.text : "")).join("");
  }

  /** 8-bit RGB [size,size,3]. */
  async picture(prompt: string, index: number): Promise<Uint8Array> {
    const deltas = await this.collect(prompt, "image", false, index);
    return (deltas.find((d) => d.kind === "image")!.image as RgbImage).data;
  }

  /** 8-bit RGB [numFrames,size,size,3]. */
  async clip(prompt: string, index: number): Promise<Uint8Array> {
    const deltas = await this.collect(prompt, "video", false, index);
    const { frames } = deltas.find((d) => d.kind === "video")!;
    const frameBytes = this.size * this.size * 3;
    const out = new Uint8Array(frameBytes * frames.length);
    frames.forEach((frame, i) => out.set(frame.data, i * frameBytes));
    return out;
  }

  private async collect(content: Prompt, modality: Modality, thinking: boolean, index: number): Promise<Delta[]> {
    const greedy = { temperature: 0, topK: 0, topP: 1, guidance: 1, maxTokens: 160 } as const;
    const params = paramsFor(modality, { seed: randomBits(this.seed, index), ...(modality === "text" && greedy) });
    const deltas: Delta[] = [];
    const request = { messages: [{ role: "user", content }], modality, thinking, params } as const;
    for await (const delta of this.llm.generate(request)) deltas.push(delta);
    return deltas;
  }
}

/** Of how many, and which share passes each check; no shares of nothing. */
export function sharesOf<T>(list: readonly T[], checks: Readonly<Record<string, (item: T) => boolean>>): Figures {
  const figures: Record<string, number> = { n: list.length };
  if (list.length > 0)
    for (const [name, passes] of Object.entries(checks)) figures[name] = list.filter(passes).length / list.length;
  return figures;
}

export const meanOf = (list: readonly number[]): number => list.reduce((sum, x) => sum + x, 0) / list.length;

/** `count` items spread over the whole list; all of it when it is shorter. */
export const spread = <T>(list: readonly T[], count: number): T[] =>
  Array.from({ length: Math.min(count, list.length) }, (_, i) => list[Math.floor((i * list.length) / Math.min(count, list.length))]!); // prettier-ignore
