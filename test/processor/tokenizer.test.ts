import assert from "node:assert/strict";
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { Tokenizer as ReferenceTokenizer } from "@huggingface/tokenizers";
import fc from "fast-check";
import { FormatError } from "../../src/base/errors.ts";
import { countWords, trainBpe } from "../../src/processor/bpe-train.ts";
import { splitWords } from "../../src/processor/tokenizer-file.ts";
import { Tokenizer } from "../../src/processor/tokenizer.ts";
import { specialTokens } from "../../src/processor/vocabulary.ts";

const corpus =
  "The red apple is on the table. The cat sees the red apple, and the dog doesn't.\n\n" +
  "红色的苹果在桌子上。小猫看见了红色的苹果。今天天气很好，我们去公园玩。\n" +
  "12 + 345 = 357. It's 3.14!  Two  spaces\tand tabs\r\n\r\nnew lines; naïve café — “quotes” 😀🚀\n";

const texts = [
  corpus,
  "",
  " ",
  "\n\n\n  x",
  "Hello, world! 2024年12月25日，苹果apple混合mixed文本。",
  "aaaaaaaaaaaa thethethe 红红红红",
  "tabs\t\tand   runs of spaces   \n  indented\n",
  "emoji 👩‍👩‍👧‍👦 flags 🇨🇳 accents é́ ñ ǅ Ⅷ ½ ² カタカナ ひらがな 한국어 עברית العربية",
  "code: for (let i = 0; i < 10; i++) { a[i] += `x${i}`; } // done",
];

function trained(): Tokenizer {
  const counts = new Map<string, number>();
  countWords(counts, corpus, 3);
  countWords(counts, texts.slice(4).join("\n"));
  return new Tokenizer({ merges: trainBpe(counts, { vocabSize: 400 }), specials: specialTokens });
}

const tokenizer = trained();

function words(text: string): string[] {
  const out: string[] = [];
  splitWords(text, (word) => void out.push(word));
  return out;
}

test("pieces join to the text, digits stand alone", () => {
  fc.assert(fc.property(fc.string({ unit: "grapheme" }), (s) => assert.equal(words(s).join(""), s)));
  assert.deepEqual(words("abc 123苹果pie"), ["abc", " ", "1", "2", "3", "苹果", "pie"]);
});

test("any text decodes to itself, whole and as a stream", () => {
  fc.assert(
    fc.property(fc.string({ unit: "grapheme", maxLength: 60 }), (s) => {
      assert.equal(tokenizer.decode(tokenizer.encode(s)), s);
    }),
  );
  const stream = tokenizer.stream();
  const parts = tokenizer.encode("a😀红").map((id) => stream.push(id));
  assert.ok(
    parts.every((p) => !p.includes("\ufffd")),
    "no half characters",
  );
  assert.equal(parts.join("") + stream.end(), "a😀红");
});

test("agrees id for id with @huggingface/tokenizers on the written file", () => {
  const reference = new ReferenceTokenizer(tokenizer.toJSON(), {});
  for (const text of texts) assert.deepEqual(tokenizer.encode(text), reference.encode(text).ids, JSON.stringify(text));
  const marked = "<｜User｜>draw a cat<｜Assistant｜></think>ok<｜end▁of▁sentence｜>";
  assert.deepEqual(tokenizer.encode(marked, { specials: true }), reference.encode(marked).ids);
  fc.assert(
    fc.property(fc.string({ unit: "grapheme", maxLength: 40 }), (s) => {
      assert.deepEqual(tokenizer.encode(s), reference.encode(s).ids);
    }),
  );
});

test("typed markup is text, never a special token", () => {
  const ids = tokenizer.encode("<｜User｜><think>");
  assert.ok(ids.every((id) => id < tokenizer.numText));
  assert.ok(tokenizer.encode("<think>", { specials: true })[0]! >= tokenizer.numText);
});

test("training joins what is frequent, and is the same every time", () => {
  assert.ok(tokenizer.encode(" the").length === 1);
  assert.ok(tokenizer.encode("红色的苹果").length < 15);
  assert.deepEqual(trained().toJSON(), tokenizer.toJSON());
  const names = new Set(tokenizer.tokenBytes.map((b) => b.join()));
  assert.equal(names.size, tokenizer.numText, "every token has its own bytes");
});

/** Joins the most frequent pair by counting everything anew each time. */
function trainSlowly(words: Map<string, number>, vocabSize: number): [number, number][] {
  const list = [...words].map(([w, n]) => ({ ids: [...new TextEncoder().encode(w)], n }));
  const merges: [number, number][] = [];
  const bytes = Array.from({ length: 256 }, (_, b) => String(b));
  const seen = new Set(bytes);
  const banned = new Set<string>();
  while (256 + merges.length < vocabSize) {
    const counts = new Map<string, number>();
    for (const { ids, n } of list)
      for (let i = 0; i + 1 < ids.length; i++)
        counts.set(`${ids[i]},${ids[i + 1]}`, (counts.get(`${ids[i]},${ids[i + 1]}`) ?? 0) + n);
    const order = [...counts].map(([k, n]) => ({ pair: k.split(",").map(Number) as [number, number], n }));
    order.sort((x, y) => y.n - x.n || x.pair[0] - y.pair[0] || x.pair[1] - y.pair[1]);
    const best = order.find(({ pair, n }) => n >= 2 && !banned.has(pair.join()));
    if (!best) break;
    const [a, b] = best.pair;
    const name = `${bytes[a]} ${bytes[b]}`;
    if (seen.has(name)) {
      banned.add(best.pair.join());
      continue;
    }
    seen.add(name);
    bytes.push(name);
    merges.push([a, b]);
    for (const word of list) {
      const out: number[] = [];
      for (let i = 0; i < word.ids.length; i++) {
        if (word.ids[i] === a && word.ids[i + 1] === b) {
          out.push(255 + merges.length);
          i++;
        } else out.push(word.ids[i]!);
      }
      word.ids = out;
    }
  }
  return merges;
}

test("the fast trainer equals counting everything anew", () => {
  const counts = new Map<string, number>();
  countWords(counts, texts.join("\n"));
  assert.deepEqual(trainBpe(counts, { vocabSize: 380 }), trainSlowly(counts, 380));
});

test("a file survives saving and loading; damaged ones say what is wrong", () => {
  const dir = mkdtempSync(join(tmpdir(), "tessera-tokenizer-"));
  const path = join(dir, "tokenizer.json");
  tokenizer.save(path);
  const again = Tokenizer.load(path);
  for (const text of texts) assert.deepEqual(again.encode(text), tokenizer.encode(text));
  const json = JSON.parse(JSON.stringify(tokenizer.toJSON())) as { model: { merges: unknown[] } };
  json.model.merges[7] = ["a", "nowhere"];
  assert.throws(
    () => Tokenizer.fromJSON(json, "x.json"),
    (e: unknown) => e instanceof FormatError && /x\.json: model\.merges\.7: .*got "nowhere"/.test(e.message),
  );
  writeFileSync(path, "{");
  assert.throws(() => Tokenizer.load(path), FormatError);
});
