/**
 * Trains the text part of the vocabulary on a weighted sample of everything the mixture says.
 * Main function: `trainTokenizer`.
 */
import { countWords, trainBpe } from "../../processor/bpe-train.ts";
import { Tokenizer } from "../../processor/tokenizer.ts";
import { NUM_TEXT, specialTokens } from "../../processor/vocabulary.ts";
import { dialogueExample } from "./dialogue.ts";
import type { MixtureTables } from "./mixture.ts";
import { wordProblemExample } from "./arithmetic.ts";
import { sceneSeeds } from "./pixels.ts";
import { captionScene, makeScene } from "./scenes.ts";
import { chineseStory, story } from "./stories.ts";

export function trainTokenizer(
  tables: MixtureTables,
  options: { readonly numText?: number; readonly onProgress?: (done: number, total: number) => void } = {},
): Tokenizer {
  const counts = new Map<string, number>();
  for (const text of tables.prose) countWords(counts, text);
  // Classical verse has thousands of rare characters; an eighth of it keeps them from crowding out words.
  tables.verse.forEach((poem, i) => i % 8 === 0 && countWords(counts, poem));
  for (const { prompt, reasoning } of tables.wordProblems) countWords(counts, `${prompt} ${reasoning}`);
  for (const { word, gloss } of tables.definitions) countWords(counts, `${word}: ${gloss}`);
  for (const { en, zh, tags } of tables.concepts) countWords(counts, ` ${en} ${zh} ${tags.join(" ")}`, 20);
  for (let i = 0; i < 4000; i++) {
    const { prompt, answer } = dialogueExample(1, i, tables);
    countWords(counts, `${prompt} ${answer}`);
    countWords(counts, story(1, i));
    countWords(counts, chineseStory(1, i));
    countWords(counts, captionScene(makeScene(sceneSeeds.train, i), "zh"));
    countWords(counts, wordProblemExample(1, i).prompt);
  }
  const { numText = NUM_TEXT, onProgress } = options;
  const merges = trainBpe(counts, { vocabSize: numText, ...(onProgress && { onProgress }) });
  return new Tokenizer({ merges, specials: specialTokens });
}
