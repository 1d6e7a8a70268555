/** Which programs may run on different cores of an MLU: what must be whole lines of memory, nothing twice, nothing less. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { kernel, type KernelBuilder } from "../../src/tile/builder.ts";
import { groupOf, hasGroups, lineRule, type LineRule } from "../../src/tile/lines.ts";

/** A kernel that stores one tile of 8 x 16 floats in an array [batch, rows, columns] with these strides. */
const rule = (stridesOf: (k: KernelBuilder) => Parameters<KernelBuilder["view"]>[2]): LineRule =>
  lineRule(
    kernel("store", (k) => {
      const shape = ["batch", "rows", "columns"].map((name) => k.index(name));
      const y = k.view(k.buffer("y", "f32", "out"), shape, stridesOf(k));
      const at = [k.programId(2), k.programId(1).mul(8), k.programId(0).mul(16)];
      k.store(y, at, k.full([1, 8, 16], 0));
    }),
  );

test("what other lines imply is not asked again: 4 columns, and not 4 rows * columns", () => {
  const { whole, steps, buffers } = rule(() => ({}));
  assert.deepEqual([whole, steps, buffers], [[{ constant: 4, params: ["columns"] }], [], ["y"]]);
});

test("strides that do not imply each other are both asked", () => {
  const { whole } = rule((k) => ({ strides: [k.index("far"), k.index("near"), 1] }));
  assert.deepEqual(whole.map((b) => [b.constant, ...b.params]).toSorted(), [[4, "far"], [4, "near"]]); // prettier-ignore
});

test("a launch finds the group that the rule allows", () => {
  const plain = rule(() => ({}));
  assert.equal(hasGroups(plain), false);
  assert.deepEqual([16, 32, 20].map((columns) => groupOf(plain, [2, 3, 1], { batch: 1, rows: 24, columns })), [1, 1, 6]); // prettier-ignore
  // Neighbours along x a tile apart whose bytes a launch's number says: as many together as end with a line.
  const apart = lineRule(
    kernel("apart", (k) => {
      const pitch = k.index("pitch");
      const y = k.view(k.buffer("y", "f32", "out"), [k.index("n"), 1], { strides: [pitch, 1] });
      k.store(y, [k.programId(0), 0], k.full([1, 1], 0));
    }),
  );
  assert.deepEqual([apart.whole, apart.steps], [[], [{ constant: 4, params: ["pitch"] }]]);
  assert.deepEqual(
    [16, 8, 4, 1].map((pitch) => groupOf(apart, [32, 1, 1], { n: 32, pitch })),
    [1, 2, 4, 16],
  );
  // A group must not run over the end of a row of programs.
  assert.equal(groupOf(apart, [3, 2, 1], { n: 32, pitch: 8 }), 6);
});
