/** Checkpoints in and out: every layout and back, bit for bit, and what is refused. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { FormatError } from "../../src/base/errors.ts";
import { exportCheckpoint, importCheckpoint, type ExportDType } from "../../src/model/exchange.ts";
import { findingsOf, inspectPath } from "../../src/model/inspect.ts";
import { openCheckpoint, type Layout } from "../../src/model/open-checkpoint.ts";
import { verbatim } from "../../src/model/stored.ts";
import { V4 } from "../../src/model/v4.ts";
import { loadOfficial, saveOfficial } from "../../src/model/weights.ts";
import { asBytes, bytesOf, writeRaw, type RawTensor } from "../../src/nn/safetensors.ts";
import { openTensors, writeShards } from "../../src/nn/tensor-set.ts";
import { openTestDevice } from "../tensor/device.ts";
import { tinyConfig } from "./tiny.ts";

const device = openTestDevice();
const root = mkdtempSync(join(tmpdir(), "tessera-exchange-"));
after(() => rmSync(root, { recursive: true, force: true }));
let numFolders = 0;
const fresh = (): string => join(root, String(numFolders++));

/** Ratios, widths and names that all three layouts know, with MTP and a visual part. */
const config = tinyConfig({ compress_ratios: [0, 4, 128, 4, 0], moe_intermediate_size: 32 });
const model = new V4(device, config, { seed: 5 });

function modelFolder(): string {
  const dir = fresh();
  mkdirSync(dir);
  writeFileSync(join(dir, "config.json"), JSON.stringify(config));
  saveOfficial(join(dir, "model.safetensors"), model, { format: "bf16" });
  return dir;
}
const folder = modelFolder();

/** All tensors of a folder as text, to compare whole. */
function contents(dir: string): Record<string, string> {
  using set = openTensors(dir);
  const entries = [...set.tensors].map(([name, t]) => [name, `${t.fileDType} [${t.shape}] ${Buffer.from(set.readBytes(name)).toString("base64")}`]); // prettier-ignore
  return Object.fromEntries(entries.sort((a, b) => (a[0]! < b[0]! ? -1 : 1)));
}

function exported(from: string, layout: Layout, dtype: ExportDType = "keep", maxShardBytes?: number): string {
  const out = fresh();
  using source = openCheckpoint(from);
  exportCheckpoint(source, out, { layout, dtype, ...(maxShardBytes !== undefined && { maxShardBytes }) });
  return out;
}
function importedFrom(from: string): string {
  const out = fresh();
  using source = openCheckpoint(from);
  importCheckpoint(source, out);
  return out;
}

for (const layout of ["official", "transformers", "gguf"] as const)
  test(`a model folder comes back from the ${layout} layout bit for bit, drafter and visual tables too`, () => {
    const out = exported(folder, layout);
    assert.deepEqual(inspectPath(out).findings, []);
    const back = importedFrom(out);
    assert.deepEqual(contents(back), contents(folder));
    const { config: again } = openCheckpoint(back);
    assert.deepEqual(again, openCheckpoint(folder).config);
  });

test("released storage keeps its codes and scales through every layout that has them", () => {
  const quantised = exported(folder, "official", "fp4");
  const codes = contents(quantised);
  assert.match(codes["layers.1.ffn.experts.2.w1.weight"]!, /^I8 \[32,16\]/);
  assert.match(codes["layers.1.ffn.experts.2.w1.scale"]!, /^F8_E8M0 \[32,1\]/);
  assert.match(codes["layers.1.attn.wq_b.weight"]!, /^F8_E4M3 \[64,16\]/);
  assert.match(codes["layers.1.attn.compressor.wkv.weight"]!, /^BF16/);
  assert.match(codes["layers.0.ffn.gate.tid2eid"]!, /^I64/);
  assert.deepEqual(inspectPath(quantised).findings, []);
  // Experts are stacked in transformers' files, and interleaved with their scales in GGUF's.
  assert.deepEqual(contents(exported(importedFrom(exported(quantised, "transformers")), "official")), codes);
  const viaGguf = contents(exported(importedFrom(exported(quantised, "gguf")), "official"));
  for (const [name, text] of Object.entries(codes)) if (/experts\.\d+\.w/.test(name)) assert.equal(viaGguf[name], text, name); // prettier-ignore
});

test("e2m1 experts as e4m3, e4m3 as bf16: the same numbers", () => {
  const numbers = (dir: string): Map<string, unknown> => {
    const loaded = new V4(device, config, { init: "zeros" });
    loadOfficial(dir, loaded);
    return new Map(loaded.namedParameters().map(([name, p]) => [name, p.toArray()]));
  };
  const fp4 = exported(folder, "official", "fp4");
  const expected = numbers(fp4);
  for (const dtype of ["fp8", "bf16", "f32"] as const) assert.deepEqual(numbers(exported(fp4, "official", dtype)), expected, dtype); // prettier-ignore
});

test("shards: an index, every tensor once, the same model", () => {
  const out = exported(folder, "official", "keep", 20_000);
  const index = JSON.parse(readFileSync(join(out, "model.safetensors.index.json"), "utf8")) as { metadata: { total_size: number }; weight_map: Record<string, string> }; // prettier-ignore
  using set = openTensors(out);
  assert.equal(
    index.metadata.total_size,
    [...set.tensors.values()].reduce((n, t) => n + bytesOf(t), 0),
  );
  assert.ok(new Set(Object.values(index.weight_map)).size > 3);
  assert.deepEqual(contents(importedFrom(out)), contents(folder));
  const first = Object.keys(index.weight_map)[0]!;
  const rewrite = (map: Record<string, string>): void => writeFileSync(join(out, "model.safetensors.index.json"), JSON.stringify({ weight_map: map })); // prettier-ignore
  rewrite({ ...index.weight_map, [first]: "../elsewhere.safetensors" });
  assert.throws(() => openTensors(out), /"embed\.weight": expected the name of a \.safetensors file in this folder/);
  rewrite({ ...index.weight_map, ghost: index.weight_map[first]! });
  assert.throws(() => openTensors(out), /"ghost": expected it in model-00001\S+, found none/);
  const { [first]: _gone, ...rest } = index.weight_map;
  rewrite(rest);
  assert.throws(
    () => openTensors(out),
    /"embed\.weight": found in model-00001\S+, expected no such tensor by the index/,
  );
});

/** The folder with its tensors changed. */
function changed(change: (tensors: Map<string, RawTensor>) => void): string {
  const dir = fresh();
  cpSync(folder, dir, { recursive: true });
  using set = openTensors(folder);
  const tensors = new Map([...set.tensors].map(([name, t]): [string, RawTensor] => [name, { name, fileDType: t.fileDType, shape: t.shape, chunks: () => [set.readBytes(name)] }])); // prettier-ignore
  change(tensors);
  writeRaw(join(dir, "model.safetensors"), [...tensors.values()]);
  return dir;
}

const WQ = "layers.1.attn.wq_a.weight";
const replaced = (t: RawTensor, own: Partial<RawTensor>): RawTensor => ({ ...t, ...own });
const damages: [name: string, change: (t: Map<string, RawTensor>) => void, finding: object | undefined, refusal: RegExp][] = [
  ["missing", (t) => t.delete(WQ), { kind: "missing", tensor: WQ, expected: "[16,32]", found: "none" }, /"layers\.1\.attn\.wq_a\.weight": expected \[16,32\], found none/],
  ["extra", (t) => t.set("odd", replaced(t.get(WQ)!, { name: "odd" })), { kind: "extra", tensor: "odd", expected: "no such tensor", found: "BF16 [16,32]" }, /"odd": expected no such tensor/],
  ["misnamed", (t) => { t.set("x", replaced(t.get(WQ)!, { name: "layers.1.attn.wq_A.weight" })); t.delete(WQ); }, { kind: "misnamed", tensor: WQ, expected: WQ, found: "layers.1.attn.wq_A.weight" }, /wq_a\.weight": expected \[16,32\], found none/],
  ["misshaped", (t) => t.set(WQ, replaced(t.get(WQ)!, { shape: [32, 16] })), { kind: "shape", tensor: WQ, expected: "[16,32]", found: "BF16 [32,16]" }, /wq_a\.weight": expected \[16,32\], found BF16 \[32,16\]/],
  ["of the wrong dtype", (t) => t.set(WQ, replaced(t.get(WQ)!, { fileDType: "I16" })), { kind: "dtype", tensor: WQ, expected: "F32, BF16, F8_E4M3 with scales or I8 (two e2m1) with scales", found: "I16" }, /wq_a\.weight": expected F32, BF16/],
  ["without its scales", (t) => t.set(WQ, { name: WQ, fileDType: "F8_E4M3", shape: [16, 32], chunks: () => [new Uint8Array(512)] }), { kind: "scale", tensor: "layers.1.attn.wq_a.scale", expected: "block scales [1,1]", found: "none" }, /wq_a\.scale": expected block scales \[1,1\], found none/],
  ["full of NaN", (t) => t.set(WQ, replaced(t.get(WQ)!, { chunks: () => [asBytes(new Uint16Array(512).fill(0x7fc0))] })), undefined, /wq_a\.weight": expected finite numbers, found one that is not at element 0/],
]; // prettier-ignore
for (const [name, change, finding, refusal] of damages)
  test(`a tensor that is ${name} is named`, () => {
    const dir = changed(change);
    assert.deepEqual(findingsOf(openCheckpoint(dir)), finding ? [finding] : []);
    const out = fresh();
    const attempt = (): unknown => importCheckpoint(openCheckpoint(dir), out);
    assert.throws(attempt, (error) => error instanceof FormatError && refusal.test(error.message));
    assert.ok(!existsSync(out), "nothing is left behind");
    assert.throws(() => loadOfficial(dir, new V4(device, config, { init: "zeros" })), FormatError);
  });

test("a truncated file and a config that does not say what it must are refused", () => {
  const dir = fresh();
  cpSync(folder, dir, { recursive: true });
  const bytes = readFileSync(join(dir, "model.safetensors"));
  writeFileSync(join(dir, "model.safetensors"), bytes.subarray(0, bytes.length - 100));
  assert.throws(() => openCheckpoint(dir), /truncated/);
  writeFileSync(join(dir, "config.json"), JSON.stringify({ ...config, expert_dtype: "int3" }));
  writeFileSync(join(dir, "model.safetensors"), bytes);
  assert.throws(() => openCheckpoint(dir), /field "expert_dtype"/);
  writeFileSync(join(dir, "config.json"), "[1]");
  assert.throws(() => openCheckpoint(dir), /expected a JSON object/);
});

test("a folder with files in it is not written over", () => {
  using source = openCheckpoint(folder);
  assert.throws(() => exportCheckpoint(source, folder, { layout: "gguf" }), /--out: expected a new or empty folder/);
});

test("one tensor larger than a shard stands alone", () => {
  const dir = fresh();
  const raw = (name: string, n: number): RawTensor => ({ name, fileDType: "U8", shape: [n], chunks: () => [new Uint8Array(n)] }); // prettier-ignore
  const files = writeShards(dir, [raw("a", 10), raw("b", 100), raw("c", 10), raw("d", 10)], { maxShardBytes: 30 });
  assert.equal(files.length, 4);
});

test("an export of a golden model is what transformers holds after loading it, tensor by tensor", () => {
  // The listing is made by tools/reference/export_golden.py, which also checks the logits.
  const golden = join(import.meta.dirname, "..", "golden");
  const listing = JSON.parse(readFileSync(join(golden, "transformers-layout.json"), "utf8")) as Record<string, [number[], string]>; // prettier-ignore
  const dir = fresh();
  mkdirSync(dir);
  cpSync(join(golden, "v4", "all-kinds.json"), join(dir, "config.json"));
  using source = openTensors(join(golden, "v4", "all-kinds.safetensors"));
  const weights = [...source.tensors.keys()].filter((name) => !name.startsWith("golden.")).map((name) => verbatim(source, name)); // prettier-ignore
  writeRaw(join(dir, "model.safetensors"), weights);
  using out = openTensors(exported(dir, "transformers", "f32"));
  const found = [...out.tensors].map(([name, { shape }]) => [name, [shape, createHash("sha256").update(out.readBytes(name)).digest("hex")]]); // prettier-ignore
  assert.deepEqual(Object.fromEntries(found), listing);
});
