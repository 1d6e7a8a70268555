import assert from "node:assert/strict";
import { test } from "node:test";
import { ShapeError } from "../../src/base/errors.ts";
import { NUM_SPECIALS, kindOf, specialTokens, vocabularies } from "../../src/processor/vocabulary.ts";
import {
  placeOf,
  readCodes,
  segmentSlots,
  sideInputs,
  toRasterOrder,
  toSequenceOrder,
  writeSegment,
  zigzagOrder,
} from "../../src/processor/visual.ts";

const { nano, mini } = vocabularies;

test("vocabulary: text, specials, codes, padding to 64", () => {
  assert.equal(mini.size, 12672);
  assert.equal(mini.visual.numCodes, 4375);
  assert.equal(nano.visual.numCodes, 875);
  assert.equal(nano.size % 64, 0);
  assert.equal(specialTokens.length, NUM_SPECIALS);
  assert.equal(new Set(specialTokens).size, NUM_SPECIALS);
  assert.deepEqual(
    [0, 8191, 8192, 8296, 8297, 12671].map((id) => kindOf(mini, id)),
    ["text", "text", "special", "special", "visual", "visual"],
  );
  assert.equal(kindOf(nano, nano.size - 1), "unused");
});

test("zig-zag walks 2x2 quads", () => {
  assert.deepEqual([...zigzagOrder(4)], [0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15]);
  for (let i = 0; i < 64; i++) {
    const { r, c, t } = placeOf(64 + i, 8);
    assert.deepEqual([r * 8 + c, t], [zigzagOrder(8)[i], 1]);
  }
  assert.throws(() => zigzagOrder(3), ShapeError);
  const codes = Int32Array.from({ length: 128 }, (_, i) => i * 7);
  assert.deepEqual(toRasterOrder(toSequenceOrder(codes, 8), 8), codes);
});

test("segments align codes to 4 wherever they start, and read back", () => {
  for (let start = 1; start < 9; start++) {
    for (const kind of ["image", "video"] as const) {
      const ids = Array.from({ length: start }, () => 5);
      const count = kind === "image" ? 64 : 256;
      const codes = Int32Array.from({ length: count }, (_, i) => (i * 37 + start) % 4375);
      writeSegment(mini, ids, { kind, style: "flat", codes });
      const first = ids.findIndex((id) => kindOf(mini, id) === "visual");
      assert.equal(first % 4, 0);
      assert.deepEqual(readCodes(mini, ids), codes);
      assert.equal(ids.at(-1), mini.id(kind === "image" ? "<eoi>" : "<eov>"));
      assert.equal(ids.length, start + segmentSlots(mini, kind, start, "flat").length);
      const side = sideInputs(mini, ids);
      assert.deepEqual([...side.subarray(0, 4)], [-1, 0, 0, 0]);
      const at = first + count - 1;
      assert.deepEqual([...side.subarray(4 * at, 4 * at + 4)], [codes[count - 1], 7, 7, kind === "image" ? 0 : 3]);
      assert.equal(side[4 * first], codes[0]);
    }
  }
  assert.throws(() => writeSegment(mini, [], { kind: "image", style: "any", codes: [1, 2] }), /expected 64 codes/);
  const open = segmentSlots(nano, "image", 10);
  assert.equal(open.filter((s) => s.kind === "style").length, 1);
  assert.equal(open.filter((s) => s.kind === "code").length, 16);
});
