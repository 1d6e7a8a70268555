/**
 * The drivers of the real chips against mock vendors (mock/build.ts), which run kernels on the simulators with every rule
 * checked and refuse wrong addresses, freed memory, wrong kinds and handles. Skipped by name without a C++ compiler.
 */
import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import koffi from "koffi";
import { CapacityError, CompileError, DeviceError } from "../../src/base/errors.ts";
import { AscendDevice, ascendLibrary } from "../../src/device/ascend/ascend-device.ts";
import { socOf } from "../../src/device/ascend/soc.ts";
import { openCpu } from "../../src/device/cpu/cpu-device.ts";
import type { Device, DeviceBuffer } from "../../src/device/device.ts";
import type { ChipDevice } from "../../src/device/driver/chip-device.ts";
import { parametersOf } from "../../src/device/driver/kernel-binaries.ts";
import { checker } from "../../src/device/driver/status.ts";
import { openDevice } from "../../src/device/open.ts";
import { kernel } from "../../src/tile/builder.ts";
import { mockVendors } from "./mock/build.ts";
import { product, scaleKernel } from "./tiny-kernels.ts";

const skip = openCpu() ? false : "no C++ compiler";
const cache = mkdtempSync(join(tmpdir(), "tessera-drivers-"));
const mocks = skip ? undefined : mockVendors({ ascend: "sim:ascend-910b", mlu: "sim:mlu-370" }, false);
// The simulators are not part of a kernel's key, so what an earlier one compiled must not be found.
process.env["TESSERA_CACHE_DIR"] = cache;
after(() => {
  mocks?.dispose();
  rmSync(cache, { recursive: true, force: true });
});
const use = (folder: string, bin = ""): void => {
  process.env["TESSERA_CHIP_LIBRARIES"] = folder;
  process.env["PATH"] = bin === "" ? path : `${bin}:${path}`;
};
const path = process.env["PATH"] ?? "";
const names = ["ascend", "mlu"] as const;

const scale = scaleKernel(3);
/** Casts on the vector core, a product on the cube core, the rest on the vector core: a workspace on Ascend. */
const mixed = kernel("mixed", (k) => {
  const a = k.load(k.view(k.buffer("a", "f32"), [16, 32]), [0, 0], [16, 32]).cast("f16");
  const b = k.load(k.view(k.buffer("b", "f32"), [16, 32]), [0, 0], [16, 32]).cast("f16");
  k.store(k.view(k.buffer("y", "f32", "out"), [16, 16]), [0, 0], k.dot(a, b, { transB: true }).mul(k.scalar("s")));
});

const bufferOf = (device: Device, values: Float32Array): DeviceBuffer => {
  const buffer = device.alloc(values.byteLength);
  device.copyIn(buffer, 0, values);
  return buffer;
};
const read = (device: Device, buffer: DeviceBuffer, count: number): number[] => {
  const out = new Float32Array(count);
  device.copyOut(buffer, 0, out);
  return [...out];
};
const at = (buffer: DeviceBuffer) => ({ buffer, byteOffset: 0 });
const whole = (count: number): Float32Array => Float32Array.from({ length: count }, (_, i) => (i % 7) - 3);

/** Several row tiles, so that an MLU launches it as teams of a cluster. */
function runsTeams(device: Device): void {
  const [m, n, k] = [36, 100, 40];
  const [a, b] = [whole(m * k), whole(n * k).reverse()];
  const [x, w, y] = [bufferOf(device, a), bufferOf(device, b), device.alloc(m * n * 4)];
  device.launch(device.build([product])[0]!, [2, 5, 1], { m, n, k, a: at(x), b: at(w), y: at(y) });
  const dot = (i: number, j: number): number => Array.from({ length: k }, (_, c) => a[i * k + c]! * b[j * k + c]!).reduce((s, v) => s + v); // prettier-ignore
  assert.deepEqual(read(device, y, m * n), Array.from({ length: m * n }, (_, at) => dot(Math.floor(at / n), at % n))); // prettier-ignore
  for (const buffer of [x, w, y]) device.free(buffer);
}

/** Both kernels with their arguments checked, in order with copies. */
function runs(device: Device): void {
  const [e, m] = [device.build([scale])[0]!, device.build([mixed])[0]!];
  const [a, b] = [whole(512), whole(512).reverse()];
  const [x, y, w, z] = [bufferOf(device, a), bufferOf(device, new Float32Array(512)), bufferOf(device, b), device.alloc(1024)]; // prettier-ignore
  assert.equal(x.bytes, undefined);
  device.launch(e, [32], { n: 500, x: at(x), y: at(y) });
  assert.deepEqual(read(device, y, 512), [...a.slice(0, 500).map((v) => 3 * v), ...new Float32Array(12)]);
  device.launch(m, [1], { a: at(x), b: at(w), y: at(z), s: 0.5 });
  const want = Array.from({ length: 256 }, (_, i) => {
    let sum = 0;
    for (let k = 0; k < 32; k++) sum += a[(i >> 4) * 32 + k]! * b[(i & 15) * 32 + k]!;
    return sum / 2;
  });
  assert.deepEqual(read(device, z, 256), want);
  for (const buffer of [x, y, w, z]) device.free(buffer);
}

for (const name of names)
  test(`${name}: without its libraries, the error says what to install`, { skip }, () => {
    use(mocks!.empty);
    assert.throws(() => openDevice(name), (e: unknown) => e instanceof DeviceError && /expected lib\w+\.so, found none: install .*TESSERA_CHIP_LIBRARIES/.test(e.message)); // prettier-ignore
  });

for (const name of names)
  test(`${name}: with libraries but no compiler, the error says what to install`, { skip }, () => {
    use(mocks!.withoutRtc);
    assert.throws(() => openDevice(name), (e: unknown) => e instanceof DeviceError && /expected lib\w+rtc?\.so or \w+, found neither: install/.test(e.message)); // prettier-ignore
  });

for (const name of names) {
  test(`${name}: kernels of one core and of both, in order with copies`, { skip }, () => {
    use(mocks!.libraries);
    const device = openDevice(`${name}:0`);
    assert.deepEqual([device.properties.name, device.properties.chip?.name], [`${name}:0`, name === "mlu" ? "mlu-370" : "ascend-910b"]); // prettier-ignore
    runs(device);
    runsTeams(device);
    device.dispose();
  });

  test(`${name}: a second device finds its kernels in the cache`, { skip }, () => {
    use(mocks!.libraries);
    const files = (): string[] => readdirSync(join(cache, "kernels")).toSorted().map((f) => `${f} ${statSync(join(cache, "kernels", f)).mtimeMs}`); // prettier-ignore
    const before = files();
    assert.ok(before.some((f) => f.includes(".bin ")));
    // A compiler that cannot compile: only the cache can answer.
    const compiler = process.env["TESSERA_MOCK_COMPILER"];
    process.env["TESSERA_MOCK_COMPILER"] = "false";
    try {
      const device = openDevice(name);
      runs(device);
      device.dispose();
    } finally {
      process.env["TESSERA_MOCK_COMPILER"] = compiler;
    }
    assert.deepEqual(files(), before);
  });

  test(`${name}: captured launches replay; a copy onto itself is whole`, { skip }, () => {
    use(mocks!.libraries);
    const device = openDevice(name);
    const [e] = device.build([scale]);
    const [x, y] = [bufferOf(device, whole(64)), device.alloc(256)];
    const graph = device.capture(() => {
      device.launch(e!, [4], { n: 64, x: at(x), y: at(y) });
      device.copyWithin(x, 0, y, 0, 256);
    });
    device.replay(graph);
    assert.deepEqual([graph.numLaunches, read(device, x, 64)], [2, Array.from(whole(64), (v) => 9 * v)]);
    device.copyWithin(x, 4, x, 0, 252);
    const nine = Array.from(whole(64), (v) => 9 * v);
    assert.deepEqual(read(device, x, 64), [nine[0], ...nine.slice(0, 63)]);
    device.dispose();
  });

  test(`${name}: the offline compiler takes over, with a launcher for every kernel`, { skip }, () => {
    use(mocks!.withoutRtc, mocks!.bin);
    const device = openDevice(name);
    runs(device);
    device.dispose();
  });

  test(`${name}: what the library refuses is an error with the vendor's name`, { skip }, () => {
    use(mocks!.libraries);
    assert.throws(() => openDevice(`${name}:5`), (e: unknown) => e instanceof DeviceError && /expected a device below 1/.test(e.message)); // prettier-ignore
    const device = openDevice(name);
    assert.throws(() => device.alloc(2 ** 31), CapacityError);
    assert.throws(() => device.copyIn(device.alloc(8), 4, new Float32Array(2)), /expected bytes within 8, got 4 \+ 8/);
    const x = device.alloc(256);
    // A pointer that is no device memory: the error comes with the wait.
    device.launch(device.build([scale])[0]!, [4], { n: 64, x: { buffer: x, byteOffset: -(2 ** 40) }, y: at(x) });
    assert.throws(
      () => device.synchronize(),
      (e: unknown) => {
        assert.ok(e instanceof DeviceError);
        assert.deepEqual([e.backend, e.status?.value], name === "mlu" ? ["mlu", 100131] : ["ascend", 507015]);
        assert.match(e.message, name === "mlu" ? /got CN_INVOKE_ERROR_MEMORY_ILLEGAL_ADDRESS \(100131\): argument 1: .* no device memory/ : /ACL_ERROR_RT_AICORE_EXCEPTION \(507015\): argument 1: .* no device memory/); // prettier-ignore
        return true;
      },
    );
    assert.throws(() => (device as ChipDevice).buildSources([{ name: "bad", source: name === "mlu" ? '#include <bang.h>\nextern "C" __mlu_global__ void ts_kernel(float* x) { nonsense; }\n' : '#include "kernel_operator.h"\nextern "C" __global__ __aicore__ void ts_kernel(GM_ADDR x) { nonsense; }\n', kind: name === "mlu" ? "block" : "vector" }]), (e: unknown) => e instanceof CompileError && /bad: .*failed\n[^]*nonsense/.test(e.message)); // prettier-ignore
    device.dispose();
  });
}

test("ascend: older releases get their arguments in host memory, or in device memory", { skip }, () => {
  use(mocks!.libraries);
  const library = ascendLibrary();
  for (const absent of [
    ["aclrtLaunchKernelWithArgsArray"],
    ["aclrtLaunchKernelWithArgsArray", "aclrtLaunchKernelWithHostArgs"],
  ]) {
    // prettier-ignore
    const acl = { ...library.acl, ...Object.fromEntries(absent.map((name) => [name, undefined])) };
    library.check("aclrtSetDevice", acl.aclrtSetDevice(0));
    const device = new AscendDevice("ascend:0", { ...library, acl }, 0, socOf("Ascend910B3"));
    runs(device);
    device.dispose();
  }
});

test("nothing is left behind", { skip }, () => {
  use(mocks!.libraries);
  for (const name of names) {
    const device = openDevice(name);
    runs(device);
    device.dispose();
  }
  const count = (file: string, name: string): number => (koffi.load(join(mocks!.libraries, file)).func(`int ${name}()`) as () => number)(); // prettier-ignore
  // What other tests left when their kernels failed would show here too.
  assert.equal(count("libcndrv.so", "tesseraMockLeft"), 0);
  assert.deepEqual(
    [count("libacl_rtc.so", "tesseraMockPrograms"), count("libcnrtc.so", "tesseraMockPrograms")],
    [0, 0],
  );
  const { acl, check } = ascendLibrary();
  check("aclFinalize", acl.aclFinalize());
  assert.throws(() => check("aclrtSetDevice", acl.aclrtSetDevice(0)), /expected ACL_SUCCESS, got ACL_ERROR_UNINITIALIZE \(100001\): aclInit was not called/); // prettier-ignore
});

test("a code without a public name says so with its number", () => {
  const check = checker({ backend: "x", success: "OK", names: { 1: "ONE" } });
  check("f", 0);
  assert.throws(() => check("f", 1), /^DeviceError: f: expected OK, got ONE \(1\)$/);
  assert.throws(() => check("f", 77), (e: unknown) => e instanceof DeviceError && e.status?.value === 77 && e.status.name === undefined && /got 77, a code without a public name/.test(e.message)); // prettier-ignore
});

test("which chip a device is shows in its name", () => {
  for (const [name, chip, arch, cores] of [
    ["Ascend910B1", "ascend-910b", "dav-2201", 24],
    ["Ascend910B4-1", "ascend-910b", "dav-2201", 20],
    ["Ascend910_9382", "ascend-910c", "dav-2201", 24],
    ["Ascend910_9362", "ascend-910c", "dav-2201", 20],
    ["Ascend950PR_9599", "ascend-950", "dav-3510", 36],
    ["Ascend950PR_9579", "ascend-950", "dav-3510", 28],
  ] as const) {
    const soc = socOf(name);
    assert.deepEqual([soc.chip, soc.npuArch, soc.cores], [chip, arch, { matrix: cores, vector: 2 * cores }], name);
  }
  assert.throws(() => socOf("Ascend310P3"), /got "Ascend310P3"/);
});

test("parameters are read from a kernel's text", () => {
  assert.deepEqual(parametersOf("k", 'extern "C" __global__ void k(GM_ADDR x, uint16_t* y, int64_t n, float s) {'), [
    { type: "GM_ADDR", name: "x" },
    { type: "uint16_t*", name: "y" },
    { type: "int64_t", name: "n" },
    { type: "float", name: "s" },
  ]);
});
