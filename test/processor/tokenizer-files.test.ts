/**
 * Files of other people, held against the library's own JavaScript reader: a tokenizer of DeepSeek's structure on a
 * megabyte, then every part of the format that byte-level files use, then what is refused.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Tokenizer as ReferenceTokenizer } from "@huggingface/tokenizers";
import fc from "fast-check";
import { deepSeekLike, mixedText } from "../../bench/mixed-text.ts";
import { FormatError } from "../../src/base/errors.ts";
import { toRegExp } from "../../src/processor/regex.ts";
import { Tokenizer } from "../../src/processor/tokenizer.ts";

interface File {
  added_tokens: object[];
  normalizer: unknown;
  pre_tokenizer: unknown;
  decoder: unknown;
  model: { vocab: Record<string, number>; merges: unknown[] } & Record<string, unknown>;
}
const base = deepSeekLike({ seed: 1, trainBytes: 120_000, vocabSize: 1500 }) as File;
/** A copy of the file with parts replaced. */
const changed = (own: Partial<File>, model: object = {}): File => {
  const copy = structuredClone(base);
  return { ...copy, ...own, model: { ...copy.model, ...model } };
};

function agree(file: object, text: string): void {
  const got = Tokenizer.fromJSON(file, "test.json").encode(text, { specials: true });
  const expected = new ReferenceTokenizer(file, {}).encode(text, { add_special_tokens: false }).ids;
  const at = got.findIndex((id, i) => id !== expected[i]);
  assert.ok(at < 0 && got.length === expected.length, `token ${at} of ${expected.length}`);
}

const isolated = (Regex: string, own: object = {}): object => ({ type: "Split", pattern: { Regex }, behavior: "Isolated", invert: false, ...own }); // prettier-ignore
const bytes = (own: object = {}): object => ({ type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: false, ...own }); // prettier-ignore
const sequence = (...pretokenizers: object[]): object => ({ type: "Sequence", pretokenizers });

test("a file of DeepSeek's structure agrees on a megabyte, token for token", () => {
  agree(base, mixedText(2, 1_000_000));
});

test("and on any string, broken ones included", () => {
  const ours = Tokenizer.fromJSON(base, "test.json");
  const reference = new ReferenceTokenizer(base, {});
  for (const unit of ["grapheme", "binary"] as const)
    fc.assert(
      fc.property(fc.string({ unit, maxLength: 40 }), (s) => {
        assert.deepEqual(ours.encode(s), s === "" ? [] : reference.encode(s, { add_special_tokens: false }).ids);
        assert.equal(ours.decode(ours.encode(s)), Buffer.from(s).toString());
      }),
    );
});

const short = mixedText(3, 40_000);
/** The reference takes ASCII digits only where the library itself takes every numeral. */
const asciiDigits = short.replace(/[^\p{ASCII}]/gu, (c) => (/\p{N}/u.test(c) ? "x" : c));
const llama = "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"; // prettier-ignore
const cl100k =
  "[^\\r\\n\\p{L}\\p{N}]?+\\p{L}++|\\p{N}{1,3}+| ?[^\\s\\p{L}\\p{N}]++[\\r\\n]*|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+";

const kinds: Readonly<Record<string, readonly [file: object, text: string]>> = {
  "merges as pairs": [changed({}, { merges: base.model.merges.map((m) => (m as string).split(" ")) }), short],
  "byte fallback, with all bytes there": [changed({}, { byte_fallback: true, unk_token: null }), short],
  "GPT-2's words with a space before": [changed({ pre_tokenizer: bytes({ add_prefix_space: true, use_regex: true }) }), short], // prettier-ignore
  "single digits": [changed({ pre_tokenizer: sequence({ type: "Digits", individual_digits: true }, bytes({ use_regex: true })) }), asciiDigits], // prettier-ignore
  "runs of digits": [changed({ pre_tokenizer: sequence({ type: "Digits", individual_digits: false }, bytes()) }), asciiDigits], // prettier-ignore
  "a group without case": [changed({ pre_tokenizer: sequence(isolated(llama), bytes()) }), `${short} IT'S he'Ll`],
  "possessive quantifiers": [changed({ pre_tokenizer: sequence(isolated(cl100k), bytes()) }), short],
  "what does not match is dropped": [changed({ pre_tokenizer: sequence(isolated("\\S+", { behavior: "Removed", invert: true }), bytes()) }), short], // prettier-ignore
  "a literal separator": [changed({ pre_tokenizer: sequence({ type: "Split", pattern: { String: "e." }, behavior: "Isolated", invert: false }, bytes()) }), short], // prettier-ignore
  "runs of punctuation": [changed({ pre_tokenizer: sequence({ type: "Punctuation", behavior: "Contiguous" }, bytes({ use_regex: true })) }), short.replace(/[$+<=>^`|~]/g, "")], // prettier-ignore
  "cuts after the bytes": [changed({ pre_tokenizer: sequence(bytes({ use_regex: true }), isolated("[0-9][0-9]")) }), short], // prettier-ignore
  normalizers: [changed({ normalizer: { type: "Sequence", normalizers: [{ type: "NFKC" }, { type: "Replace", pattern: { Regex: "\\s+" }, content: " " }, { type: "Lowercase" }] } }), short], // prettier-ignore
};
for (const [name, [file, text]] of Object.entries(kinds)) test(`agrees: ${name}`, () => agree(file, text));

test("possessive quantifiers and atomic groups give nothing back", () => {
  const found = (pattern: string, text: string): string[] => text.match(toRegExp(pattern)) ?? [];
  assert.deepEqual(found("xa+a", "xaaa"), ["xaaa"]);
  assert.deepEqual(found("xa++a", "xaaa"), []);
  assert.deepEqual(found("xa?+a", "xa xaa"), ["xaa"]);
  assert.deepEqual(found("x(?>aa?)a", "xaa xaaa"), ["xaaa"]);
  assert.deepEqual(found("(?>x(?>a+))b|y", "xaab y"), ["xaab", "y"]);
  assert.deepEqual(found("a{1,2}+b", "aaaab"), ["aaaab"]);
});

test("a whole word is taken as it stands when the file says ignore_merges", () => {
  const vocab = { ...base.model.vocab, Ġqqqq: 9000 };
  agree(changed({}, { vocab, ignore_merges: true }), " qqqq qqqqq and more");
  const [id] = Tokenizer.fromJSON(changed({}, { vocab, ignore_merges: true }), "x").encode(" qqqq");
  assert.equal(id, 9000);
});

test("added tokens: longest first, white space taken, whole words only", () => {
  const token = (content: string, id: number, own: object = {}): object => ({ id, content, single_word: false, lstrip: false, rstrip: false, normalized: false, special: false, ...own }); // prettier-ignore
  const file = changed({ added_tokens: [token("<a>", 9000), token("<a><b>", 9001), token("[M]", 9002, { lstrip: true, rstrip: true })] }); // prettier-ignore
  agree(file, "x <a> <a><b>  [M] \n y<a>[M]");
  const word = Tokenizer.fromJSON(changed({ added_tokens: [token("cat", 9000, { single_word: true })] }), "x");
  const count = (text: string): number => word.encode(text, { specials: true }).filter((id) => id === 9000).length;
  assert.deepEqual(["cat", "a cat.", "cats", "concat", "cat cat", "猫cat"].map(count), [1, 1, 0, 0, 2, 0]);
  const lower = changed({ normalizer: { type: "Lowercase" }, added_tokens: [token("STOP", 9000, { normalized: true })] }); // prettier-ignore
  assert.ok(Tokenizer.fromJSON(lower, "x").encode("Please sToP now", { specials: true }).includes(9000));
});

test("pieces joined to their neighbours, as the library's own tests have it", () => {
  const cut = (behavior: string): string[] => {
    const tokenizer = Tokenizer.fromJSON(
      changed(
        {
          pre_tokenizer: sequence({ type: "Split", pattern: { String: "-" }, behavior, invert: false }, bytes()),
        },
        { ignore_merges: true, vocab: { ...base.model.vocab, the: 8000, final: 8001, "the-": 8002, "final-": 8003, "-final": 8004, "--": 8005, "-": base.model.vocab["-"]! } }, // prettier-ignore
      ),
      "x",
    );
    return tokenizer.encode("the-final--").map((id) => tokenizer.decode([id]));
  };
  assert.deepEqual(cut("Isolated"), ["the", "-", "final", "-", "-"]);
  assert.deepEqual(cut("Removed"), ["the", "final"]);
  assert.deepEqual(cut("MergedWithPrevious"), ["the-", "final-", "-"]);
  assert.deepEqual(cut("MergedWithNext"), ["the", "-final", "-", "-"]);
  assert.deepEqual(cut("Contiguous"), ["the", "-", "final", "--"]);
});

test("what cannot be done is refused, with its name", () => {
  const split = (Regex: string): object => changed({ pre_tokenizer: sequence(isolated(Regex), bytes()) });
  const { "!": _byte, ...without } = base.model.vocab;
  const refused: readonly (readonly [file: object, message: RegExp])[] = [
    [changed({ pre_tokenizer: sequence({ type: "Metaspace" }, bytes()) }), /pre_tokenizer\.pretokenizers\.0\.type: .*got "Metaspace"/], // prettier-ignore
    [changed({ pre_tokenizer: isolated("a") }), /expected a ByteLevel stage/],
    [changed({ normalizer: { type: "Precompiled" } }), /normalizer\.type: .*got "Precompiled"/],
    [changed({ decoder: { type: "WordPiece" } }), /decoder\.type: .*got "WordPiece"/],
    [changed({}, { type: "Unigram" }), /model\.type/],
    [changed({}, { dropout: 0.1 }), /model\.dropout/],
    [changed({}, { end_of_word_suffix: "</w>" }), /model\.end_of_word_suffix/],
    [changed({}, { vocab: without }), /expected all 256 bytes, got none for byte 33/],
    [changed({}, { merges: ["a"] }), /model\.merges\.0: expected two tokens/],
    [changed({}, { merges: ["zz qq"] }), /expected tokens of the vocabulary, got "zz"/],
    [changed({ added_tokens: [{ id: 5, content: "new" }] }), /expected an id that is free for "new", got 5/],
    [split("[a-z&&[^b]]"), /without an intersection of classes/],
    [split("[[:alpha:]]"), /without a class within a class/],
    [split("(a)\\1"), /without the escape \\1/],
    [split("\\bx"), /without the escape \\b/],
    [split("(?i)x"), /without the group \(\?i\)/],
    [split("(x"), /a group that is not closed/],
    [split("\\p{Nonsense}"), /the property \\p\{Nonsense\}/],
  ];
  for (const [file, message] of refused)
    assert.throws(
      () => Tokenizer.fromJSON(file, "test.json"),
      (e: unknown) => e instanceof FormatError && e.message.startsWith("tokenizer: test.json: ") && message.test(e.message), // prettier-ignore
      String(message),
    );
});
