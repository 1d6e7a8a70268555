import assert from "node:assert/strict";
import { test } from "node:test";
import { FormatError } from "../../src/base/errors.ts";
import { gridPosition, ModalityTracker, sideOf, type Legal } from "../../src/engine/modality.ts";
import { grammar, plan } from "./grammar.ts";

test("codes go by quads, left to right, two rows at a time", () => {
  const order = Array.from({ length: 16 }, (_, i) => gridPosition(i, 4));
  const text = order.map(({ row, col }) => `${row}${col}`).join(" ");
  assert.equal(text, "00 01 10 11 02 03 12 13 20 21 30 31 22 23 32 33");
  const cells = new Set(Array.from({ length: 64 }, (_, i) => JSON.stringify(gridPosition(i, 8))));
  assert.equal(cells.size, 64);
});

/** Follows the machine, choosing the first legal id. */
function write(start: readonly number[]): { ids: number[]; legal: Legal[]; tracker: ModalityTracker } {
  const tracker = new ModalityTracker(grammar);
  const ids = [...start];
  for (const id of start) tracker.push(id);
  const legal: Legal[] = [];
  while (tracker.segment) {
    const next = tracker.legal(plan);
    legal.push(next);
    const id = next.kind === "forced" ? next.id : next.kind === "oneOf" ? next.ids[0]! : grammar.codes.start;
    assert.notEqual(next.kind, "text");
    ids.push(id);
    tracker.push(id);
  }
  return { ids, legal, tracker };
}

test("a picture has its header, pads to a multiple of 4, its count of codes and its end", () => {
  for (let before = 0; before < 5; before++) {
    const { ids, legal } = write([...Array<number>(before).fill(5), grammar.boi]);
    const first = ids.findIndex((id) => id >= grammar.codes.start);
    assert.equal(first % 4, 0, `first code at ${first}`);
    assert.ok(first - before <= 3 + 3);
    assert.deepEqual(ids.slice(before + 1, before + 3), [45, 47]);
    assert.equal(ids.slice(first).length, 17);
    assert.equal(ids.at(-1), grammar.eoi);
    assert.equal(legal.filter((l) => l.kind === "code").length, 16);
  }
});

test("a clip counts latent frames, and its side information says where each code stands", () => {
  const { ids } = write([7, grammar.bov]);
  const side = sideOf(ids, grammar)!;
  const rows = ids.map((_, i) => Array.from(side.subarray(i * 4, i * 4 + 4)));
  const codes = rows.filter((r) => r[0]! >= 0);
  assert.equal(codes.length, 32);
  assert.deepEqual(codes[0], [0, 0, 0, 0]);
  assert.deepEqual(codes[5], [0, 0, 3, 0]);
  assert.deepEqual(codes[16 + 10], [0, 3, 0, 1]);
  assert.deepEqual(rows[0], [-1, -1, -1, -1]);
  assert.equal(ids.at(-1), grammar.eov);
});

test("pure text has no side information", () => assert.equal(sideOf([1, 2, 3], grammar), undefined));

test("a chosen style is forced, otherwise the model chooses", () => {
  const tracker = new ModalityTracker(grammar);
  tracker.push(grammar.boi);
  assert.deepEqual(tracker.legal(plan), { kind: "oneOf", ids: [45, 46] });
  assert.deepEqual(tracker.legal({ ...plan, style: 46 }), { kind: "forced", id: 46 });
});

test("sequences outside the grammar are refused with the place", () => {
  const bad: [number[], RegExp][] = [
    [[5, 50], /token 1: expected text, got id 50/],
    [[grammar.eoi], /expected text/],
    [[grammar.boi, 50], /token 1: expected size and frame count before the first code/],
    [[grammar.boi, 5], /expected a header field, a pad or a code, got id 5/],
    [[grammar.boi, 48], /expected a header field/],
    [[grammar.boi, 47, 50, 6], /expected code 2 of 16, got id 6/],
    [[grammar.boi, 47, ...Array<number>(17).fill(50)], /expected the end of the image/],
    [[grammar.bov, 47, 50], /frame count/],
  ];
  for (const [ids, message] of bad)
    assert.throws(() => sideOf(ids, grammar), (e) => e instanceof FormatError && message.test(e.message), ids.join(" ")); // prettier-ignore
});
