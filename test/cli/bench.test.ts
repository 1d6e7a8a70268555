/** What the benchmarks rest on: turns are taken in order, and the peak loops run every unit they name. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { measurePeak } from "../../bench/peak.ts";
import { median, takeTurns } from "../../bench/timing.ts";
import { openRuntime } from "../../src/device/cpu/runtime.ts";

test("takeTurns: one run of each that is not counted, then rounds of repeats in turn", () => {
  const calls: string[] = [];
  const timings = takeTurns({ a: () => calls.push("a"), b: () => calls.push("b") }, { rounds: 2, repeats: 2 });
  assert.deepEqual(calls, ["a", "b", "a", "a", "b", "b", "a", "a", "b", "b"]);
  for (const { bestMs, medianMs, cpuMs } of Object.values(timings))
    assert.ok(bestMs >= 0 && medianMs >= bestMs && cpuMs >= 0);
  assert.equal(median([3, 1, 2]), 2);
});

const runtime = openRuntime();
test("measurePeak: a rate for f32 and for the fastest bf16 unit", { skip: runtime ? false : "no C++ compiler" }, () => {
  const { f32, bf16, bf16Unit } = measurePeak(runtime!, 1, 1, 0.01);
  for (const rate of [f32, bf16]) assert.ok(rate.wall > 0 && rate.cpu > 0, JSON.stringify(rate));
  const expected = ["amx-bf16", "avx512bf16"].find((name) => runtime!.features.includes(name)) ?? "f32";
  assert.equal(bf16Unit, { "amx-bf16": "amx", avx512bf16: "vdpbf16ps", f32: "f32" }[expected]);
});
