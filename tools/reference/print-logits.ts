/**
 * Our side of check_export.py and check-gguf.ts: one JSON object on stdout with the token ids of fixed text prompts, our
 * f32 logits behind every token (base64), and the ids that plain greedy decoding over the whole vocabulary adds.
 *     node --import tsx tools/reference/print-logits.ts FOLDER [number of greedy ids]
 */
import { join } from "node:path";
import { openDevice } from "../../src/device/open.ts";
import { openCheckpoint } from "../../src/model/open-checkpoint.ts";
import { V4 } from "../../src/model/v4.ts";
import { loadOfficial } from "../../src/model/weights.ts";
import { Tokenizer } from "../../src/processor/tokenizer.ts";
import * as t from "../../src/tensor/ops.ts";
import { Tensor } from "../../src/tensor/tensor.ts";

const [dir, count = "16"] = process.argv.slice(2);
if (dir === undefined) throw new Error("print-logits: expected a model folder, got none");

const story = "Once upon a time there was a little cat. It lived in a small house near the sea and liked to sleep. ";
const prompts = [
  "<｜begin▁of▁sentence｜><｜User｜>What is 347 + 85?<｜Assistant｜><think>",
  "<｜begin▁of▁sentence｜><｜User｜>Hello!<｜Assistant｜></think>",
  // Long enough for the indexer's and the heavy entries of every ratio to be there.
  `<｜begin▁of▁sentence｜>${story.repeat(12)}`,
];

const tokenizer = Tokenizer.load(join(dir, "tokenizer.json"));
using source = openCheckpoint(dir);
const { config } = source;
const model = new V4(openDevice(undefined), config, { init: "zeros" });
loadOfficial(dir, model);

const logitsOf = (ids: readonly number[]): Float32Array => {
  using _scope = t.tensorScope();
  const input = Tensor.from(model.device, Int32Array.from(ids), [1, ids.length], "i32");
  return t.noGrad(() => model.logits(model.forward(input).hidden)).toArray() as Float32Array;
};
const best = (row: Float32Array): number => row.reduce((b, v, i) => (v > row[b]! ? i : b), 0);

const out = prompts.map((prompt) => {
  const ids = tokenizer.encode(prompt, { specials: true });
  const logits = logitsOf(ids);
  const all = [...ids];
  for (let i = 0; i < Number(count); i++) all.push(best(logitsOf(all).subarray(-config.vocab_size)));
  return { ids, greedy: all.slice(ids.length), logits: Buffer.from(logits.buffer).toString("base64") };
});
process.stdout.write(JSON.stringify({ vocab_size: config.vocab_size, prompts: out }));
