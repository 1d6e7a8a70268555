/**
 * Held-out text by source, and what it costs the model in bits per byte. A document is scored whole; of a
 * conversation, as in training, what the assistant writes (its reasoning too) up to the end of the turn.
 * Main functions: `heldOutTexts`, `textCost`.
 */
import { chatSegments, encodeChat } from "../../processor/chat.ts";
import type { LlmParts } from "../../engine/llm.ts";
import { sideInputs } from "../../processor/visual.ts";
import * as t from "../../tensor/ops.ts";
import { Tensor } from "../../tensor/tensor.ts";
import { additionProblem, additionSteps, type ChatExample } from "../data/arithmetic.ts";
import { readTables } from "../data/build.ts";
import { dialogueExample } from "../data/dialogue.ts";
import { readDefinitions, readProse, readVerse } from "../data/texts.ts";
import { spread, type Figures, type Measured, type Suite } from "./suite.ts";

export type EvalText = string | ChatExample;

export const textSources = ["prose", "verse", "definitions", "stories", "dialogue", "addition"] as const;
export type TextSource = (typeof textSources)[number];
/** Texts of each source, or why there are none. */
export type HeldOutTexts = Readonly<Record<TextSource, readonly EvalText[] | string>>;

/** Another stream than any that is trained on. */
const HELD_OUT_SEED = 501;
const POOL = 1000;

/** `packagesDir` is absent where nothing is downloaded; `sharedDir` is where books and verse are, if anywhere. */
export async function heldOutTexts(packagesDir: string | undefined, sharedDir: string): Promise<HeldOutTexts> {
  const prose = readProse(sharedDir, 900).heldOut;
  const verse = readVerse(sharedDir, 120).heldOut;
  const tables = packagesDir === undefined ? undefined : await readTables(packagesDir, sharedDir);
  const definitions = packagesDir === undefined ? undefined : (await readDefinitions(packagesDir)).heldOut;
  const missing = "the packages are not here";
  const turns = tables && Array.from({ length: POOL }, (_, i) => dialogueExample(HELD_OUT_SEED, i, tables));
  const isStory = ({ prompt }: ChatExample): boolean => /story|故事/.test(prompt);
  return {
    prose: prose.length > 0 ? prose : "the books are not here",
    verse: verse.length > 0 ? verse : "the poems are not here",
    definitions: definitions?.map(({ word, gloss }) => ({ prompt: `What is ${word}?`, answer: `${word}: ${gloss}` })) ?? missing, // prettier-ignore
    stories: turns?.filter(isStory) ?? missing,
    dialogue: turns?.filter((turn) => !isStory(turn)) ?? missing,
    addition: Array.from({ length: POOL }, (_, i) => {
      const [a, b] = additionProblem(HELD_OUT_SEED, i, true);
      return { prompt: `What is ${a} + ${b}?`, reasoning: additionSteps(a, b), answer: `${a} + ${b} = ${a + b}` };
    }),
  };
}

export async function textCost(suite: Suite): Promise<Measured> {
  const figures: Record<string, Figures> = {};
  const skipped: string[] = [];
  for (const source of textSources) {
    const texts = suite.data.texts[source];
    if (typeof texts === "string") {
      skipped.push(`text.${source}: ${texts}`);
      continue;
    }
    const costs = await suite.each(spread(texts, 4 * suite.count), (text) => costOf(suite.llm.parts, text));
    const bytes = costs.reduce((sum, c) => sum + c.bytes, 0);
    const bits = costs.reduce((sum, c) => sum + c.nats, 0) / Math.LN2;
    figures[source] = { n: costs.length, bytes, bitsPerByte: bits / bytes };
  }
  return { figures, skipped };
}

/** Ids, from where on they are scored, and the bytes that the scored ones stand for. */
interface Scored {
  readonly ids: readonly number[];
  readonly from: number;
  readonly bytes: number;
}

function scoredOf({ tokenizer, vocabulary }: LlmParts, text: EvalText): Scored {
  const size = (s: string): number => new TextEncoder().encode(s).length;
  if (typeof text === "string")
    return { ids: [vocabulary.id("<｜begin▁of▁sentence｜>"), ...tokenizer.encode(text)], from: 1, bytes: size(text) };
  const { prompt, reasoning, answer } = text;
  const segments = chatSegments<never>(
    [
      { role: "user", content: prompt },
      { role: "assistant", content: answer, ...(reasoning !== undefined && { reasoning }) },
    ],
    { thinking: reasoning !== undefined },
  );
  const encode = (list: typeof segments): number[] =>
    encodeChat(list, tokenizer, vocabulary, { codes: () => [], style: () => "any" });
  // <Assistant> and the <think> or </think> after it are the engine's; the end of the turn has no bytes.
  const assistant = segments.findIndex((s) => s.kind === "special" && s.token === "<｜Assistant｜>");
  const from = encode(segments.slice(0, assistant + 2)).length;
  return { ids: encode(segments.slice(0, -1)), from, bytes: size(`${reasoning ?? ""}${answer}`) };
}

/** Inputs are filled up to a multiple of this: element-wise kernels are made per shape, so lengths should be few. */
const LENGTH_STEP = 64;

/** Teacher-forced text logits [1,L,V], and how the ids are scored. What fills the input up comes after the text, so the text cannot see it. */
function logitsOf(parts: LlmParts, text: EvalText): Scored & { readonly logits: Tensor; readonly length: number } {
  const { model, vocabulary } = parts;
  const scored = scoredOf(parts, text);
  const { ids } = scored;
  const length = Math.ceil((ids.length - 1) / LENGTH_STEP) * LENGTH_STEP;
  const end = vocabulary.id("<｜end▁of▁sentence｜>");
  const input = Array.from({ length }, (_, i) => (i < ids.length - 1 ? ids[i]! : end));
  const read = Tensor.from(model.device, Int32Array.from(input), [1, length]);
  const { hidden } = model.forward(read, { visual: sideInputs(vocabulary, input) });
  return { ...scored, length, logits: model.logits(hidden, { start: 0, end: vocabulary.visual.startId }) };
}

function costOf(parts: LlmParts, text: EvalText): { readonly nats: number; readonly bytes: number } {
  using _scope = t.tensorScope();
  return t.noGrad(() => {
    const { ids, from, bytes, logits, length } = logitsOf(parts, text);
    const ignored = -100;
    const targets = Int32Array.from({ length }, (_, i) => (i + 1 < from ? ignored : (ids[i + 1] ?? ignored)));
    const wanted = Tensor.from(parts.model.device, targets, [1, length]);
    const nats = t.sum(t.crossEntropy(logits, wanted, { reduction: "none", ignoreIndex: ignored })).item();
    return { nats, bytes };
  });
}

/** The likeliest next id after every scored position of a text: what greedy choice would write there. */
export function greedyIds(parts: LlmParts, text: EvalText): number[] {
  using _scope = t.tensorScope();
  return t.noGrad(() => {
    const { ids, from, logits } = logitsOf(parts, text);
    const all = logits.toArray() as Float32Array;
    const width = logits.shape.at(-1)!;
    const bestAt = (row: number): number => {
      const row0 = row * width;
      let best = 0;
      for (let i = 1; i < width; i++) if (all[row0 + i]! > all[row0 + best]!) best = i;
      return best;
    };
    return Array.from({ length: ids.length - from }, (_, i) => bestAt(from - 1 + i));
  });
}
