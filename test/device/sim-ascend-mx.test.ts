/**
 * Products of FP8 and FP4 with a power of two for every 32 numbers, which 950's cube takes as they are: a kernel in the way
 * of others, right in every order, no mutation accepted; what the cube cannot take is refused by name.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fromE4m3, fromE8m0 } from "../../src/base/fp8.ts";
import { randomBits } from "../../src/base/prng.ts";
import { findCompiler } from "../../src/device/cpu/toolchain.ts";
import { foreignKernel } from "../../src/device/sim/foreign.ts";
import { openSim } from "../../src/device/sim/open-sim.ts";
import type { SimCase } from "./sim-ascend-cases.ts";
import { checkCases } from "./sim-ascend-check.ts";
import { change, dropPair } from "./sim-mutants.ts";
import { outcomeOf, runCase } from "./sim-run.ts";

const source = readFileSync(join(import.meta.dirname, "ascend", "mx_matmul_950.cpp"), "utf8");
const [M, N, K] = [213, 48, 192];
const e5m2 = (code: number): number => (code & 128 ? -1 : 1) * ((code >> 2) & 31 ? (4 + (code & 3)) * 2 ** (((code >> 2) & 31) - 17) : (code & 3) * 2 ** -16); // prettier-ignore
const e2m1 = (code: number): number => (code & 8 ? -1 : 1) * [0, 0.5, 1, 1.5, 2, 3, 4, 6][code & 7]!;
const e1m2 = (code: number): number => ((code & 8 ? -1 : 1) * (code & 7)) / 4;

/** Rows of codes with the numbers that they are, scales included. */
function factor(rows: number, bits: number, seed: number, numberOf: (code: number) => number): { codes: Uint8Array; scales: Uint8Array; numbers: Float64Array } {
  const random = (n: number, s: number): number[] => Array.from({ length: n }, (_, i) => randomBits(seed + s, i));
  const scales = Uint8Array.from(random((rows * K) / 32, 1), (x) => 124 + (x % 7));
  // Of FP8 no exponent that is far from 1, and nothing that is no number.
  const each = random(rows * K, 2).map((x) => (bits === 4 ? x & 15 : (x & 0x80) | (bits === 8 ? 0x28 + (x & 31) : 0x30 + (x & 31))));
  const numbers = Float64Array.from(each, (code, i) => numberOf(code) * fromE8m0(scales[Math.floor(i / 32)]!));
  const codes = bits === 4 ? Uint8Array.from({ length: each.length / 2 }, (_, i) => each[2 * i]! | (each[2 * i + 1]! << 4)) : Uint8Array.from(each);
  return { codes, scales, numbers };
} // prettier-ignore
function mxCase(bits: 4 | 8): SimCase {
  const a = factor(M, bits, 41, bits === 4 ? e2m1 : fromE4m3);
  const b = factor(N, bits === 4 ? 4 : 5, 43, bits === 4 ? e1m2 : e5m2);
  const c = new Float32Array(M * N);
  for (let i = 0; i < M; i++)
    for (let j = 0; j < N; j++) {
      let sum = 0;
      for (let d = 0; d < K; d++) sum += a.numbers[i * K + d]! * b.numbers[j * K + d]!;
      c[i * N + j] = sum;
    }
  const words = (bytes: Uint8Array): Int32Array => new Int32Array(bytes.buffer);
  return {
    name: "mx_matmul",
    source,
    kind: "cube",
    args: ["a", "sa", "b", "sb", "c", "m", "bits"],
    values: [words(a.codes), new Int32Array(Uint8Array.from([...a.scales, ...new Uint8Array(2)]).buffer), words(b.codes), words(b.scales), new Float32Array(M * N).fill(77), M, bits], // prettier-ignore
    expected: [{ arg: 4, values: c, tolerance: 1e-4 }],
    mutants: [
      ...["MTE2_MTE1", "MTE1_MTE2", "MTE1_M", "M_MTE1", "M_FIX", "FIX_M"].map((event) => dropPair(event, "0")),
      dropPair("MTE2_MTE1", "1"),
      change("scales elsewhere", "LoadData(a2, a1, sa1,", "sa1", "sb1"),
      change("stride unit", ", 0, GROUPS, GROUPS, 1, 0}", "GROUPS", "GROUPS + 1"),
      change("tail +-1", "Dn2NzParams{1, GROUPS, rows,", "rows", "rows - 1"),
      change("tail +-1", "Dn2NzParams{1, GROUPS, rows,", "GROUPS", "GROUPS - 1"),
      change("shares of scales", "M / 16, GROUPS, GROUPS, GROUPS}", "GROUPS", "GROUPS - 1"),
      change("shares of scales", "0, 0, M / 16, GROUPS", "M / 16", "M / 16 - 1"),
      change("shares of scales", "0, 0, N / 16, GROUPS", "N / 16", "N / 16 - 1"),
      change("k not of whole groups", "MmadParams{M, N, K}", "K", "K - 32"),
      change("alignment", "A2, 0, M * BYTES", "0", "256"),
    ],
  };
}
const cases = [mxCase(8), mxCase(4)];
checkCases(cases, { chip: "sim:ascend-950" });

const skip = findCompiler() ? false : "no C++ compiler";
test("sim:ascend-950:fast: the same numbers", { skip }, () => {
  const device = openSim("sim:ascend-950:fast");
  for (const c of cases) {
    const [kernel] = device.compileKernels([foreignKernel(c.source, c.name, c.args, c.kind)]);
    for (const numBlocks of [1, 20]) assert.ok(runCase(device, kernel!, c, { numBlocks }));
  }
});

test(
  "factors with scales: one row and a k that is no multiple of 64 are refused, other chips have none",
  { skip },
  () => {
    const device = openSim("sim:ascend-950");
    const outcome = (from: string, to: string): string => {
      const [c] = cases as [SimCase];
      const [kernel] = device.compileKernels([foreignKernel(c.source.replace(from, to), c.name, c.args, c.kind)]);
      return outcomeOf(() => runCase(device, kernel!, c, { numBlocks: 1 }));
    };
    assert.equal(outcome("MmadParams{M, N, K}", "MmadParams{1, N, K}"), "range");
    assert.equal(outcome("MmadParams{M, N, K}", "MmadParams{M, N, 100}"), "range");
    assert.throws(() => openSim("sim:ascend-910b").compileKernels([foreignKernel(source, "mx_matmul", cases[0]!.args, "cube")]), /950 only|no product/); // prettier-ignore
  },
);
