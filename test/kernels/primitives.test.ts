/** The numeric primitives bit for bit against torch and numpy: hashes by tools/reference/primitives_golden.py. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { bf16ToF32, f32ToBf16 } from "../../src/base/bf16.ts";
import type { TypedArray } from "../../src/base/dtype.ts";
import { encodeE2m1 } from "../../src/base/fp4.ts";
import { f32ToE4m3, pow2Ceil } from "../../src/base/fp8.ts";
import { randomBits } from "../../src/base/prng.ts";
import { openJs } from "../../src/device/js/js-device.ts";
import { fromHost, toHost } from "../../src/kernels/nd-array.ts";
import { quantize, type QuantizeParams } from "../../src/kernels/quantize.ts";

const golden = JSON.parse(readFileSync(join(import.meta.dirname, "..", "golden", "primitives.json"), "utf8")) as Record<
  string,
  string
>;

const COUNT = 1 << 20;
const digest = (a: TypedArray): string =>
  createHash("sha256")
    .update(new Uint8Array(a.buffer, a.byteOffset, a.byteLength))
    .digest("hex");
const everyBf16 = bf16ToF32(Uint16Array.from({ length: 65536 }, (_, i) => i)).filter(Number.isFinite);

/** Random signs and mantissas, exponents within 2^-15..2^16. */
function randomF32(seed: number): Float32Array<ArrayBuffer> {
  const bits = new Uint32Array(COUNT);
  for (let i = 0; i < COUNT; i++) {
    const b = randomBits(seed, i);
    bits[i] = (b & 0x807fffff) | ((112 + ((b >>> 23) & 31)) << 23);
  }
  return new Float32Array(bits.buffer);
}
const randomBf16 = (seed: number): Float32Array => bf16ToF32(f32ToBf16(randomF32(seed)));

/** By the tile kernel, whose twin the host codecs are (test/kernels). */
function quantized(seed: number, params: QuantizeParams): Float32Array {
  const device = openJs();
  const x = fromHost(device, randomBf16(seed), [COUNT / params.block, params.block], "f32");
  return (toHost(quantize(device, x, params)) as Float32Array).map((v) => v + 0);
}

const made: Readonly<Record<string, () => TypedArray>> = {
  "bf16 of random f32": () => f32ToBf16(randomF32(2)),
  "e4m3 of every bf16": () => f32ToE4m3(everyBf16),
  "e2m1 of every bf16": () => Uint8Array.from(everyBf16, encodeE2m1),
  "pow2ceil of random": () => randomF32(3).map((v) => pow2Ceil(Math.abs(v))),
  "qdq8 blocks of 64": () => quantized(4, { format: "e4m3", block: 64 }),
  "qdq8 blocks of 128": () => quantized(5, { format: "e4m3", block: 128 }),
  "qdq4 blocks of 32": () => quantized(6, { format: "e2m1", block: 32 }),
};

test("every golden hash has its maker", () => assert.deepEqual(Object.keys(made).toSorted(), Object.keys(golden).toSorted())); // prettier-ignore

for (const [name, make] of Object.entries(made)) test(name, () => assert.equal(digest(make()), golden[name]));
