/**
 * The training stream: one sample per index, drawn from weighted sources, encoded exactly as the engine will encode
 * a request (processor/chat.ts, processor/visual.ts) and as guidance will blank it (engine/chat-prompt.ts).
 * Main function: `Mixture.sample`.
 */
import { Prng, randomBits } from "../../base/prng.ts";
import { markersOf, type Markers } from "../../engine/chat-prompt.ts";
import { chatSegments, encodeChat, type ChatPart } from "../../processor/chat.ts";
import type { Tokenizer } from "../../processor/tokenizer.ts";
import type { Style, Vocabulary } from "../../processor/vocabulary.ts";
import type { TokenSample } from "../batching.ts";
import { additionExample, subtractionExample, wordProblemExample, type ChatExample } from "./arithmetic.ts";
import type { CodeBook } from "./codes.ts";
import { dialogueExample, type DialogueTables } from "./dialogue.ts";
import { captionMotion, makeMotion } from "./motions.ts";
import { motionSeeds, sceneSeeds, type Pixels } from "./pixels.ts";
import { captionScene, makeScene } from "./scenes.ts";

interface Visual {
  readonly codes: ArrayLike<number>;
  readonly style: Style;
}
type Part = ChatPart<Visual>;

/** Share of samples, not of tokens. */
export const sourceWeights = {
  prose: 8,
  verse: 3,
  dialogue: 14,
  addition: 20,
  subtraction: 5,
  wordProblem: 4,
  schoolProblem: 3,
  picture: 20,
  clipart: 3,
  scene: 20,
  clip: 1,
  motion: 7,
  pictureCaption: 6,
  sceneCaption: 5,
} as const;
type Weights = Readonly<Record<keyof typeof sourceWeights, number>>;

/** Less natural text, which is learned well by then, and more of what needs exact digits and shapes. */
const exactWeights: Weights = {
  prose: 3,
  verse: 1,
  dialogue: 8,
  addition: 16,
  subtraction: 3,
  wordProblem: 3,
  schoolProblem: 1,
  picture: 30,
  clipart: 3,
  scene: 40,
  clip: 1,
  motion: 4,
  pictureCaption: 6,
  sceneCaption: 4,
};
/** Mostly pictures, which need the most samples; of the rest what keeps it. */
const pictureWeights: Weights = {
  prose: 3,
  verse: 1,
  dialogue: 5,
  addition: 9,
  subtraction: 1,
  wordProblem: 1,
  schoolProblem: 1,
  picture: 66,
  clipart: 3,
  scene: 16,
  clip: 1,
  motion: 3,
  pictureCaption: 7,
  sceneCaption: 2,
};
interface Phase {
  /** First sample. */
  readonly from: number;
  readonly weights: Weights;
}
/** What a run sees from which sample on: `whole` from nothing, `pictures` to go on from a model that `whole` made. */
export const mixtures = {
  whole: [
    { from: 0, weights: sourceWeights },
    { from: 172_000, weights: exactWeights },
  ],
  pictures: [{ from: 0, weights: pictureWeights }],
} as const satisfies Record<string, readonly Phase[]>;
export type MixtureName = keyof typeof mixtures;

export type SourceName = keyof typeof sourceWeights;

/** Of pictures and clips: the prompt is blanked, so that guidance has an unconditional side. */
const BLANK_SHARE = 0.1;

export interface MixtureTables extends DialogueTables {
  readonly prose: readonly string[];
  readonly verse: readonly string[];
  readonly wordProblems: readonly ChatExample[];
}

export interface MixtureOptions {
  readonly name: MixtureName;
  readonly seed: number;
  readonly tables: MixtureTables;
  readonly pixels: Pixels;
  readonly codes: CodeBook;
  readonly tokenizer: Tokenizer;
  readonly vocabulary: Vocabulary;
  readonly maxLength: number;
}

export class Mixture {
  private readonly options: MixtureOptions;
  private readonly markers: Markers;
  private readonly names = Object.keys(sourceWeights) as SourceName[];

  constructor(options: MixtureOptions) {
    this.options = options;
    this.markers = markersOf(options.vocabulary);
  }

  sample = (index: number): TokenSample => {
    const random = new Prng(randomBits(this.options.seed, index));
    const { weights } = (mixtures[this.options.name] as readonly Phase[]).findLast(({ from }) => index >= from)!;
    const total = this.names.reduce((sum, name) => sum + weights[name], 0);
    let at = random.int(total);
    const source = this.names.find((name) => (at -= weights[name]) < 0)!;
    return this.make(source, random, index);
  };

  private make(source: SourceName, random: Prng, index: number): TokenSample {
    const { seed, tables, pixels, codes } = this.options;
    const pick = <T>(list: readonly T[]): T => list[random.int(list.length)]!;
    const language = random.int(4) === 0 ? "zh" : "en";
    switch (source) {
      case "prose":
      case "verse":
        return tables[source].length > 0 ? this.document(pick(tables[source])) : this.make("dialogue", random, index);
      case "schoolProblem":
        return tables.wordProblems.length > 0
          ? this.chat(source, pick(tables.wordProblems))
          : this.make("wordProblem", random, index);
      case "dialogue":
        return this.chat(source, dialogueExample(seed, index, tables));
      case "addition":
        return this.chat(source, additionExample(seed, index));
      case "subtraction":
        return this.chat(source, subtractionExample(seed, index));
      case "wordProblem":
        return this.chat(source, wordProblemExample(seed, index));
      case "picture":
      case "pictureCaption": {
        const i = pick(pixels.pictureSplit.train);
        const { en, zh, style, tags } = pixels.pictures[i]!;
        const visual = { codes: codes.picture(i), style };
        const label = language === "zh" && zh !== "" ? zh : en;
        if (source === "pictureCaption") return this.caption(visual, label, language);
        const described = random.int(6) === 0 && tags.length > 0 ? `${en}, ${tags.slice(0, 3).join(", ")}` : label;
        return this.drawing("image", visual, random.int(4) === 0 ? `${described}, ${style} style` : described, random);
      }
      case "clipart": {
        if (pixels.clipart.length === 0) return this.make("picture", random, index);
        const i = pick(pixels.clipartSplit.train);
        const { en, tags } = pixels.clipart[i]!;
        const described = random.int(6) === 0 && tags.length > 0 ? `${en}, ${tags.slice(0, 3).join(", ")}` : en;
        const text = random.int(4) === 0 ? `${described}, clip art` : described;
        return this.drawing("image", { codes: codes.clipart(i), style: "clipart" }, text, random);
      }
      case "scene":
      case "sceneCaption": {
        const i = random.int(codes.counts.scenes);
        const text = captionScene(makeScene(sceneSeeds.train, i), language);
        const visual = { codes: codes.scene(i), style: "scene" } as const;
        return source === "scene" ? this.drawing("image", visual, text, random) : this.caption(visual, text, language);
      }
      case "clip": {
        const i = pick(pixels.clipSplit.train);
        const { en, zh } = pixels.clips[i]!;
        const text = language === "zh" && zh !== "" ? zh : en;
        return this.drawing("video", { codes: codes.clip(i), style: "animated" }, text, random);
      }
      case "motion": {
        const i = random.int(codes.counts.motions);
        const text = captionMotion(makeMotion(motionSeeds.train, i), language);
        return this.drawing("video", { codes: codes.motion(i), style: "motion" }, text, random);
      }
    }
  }

  private chat(source: string, { prompt, reasoning, answer }: ChatExample): TokenSample {
    return this.turn(source, [{ kind: "text", text: prompt }], [{ kind: "text", text: answer }], reasoning);
  }

  private caption(visual: Visual, label: string, language: "en" | "zh"): TokenSample {
    const ask = language === "zh" ? "这是什么？" : "What is this?";
    const prompt: Part[] = [{ kind: "image", image: { ...visual, style: "any" } }, { kind: "text", text: ask }]; // prettier-ignore
    return this.turn("caption", prompt, [{ kind: "text", text: label }]);
  }

  private drawing(kind: "image" | "video", visual: Visual, text: string, random: Prng): TokenSample {
    const openings = kind === "image" ? ["", "draw ", "Draw ", "a picture of ", "画："] : ["", "animate ", "a clip of ", "动画："]; // prettier-ignore
    const prompt = openings[random.int(openings.length)]! + text;
    const part: Part = kind === "image" ? { kind, image: visual } : { kind, video: visual };
    const isBlank = random.uniform() < BLANK_SHARE;
    return this.turn(kind, [{ kind: "text", text: prompt }], [part], undefined, isBlank);
  }

  /** One user turn and its answer; only what the assistant writes is learned. */
  private turn(
    source: string,
    prompt: readonly Part[],
    answer: readonly Part[],
    reasoning?: string,
    isBlank = false,
  ): TokenSample {
    // prettier-ignore
    const { tokenizer, vocabulary } = this.options;
    const segments = chatSegments<Visual>(
      [
        { role: "user", content: prompt },
        { role: "assistant", content: answer, ...(reasoning !== undefined && { reasoning }) },
      ],
      { thinking: reasoning !== undefined },
    );
    const encode = (list: typeof segments): number[] =>
      encodeChat(list, tokenizer, vocabulary, { codes: (_k, v) => v.codes, style: (_k, v) => v.style });
    const assistant = segments.findIndex((s) => s.kind === "special" && s.token === "<｜Assistant｜>");
    // The turn's first token after <Assistant> is <think> or </think>, which the engine writes.
    const promptIds = encode(segments.slice(0, assistant + 2));
    const ids = encode(segments);
    if (isBlank) ids.splice(0, promptIds.length, ...this.markers.blank(promptIds));
    const isTarget = new Uint8Array(ids.length).fill(1, promptIds.length);
    return this.cut({ ids: Int32Array.from(ids), isTarget, source });
  }

  private document(text: string): TokenSample {
    const { tokenizer, vocabulary } = this.options;
    const ids = [vocabulary.id("<｜begin▁of▁sentence｜>"), ...tokenizer.encode(text), vocabulary.id("<｜end▁of▁sentence｜>")]; // prettier-ignore
    return this.cut({ ids: Int32Array.from(ids), isTarget: new Uint8Array(ids.length).fill(1), source: "prose" });
  }

  /** Text longer than the context loses its end; a picture or clip never does, as clips fit by construction. */
  private cut(sample: TokenSample): TokenSample {
    const { maxLength } = this.options;
    if (sample.ids.length <= maxLength) return sample;
    return { ...sample, ids: sample.ids.slice(0, maxLength), isTarget: sample.isTarget.slice(0, maxLength) };
  }
}
