/**
 * Our matrix product beside oneDNN's: the same operands in the same run, in turns, as shares of the measured peak.
 * Ours is the public kernel with everything it costs: the launch, the output buffer, the packing of both operands.
 * Main function: `benchGemm`.
 */
import { DeviceError } from "../src/base/errors.ts";
import { randomBits } from "../src/base/prng.ts";
import { f32ToBf16 } from "../src/base/bf16.ts";
import { openCpu } from "../src/device/cpu/cpu-device.ts";
import { openRuntime } from "../src/device/cpu/runtime.ts";
import { matmul } from "../src/kernels/matmul.ts";
import { empty, fromHost, toHost, type NdArray } from "../src/kernels/nd-array.ts";
import { bf16ToF32 } from "../src/base/bf16.ts";
import { openOneDnn } from "./onednn.ts";
import { measurePeak, type Peak, type Rate } from "./peak.ts";
import { takeTurns, type Timing } from "./timing.ts";

export interface GemmShape {
  readonly name: string;
  readonly m: number;
  readonly n: number;
  readonly k: number;
  readonly transA: boolean;
  readonly transB: boolean;
}
/** FLOP/s; shares are of the peak by the same clock. */
export interface GemmRate {
  readonly best: number;
  readonly median: number;
  readonly ofPeak: number;
  readonly byCpu: number;
  readonly byCpuOfPeak: number;
}
export interface GemmRow extends GemmShape {
  readonly dtype: "f32" | "bf16";
  readonly ours: GemmRate;
  readonly oneDnn?: GemmRate;
  readonly oneDnnPacked?: GemmRate;
}
export interface GemmReport {
  readonly numThreads: number;
  readonly features: readonly string[];
  readonly peak: Peak;
  /** Version; absent: not installed. */
  readonly oneDnn?: string;
  readonly rows: readonly GemmRow[];
}

const square = (n: number): GemmShape => ({ name: "square", m: n, n, k: n, transA: false, transB: false });
/** Squares, then what a micro-batch of 2048 tokens meets in the shipped network: d = 192, 4375 rows of the head. */
export const gemmShapes: readonly GemmShape[] = [
  square(512),
  square(1024),
  square(2048),
  { name: "projection", m: 2048, n: 256, k: 192, transA: false, transB: true },
  { name: "its weights' gradient", m: 256, n: 192, k: 2048, transA: true, transB: false },
  { name: "head", m: 2048, n: 4375, k: 192, transA: false, transB: true },
  { name: "its input's gradient", m: 2048, n: 192, k: 4375, transA: false, transB: false },
];

const FLOP_PER_TURN = 1e9;

export function benchGemm(options: { readonly rounds: number; readonly onRow?: (row: GemmRow) => void }): GemmReport {
  const [device, runtime] = [openCpu(), openRuntime()];
  if (!device || !runtime) throw new DeviceError("bench gemm: expected a C++ compiler, found none", { backend: "cpu" });
  const { numThreads, features } = device.properties;
  const oneDnn = openOneDnn(runtime, numThreads);
  const peak = measurePeak(runtime, numThreads);

  const rowOf = (dtype: "f32" | "bf16", shape: GemmShape): GemmRow => {
    const { m, n, k, transA, transB } = shape;
    const operand = (rows: number, cols: number, seed: number): NdArray => {
      const values = Float32Array.from({ length: rows * cols }, (_, i) => randomBits(seed, i) / 2 ** 31 - 1);
      return fromHost(device, dtype === "bf16" ? f32ToBf16(values) : values, [rows, cols], dtype);
    };
    const a = transA ? operand(k, m, 1) : operand(m, k, 1);
    const b = transB ? operand(n, k, 2) : operand(k, n, 2);
    const c = empty(device, [m, n], dtype);
    const at = { a: a.buffer.handle, b: b.buffer.handle, c: c.buffer.handle };
    const plain = oneDnn?.open({ ...shape, ...at, dtype, packed: false });
    const packed = oneDnn?.open({ ...shape, ...at, dtype, packed: true });
    const ours = (): NdArray => matmul(device, a, b, { transA, transB });
    if (plain) {
      plain.run();
      const y = ours();
      expectAlike(`${dtype} ${m}x${n}x${k}`, toHost(y), toHost(c), dtype);
      device.free(y.buffer);
    }
    const timings = takeTurns(
      {
        ours: () => device.free(ours().buffer),
        ...(plain && { oneDnn: plain.run }),
        ...(packed && { oneDnnPacked: packed.run }),
      } as { ours: () => void; oneDnn?: () => void; oneDnnPacked?: () => void } & Record<string, () => void>,
      { rounds: options.rounds, repeats: Math.max(1, Math.round(FLOP_PER_TURN / (2 * m * n * k))) },
    );
    for (const product of [plain, packed]) product?.close();
    for (const { buffer } of [a, b, c]) device.free(buffer);
    const rate = (t: Timing): GemmRate => rateOf(2 * m * n * k, t, numThreads, peak[dtype]);
    return {
      ...shape,
      dtype,
      ours: rate(timings["ours"]!),
      ...(timings["oneDnn"] && { oneDnn: rate(timings["oneDnn"]) }),
      ...(timings["oneDnnPacked"] && { oneDnnPacked: rate(timings["oneDnnPacked"]) }),
    };
  };
  const rows = (["bf16", "f32"] as const).flatMap((dtype) =>
    gemmShapes.map((shape) => {
      const row = rowOf(dtype, shape);
      options.onRow?.(row);
      return row;
    }),
  );
  return { numThreads, features, peak, ...(oneDnn && { oneDnn: oneDnn.version }), rows };
}

function rateOf(flop: number, { bestMs, medianMs, cpuMs }: Timing, numThreads: number, peak: Rate): GemmRate {
  const [best, byCpu] = [flop / (bestMs / 1000), (flop * numThreads) / (cpuMs / 1000)];
  return {
    best,
    median: flop / (medianMs / 1000),
    ofPeak: best / peak.wall,
    byCpu,
    byCpuOfPeak: byCpu / peak.cpu,
  };
}

/** Both must have computed the same product, or the comparison means nothing. */
function expectAlike(name: string, x: ArrayLike<number>, y: ArrayLike<number>, dtype: "f32" | "bf16"): void {
  const wide = (v: ArrayLike<number>): ArrayLike<number> => (dtype === "bf16" ? bf16ToF32(v as Uint16Array) : v);
  const [p, q] = [wide(x), wide(y)];
  let [difference, size] = [0, 0];
  for (let i = 0; i < p.length; i++) {
    difference += (p[i]! - q[i]!) ** 2;
    size += q[i]! ** 2;
  }
  if (!(difference <= size * 1e-4))
    throw new DeviceError(`bench gemm: ${name}: expected our product and oneDNN's alike, got an RMS difference of ${Math.sqrt(difference / size)}`, { backend: "cpu" }); // prettier-ignore
}
