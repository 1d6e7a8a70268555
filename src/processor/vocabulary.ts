/**
 * The layout of the one vocabulary: text ids, then 105 specials, then visual codes, then padding to a multiple of 64.
 *   [0, numText)            byte-level BPE; the first 256 ids are the single bytes
 *   [numText, +105)         `specialTokens`, in this order
 *   [visual.startId, +n)    codes of the visual tokenizer, mixed radix of its levels, first level slowest
 * Everything that needs an id asks this file; nothing else holds id arithmetic. Main function: `makeVocabulary`.
 * Source: the names of the chat tokens are DeepSeek-V4's; ids are our own.
 */
import { RequestError } from "../base/errors.ts";

const namedSpecials = [
  "<｜begin▁of▁sentence｜>",
  "<｜end▁of▁sentence｜>",
  "<｜▁pad▁｜>",
  "<｜User｜>",
  "<｜Assistant｜>",
  "<｜System｜>",
  "<think>",
  "</think>",
  "<|EOT|>",
  "｜DSML｜",
  "<｜latest_reminder｜>",
  "<｜action｜>",
  "<｜query｜>",
  "<｜authority｜>",
  "<｜domain｜>",
  "<｜title｜>",
  "<｜read_url｜>",
  "<｜fim▁begin｜>",
  "<｜fim▁hole｜>",
  "<｜fim▁end｜>",
  /** A picture segment opens and closes. */
  "<boi>",
  "<eoi>",
  /** A clip segment opens and closes. */
  "<bov>",
  "<eov>",
  /** The prompt of the unconditional branch of guidance. */
  "<null>",
  /** Fills a segment's head so that its codes start at a multiple of 4. */
  "<vpad>",
  "<style:noto>",
  "<style:flat>",
  "<style:twemoji>",
  "<style:3d>",
  "<style:animated>",
  "<style:clipart>",
  "<style:scene>",
  "<style:motion>",
  "<style:any>",
  "<size:4x4>",
  "<size:8x8>",
  "<size:16x16>",
  /** Latent frames of a clip: 2 for 5 frames, 4 for 13. */
  "<frames:2>",
  "<frames:4>",
  "<frames:8>",
] as const;

export type SpecialToken = (typeof namedSpecials)[number];

export const NUM_SPECIALS = 105;
export const NUM_TEXT = 8192;

/** All 105, unused rows included, in id order. */
export const specialTokens: readonly string[] = [
  ...namedSpecials,
  ...Array.from({ length: NUM_SPECIALS - namedSpecials.length }, (_, i) => `<｜reserved_${i}｜>`),
];

export const styles = ["noto", "flat", "twemoji", "3d", "animated", "clipart", "scene", "motion", "any"] as const;
export type Style = (typeof styles)[number];

/** What one latent frame and one clip are made of. */
export interface VisualGeometry {
  /** Pixels per side. */
  readonly imageSize: number;
  /** Codes per side. */
  readonly side: number;
  /** Frames of a clip, 1 + 4k. */
  readonly numFrames: number;
  /** Latent frames of a clip, 1 + k. */
  readonly numLatents: number;
  /** Levels of the finite scalar quantiser. */
  readonly levels: readonly number[];
}

const geometry = (imageSize: number, numFrames: number, levels: readonly number[]): VisualGeometry => ({
  imageSize,
  side: imageSize / 8,
  numFrames,
  numLatents: 1 + (numFrames - 1) / 4,
  levels,
});

export const geometries = {
  nano: geometry(32, 5, [7, 5, 5, 5]),
  mini: geometry(64, 13, [7, 5, 5, 5, 5]),
} as const satisfies Record<string, VisualGeometry>;

export interface Vocabulary {
  readonly numText: number;
  /** Rows of the embedding table: a multiple of 64. */
  readonly size: number;
  readonly visual: VisualGeometry & { readonly startId: number; readonly numCodes: number };
  readonly id: (token: SpecialToken) => number;
  readonly styleId: (style: Style) => number;
  readonly sizeId: number;
  readonly framesId: number;
}

/** `numText` differs from 8,192 only in tests. */
export function makeVocabulary(visual: VisualGeometry, numText = NUM_TEXT): Vocabulary {
  const startId = numText + NUM_SPECIALS;
  const numCodes = visual.levels.reduce((p, n) => p * n, 1);
  const ids = new Map(specialTokens.map((token, i) => [token, numText + i]));
  const id = (token: string): number => {
    const found = ids.get(token);
    if (found === undefined) throw new RequestError(`vocabulary: expected a special token, got "${token}"`);
    return found;
  };
  return {
    numText,
    size: Math.ceil((startId + numCodes) / 64) * 64,
    visual: { ...visual, startId, numCodes },
    id,
    styleId: (style) => id(`<style:${style}>`),
    sizeId: id(`<size:${visual.side}x${visual.side}>`),
    framesId: id(`<frames:${visual.numLatents}>`),
  };
}

export const vocabularies = {
  nano: makeVocabulary(geometries.nano),
  mini: makeVocabulary(geometries.mini),
} as const satisfies Record<string, Vocabulary>;

export type Kind = "text" | "special" | "visual" | "unused";

export function kindOf(vocabulary: Vocabulary, id: number): Kind {
  if (id < vocabulary.numText) return "text";
  if (id < vocabulary.visual.startId) return "special";
  return id < vocabulary.visual.startId + vocabulary.visual.numCodes ? "visual" : "unused";
}
