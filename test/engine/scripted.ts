/**
 * A model that says what a test wants: all layers are zero, each token of the script has a direction of its own in
 * the embedding, and the head maps it to the token that follows. Real network, real engine, known answer.
 */
import type { Device } from "../../src/device/device.ts";
import { LocalLlm, type LlmParts } from "../../src/engine/llm.ts";
import { configFor } from "../../src/model/config.ts";
import { V4 } from "../../src/model/v4.ts";
import { VisualTokenizer } from "../../src/model/visual-tokenizer.ts";
import { Tokenizer } from "../../src/processor/tokenizer.ts";
import { makeVocabulary, specialTokens } from "../../src/processor/vocabulary.ts";
import { tinyConfig } from "../model/tiny.ts";

const LEVELS = [3, 3];
export const tokenizer = new Tokenizer({ merges: [], specials: specialTokens });
export const vocabulary = makeVocabulary(
  { imageSize: 32, side: 4, numFrames: 5, numLatents: 2, levels: LEVELS },
  tokenizer.numText,
);

/** A token of the script: a special by name, or one byte of text. */
export type Word = Parameters<typeof vocabulary.id>[0] | number;
const idOf = (word: Word): number => (typeof word === "number" ? word : vocabulary.id(word));

/** Each pair: after the first token comes the second. */
export function scriptedParts(device: Device, script: readonly (readonly [Word, Word])[]): LlmParts {
  const { vocab_size: _v, visual: _ids, ...shape } = tinyConfig();
  const config = configFor("nano", vocabulary, { ...shape, num_nextn_predict_layers: 0 });
  const model = new V4(device, config, { init: "zeros" });
  const d = config.hidden_size;
  const embed = new Float32Array(config.vocab_size * d);
  const head = new Float32Array(config.vocab_size * d);
  const directions = [...new Set(script.map(([from]) => idOf(from)))];
  if (directions.length >= d) throw new Error(`scripted: expected fewer than ${d} tokens, got ${directions.length}`);
  // Tokens outside the script share the last direction, which prefers nothing.
  for (let id = 0; id < config.vocab_size; id++) embed[id * d + d - 1] = 1;
  directions.forEach((id, i) => {
    embed[id * d + d - 1] = 0;
    embed[id * d + i] = 1;
  });
  for (const [from, to] of script) head[idOf(to) * d + directions.indexOf(idOf(from))] = 1;
  model.embed.weight.copyFrom(embed);
  model.head.weight.copyFrom(head);
  const visual = new VisualTokenizer(device, { imageSize: 32, channels: [4, 4], numBlocks: 1, levels: LEVELS }, 3);
  return { id: "scripted", createdUnixS: 1_800_000_000, fps: 11, model, visual, tokenizer, vocabulary };
}

export const scripted = (device: Device, script: readonly (readonly [Word, Word])[]): LocalLlm =>
  new LocalLlm(scriptedParts(device, script));

/** Consecutive words, each following the one before. */
export const chain = (...words: readonly Word[]): [Word, Word][] =>
  words.slice(1).map((word, i): [Word, Word] => [words[i]!, word]);

export const byte = (char: string): number => char.charCodeAt(0);
