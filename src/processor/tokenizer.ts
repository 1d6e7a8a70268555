/**
 * Byte-level BPE behind the standard `tokenizer.json`: any text encodes (unknown characters fall back to bytes) and
 * decodes to the same bytes. Words are cut by one explicit Unicode expression, digits stand alone, Han and kana runs
 * are words of their own; each word is merged by rank and remembered.
 * Text never becomes a special token by itself: specials are asked for by name (`encode(text, {specials: true})`
 * reads a file's own markup). Main class: `Tokenizer`; training is bpe-train.ts.
 */
import { readFileSync } from "node:fs";
import { z } from "zod";
import { FormatError } from "../base/errors.ts";
import { writeWhole } from "../base/files.ts";
import { byteToChar, charToByte, mergeWord, pairKey, type Merge } from "./bpe.ts";

/** The word pattern; valid in JavaScript (u flag), Oniguruma and Rust's fancy-regex alike. */
export const WORD_PATTERN = [
  "\\p{N}",
  "[\\p{Script=Han}\\p{Script=Hiragana}\\p{Script=Katakana}]+",
  "[^\\r\\n\\p{L}\\p{P}\\p{S}\\p{N}]?(?:(?![\\p{Script=Han}\\p{Script=Hiragana}\\p{Script=Katakana}])[\\p{L}\\p{M}])+",
  " ?[\\p{P}\\p{S}]+[\\r\\n]*",
  "\\s*[\\r\\n]+",
  "\\s+(?!\\S)",
  "\\s+",
].join("|");

const wordRegex = new RegExp(WORD_PATTERN, "gu");

/** Cuts text into words; whatever the pattern skips is a word too, so the pieces always join to the text. */
export function* splitWords(text: string): Generator<string> {
  let end = 0;
  for (const match of text.matchAll(wordRegex)) {
    if (match.index > end) yield text.slice(end, match.index);
    yield match[0];
    end = match.index + match[0].length;
  }
  if (end < text.length) yield text.slice(end);
}

const fileSchema = z.object({
  added_tokens: z.array(z.object({ id: z.number().int(), content: z.string().min(1) })),
  pre_tokenizer: z.object({
    type: z.literal("Sequence"),
    pretokenizers: z.array(z.object({ type: z.string(), pattern: z.object({ Regex: z.string() }).optional() })).min(2),
  }),
  model: z.object({
    type: z.literal("BPE"),
    vocab: z.record(z.string(), z.number().int().nonnegative()),
    merges: z.array(z.union([z.string(), z.tuple([z.string(), z.string()])])),
  }),
});

export interface TokenizerData {
  /** merges[i] makes id 256 + i from two earlier ids. */
  readonly merges: readonly (readonly [number, number])[];
  /** Ids follow the text ids. */
  readonly specials: readonly string[];
}

const utf8 = new TextEncoder();
const CACHE_WORDS = 65536;

export class Tokenizer {
  readonly numText: number;
  readonly specials: readonly string[];
  /** Bytes of every text id. */
  readonly tokenBytes: readonly Uint8Array[];
  private readonly merges: readonly (readonly [number, number])[];
  private readonly mergeTable = new Map<number, Merge>();
  private readonly specialIds: ReadonlyMap<string, number>;
  private readonly specialRegex: RegExp;
  private readonly cache = new Map<string, readonly number[]>();

  constructor(data: TokenizerData) {
    this.merges = data.merges;
    this.numText = 256 + data.merges.length;
    this.specials = data.specials;
    this.specialIds = new Map(data.specials.map((s, i) => [s, this.numText + i]));
    // Longest first, so that no special hides behind its own prefix.
    const names = data.specials
      .toSorted((a, b) => b.length - a.length)
      .map((s) => s.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&"));
    this.specialRegex = new RegExp(names.length > 0 ? `(${names.join("|")})` : "(?!)", "u");
    const bytes: Uint8Array[] = Array.from({ length: 256 }, (_, b) => Uint8Array.of(b));
    data.merges.forEach(([a, b], i) => {
      bytes.push(Uint8Array.of(...bytes[a]!, ...bytes[b]!));
      this.mergeTable.set(pairKey(a, b), { rank: i, id: 256 + i });
    });
    this.tokenBytes = bytes;
  }

  /** Plain text by default; with `specials`, special tokens written in the text become their ids. */
  encode(text: string, options: { readonly specials?: boolean } = {}): number[] {
    const out: number[] = [];
    if (!options.specials) {
      this.encodePlain(text, out);
      return out;
    }
    for (const piece of text.split(this.specialRegex)) {
      const id = this.specialIds.get(piece);
      if (id !== undefined) out.push(id);
      else this.encodePlain(piece, out);
    }
    return out;
  }

  specialId(token: string): number | undefined {
    return this.specialIds.get(token);
  }

  /** Bytes of one id: a special's name, or nothing for ids beyond the specials (visual codes). */
  bytesOf(id: number): Uint8Array {
    if (id < this.numText) return this.tokenBytes[id]!;
    const special = this.specials[id - this.numText];
    return special === undefined ? new Uint8Array(0) : utf8.encode(special);
  }

  decode(ids: Iterable<number>, options: { readonly skipSpecials?: boolean } = {}): string {
    const decoder = this.stream(options);
    let text = "";
    for (const id of ids) text += decoder.push(id);
    return text + decoder.end();
  }

  /** Decodes id by id; a character is given out only when all its bytes are there. */
  stream(options: { readonly skipSpecials?: boolean } = {}): { push(id: number): string; end(): string } {
    const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
    return {
      push: (id) =>
        options.skipSpecials && id >= this.numText ? "" : decoder.decode(this.bytesOf(id), { stream: true }),
      end: () => decoder.decode(),
    };
  }

  /** The contents of tokenizer.json. */
  toJSON(): object {
    const name = this.tokenBytes.map((bytes) => Array.from(bytes, (b) => byteToChar[b]!).join(""));
    return {
      version: "1.0",
      truncation: null,
      padding: null,
      added_tokens: this.specials.map((content, i) => ({
        id: this.numText + i,
        content,
        single_word: false,
        lstrip: false,
        rstrip: false,
        normalized: false,
        special: true,
      })),
      normalizer: null,
      pre_tokenizer: {
        type: "Sequence",
        pretokenizers: [
          { type: "Split", pattern: { Regex: WORD_PATTERN }, behavior: "Isolated", invert: false },
          { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: false },
        ],
      },
      post_processor: null,
      decoder: { type: "ByteLevel", add_prefix_space: true, trim_offsets: true, use_regex: true },
      model: {
        type: "BPE",
        dropout: null,
        unk_token: null,
        continuing_subword_prefix: null,
        end_of_word_suffix: null,
        fuse_unk: false,
        byte_fallback: false,
        ignore_merges: false,
        vocab: Object.fromEntries(name.map((token, id) => [token, id])),
        merges: this.merges.map(([a, b]) => [name[a], name[b]]),
      },
    };
  }

  save(path: string): void {
    writeWhole(path, JSON.stringify(this.toJSON()) + "\n");
  }

  static load(path: string): Tokenizer {
    let json: unknown;
    try {
      json = JSON.parse(readFileSync(path, "utf8"));
    } catch (cause) {
      throw new FormatError(`tokenizer: ${path}: expected a readable JSON file (${(cause as Error).message})`, {
        file: path,
        cause,
      });
    }
    return Tokenizer.fromJSON(json, path);
  }

  /** Takes the files this class writes: byte-level BPE with our word pattern, ids in merge order. */
  static fromJSON(json: unknown, path: string): Tokenizer {
    const fail = (key: string, message: string): never => {
      throw new FormatError(`tokenizer: ${path}: ${key}: ${message}`, { file: path, key });
    };
    const parsed = fileSchema.safeParse(json);
    if (!parsed.success) {
      const issue = parsed.error.issues[0]!;
      return fail(issue.path.join("."), issue.message);
    }
    const { model, added_tokens: added, pre_tokenizer: pre } = parsed.data;
    const pattern = pre.pretokenizers[0]!.pattern?.Regex;
    if (pattern !== WORD_PATTERN) fail("pre_tokenizer", `expected the word pattern of this project, got ${pattern}`);
    if (Object.keys(model.vocab).length !== 256 + model.merges.length)
      fail(
        "model.vocab",
        `expected 256 bytes and ${model.merges.length} merges, got ${Object.keys(model.vocab).length} tokens`,
      );
    for (const [char, byte] of charToByte)
      if (model.vocab[char] !== byte)
        fail("model.vocab", `expected byte ${byte} at id ${byte}, got ${model.vocab[char]}`);
    const merges = model.merges.map((merge, i): readonly [number, number] => {
      const [left, right] = typeof merge === "string" ? (merge.split(" ") as [string, string]) : merge;
      const [a, b, joined] = [model.vocab[left], model.vocab[right], model.vocab[left + right]];
      if (a === undefined || b === undefined || joined !== 256 + i || a >= joined || b >= joined)
        return fail(
          "model.merges",
          `expected merge ${i} to make id ${256 + i} from earlier ids, got "${left}" "${right}"`,
        );
      return [a, b];
    });
    const specials = added.toSorted((a, b) => a.id - b.id);
    specials.forEach((token, i) => {
      if (token.id !== 256 + merges.length + i)
        fail("added_tokens", `expected id ${256 + merges.length + i}, got ${token.id}`);
    });
    return new Tokenizer({ merges, specials: specials.map((token) => token.content) });
  }

  private encodePlain(text: string, out: number[]): void {
    for (const word of splitWords(text)) {
      let ids = this.cache.get(word);
      if (ids === undefined) {
        const merged = Array.from(utf8.encode(word));
        mergeWord(merged, this.mergeTable);
        ids = merged;
        if (this.cache.size >= CACHE_WORDS) this.cache.clear();
        this.cache.set(word, ids);
      }
      for (const id of ids) out.push(id);
    }
  }
}
