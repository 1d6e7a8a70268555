/** The cpu device itself: thread pool, capture and replay, memory past what JavaScript can view. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { test } from "node:test";
import { CompileError, TesseraError } from "../../src/base/errors.ts";
import { CpuDevice, openCpu } from "../../src/device/cpu/cpu-device.ts";
import { openRuntime } from "../../src/device/cpu/runtime.ts";
import type { DeviceBuffer } from "../../src/device/device.ts";
import { countKernel, scaleKernel } from "./tiny-kernels.ts";

const cpu = openCpu();
const skip = cpu ? false : "no C++ compiler";
const whole = (buffer: DeviceBuffer): { buffer: DeviceBuffer; byteOffset: number } => ({ buffer, byteOffset: 0 });
const ramp = (n: number): Float32Array => Float32Array.from({ length: n }, (_, i) => i);

function runThreads(numThreads: number): Promise<{ numThreads: number; wrong: string[]; hash: string }> {
  const child = spawn(process.execPath, ["--import", "tsx", "test/device/threads-child.ts"], { env: { ...process.env, TESSERA_THREADS: String(numThreads) }, stdio: ["ignore", "pipe", "inherit"] }); // prettier-ignore
  let out = "";
  child.stdout.on("data", (text) => (out += text));
  return new Promise((resolve) => child.on("close", () => resolve(JSON.parse(out))));
}

test("pool: 1, 2 and 5 threads run every program exactly once and give the same bits", { skip }, async () => {
  const hashes = new Set<string>();
  for (const n of [1, 2, 5]) {
    const { numThreads, wrong, hash } = await runThreads(n);
    assert.equal(numThreads, n);
    assert.deepEqual(wrong, [], `${n} threads: grids with a program missed or run twice`);
    hashes.add(hash);
  }
  assert.equal(hashes.size, 1);
});

test("pool: a program that is refused and a source that does not compile leave it usable", { skip }, () => {
  const device = cpu!;
  const good = countKernel();
  assert.throws(() => device.build([{ ...good, body: [...good.body, ...good.body] }]), TesseraError);
  const { toolchain, isaFlags } = openRuntime()!;
  const broken = { name: "broken", source: 'extern "C" void ts_kernel() { return 1 }\n' };
  assert.throws(() => toolchain.kernels([broken], isaFlags, 2), (e) => e instanceof CompileError && /broken.*failed/.test(e.message)); // prettier-ignore
  const [count] = device.build([good]);
  const buffer = device.alloc(4000 * 4);
  device.copyIn(buffer, 0, new Int32Array(4000));
  device.launch(count!, [4000, 1, 1], { count: whole(buffer), nx: 4000, ny: 1, nz: 1 });
  const out = new Int32Array(4000);
  device.copyOut(buffer, 0, out);
  assert.ok(out.every((c) => c === 1));
});

test("build: many programs at once, one of them twice", { skip }, () => {
  const device = cpu!;
  const factors = [2, 4, 8, 16, 2];
  const built = device.build(factors.map((f) => scaleKernel(f)));
  const [x, y] = [device.alloc(64), device.alloc(64)];
  device.copyIn(x, 0, ramp(16));
  built.forEach((executable, i) => {
    device.launch(executable, [1], { x: whole(x), y: whole(y), n: 16 });
    const out = new Float32Array(16);
    device.copyOut(y, 0, out);
    assert.deepEqual([...out], [...ramp(16)].map((v) => v * factors[i]!)); // prettier-ignore
  });
});

test("capture: launches and copies run while recorded, and again in order when replayed", { skip }, () => {
  const device = cpu!;
  const [twice] = device.build([scaleKernel(2)]);
  const [x, y] = [device.alloc(64), device.alloc(64)];
  const first = (): number => {
    const out = new Float32Array(16);
    device.copyOut(x, 0, out);
    return out[1]!;
  };
  device.copyIn(x, 0, ramp(16));
  const graph = device.capture(() => {
    device.launch(twice!, [1], { x: whole(x), y: whole(y), n: 16 });
    device.copyWithin(x, 0, y, 0, 64);
  });
  assert.equal(graph.numLaunches, 2);
  assert.equal(first(), 2);
  device.replay(graph);
  device.replay(graph);
  assert.equal(first(), 8);
  graph.dispose();
});

test("memory past the view limit: no bytes, copies in windows, kernels by address", { skip }, () => {
  const LIMIT = 1000; // Not a multiple of an element, as 2^32 - 1 is not.
  const device = new CpuDevice(openRuntime()!, 1, LIMIT);
  const n = 1024;
  const [x, y, small] = [device.alloc(n * 4), device.alloc(n * 4), device.alloc(LIMIT)];
  assert.equal(x.bytes, undefined);
  assert.equal(small.bytes!.length, LIMIT);
  device.copyIn(x, 0, ramp(n));
  const [twice] = device.build([scaleKernel(2)]);
  device.launch(twice!, [n / 16], { x: whole(x), y: whole(y), n });
  const out = new Float32Array(n);
  device.copyOut(y, 0, out);
  assert.deepEqual([...out], [...ramp(n)].map((v) => v * 2)); // prettier-ignore
  const part = new Float32Array(700);
  device.copyOut(y, 4 * 300, part);
  assert.deepEqual([...part], [...out.subarray(300, 1000)]);
  device.copyWithin(x, 4, y, 0, n * 4 - 4);
  device.copyOut(x, 0, out);
  assert.equal(out[n - 1], 2 * (n - 2));
  assert.throws(() => device.copyOut(y, 4, out), /expected bytes within 4096/);
});
