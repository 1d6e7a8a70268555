/**
 * Elementwise kernels from an expression: y = f(x1, x2, ...) with numpy broadcasting.
 *   map(device, "scaleAdd", [x, y], ["f32"], (k, a, b) => [a.mul(2).add(b)])
 * The body sees float inputs as f32 tiles, integer inputs as they are, and a plain number, which is an argument of the
 * launch, as an f32 tile of shape []; outputs are cast to their dtypes. Axes that broadcast alike are merged, so most calls become one 2-d walk. `stridedMap` is the
 * same walk over explicitly strided inputs; layout.ts uses it to copy.
 */
import { isFloat, type DType } from "../base/dtype.ts";
import { ShapeError } from "../base/errors.ts";
import type { BufferArg, Device, LaunchArg } from "../device/device.ts";
import { kernel, broadcastShapes, type Index, type KernelBuilder, type Tile } from "../tile/builder.ts";
import type { Chip } from "../tile/chips/types.ts";
import type { TileProgram } from "../tile/ir.ts";
import type { KernelCase, OpCases } from "./case.ts";
import { fitted, type Fitted } from "./fit.ts";
import { ceilDiv, run } from "./launch.ts";
import { empty, fromHost, sizeOf, type NdArray } from "./nd-array.ts";

export type MapBody = (k: KernelBuilder, ...tiles: Tile[]) => Tile[];

/** One input of a strided walk: element strides per axis of the output shape (0 repeats). */
export interface StridedInput extends BufferArg {
  readonly dtype: DType;
  readonly strides: readonly number[];
  /** In elements, on top of byteOffset. */
  readonly offset: number;
}

interface Walk {
  readonly shape: number[];
  /** Per input, in elements. */
  readonly strides: number[][];
}

/** Drops axes of size 1 and merges neighbours that every input walks as one. */
export function mergeAxes(shape: readonly number[], inputs: readonly Pick<StridedInput, "strides">[]): Walk {
  const dims: number[] = [];
  const strides: number[][] = inputs.map(() => []);
  for (let i = 0; i < shape.length; i++) {
    const n = shape[i]!;
    if (n === 1) continue;
    const last = dims.length - 1;
    const merges = last >= 0 && inputs.every((x, j) => strides[j]![last] === x.strides[i]! * n);
    if (merges) {
      dims[last]! *= n;
      inputs.forEach((x, j) => (strides[j]![last] = x.strides[i]!));
    } else {
      dims.push(n);
      inputs.forEach((x, j) => strides[j]!.push(x.strides[i]!));
    }
  }
  return { shape: dims, strides };
}

/** The merged walk as [outer1, outer2, rows, cols]. */
function walkOf(shape: readonly number[], inputs: readonly Pick<StridedInput, "strides">[]): Walk {
  const { shape: dims, strides } = mergeAxes(shape, inputs);
  if (dims.length === 0) {
    dims.push(1);
    for (const s of strides) s.push(0);
  }
  if (dims.length > 4) throw new ShapeError(`map: expected at most 4 axes after merging, got [${shape}]`);
  while (dims.length < 4) {
    dims.unshift(1);
    for (const s of strides) s.unshift(0);
  }
  return { shape: dims, strides };
}

/**
 * Widths and heights of tiles. Few, because each makes a kernel: arrays that grow with the sequence must not compile
 * one per length. Widths of networks are among them or divide by a large one; others get a padded last tile, and so
 * does a flat walk (one row), whose length is anything.
 */
const columnTiles = [1024, 768, 512, 384, 256, 192, 160, 128, 96, 64, 48, 32, 16];
const rowTiles = [64, 8];
const TILE_ELEMENTS = 8192;
const flatTiles = [16, 64, 192, 384, 768, 1024];
const FLAT_TILE = 4096;

/** The widest tile that divides `cols` without cutting it into slivers. */
function exactTile(cols: number): number | undefined {
  const width = columnTiles.find((w) => cols % w === 0);
  return width !== undefined && (width >= 128 || width * 4 >= cols) ? width : undefined;
}
export function columnTile(cols: number): number {
  if (cols <= 16) return cols;
  return exactTile(cols) ?? columnTiles.findLast((w) => w >= cols) ?? columnTiles[0]!;
}
const flatTile = (n: number): number => (n >= 4 * FLAT_TILE ? FLAT_TILE : (flatTiles.find((w) => w >= n) ?? 1024));
const rowTile = (rows: number, cols: number): number =>
  rowTiles.find((r) => r <= rows && r * cols <= TILE_ELEMENTS) ?? 1;

type MapInput = "number" | ArrayInput;
interface ArrayInput {
  readonly dtype: DType;
  /** Does it repeat along the rows of a tile? */
  readonly rows: "each" | "same";
  /** Does it repeat along columns, else unit or general stride? */
  readonly cols: "unit" | "same" | "strided";
}
export interface MapStatic {
  readonly tileRows: number;
  readonly tileCols: number;
  readonly inputs: readonly MapInput[];
  readonly outputs: readonly DType[];
}

function buildMap(name: string, p: MapStatic, body: MapBody): TileProgram {
  return kernel(name, (k) => {
    const size = ["s1", "s2", "s3"].map((n) => k.index(n)) as [Index, Index, Index];
    const [o2, rows, cols] = size;
    const z = k.programId(2);
    const [z1, z2] = [z.div(o2), z.mod(o2)];
    const at = [k.programId(1).mul(p.tileRows), k.programId(0).mul(p.tileCols)];
    const tiles = p.inputs.map((x, i) => {
      if (x === "number") return k.scalar(`x${i}`);
      const buffer = k.buffer(`x${i}`, x.dtype);
      const stride = (d: number): Index => k.index(`x${i}s${d}`);
      const offset = k
        .index(`x${i}at`)
        .add(z1.mul(stride(0)))
        .add(z2.mul(stride(1)));
      const rowStride = x.rows === "each" ? stride(2) : 0;
      const colStride = x.cols === "strided" ? stride(3) : x.cols === "unit" ? 1 : 0;
      const isRow = x.rows === "each";
      const isCol = x.cols !== "same";
      const view = k.view(buffer, [isRow ? rows : 1, isCol ? cols : 1], { strides: [rowStride, colStride], offset });
      const tile = k.load(
        view,
        [isRow ? at[0]! : 0, isCol ? at[1]! : 0],
        [isRow ? p.tileRows : 1, isCol ? p.tileCols : 1],
      );
      return isFloat(x.dtype) ? tile.cast("f32") : tile;
    });
    const results = body(k, ...tiles);
    p.outputs.forEach((dtype, i) => {
      const view = k.view(k.buffer(`y${i}`, dtype, "out"), [rows, cols], { offset: z.mul(rows).mul(cols) });
      k.store(view, at, results[i]!.cast(dtype).broadcast([p.tileRows, p.tileCols]));
    });
  });
}

/** By chip, undefined for hosts, and by key and static parameters. */
const programs = new Map<Chip | undefined, Map<string, Fitted<MapStatic>>>();

/** The program of a map in tiles that fit; same key, same body. */
export const mapProgram = (chip: Chip | undefined, key: string, start: MapStatic, body: MapBody): Fitted<MapStatic> =>
  fitted(chip, (p) => buildMap(`map_${key.replace(/\W+/g, "_")}`, p, body), start, { tileRows: 1, tileCols: 64 });

/** Names of launch arguments, made once: this runs for every small op of every token. */
const namesOf = (i: number) => ({ buffer: `x${i}`, at: `x${i}at`, s0: `x${i}s0`, s1: `x${i}s1`, s2: `x${i}s2`, s3: `x${i}s3` }); // prettier-ignore
const inputNames: ReturnType<typeof namesOf>[] = [];
const outputNames: string[] = [];

/** f over strided inputs into new contiguous arrays of `shape`, or into `into`. Same key, same body. */
export function stridedMap(
  device: Device,
  key: string,
  inputs: readonly (StridedInput | number)[],
  shape: readonly number[],
  outDtypes: readonly DType[],
  body: MapBody,
  into?: readonly NdArray[],
): NdArray[] {
  const outputs = into ?? outDtypes.map((dtype) => empty(device, shape, dtype));
  if (sizeOf(shape) === 0) return [...outputs];
  const walk = walkOf(
    shape,
    // A number is the same everywhere, and has no memory to walk.
    inputs.map((x) => (typeof x === "number" ? { strides: shape.map(() => 0) } : x)),
  );
  const [o1, o2, rows, cols] = walk.shape as [number, number, number, number];
  const tileCols = rows * o1 * o2 === 1 ? flatTile(cols) : columnTile(cols);
  const tileRows = rowTile(rows, tileCols);
  const args: Record<string, LaunchArg> = { s1: o2, s2: rows, s3: cols };
  let id = `${key}|${tileRows},${tileCols}|${outDtypes.join()}`;
  const parts: MapInput[] = [];
  for (let i = 0; i < inputs.length; i++) {
    const x = inputs[i]!;
    const name = (inputNames[i] ??= namesOf(i));
    if (typeof x === "number") {
      parts.push("number");
      id += "|number";
      args[name.buffer] = Math.fround(x);
      continue;
    }
    const s = walk.strides[i]!;
    const part: ArrayInput = {
      dtype: x.dtype,
      rows: s[2] === 0 && tileRows > 1 ? "same" : "each",
      cols: s[3] === 0 || cols === 1 ? "same" : s[3] === 1 ? "unit" : "strided",
    };
    parts.push(part);
    id += `|${part.dtype},${part.rows},${part.cols}`;
    args[name.buffer] = x;
    args[name.at] = x.offset;
    args[name.s0] = s[0]!;
    args[name.s1] = s[1]!;
    if (part.rows === "each") args[name.s2] = s[2]!;
    if (part.cols === "strided") args[name.s3] = s[3]!;
  }
  for (let i = 0; i < outputs.length; i++) args[(outputNames[i] ??= `y${i}`)] = outputs[i]!;
  const { chip } = device.properties;
  let known = programs.get(chip);
  if (!known) programs.set(chip, (known = new Map()));
  let found = known.get(id);
  if (!found) {
    const start: MapStatic = { tileRows, tileCols, inputs: parts, outputs: outDtypes };
    known.set(id, (found = mapProgram(chip, key, start, body)));
  }
  const { program, p } = found;
  run(device, program, [ceilDiv(cols, p.tileCols), ceilDiv(rows, p.tileRows), o1 * o2], args);
  return [...outputs];
}

/** Row-major strides of `from` as seen through the broadcast shape `to`. */
export function broadcastStrides(from: readonly number[], to: readonly number[]): number[] {
  const out = Array<number>(to.length).fill(0);
  let step = 1;
  for (let i = from.length - 1; i >= 0; i--) {
    if (from[i] !== 1) out[i + to.length - from.length] = step;
    step *= from[i]!;
  }
  return out;
}

const strided = (x: NdArray, shape: readonly number[]): StridedInput => ({
  buffer: x.buffer,
  byteOffset: x.byteOffset,
  dtype: x.dtype,
  strides: broadcastStrides(x.shape, shape),
  offset: 0,
});

/** Elementwise over broadcast inputs; `into` writes in place (it may be one of the inputs). */
export function map(
  device: Device,
  key: string,
  inputs: readonly (NdArray | number)[],
  outDtypes: readonly DType[],
  body: MapBody,
  into?: readonly NdArray[],
): NdArray[] {
  const shape = inputs.flatMap((x) => (typeof x === "number" ? [] : [x.shape])).reduce((a, b) => broadcastShapes(a, b)); // prettier-ignore
  return stridedMap(
    device,
    key,
    inputs.map((x) => (typeof x === "number" ? x : strided(x, shape))),
    shape,
    outDtypes,
    body,
    into,
  );
}

const ramp = (n: number, scale: number): Float32Array =>
  Float32Array.from({ length: n }, (_, i) => Math.sin(i * 0.7) * scale);

function mapCase(name: string, shapes: readonly (readonly number[])[]): KernelCase {
  const data = shapes.map((s, i) => ramp(sizeOf(s), 1 + i));
  const out = shapes.reduce((a, b) => broadcastShapes(a, b));
  return {
    name,
    run: (device) =>
      map(
        device,
        "caseMulAdd",
        shapes.map((s, i) => fromHost(device, data[i]!, s, "f32")),
        ["f32"],
        (_k, a, b) => [a!.mul(b!).add(a!)],
      ),
    expected: () => {
      const y = new Float32Array(sizeOf(out));
      const strides = shapes.map((s) => broadcastStrides(s, out));
      for (let i = 0; i < y.length; i++) {
        let rest = i;
        const at = [0, 0];
        for (let d = out.length - 1; d >= 0; d--) {
          const pos = rest % out[d]!;
          rest = Math.floor(rest / out[d]!);
          strides.forEach((s, j) => (at[j]! += pos * s[d]!));
        }
        const [a, b] = [data[0]![at[0]!]!, data[1]![at[1]!]!];
        y[i] = Math.fround(Math.fround(a * b) + a);
      }
      return [y];
    },
    tolerance: { rtol: 2e-7, atol: 3e-7, why: "a*b+a may be contracted to one rounding" },
  };
}

export const cases: OpCases = {
  op: "map",
  cases: [
    mapCase("same shape", [
      [7, 33],
      [7, 33],
    ]),
    mapCase("row vector", [[5, 40], [40]]),
    mapCase("column vector", [
      [5, 40],
      [5, 1],
    ]),
    mapCase("scalar", [[3000], [1]]),
    {
      name: "number",
      run: (device) =>
        map(device, "mul", [fromHost(device, ramp(35, 1), [5, 7], "f32"), 0.3], ["f32"], (_k, a, b) => [a!.mul(b!)]),
      expected: () => [ramp(35, 1).map((v) => v * Math.fround(0.3))],
      tolerance: { rtol: 0, atol: 0, why: "one rounding" },
    },
    mapCase("4-d", [
      [2, 3, 5, 8],
      [3, 1, 8],
    ]),
  ],
  programs: (chip) =>
    (["unit", "strided"] as const).map((cols) => {
      const inputs = [
        { dtype: "f32", rows: "each", cols },
        { dtype: "bf16", rows: "same", cols: "unit" },
      ] as const;
      const p: MapStatic = { tileRows: 4, tileCols: 1024, inputs, outputs: ["bf16"] };
      return mapProgram(chip, "mul_add", p, (_k, a, b) => [a!.mul(b!).add(a!)]).program;
    }),
};
