/**
 * The mutation matrix of emitted BANG C. Without a compiler: what the mutators find in a text, of our emitter and of
 * others. With one: a share of the matrix that has every kernel with every kind; `tessera chips check` runs it whole.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { mluMutants } from "../../src/device/sim/mutate/mlu.ts";
import { applyMutant, mutationKinds, type MutationKind } from "../../src/device/sim/mutate/mutant.ts";
import { chips } from "../../src/tile/chips/chips.ts";
import { testSample } from "./sampled-matrix.ts";

const chip = chips["mlu-370"];
const snapshot = (name: string): string => readFileSync(new URL(`../tile/snapshots-mlu/${name}.mlu-370.txt`, import.meta.url), "utf8"); // prettier-ignore
/** The changed lines of every mutant of a kind, trimmed. */
function changes(source: string, kind: MutationKind): string[] {
  const before = source.split("\n");
  return mluMutants(source, chip)
    .filter((m) => m.kind === kind)
    .map((m) => applyMutant(source, m).split("\n").filter((line, i) => line !== before[i]).map((line) => line.trim()).join(" | ")); // prettier-ignore
}

test("every kind of the table applies to some emitted kernel", () => {
  const found = new Set(["matmul", "rms_norm", "topk_mask", "gather_rows"].flatMap((name) => mluMutants(snapshot(name), chip).map((m) => m.kind))); // prettier-ignore
  const others: readonly MutationKind[] = ["swap ids", "drop a barrier of one pipe", "skip the flush of the data cache", "m = 1"]; // prettier-ignore
  assert.deepEqual([...found].toSorted(), mutationKinds.filter((k) => !others.includes(k)).toSorted());
});

test("sizes, strides, fills and directions of a copy with its tail", () => {
  const source = snapshot("matmul");
  const copy = "__memcpy_async(next_a_tile, a + p2 * n_aBatch + p1 * 128 * n_k + l0, ";
  assert.ok(changes(source, "tail one longer or shorter").includes(`${copy}hi1 * 2 + 2, GDRAM2NRAM, 256, n_k * 2, hi0 - 1);`)); // prettier-ignore
  assert.ok(changes(source, "stride in the wrong unit").includes(`${copy}hi1 * 2, GDRAM2NRAM, 256, (n_k * 2) / 2, hi0 - 1);`)); // prettier-ignore
  assert.deepEqual(changes(source, "drop the fill of a padded tail"), [
    "::sim::forget(state0, (16384) * 4);",
    "::sim::forget(next_a_tile, (16384) * 2);",
    "::sim::forget(next_b_tile, (16384) * 2);",
  ]);
  assert.ok(
    changes(source, "copy in the wrong direction").includes("__memcpy(filter, rearranged, 65536, GDRAM2WRAM);"),
  );
  assert.deepEqual(changes(source, "row-major copy to WRAM"), [
    "__memcpy(rearranged, as_f32_2, 128 * 128 * 4, NRAM2NRAM);",
    "__memcpy(filter, as_f32_2, 65536, NRAM2WRAM);",
  ]);
  assert.deepEqual(changes(source, "scalar read of WRAM"), ["as_f32[0] = *(filter); __bang_matmul(dot, as_f32, filter, 128, 128, 128);"]); // prettier-ignore
});

test("each synchronisation of copies a turn ahead is dropped once", () => {
  for (const name of ["matmul", "rms_norm"]) {
    const source = snapshot(name);
    const calls = source.match(/__sync\w*\(\);/g)!;
    assert.ok(
      ["__sync_compute();", "__sync_io();", "__sync();"].every((c) => calls.includes(c)),
      name,
    );
    assert.deepEqual(changes(source, "drop one synchronisation"), calls.map(() => ";")); // prettier-ignore
  }
});

test("a buffer goes onto one that is still to be read", () => {
  // mul is written while as_f32 is still read, and is put where that one lies or over its end. What takes turns is in
  // use from the first turn to the last: as_f32 goes onto y_tiles, and both halves of x_tiles onto one.
  const moved = changes(snapshot("rms_norm"), "shrink or overlap a buffer");
  for (const line of [
    "float* mul = (float*)(nram + 26112);",
    "float* mul = (float*)(nram + 38400 - 64);",
    "float* as_f32 = (float*)(nram + 13824);",
    "float* as_f32 = (float*)(nram + 26112 - 64);",
    "bfloat16_t* next_x_tile = x_tiles + 0; | bfloat16_t* x_tile = x_tiles + 0;",
    "bfloat16_t* y_tile = y_tiles + 0;",
  ])
    assert.ok(moved.includes(line), moved.join("\n"));
});

test("shares of the grid, in turns and with copies ahead of them", () => {
  const step = "next += (next + 1) % group != 0 ? 1 : 1 + ((taskDim + 1) - 1) * group) {";
  assert.ok(changes(snapshot("rms_norm"), "one core missing or extra").some((c) => c.endsWith(step)));
  assert.ok(changes(snapshot("matmul"), "one core missing or extra").some((c) => c.endsWith("first += (taskDim + 1) * group) {"))); // prettier-ignore
});

test("asynchronous copies and every form of waiting, in kernels that others wrote", () => {
  const source = readFileSync(new URL("mlu/cluster_sum.mlu", import.meta.url), "utf8");
  const calls = source.match(/__sync\w*\(\);/g)!;
  assert.ok(calls.length > 3);
  assert.equal(changes(source, "drop one synchronisation").length, calls.length);
});

testSample("mlu-370", 1);
