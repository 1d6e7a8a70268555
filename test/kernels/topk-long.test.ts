/**
 * The best entries of a context of 1M tokens, 262,144 scores, against the twin on every device: with three stages, what a
 * stage hands on must keep its order, ties and indices. Too long for the simulators that run the kernel's own cases.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Prng } from "../../src/base/prng.ts";
import { fromHost, toHost } from "../../src/kernels/nd-array.ts";
import { topkIndices, topkIndicesRef } from "../../src/kernels/topk-indices.ts";
import { availableDevices } from "./devices.ts";

const WIDTH = 2 ** 18;
const K = 512;
const drawn = (score: (random: Prng, i: number) => number): Float32Array => {
  const random = new Prng(11);
  return Float32Array.from({ length: WIDTH }, (_, i) => score(random, i));
};

const rows: Readonly<Record<string, Float32Array>> = {
  "all different": drawn((r) => r.normal()),
  "a hundred values, every fifth invisible": drawn((r, i) => (i % 5 === 4 ? -Infinity : Math.floor(r.uniform() * 100))),
  "one value": drawn(() => 0.25),
  "two values, of which the larger one is rare and lies where blocks meet": drawn((_r, i) => Number(i % 4096 < 3)),
  "fewer visible than wanted, in the last block": drawn((r, i) => (i < WIDTH - 300 ? -Infinity : -r.uniform())),
  "nothing visible": drawn(() => -Infinity),
};

for (const { name, device, reason } of availableDevices())
  test(`${name}: the best ${K} of ${WIDTH}`, { skip: device ? false : (reason ?? "absent") }, () => {
    for (const [what, scores] of Object.entries(rows)) {
      const got = toHost(topkIndices(device!, fromHost(device!, scores, [1, 1, WIDTH], "f32"), K)) as Int32Array;
      const wanted = topkIndicesRef(scores, WIDTH, K);
      const at = wanted.findIndex((index, i) => index !== got[i]);
      assert.equal(at, -1, `${what}: place ${at}: expected ${wanted[at]}, got ${got[at]}`);
    }
  });
