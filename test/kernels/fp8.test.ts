/** FP8 codes: they and their scales are the numbers that quantize.ts rounds to, and chips without e4m3 products refuse by name. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { f32ToBf16 } from "../../src/base/bf16.ts";
import { CompileError } from "../../src/base/errors.ts";
import { e4m3ToF32 } from "../../src/base/fp8.ts";
import { openJs } from "../../src/device/js/js-device.ts";
import { PlanningDevice } from "../../src/device/planning.ts";
import { fp8Matmul, hasFp8Products, quantizeE4m3 } from "../../src/kernels/fp8-matmul.ts";
import { empty, fromHost, toHost, type NdArray } from "../../src/kernels/nd-array.ts";
import { quantize, quantizeRef } from "../../src/kernels/quantize.ts";
import { chipNames, chips } from "../../src/tile/chips/chips.ts";

const js = openJs();
const [rows, cols] = [131, 300];
/** Blocks of very different size, one of them zeros and one below the smallest scale. */
const data = Float32Array.from({ length: rows * cols }, (_, i) => {
  const block = Math.floor(i / cols / 40) * 3 + Math.floor((i % cols) / 128);
  return block === 4 ? 0 : Math.sin(i * 0.7 + 1) * 2 ** (block * 3 - 20);
});

for (const square of [false, true])
  test(`codes times scales are the rounded numbers bit for bit, ${square ? "in squares" : "in rows"}`, () => {
    const { codes, scale } = quantizeE4m3(js, fromHost(js, data, [rows, cols], "f32"), { square });
    const [values, scales] = [e4m3ToF32(toHost(codes) as Uint8Array), toHost(scale) as Float32Array];
    const scaleAt = (r: number, b: number): number => (square ? scales[Math.floor(r / 128) * 3 + b]! : scales[b * rows + r]!);
    const got = values.map((v, i) => v * scaleAt(Math.floor(i / cols), Math.floor((i % cols) / 128)));
    assert.deepEqual(got, quantizeRef(data, cols, { format: "e4m3", block: 128, square }));
  }); // prettier-ignore

test("rounding what has been rounded changes nothing, also after bf16", () => {
  const x = fromHost(js, f32ToBf16(data), [rows, cols], "bf16");
  const once = quantize(js, x, { format: "e4m3", block: 128 });
  assert.deepEqual(toHost(quantize(js, once, { format: "e4m3", block: 128 })), toHost(once));
});

test("chips whose matrix unit takes no e4m3 refuse codes and products by name", () => {
  assert.deepEqual(chipNames.filter((name) => hasFp8Products(chips[name])), ["ascend-950"]); // prettier-ignore
  for (const name of chipNames.filter((n) => !hasFp8Products(chips[n]))) {
    const device = new PlanningDevice({ name, target: name, numThreads: 1, features: [], chip: chips[name] });
    const codes = (n: number): NdArray => empty(device, [n, cols], "e4m3");
    const scales = (...shape: number[]): NdArray => empty(device, shape);
    const refused = (kernel: string, what: string) => (e: unknown): boolean => e instanceof CompileError && e.message.includes(`kernel ${kernel} on ${name}: ${what}`); // prettier-ignore
    assert.throws(() => quantizeE4m3(device, empty(device, [4, cols], "bf16")), refused("quantize_e4m3", "cast of f32: no cast from f32 to e4m3")); // prettier-ignore
    assert.throws(() => fp8Matmul(device, { codes: codes(4), scale: scales(3, 4) }, { codes: codes(64), scale: scales(1, 3) }, "bf16"), refused("fp8_matmul", "dot of e4m3: no lowering")); // prettier-ignore
  }
});
