/**
 * Tile sizes on chips: what is chosen costs no more than any candidate, so far as the cost model can tell; a row's sums
 * have one order for any number of rows; few programs serve many heights; hosts keep theirs.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { CompileError } from "../../src/base/errors.ts";
import { intChoice, intKernel, type IntStatic } from "../../src/kernels/int-matmul.ts";
import { ceilDiv } from "../../src/kernels/launch.ts";
import { matmulChoice, matmulKernel, type MatmulStatic } from "../../src/kernels/matmul.ts";
import { candidatesOf, chosen, expertLoads, heightOf } from "../../src/kernels/tile-choice.ts";
import { chips } from "../../src/tile/chips/chips.ts";
import { costOf } from "../../src/tile/cost.ts";

const linear: MatmulStatic = { dtype: "bf16", out: "bf16", transA: false, transB: true, into: false, hasBias: false, m: 1, n: 64, k: 256 }; // prettier-ignore
const ints: IntStatic = { out: "bf16", group: 0, isGrouped: false, m: 1, n: 64, k: 256 };
const problem = (m: number, n: number, depth: number) => ({ m, n, depth, batch: 1, aBatch: 0, bBatch: 0 });
const some = [chips["ascend-910b"], chips["ascend-950"], chips["mlu-370"], chips["mlu-590"]];

test("no candidate is cheaper than what is chosen, but for a fiftieth", () => {
  for (const chip of some)
    for (const [rows, n, depth] of [
      [1, 4096, 4096],
      [3, 1024, 512],
      [64, 2048, 4096],
      [500, 512, 1536],
    ] as const) {
      const where = `${chip.name} ${rows}x${n}x${depth}`;
      const q = problem(rows, n, depth);
      const { p, program } = chosen(chip, matmulKernel, linear, () => matmulChoice(linear, q));
      const height = heightOf(rows);
      const all = candidatesOf(chip, { factory: matmulKernel, start: linear }, matmulChoice(linear, q), height, { k: p.k });
      // Priced here once more: the launch that the wrapper would make for so many rows.
      const { seconds } = costOf(program, chip, { grid: [ceilDiv(n, p.n), ceilDiv(height, p.m), 1], numbers: { m: height, n, k: depth, aBatch: 0, bBatch: 0 } }, { sizes: { a: 2 * height * depth, b: 2 * n * depth, y: 2 * height * n } });
      const least = Math.min(...all.map((c) => c.seconds));
      assert.ok(all.length > 1 && seconds.high <= 1.02 * least, `${where}: ${p.m}x${p.n}x${p.k} takes ${seconds.high}, the cheapest ${least}`);
      const i = { rows, n, depth, experts: 1 };
      const best = chosen(chip, intKernel, ints, () => intChoice(ints, i));
      const others = candidatesOf(chip, { factory: intKernel, start: ints }, intChoice(ints, i), height, { k: best.p.k });
      const own = others.find((c) => c.program === best.program)!;
      assert.ok(others.every((c) => own.seconds <= 1.02 * c.seconds), `${where}: int8`);
    }
}); // prettier-ignore

test("one row of a large product is spread over most cores", () => {
  for (const chip of some) {
    const { p } = chosen(chip, intKernel, ints, () => intChoice(ints, { rows: 1, n: 4096, depth: 4096, experts: 1 }));
    // Of 20 to 36; the next power of two has as many turns of them.
    assert.ok(ceilDiv(4096, p.n) >= 16, `${chip.name}: ${ceilDiv(4096, p.n)} programs`);
  }
});

test("the order of a row's sum is the same for any number of rows, and a few programs serve all", () => {
  for (const chip of some) {
    const programs = new Set<unknown>();
    const depths = new Set<number>();
    for (let rows = 1; rows <= 4096; rows = Math.ceil(rows * 1.3)) {
      const { p, program } = chosen(chip, matmulKernel, linear, () => matmulChoice(linear, problem(rows, 1024, 4096)));
      programs.add(program);
      depths.add(p.k);
    }
    assert.equal(depths.size, 1, chip.name);
    assert.ok(programs.size <= 10, `${chip.name}: ${programs.size} programs`);
  }
});

test("a host takes the sizes that it asked for, without a choice", () => {
  const never = (): never => assert.fail("expected no choice");
  assert.equal(chosen(undefined, matmulKernel, linear, never).program, matmulKernel(linear));
});

test("where no size fits, the chip says why", () => {
  const chip = chips["ascend-910b"];
  const { UB, ...spaces } = chip.arch.spaces as Record<string, { sizeBytes: number }>;
  const none = { ...chip, arch: { ...chip.arch, spaces: { ...spaces, UB: { ...UB, sizeBytes: 32, reservedBytes: 0 } } } } as typeof chip;
  assert.throws(() => chosen(none, intKernel, ints, () => intChoice(ints, { rows: 1, n: 64, depth: 64, experts: 1 })), (e) => e instanceof CompileError && e.pass === "checkCapacity"); // prettier-ignore
}); // prettier-ignore

test("rows spread over experts: about as many have any as there are rows, none has more than a height", () => {
  for (const [rows, experts, active, each] of [
    [1, 256, 1, 1],
    [8, 256, 7, 1],
    [512, 256, 15, 4],
    [32768, 256, 15, 128],
    [64, 1, 1, 64],
  ] as const) {
    const loads = expertLoads(rows, experts);
    const { grid, numbers, read } = loads.over(3);
    assert.deepEqual([numbers.experts, loads.each, numbers.numTiles], [active, each, grid[0]]);
    const [first, end, expert] = [0, 1, 2].map((column) => Array.from({ length: grid[0] + 1 }, (_, t) => read!("tiles", 3 * t + column)!)) as [number[], number[], number[]]; // prettier-ignore
    for (let e = 0; e < active; e++) {
      const own = expert.flatMap((x, t) => (x === e ? [t] : []));
      const count = end[own[0]!]! - first[own[0]!]!;
      assert.ok(count > each / 2 && count <= each, `${rows} over ${experts}: expert ${e} has ${count} of ${each}`);
      assert.deepEqual(own.map((t) => first[t]! - first[own[0]!]!), own.map((_, i) => 3 * i)); // prettier-ignore
      assert.equal(own.length, ceilDiv(count, 3));
    }
    assert.equal(expert[grid[0]], active);
  }
});
