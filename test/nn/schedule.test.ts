import assert from "node:assert/strict";
import { test } from "node:test";
import { learningRate, type ScheduleOptions } from "../../src/nn/schedule.ts";

const base: ScheduleOptions = { peak: 1, final: 0.1, warmupSteps: 4, decayStart: 10, totalSteps: 20, decay: "linear" };

test("warms up, holds, decays and stays", () => {
  assert.deepEqual([0, 1, 3].map((s) => learningRate(s, base)), [0.25, 0.5, 1]); // prettier-ignore
  assert.equal(learningRate(4, base), 1);
  assert.equal(learningRate(10, base), 1);
  assert.ok(Math.abs(learningRate(15, base) - 0.55) < 1e-12);
  assert.equal(learningRate(20, base), 0.1);
  assert.equal(learningRate(1e6, base), 0.1);
});

test("cosine meets the same ends and the same middle", () => {
  const cosine = { ...base, decay: "cosine" as const };
  assert.equal(learningRate(10, cosine), 1);
  assert.ok(Math.abs(learningRate(15, cosine) - 0.55) < 1e-12);
  assert.ok(learningRate(12, cosine) > learningRate(12, base));
  assert.equal(learningRate(20, cosine), 0.1);
});

test("refuses an order of steps that makes no sense", () => {
  assert.throws(() => learningRate(0, { ...base, decayStart: 2 }), /warmupSteps <= decayStart/);
});
