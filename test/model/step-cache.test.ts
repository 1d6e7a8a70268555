/** What a cache still has of earlier launches, and what that saves in a step. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { makeConfig } from "../../src/model/config.ts";
import { SharedCache } from "../../src/model/step-cache.ts";
import { stepCost } from "../../src/model/step-cost.ts";
import type { Storage } from "../../src/model/storage.ts";
import type { Chip } from "../../src/tile/chips/types.ts";
import { products } from "../../src/tile/chips/chips.ts";

test("a cache has what passed last, up to its capacity", () => {
  const cache = new SharedCache(100);
  cache.pass([["a", 40], ["b", 40]]); // prettier-ignore
  assert.deepEqual([cache.has("a", 60), cache.has("a", 10), cache.has("c", 1)], [40, 10, 0]);
  // Reading a again makes b the oldest.
  cache.pass([["a", 40]]);
  cache.pass([["c", 30]]);
  assert.deepEqual(["a", "b", "c"].map((x) => cache.has(x, 100)), [40, 0, 30]); // prettier-ignore
  cache.drop("a");
  cache.pass([["d", 70]]);
  assert.deepEqual(["a", "c", "d"].map((x) => cache.has(x, 100)), [0, 30, 70]); // prettier-ignore
});

test("what streams through leaves a share of each buffer, and nothing older", () => {
  const cache = new SharedCache(100);
  cache.pass([["old", 50]]);
  cache.pass([["weights", 300], ["result", 100]]); // prettier-ignore
  assert.deepEqual(["old", "weights", "result"].map((x) => cache.has(x, 1000)), [0, 75, 25]); // prettier-ignore
  const none = new SharedCache(0);
  none.pass([["a", 10]]);
  assert.equal(none.has("a", 10), 0);
});

test("a step reads results of its launches from the cache, its weights from memory", () => {
  const plain: Storage = { linear: "bf16", expert: "bf16", drafter: { kind: "none" } };
  const config = makeConfig("nano", { vocab_size: 300 });
  const chip = products["ascend-910b"];
  const cacheless: Chip = { ...chip, rates: { ...chip.rates, cacheBytes: { kind: "unknown" } } };
  const shape = { batch: 16, tokens: 1, context: 100 };
  const rows = (of: Chip) => new Map(stepCost({ config, storage: plain, chip: of, cards: 1, shape, weights: "bf16" }).kernels.map((k) => [k.name, k.bytes / k.runs])); // prettier-ignore
  const [having, lacking] = [rows(chip), rows(cacheless)];
  const width = config.hc_mult * config.hidden_size;
  // hc_pre reads the streams that the layer's hc_project has just read; what it writes costs as before.
  const saved = lacking.get("hc_pre")! - having.get("hc_pre")!;
  assert.ok(saved >= shape.batch * width * 2, `expected at least the streams, ${shape.batch * width * 2} bytes, got ${saved}`); // prettier-ignore
  const head = config.vocab_size * config.hidden_size * 2;
  assert.ok(having.get("matmul head")! >= head, `expected the head's ${head} bytes, got ${having.get("matmul head")}`);
});
