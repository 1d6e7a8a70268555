/**
 * Teaches a finished network when to think. In training the tag that opens or closes thinking is given, so the head's
 * row of `<think>` is never a target and free to be fitted: a logistic regression on the hidden state after a question
 * (arXiv:1610.01644, a linear probe), against the row of `</think>`, which stays, and
 * within answers, where it must stay far below what the network says. No other weight changes.
 * Main function: `learnChoice`.
 */
import { Prng } from "../base/prng.ts";
import { encodePrompt } from "../engine/chat-prompt.ts";
import type { LlmParts } from "../engine/llm.ts";
import { Tensor } from "../tensor/tensor.ts";
import * as t from "../tensor/ops.ts";
import { additionExample, subtractionExample, wordProblemExample, type ChatExample } from "./data/arithmetic.ts";
import { dialogueExample, type DialogueTables } from "./data/dialogue.ts";
import { sceneSeeds } from "./data/pixels.ts";
import { captionScene, makeScene } from "./data/scenes.ts";

interface Question {
  readonly prompt: string;
  readonly thinks: boolean;
  /** What comes after the tag, if it is text. */
  readonly text: string;
}
/** A state, and the logit that the row must pass there or stay below. */
interface Point {
  readonly state: Float32Array;
  readonly thinks: boolean;
  readonly against: number;
}
export interface ChoiceMetrics {
  readonly trained: number;
  readonly heldOut: number;
  /** Of held-out questions. */
  readonly accuracy: number;
}

const SEED = 77;
const COUNTS = { trained: 1600, heldOut: 400 } as const;
const ITERATIONS = 600;
const RATE = 0.05;
const WEIGHT_DECAY = 1e-3;
/** Places within an answer, where the row must stay this far below what the network says there. */
const INSIDE = 3;
const MARGIN = 4;
const MAX_TEXT = 100;

/** Half of them sums and problems, the others greetings, stories, definitions and wishes for pictures. */
function question(i: number, tables: DialogueTables, concepts: readonly string[]): Question {
  const random = new Prng(SEED + i * 7919);
  const ask = ({ prompt, reasoning, answer }: ChatExample): Question => ({ prompt, thinks: reasoning !== undefined, text: reasoning ?? answer }); // prettier-ignore
  const makers = [
    () => ask(additionExample(SEED, i)),
    () => ask(additionExample(SEED, i)),
    () => ask(subtractionExample(SEED, i)),
    () => ask(wordProblemExample(SEED, i)),
    () => ask(dialogueExample(SEED, i, tables)),
    () => ask(dialogueExample(SEED, i, tables)),
    () => ({
      prompt: captionScene(makeScene(sceneSeeds.train, i), random.int(4) === 0 ? "zh" : "en"),
      thinks: false,
      text: "",
    }),
    () => ({ prompt: concepts[random.int(concepts.length)]!, thinks: false, text: "" }),
  ];
  return makers[random.int(makers.length)]!();
}

/** The state that chooses the first token of the answer; then some within the answer. */
function pointsOf(parts: LlmParts, { prompt, thinks, text }: Question, random: Prng, other: Float32Array): Point[] {
  const { model, tokenizer, vocabulary } = parts;
  using _scope = t.tensorScope();
  const options = { thinking: "auto", hasFirstFrame: false, texts: undefined } as const;
  const asked = encodePrompt([{ role: "user", content: prompt }], options, tokenizer, vocabulary, () => []);
  const ids = [...asked, vocabulary.id(thinks ? "<think>" : "</think>"), ...tokenizer.encode(text).slice(0, MAX_TEXT)];
  const hidden = t.noGrad(() => model.forward(Tensor.from(model.device, Int32Array.from(ids), [1, ids.length])).hidden);
  const at = (p: number): Tensor => t.cast(t.slice(hidden, 1, p, p + 1), "f32");
  const first = at(asked.length - 1).toArray() as Float32Array;
  const inside = text === "" ? [] : Array.from({ length: INSIDE }, () => asked.length + random.int(ids.length - asked.length)); // prettier-ignore
  return [
    { state: first, thinks, against: dot(other, first) },
    ...inside.map((p): Point => {
      const logits = t
        .noGrad(() => model.logits(at(p), { start: 0, end: tokenizer.numText }))
        .toArray() as Float32Array;
      return { state: at(p).toArray() as Float32Array, thinks: false, against: logits.reduce((a, b) => Math.max(a, b)) - MARGIN }; // prettier-ignore
    }),
  ];
}

const dot = (a: Float32Array | Float64Array, b: Float32Array): number => {
  let sum = 0;
  for (let i = 0; i < b.length; i++) sum += a[i]! * b[i]!;
  return sum;
};

/** Writes the row into the network's head. */
export function learnChoice(parts: LlmParts, tables: DialogueTables): ChoiceMetrics {
  const { head, config } = parts.model;
  const d = config.hidden_size;
  const weight = head.weight.toArray() as Float32Array;
  const rowOf = (token: "<think>" | "</think>"): number => parts.vocabulary.id(token) * d;
  const other = weight.subarray(rowOf("</think>"), rowOf("</think>") + d);
  const concepts = tables.concepts.filter((c) => !c.isHeldOut).map((c) => c.en);
  const random = new Prng(SEED);
  const all = Array.from({ length: COUNTS.trained + COUNTS.heldOut }, (_, i) =>
    pointsOf(parts, question(i, tables, concepts), random, other),
  );
  const trained = all.slice(0, COUNTS.trained).flat();
  const row = Float64Array.from(other);
  // Scaled by the states' second moments, so that one rate serves every dimension.
  const scale = Float64Array.from({ length: d }, (_, c) => 1 / (1e-6 + trained.reduce((s, { state }) => s + state[c]! ** 2, 0) / trained.length)); // prettier-ignore
  for (let n = 0; n < ITERATIONS; n++) {
    const step = new Float64Array(d);
    for (const { state, thinks, against } of trained) {
      const error = (thinks ? 1 : 0) - 1 / (1 + Math.exp(against - dot(row, state)));
      for (let c = 0; c < d; c++) step[c]! += (error * state[c]!) / trained.length;
    }
    for (let c = 0; c < d; c++) row[c]! += RATE * (step[c]! * scale[c]! - WEIGHT_DECAY * (row[c]! - other[c]!));
  }
  weight.set(row, rowOf("<think>"));
  head.weight.copyFrom(weight);
  const heldOut = all.slice(COUNTS.trained).map(([first]) => first!);
  const right = heldOut.filter(({ state, thinks, against }) => dot(row, state) > against === thinks).length;
  return { trained: COUNTS.trained, heldOut: heldOut.length, accuracy: right / heldOut.length };
}
