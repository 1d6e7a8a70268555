/**
 * The first half of a tokenizer: cuts text into words, as a tokenizer.json's `pre_tokenizer` says. A pre-tokenizer is a
 * list of stages, each cutting the pieces of the one before; only BPE (bpe.ts) looks inside a word.
 * Main function: `compilePreTokenizer`. Source: the format of Hugging Face's tokenizers; a type or behaviour that is not
 * in the tables below is refused by name.
 */
import { z } from "zod";
import { byteToChar } from "./bpe.ts";
import { literalRegExp, PatternError, toRegExp } from "./regex.ts";

/** Gives the pieces of `text` in order. */
export type Stage = (text: string, next: (piece: string) => void) => void;

export interface PreTokenizer {
  readonly split: Stage;
  /** Words come as characters that stand for bytes (`byteToChar`): something was cut after ByteLevel. */
  readonly isByteText: boolean;
}

/** Refuses the file: which key, and why. */
export type Refuse = (key: string, message: string) => never;

const typed = z.looseObject({ type: z.string() });
export const pattern = z.union([z.strictObject({ String: z.string().min(1) }), z.strictObject({ Regex: z.string().min(1) })]); // prettier-ignore
const behavior = z.enum(["Isolated", "Removed", "Contiguous", "MergedWithPrevious", "MergedWithNext"]);

/** A pattern of the file, or the reason it cannot be had. */
export function regexOf(own: z.infer<typeof pattern>, key: string, refuse: Refuse): RegExp {
  if ("String" in own) return literalRegExp(own.String);
  try {
    return toRegExp(own.Regex);
  } catch (error) {
    if (error instanceof PatternError) return refuse(key, error.message);
    throw error;
  }
}

/** All of `text` as alternating rests and matches. */
function* parts(text: string, regex: RegExp): Generator<{ readonly piece: string; readonly isMatch: boolean }> {
  let end = 0;
  for (const match of text.matchAll(regex)) {
    if (match.index > end) yield { piece: text.slice(end, match.index), isMatch: false };
    if (match[0] !== "") yield { piece: match[0], isMatch: true };
    end = match.index + match[0].length;
  }
  if (end < text.length) yield { piece: text.slice(end), isMatch: false };
}

/** Every match and every rest is a piece of its own: what nearly all files ask for. */
const isolated =
  (regex: RegExp): Stage =>
  (text, next) => {
    regex.lastIndex = 0;
    let match = regex.exec(text);
    // Matches may run into further uses of the same expression only after this loop: pieces are collected first.
    if (match === null) return next(text);
    const pieces: string[] = [];
    let end = 0;
    for (; match !== null; match = regex.exec(text)) {
      const [found] = match;
      if (found === "") {
        regex.lastIndex += (text.codePointAt(match.index) ?? 0) > 0xffff ? 2 : 1;
        continue;
      }
      if (match.index > end) pieces.push(text.slice(end, match.index));
      pieces.push(found);
      end = match.index + found.length;
    }
    if (end < text.length) pieces.push(text.slice(end));
    for (const piece of pieces) next(piece);
  };

/** Pieces joined to one another: `joins(before, now)` says whether a part belongs to the piece before it. */
const joined =
  (regex: RegExp, isInverted: boolean, joins: (before: boolean, now: boolean) => boolean): Stage =>
  (text, next) => {
    let [held, before] = ["", false];
    for (const { piece, isMatch } of parts(text, regex)) {
      const now = isMatch !== isInverted;
      if (held !== "" && !joins(before, now)) {
        next(held);
        held = "";
      }
      held += piece;
      before = now;
    }
    if (held !== "") next(held);
  };

const behaviors: Readonly<Record<z.infer<typeof behavior>, (regex: RegExp, isInverted: boolean) => Stage>> = {
  Isolated: (regex) => isolated(regex),
  Removed: (regex, isInverted) => (text, next) => {
    for (const { piece, isMatch } of parts(text, regex)) if (isMatch === isInverted) next(piece);
  },
  Contiguous: (regex, isInverted) => joined(regex, isInverted, (before, now) => before === now),
  MergedWithPrevious: (regex, isInverted) => joined(regex, isInverted, (before, now) => now && !before),
  MergedWithNext: (regex, isInverted) => joined(regex, isInverted, (before, now) => before && !now),
};

/** GPT-2's words. */
const byteLevelWords = toRegExp("'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+");
/** Rust's `is_numeric` and the library's own notion of punctuation: ASCII's symbols count too. */
const NUMERIC = "\\p{N}";
const PUNCTUATION = "[\\p{P}$+<=>^`|~]";

const utf8 = new TextEncoder();
const toByteText = (text: string): string => Array.from(utf8.encode(text), (b) => byteToChar[b]!).join("");

type Make = (json: unknown, key: string, refuse: Refuse) => Stage;

/** The part of a file under `key`, checked. */
export function checked<T>(schema: z.ZodType<T>, json: unknown, key: string, refuse: Refuse): T {
  const parsed = schema.safeParse(json);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0]!;
  return refuse([key, ...issue.path].join("."), issue.message);
}

const splitSchema = z.looseObject({ pattern, behavior, invert: z.boolean().default(false) });
const digitsSchema = z.looseObject({ individual_digits: z.boolean().default(false) });
const punctuationSchema = z.looseObject({ behavior: behavior.default("Isolated") });
const byteLevelSchema = z.looseObject({ add_prefix_space: z.boolean().default(true), use_regex: z.boolean().default(true) }); // prettier-ignore
const sequenceSchema = z.looseObject({ pretokenizers: z.array(z.unknown()) });

const stages: Readonly<Record<string, Make>> = {
  Split: (json, key, refuse) => {
    const own = checked(splitSchema, json, key, refuse);
    return behaviors[own.behavior](regexOf(own.pattern, `${key}.pattern`, refuse), own.invert);
  },
  Digits: (json, key, refuse) => {
    const { individual_digits: isEach } = checked(digitsSchema, json, key, refuse);
    return behaviors[isEach ? "Isolated" : "Contiguous"](toRegExp(NUMERIC), false);
  },
  Punctuation: (json, key, refuse) =>
    behaviors[checked(punctuationSchema, json, key, refuse).behavior](toRegExp(PUNCTUATION), false),
  WhitespaceSplit: () => behaviors.Removed(toRegExp("\\s"), false),
  ByteLevel: (json, key, refuse) => {
    const { add_prefix_space: addsSpace, use_regex: cuts } = checked(byteLevelSchema, json, key, refuse);
    const words: Stage = cuts ? isolated(new RegExp(byteLevelWords)) : (text, next) => next(text);
    return addsSpace ? (text, next) => words(text.startsWith(" ") ? text : ` ${text}`, next) : words;
  },
};

const chain = (list: readonly Stage[]): Stage =>
  list.reduceRight<Stage>((after, stage) => (text, next) => stage(text, (piece) => after(piece, next)), (text, next) => next(text)); // prettier-ignore

interface Leaf {
  readonly type: string;
  readonly json: unknown;
  readonly key: string;
}

/** Sequences may nest; what counts is the flat list. */
function flatten(json: unknown, key: string, refuse: Refuse): Leaf[] {
  const { type } = checked(typed, json, key, refuse);
  if (type !== "Sequence") return [{ type, json, key }];
  const { pretokenizers } = checked(sequenceSchema, json, key, refuse);
  return pretokenizers.flatMap((one, i) => flatten(one, `${key}.pretokenizers.${i}`, refuse));
}

/** `json` is the file's `pre_tokenizer`. */
export function compilePreTokenizer(json: unknown, refuse: Refuse): PreTokenizer {
  const leaves = flatten(json, "pre_tokenizer", refuse);
  const made = leaves.map(({ type, json: own, key }) => {
    const make = Object.hasOwn(stages, type) ? stages[type]! : refuse(`${key}.type`, `expected one of ${Object.keys(stages).join(", ")}, Sequence, got "${type}"`); // prettier-ignore
    return make(own, key, refuse);
  });
  const at = leaves.findIndex(({ type }) => type === "ByteLevel");
  if (at < 0) refuse("pre_tokenizer", "expected a ByteLevel stage (this reads byte-level BPE only), got none");
  if (at === leaves.length - 1) return { split: chain(made), isByteText: false };
  // Later stages see the characters that stand for bytes, as they do in the library.
  const toBytes: Stage = (text, next) => next(toByteText(text));
  return { split: chain([...made.slice(0, at + 1), toBytes, ...made.slice(at + 1)]), isByteText: true };
}
