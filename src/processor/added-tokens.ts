/**
 * Added tokens of a tokenizer.json: found in the text before it is cut into words, leftmost first and of those the
 * longest. Tokens with `normalized` are looked for in normalized text, the others before. `lstrip` and `rstrip` take
 * white space with them, `single_word` stands only between what is no word.
 * Main class: `AddedTokens`. Source: the rules of Hugging Face's tokenizers.
 */
import type { Normalize } from "./normalizer.ts";
import { toRegExp } from "./regex.ts";
import type { AddedToken } from "./tokenizer-file.ts";

const word = new RegExp(toRegExp("\\w").source, "u");
const space = /\p{White_Space}/u;

const isWordBefore = (text: string, at: number): boolean => word.test(Array.from(text.slice(Math.max(0, at - 2), at)).at(-1) ?? ""); // prettier-ignore
const isWordAfter = (text: string, at: number): boolean => word.test(Array.from(text.slice(at, at + 2))[0] ?? "");

/** Tokens of one kind, and the expression that finds them. */
class Finder {
  private readonly byText: ReadonlyMap<string, AddedToken>;
  private readonly regex: RegExp | undefined;

  constructor(tokens: readonly (readonly [text: string, token: AddedToken])[]) {
    this.byText = new Map(tokens.filter(([text]) => text !== ""));
    // Longest first, so that none hides behind its own prefix.
    const names = [...this.byText.keys()].toSorted((a, b) => b.length - a.length);
    const escaped = names.map((name) => name.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&"));
    this.regex = names.length > 0 ? new RegExp(escaped.join("|"), "gu") : undefined;
  }

  /** Texts and tokens in order. */
  *split(text: string): Generator<string | AddedToken> {
    if (this.regex === undefined) return yield text;
    let end = 0;
    for (const match of text.matchAll(this.regex)) {
      const token = this.byText.get(match[0])!;
      let [start, stop] = [match.index, match.index + match[0].length];
      // White space that a token before took is gone with what follows it.
      if (start < end) continue;
      if (token.singleWord && (isWordBefore(text, start) || isWordAfter(text, stop))) continue;
      if (token.takesLeft) while (start > end && space.test(text[start - 1]!)) start--;
      if (token.takesRight) while (stop < text.length && space.test(text[stop]!)) stop++;
      if (start > end) yield text.slice(end, start);
      yield token;
      end = stop;
    }
    if (end < text.length) yield text.slice(end);
  }
}

export class AddedTokens {
  private readonly normalize: Normalize;
  private readonly plain: Finder;
  private readonly normalized: Finder;
  private readonly ids: ReadonlyMap<string, number>;
  private readonly special: ReadonlySet<number>;

  constructor(tokens: readonly AddedToken[], normalize: Normalize | undefined) {
    this.normalize = normalize ?? ((text) => text);
    this.plain = new Finder(tokens.filter((t) => !t.isNormalized).map((t) => [t.content, t]));
    this.normalized = new Finder(tokens.filter((t) => t.isNormalized).map((t) => [this.normalize(t.content), t]));
    this.ids = new Map(tokens.map((t) => [t.content, t.id]));
    this.special = new Set(tokens.filter((t) => t.isSpecial).map((t) => t.id));
  }

  idOf(content: string): number | undefined {
    return this.ids.get(content);
  }
  /** Says nothing when text is shown. */
  isSpecial(id: number): boolean {
    return this.special.has(id);
  }

  /** Normalized texts and ids in order. */
  *split(text: string): Generator<string | number> {
    for (const part of this.plain.split(text))
      if (typeof part !== "string") yield part.id;
      else for (const inner of this.normalized.split(this.normalize(part))) yield typeof inner === "string" ? inner : inner.id; // prettier-ignore
  }
}
