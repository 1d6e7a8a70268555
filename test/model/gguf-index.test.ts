/** Index heads widened for llama.cpp: every score, choice and logit as before, the layout of the file, and the way back. */
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { FormatError } from "../../src/base/errors.ts";
import type { V4Config } from "../../src/model/config.ts";
import { exportCheckpoint, importCheckpoint } from "../../src/model/exchange.ts";
import { ggufIndexDim, narrowedIndex, widenedIndex } from "../../src/model/gguf-index.ts";
import { openCheckpoint } from "../../src/model/open-checkpoint.ts";
import { verbatim } from "../../src/model/stored.ts";
import { V4 } from "../../src/model/v4.ts";
import { fillFrom, saveOfficial } from "../../src/model/weights.ts";
import { openGguf } from "../../src/nn/gguf.ts";
import { asBytes, writeRaw, type RawTensor } from "../../src/nn/safetensors.ts";
import { openTensors, type TensorSet } from "../../src/nn/tensor-set.ts";
import * as t from "../../src/tensor/ops.ts";
import { Tensor } from "../../src/tensor/tensor.ts";
import { openTestDevice } from "../tensor/device.ts";
import { someIds, tinyConfig } from "./tiny.ts";

const device = openTestDevice();
const root = mkdtempSync(join(tmpdir(), "tessera-gguf-index-"));
after(() => rmSync(root, { recursive: true, force: true }));

/**
 * Heads of 16, a sum's lanes, of which positions turn the last 8. A large epsilon shows a norm over the wrong number of elements. Experts
 * are chosen by table.
 */
const config = tinyConfig({ index_head_dim: 16, num_nextn_predict_layers: 0, num_hash_layers: 4, compress_ratios: [0, 4, 128, 4], moe_intermediate_size: 32, rms_norm_eps: 0.01 }); // prettier-ignore
const WIDE = 64;
const model = new V4(device, config, { seed: 3 });
for (const [name, p] of model.namedParameters())
  if (name.includes(".indexer.")) {
    const values = Float32Array.from({ length: p.shape.reduce((n, k) => n * k, 1) }, (_, i) => Math.sin(i * 0.7 + name.length)); // prettier-ignore
    p.copyFrom(values);
  }
const folder = join(root, "folder");
mkdirSync(folder);
writeFileSync(join(folder, "config.json"), JSON.stringify(config));
saveOfficial(join(folder, "model.safetensors"), model, { format: "f32" });

/** The scores of every indexer and the logits of 40 tokens, of whose 10 entries each sees the best 3. */
function outputs(from: TensorSet, c: V4Config): { scores: number[][]; logits: number[] } {
  using _scope = t.tensorScope();
  const net = new V4(device, c, { init: "zeros" });
  fillFrom(from, net);
  const scores: number[][] = [];
  const ids = Tensor.from(device, someIds(40, 50), [1, 40], "i32");
  const { hidden } = t.noGrad(() =>
    net.forward(ids, {
      choose: () => ({
        entries: (s) => {
          scores.push(Array.from(s.toArray()));
          return t.topkMask(s, c.index_topk);
        },
        experts: () => assert.fail("a table decides"),
      }),
    }),
  );
  return { scores, logits: Array.from(net.logits(hidden).toArray()) };
}

const widened = (): RawTensor[] => {
  using set = openTensors(folder);
  return [...set.tensors.keys()].map((name) => {
    const [bytes, raw] = [set.readBytes(name), verbatim(set, name)];
    return widenedIndex({ ...raw, chunks: () => [bytes] }, config.index_head_dim);
  });
};
function written(tensors: readonly RawTensor[]): TensorSet {
  const path = join(mkdtempSync(join(root, "w-")), "model.safetensors");
  writeRaw(path, tensors);
  return openTensors(path);
}

test("the first width that blocks of 64 divide, by fours", () => {
  assert.deepEqual([8, 12, 16, 32, 64, 96, 128].map(ggufIndexDim), [128, 192, 64, 128, 64, 384, 128]);
});

test("scores, choices and logits of the widened network are those of the network, bit for bit", () => {
  using narrow = openTensors(folder);
  using wide = written(widened());
  const expected = outputs(narrow, config);
  assert.equal(expected.scores.length, 2);
  assert.ok(expected.scores[0]!.filter((s) => s > 0).length > 50, "scores tell entries apart");
  const wideConfig = { ...config, index_head_dim: WIDE };
  assert.deepEqual(outputs(wide, wideConfig), expected);
  // Each factor matters: without it scores are others.
  for (const leaf of ["weights_proj.weight", "compressor.wkv.weight", "compressor.norm.weight"]) {
    const halved = widened().map((w) => (w.name.endsWith(`indexer.${leaf}`) ? { ...w, chunks: () => [...w.chunks()].map((b) => asBytes(new Float32Array(b.buffer as ArrayBuffer).map((v) => v / 2))) } : w)); // prettier-ignore
    using without = written(halved);
    assert.notDeepEqual(outputs(without, wideConfig).scores, expected.scores, leaf);
  }
});

test("a GGUF holds heads that llama.cpp can rotate, zeros first; import takes them back bit for bit", () => {
  const out = join(root, "out");
  using source = openCheckpoint(folder);
  const { files, note } = exportCheckpoint(source, out, { layout: "gguf" });
  assert.equal(note, "index heads of 16 stand as 64 for llama.cpp, with zeros; scores are the same, and import takes it back"); // prettier-ignore
  {
    using file = openGguf(join(out, files[0]!));
    assert.equal(file.metadata.get("deepseek4.attention.indexer.key_length")?.value, WIDE);
    const q = file.tensors.get("blk.1.indexer.attn_q_b.weight")!;
    assert.deepEqual(q.shape, [config.index_n_heads * WIDE, config.q_lora_rank]);
    const rows = new Float32Array(file.readBytes(q.name).buffer as ArrayBuffer);
    const isZero = (row: number): boolean => rows.subarray(row * config.q_lora_rank, (row + 1) * config.q_lora_rank).every((v) => v === 0); // prettier-ignore
    for (let row = 0; row < q.shape[0]!; row++) assert.equal(isZero(row), row % WIDE < WIDE - 16, `row ${row}`);
    assert.deepEqual(file.tensors.get("blk.3.indexer_compressor_ape.weight")!.shape, [4, 2 * WIDE]);
  }
  const back = join(root, "back");
  using again = openCheckpoint(out);
  assert.equal(again.config.index_head_dim, 16);
  importCheckpoint(again, back);
  using before = openTensors(folder);
  using after = openTensors(back);
  for (const name of before.tensors.keys()) if (name.includes(".indexer.")) assert.deepEqual(after.readBytes(name), before.readBytes(name), name); // prettier-ignore
});

test("heads that something else than zeros widened are refused", () => {
  const name = "layers.1.attn.indexer.compressor.norm.weight";
  using wide = written(widened().map((w) => (w.name === name ? { ...w, chunks: () => [asBytes(new Float32Array(WIDE).fill(1))] } : w))); // prettier-ignore
  const narrow = narrowedIndex(wide, config.index_head_dim, WIDE);
  assert.deepEqual(narrow.tensors.get(name)!.shape, [16]);
  assert.throws(() => narrow.readBytes(name), (error) => error instanceof FormatError && /expected zeros in front/.test(error.message)); // prettier-ignore
});
