/** e2m1 against its definition: ties go to the even code, the sign survives, what is too large becomes 6. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { decodeE2m1, encodeE2m1, roundToE2m1 } from "../../src/base/fp4.ts";
import { DTypeError } from "../../src/base/errors.ts";
import { fromE8m0, toE8m0 } from "../../src/base/fp8.ts";

test("every e2m1 code survives a round trip", () => {
  for (let code = 0; code < 16; code++) assert.equal(encodeE2m1(decodeE2m1(code)), code);
  assert.deepEqual(
    Array.from({ length: 8 }, (_, code) => decodeE2m1(code)),
    [0, 0.5, 1, 1.5, 2, 3, 4, 6],
  );
});

test("ties go to the even code", () => {
  // DeepSeek-V4's rounding fixtures.
  const ties = [[0.25, 0], [0.75, 1], [1.25, 1], [1.75, 2], [2.5, 2], [3.5, 4], [5, 4]]; // prettier-ignore
  for (const [x, want] of ties) {
    assert.ok(Object.is(roundToE2m1(x!), want), `${x}`);
    assert.ok(Object.is(roundToE2m1(-x!), -want!), `${-x!}`);
    assert.ok(roundToE2m1(x! - 2 ** -20) <= want! && roundToE2m1(x! + 2 ** -20) >= want!, `beside ${x}`);
    assert.notEqual(roundToE2m1(x! - 2 ** -20), roundToE2m1(x! + 2 ** -20), `beside ${x}`);
  }
});

test("what is too large becomes 6, and NaN is refused", () => {
  for (const x of [6, 6.1, 1e30, Infinity]) assert.deepEqual([roundToE2m1(x), roundToE2m1(-x)], [6, -6]);
  assert.throws(() => encodeE2m1(NaN), DTypeError);
});

test("e8m0 codes are the exponents of powers of two", () => {
  for (let code = 0; code < 255; code++) assert.equal(toE8m0(fromE8m0(code)), code);
});
