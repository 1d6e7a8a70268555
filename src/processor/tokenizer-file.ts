/**
 * The standard tokenizer.json, byte-level BPE: checked, and turned into what a `Tokenizer` runs on. Ids may lie in any
 * order, specials may have any ids; our own layout (bytes, merges, specials) is one case. What the file asks for and
 * this cannot do is refused by name; nothing of it is ignored but what has no effect on ids.
 * Main functions: `readTokenizerFile`, `ownTokenizerFile`. Source: the format of Hugging Face's tokenizers.
 */
import { z } from "zod";
import { FormatError } from "../base/errors.ts";
import { byteToChar, charToByte, type Merge } from "./bpe.ts";
import { compileNormalizer, type Normalize } from "./normalizer.ts";
import { compilePreTokenizer, type PreTokenizer, type Refuse, type Stage } from "./pre-tokenizer.ts";

/** Our own words: digits stand alone, Han and kana runs are words of their own. */
export const WORD_PATTERN = [
  "\\p{N}",
  "[\\p{Script=Han}\\p{Script=Hiragana}\\p{Script=Katakana}]+",
  "[^\\r\\n\\p{L}\\p{P}\\p{S}\\p{N}]?(?:(?![\\p{Script=Han}\\p{Script=Hiragana}\\p{Script=Katakana}])[\\p{L}\\p{M}])+",
  " ?[\\p{P}\\p{S}]+[\\r\\n]*",
  "\\s*[\\r\\n]+",
  "\\s+(?!\\S)",
  "\\s+",
].join("|");

const ownPreTokenizer = {
  type: "Sequence",
  pretokenizers: [
    { type: "Split", pattern: { Regex: WORD_PATTERN }, behavior: "Isolated", invert: false },
    { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: false },
  ],
};

/** Cuts text into words as our own files do; the pieces always join to the text. */
export const splitWords: Stage = compilePreTokenizer(ownPreTokenizer, (key, message) => {
  throw new FormatError(`tokenizer: ${key}: ${message}`, { file: "own", key });
}).split;

/** A token that is found in the text before it is cut. */
export interface AddedToken {
  readonly id: number;
  readonly content: string;
  /** Not within a longer word. */
  readonly singleWord: boolean;
  /** Takes the white space on its left, or right, with it. */
  readonly takesLeft: boolean;
  readonly takesRight: boolean;
  /** Looked for after normalization. */
  readonly isNormalized: boolean;
  readonly isSpecial: boolean;
}

/** A file, checked. */
export interface TokenizerSpec {
  /** Bytes of each id of the model; empty where an id is not used, a name's own bytes where it is no byte text. */
  readonly tokenBytes: readonly Uint8Array[];
  /** Byte -> id. */
  readonly byteIds: Int32Array;
  readonly merges: readonly Merge[];
  /** Ids of whole words that are taken without merging, by byte text; undefined unless the file says so. */
  readonly wholeWords: ReadonlyMap<string, number> | undefined;
  readonly added: readonly AddedToken[];
  readonly normalize: Normalize | undefined;
  readonly preTokenizer: PreTokenizer;
  /** The file's contents, for writing it again. */
  readonly json: object;
}

const id = z
  .number()
  .int()
  .min(0)
  .max(2 ** 21 - 1);
const flag = z.boolean().default(false);
const fileSchema = z.looseObject({
  added_tokens: z
    .array(
      z.looseObject({
        id,
        content: z.string().min(1),
        single_word: flag,
        lstrip: flag,
        rstrip: flag,
        normalized: flag,
        special: flag,
      }),
    ) // prettier-ignore
    .default([]),
  normalizer: z.unknown(),
  pre_tokenizer: z.unknown(),
  decoder: z.looseObject({ type: z.string() }).nullish(),
  model: z.looseObject({
    type: z.literal("BPE").optional(),
    dropout: z.union([z.literal(0), z.null()]).optional(),
    continuing_subword_prefix: z.literal("").nullish(),
    end_of_word_suffix: z.literal("").nullish(),
    byte_fallback: z.boolean().nullish(),
    ignore_merges: z.boolean().nullish(),
    vocab: z.record(z.string(), id),
    merges: z.array(z.union([z.string(), z.tuple([z.string(), z.string()])])),
  }),
});

const utf8 = new TextEncoder();

/** A token's bytes; undefined where its characters do not all stand for bytes. */
function bytesOfName(name: string): Uint8Array | undefined {
  const out = new Uint8Array(name.length);
  for (let i = 0; i < name.length; i++) {
    const byte = charToByte.get(name[i]!);
    if (byte === undefined) return undefined;
    out[i] = byte;
  }
  return out;
}

function mergesOf(
  model: z.infer<typeof fileSchema>["model"],
  ids: ReadonlyMap<string, number>,
  refuse: Refuse,
): Merge[] {
  // prettier-ignore
  return model.merges.map((merge, i) => {
    const names = typeof merge === "string" ? merge.split(" ") : merge;
    const [left, right] = names as [string, string];
    if (names.length !== 2) refuse(`model.merges.${i}`, `expected two tokens, got ${JSON.stringify(merge)}`);
    const idOf = (token: string): number => ids.get(token) ?? refuse(`model.merges.${i}`, `expected tokens of the vocabulary, got ${JSON.stringify(token)}`); // prettier-ignore
    return { left: idOf(left), right: idOf(right), id: idOf(left + right) };
  });
}

/** `path` names the file in errors. */
export function readTokenizerFile(json: unknown, path: string): TokenizerSpec {
  const refuse: Refuse = (key, message) => {
    throw new FormatError(`tokenizer: ${path}: ${key}: ${message}`, { file: path, key });
  };
  const parsed = fileSchema.safeParse(json);
  if (!parsed.success) {
    const issue = parsed.error.issues[0]!;
    return refuse(issue.path.join("."), issue.message);
  }
  const { model, added_tokens, decoder } = parsed.data;
  if (decoder && decoder.type !== "ByteLevel") refuse("decoder.type", `expected ByteLevel, got "${decoder.type}"`);
  const vocab = new Map(Object.entries(model.vocab));
  const tokenBytes: Uint8Array[] = [];
  for (const [name, at] of vocab) {
    if (tokenBytes[at] !== undefined) refuse("model.vocab", `expected one token per id, got two for ${at}`);
    tokenBytes[at] = bytesOfName(name) ?? utf8.encode(name);
  }
  for (let i = 0; i < tokenBytes.length; i++) tokenBytes[i] ??= new Uint8Array(0);
  // With every byte in the vocabulary nothing is unknown, so `unk_token` and `byte_fallback` have no effect.
  const byteIds = Int32Array.from(byteToChar, (c) => vocab.get(c) ?? -1);
  const missing = byteIds.indexOf(-1);
  if (missing >= 0) refuse("model.vocab", `expected all 256 bytes, got none for byte ${missing} (${JSON.stringify(byteToChar[missing])})`); // prettier-ignore
  const added = added_tokens.map((t): AddedToken => {
    const inVocab = vocab.get(t.content);
    if (inVocab !== undefined && inVocab !== t.id) refuse("added_tokens", `expected id ${inVocab} of the vocabulary for ${JSON.stringify(t.content)}, got ${t.id}`); // prettier-ignore
    if (inVocab === undefined && (tokenBytes[t.id]?.length ?? 0) > 0) refuse("added_tokens", `expected an id that is free for ${JSON.stringify(t.content)}, got ${t.id}`); // prettier-ignore
    return {
      id: t.id,
      content: t.content,
      singleWord: t.single_word,
      takesLeft: t.lstrip,
      takesRight: t.rstrip,
      isNormalized: t.normalized,
      isSpecial: t.special,
    };
  });
  return {
    tokenBytes,
    byteIds,
    merges: mergesOf(model, vocab, refuse),
    wholeWords: model.ignore_merges ? vocab : undefined,
    added,
    normalize: compileNormalizer(parsed.data.normalizer, refuse),
    preTokenizer: compilePreTokenizer(parsed.data.pre_tokenizer, refuse),
    json: json as object,
  };
}

export interface OwnTokenizer {
  /** merges[i] makes id 256 + i from two earlier ids. */
  readonly merges: readonly (readonly [number, number])[];
  /** Ids follow the text ids. */
  readonly specials: readonly string[];
}

/** A model section without the options that byte-level tokenizers leave off. */
export const plainBpe = {
  type: "BPE",
  dropout: null,
  unk_token: null,
  continuing_subword_prefix: null,
  end_of_word_suffix: null,
  fuse_unk: false,
  byte_fallback: false,
  ignore_merges: false,
} as const;

/** A file in our own layout: the 256 bytes, then merges in order, then specials. */
export function ownTokenizerFile({ merges, specials }: OwnTokenizer): object {
  const names = [...byteToChar];
  for (const [a, b] of merges) names.push(names[a]! + names[b]!);
  return {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: specials.map((content, i) => ({
      id: names.length + i,
      content,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
      special: true,
    })),
    normalizer: null,
    pre_tokenizer: ownPreTokenizer,
    post_processor: null,
    decoder: { type: "ByteLevel", add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: {
      ...plainBpe,
      vocab: Object.fromEntries(names.map((token, i) => [token, i])),
      merges: merges.map(([a, b]) => [names[a], names[b]]),
    },
  };
}
