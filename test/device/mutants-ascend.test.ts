/**
 * The mutation matrix of emitted Ascend C: a stride of the mutants of every kernel of inference, at least one of each
 * kind that the kernel has a place for. `tessera chips check` runs them all.
 */
import assert from "node:assert/strict";
import { appendFileSync, mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { ascendMutants } from "../../src/device/sim/mutate/ascend.ts";
import { applyMutant, loopsOf, withMutants, type MutationKind } from "../../src/device/sim/mutate/mutant.ts";
import { Journal, keyOf } from "../../src/kernels/chip-journal.ts";
import type { RecordedLaunch } from "../../src/kernels/chip-launches.ts";
import { chips } from "../../src/tile/chips/chips.ts";
import { testSample } from "./sampled-matrix.ts";

test("mutants of a text: one source holds them all, lines keep their numbers", () => {
  const source = [
    "void ts_kernel(GM_ADDR x) {",
    "  LocalTensor<float> a(TPosition::VECCALC, 0, 64);",
    "  SetFlag<HardEvent::MTE2_V>(EVENT_ID0);",
    "  WaitFlag<HardEvent::MTE2_V>(EVENT_ID0);",
    "  Muls(a, a, 2.0f, 64);",
    "}",
  ].join("\n");
  const mutants = ascendMutants(source, chips["ascend-910b"]);
  const kinds = mutants.map((m) => m.kind);
  assert.equal(kinds.filter((k) => k === "drop one synchronisation").length, 3);
  assert.equal(kinds.filter((k) => k === "swap ids").length, 2);
  assert.equal(kinds.filter((k) => k === "shrink or overlap a buffer").length, 1);
  const all = withMutants(source, mutants, true);
  assert.equal(all.split("\n").length, 6);
  assert.match(all, /GM_ADDR x, int64_t mutant\)/);
  assert.match(applyMutant(source, mutants.at(-1)!), /VECCALC, 0, 56/);
});

test("a dropped fill leaves memory that nothing wrote; bf16 arithmetic stands in code, not in a comment", () => {
  const source = [
    "void ts_kernel(GM_ADDR x) {",
    "  LocalTensor<float> a(TPosition::VECCALC, 0, 64);",
    "  LocalTensor<bfloat16_t> b(TPosition::VECCALC, 256, 64);",
    "  // b: bf16 [64] = cast a",
    "  Duplicate(a, 0.0f, 64);",
    "  Cast(b, a, RoundMode::CAST_RINT, 64);",
    "}",
  ].join("\n");
  const changed = (kind: MutationKind): string[] => ascendMutants(source, chips["ascend-910b"]).filter((m) => m.kind === kind).map((m) => applyMutant(source, m).split("\n").filter((line, i) => line !== source.split("\n")[i]).map((line) => line.trim()).join(" | ")); // prettier-ignore
  assert.deepEqual(changed("drop the fill of a padded tail"), ["Forget(a, 0.0f, 64);"]);
  assert.deepEqual(changed("bf16 arithmetic"), ["Cast(b, a, RoundMode::CAST_RINT, 64); Add(b, b, b, 16);"]);
});

test("a program of a mutated list is left out where a number is as large as an address", () => {
  const source =
    "__aicore__ inline void run0_scale(int64_t rows, GM_ADDR x, int64_t gridX, int64_t gridY, int64_t gridZ) {\n}\nvoid ts_kernel(GM_ADDR list) {\n  run0_scale(1, x, 1, 1, 1);\n}";
  const [head, , , call] = withMutants(source, []).split("\n");
  assert.match(head!, /run0_scale\(int64_t mutant, int64_t rows, .*if \(!\(.*rows <= 1000000 && gridX <= 1000000/);
  assert.equal(call, "  run0_scale(mutant, 1, x, 1, 1, 1);");
});

test("loops of several statements count their turns, others have nothing to order", () => {
  const source =
    "void ts_kernel() {\n  for (int64_t i = 0; i < n; i += 2) {\n    for (int64_t r = 0; r < n; r++) f(r);\n  }\n}";
  assert.deepEqual(loopsOf(source), ["2 i"]);
});

test("a journal gives back what it kept, whole lines only", () => {
  const path = join(mkdtempSync(join(tmpdir(), "tessera-journal-")), "verdicts.jsonl");
  const judged = { isSteady: true, short: ["2 i"], verdicts: [{ outcome: "rejected", rule: "race-raw" }] } as const;
  new Journal(path).keep("a", judged);
  appendFileSync(path, '{"key":"b","isSte');
  new Journal(path).keep("c", judged);
  const again = new Journal(path);
  assert.deepEqual(["a", "b", "c"].map((key) => again.find(key)), [judged, undefined, judged]); // prettier-ignore
  const launch: RecordedLaunch = { calls: [{ program: undefined as never, grid: [1], args: [] }], buffers: [{ dtype: "f32", before: Uint8Array.of(1, 2, 3, 4) }], tolerance: { rtol: 0, atol: 0, why: "" } }; // prettier-ignore
  const other = { ...launch, buffers: [{ dtype: "f32" as const, before: Uint8Array.of(1, 2, 3, 5) }] };
  assert.equal(keyOf(["x"], launch), keyOf(["x"], { ...launch }));
  assert.equal(new Set([keyOf(["x"], launch), keyOf(["y"], launch), keyOf(["x"], other)]).size, 3);
});

// Second programs of a kernel are where casts to bf16 stand.
testSample("ascend-910b", 2);
