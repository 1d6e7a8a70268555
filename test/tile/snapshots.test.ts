/**
 * The text of about a dozen kernels: emitted C++, the tile IR it comes from, and two lowerings for other chips.
 * UPDATE_SNAPSHOTS=1 rewrites the files; a change in them is then seen in review.
 */
import assert from "node:assert/strict";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { allCases } from "../../src/kernels/all-cases.ts";
import { chips } from "../../src/tile/chips/chips.ts";
import { emitAscend } from "../../src/tile/emit/ascend/ascend.ts";
import { emitCpp } from "../../src/tile/emit/cpp.ts";
import type { TileProgram } from "../../src/tile/ir.ts";
import { explain } from "../../src/tile/passes.ts";
import { printProgram } from "../../src/tile/print.ts";

const kernels = [
  "adamw", "compress_pool", "conv3x3", "cross_entropy", "embedding", "grouped_matmul", "hc_split", "map_mul_add",
  "matmul", "rms_norm", "rope", "sparse_attention", "topk_mask",
]; // prettier-ignore
/** Kernels whose lowering is kept too: a product, and one that needs casts and expansions. */
const lowered = [
  ["matmul", "ascend-910b"],
  ["topk_mask", "mlu-370"],
] as const;

/** On the vector core, on the cube core, on both. */
const ascend = ["embedding", "rms_norm", "topk_mask", "grouped_matmul", "index_scores"];

const root = new URL("./snapshots/", import.meta.url);
const first = (name: string): TileProgram => {
  const found = allCases.flatMap((c) => c.programs()).find((p) => p.name === name);
  assert.ok(found, `expected a kernel "${name}"`);
  return found;
};

const snapshots: readonly (readonly [file: string, text: () => string])[] = [
  ...kernels.map((name) => [`cpp/${name}.txt`, () => emitCpp(first(name), name).source] as const),
  ...kernels.map((name) => [`tile/${name}.txt`, () => printProgram(first(name))] as const),
  ...ascend.map((name) => [`ascend/${name}.txt`, () => emitAscend(first(name), chips["ascend-910b"]).source] as const),
  ...lowered.map(([name, chip]) => [`chips/${name}.${chip}.txt`, () => explain(first(name), chips[chip])] as const),
];

for (const [file, text] of snapshots)
  test(`snapshot ${file}`, () => {
    const path = new URL(file, root);
    const got = text();
    assert.equal(text(), got, "the text is deterministic");
    if (process.env.UPDATE_SNAPSHOTS === "1") {
      mkdirSync(new URL(".", path), { recursive: true });
      writeFileSync(path, got);
    }
    assert.equal(got, readFileSync(path, "utf8"), `${file}: run with UPDATE_SNAPSHOTS=1 if the change is meant`);
  });

test("no snapshot is left over", () => {
  const files = readdirSync(root, { recursive: true, encoding: "utf8" }).filter((f) => f.endsWith(".txt"));
  assert.deepEqual(files.map((f) => f.replaceAll("\\", "/")).toSorted(), snapshots.map(([f]) => f).toSorted());
});
