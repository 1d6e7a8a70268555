import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { FormatError } from "../../src/base/errors.ts";
import { openSafetensors, writeSafetensors, type TensorSource } from "../../src/nn/safetensors.ts";

const dir = mkdtempSync(join(tmpdir(), "tessera-safetensors-"));
after(() => rmSync(dir, { recursive: true, force: true }));

const sources: TensorSource[] = [
  { name: "b", dtype: "bf16", shape: [3], data: () => Uint16Array.of(1, 2, 0x3f80) },
  { name: "a.weight", dtype: "f32", shape: [2, 2], data: () => Float32Array.of(1, -2, 3.5, 4) },
  { name: "none", dtype: "i32", shape: [0, 4], data: () => new Int32Array(0) },
  { name: "scalar", dtype: "u8", shape: [], data: () => Uint8Array.of(7) },
];

/** A file with this header text and this many data bytes. */
function raw(name: string, header: string, dataBytes: number, headerLength = Buffer.byteLength(header)): string {
  const path = join(dir, name);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(headerLength));
  writeFileSync(path, Buffer.concat([length, Buffer.from(header), Buffer.alloc(dataBytes)]));
  return path;
}

test("what is written is read back, bit for bit, with metadata", () => {
  const path = join(dir, "ok.safetensors");
  writeSafetensors(path, sources, { metadata: { format: "pt", note: 'quote " and 文' } });
  using file = openSafetensors(path);
  assert.deepEqual(file.metadata, { format: "pt", note: 'quote " and 文' });
  for (const { name, dtype, shape, data } of sources) {
    assert.equal(file.dtype(name), dtype);
    assert.deepEqual(file.tensors.get(name)!.shape, shape);
    assert.deepEqual(file.read(name), data());
  }
  // The layout other readers expect: 8-byte length, JSON, aligned data.
  const bytes = readFileSync(path);
  const n = Number(bytes.readBigUInt64LE(0));
  assert.equal(n % 8, 0);
  const header = JSON.parse(bytes.subarray(8, 8 + n).toString()) as Record<string, unknown>;
  assert.deepEqual(header["a.weight"], { dtype: "F32", shape: [2, 2], data_offsets: [6, 22] });
});

test("a failed write leaves the old file and no litter", () => {
  const path = join(dir, "keep.safetensors");
  writeSafetensors(path, sources);
  const before = readFileSync(path);
  const broken: TensorSource = { name: "x", dtype: "f32", shape: [2], data: () => { throw new Error("disk on fire"); } }; // prettier-ignore
  assert.throws(() => writeSafetensors(path, [sources[0]!, broken]), /disk on fire/);
  assert.throws(
    () => writeSafetensors(path, [{ ...broken, data: () => Float32Array.of(1) }]),
    /expected 8 bytes, got 4/,
  );
  assert.throws(() => writeSafetensors(path, [sources[0]!, sources[0]!]), /given twice/);
  assert.deepEqual(readFileSync(path), before);
  assert.deepEqual(readdirSync(dir).filter((n) => n.endsWith(".tmp")), []); // prettier-ignore
});

const entry = (begin: number, end: number, shape = "[2]", dtype = "F32"): string =>
  `{"dtype":"${dtype}","shape":${shape},"data_offsets":[${begin},${end}]}`;

const bad: [name: string, header: string, dataBytes: number, expected: RegExp, headerLength?: number][] = [
  ["header longer than the file", "{}", 0, /header of at most 2 bytes/, 1000],
  ["absurd header length", "{}", 0, /header of at most/, Number.MAX_SAFE_INTEGER],
  ["not JSON", "{nope", 0, /not JSON/],
  ["not an object", "[1]", 0, /JSON object/],
  ["duplicate name", `{"a":${entry(0, 8)},"a":${entry(0, 8)}}`, 8, /"a" appears twice/],
  ["duplicate by escape", `{"a":${entry(0, 8)},"\\u0061":${entry(0, 8)}}`, 8, /"a" appears twice/],
  ["unknown dtype", `{"a":${entry(0, 8, "[2]", "Q7")}}`, 8, /unknown dtype "Q7"/],
  ["dtype from the prototype", `{"a":${entry(0, 8, "[2]", "constructor")}}`, 8, /unknown dtype/],
  ["negative shape", `{"a":${entry(0, 8, "[-2]")}}`, 8, /shape of counts/],
  ["fractional shape", `{"a":${entry(0, 8, "[0.5]")}}`, 8, /shape of counts/],
  ["size does not fit the shape", `{"a":${entry(0, 8, "[3]")}}`, 8, /takes 12 bytes, got 8/],
  ["end before begin", `{"a":${entry(8, 0)}}`, 8, /lie outside/],
  ["past the end", `{"a":${entry(0, 8)}}`, 4, /truncated/],
  ["overlap", `{"a":${entry(0, 8)},"b":${entry(4, 12)}}`, 12, /overlap/],
  ["gap", `{"a":${entry(0, 8)},"b":${entry(12, 20)}}`, 20, /gap/],
  ["bytes left over", `{"a":${entry(0, 8)}}`, 12, /expected 8 bytes of data, got 12/],
  ["missing offsets", `{"a":{"dtype":"F32","shape":[2]}}`, 8, /data_offsets/],
  ["unknown field", `{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8],"x":1}}`, 8, /unknown field "x"/],
  ["metadata that is not text", `{"__metadata__":{"step":3}}`, 0, /metadata "step"/],
];

for (const [name, header, dataBytes, expected, headerLength] of bad)
  test(`refuses: ${name}`, () => {
    const path = raw("bad.safetensors", header, dataBytes, headerLength);
    assert.throws(
      () => openSafetensors(path),
      (e: unknown) =>
        e instanceof FormatError && e.file === path && e.message.includes(path) && expected.test(e.message),
    );
  });

test("refuses: missing file, tiny file, header that is not UTF-8, absent tensor, a dtype we lack", () => {
  assert.throws(() => openSafetensors(join(dir, "absent")), FormatError);
  writeFileSync(join(dir, "tiny"), "abc");
  assert.throws(() => openSafetensors(join(dir, "tiny")), /at least 8 bytes, got 3/);
  writeFileSync(join(dir, "utf8"), Buffer.from([2, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xfe]));
  assert.throws(() => openSafetensors(join(dir, "utf8")), /UTF-8/);
  using file = openSafetensors(raw("i64", `{"t":${entry(0, 16, "[2]", "I64")}}`, 16));
  assert.throws(() => file.read("u"), /expected tensor "u"/);
  assert.throws(() => file.read("t"), /I64/);
  assert.equal(file.readBytes("t").length, 16);
});
