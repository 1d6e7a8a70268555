/**
 * Instructions and library functions one by one (ascend/ops.cpp): each gives the right numbers, in every order, and is
 * refused with the mistake that it has in the second form (a missing barrier, a wrong stride, one more element, ...).
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { roundF16 } from "../../src/base/f16.ts";
import { normals } from "../../src/base/prng.ts";
import { findCompiler } from "../../src/device/cpu/toolchain.ts";
import { foreignKernel } from "../../src/device/sim/foreign.ts";
import { openSim } from "../../src/device/sim/open-sim.ts";
import { SimulationError } from "../../src/device/sim/violation.ts";

const skip = findCompiler() ? false : "no C++ compiler";
const N = 256;
const x = new Float32Array(N);
normals(x, 41);
for (let i = 0; i < N; i++) x[i] = Math.round(x[i]! * 64) / 32;
const c = x.map((v) => 1 - v);
const relu = (v: number): number => Math.max(0, v);
const sigmoid = (v: number): number => 1 / (1 + Math.exp(-v));
const sum = (list: ArrayLike<number>): number => Array.from(list).reduce((s, v) => s + v, 0);
const evenly = (v: number): number => (Math.abs(v % 1) === 0.5 ? 2 * Math.round(v / 2) : Math.round(v));
const some = (values: readonly number[]): Float32Array => {
  const out = new Float32Array(N);
  out.set(values);
  return out;
};
const rows = (n: number): Float32Array[] => Array.from({ length: N / n }, (_, r) => x.subarray(r * n, r * n + n));
/** The largest of the even lanes of each repeat, first of equals, and its index. */
function bestEven(): Float32Array {
  let best = 0;
  for (let i = 0; i < N; i += 2) if (x[i]! > x[best]!) best = i;
  const out = some([x[best]!]);
  new Uint32Array(out.buffer)[1] = best;
  return out;
}
/** Of every 64: the index in bits, then the value. */
function leastOfRows(): Float32Array {
  const out = new Float32Array(N);
  rows(64).forEach((r, i) => {
    out[2 * i + 1] = Math.min(...r);
    new Uint32Array(out.buffer)[2 * i] = r.indexOf(Math.min(...r));
  });
  return out;
}
const int8 = (v: number): number => Math.max(-128, Math.min(127, evenly(v)));

interface Op {
  readonly name: string;
  readonly expected: Float32Array;
  readonly rule: string;
  readonly tolerance?: number;
}
const ops: Readonly<Record<number, Op>> = {
  1: { name: "Axpy by repeats", expected: x.map((v) => 2 * v), rule: "out-of-bounds" },
  2: { name: "Axpy of half onto float", expected: x.map((v) => v / 2), rule: "race-raw" },
  3: { name: "MulAddRelu", expected: x.map((v, i) => 2 * relu(v * c[i]!)), rule: "race-raw" },
  4: { name: "AddReluCast", expected: x.map((v, i) => roundF16(relu(v + c[i]!))), rule: "race-raw" },
  5: { name: "SubReluCast", expected: x.map((v, i) => roundF16(relu(v - c[i]!))), rule: "out-of-bounds" },
  6: { name: "Compare and Select by the mask register", expected: x.map((v, i) => (x[i % 64]! > c[i % 64]! ? v : c[i]!)), rule: "race-raw" },
  7: { name: "GetCmpMask", expected: x.map((v, i) => (x[i % 64]! <= c[i % 64]! ? v : c[i]!)), rule: "alignment" },
  8: { name: "ReduceRepeat", expected: some([...rows(64).map((r) => sum(r) + 1), 0, 0, 0, 0, ...rows(64).map((r) => Math.max(...r))]), rule: "race-raw", tolerance: 1e-5 },
  9: { name: "ReduceMax by a bit mask", expected: bestEven(), rule: "out-of-bounds" },
  10: { name: "CreateVecIndex by repeats", expected: x.map((_, i) => i + 3), rule: "out-of-bounds" },
  11: { name: "Broadcast along the last axis", expected: x.map((_, i) => x[Math.floor(i / 8)]!), rule: "range" },
  12: { name: "Broadcast along the first axis", expected: x.map((_, i) => x[i % 8]! + 1), rule: "race-raw" },
  13: { name: "ReduceSum AR", expected: some(rows(8).map(sum)), rule: "range", tolerance: 1e-5 },
  14: { name: "ReduceMax RA", expected: some(Array.from({ length: 8 }, (_, j) => Math.max(...rows(8).map((r) => r[j]!)))), rule: "alignment" },
  15: { name: "Sum", expected: some(rows(32).map((r) => sum(r.subarray(0, 30)))), rule: "range", tolerance: 1e-5 },
  16: { name: "CumSum", expected: x.map((_, i) => sum(x.subarray(i - (i % 32), i + 1))), rule: "range", tolerance: 1e-5 },
  17: { name: "Sigmoid", expected: x.map((v) => 2 * sigmoid(v)), rule: "race-raw", tolerance: 1e-6 },
  18: { name: "SwiGLU", expected: x.map((v, i) => v * c[i]! * sigmoid(c[i]!)), rule: "range", tolerance: 1e-6 },
  19: { name: "ClampMax, ClampMin", expected: x.map((v) => Math.max(-0.5, Math.min(0.5, v))), rule: "race-waw" },
  20: { name: "Concat, Sort", expected: x.slice().sort((a, b) => b - a), rule: "race-raw" },
  21: { name: "operators + and *", expected: c, rule: "race-raw" },
  22: { name: "operator <", expected: x.map((v, i) => (v < c[i]! ? v : 0)), rule: "race-raw" },
  23: { name: "elements by ()", expected: x.map((v, i) => v + i), rule: "race-raw", tolerance: 1e-6 },
  24: { name: "MulCast", expected: x.map((v) => int8(roundF16(v * v))), rule: "race-raw" },
  25: { name: "ShiftRight with rounding", expected: x.map((v) => Math.floor((evenly(v) + 1) / 2)), rule: "race-raw" },
  26: { name: "TBufPool", expected: x.map((v) => v + 2), rule: "capacity" },
  27: { name: "TQueSync", expected: x.map((v) => v + 4), rule: "flag-left-over" },
  28: { name: "GatherMask by a pattern", expected: some(Array.from({ length: N / 2 }, (_, i) => x[2 * i + 1]!)), rule: "out-of-bounds" },
  29: { name: "SetAtomicMax", expected: x.map(relu), rule: "partial-overlap" },
  31: { name: "in place by repeats", expected: x.map((v) => v + 1), rule: "partial-overlap" },
  32: { name: "a running total over repeats", expected: some(Array.from({ length: 64 }, (_, i) => rows(64).reduce((t, r) => Math.fround(t + r[i]!), 0))), rule: "race-raw" },
  33: { name: "CastDeq", expected: x.map((v) => int8(evenly(v) * 2 + 3)), rule: "dtype" },
  34: { name: "int4 by repeats", expected: x.map((v) => Math.max(-8, Math.min(7, evenly(roundF16(v))))), rule: "race-raw" },
  35: { name: "TransDataTo5HD by addresses in tensors", expected: x.map((_, i) => roundF16(x[(i % 16) * 16 + Math.floor(i / 16)]!)), rule: "race-raw" },
  36: { name: "counter mode", expected: x.map((v, i) => (i < 200 ? v + c[i]! : 0)), rule: "out-of-bounds" },
  37: { name: "the mask register", expected: x.map((v, i) => (i % 64 < 8 ? 2 * v : 0)), rule: "out-of-bounds" },
  38: { name: "Brcb", expected: x.map((_, i) => x[Math.floor(i / 8)]!), rule: "out-of-bounds" },
  39: { name: "Copy by a mask", expected: x.map((v, i) => (i % 64 < 32 ? v : 0)), rule: "race-raw" },
  40: { name: "FusedMulAdd, FusedMulAddRelu", expected: x.map((v, i) => relu(c[i]! * c[i]! + v)), rule: "race-raw" },
  41: { name: "WholeReduceMin, index first", expected: leastOfRows(), rule: "out-of-bounds" },
  42: { name: "BlockReduceMax", expected: some(rows(8).map((r) => Math.max(...r))), rule: "race-raw" },
  43: { name: "PairReduceSum", expected: some(Array.from({ length: N / 2 }, (_, i) => x[2 * i]! + x[2 * i + 1]!)), rule: "out-of-bounds" },
  44: { name: "Gatherb", expected: x.map((_, i) => x[(31 - Math.floor(i / 8)) * 8 + (i % 8)]!), rule: "out-of-bounds" },
  45: { name: "GatherMask by bits", expected: some(Array.from({ length: N }, (_, i) => i).filter((i) => (i % 32) % 3 === 0).map((i) => x[i]!)), rule: "race-raw" },
  46: { name: "ReduceSum by repeats", expected: some([sum(x)]), rule: "out-of-bounds", tolerance: 1e-5 },
  47: { name: "Compares, Select of two tensors", expected: x.map((v, i) => (v >= 0.5 ? v : c[i]!)), rule: "range" },
  48: { name: "AscendQuant", expected: x.map((v) => int8(roundF16(roundF16(roundF16(v) * 20) + 3))), rule: "range" },
  49: { name: "AscendDequant by columns", expected: x.map((v, i) => Math.fround(evenly(v) * c[i % 32]!)), rule: "race-raw" },
  50: { name: "AscendDequant of one row", expected: x.map((v) => evenly(v) / 2), rule: "uninitialised" },
  30: { name: "AddDeqRelu", expected: x.map(() => 3), rule: "race-raw" },
}; // prettier-ignore

const device = skip ? undefined : openSim("sim:ascend-910b");
const kernel = skip ? undefined : device!.compileKernels([foreignKernel(readFileSync(join(import.meta.dirname, "ascend", "ops.cpp"), "utf8"), "ops", ["x", "y", "op"], "vector")])[0]; // prettier-ignore
function run(op: number, seed: number): Float32Array {
  const [from, to] = [device!.alloc(x.byteLength), device!.alloc(x.byteLength)];
  const out = new Float32Array(N);
  try {
    device!.copyIn(from, 0, x);
    device!.copyIn(to, 0, out);
    device!.run(kernel!, [{ buffer: from, byteOffset: 0 }, { buffer: to, byteOffset: 0 }, op], { numBlocks: 1, seed, audit: true }); // prettier-ignore
    device!.copyOut(to, 0, out);
    return out;
  } finally {
    device!.free(from);
    device!.free(to);
  }
}

for (const [op, { name, expected, rule, tolerance = 0 }] of Object.entries(ops))
  test(`${name}: right, and refused with a mistake`, { skip }, () => {
    for (const seed of [0, 1, 2]) {
      const got = run(Number(op), seed);
      for (let i = 0; i < N; i++)
        assert.ok(Math.abs(got[i]! - expected[i]!) <= tolerance * Math.max(1, Math.abs(expected[i]!)), `element ${i}: expected ${expected[i]}, got ${got[i]}`); // prettier-ignore
    }
    try {
      run(Number(op) + 100, 0);
    } catch (e) {
      assert.ok(e instanceof SimulationError, String(e));
      return assert.equal(e.rule, rule, e.message);
    }
    assert.fail(`expected ${rule}, it was accepted`);
  });
