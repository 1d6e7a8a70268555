/** Small kernels for tests of devices: each has one buffer to read and one to write. */
import { kernel } from "../../src/tile/builder.ts";
import type { TileProgram } from "../../src/tile/ir.ts";

/** y[i] = x[i] * factor, `width` elements a program. A factor of its own makes a kernel of its own. */
export const scaleKernel = (factor: number, width = 16): TileProgram =>
  kernel(`scale_${String(factor).replace(/\W/g, "_")}`, (k) => {
    const n = k.index("n");
    const at = [k.programId(0).mul(width)];
    const x = k.view(k.buffer("x", "f32"), [n]);
    const y = k.view(k.buffer("y", "f32", "out"), [n]);
    k.store(y, at, k.load(x, at, [width]).mul(factor));
  });

/** count[p] += 1 for every program p of a three-dimensional grid. */
export const countKernel = (): TileProgram =>
  kernel("count", (k) => {
    const [nx, ny, nz] = [k.index("nx"), k.index("ny"), k.index("nz")];
    const view = k.view(k.buffer("count", "i32", "inout"), [nz, ny, nx]);
    const at = [k.programId(2), k.programId(1), k.programId(0)];
    k.store(view, at, k.load(view, at, [1, 1, 1]).add(1));
  });

/** y [m,n] = a [m,k] . b [n,k]^T in tiles of 8 by 64 by 32; rows along y, so b is what the cores of a cluster share. */
export const product = kernel("product", (k) => {
  const [m, n, depth] = [k.index("m"), k.index("n"), k.index("k")];
  const [i0, j0] = [k.programId(1).mul(8), k.programId(0).mul(64)];
  const a = k.view(k.buffer("a", "f32"), [m, depth]);
  const b = k.view(k.buffer("b", "f32"), [n, depth]);
  const y = k.view(k.buffer("y", "f32", "out"), [m, n]);
  const [sum] = k.loop({ end: depth, step: 32 }, [k.full([8, 64], 0)], (c, [acc]) => [
    k.dot(k.load(a, [i0, c], [8, 32]), k.load(b, [j0, c], [64, 32]), { acc: acc!, transB: true }),
  ]);
  k.store(y, [i0, j0], sum!);
});

/** The same where only the first of `rows` have anything to do. */
export const uneven = kernel("uneven_product", (k) => {
  const [rows, n, depth] = [k.index("rows"), k.index("n"), k.index("k")];
  const [i0, j0] = [k.programId(1).mul(8), k.programId(0).mul(64)];
  const a = k.view(k.buffer("a", "f32"), [rows, depth]);
  const b = k.view(k.buffer("b", "f32"), [n, depth]);
  const y = k.view(k.buffer("y", "f32", "out"), [rows, n]);
  k.when(i0.lt(rows), () => {
    const [sum] = k.loop({ end: depth, step: 32 }, [k.full([8, 64], 0)], (c, [acc]) => [
      k.dot(k.load(a, [i0, c], [8, 32]), k.load(b, [j0, c], [64, 32]), { acc: acc!, transB: true }),
    ]);
    k.store(y, [i0, j0], sum!);
  });
});
