/**
 * Mixed text from a seed, for tokenizers: English, Chinese and other scripts, code, digits, emoji, punctuation, odd white
 * space, long runs and lone surrogates. And a tokenizer.json of DeepSeek's structure over it.
 * Main functions: `mixedText`, `deepSeekLike`.
 */
import { Prng } from "../src/base/prng.ts";
import { byteToChar } from "../src/processor/bpe.ts";
import { countWords, trainBpe } from "../src/processor/bpe-train.ts";
import { plainBpe } from "../src/processor/tokenizer-file.ts";
import { compilePreTokenizer } from "../src/processor/pre-tokenizer.ts";

const english = "the of and to in a is that for it as was with be by on not he this are or his from at which but have an had they you were their one all we can her has there been if more when will would who so no".split(" "); // prettier-ignore
const stems = "run walk light compute tensor kernel token model graph house river stone garden letter question answer number picture".split(" "); // prettier-ignore
const endings = ["", "s", "ing", "ed", "er", "'s", "n't", "ly"];
const chinese = "的一是不了在人有我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于着下自之年过发后作里用道行所然家种事成方多经么去法学如都同现当没动面起看定天分还进好小部其些主样理心她本前开但因只从想实日军者意无力它与长把机十民第公此已工使情明性知全三又关点正业外将两高间由问很最重并物手应战向头文体政美相见被利什二等产或新己制身果加西斯月话合回特代内信表化老给世位次度门任常先海通教儿原东声提立及比员解水名真论处走义各入几口认条平系气题活尔更别打女变四神总何电数安少报才结反受目太量再感建务做接必场件计管期市直德资命山金指克许统区保至队形社便空决治展马科司五基眼书非则听白却界达光放强即像难且权思王象完设式色路记南品住告类求据程北边死张该交规万取拉格望觉术领共确传师观清今切院让识候带导争运"; // prettier-ignore
const scripts = ["мир и труд", "สวัสดีครับ", "안녕하세요 세계", "مرحبا بالعالم", "שלום עולם", "ひらがなとカタカナ", "Ελληνικά", "naïve café Übergröße", "é́ ǅ Ⅷ ½ ²"]; // prettier-ignore
const emoji = ["😀", "🚀", "👩‍👩‍👧‍👦", "🇨🇳", "👍🏽", "❤️", "𝔘𝔫𝔦", "✅"];
const code = ["for (let i = 0; i < n; i++) {\n  a[i] += b[i];\n}\n", "def f(x):\n\treturn x ** 2\n", "<div class=\"x\">&nbsp;</div>", "SELECT * FROM t WHERE a >= 10;", "#include <stdio.h>\r\n", "x = {'k': [1, 2.5e-3, None]}", "https://example.org/a/b?c=d&e=%20"]; // prettier-ignore
const spaces = [" ", "  ", "\n", "\n\n", "\r\n", "\t", "\u00a0", "\u2003", "\u3000", "\v", "\f", "    ", " \n ", "\u200b", "\u2028"]; // prettier-ignore
const marks = ["!", "?!", "...", "——", "。", "，", "“”", "$", "€", "^_^", "***", "//", "`", "~~~", "§"];
const lone = ["\ud800", "\udc00", "\udbff x", "a\udfff"];

type Random = Prng;
const pick = (r: Random, list: readonly string[]): string => list[r.int(list.length)]!;

const sources: readonly (readonly [weight: number, make: (r: Random) => string])[] = [
  [40, (r) => Array.from({ length: 3 + r.int(12) }, () => pick(r, english)).join(" ")],
  [25, (r) => ` ${pick(r, stems)}${pick(r, endings)}`],
  [12, (r) => Array.from({ length: 2 + r.int(14) }, () => chinese[r.int(chinese.length)]!).join("")],
  [4, (r) => String.fromCodePoint(0x4e00 + r.int(0x5000), 0x3400 + r.int(0x1900), 0x20000 + r.int(0xa000))],
  [8, (r) => String(r.int(10 ** (1 + r.int(9))))],
  [6, (r) => pick(r, code)],
  [5, (r) => pick(r, emoji)],
  [5, (r) => pick(r, scripts)],
  [10, (r) => pick(r, spaces)],
  [10, (r) => pick(r, marks)],
  [1, (r) => pick(r, lone)],
  [0.2, (r) => pick(r, ["a", "红", " ", "\n", "=", "ab"]).repeat(1 + r.int(200))],
];

/** About `bytes` bytes of UTF-8. */
export function mixedText(seed: number, bytes: number): string {
  const r = new Prng(seed);
  const total = sources.reduce((sum, [weight]) => sum + weight, 0);
  const out: string[] = [];
  let size = 0;
  while (size < bytes) {
    let at = r.uniform() * total;
    const [, make] = sources.find(([weight]) => (at -= weight) < 0)!;
    const piece = make(r);
    out.push(piece);
    size += Buffer.byteLength(piece);
  }
  return out.join("");
}

/** The cuts of DeepSeek's files, in order: digits by three, Han and kana, words and marks, then bytes. */
export const deepSeekPreTokenizer = {
  type: "Sequence",
  pretokenizers: [
    { type: "Split", pattern: { Regex: "\\p{N}{1,3}" }, behavior: "Isolated", invert: false },
    { type: "Split", pattern: { Regex: "[一-龥぀-ゟ゠-ヿ]+" }, behavior: "Isolated", invert: false },
    {
      type: "Split",
      pattern: {
        Regex:
          "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
      },
      behavior: "Isolated",
      invert: false,
    },
    { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: false },
  ],
};

/** Three specials first, then the bytes by their characters, then merges; more specials above, with DeepSeek's flags. */
export function deepSeekLike(options: {
  readonly seed: number;
  readonly trainBytes: number;
  readonly vocabSize: number;
}): object {
  // prettier-ignore
  const { split } = compilePreTokenizer(deepSeekPreTokenizer, (key, message) => {
    throw new Error(`${key}: ${message}`);
  });
  const counts = new Map<string, number>();
  countWords(counts, mixedText(options.seed, options.trainBytes), 1, split);
  const merges = trainBpe(counts, { vocabSize: options.vocabSize });
  const names = [...byteToChar];
  for (const [a, b] of merges) names.push(names[a]! + names[b]!);
  const first = ["<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜▁pad▁｜>"];
  const order = [...first, ...names.slice(0, 256).toSorted(), ...names.slice(256)];
  const added = (content: string, id: number, special: boolean): object => ({
    id,
    content,
    single_word: false,
    lstrip: false,
    rstrip: false,
    normalized: !special,
    special,
  });
  const last = ["<｜User｜>", "<｜Assistant｜>", "<think>", "</think>", "｜DSML｜"];
  return {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: [
      ...first.map((content, i) => added(content, i, true)),
      ...last.map((content, i) => added(content, order.length + i, !content.includes("think"))),
    ],
    normalizer: { type: "Sequence", normalizers: [] },
    pre_tokenizer: deepSeekPreTokenizer,
    post_processor: { type: "ByteLevel", add_prefix_space: true, trim_offsets: false, use_regex: true },
    decoder: { type: "ByteLevel", add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: {
      ...plainBpe,
      vocab: Object.fromEntries(order.map((name, i) => [name, i])),
      merges: merges.map(([a, b]) => `${names[a]} ${names[b]}`),
    },
  };
}
