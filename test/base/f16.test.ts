import assert from "node:assert/strict";
import { test } from "node:test";
import { f16FromBits, f16ToBits, roundF16 } from "../../src/base/f16.ts";
import { fromE4m3, toE4m3 } from "../../src/base/fp8.ts";

test("every f16 value survives the way to bits and back", () => {
  for (let bits = 0; bits < 65536; bits++) {
    const value = f16FromBits(bits);
    if (Number.isNaN(value)) continue;
    assert.equal(f16ToBits(value), bits);
  }
});

test("f16 ties go to the even neighbour, overflow to infinity", () => {
  assert.equal(roundF16(1 + 2 ** -11), 1);
  assert.equal(roundF16(1 + 3 * 2 ** -11), 1 + 2 ** -9);
  assert.equal(roundF16(65519), 65504);
  assert.equal(roundF16(65520), Infinity);
  assert.equal(roundF16(2 ** -25), 0);
});

test("every e4m3 value survives, and large numbers clamp", () => {
  for (let code = 0; code < 256; code++) if (!Number.isNaN(fromE4m3(code))) assert.equal(toE4m3(fromE4m3(code)), code);
  assert.equal(fromE4m3(toE4m3(1e6)), 448);
  assert.ok(Number.isNaN(fromE4m3(toE4m3(NaN))));
});
