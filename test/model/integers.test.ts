/** Integer weights: files in the form of compressed-tensors, and the network that runs on them. */
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { FormatError } from "../../src/base/errors.ts";
import { exportCheckpoint, type ExportDType } from "../../src/model/exchange.ts";
import { inspectPath } from "../../src/model/inspect.ts";
import { packWords, quantizeInt, unpackWords } from "../../src/model/int-format.ts";
import { openCheckpoint } from "../../src/model/open-checkpoint.ts";
import { inventoryOf, packedOf, parseStored, weightsOf } from "../../src/model/storage.ts";
import { V4 } from "../../src/model/v4.ts";
import { loadOfficial, saveOfficial } from "../../src/model/weights.ts";
import { openTensors } from "../../src/nn/tensor-set.ts";
import * as t from "../../src/tensor/ops.ts";
import { Tensor } from "../../src/tensor/tensor.ts";
import { openTestDevice } from "../tensor/device.ts";
import { someIds, tinyConfig } from "./tiny.ts";

const device = openTestDevice();
const root = mkdtempSync(join(tmpdir(), "tessera-integers-"));
after(() => rmSync(root, { recursive: true, force: true }));
let numFolders = 0;
const fresh = (): string => join(root, String(numFolders++));

/** Experts of whole groups on one side and of one group on the other; MTP and a visual part. */
const config = tinyConfig({ hidden_size: 128, moe_intermediate_size: 64, compress_ratios: [0, 4, 16, 4, 0] });
const plain = new V4(device, config, { seed: 9 });
const folder = fresh();
mkdirSync(folder);
writeFileSync(join(folder, "config.json"), JSON.stringify(config));
saveOfficial(join(folder, "model.safetensors"), plain, { format: "f32" });

function exported(from: string, dtype: ExportDType): string {
  const out = fresh();
  using source = openCheckpoint(from);
  exportCheckpoint(source, out, { layout: "official", dtype });
  return out;
}
const mixes = { w8a8: exported(folder, "w8a8"), w4a8: exported(folder, "w4a8") };
const stored = (dir: string) => parseStored(JSON.parse(readFileSync(join(dir, "config.json"), "utf8")), dir);
function loaded(dir: string): V4 {
  const { config: own, storage } = stored(dir);
  const model = new V4(device, own, { init: "zeros", packed: storage.integers });
  loadOfficial(dir, model);
  return model;
}
const contents = (dir: string): Record<string, string> => {
  using set = openTensors(dir);
  return Object.fromEntries([...set.tensors].map(([name, x]) => [name, `${x.fileDType} [${x.shape}] ${Buffer.from(set.readBytes(name)).toString("base64")}`])); // prettier-ignore
};

test("words of eight int4 come back, and the largest number of a group is its last step", () => {
  const codes = Int8Array.from({ length: 64 }, (_, i) => (i % 16) - 8);
  assert.deepEqual(unpackWords(packWords(codes)), codes);
  const { codes: q, scale } = quantizeInt(Float32Array.of(1, -3.5, 0.5, 0, 0, 0, 0, 0), 8, "int4", 4);
  assert.deepEqual([...q], [2, -7, 1, 0, 0, 0, 0, 0]);
  assert.deepEqual([...scale], [0.5, 1]);
});

for (const [mix, dir] of Object.entries(mixes)) {
  test(`${mix}: the files are those that the config plans, and every integer layer is one of the files'`, () => {
    const { config: own, storage } = stored(dir);
    using set = openTensors(dir);
    const planned = inventoryOf(own, storage).map(({ name, fileDType, shape }) => `${name} ${fileDType} [${shape}]`).sort(); // prettier-ignore
    // The folder was f32, so what stays wide is bf16 or f32 as its role says.
    assert.deepEqual([...set.tensors.values()].map(({ name, fileDType, shape }) => `${name} ${fileDType} [${shape}]`).sort(), planned); // prettier-ignore
    assert.deepEqual(inspectPath(dir).findings, []);
    const integers = loaded(dir).namedParameters().filter(([, p]) => p.dtype === "i8").map(([name]) => name.replace(".weight", "")); // prettier-ignore
    const wanted = weightsOf(own, storage.drafter).filter(({ role }) => role === "expert" || role === "linear").map(({ name }) => name.replace(/experts\.\d+\./, "experts.").replace(".weight", "")); // prettier-ignore
    assert.deepEqual(integers.sort(), [...new Set(wanted)].sort());
  });

  test(`${mix}: kept as it is, every byte stays; widened, the numbers are those of codes and scales`, () => {
    assert.deepEqual(contents(exported(dir, "keep")), contents(dir));
    const wide = new V4(device, config, { init: "zeros" });
    loadOfficial(exported(dir, "f32"), wide);
    const again = new V4(device, config, { init: "zeros" });
    loadOfficial(dir, again);
    for (const [i, [name, p]] of wide.namedParameters().entries())
      assert.deepEqual(again.namedParameters()[i]![1].toArray(), p.toArray(), name);
  });
}

/** Of the largest logit of the plain network. */
function distance(model: V4): number {
  using _scope = t.tensorScope();
  const ids = Tensor.from(device, someIds(24, 50), [1, 24]);
  const run = (m: V4): Float32Array => t.noGrad(() => m.logits(m.forward(ids, {}).hidden).toArray()) as Float32Array;
  const [a, b] = [run(plain), run(model)];
  return Math.sqrt(a.reduce((s, v, i) => s + (v - b[i]!) ** 2, 0) / a.reduce((s, v) => s + v * v, 0));
}

test("the network on integers is near the plain one, nearer with more bits, and says the same in steps", () => {
  const [eight, four] = [loaded(mixes.w8a8), loaded(mixes.w4a8)];
  const [d8, d4] = [distance(eight), distance(four)];
  assert.ok(d8 > 1e-5 && d8 < d4, `expected int8 nearer than int4, got ${d8} and ${d4}`);
  // A step of int4 is a 7th of the largest: rounding is about 1/7/sqrt(12) = 4 % of it, and it is not all of a layer.
  assert.ok(d4 < 0.2, `expected w4a8 within a fifth of the plain logits, got ${d4}`);
  using _scope = t.tensorScope();
  const ids = someIds(24, 50);
  const state = eight.newState();
  const whole = t.noGrad(() => eight.forward(Tensor.from(device, ids, [1, 24]), {}).hidden.toArray());
  const parts = [ids.subarray(0, 9), ids.subarray(9)].map((part) => t.noGrad(() => eight.forward(Tensor.from(device, part, [1, part.length]), { state }).hidden.toArray())); // prettier-ignore
  const steps = [...parts[0]!, ...parts[1]!];
  const most = steps.reduce<number>((m, v, i) => Math.max(m, Math.abs(v - whole[i]!)), 0);
  // Integer sums are exact, so a cut changes only what it changes in plain numbers: the last bits, and steps they flip.
  assert.ok(most < 0.02, `expected cut sequences to agree, got ${most}`);
});

test("wo_a stays wide where a config leaves it out", () => {
  const json = JSON.parse(readFileSync(join(mixes.w8a8, "config.json"), "utf8")) as { quantization_config: { ignore: string[] } }; // prettier-ignore
  json.quantization_config.ignore.push("re:.*\\.wo_a$");
  const { config: own, storage } = parseStored(json, "c");
  const formOf = (name: string): string | undefined =>
    inventoryOf(own, storage).find((x) => x.name === name)?.fileDType;
  assert.deepEqual(["layers.1.attn.wo_a.weight", "layers.1.attn.wo_b.weight"].map(formOf), ["BF16", "I8"]);
  const model = new V4(device, own, { init: "zeros", packed: packedOf(storage) });
  assert.equal(model.layers[1]!.attn.wo_a.weight.dtype, "f32");
});

test("what cannot be is refused by name", () => {
  const grow = (): unknown => loaded(mixes.w8a8).forward(Tensor.from(device, someIds(4, 50), [1, 4]), {});
  assert.throws(grow, /weights that stay codes are for inference only/);
  assert.throws(() => saveOfficial(join(root, "x.safetensors"), loaded(mixes.w8a8), { format: "bf16" }), /expected weights to train, got int8/); // prettier-ignore
  using source = openCheckpoint(mixes.w8a8);
  assert.throws(() => exportCheckpoint(source, fresh(), { layout: "gguf" }), /expected the official layout for integer weights, got gguf/); // prettier-ignore
  // The config of one mix over the files of the other.
  const wrong = new V4(device, config, { init: "zeros", packed: stored(mixes.w8a8).storage.integers });
  assert.throws(() => loadOfficial(mixes.w4a8, wrong), (e) => e instanceof FormatError && /experts\.0\.w1\.weight": expected int8 by the config, found int4/.test(e.message)); // prettier-ignore
  const narrow = fresh();
  mkdirSync(narrow);
  const small = tinyConfig();
  writeFileSync(join(narrow, "config.json"), JSON.stringify(small));
  saveOfficial(join(narrow, "model.safetensors"), new V4(device, small, { seed: 1 }), { format: "bf16" });
  assert.throws(
    () => exported(narrow, "w4a8"),
    /expected rows in whole groups of 64 numbers for int4, found \[16,32\]/,
  );
  const json = JSON.parse(readFileSync(join(mixes.w4a8, "config.json"), "utf8")) as { quantization_config: { config_groups: Record<string, { weights: { group_size: number | null } }> } }; // prettier-ignore
  json.quantization_config.config_groups["group_1"]!.weights.group_size = 48;
  assert.throws(() => parseStored(json, "c"), /config: c: field "quantization_config\.config_groups\.group_1\.weights\.group_size"/); // prettier-ignore
});
