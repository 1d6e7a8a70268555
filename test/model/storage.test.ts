/** The released inventories from their configs, and the exact change from e2m1 to e4m3. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { FormatError } from "../../src/base/errors.ts";
import { decodeE2m1 } from "../../src/base/fp4.ts";
import { e4m3ToF32, fromE8m0 } from "../../src/base/fp8.ts";
import { planOf } from "../../src/model/inspect.ts";
import { losslessFp8 } from "../../src/model/stored.ts";

/** Tensors and bytes of the published indexes; v4-pro (the preview) is derived from shapes, not confirmed by an index. */
const published = {
  "v4-flash": [69_187, 159_609_485_896],
  "v4-flash-0731": [72_317, 166_878_536_440],
  "v4-pro": [145_116, 864_704_792_696],
  "v4-pro-0813": [149_782, 892_727_580_904],
} as const;

for (const [name, [numTensors, sizeBytes]] of Object.entries(published))
  test(`${name} has its published number of tensors and bytes`, () => {
    const plan = planOf(name as keyof typeof published);
    assert.deepEqual([plan.numTensors, plan.sizeBytes], [numTensors, sizeBytes]);
    assert.equal(new Set(plan.tensors.map((t) => t.name)).size, numTensors, "names are unique");
  });

test("single tensors of the released files", () => {
  const tensors = new Map(planOf("v4-flash-0731").tensors.map((t) => [t.name, `${t.fileDType} [${t.shape}]`]));
  const expected: Record<string, string> = {
    "layers.2.attn.wq_b.scale": "F8_E8M0 [256,8]",
    "layers.42.ffn.experts.255.w2.weight": "I8 [4096,1024]",
    "layers.42.ffn.experts.255.w2.scale": "F8_E8M0 [4096,64]",
    "layers.3.attn.compressor.ape": "F32 [128,512]",
    "layers.2.attn.indexer.compressor.wkv.weight": "BF16 [256,4096]",
    "layers.2.ffn.gate.tid2eid": "I64 [129280,6]",
    "mtp.0.main_proj.weight": "F8_E4M3 [4096,12288]",
    "mtp.2.markov_head.markov_w1.weight": "BF16 [129280,256]",
    "mtp.2.confidence_head.proj.weight": "BF16 [1,4352]",
  };
  for (const [name, text] of Object.entries(expected)) assert.equal(tensors.get(name), text, name);
});

const where = { file: "x.safetensors", key: "experts" };

test("e2m1 becomes e4m3 without loss while the scales of a block lie within 2^14", () => {
  const shape = [130, 160];
  const [rows, cols] = shape as [number, number];
  const packed = Uint8Array.from({ length: (rows * cols) / 2 }, (_, i) => (i * 37 + 11) & 255);
  const scale = Uint8Array.from({ length: rows * (cols / 32) }, (_, i) => 120 + ((i * 7) % 15));
  const made = losslessFp8(packed, scale, shape, where);
  assert.equal(made.scale.length, 2 * 2);
  const values = e4m3ToF32(made.codes);
  for (let i = 0; i < values.length; i++) {
    const [r, c] = [Math.floor(i / cols), i % cols];
    const code = i % 2 === 0 ? packed[i >> 1]! & 15 : packed[i >> 1]! >> 4;
    const before = decodeE2m1(code) * fromE8m0(scale[r * (cols / 32) + Math.floor(c / 32)]!);
    const after = values[i]! * fromE8m0(made.scale[Math.floor(r / 128) * 2 + Math.floor(c / 128)]!);
    assert.ok(Object.is(after, before), `[${r},${c}]: ${after} for ${before}`);
  }
});

test("a block whose scales lie too far apart is refused by name", () => {
  const packed = new Uint8Array(64).fill(0x11);
  const scale = Uint8Array.of(100, 117, 117, 117);
  assert.throws(
    () => losslessFp8(packed, scale, [1, 128], where),
    (error) => error instanceof FormatError && error.key === "experts" && /within 2\^14/.test(error.message),
  );
});
