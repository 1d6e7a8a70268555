/** Counts the programs of large grids and hashes what reductions and products give; started by cpu-device.test.ts. */
import { createHash } from "node:crypto";
import { openCpu } from "../../src/device/cpu/cpu-device.ts";
import { allCases } from "../../src/kernels/all-cases.ts";
import type { OpCases } from "../../src/kernels/case.ts";
import { toHost } from "../../src/kernels/nd-array.ts";
import { countKernel } from "./tiny-kernels.ts";

const device = openCpu()!;
const [count] = device.build([countKernel()]);
const wrong: string[] = [];
for (const [nx, ny, nz] of [[64, 50, 20], [4001, 1, 1], [3, 3, 300], [1, 1, 1]] as const) {
  const n = nx * ny * nz;
  const buffer = device.alloc(n * 4);
  device.copyIn(buffer, 0, new Int32Array(n));
  const TURNS = 25;
  for (let i = 0; i < TURNS; i++) device.launch(count!, [nx, ny, nz], { count: { buffer, byteOffset: 0 }, nx, ny, nz });
  const out = new Int32Array(n);
  device.copyOut(buffer, 0, out);
  if (out.some((c) => c !== TURNS)) wrong.push(`${nx}x${ny}x${nz}`);
} // prettier-ignore
const hash = createHash("sha256");
for (const { op, cases } of allCases as readonly OpCases[])
  if (["matmul", "groupedMatmul", "softmax", "sum"].includes(op))
    for (const c of cases)
      for (const array of c.run(device)) {
        const raw = toHost(array);
        hash.update(new Uint8Array(raw.buffer, raw.byteOffset, raw.byteLength));
      }
const { numThreads } = device.properties;
process.stdout.write(JSON.stringify({ numThreads, wrong, hash: hash.digest("hex") }));
