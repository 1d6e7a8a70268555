/**
 * Rules of the Ascend programming model, one by one: what breaks one is refused by that rule's name, with the line and
 * the bytes; the numbers that a rule decides (GEMV, the scale of Fixpipe, the order of a sum) come out as it says.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { bf16ToF32, f32ToBf16 } from "../../src/base/bf16.ts";
import { f16FromBits, f16ToBits, roundF16 } from "../../src/base/f16.ts";
import { findCompiler } from "../../src/device/cpu/toolchain.ts";
import type { DeviceBuffer } from "../../src/device/device.ts";
import { openDevice } from "../../src/device/open.ts";
import { foreignKernel, kindOf, rewriteLaunches } from "../../src/device/sim/foreign.ts";
import { openSim } from "../../src/device/sim/open-sim.ts";
import type { RunOptions, SimDevice, SimKernel } from "../../src/device/sim/sim-device.ts";
import { simTargets } from "../../src/device/sim/targets.ts";
import { SimulationError } from "../../src/device/sim/violation.ts";
import { simCases } from "./sim-ascend-cases.ts";
import { runCase } from "./sim-run.ts";

const compiler = findCompiler();
const skip = compiler ? false : "no C++ compiler";
const device = skip ? undefined : openSim("sim:ascend-910b");
const sourceOf = (name: string): string => readFileSync(join(import.meta.dirname, "ascend", `${name}.cpp`), "utf8");
const built = skip
  ? []
  : device!.compileKernels([
      foreignKernel(sourceOf("rules"), "rules", ["x", "y", "n", "rule"], "vector"),
      foreignKernel(sourceOf("cube_rules"), "cube_rules", ["x", "y", "rule", "scale"], "cube"),
      // The host function of a file is an entry as well: its launch is rewritten.
      foreignKernel(sourceOf("add_queue"), "add_queue_do", ["blocks", "stream", "x", "y", "z", "total", "tiles"], "vector"), // prettier-ignore
    ]);

function load(on: SimDevice, data: ArrayBufferView): DeviceBuffer {
  const buffer = on.alloc(data.byteLength);
  on.copyIn(buffer, 0, data);
  return buffer;
}
const whole = (buffer: DeviceBuffer): { buffer: DeviceBuffer; byteOffset: number } => ({ buffer, byteOffset: 0 });

/** Runs rule n of the vector kernel; the output on success. */
function vectorRule(
  rule: number,
  options: Partial<RunOptions> = {},
  x = Float32Array.from({ length: 256 }, (_, i) => i),
): Float32Array {
  // prettier-ignore
  const out = new Float32Array(256);
  const [from, to] = [load(device!, x), load(device!, out)];
  device!.run(built[0]!, [whole(from), whole(to), 256, rule], { numBlocks: 1, ...options });
  device!.copyOut(to, 0, out);
  return out;
}
function cubeRule(rule: number, options: { scale?: number; int8?: boolean } = {}): Float32Array {
  const out = new Float32Array(256);
  const x = options.int8
    ? new Uint8Array(1024).fill(1)
    : Uint16Array.from({ length: 512 }, (_, i) => f16ToBits(i < 256 ? (i % 16) + 1 : 2));
  const [from, to] = [load(device!, x), load(device!, out)];
  device!.run(built[1]!, [whole(from), whole(to), rule, options.scale ?? 1], { numBlocks: 1 });
  device!.copyOut(to, 0, out);
  return out;
}
function breaks(rule: string, run: () => unknown, what = rule): void {
  const check = (e: unknown): boolean => {
    assert.ok(e instanceof SimulationError, String(e));
    assert.equal(e.rule, rule, e.message);
    return true;
  };
  assert.throws(run, check, `${what}: expected ${rule}, it was accepted`);
}

const vectorRules: Readonly<Record<number, string>> = {
  1: "flag-left-over", 2: "flag-set-twice", 3: "wait-without-set", 4: "event-id", 5: "copy-size", 6: "range", 7: "range",
  8: "range", 9: "range", 10: "range", 11: "alignment", 12: "partial-overlap", 13: "capacity", 14: "out-of-bounds",
  15: "uninitialised", 16: "uninitialised", 17: "race-raw", 18: "cross-flag-kind", 19: "deadlock", 20: "range", 21: "dtype",
  22: "core-kind", 24: "queue-leak", 25: "queue-state", 26: "queue-events", 27: "dcache-not-flushed", 28: "dcache-stale",
  29: "race-raw", 30: "race-raw", 33: "out-of-bounds", 34: "partial-overlap", 36: "uninitialised", 37: "race-war",
  // What a core would stop at ends the launch, not the process.
  38: "arithmetic", 39: "out-of-bounds", 40: "out-of-bounds",
}; // prettier-ignore
const cubeRules: Readonly<Record<number, string>> = { 1: "alignment", 2: "range", 3: "out-of-bounds", 4: "uninitialised", 5: "core-kind", 6: "core-kind", 8: "quant-mode", 11: "race-raw", 13: "range", 15: "quant-mode", 16: "core-kind", 17: "dtype", 19: "race-raw", 21: "range" }; // prettier-ignore

test("rules of a vector core are refused by name", { skip }, () => {
  assert.deepEqual([...vectorRule(0).subarray(0, 3)], [1, 2, 3]);
  assert.deepEqual([...vectorRule(35).subarray(0, 5)], [7, 7, 7, 7, 0]);
  for (const [rule, name] of Object.entries(vectorRules))
    breaks(name, () => vectorRule(Number(rule)), `vector rule ${rule}`);
});

test("rules of the cube core are refused by name", { skip }, () => {
  for (const rule of [0, 10, 12, 14])
    assert.ok(
      cubeRule(rule).every((v) => v === 272),
      `cube rule ${rule}`,
    );
  for (const [rule, name] of Object.entries(cubeRules)) breaks(name, () => cubeRule(Number(rule)), `cube rule ${rule}`);
});

test("a report names kernel, line, bytes and rule; arguments by their names", { skip }, () => {
  try {
    vectorRule(14);
    assert.fail("expected a report");
  } catch (e) {
    assert.ok(e instanceof SimulationError);
    assert.equal(e.kernel, "rules");
    assert.match(e.stage, /^line \d+: DataCopyPad\(yGm\[1\], b, \{1, 1024, 0, 0, 0\}\);$/);
    assert.equal(e.buffer, "y[4..1028)");
  }
});

test("what the vendor's compiler inserts counts only where asked", { skip }, () => {
  breaks("race-raw", () => vectorRule(30));
  assert.deepEqual([...vectorRule(30, { autoSync: true }).subarray(0, 3)], [2, 4, 6]);
});

test(
  "blocks: more than the chip has at once cannot meet; two that write one place race, atomics do not",
  { skip },
  () => {
    vectorRule(23, { numBlocks: 40 });
    breaks("co-resident", () => vectorRule(23, { numBlocks: 41 }));
    breaks("race-waw", () => vectorRule(0, { numBlocks: 2 }));
    assert.equal(vectorRule(32, { numBlocks: 3 })[5], 15);
  },
);

test("a sum goes by trees inside 256 bytes and one after the other over them", { skip }, () => {
  const x = new Float32Array(256);
  x[0] = 2 ** 24;
  for (let i = 64; i < 256; i += 64) x[i] = 1;
  // 2^24 + 1 is 2^24 in f32: the three ones get lost one by one.
  assert.equal(vectorRule(31, {}, x)[0], 2 ** 24);
  const y = new Float32Array(256);
  y[0] = 2 ** 24;
  y[2] = y[3] = 1;
  // In one repeat the two ones meet first.
  assert.equal(vectorRule(31, {}, y)[0], 2 ** 24 + 2);
});

test("m = 1 reads A as one row; the scale of Fixpipe keeps ten mantissa bits", { skip }, () => {
  assert.equal(cubeRule(9)[0], 272);
  const scale = 1 + 2 ** -10 + 2 ** -12;
  const out = new Uint16Array(cubeRule(7, { scale, int8: true }).buffer);
  assert.equal(f16FromBits(out[0]!), roundF16(32 * (1 + 2 ** -10)));
});

test("Fixpipe splits channels: eight floats a group of columns", { skip }, () => {
  assert.ok(cubeRule(20).every((v, i) => v === (i % 128 < 64 ? 272 : 0)));
});

test("Fixpipe takes a scale a column from its own buffer", { skip }, () => {
  const out = new Uint16Array(cubeRule(18, { int8: true }).buffer);
  for (let i = 0; i < 256; i++) assert.equal(f16FromBits(out[i]!), 32 * ((i % 16) + 1));
});

test("element types without an instruction do not compile, each with its reason", { skip }, () => {
  const target = simTargets["sim:ascend-910b"];
  const file = join(import.meta.dirname, "ascend", "illegal.cpp");
  const args = ["-std=gnu++20", "-fsyntax-only", "-w", ...target.flags, ...target.folders.flatMap((f) => ["-I", f]), file]; // prettier-ignore
  const { status, stderr } = spawnSync(compiler!.path, args, { encoding: "utf8" });
  assert.notEqual(status, 0);
  const lines = readFileSync(file, "utf8").split("\n");
  const calls = lines.flatMap((line, i) => (/^ {4}\w+.*;$/.test(line) ? [i + 1] : []));
  assert.equal(calls.length, 21);
  for (const line of calls) assert.match(stderr, new RegExp(`illegal.cpp:${line}:`), lines[line - 1]);
  assert.equal(stderr.match(/static assertion failed: (\w+).*(no instruction|has no product)/g)!.length, calls.length);
});

test("launches of host functions are rewritten, and run", { skip }, () => {
  assert.equal(rewriteLaunches("k<half><<<n / 2, nullptr, stream>>>(a, b);"), "::sim::Host{n / 2, nullptr, stream}.run(k<half>, a, b);"); // prettier-ignore
  const ones = Uint16Array.from({ length: 768 }, () => f16ToBits(1));
  const [x, y, z] = [load(device!, ones), load(device!, ones), load(device!, new Uint16Array(768))];
  device!.run(built[2]!, [3, 0, whole(x), whole(y), whole(z), 768, 1], { numBlocks: 0 });
  const out = new Uint16Array(768);
  device!.copyOut(z, 0, out);
  assert.ok(out.every((v) => v === f16ToBits(2)));
});

test("a kernel that asks the preprocessor or a constant for its kind of core runs as on both", { skip }, () => {
  const c = simCases.find((x) => x.name === "matmul_bias")!;
  const [cube, vector] = [/if ASCEND_IS_AIC \{\n(.*\n)\s*\}/, /if ASCEND_IS_AIV \{\n(.*\n)\s*\}/].map((r) =>
    c.source.match(r)!,
  );
  const byMacro = c.source.replace(cube![0], `#ifdef __DAV_C220_CUBE__\n${cube![1]!}#endif`).replace(vector![0], `#ifdef __DAV_C220_VEC__\n${vector![1]!}#endif`); // prettier-ignore
  const byConstant = c.source.replace("if ASCEND_IS_AIC", "if constexpr (g_coreType == AscendC::AIC)");
  assert.equal(kindOf(byMacro), "mix");
  const kernels = device!.compileKernels([byMacro, byConstant].map((s) => foreignKernel(s, c.name, c.args)));
  for (const k of kernels) assert.ok(runCase(device!, k, c, { numBlocks: 3, seed: 1 }));
});

test("950: bf16 has arithmetic, and dependent vector instructions need no barrier", { skip }, () => {
  const on950 = openDevice("sim:ascend-950") as SimDevice;
  const [kernel] = on950.compileKernels([foreignKernel(sourceOf("bf16_950"), "bf16_950", ["x", "y"], "vector")]);
  const [x, y] = [load(on950, f32ToBf16(Float32Array.from({ length: 256 }, (_, i) => i))), load(on950, new Uint16Array(256))]; // prettier-ignore
  on950.run(kernel!, [whole(x), whole(y)], { numBlocks: 1, seed: 2 });
  const out = new Uint16Array(256);
  on950.copyOut(y, 0, out);
  assert.deepEqual([...bf16ToF32(out).subarray(0, 3)], [0, 4, 8]);
});

test("fast: the same kernels, the same numbers, no checks", { skip }, () => {
  const fast = openDevice("sim:ascend-910b:fast") as SimDevice;
  const chosen = simCases.filter((c) => ["rmsnorm", "matmul_bias", "topk"].includes(c.name));
  const kernels: SimKernel[] = fast.compileKernels(chosen.map((c) => foreignKernel(c.source, c.name, c.args, c.kind)));
  for (const [i, c] of chosen.entries()) assert.ok(runCase(fast, kernels[i]!, c, { numBlocks: 20 }), c.name);
});
