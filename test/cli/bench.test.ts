/** What the benchmarks rest on: turns are taken in order, and the peak loops run every unit they name. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { measurePeak } from "../../bench/peak.ts";
import { median, takeTurns } from "../../bench/timing.ts";
import { openTorch } from "../../bench/torch.ts";
import { flopPerToken, trainConfigs } from "../../bench/train.ts";
import { openRuntime } from "../../src/device/cpu/runtime.ts";
import { sizesOf } from "../../src/model/config.ts";

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

test("flopPerToken: a window layer counted by hand", () => {
  const config = trainConfigs.nano();
  const plain = { ...config, num_hidden_layers: 1, compress_ratios: [0], sliding_window: 2 };
  // Three tokens see 1, 2 and 2 keys: 5/3 in the mean, for the score and the sum of each of 6 heads of 32.
  const attention = 2 * 6 * 32 * (5 / 3);
  assert.ok(Math.abs(flopPerToken(plain, 3) - 6 * (sizesOf(plain).active + attention)) < 1e-6);
  // With entries of 4 tokens each: 8 tokens see 0 0 0 1 1 1 1 2 of them, and the indexer scores the same.
  const csa = { ...plain, compress_ratios: [4], sliding_window: 1 };
  const entries = 6 / 8;
  const expected = 6 * (sizesOf(csa).active + 2 * 6 * 32 * (1 + entries)) + 2 * 4 * 32 * entries;
  assert.ok(Math.abs(flopPerToken(csa, 8) - expected) < 1e-6);
});

test("openTorch: an interpreter that is not there is a reason, not an error", async () => {
  const peer = await openTorch({ python: "/nowhere/python", config: trainConfigs.nano(), batch: 1, length: 8, threads: 1, dtype: "float32" }); // prettier-ignore
  assert.ok("reason" in peer);
  assert.match(peer.reason, /\/nowhere\/python.*pip install torch/);
});
