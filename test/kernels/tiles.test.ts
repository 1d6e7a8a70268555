/** Tile sizes of matrix products: no core is left idle that a smaller tile would have used. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { DeviceProperties } from "../../src/device/device.ts";
import { ceilDiv } from "../../src/kernels/launch.ts";
import { tilesFor } from "../../src/kernels/matmul.ts";

const shapes = [
  [24, 768, 2048],
  [192, 256, 2048],
  [2048, 256, 192],
  [1024, 1024, 1024],
  [2048, 4375, 192],
] as const;

for (const features of [[], ["amx-bf16"]])
  for (const numThreads of [1, 2, 16, 64])
    test(`tiles: ${features[0] ?? "vectors"}, ${numThreads} threads`, () => {
      const properties: DeviceProperties = { name: "cpu", target: "cpu", numThreads, features };
      for (const [m, n, depth] of shapes) {
        const tile = tilesFor({ properties }, "bf16", { m, n, depth });
        const numPrograms = ceilDiv(m, tile.m) * ceilDiv(n, tile.n);
        const most = ceilDiv(m, features.length > 0 ? 32 : 24) * ceilDiv(n, 64);
        // The busiest core does at most 1.5 times its fair share, or every tile is the smallest there is.
        const share = ceilDiv(numPrograms, numThreads) * numThreads;
        assert.ok(share <= 1.5 * numPrograms || numPrograms === most, `${m}x${n}x${depth}: ${numPrograms} programs of ${tile.m}x${tile.n}`); // prettier-ignore
      }
    });
