/**
 * Cross-entropy with the z-loss of PaLM: loss = lse - logit[target] + zLoss * lse^2, lse = log sum exp.
 *   dlogits = ((1 + 2 zLoss lse) softmax - onehot(target)) * scale[row]
 * shapes   logits [R,V], targets i32 [R] -> loss, lse f32 [R]; a row whose target is ignoreIndex gives 0
 * source   arXiv:2204.02311 section 5 (z-loss); twin crossEntropyRef
 */
import type { DType } from "../base/dtype.ts";
import { ShapeError } from "../base/errors.ts";
import type { Device } from "../device/device.ts";
import { kernel, type Index, type KernelBuilder, type Tile } from "../tile/builder.ts";
import type { OpCases } from "./case.ts";
import { fitted } from "./fit.ts";
import { ceilDiv, run, specialize } from "./launch.ts";
import { empty, fromHost, sizeOf, type NdArray } from "./nd-array.ts";

export interface CrossEntropyParams {
  readonly ignoreIndex: number;
  readonly zLoss: number;
}

export function crossEntropyRef(
  logits: ArrayLike<number>,
  targets: ArrayLike<number>,
  vocab: number,
  p: CrossEntropyParams,
): { loss: Float32Array; lse: Float32Array } {
  const rows = targets.length;
  const [loss, lse] = [new Float32Array(rows), new Float32Array(rows)];
  for (let r = 0; r < rows; r++) {
    let max = -Infinity;
    for (let v = 0; v < vocab; v++) max = Math.max(max, logits[r * vocab + v]!);
    let total = 0;
    for (let v = 0; v < vocab; v++) total += Math.exp(logits[r * vocab + v]! - max);
    lse[r] = max + Math.log(total);
    loss[r] = targets[r] === p.ignoreIndex ? 0 : lse[r]! - logits[r * vocab + targets[r]!]! + p.zLoss * lse[r]! ** 2;
  }
  return { loss, lse };
}

const ROWS = 4;

interface CrossEntropyStatic {
  readonly dtype: DType;
  readonly tile: number;
}

const isTarget = (k: KernelBuilder, targets: Tile, c: Index, tile: number): Tile =>
  k.iota([1, tile], 1).add(k.fromIndex(c)).eq(targets);

const forwardKernel = specialize(({ dtype, tile }: CrossEntropyStatic) =>
  kernel("cross_entropy", (k) => {
    const [rows, vocab, ignore] = [k.index("rows"), k.index("vocab"), k.index("ignore")];
    const x = k.view(k.buffer("logits", dtype), [rows, vocab]);
    const column = (name: string, mode: "in" | "out", type: DType): ReturnType<typeof k.view> =>
      k.view(k.buffer(name, type, mode), [rows, 1]);
    const [ids, lossOut, lseOut] = [
      column("targets", "in", "i32"),
      column("loss", "out", "f32"),
      column("lse", "out", "f32"),
    ];
    const z = k.scalar("zLoss");
    const r0 = k.programId(0).mul(ROWS);
    const targets = k.load(ids, [r0, 0], [ROWS, 1]);
    const start = [k.full([ROWS, 1], -1e30), k.full([ROWS, 1], 0), k.full([ROWS, 1], 0)];
    const [max, total, picked] = k.loop({ end: vocab, step: tile }, start, (c, [m, s, p]) => {
      const t = k.load(x, [r0, c], [ROWS, tile], { other: -Infinity }).cast("f32");
      const top = m!.max(t.maxOver(1));
      const next = s!.mul(m!.sub(top).exp()).add(t.sub(top).exp().sum(1));
      const hit = k.select(isTarget(k, targets, c, tile), t, k.full([ROWS, tile], 0));
      return [top, next, p!.add(hit.sum(1))];
    });
    const lse = max!.add(total!.log());
    const loss = lse.sub(picked!).add(lse.mul(lse).mul(z));
    k.store(lseOut, [r0, 0], lse);
    k.store(lossOut, [r0, 0], k.select(targets.eq(k.fromIndex(ignore)), k.full([ROWS, 1], 0), loss));
  }),
);

const backwardKernel = specialize(({ dtype, tile }: CrossEntropyStatic) =>
  kernel("cross_entropy_backward", (k) => {
    const [rows, vocab, ignore] = [k.index("rows"), k.index("vocab"), k.index("ignore")];
    const x = k.view(k.buffer("logits", dtype), [rows, vocab]);
    const dx = k.view(k.buffer("dLogits", dtype, "out"), [rows, vocab]);
    const column = (name: string, type: DType): Tile =>
      k.load(k.view(k.buffer(name, type), [rows, 1]), [k.programId(1).mul(ROWS), 0], [ROWS, 1]);
    const [targets, lse, rowScale] = [column("targets", "i32"), column("lse", "f32"), column("scale", "f32")];
    const z = k.scalar("zLoss");
    const at = [k.programId(1).mul(ROWS), k.programId(0).mul(tile)] as const;
    const scale = k.select(targets.eq(k.fromIndex(ignore)), k.full([ROWS, 1], 0), rowScale);
    const t = k.load(x, at, [ROWS, tile]).cast("f32");
    const p = t.sub(lse).exp().mul(lse.mul(z).mul(2).add(1));
    const hot = isTarget(k, targets, at[1], tile).cast("f32");
    k.store(dx, at, p.sub(hot).mul(scale).cast(dtype));
  }),
);

const tileOf = (vocab: number): number =>
  vocab <= 1024 ? vocab : ([1024, 512, 256, 128, 64].find((w) => vocab % w === 0) ?? 1024);

const smallestTile = { tile: 64 } as const;

function check(op: string, logits: NdArray, targets: NdArray): [number, number] {
  const [rows, vocab] = logits.shape as [number, number];
  if (logits.shape.length !== 2 || targets.dtype !== "i32" || sizeOf(targets.shape) !== rows)
    throw new ShapeError(
      `${op}: expected logits [R,V] and i32 targets [R], got [${logits.shape}] and ${targets.dtype} [${targets.shape}]`,
    );
  return [rows, vocab];
}

export function crossEntropy(
  device: Device,
  logits: NdArray,
  targets: NdArray,
  { ignoreIndex, zLoss }: CrossEntropyParams,
): { loss: NdArray; lse: NdArray } {
  const [rows, vocab] = check("crossEntropy", logits, targets);
  const [loss, lse] = [empty(device, [rows]), empty(device, [rows])];
  const start = { dtype: logits.dtype, tile: tileOf(vocab) };
  const { program } = fitted(device.properties.chip, forwardKernel, start, smallestTile);
  run(device, program, [ceilDiv(rows, ROWS), 1, 1], {
    logits,
    targets,
    loss,
    lse,
    rows,
    vocab,
    ignore: ignoreIndex,
    zLoss,
  });
  return { loss, lse };
}

/** scale f32 [R] is d loss of each row. */
export function crossEntropyBackward(
  device: Device,
  logits: NdArray,
  targets: NdArray,
  lse: NdArray,
  scale: NdArray,
  { ignoreIndex, zLoss }: CrossEntropyParams,
): NdArray {
  const [rows, vocab] = check("crossEntropyBackward", logits, targets);
  const start = { dtype: logits.dtype, tile: tileOf(vocab) };
  const { program, p } = fitted(device.properties.chip, backwardKernel, start, smallestTile);
  const dLogits = empty(device, logits.shape, logits.dtype);
  run(device, program, [ceilDiv(vocab, p.tile), ceilDiv(rows, ROWS), 1], {
    logits,
    targets,
    lse,
    scale,
    dLogits,
    rows,
    vocab,
    ignore: ignoreIndex,
    zLoss,
  });
  return dLogits;
}

const wave = (n: number, f: number, scale: number): Float32Array =>
  Float32Array.from({ length: n }, (_, i) => Math.sin(i * f) * scale);

function caseOf(rows: number, vocab: number): OpCases["cases"][number] {
  const logits = wave(rows * vocab, 0.83, 5);
  const targets = Int32Array.from({ length: rows }, (_, r) => (r === 1 ? -100 : (r * 31) % vocab));
  const scale = wave(rows, 0.4, 1);
  const p = { ignoreIndex: -100, zLoss: 1e-3 };
  return {
    name: `${rows}x${vocab}`,
    run: (device) => {
      const x = fromHost(device, logits, [rows, vocab], "f32");
      const ids = fromHost(device, targets, [rows], "i32");
      const { loss, lse } = crossEntropy(device, x, ids, p);
      return [loss, lse, crossEntropyBackward(device, x, ids, lse, fromHost(device, scale, [rows], "f32"), p)];
    },
    expected: () => {
      const { loss, lse } = crossEntropyRef(logits, targets, vocab, p);
      const d = Float32Array.from(logits, (x, i) => {
        const r = Math.floor(i / vocab);
        if (targets[r] === -100) return 0;
        return (Math.exp(x - lse[r]!) * (1 + 2 * p.zLoss * lse[r]!) - (targets[r] === i % vocab ? 1 : 0)) * scale[r]!;
      });
      return [loss, lse, d];
    },
    tolerance: { rtol: 1e-5, atol: 5e-6, why: "exp and log to 2 ulp at logits up to 5, sums of V positive terms" },
  };
}

export const cases: OpCases = {
  op: "crossEntropy",
  cases: [caseOf(5, 37), caseOf(9, 2048), caseOf(3, 1500)],
  programs: (chip) => [
    fitted(chip, forwardKernel, { dtype: "f32", tile: 1024 }, smallestTile).program,
    fitted(chip, backwardKernel, { dtype: "bf16", tile: 1024 }, smallestTile).program,
  ],
  training: ["cross_entropy", "cross_entropy_backward"],
};
