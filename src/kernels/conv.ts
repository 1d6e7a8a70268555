/**
 * 3x3 convolution, NHWC, stride 1, zero padding 1, as nine shifted dots:
 *   y[b,h,w,o] = bias[o] + sum_{dy,dx,c} x[b,h+dy-1,w+dx-1,c] * weight[o,dy,dx,c]
 * shapes   x [B,H,W,C], weight [O,3,3,C], bias f32 [O] -> [B,H,W,O]; out of bounds reads 0
 * numeric  f32 accumulate, y in the dtype of x; weight and bias gradients f32
 * The input gradient is the same kernel with the taps mirrored and the weight read the other way.
 */
import type { DType } from "../base/dtype.ts";
import { ShapeError } from "../base/errors.ts";
import type { Device } from "../device/device.ts";
import { kernel, type Tile } from "../tile/builder.ts";
import type { KernelCase, OpCases } from "./case.ts";
import { fitted } from "./fit.ts";
import { ceilDiv, run, specialize } from "./launch.ts";
import { empty, fromHost, sizeOf, type NdArray } from "./nd-array.ts";
import { sum } from "./reduce.ts";

/** Plain loops; x [B,H,W,C]. */
export function conv3x3Ref(
  x: ArrayLike<number>,
  shape: readonly [number, number, number, number],
  weight: ArrayLike<number>,
  numOut: number,
  bias?: ArrayLike<number>,
): Float32Array {
  const [b, h, w, c] = shape;
  const y = new Float32Array(b * h * w * numOut);
  for (let n = 0; n < b; n++)
    for (let r = 0; r < h; r++)
      for (let q = 0; q < w; q++)
        for (let o = 0; o < numOut; o++) {
          let acc = bias?.[o] ?? 0;
          for (let ky = 0; ky < 3; ky++)
            for (let kx = 0; kx < 3; kx++) {
              const [rr, qq] = [r + ky - 1, q + kx - 1];
              if (rr < 0 || rr >= h || qq < 0 || qq >= w) continue;
              for (let i = 0; i < c; i++)
                acc += x[((n * h + rr) * w + qq) * c + i]! * weight[((o * 3 + ky) * 3 + kx) * c + i]!;
            }
          y[((n * h + r) * w + q) * numOut + o] = acc;
        }
  return y;
}

interface ConvStatic {
  readonly dtype: DType;
  readonly width: number;
  readonly band: number;
  /** Channels summed over, and channels made. */
  readonly inner: number;
  readonly outTile: number;
  readonly hasBias: boolean;
  /** The input gradient: taps mirrored, weight [inner,3,3,out] read without a transpose. */
  readonly mirrored: boolean;
}

const convKernel = specialize((p: ConvStatic) =>
  kernel(p.mirrored ? "conv3x3_input_grad" : "conv3x3", (k) => {
    const { width: w, band, inner, outTile } = p;
    const [batch, height, out] = [k.index("batch"), k.index("height"), k.index("out")];
    const x = k.view(k.buffer("x", p.dtype), [batch, height, w, inner]);
    const y = k.view(k.buffer("y", p.dtype, "out"), [batch, height, w, out]);
    const weight = k.buffer("weight", p.dtype);
    const [o0, h0, b] = [k.programId(0).mul(outTile), k.programId(1).mul(band), k.programId(2)];
    let acc: Tile | undefined;
    for (let ky = 0; ky < 3; ky++)
      for (let kx = 0; kx < 3; kx++) {
        const [sy, sx] = p.mirrored ? [1 - ky, 1 - kx] : [ky - 1, kx - 1];
        const shifted = k.load(x, [b, h0.add(sy), sx, 0], [1, band, w, inner]).reshape([band * w, inner]);
        const tap = ky * 3 + kx;
        const view = p.mirrored
          ? k.view(weight, [inner, out], { strides: [out.mul(9), 1], offset: out.mul(tap) })
          : k.view(weight, [out, inner], { strides: [9 * inner, 1], offset: tap * inner });
        const taps = p.mirrored ? k.load(view, [0, o0], [inner, outTile]) : k.load(view, [o0, 0], [outTile, inner]);
        acc = k.dot(shifted, taps, { transB: !p.mirrored, ...(acc && { acc }) });
      }
    if (p.hasBias) acc = acc!.add(k.load(k.view(k.buffer("bias", "f32"), [1, out]), [0, o0], [1, outTile]));
    k.store(y, [b, h0, 0, o0], acc!.cast(p.dtype).reshape([1, band, w, outTile]));
  }),
);

interface GradStatic {
  readonly dtype: DType;
  readonly width: number;
  readonly band: number;
  readonly channels: number;
  readonly outTile: number;
}

/** dweight[o,tap,c] of a run of images: sum over positions of dy[.,o] * x[shifted,c]. One program per tap, o tile and part. */
const weightGradKernel = specialize((p: GradStatic) =>
  kernel("conv3x3_weight_grad", (k) => {
    const { width: w, band, channels: c, outTile } = p;
    const [batch, height, out, per, parts] = [
      k.index("batch"),
      k.index("height"),
      k.index("out"),
      k.index("per"),
      k.index("parts"),
    ];
    const x = k.view(k.buffer("x", p.dtype), [batch, height, w, c]);
    const dy = k.view(k.buffer("dy", p.dtype), [batch, height, w, out]);
    const dw = k.view(k.buffer("dw", "f32", "out"), [parts, out, 9, c]);
    const [o0, tap, part] = [k.programId(0).mul(outTile), k.programId(1), k.programId(2)];
    const [sy, sx] = [tap.div(3).sub(1), tap.mod(3).sub(1)];
    const start = part.mul(per);
    const [total] = k.loop({ start, end: start.add(per).min(batch) }, [k.full([outTile, c], 0)], (b, [outer]) =>
      k.loop({ end: height, step: band }, [outer!], (h, [acc]) => {
        const g = k.load(dy, [b, h, 0, o0], [1, band, w, outTile]).reshape([band * w, outTile]);
        const shifted = k.load(x, [b, h.add(sy), sx, 0], [1, band, w, c]).reshape([band * w, c]);
        return [k.dot(g, shifted, { transA: true, acc: acc! })];
      }),
    );
    k.store(dw, [part, o0, tap, 0], total!.reshape([1, outTile, 1, c]));
  }),
);

function check(x: NdArray, weight: NdArray): { b: number; h: number; w: number; c: number; o: number } {
  const [b, h, w, c] = x.shape as [number, number, number, number];
  const o = weight.shape[0]!;
  if (
    x.shape.length !== 4 ||
    weight.shape.length !== 4 ||
    weight.shape[1] !== 3 ||
    weight.shape[2] !== 3 ||
    weight.shape[3] !== c ||
    weight.dtype !== x.dtype
  )
    throw new ShapeError(
      `conv3x3: expected x [B,H,W,C] and ${x.dtype} weight [O,3,3,C], got [${x.shape}] and ${weight.dtype} [${weight.shape}]`,
    );
  return { b, h, w, c, o };
}

/** Rows of the picture per program: about 64 positions. */
const bandOf = (h: number, w: number): number => Math.max(1, Math.min(h, Math.floor(64 / w)));
const smallestTiles = { outTile: 16, band: 1 } as const;
const outTileOf = (o: number): number => (o <= 128 ? o : ([128, 96, 64].find((n) => o % n === 0) ?? 128));

function launch(
  device: Device,
  x: NdArray,
  weight: NdArray,
  bias: NdArray | undefined,
  out: number,
  mirrored: boolean,
): NdArray {
  const [b, h, w, inner] = x.shape as [number, number, number, number];
  const y = empty(device, [b, h, w, out], x.dtype);
  const [band, outTile] = [bandOf(h, w), outTileOf(out)];
  const start = { dtype: x.dtype, width: w, band, inner, outTile, hasBias: bias !== undefined, mirrored };
  const { program, p } = fitted(device.properties.chip, convKernel, start, smallestTiles);
  run(device, program, [ceilDiv(out, p.outTile), ceilDiv(h, p.band), b], {
    x,
    y,
    weight,
    batch: b,
    height: h,
    out,
    ...(bias && { bias }),
  });
  return y;
}

export function conv3x3(device: Device, x: NdArray, weight: NdArray, bias?: NdArray): NdArray {
  const { o } = check(x, weight);
  if (bias && (bias.dtype !== "f32" || sizeOf(bias.shape) !== o))
    throw new ShapeError(`conv3x3: expected f32 bias [${o}], got ${bias.dtype} [${bias.shape}]`);
  return launch(device, x, weight, bias, o, false);
}

export function conv3x3Backward(
  device: Device,
  dy: NdArray,
  x: NdArray,
  weight: NdArray,
): { dx: NdArray; dw: NdArray; dbias: NdArray } {
  const { b, h, w, c, o } = check(x, weight);
  const dx = launch(device, dy, weight, undefined, c, true);
  const outTile = outTileOf(o);
  const band = Math.max(1, Math.min(h, Math.floor(256 / w)));
  const per = Math.max(1, ceilDiv(b, 2));
  const parts = ceilDiv(b, per);
  const partial = empty(device, [parts, o, 9, c]);
  const start = { dtype: x.dtype, width: w, band, channels: c, outTile };
  const { program, p } = fitted(device.properties.chip, weightGradKernel, start, smallestTiles);
  const args = { x, dy, dw: partial, batch: b, height: h, out: o, per, parts };
  run(device, program, [ceilDiv(o, p.outTile), 9, parts], args);
  let dw = partial;
  if (parts > 1) {
    dw = sum(device, { ...partial, shape: [parts, o * 9 * c] }, 0);
    device.free(partial.buffer);
  }
  const dbias = sum(device, { ...dy, shape: [b * h * w, o] }, 0);
  return { dx, dw: { ...dw, shape: weight.shape }, dbias: { ...dbias, shape: [o] } };
}

const wave = (n: number, f: number): Float32Array => Float32Array.from({ length: n }, (_, i) => Math.sin(i * f + 0.2));

function caseOf(b: number, h: number, w: number, c: number, o: number): KernelCase {
  const shape = [b, h, w, c] as const;
  const [x, weight, bias, dy] = [
    wave(b * h * w * c, 0.37),
    wave(o * 9 * c, 0.73),
    wave(o, 1.3),
    wave(b * h * w * o, 0.51),
  ];
  return {
    name: `[${shape}] -> ${o}, forward and backward`,
    run: (device) => {
      const put = (a: Float32Array, s: readonly number[]): NdArray => fromHost(device, a, s, "f32");
      const [dx, dw] = [put(x, shape), put(weight, [o, 3, 3, c])];
      const back = conv3x3Backward(device, put(dy, [b, h, w, o]), dx, dw);
      return [conv3x3(device, dx, dw, put(bias, [o])), back.dx, back.dw, back.dbias];
    },
    expected: () => {
      // Gradients by the adjoint: push every product of the forward sum back to its factors.
      const [gx, gw, gb] = [new Float32Array(x.length), new Float32Array(weight.length), new Float32Array(o)];
      for (let n = 0; n < b; n++)
        for (let r = 0; r < h; r++)
          for (let q = 0; q < w; q++)
            for (let oo = 0; oo < o; oo++) {
              const g = dy[((n * h + r) * w + q) * o + oo]!;
              gb[oo]! += g;
              for (let tap = 0; tap < 9; tap++) {
                const [rr, qq] = [r + Math.floor(tap / 3) - 1, q + (tap % 3) - 1];
                if (rr < 0 || rr >= h || qq < 0 || qq >= w) continue;
                for (let i = 0; i < c; i++) {
                  const [xi, wi] = [((n * h + rr) * w + qq) * c + i, (oo * 9 + tap) * c + i];
                  gx[xi]! += g * weight[wi]!;
                  gw[wi]! += g * x[xi]!;
                }
              }
            }
      return [conv3x3Ref(x, shape, weight, o, bias), gx, gw, gb];
    },
    tolerance: {
      rtol: 1e-5,
      atol: 2e-7 * Math.max(9 * c, b * h * w),
      why: "sums of 9C or BHW products of values up to 1 in f32, any order",
    },
  };
}

const example = { dtype: "bf16", width: 8, band: 8 } as const;

export const cases: OpCases = {
  op: "conv3x3",
  cases: [caseOf(2, 5, 4, 3, 6), caseOf(3, 8, 8, 16, 24)],
  programs: (chip) => [
    fitted(chip, convKernel, { ...example, inner: 160, outTile: 64, hasBias: true, mirrored: false }, smallestTiles)
      .program,
    fitted(chip, convKernel, { ...example, inner: 160, outTile: 64, hasBias: false, mirrored: true }, smallestTiles)
      .program,
    fitted(chip, weightGradKernel, { ...example, channels: 160, outTile: 64 }, smallestTiles).program,
  ],
  training: ["conv3x3_input_grad", "conv3x3_weight_grad"],
};
