import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { e4m3ToF32, toE4m3, fromE4m3 } from "../../src/base/fp8.ts";
import { FormatError } from "../../src/base/errors.ts";
import { makeConfig, parseConfig, presets, sizesOf } from "../../src/model/config.ts";
import { balanceBias } from "../../src/model/moe.ts";
import { V4 } from "../../src/model/v4.ts";
import { exportCheckpoint } from "../../src/model/exchange.ts";
import { openCheckpoint } from "../../src/model/open-checkpoint.ts";
import { parseStored, storedAs, weightsOf as specsOf } from "../../src/model/storage.ts";
import { quantize } from "../../src/model/stored.ts";
import { loadOfficial, saveOfficial } from "../../src/model/weights.ts";
import { openSafetensors } from "../../src/nn/safetensors.ts";
import { openTestDevice } from "../tensor/device.ts";
import { tinyConfig } from "./tiny.ts";

const device = openTestDevice();
const root = mkdtempSync(join(tmpdir(), "tessera-weights-"));
after(() => rmSync(root, { recursive: true, force: true }));

const weightsOf = (model: V4): Map<string, Float32Array | Int32Array> =>
  new Map(model.namedParameters().map(([name, p]) => [name, p.toArray() as Float32Array | Int32Array]));

test("e4m3: every code survives, ties go to even, large values clamp", () => {
  for (let code = 0; code < 256; code++) if ((code & 127) !== 127) assert.equal(toE4m3(fromE4m3(code)), code);
  const cases: [number, number][] = [[17, 16], [19, 20], [18, 18], [460, 448], [1e9, 448], [-1000, -448], [2 ** -10, 0], [3 * 2 ** -10, 2 ** -8], [0.0625 * 1.0625, 0.0625]]; // prettier-ignore
  for (const [x, y] of cases) assert.equal(fromE4m3(toE4m3(x)), y, `${x}`);
});

test("f32 files give back the same weights under official names", () => {
  const model = new V4(device, tinyConfig(), { seed: 4 });
  const path = join(root, "f32.safetensors");
  saveOfficial(path, model, { format: "f32" });
  const again = new V4(device, tinyConfig(), { init: "zeros" });
  loadOfficial(path, again);
  assert.deepEqual(weightsOf(again), weightsOf(model));
  using file = openSafetensors(path);
  for (const name of [
    "layers.2.ffn.experts.3.w2.weight",
    "layers.0.ffn.gate.tid2eid",
    "layers.1.attn.indexer.compressor.ape",
    "layers.1.hc_attn_fn",
    "mtp.0.e_proj.weight",
    "hc_head_scale",
    "embed_visual.level",
  ])
    // prettier-ignore
    assert.ok(file.tensors.has(name), name);
});

test("an fp8 export has the released layout's scales and is within half a step of e4m3 of the weights", () => {
  const model = new V4(device, tinyConfig(), { seed: 4 });
  const [from, path] = [join(root, "wide"), join(root, "fp8")];
  mkdirSync(from);
  writeFileSync(join(from, "config.json"), JSON.stringify(tinyConfig()));
  saveOfficial(join(from, "model.safetensors"), model, { format: "f32" });
  using source = openCheckpoint(from);
  exportCheckpoint(source, path, { layout: "official", dtype: "fp8" });
  using exported = openCheckpoint(path);
  const { config, storage } = parseStored(exported.json, path);
  const specs = specsOf(config, storage.drafter).flatMap((w) => storedAs(w, storage));
  assert.ok(specs.some(({ name, fileDType }) => name === "layers.1.attn.wq_b.scale" && fileDType === "F8_E8M0"));
  const found = [...exported.set.tensors.values()].map(({ name, fileDType, shape }) => ({ name, fileDType, shape }));
  const inOrder = <T extends { readonly name: string }>(list: readonly T[]): T[] => [...list].sort((a, b) => (a.name < b.name ? -1 : 1)); // prettier-ignore
  assert.deepEqual(inOrder(found), inOrder(specs));
  const again = new V4(device, tinyConfig(), { init: "zeros" });
  loadOfficial(path, again);
  const expected = weightsOf(model);
  for (const [name, got] of weightsOf(again)) {
    const want = expected.get(name)!;
    const largest = (want as Float32Array).reduce((m, x) => Math.max(m, Math.abs(x)), 0);
    // Relative 2^-4 where normal; the smallest normal step is 2^-9 of a scale of at most 2 largest / 448.
    got.forEach((x, i) => {
      const room = Math.abs(want[i]!) / 16 + (2 ** -10 * 2 * largest) / 448;
      assert.ok(Math.abs(x - want[i]!) <= room, `${name}[${i}]: ${x} vs ${want[i]}`);
    });
  }
});

test("blocks of 128x128 have their own power-of-two scales", () => {
  const x = new Float32Array(2 * 200);
  x[0] = 448 * 4;
  x[150] = 1;
  const { codes, scale } = quantize(x, [2, 200]);
  assert.deepEqual([...scale], [4, 2 ** -8]);
  assert.equal(e4m3ToF32(codes)[0], 448);
  assert.equal(e4m3ToF32(codes)[150], 256);
});

test("a file that does not fit names the tensor, what was expected and what was found", () => {
  const path = join(root, "other.safetensors");
  saveOfficial(path, new V4(device, tinyConfig(), { seed: 4 }), { format: "bf16" });
  const wider = new V4(device, tinyConfig({ q_lora_rank: 24 }), { init: "zeros" });
  assert.throws(
    () => loadOfficial(path, wider),
    (error) =>
      error instanceof FormatError &&
      error.file === path &&
      error.key === "layers.0.attn.wq_a.weight" &&
      /expected \[24,32\], found BF16 \[16,32\]/.test(error.message),
  );
  const deeper = new V4(device, tinyConfig({ num_hidden_layers: 5, compress_ratios: [0, 4, 16, 4, 0] }), {
    init: "zeros",
  });
  assert.throws(() => loadOfficial(path, deeper), /"layers\.4\.\S+": expected .* found none/);
  const shallower = new V4(device, tinyConfig({ num_nextn_predict_layers: 0 }), { init: "zeros" });
  assert.throws(() => loadOfficial(path, shallower), /"mtp\.0\.\S+": expected no such tensor/);
});

test("weights that are not numbers are named", () => {
  const path = join(root, "nan.safetensors");
  const model = new V4(device, tinyConfig(), { seed: 4 });
  const { weight } = model.layers[1]!.attn.wkv;
  const values = weight.toArray() as Float32Array;
  values[7] = NaN;
  weight.copyFrom(values);
  saveOfficial(path, model, { format: "bf16" });
  assert.throws(
    () => loadOfficial(path, new V4(device, tinyConfig(), { init: "zeros" })),
    /nan.safetensors: tensor "layers.1.attn.wkv.weight": expected finite numbers, found NaN at element 7/,
  );
});

test("sizes are the network's", () => {
  const trained = (model: V4): number => model.parameters().reduce((n, p) => n + p.size, 0);
  for (const config of [tinyConfig(), makeConfig("nano", { vocab_size: 300 })])
    assert.equal(sizesOf(config).total, trained(new V4(device, config, { init: "zeros" })));
});

test("a config that cannot be is refused by field", () => {
  const good = { ...presets.nano, vocab_size: 100 };
  assert.equal(parseConfig({ ...good, architectures: ["DeepseekV4ForCausalLM"] }, "x").vocab_size, 100);
  const cases: [string, unknown][] = [["vocab_size", 0], ["hidden_size", "192"], ["o_groups", 4], ["compress_ratios", [0]], ["num_experts_per_tok", 9], ["qk_rope_head_dim", 7], ["visual", { start_id: 90, levels: [5, 5], max_rows: 1, max_cols: 1, max_frames: 1 }]]; // prettier-ignore
  for (const [key, value] of cases)
    assert.throws(
      () => parseConfig({ ...good, [key]: value }, "config.json"),
      (error) => error instanceof FormatError && error.key === key && error.file === "config.json",
      key,
    );
});

test("hash tables use every expert equally, and no id one twice", () => {
  const model = new V4(device, tinyConfig({ vocab_size: 80 }), { init: "zeros" });
  const table = model.layers[0]!.ffn.gate.tid2eid!.toArray();
  const counts = [0, 0, 0, 0];
  for (let id = 0; id < 80; id++) {
    assert.notEqual(table[2 * id], table[2 * id + 1]);
    for (const e of [table[2 * id]!, table[2 * id + 1]!]) counts[e]!++;
  }
  assert.deepEqual(counts, [40, 40, 40, 40]);
});

test("the routing bias moves against the load", () => {
  const model = new V4(device, tinyConfig(), { init: "zeros" });
  const gate = model.layers[1]!.ffn.gate;
  balanceBias(gate, [10, 2, 6, 6], 0.5);
  assert.deepEqual([...gate.bias!.toArray()], [-0.5, 0.5, 0, 0]);
});
