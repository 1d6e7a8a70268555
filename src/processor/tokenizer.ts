/**
 * Byte-level BPE from any standard tokenizer.json: text is normalized (where the file says so), cut into words, and each
 * word is merged from its bytes by rank and remembered. Any text encodes; without a normalizer it decodes to the same
 * bytes (a lone surrogate to U+FFFD's).
 * Text never becomes an added token by itself: `encode(text, {specials: true})` looks for them, as the library does.
 * The file's post-processor is left to the chat encoding (chat.ts), which writes BOS and EOS itself.
 * Main class: `Tokenizer`; the file is tokenizer-file.ts, training bpe-train.ts.
 */
import { readFileSync } from "node:fs";
import { FormatError } from "../base/errors.ts";
import { writeWhole } from "../base/files.ts";
import { AddedTokens } from "./added-tokens.ts";
import { byteToChar, charToByte, Merger } from "./bpe.ts";
import { ownTokenizerFile, readTokenizerFile, type OwnTokenizer, type TokenizerSpec } from "./tokenizer-file.ts";

const utf8 = new TextEncoder();
const CACHE_WORDS = 65536;
/** Longer words hardly come twice. */
const CACHE_LENGTH = 32;

export class Tokenizer {
  /** Ids of the model are below this; added tokens may lie above. */
  readonly numText: number;
  /** Contents of the added tokens, by id. */
  readonly specials: readonly string[];
  private readonly spec: TokenizerSpec;
  private readonly merger: Merger;
  private readonly added: AddedTokens;
  private readonly names: ReadonlyMap<number, Uint8Array>;
  private readonly cache = new Map<string, Int32Array>();
  private bytes = new Uint8Array(256);
  private ids = new Int32Array(256);

  constructor(from: OwnTokenizer | TokenizerSpec) {
    const spec = "json" in from ? from : readTokenizerFile(ownTokenizerFile(from), "own");
    this.spec = spec;
    this.merger = new Merger(spec.merges);
    this.numText = spec.tokenBytes.length;
    this.added = new AddedTokens(spec.added, spec.normalize);
    this.specials = spec.added.toSorted((a, b) => a.id - b.id).map((token) => token.content);
    this.names = new Map(spec.added.map((token) => [token.id, utf8.encode(token.content)]));
  }

  /** Plain text by default; with `specials`, added tokens written in the text become their ids. */
  encode(text: string, options: { readonly specials?: boolean } = {}): number[] {
    const out: number[] = [];
    const { normalize } = this.spec;
    if (!options.specials) this.encodePlain(normalize ? normalize(text) : text, out);
    else
      for (const part of this.added.split(text))
        if (typeof part === "number") out.push(part);
        else this.encodePlain(part, out);
    return out;
  }

  specialId(token: string): number | undefined {
    return this.added.idOf(token);
  }

  /** Bytes of one id: an added token's name, or nothing for ids that the file does not know (visual codes). */
  bytesOf(id: number): Uint8Array {
    return this.names.get(id) ?? this.spec.tokenBytes[id] ?? new Uint8Array(0);
  }

  /** Bytes of every id of the model. */
  get tokenBytes(): readonly Uint8Array[] {
    return this.spec.tokenBytes;
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
        options.skipSpecials && this.added.isSpecial(id) ? "" : decoder.decode(this.bytesOf(id), { stream: true }),
      end: () => decoder.decode(),
    };
  }

  /** The contents of tokenizer.json. */
  toJSON(): object {
    return this.spec.json;
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

  /** `path` names the file in errors. */
  static fromJSON(json: unknown, path: string): Tokenizer {
    return new Tokenizer(readTokenizerFile(json, path));
  }

  private encodePlain(text: string, out: number[]): void {
    this.spec.preTokenizer.split(text, (word) => {
      let ids = this.cache.get(word);
      if (ids === undefined) {
        ids = this.encodeWord(word);
        if (word.length <= CACHE_LENGTH) {
          if (this.cache.size >= CACHE_WORDS) this.cache.clear();
          // A slice of a long text keeps all of it alive; a slice of a fresh string only that.
          this.cache.set(` ${word}`.slice(1), ids);
        }
      }
      for (let i = 0; i < ids.length; i++) out.push(ids[i]!);
    });
  }

  private encodeWord(word: string): Int32Array {
    const { wholeWords, byteIds } = this.spec;
    // A UTF-16 unit is at most three bytes.
    if (this.bytes.length < word.length * 3) {
      this.bytes = new Uint8Array(word.length * 6);
      this.ids = new Int32Array(word.length * 6);
    }
    const { bytes, ids } = this;
    const length = this.toBytes(word);
    if (wholeWords !== undefined) {
      let name = "";
      for (let i = 0; i < length; i++) name += byteToChar[bytes[i]!]!;
      const id = wholeWords.get(name);
      if (id !== undefined) return Int32Array.of(id);
    }
    for (let i = 0; i < length; i++) ids[i] = byteIds[bytes[i]!]!;
    return ids.slice(0, this.merger.merge(ids, length));
  }

  /** Writes a word's bytes; returns how many. */
  private toBytes(word: string): number {
    if (!this.spec.preTokenizer.isByteText) return utf8.encodeInto(word, this.bytes).written;
    for (let i = 0; i < word.length; i++) this.bytes[i] = charToByte.get(word[i]!)!;
    return word.length;
  }
}
