/**
 * Matrix products of the js target: C[m,n] += A.B over typed arrays with any strides, in blocks of rows by columns whose
 * sums stay in registers. A block of each size is one generated function, since V8 keeps named variables in registers but
 * not arrays. Sums run in f64 and are rounded when they are added to C.
 * Main functions: `dot`, `dotInt`.
 */
type Block = (
  c: Float32Array,
  co: number,
  ldc: number,
  a: Float32Array,
  ao: number,
  am: number,
  ak: number,
  b: Float32Array,
  bo: number,
  bk: number,
  bn: number,
  k: number,
) => void;

/** Four by four sums and the eight operands of a step about fill the 16 registers of x86-64 and pay 2 loads per 4 products. */
const ROWS = 4;
const COLS = 4;
/** With one row there is nothing to reuse but the row: wider blocks hide the latency of addition. */
const ROW_COLS = 8;

function makeBlock(rows: number, cols: number): Block {
  const I = Array.from({ length: rows }, (_, i) => i);
  const J = Array.from({ length: cols }, (_, j) => j);
  const step = (i: number, name: string): string => (i === 0 ? "" : i === 1 ? ` + ${name}` : ` + ${name}${i}`);
  const source = `"use strict";
return function ts_dot_${rows}x${cols}(c, co, ldc, a, ao, am, ak, b, bo, bk, bn, k) {
  ${I.slice(2).map((i) => `const am${i} = am * ${i};`).join(" ")}
  ${J.slice(2).map((j) => `const bn${j} = bn * ${j};`).join(" ")}
  let ${I.flatMap((i) => J.map((j) => `s${i}_${j} = 0`)).join(", ")};
  for (let p = 0; p < k; p++) {
    const ${J.map((j) => `b${j} = b[bo${step(j, "bn")}]`).join(", ")};
    ${I.map((i) => `const a${i} = a[ao${step(i, "am")}]; ${J.map((j) => `s${i}_${j} += a${i} * b${j};`).join(" ")}`).join("\n    ")}
    ao += ak;
    bo += bk;
  }
  ${I.map((i) => J.map((j) => `c[co + ${j}] += s${i}_${j};`).join(" ")).join("\n  co += ldc;\n  ")}
};`; // prettier-ignore
  return new Function(source)() as Block;
}

const made = new Map<number, Block>();
function block(rows: number, cols: number): Block {
  const key = rows * 16 + cols;
  let found = made.get(key);
  if (!found) made.set(key, (found = makeBlock(rows, cols)));
  return found;
}

/** c[co + i*ldc + j] += sum over p of a[ao + i*am + p*ak] * b[bo + p*bk + j*bn]. */
export function dot(
  c: Float32Array,
  co: number,
  ldc: number,
  a: Float32Array,
  ao: number,
  am: number,
  ak: number,
  b: Float32Array,
  bo: number,
  bk: number,
  bn: number,
  m: number,
  n: number,
  k: number,
): void {
  if (k <= 0) return;
  const width = m === 1 ? ROW_COLS : COLS;
  for (let j = 0; j < n; j += width) {
    const cols = n - j < width ? n - j : width;
    for (let i = 0; i < m; i += ROWS) {
      const rows = m - i < ROWS ? m - i : ROWS;
      block(rows, cols)(c, co + i * ldc + j, ldc, a, ao + i * am, am, ak, b, bo + j * bn, bk, bn, k);
    }
  }
}

type Ints = Int32Array | Uint32Array | Int8Array | Uint8Array;
/** The same for integers, which wrap. */
export function dotInt(
  c: Ints,
  co: number,
  ldc: number,
  a: Ints,
  ao: number,
  am: number,
  ak: number,
  b: Ints,
  bo: number,
  bk: number,
  bn: number,
  m: number,
  n: number,
  k: number,
): void {
  for (let i = 0; i < m; i++)
    for (let j = 0; j < n; j++) {
      let sum = c[co + i * ldc + j]!;
      for (let p = 0; p < k; p++) sum = (sum + Math.imul(a[ao + i * am + p * ak]!, b[bo + p * bk + j * bn]!)) | 0;
      c[co + i * ldc + j] = sum;
    }
}
