/** Networks whose matrices stay FP8 and FP4 codes in memory: what is in memory, and what it computes. */
import assert from "node:assert/strict";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { dtypes } from "../../src/base/dtype.ts";
import { FormatError } from "../../src/base/errors.ts";
import { exportCheckpoint } from "../../src/model/exchange.ts";
import { numericsPresets, type Numerics } from "../../src/model/numerics.ts";
import { openCheckpoint } from "../../src/model/open-checkpoint.ts";
import { inventoryOf, packedOf, parseStored } from "../../src/model/storage.ts";
import { V4 } from "../../src/model/v4.ts";
import { loadOfficial, saveOfficial } from "../../src/model/weights.ts";
import { PackedLinear } from "../../src/nn/packed-linear.ts";
import { bytesOf } from "../../src/nn/safetensors.ts";
import { openTensors } from "../../src/nn/tensor-set.ts";
import * as t from "../../src/tensor/ops.ts";
import { Tensor } from "../../src/tensor/tensor.ts";
import { openTestDevice } from "../tensor/device.ts";
import { someIds, tinyConfig } from "./tiny.ts";

const device = openTestDevice();
const root = mkdtempSync(join(tmpdir(), "tessera-native-"));
after(() => rmSync(root, { recursive: true, force: true }));

/** Matrices of more than one block of either kind, MTP and a visual part. */
const config = tinyConfig({ hidden_size: 160, moe_intermediate_size: 64, compress_ratios: [0, 4, 16, 4, 0] });
const plain = join(root, "plain");
mkdirSync(plain);
writeFileSync(join(plain, "config.json"), JSON.stringify(config));
saveOfficial(join(plain, "model.safetensors"), new V4(device, config, { seed: 9 }), { format: "f32" });
for (const dtype of ["fp4", "fp8"] as const) {
  using source = openCheckpoint(plain);
  exportCheckpoint(source, join(root, dtype), { layout: "official", dtype });
}

const stored = (dir: string) => parseStored(JSON.parse(readFileSync(join(dir, "config.json"), "utf8")), dir);
function loaded(dtype: string, how: "keep" | "widen", numerics: Numerics = numericsPresets.hf): V4 {
  const { config: own, storage } = stored(join(root, dtype));
  const packed = how === "keep" ? packedOf(storage) : undefined;
  const model = new V4(device, { ...own, numerics }, { init: "zeros", packed });
  loadOfficial(join(root, dtype), model);
  return model;
}
function logitsOf(model: V4): Float32Array {
  using _scope = t.tensorScope();
  const ids = Tensor.from(device, someIds(24, 50), [1, 24]);
  return t.noGrad(() => model.logits(model.forward(ids, {}).hidden).toArray()) as Float32Array;
}
/** Of the length of a. */
const distance = (a: Float32Array, b: Float32Array): number => Math.sqrt(a.reduce((s, v, i) => s + (v - b[i]!) ** 2, 0) / a.reduce((s, v) => s + v * v, 0)); // prettier-ignore

const rounding = { ...numericsPresets.hf, actFp8: true };
for (const dtype of ["fp4", "fp8"] as const) {
  test(`${dtype}: codes in memory compute what widened weights compute with FP8 activations`, () => {
    const kept = logitsOf(loaded(dtype, "keep"));
    // Sums have another order, and an activation at the edge of two codes may go to the other one.
    assert.ok(distance(logitsOf(loaded(dtype, "widen", rounding)), kept) < 1e-3);
    assert.ok(distance(logitsOf(loaded(dtype, "widen")), kept) > 3e-3, "FP8 activations show");
  });

  test(`${dtype}: in memory a matrix has the bytes that it has in the file, filled up to whole groups`, () => {
    const { config: own, storage } = stored(join(root, dtype));
    const model = loaded(dtype, "keep");
    const file = new Map<string, number>();
    for (const x of inventoryOf(own, storage)) {
      const base = x.name.replace(/experts\.\d+\./, "experts.").replace(/\.(weight|scale)$/, "");
      file.set(base, (file.get(base) ?? 0) + bytesOf(x));
    }
    let count = 0;
    for (const [name, p] of model.namedParameters()) {
      if (!name.endsWith(".weight_scale")) continue;
      count++;
      const base = name.replace(".weight_scale", "");
      const codes = model.namedParameters().find(([n]) => n === `${base}.weight`)![1];
      const bytes = codes.size * dtypes[codes.dtype].size + p.size * dtypes[p.dtype].size;
      const isFp4 = dtype === "fp4" && base.includes(".experts.");
      const [rows, cols] = codes.shape.slice(-2) as [number, number];
      // Scales of FP8 are f32 here and a byte there.
      const filled = isFp4 ? (codes.shape[0]! * rows * cols * 17) / 16 : file.get(base)! + 3 * p.size;
      assert.equal(bytes, filled, name);
    }
    assert.ok(count > 20);
  });
}

test("what cannot be is refused by name", () => {
  const grow = (): unknown => loaded("fp4", "keep").forward(Tensor.from(device, someIds(4, 50), [1, 4]), {});
  assert.throws(grow, /weights that stay codes are for inference only/);
  assert.throws(() => saveOfficial(join(root, "x.safetensors"), loaded("fp4", "keep"), { format: "bf16" }), /expected weights to train, got fp8/); // prettier-ignore
  const wrong = new V4(device, config, { init: "zeros", packed: packedOf(stored(join(root, "fp4")).storage) });
  assert.throws(() => loadOfficial(join(root, "fp8"), wrong), (e) => e instanceof FormatError && /experts\.0\.w1\.weight": expected fp4 by the config, found fp8/.test(e.message)); // prettier-ignore
  // A scale below 2^-125 beside numbers, and a code that is no number.
  for (const [name, part, byte, message] of [
    ["layers.0.ffn.experts.1.w2", "scale", 1, /expected scales from 2\^-125 to 2\^127 for numbers that are not 0, found code 1 at element 0/],
    ["layers.0.attn.wq_a", "weight", 0x7f, /expected finite numbers, found one that is not at element 0/],
  ] as const) {
    const dir = join(root, `broken ${part}`);
    cpSync(join(root, "fp4"), dir, { recursive: true });
    const file = join(dir, "model.safetensors");
    const bytes = readFileSync(file);
    using set = openTensors(join(root, "fp4"));
    const at = bytes.indexOf(Buffer.from(set.readBytes(`${name}.${part}`)));
    bytes[at] = byte;
    writeFileSync(file, bytes);
    const model = new V4(device, stored(dir).config, { init: "zeros", packed: packedOf(stored(dir).storage) });
    assert.throws(() => loadOfficial(dir, model), (e) => e instanceof FormatError && message.test(e.message));
  }
}); // prettier-ignore

test("the layers that stay codes are those of the files", () => {
  const { attn, ffn } = loaded("fp4", "keep").layers[1]!;
  assert.deepEqual([attn.wq_a, attn.wo_a, ffn.shared_experts.w1, ffn.experts.w1].map((l) => (l instanceof PackedLinear ? l.form : "numbers")), ["fp8", "fp8", "fp8", "fp4"]); // prettier-ignore
});
