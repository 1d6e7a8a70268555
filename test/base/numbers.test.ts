import assert from "node:assert/strict";
import { test } from "node:test";
import { bf16ToF32, f32ToBf16, fromBf16Bits, roundToBf16, toBf16Bits } from "../../src/base/bf16.ts";
import { normals, Prng, randomBits } from "../../src/base/prng.ts";

test("bf16 rounds to nearest even and keeps specials", () => {
  assert.equal(roundToBf16(1 + 2 ** -8), 1); // tie, even below
  assert.equal(roundToBf16(1 + 3 * 2 ** -8), 1 + 2 ** -6); // tie, even above
  assert.equal(roundToBf16(-Infinity), -Infinity);
  assert.ok(Number.isNaN(roundToBf16(NaN)));
  assert.equal(toBf16Bits(3.4e38), 0x7f80); // overflows to infinity
  assert.ok(Object.is(roundToBf16(-0), -0));
});

test("array and scalar bf16 codecs agree, and every bf16 survives a round trip", () => {
  const all = Uint16Array.from({ length: 65536 }, (_, i) => i);
  const wide = bf16ToF32(all);
  const narrow = f32ToBf16(wide);
  for (let i = 0; i < 65536; i++) {
    if (Number.isNaN(wide[i]!)) assert.ok(Number.isNaN(fromBf16Bits(narrow[i]!)));
    else assert.equal(narrow[i], i);
  }
  const x = new Float32Array(1000);
  normals(x, 3);
  assert.deepEqual([...f32ToBf16(x)], [...x].map(toBf16Bits));
});

test("random bits depend on seed and counter only, and spread evenly", () => {
  assert.equal(randomBits(1, 2), randomBits(1, 2));
  const seen = new Set<number>();
  for (let s = 0; s < 30; s++) for (let c = 0; c < 100; c++) seen.add(randomBits(s, c));
  assert.ok(seen.size >= 2999); // 3000 draws of 2^32: a collision has chance 0.1 %
  assert.notEqual(randomBits(1, 0), randomBits(1 + 2 ** 32, 0));
  assert.notEqual(randomBits(0, 1), randomBits(0, 1 + 2 ** 32));
  const buckets = new Uint32Array(16);
  for (let i = 0; i < 16000; i++) buckets[randomBits(9, i) >>> 28]!++;
  // Mean 1000, standard deviation 31; five of them.
  for (const n of buckets) assert.ok(Math.abs(n - 1000) < 155, `bucket ${n}`);
});

test("normal numbers have mean 0 and variance 1; a prefix does not depend on the length", () => {
  const x = new Float32Array(20001);
  normals(x, 5);
  const mean = x.reduce((s, v) => s + v, 0) / x.length;
  const variance = x.reduce((s, v) => s + (v - mean) ** 2, 0) / x.length;
  assert.ok(Math.abs(mean) < 0.035 && Math.abs(variance - 1) < 0.05); // five standard errors
  const short = new Float32Array(11);
  normals(short, 5);
  assert.deepEqual([...short], [...x.subarray(0, 11)]);
});

test("a Prng resumes from its state", () => {
  const a = new Prng(42);
  for (let i = 0; i < 7; i++) a.uniform();
  const { seed, counter } = JSON.parse(JSON.stringify(a.state)) as { seed: number; counter: number };
  const b = new Prng(seed, counter);
  assert.deepEqual([b.int(100), b.normal(), b.uniform()], [a.int(100), a.normal(), a.uniform()]);
  assert.deepEqual(new Prng(1).shuffle([1, 2, 3, 4, 5]).sort(), [1, 2, 3, 4, 5]);
});
