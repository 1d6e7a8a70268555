/**
 * Vector functions on registers (Ascend 950): kernels written for the public interface run with the right numbers in
 * every order, what breaks a rule of them is refused by its name, and a chip without registers does not compile them.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { bf16ToF32, f32ToBf16 } from "../../src/base/bf16.ts";
import { normals } from "../../src/base/prng.ts";
import { findCompiler } from "../../src/device/cpu/toolchain.ts";
import { foreignKernel } from "../../src/device/sim/foreign.ts";
import { openSim } from "../../src/device/sim/open-sim.ts";
import type { RunOptions } from "../../src/device/sim/sim-device.ts";
import { simTargets } from "../../src/device/sim/targets.ts";
import type { SimCase } from "./sim-ascend-cases.ts";
import { checkCases } from "./sim-ascend-check.ts";
import { change, drop, dropPair, swap } from "./sim-mutants.ts";
import { outcomeOf, runCase } from "./sim-run.ts";

const compiler = findCompiler();
const skip = compiler ? false : "no C++ compiler";
const fileOf = (name: string): string => join(import.meta.dirname, "ascend", `${name}.cpp`);
const sourceOf = (name: string): string => readFileSync(fileOf(name), "utf8");
function random(n: number, seed: number): Float32Array {
  const out = new Float32Array(n);
  normals(out, seed);
  return out;
}

function add(): SimCase {
  const n = 6999;
  const [x, y] = [random(n, 1), random(n, 2)];
  return {
    name: "reg_add",
    source: sourceOf("reg_add"),
    kind: "vector",
    args: ["x", "y", "z", "total"],
    values: [x, y, new Float32Array(n).fill(77), n],
    expected: [{ arg: 2, values: x.map((v, i) => v + y[i]!), tolerance: 0 }],
    mutants: [
      dropPair("MTE2_V", "0"),
      dropPair("V_MTE3", "0"),
      drop("drop one sync", "SetFlag<HardEvent::MTE3_V>(0);", "WaitFlag<HardEvent::MTE3_V>(0);"),
      drop("drop one sync", "SetFlag<HardEvent::V_MTE2>(0);", "WaitFlag<HardEvent::V_MTE2>(0);"),
      change("mask +-1", "GetPhyAddr(), count, uint16_t", "count", "count + 1"),
      change("mask +-1", "GetPhyAddr(), count, uint16_t", "count", "count - 1"),
      change("one register more", "uint16_t((count + LANES - 1) / LANES)", "(count + LANES - 1) / LANES", "(count + LANES - 1) / LANES + 1"), // prettier-ignore
      change("one register less", "uint16_t((count + LANES - 1) / LANES)", "(count + LANES - 1) / LANES", "count / LANES"), // prettier-ignore
      change("misaligned", "LoadAlign(a, x + i * LANES)", "x + i * LANES", "x + i * LANES + 1"),
      change("misaligned", "StoreAlign(z + i * LANES, c, mask)", "z + i * LANES", "z + i * LANES + 1"),
      change("device memory", "StoreAlign(z + i * LANES, c, mask)", "z + i * LANES", "(T*)nullptr"),
      swap("mask of another width", "Reg::Add(c, a, b, mask);", "Reg::MaskReg wrong = Reg::CreateMask<double>(); Reg::Add(c, a, b, wrong);"), // prettier-ignore
      swap("no input", "Reg::LoadAlign(b, y + i * LANES);", ";"),
      change("shrink a buffer", "a(TPosition::VECIN, 0, 1000)", "1000", "992"),
      change("overlap", "b(TPosition::VECIN, 4096, 1000)", "4096", "2048"),
    ],
  };
}

function softmax(): SimCase {
  const [rows, width] = [37, 200];
  const x = random(rows * width, 3);
  const y = new Float32Array(x.length);
  for (let r = 0; r < rows; r++) {
    const row = x.subarray(r * width, (r + 1) * width);
    const e = Float64Array.from(row, (v) => Math.exp(v - Math.max(...row)));
    const sum = e.reduce((a, b) => a + b, 0);
    e.forEach((v, i) => (y[r * width + i] = v / sum));
  }
  const bar = "LocalMemBar<MemType::VEC_STORE, MemType::VEC_LOAD>();";
  return {
    name: "reg_softmax",
    source: sourceOf("reg_softmax"),
    kind: "vector",
    args: ["x", "y", "rows"],
    values: [x, new Float32Array(x.length).fill(77), rows],
    expected: [{ arg: 1, values: y, tolerance: 1e-6 }],
    mutants: [
      drop("drop LocalMemBar", bar),
      swap("another LocalMemBar", bar, "LocalMemBar<MemType::VEC_LOAD, MemType::VEC_STORE>();"),
      swap("another LocalMemBar", bar, "LocalMemBar<MemType::VEC_STORE, MemType::VEC_STORE>();"),
      drop("drop one sync", "in.EnQue(a);", "a = in.DeQue<float>();"),
      drop("drop one sync", "out.EnQue(b);", "b = out.DeQue<float>();"),
      change("mask +-1", "uint32_t left = WIDTH;", "WIDTH", "WIDTH + 1"),
      change("mask +-1", "Duplicate(sum, 0.0f);\n    left = WIDTH;", "WIDTH", "WIDTH + 1"),
      change("mask +-1", "VEC_LOAD>();\n    left = WIDTH;", "WIDTH", "WIDTH - 1"),
      swap("wrong lanes", "Add(sum, sum, one, first);", "Add(sum, sum, one, all);\n        Duplicate(sum, best, all);"),
      swap(
        "beside an extreme",
        "Max(best, best, top, first);",
        "Max(best, best, top, all); Reduce<ReduceType::SUM>(best, best, all);",
      ),
      swap("no input", "Duplicate(sum, 0.0f);", ";"),
      change("misaligned", "LoadAlign(top, y + i * 64)", "y + i * 64", "y + 4 + i * 64"),
      change("shrink a buffer", "out, 2, PITCH * sizeof(float)", "PITCH", "192"),
    ],
  };
}

/** For mutants of the conversions. */
const extraTraits = `constexpr Reg::CastTrait ODD = {Reg::RegLayout::ONE, Reg::SatMode::UNKNOWN, Reg::MaskMergeMode::ZEROING, RoundMode::UNKNOWN};
constexpr Reg::CastTrait TRUNCATE = {Reg::RegLayout::ZERO, Reg::SatMode::NO_SAT, Reg::MaskMergeMode::ZEROING, RoundMode::CAST_TRUNC};
`;

function cast(): SimCase {
  const n = 3333;
  const x = bf16ToF32(f32ToBf16(random(n, 4)));
  return {
    name: "reg_cast",
    source: sourceOf("reg_cast").replace(
      "constexpr Reg::CastTrait WIDEN",
      `${extraTraits}constexpr Reg::CastTrait WIDEN`,
    ),
    kind: "vector",
    isBf16: true,
    args: ["x", "y", "total"],
    values: [f32ToBf16(x), f32ToBf16(new Float32Array(n).fill(77)), n],
    expected: [{ arg: 1, values: bf16ToF32(f32ToBf16(x.map((v) => Math.fround(2 * v) + 1))), tolerance: 0 }],
    mutants: [
      dropPair("MTE2_V", "1"),
      dropPair("V_MTE3", "1"),
      drop("drop one sync", "SetFlag<HardEvent::MTE3_V>(1);", "WaitFlag<HardEvent::MTE3_V>(1);"),
      drop("drop one sync", "SetFlag<HardEvent::V_MTE2>(1);", "WaitFlag<HardEvent::V_MTE2>(1);"),
      change("wrong stride", "(narrow, from, 64)", "64", "128"),
      change("wrong stride", "(to, narrow, 64, mask)", "64", "32"),
      change("misaligned", "(narrow, from, 64)", "64", "60"),
      change("one register less", "(count + 63) / 64", "(count + 63) / 64", "count / 64"),
      change("mask +-1", "uint32_t left = count;", "count", "count - 1"),
      swap("wrong place", "MicroAPI::Cast<float, bfloat16_t, WIDEN>(wide, narrow, mask);", "MicroAPI::Cast<float, bfloat16_t, ODD>(wide, narrow, mask);"), // prettier-ignore
      swap("wrong rounding", "MicroAPI::Cast<bfloat16_t, float, NARROW>(narrow, wide, mask);", "MicroAPI::Cast<bfloat16_t, float, TRUNCATE>(narrow, wide, mask);"), // prettier-ignore
    ],
  };
}

function select(): SimCase {
  const n = 512;
  const [x, y, limit] = [random(n, 5), random(n, 6), 0.75];
  const counts = new Float32Array(8);
  x.forEach((v, i) => (counts[i >> 6]! += Number(v >= 0 && v < limit)));
  return {
    name: "reg_select",
    source: sourceOf("reg_select"),
    kind: "vector",
    args: ["x", "y", "counts", "limit"],
    values: [x, y, new Float32Array(8).fill(77), limit],
    expected: [
      { arg: 1, values: x.map((v, i) => (Math.abs(v) < limit ? v : 2 * y[i]!)), tolerance: 0 },
      { arg: 2, values: counts, tolerance: 0 },
    ],
    mutants: [
      dropPair("MTE2_V", "0"),
      dropPair("V_MTE3", "0"),
      swap(
        "another comparison",
        "Reg::Compare<float, CMPMODE::GE>(isPositive, value, zero, all);",
        "Reg::Compare<float, CMPMODE::LT>(isPositive, value, zero, all);",
      ),
      change("another mask", "Select(other, value, other, isSmall)", "isSmall", "both"),
      change("another mask", "StoreAlign(y, other, offset, all)", "all", "isSmall"),
      swap("unset mask", "Reg::And(both, isSmall, isPositive, all);", ";"),
      change("counts", "(counts + i, kept, all)", "counts + i", "counts + 2 * i"),
      change("one register more", "limit, uint16_t(8)", "8", "9"),
      change("overlap", "c(TPosition::VECOUT, 4096, 8)", "4096", "3072"),
      change("overlap", "b(TPosition::VECCALC, 2048, 512)", "2048", "1024"),
    ],
  };
}

const cases = [add(), softmax(), cast(), select()];
const checked = checkCases(cases, {
  chip: "sim:ascend-950",
  rules: {
    "drop LocalMemBar": /^local-mem-bar$/, "another LocalMemBar": /^local-mem-bar$/, "misaligned": /^alignment$/, "one register more": /^(out-of-bounds|uninitialised|local-mem-bar)$/,
    "device memory": /^memory-space$/, "drop one sync": /^(race-|flag|wait|queue|deadlock)/, "unset mask": /^uninitialised$/, "beside an extreme": /^uninitialised$/,
  },
}); // prettier-ignore
const device = checked?.device;

const ruleKernel = skip ? undefined : device!.compileKernels([foreignKernel(sourceOf("reg_rules"), "reg_rules", ["x", "y", "rule"], "vector")])[0]; // prettier-ignore
/** Case n of the kernel on x = 0, 1, 2, ... and y = 0: the output. */
function rule(n: number, options: Partial<RunOptions> = {}): Float32Array {
  const out = new Float32Array(512);
  const [x, y] = [device!.alloc(out.byteLength), device!.alloc(out.byteLength)];
  device!.copyIn(
    x,
    0,
    out.map((_, i) => i),
  );
  device!.copyIn(y, 0, out);
  try {
    device!.run(ruleKernel!, [{ buffer: x, byteOffset: 0 }, { buffer: y, byteOffset: 0 }, n], { numBlocks: 1, ...options }); // prettier-ignore
    device!.copyOut(y, 0, out);
  } finally {
    device!.free(x);
    device!.free(y);
  }
  return out;
}

test("instructions one by one: distributions, conversions, masks, streams", { skip }, () => {
  const first = (n: number): number[] => [...rule(n).subarray(0, 128)];
  const two = (f: (i: number) => number, g: (i: number) => number): number[] => Array.from({ length: 128 }, (_, i) => (i < 64 ? f(i) : g(i - 64))); // prettier-ignore
  const none = (): number => 0;
  const turns = (i: number): number => (i % 2 ? 64 + (i >> 1) : i >> 1);
  const expected: Readonly<Record<number, number[]>> = {
    1: two(() => 3, none),
    2: two(() => 1, (i) => 2 * i),
    3: two(turns, (i) => turns(64 + i)),
    4: two(turns, (i) => 64 + i),
    5: two((i) => i >> 3, (i) => i % 8),
    6: two((i) => (i < 8 ? 8 * i + 7 : 0), none),
    7: two((i) => (i < 10 ? 5 : i), (i) => (i < 10 ? 6 : 0)),
    8: two((i) => i, (i) => 64 + i),
    9: two((i) => 3 * i, none),
    10: two((i) => (i > 0 && i < 11 ? i + 4 : 0), none),
    11: two((i) => (i >> 3) * 16 + (i % 8), (i) => 8 + i),
    12: two((i) => (i < 10 && i > 2 ? i : -1), none),
    13: two((i) => (i > 60 ? 0 : 2 * i), none),
    14: two((i) => 2 * i + 1, (i) => 5 * i + 2),
    15: two((i) => 65 + i, none),
    19: two((i) => i, (i) => i),
    24: two((i) => (i < 10 ? 480 + i : 0), none),
    30: two((i) => i + 128, none),
    34: two((i) => 7 + i, (i) => 3 * i + 14),
    35: two((i) => (i > 32 ? i - 32 : (i - 32) / 2), none),
    36: two((i) => 1 + 2 * i, (i) => 1 + 2 * (63 - i)),
    38: two((i) => (i < 10 ? i + 1 : 0), (i) => (i < 5 ? i + 1 : 0)),
    39: two(() => 3, none),
    40: two((i) => (i % 2 || i === 0 || i === 2 ? i + 1 : 0), (i) => (i < 2 ? i + 1 : 0)),
    41: two((i) => (i < 60 ? 0 : i + 1), none),
  }; // prettier-ignore
  for (const [n, values] of Object.entries(expected)) assert.deepEqual(first(Number(n)), values, `case ${n}`);
});

test("rules of vector functions are refused by name", { skip }, () => {
  const rules: Readonly<Record<number, string>> = {
    16: "local-mem-bar", 17: "local-mem-bar", 18: "local-mem-bar", 20: "alignment", 21: "out-of-bounds", 22: "out-of-bounds", 23: "uninitialised",
    25: "uninitialised", 26: "uninitialised", 27: "unaligned-store-left", 28: "unaligned-load-state", 29: "data-dependent", 31: "vector-scope", 32: "vector-scope", 33: "memory-space", 37: "out-of-bounds", 42: "local-mem-bar",
  }; // prettier-ignore
  for (const [n, name] of Object.entries(rules)) assert.equal(outcomeOf(() => rule(Number(n)).length > 0), name, `case ${n}`); // prettier-ignore
});

test("what the vendor's compiler inserts between loads and stores counts where asked", { skip }, () => {
  const c = cases[1]!;
  const run = (options: Partial<RunOptions>): string =>
    outcomeOf(() => runCase(device!, checked!.kernels[1]!, c, { numBlocks: 3, ...options }, [1]));
  assert.equal(run({}), "local-mem-bar");
  assert.equal(run({ autoSync: true }), "accepted");
});

test("fast: the same kernels, the same numbers, no checks", { skip }, () => {
  const fast = openSim("sim:ascend-950", { isFast: true });
  const plain = fast.compileKernels(cases.map((c) => foreignKernel(c.source, c.name, c.args, c.kind)));
  for (const [i, c] of cases.entries()) assert.ok(runCase(fast, plain[i]!, c, { numBlocks: 20 }), c.name);
});

test("a chip without registers does not compile them, and says why", { skip }, () => {
  const target = simTargets["sim:ascend-910b"];
  for (const name of ["reg_add", "reg_cast", "simt_gather"]) {
    const args = ["-std=gnu++20", "-fsyntax-only", "-w", ...target.flags, ...target.folders.flatMap((f) => ["-I", f]), fileOf(name)]; // prettier-ignore
    const { status, stderr } = spawnSync(compiler!.path, args, { encoding: "utf8" });
    assert.notEqual(status, 0);
    assert.match(stderr, /error: vector functions on registers and threads: only 950 \(NpuArch 3510\) has them/);
  }
});
