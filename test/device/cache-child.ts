/** Builds a few kernels with the cache of TESSERA_CACHE_DIR and prints what the first gives; started by cache.test.ts. */
import { openCpu } from "../../src/device/cpu/cpu-device.ts";
import { scaleKernel } from "./tiny-kernels.ts";

const device = openCpu()!;
const programs = [3, 5, 7].map((factor) => scaleKernel(factor));
await device.prepare("child", () => programs, () => {}); // prettier-ignore
const [x, y] = [device.alloc(64), device.alloc(64)];
device.copyIn(
  x,
  0,
  Float32Array.from({ length: 16 }, (_, i) => i),
);
const results = device.build(programs).map((executable) => {
  device.launch(executable, [1], { x: { buffer: x, byteOffset: 0 }, y: { buffer: y, byteOffset: 0 }, n: 16 });
  const out = new Float32Array(16);
  device.copyOut(y, 0, out);
  return out[2];
});
process.stdout.write(JSON.stringify(results));
