/** The cost model on programs whose counts are known by hand, and how rumours and ranges pass through it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { kernel } from "../../src/tile/builder.ts";
import { chips } from "../../src/tile/chips/chips.ts";
import { costOf, loweringOf, trafficFor } from "../../src/tile/cost.ts";
import { exactly, over, plus } from "../../src/tile/range.ts";
import { trafficOf } from "../../src/tile/traffic.ts";

/** y = 2 x over rows in tiles of 8; the last one is cut. */
const double = kernel("double", (k) => {
  const rows = k.index("rows");
  const x = k.view(k.buffer("x", "f32"), [rows, 64]);
  const y = k.view(k.buffer("y", "f32", "out"), [rows, 64]);
  const r = k.programId(0).mul(8);
  k.store(y, [r, 0], k.load(x, [r, 0], [8, 64]).mul(2));
});
/** y = a . b^T in tiles of 16 x 32, depth in turns of 32. */
const product = kernel("product", (k) => {
  const [m, n, depth] = [k.index("m"), k.index("n"), k.index("k")];
  const a = k.view(k.buffer("a", "f16"), [m, depth]);
  const b = k.view(k.buffer("b", "f16"), [n, depth]);
  const y = k.view(k.buffer("y", "f32", "out"), [m, n]);
  const [i, j] = [k.programId(1).mul(16), k.programId(0).mul(32)];
  const [sum] = k.loop({ end: depth, step: 32 }, [k.full([16, 32], 0)], (c, [acc]) => [
    k.dot(k.load(a, [i, c], [16, 32]), k.load(b, [j, c], [32, 32]), { acc: acc!, transB: true }),
  ]);
  k.store(y, [i, j], sum!);
});

test("rows outside of a view are not moved", () => {
  const t = trafficOf(loweringOf(double, chips["ascend-910b"]), { grid: [3, 1, 1], numbers: { rows: 20 } });
  assert.deepEqual([t.read, t.written], [{ x: 20 * 64 * 4 }, { y: 20 * 64 * 4 }]);
  // One multiplication of 2048 bytes a program.
  assert.equal(t.vectorBytes, 3 * 8 * 64 * 4);
});

test("a product reads its operands once for each tile of the other side", () => {
  for (const name of ["ascend-910b", "mlu-370"] as const) {
    const t = trafficOf(loweringOf(product, chips[name]), { grid: [2, 3, 1], numbers: { m: 40, n: 64, k: 64 } });
    assert.deepEqual(t.read, { a: 2 * 40 * 64 * 2, b: 3 * 64 * 64 * 2 }, name);
    assert.deepEqual(t.written, { y: 40 * 64 * 4 }, name);
  }
  const t = trafficOf(loweringOf(product, chips["ascend-910b"]), { grid: [2, 3, 1], numbers: { m: 40, n: 64, k: 64 } });
  assert.deepEqual(t.matrixOps, { f16: 6 * 2 * (2 * 16 * 32 * 32) });
  assert.deepEqual([t.workspaceRead, t.workspaceWritten], [0, 0]);
});

test("what is read again comes from the cache where it fits", () => {
  const launch = { grid: [2, 3, 1] as const, numbers: { m: 40, n: 64, k: 64 } };
  const sizes = { a: 40 * 64 * 2, b: 64 * 64 * 2, y: 40 * 64 * 4 };
  const least = sizes.a + sizes.b + sizes.y;
  assert.equal(costOf(product, chips["ascend-910b"], launch, { sizes }).deviceBytes, least);
  // MLU370 has no published cache; its three rows of programs are one team, which loads b once.
  assert.equal(costOf(product, chips["mlu-370"], launch, { sizes }).deviceBytes, 2 * sizes.a + sizes.b + sizes.y);
});

test("the cores of a cluster have a load in common once, and copy it from SRAM each", () => {
  const launch = { grid: [2, 3, 1] as const, numbers: { m: 48, n: 64, k: 64 } };
  const [a, b] = [48 * 64 * 2, 64 * 64 * 2];
  const alone = trafficOf(loweringOf(product, chips["mlu-370"]), launch);
  const team = trafficFor(product, chips["mlu-370"], launch);
  assert.deepEqual([alone.read, team.read], [{ a: 2 * a, b: 3 * b }, { a: 2 * a, b }]); // prettier-ignore
  assert.deepEqual([alone.local.SRAM, team.local.SRAM], [undefined, 3 * b]);
  assert.deepEqual(alone.written, team.written);
  assert.deepEqual(alone.matrixOps, team.matrixOps);
  // Three rows of programs are one team, and each column has a cluster of its own.
  assert.equal(team.busiest(16), 1 / 6);
});

test("programs that share a line of device memory are one core's", () => {
  const narrow = kernel("narrow", (k) => {
    const rows = k.index("rows");
    const [x, y] = [k.view(k.buffer("x", "f32"), [rows]), k.view(k.buffer("y", "f32", "out"), [rows])];
    const r = k.programId(0).mul(8);
    k.store(y, [r], k.load(x, [r], [8]).mul(2));
  });
  const launch = { grid: [64, 1, 1] as const, numbers: { rows: 512 } };
  // Eight f32 are half a line.
  const busiest = (name: "mlu-370" | "ascend-910b"): number => 64 * trafficFor(narrow, chips[name], launch).busiest(64); // prettier-ignore
  assert.deepEqual([busiest("ascend-910b"), busiest("mlu-370")].map(Math.fround), [1, 2]);
});

test("a rumour stays marked in every sum, with both ends", () => {
  const launch = { grid: [3, 1, 1] as const, numbers: { rows: 20 } };
  const known = costOf(double, chips["mlu-370"], launch).seconds;
  assert.deepEqual([known.isRumoured, known.low], [false, known.high]);
  const rumoured = costOf(double, chips["mlu-590"], launch).parts["device memory"];
  assert.equal(rumoured.isRumoured, true);
  assert.ok(Math.abs(rumoured.high / rumoured.low - 2.7 / 2.0) < 1e-9);
  assert.equal(plus(exactly(1), over(1, { low: 1, high: 2, isRumoured: true })).isRumoured, true);
});

test("copies that run a turn ahead cost the longer of the two, and one fill", () => {
  for (const name of ["ascend-910b", "mlu-370"] as const) {
    // One program; 64 turns that load two tiles each and store nothing.
    const launch = { grid: [1, 1, 1] as const, numbers: { m: 16, n: 32, k: 64 * 32 } };
    const { seconds, parts, traffic } = costOf(product, chips[name], launch);
    const loop = traffic.overlaps.find((o) => o.loop !== undefined)!;
    assert.deepEqual([loop.entries, loop.turns, loop.copied], [1, 64, 64 * (16 + 32) * 32 * 2], name);
    const copies = Math.max(parts["device memory"].high, parts["core's copies"].high);
    const work = parts["matrix unit"].high + parts["vector unit"].high + parts.instructions.high;
    const gone = copies + work + parts.launch.high - seconds.high;
    assert.ok(gone > 0.9 * Math.min(copies, work) && gone < Math.min(copies, work), `${name}: ${gone} of ${copies} and ${work}`); // prettier-ignore
  }
});

test("a program whose copies have one place overlaps nothing", () => {
  const { traffic } = costOf(double, chips["mlu-370"], { grid: [1, 1, 1], numbers: { rows: 8 } });
  // Programs of a core take turns, but here there is one.
  assert.ok(traffic.overlaps.every((o) => o.loop === undefined && o.turns === 1));
});

test("a walk that skips what repeats counts what every program counts", () => {
  // Tails along both axes and in depth; parts of the grid that lie outside altogether.
  const numbers = { m: 1000, n: 777, k: 1001 };
  const grid = [30, 70, 1] as const;
  for (const name of ["ascend-910b", "mlu-370"] as const) {
    const t = trafficOf(loweringOf(product, chips[name]), { grid, numbers });
    assert.deepEqual(t.read, { a: grid[0] * 1000 * 1001 * 2, b: grid[1] * 777 * 1001 * 2 }, name);
    assert.deepEqual(t.written, { y: 1000 * 777 * 4 }, name);
    const one = trafficOf(loweringOf(product, chips[name]), { grid: [1, 1, 1], numbers });
    assert.deepEqual([t.instructions, t.programs], [one.instructions * 2100, 2100], name);
  }
});
