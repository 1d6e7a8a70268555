/**
 * Launches that run as one list on a chip (device/launch-list.ts): each reads what the one before wrote, with other
 * arguments and other grids from one to the next, also what scalar code has read before. Held against cpu as cases of the
 * chip, and tried with mutants of what a list adds to its programs. Main table: `listCases`.
 */
import type { Device } from "../device/device.ts";
import { kernel } from "../tile/builder.ts";
import type { LongLaunch } from "./chip-turns.ts";
import { run } from "./launch.ts";
import { linear } from "./matmul.ts";
import { gatherRows, moeRouter } from "./moe.ts";
import { empty, fromHost, sizeOf, type NdArray } from "./nd-array.ts";
import { rmsNorm } from "./norm.ts";
import { softmax } from "./softmax.ts";

const [ROWS, WIDTH, EXPERTS] = [20, 64, 16];
const wave = (n: number, f: number): Float32Array => Float32Array.from({ length: n }, (_, i) => Math.sin(i * f + 0.4));
const put = (device: Device, f: number, ...shape: number[]): NdArray => fromHost(device, wave(sizeOf(shape), f), shape, "f32"); // prettier-ignore

/** Rows of x up to a number in device memory, which scalar code reads; zeros after them. */
const firstRows = kernel("first_rows", (k) => {
  const end = k.read(k.view(k.buffer("counts", "i32"), [k.index("numCounts")]), [k.index("at")]);
  const at = [k.programId(0).mul(4), 0];
  const x = k.load(k.view(k.buffer("x", "f32"), [end, WIDTH]), at, [4, WIDTH]);
  k.store(k.view(k.buffer("y", "f32", "out"), [ROWS, WIDTH]), at, x);
});

/** Integers into memory that stays: in the second turn scalar code has read there before. */
const keepCounts = kernel("keep_counts", (k) => {
  const n = k.index("n");
  const [from, to] = [k.view(k.buffer("indices", "i32"), [n]), k.view(k.buffer("counts", "i32", "out"), [n])];
  k.store(to, [0], k.load(from, [0], [64]));
});

/** Copies, products on the matrix cores, and at the end indices that scalar code reads; twice over. */
function cores(device: Device): NdArray[] {
  const [x, gain, w] = [put(device, 0.7, ROWS, WIDTH), put(device, 0.3, WIDTH), put(device, 0.11, EXPERTS, WIDTH)];
  const [mix, bias] = [put(device, 0.17, WIDTH, EXPERTS), put(device, 0.9, WIDTH)];
  const [many, counts] = [put(device, 0.23, 5 * WIDTH, WIDTH), empty(device, [2 * ROWS], "i32")];
  let before = x;
  let out: NdArray[] = [];
  for (let turn = 0; turn < 2; turn++) {
    const { y } = rmsNorm(device, before, gain, { eps: 0.5 + turn });
    const logits = linear(device, y, w);
    const { weights, indices } = moeRouter(device, logits, { k: 2, scale: 1.5 });
    const rows = gatherRows(device, y, { ...indices, shape: [2 * ROWS] });
    const clipped = empty(device, [ROWS, WIDTH]);
    run(device, keepCounts, [1, 1, 1], { n: 2 * ROWS, indices, counts });
    run(device, firstRows, [ROWS / 4, 1, 1], { counts, numCounts: 2 * ROWS, at: turn, x: rows, y: clipped });
    // With a bias both kinds of cores work on one program, and hand over through a workspace.
    before = linear(device, logits, mix, bias);
    // Many rows against what was just written: the cores of an MLU cluster have it in common.
    out = [weights, rows, clipped, before, linear(device, many, before)];
  }
  return out;
}

/** Vector cores alone: fewer rows in the second turn than in the first, and more programs of one launch than of another. */
function vectors(device: Device): NdArray[] {
  const gain = put(device, 0.3, WIDTH);
  const counts = empty(device, [2 * ROWS], "i32");
  const turns = [ROWS, 9].map((height, i) => ({ height, x: put(device, 0.7 - i / 4, height, WIDTH), scores: put(device, 0.9 + i, height, 8) })); // prettier-ignore
  return turns.flatMap(({ height, x, scores }, turn) => {
    const { y, rstd } = rmsNorm(device, x, gain, { eps: 0.5 + turn, keeps: true });
    const { weights, indices } = moeRouter(device, softmax(device, scores), { k: 2, scale: 1.5 + turn });
    const rows = gatherRows(device, y, { ...indices, shape: [2 * height] });
    const clipped = empty(device, [ROWS, WIDTH]);
    run(device, keepCounts, [1, 1, 1], { n: 2 * height, indices, counts });
    run(device, firstRows, [ROWS / 4, 1, 1], { counts, numCounts: 2 * height, at: turn, x: rows, y: clipped });
    return [rstd!, weights, rows, clipped];
  });
}

const tolerance = { rtol: 2e-5, atol: 1e-5, why: "two products over 64 and 16 values near 1 after one another, f32 in any order" }; // prettier-ignore
export const listCases: readonly LongLaunch[] = [
  { name: "both kinds of cores", run: cores, tolerance },
  { name: "vector cores", run: vectors, tolerance },
];
/** As a kernel of the matrix is called. */
export const listName = ({ name }: LongLaunch): string => `list: ${name}`;
