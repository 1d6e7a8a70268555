/**
 * Ascend C kernels in the way others write them (ascend/*.cpp), with inputs, expected outputs, and the mutations that
 * must not pass. Sizes are odd where the kernel allows it, so that tails are exercised.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { bf16ToF32, f32ToBf16, roundToBf16 } from "../../src/base/bf16.ts";
import { f16FromBits, f16ToBits, roundF16 } from "../../src/base/f16.ts";
import { normals } from "../../src/base/prng.ts";
import { change, drop, dropBarriers, dropPair, swap, type Mutant } from "./sim-mutants.ts";

type Bytes = Float32Array | Uint16Array | Int32Array;
export interface SimCase {
  readonly name: string;
  readonly source: string;
  readonly args: readonly string[];
  readonly kind: string;
  /** 16-bit buffers hold bf16; half otherwise. */
  readonly isBf16?: boolean;
  /** In the order of the arguments: an array is a buffer. */
  readonly values: readonly (Bytes | number)[];
  /** Output buffers by position, with what they must hold and how near. */
  readonly expected: readonly { readonly arg: number; readonly values: ArrayLike<number>; readonly tolerance: number }[]; // prettier-ignore
  readonly workspace?: { readonly arg: number; readonly bytesPerBlock: number };
  readonly mutants: readonly Mutant[];
}

const dir = join(import.meta.dirname, "ascend");
const sourceOf = (name: string): string => readFileSync(join(dir, `${name}.cpp`), "utf8");
function random(n: number, seed: number): Float32Array {
  const out = new Float32Array(n);
  normals(out, seed);
  return out;
}
const halves = (x: Float32Array): Uint16Array => Uint16Array.from(x, f16ToBits);
const fromHalves = (x: Uint16Array): Float32Array => Float32Array.from(x, f16FromBits);
const filled = <T extends Bytes>(array: T): T => array.fill(77) as T;

function addQueue(): SimCase {
  const n = 7680;
  const [x, y] = [halves(random(n, 1)), halves(random(n, 2))];
  const [xf, yf] = [fromHalves(x), fromHalves(y)];
  return {
    name: "add_queue",
    source: sourceOf("add_queue"),
    kind: "vector",
    args: ["x", "y", "z", "total", "tiles"],
    values: [x, y, filled(new Uint16Array(n)), n, 2],
    expected: [{ arg: 2, values: xf.map((v, i) => roundF16(v + yf[i]!)), tolerance: 0 }],
    mutants: [
      drop("drop one sync", "inQueueX.FreeTensor(xLocal);"),
      drop("drop one sync", "outQueueZ.FreeTensor(zLocal);"),
      drop("drop one sync", "inQueueY.EnQue(yLocal);"),
      change("shrink a buffer", "inQueueY, BUFFER_NUM, tileLength * sizeof(half)", "tileLength * sizeof(half)", "tileLength * sizeof(half) - 32"), // prettier-ignore
      change("shrink a buffer", "outQueueZ, BUFFER_NUM, tileLength * sizeof(half)", "tileLength * sizeof(half)", "tileLength * sizeof(half) / 2"), // prettier-ignore
      change("capacity", "inQueueX, BUFFER_NUM, tileLength * sizeof(half)", "tileLength * sizeof(half)", "100 * 1024"),
      change("tail +-1", "zLocal, tileLength);", "tileLength", "tileLength + 1"),
      change("tail +-1", "xLocal, yLocal, tileLength);", "tileLength", "tileLength - 1"),
      change("missing core", "total / GetBlockNum()", "GetBlockNum()", "(GetBlockNum() + 1)"),
      change("missing core", "(__gm__ half*)x + blockLength * GetBlockIdx()", "GetBlockIdx()", "0 * GetBlockIdx()"),
      change("missing core", "(__gm__ half*)z + blockLength * GetBlockIdx()", "GetBlockIdx()", "0 * GetBlockIdx()"),
    ],
  };
}

function addStatic(): SimCase {
  const n = 5003;
  const [x, y] = [random(n, 3), random(n, 4)];
  return {
    name: "add_static",
    source: sourceOf("add_static"),
    kind: "vector",
    args: ["x", "y", "z", "n"],
    values: [x, y, filled(new Float32Array(n)), n],
    expected: [{ arg: 2, values: x.map((v, i) => v + y[i]!), tolerance: 0 }],
    mutants: [
      dropPair("V_MTE2", "b", "EVENT_ID0", "EVENT_ID1"),
      dropPair("MTE3_V", "b", "EVENT_ID0", "EVENT_ID1"),
      dropPair("MTE2_V", "b"),
      dropPair("V_MTE3", "b"),
      drop("drop one sync", "SetFlag<HardEvent::V_MTE2>(b);"),
      drop("drop one sync", "WaitFlag<HardEvent::MTE3_V>(b);"),
      swap("swap event id", "SetFlag<HardEvent::MTE2_V>(b);", "SetFlag<HardEvent::MTE2_V>(1 - b);"),
      swap("swap event id", "WaitFlag<HardEvent::V_MTE2>(b);", "WaitFlag<HardEvent::V_MTE2>(1 - b);"),
      swap("swap event id", "WaitFlag<HardEvent::MTE3_V>(b);", "WaitFlag<HardEvent::MTE3_V>(1 - b);"),
      swap("swap event id", "SetFlag<HardEvent::V_MTE3>(b);", "SetFlag<HardEvent::V_MTE3>(b + 6);"),
      swap("swap event id", "SetFlag<HardEvent::V_MTE3>(b);", "SetFlag<HardEvent::MTE2_MTE3>(b);"),
      change("shrink a buffer", "VECIN, 1024, TILE", "TILE", "TILE - 8"),
      change("shrink a buffer", "VECOUT, 4096, TILE", "TILE", "TILE - 8"),
      change("overlap two", "VECIN, 2048, TILE", "2048", "2048 - 32"),
      change("overlap two", "VECIN, 2048, TILE", "2048", "0"),
      change("overlap two", "VECOUT, 5120, TILE", "5120", "4096 + 512"),
      change("alignment", "VECIN, 3072, TILE", "3072", "3072 + 16"),
      change("tail +-1", "? n - t * TILE : TILE", "n - t * TILE", "n - t * TILE + 1"),
      change("tail +-1", "? n - t * TILE : TILE", "n - t * TILE", "n - t * TILE - 1"),
      change("tail +-1", "xLocal[b], yLocal[b], len", "len", "len - 1"),
      change("stride unit", "static_cast<uint32_t>(len * sizeof(float))", "len * sizeof(float)", "len"),
      change("missing core", "t += GetBlockNum()", "GetBlockNum()", "GetBlockNum() + 1"),
      change("missing core", "t = GetBlockIdx()", "GetBlockIdx()", "GetBlockIdx() / 2"),
    ],
  };
}

function rmsNorm(): SimCase {
  const [rows, cols, eps] = [23, 200, 1e-5];
  const x = f32ToBf16(random(rows * cols, 5));
  const [xf, w] = [bf16ToF32(x), random(cols, 6)];
  const out = new Float32Array(rows * cols);
  for (let r = 0; r < rows; r++) {
    let sum = 0;
    for (let c = 0; c < cols; c++) sum += xf[r * cols + c]! ** 2;
    for (let c = 0; c < cols; c++) out[r * cols + c] = roundToBf16((xf[r * cols + c]! * w[c]!) / Math.sqrt(sum / cols + eps)); // prettier-ignore
  }
  return {
    name: "rmsnorm",
    source: sourceOf("rmsnorm"),
    kind: "vector",
    isBf16: true,
    args: ["x", "w", "out", "rows", "cols", "eps"],
    values: [x, w, filled(new Uint16Array(rows * cols)), rows, cols, eps],
    // One step of bf16.
    expected: [{ arg: 2, values: out, tolerance: 2 ** -7 }],
    mutants: [
      dropPair("V_S", "summed"),
      ...dropBarriers("V", 5),
      drop("drop one sync", "inQueue.EnQue(x);"),
      change("shrink a buffer", "squareBuf, padded * sizeof(float)", "padded", "(padded - 8)"),
      change("shrink a buffer", "workBuf, 256", "256", "0"),
      change("drop the fill", "pad{true, 0,", "true", "false"),
      change("tail +-1", "square, work, padded", "padded", "padded + 1"),
      change("tail +-1", "square, work, padded", "padded", "cols / 2"),
      change("tail +-1", "RoundMode::CAST_RINT, cols", "cols", "cols - 1"),
      change("stride unit", "out, {1, static_cast<uint32_t>(cols * sizeof(bfloat16_t))", "cols * sizeof(bfloat16_t)", "cols / 16"), // prettier-ignore
      change("missing core", "row += GetBlockNum()", "GetBlockNum()", "2 * GetBlockNum()"),
      change("missing core", "row = GetBlockIdx()", "GetBlockIdx()", "0"),
    ],
  };
}

function softmax(): SimCase {
  const [rows, cols, pitch] = [45, 50, 61];
  const x = random(rows * pitch, 7);
  const y = new Float32Array(rows * cols);
  for (let r = 0; r < rows; r++) {
    const row = x.subarray(r * pitch, r * pitch + cols);
    const max = Math.max(...row);
    const sum = row.reduce((s, v) => s + Math.exp(v - max), 0);
    row.forEach((v, c) => (y[r * cols + c] = Math.exp(v - max) / sum));
  }
  return {
    name: "softmax",
    source: sourceOf("softmax"),
    kind: "vector",
    args: ["x", "y", "rows", "cols", "pitch"],
    values: [x, filled(new Float32Array(rows * cols)), rows, cols, pitch],
    expected: [{ arg: 1, values: y, tolerance: 1e-6 }],
    mutants: [
      dropPair("V_MTE2", "EVENT_ID1"),
      dropPair("MTE2_V", "EVENT_ID0"),
      dropPair("V_MTE3", "EVENT_ID0"),
      dropPair("MTE3_V", "EVENT_ID0"),
      ...dropBarriers("V", 6),
      drop("drop the fill", "Duplicate(in, -10000.0f, ROWS * WIDTH);"),
      change("drop the fill", "pad{true, 0,", "true", "false"),
      change("stride unit", "rest = (WIDTH - cols) / 8", "8", "1"),
      change("stride unit", "(pitch - cols) * sizeof(float)", "sizeof(float)", "1"),
      change("tail +-1", "? rows - first : ROWS", "rows - first", "rows - first + 1"),
      change("tail +-1", "Exp(out, out, ROWS * WIDTH", "ROWS * WIDTH", "ROWS * WIDTH - 64"),
      change("missing core", "first += GetBlockNum() * ROWS", "ROWS", "(ROWS + 1)"),
    ],
  };
}

function matmul(): SimCase {
  const [m, k, n] = [193, 72, 48];
  const [a, b] = [halves(random(m * k, 8)), halves(random(k * n, 9))];
  const [af, bf] = [fromHalves(a), fromHalves(b)];
  const c = new Float32Array(m * n);
  for (let i = 0; i < m; i++)
    for (let j = 0; j < n; j++) for (let d = 0; d < k; d++) c[i * n + j]! += af[i * k + d]! * bf[d * n + j]!;
  return {
    name: "matmul",
    source: sourceOf("matmul"),
    kind: "cube",
    args: ["a", "b", "c", "m", "k"],
    values: [a, b, filled(new Float32Array(m * n)), m, k],
    expected: [{ arg: 2, values: c, tolerance: 1e-4 }],
    mutants: [
      dropPair("MTE1_MTE2", "s", "0", "1"),
      dropPair("MTE2_MTE1", "s"),
      dropPair("M_MTE1", "s", "0", "1"),
      dropPair("MTE1_M", "s"),
      dropPair("M_FIX", "0"),
      dropPair("FIX_M", "0"),
      ...dropBarriers("M", 1).map((x) => ({ ...x, kind: "drop PIPE_M" })),
      ...dropBarriers("MTE2", 1),
      swap("swap event id", "SetFlag<HardEvent::MTE2_MTE1>(s);", "SetFlag<HardEvent::MTE2_MTE1>(1 - s);"),
      swap("swap event id", "WaitFlag<HardEvent::M_MTE1>(s);", "WaitFlag<HardEvent::M_MTE1>(1 - s);"),
      change("shrink a buffer", "A2, 1024, TM * TK", "TM * TK", "TM * TK - 16"),
      change("shrink a buffer", "B1, 5120, TK * TN", "TK * TN", "TK * TN / 2"),
      change("overlap two", "B1, 2048, TK * TN", "2048", "2048 - 512"),
      change("overlap two", "B2, 3072, TK * TN", "3072", "512"),
      change("alignment", "A2, 1024, TM * TK", "1024", "1024 + 64"),
      // Either alone leaves the other's zeros in every product.
      drop(
        "drop the fill",
        "InitConstValue(a1[s], {1, static_cast<uint16_t>(TM * TK * sizeof(half) / 32), 0, half(0)});",
        "InitConstValue(b1[s], {1, static_cast<uint16_t>(TK * TN * sizeof(half) / 32), 0, half(0)});",
      ),
      swap("M = 1", "product.m = TM;", "product.m = rows;"),
      swap("tail +-1", "product.k = filled;", "product.k = depth - 1;"),
      swap("tail +-1", "out.mSize = rows;", "out.mSize = rows + 1;"),
      swap("tail +-1", "out.nSize = TN;", "out.nSize = TN - 1;"),
      swap("stride unit", "out.srcStride = TM;", "out.srcStride = TM * 4;"),
      swap("stride unit", "out.dstStride = TN;", "out.dstStride = TN * sizeof(float);"),
      change("stride unit", "depth, 0, static_cast<uint16_t>(k), TM", "static_cast<uint16_t>(k)", "static_cast<uint16_t>(k * 2)"), // prettier-ignore
      change("stride unit", "0, TN / 16, static_cast<uint16_t>(filled / 16)", "filled / 16", "filled"),
      change("missing core", "i += GetBlockNum() * TM", "TM", "(TM + 16)"),
    ],
  };
}

function matmulBias(): SimCase {
  const [m, k, n] = [197, 32, 16];
  const [a, b, bias] = [halves(random(m * k, 10)), halves(random(n * k, 11)), random(n, 12)];
  const [af, bf] = [fromHalves(a), fromHalves(b)];
  const c = new Float32Array(m * n);
  for (let i = 0; i < m; i++)
    for (let j = 0; j < n; j++) {
      c[i * n + j] = bias[j]!;
      for (let d = 0; d < k; d++) c[i * n + j]! += af[i * k + d]! * bf[j * k + d]!;
    }
  return {
    name: "matmul_bias",
    source: sourceOf("matmul_bias"),
    kind: "mix",
    args: ["a", "b", "bias", "c", "m", "workspace"],
    values: [a, b, bias, filled(new Float32Array(m * n)), m],
    expected: [{ arg: 3, values: c, tolerance: 1e-4 }],
    workspace: { arg: 5, bytesPerBlock: 2 * 16 * 16 * 4 },
    mutants: [
      drop("drop one sync", "CrossCoreSetFlag<2, PIPE_FIX>(FULL);", "CrossCoreWaitFlag(FULL);"),
      drop("drop one sync", "CrossCoreSetFlag<2, PIPE_MTE2>(EMPTY);", "CrossCoreWaitFlag(EMPTY);"),
      drop("drop one sync", "CrossCoreSetFlag<2, PIPE_FIX>(FULL);"),
      drop("drop one sync", "CrossCoreWaitFlag(FULL);"),
      drop("drop one sync", "CrossCoreSetFlag<2, PIPE_MTE2>(EMPTY);"),
      dropPair("M_FIX", "0"),
      dropPair("MTE2_V", "0"),
      dropPair("V_MTE3", "0"),
      swap("swap event id", "CrossCoreSetFlag<2, PIPE_FIX>(FULL);", "CrossCoreSetFlag<2, PIPE_FIX>(EMPTY);"),
      swap("swap event id", "CrossCoreSetFlag<2, PIPE_FIX>(FULL);", "CrossCoreSetFlag<2, PIPE_M>(FULL);"),
      swap("swap event id", "CrossCoreSetFlag<2, PIPE_MTE2>(EMPTY);", "CrossCoreSetFlag<2, PIPE_MTE3>(EMPTY);"),
      swap("swap event id", "CrossCoreSetFlag<2, PIPE_FIX>(FULL);", "CrossCoreSetFlag<1, PIPE_FIX>(FULL);"),
      change("missing core", "turn & 1) * TM * N + GetSubBlockIdx()", "GetSubBlockIdx()", "0 * GetSubBlockIdx()"),
      change("missing core", "first = i + GetSubBlockIdx()", "GetSubBlockIdx()", "0 * GetSubBlockIdx()"),
      change("overlap two", "slots[(turn & 1) * TM * N]", "turn & 1", "0 * turn"),
      change("overlap two", "(__gm__ float*)workspace + block_idx * 2 * TM * N", "block_idx * 2", "block_idx"),
      change("tail +-1", "? left : TM / 2", "left", "left - 1"),
      change("tail +-1", "FixpipeParamsV220(N, rows, TM, N, false)", "rows", "rows - 1"),
      change("stride unit", "rows, {1, 1, 1, 2, 2, 0}", "2", "16"),
      drop("skip initial load", "DataCopy(row, biasGm, N);"),
    ],
  };
}

function topk(): SimCase {
  const [rows, width, k] = [41, 128, 16];
  // Few distinct scores: ties must keep the lower column.
  const x = random(rows * width, 13).map((v) => Math.round(v * 4) / 4);
  const values = new Float32Array(rows * k);
  const columns = new Int32Array(rows * k);
  for (let r = 0; r < rows; r++) {
    const order = Array.from({ length: width }, (_, i) => i).sort((i, j) => x[r * width + j]! - x[r * width + i]! || i - j); // prettier-ignore
    for (let i = 0; i < k; i++) {
      values[r * k + i] = x[r * width + order[i]!]!;
      columns[r * k + i] = order[i]!;
    }
  }
  return {
    name: "topk",
    source: sourceOf("topk"),
    kind: "vector",
    args: ["x", "values", "columns", "rows"],
    values: [x, filled(new Float32Array(rows * k)), filled(new Int32Array(rows * k)), rows],
    expected: [
      { arg: 1, values, tolerance: 0 },
      { arg: 2, values: columns, tolerance: 0 },
    ],
    mutants: [
      dropPair("V_MTE2", "EVENT_ID0"),
      dropPair("MTE2_V", "EVENT_ID0"),
      dropPair("V_MTE3", "EVENT_ID0"),
      dropPair("MTE3_V", "EVENT_ID0"),
      ...dropBarriers("V", 2),
      change("shrink a buffer", "VECCALC, 2048, 2 * WIDTH", "2 * WIDTH", "2 * WIDTH - 8"),
      change("overlap two", "VECCALC, 2048, 2 * WIDTH", "2048", "2048 - 256"),
      change("overlap two", "VECOUT, 3136, TOP", "3136", "3072 + 32"),
      change("overlap two", "VECCALC, 512, WIDTH", "512", "512 - 32"),
      change("tail +-1", "xGm[row * WIDTH], WIDTH)", "row * WIDTH", "row * WIDTH + 1"),
      change("tail +-1", "bestColumn, TOP", "TOP", "TOP - 8"),
      change("tail +-1", "best, merged, 1, true, 2 * TOP", "2 * TOP", "2 * TOP - 2"),
      change("stride unit", "sorted[64], sorted[128]", "64", "32"),
      change("missing core", "row += GetBlockNum()", "GetBlockNum()", "2 * GetBlockNum()"),
    ],
  };
}

function countScalar(): SimCase {
  const parts = 21;
  const x = Int32Array.from(random(parts * 64, 14), (v) => Math.round(v * 10));
  const counts = new Int32Array(parts * 16).fill(77);
  for (let p = 0; p < parts; p++) counts[p * 16] = x.subarray(p * 64, p * 64 + 64).filter((v) => v > 0).length;
  return {
    name: "count_scalar",
    source: sourceOf("count_scalar"),
    kind: "vector",
    args: ["x", "counts", "parts"],
    values: [x, filled(new Int32Array(parts * 16)), parts],
    expected: [{ arg: 1, values: counts, tolerance: 0 }],
    mutants: [
      drop("skip DCache flush", "DataCacheCleanAndInvalid<int32_t, CacheLine::SINGLE_CACHE_LINE, DcciDst::CACHELINE_OUT>(countGm[part * 16]);"), // prettier-ignore
      dropPair("MTE2_S", "EVENT_ID0"),
      change("stride unit", "countGm.SetValue(part * 16, count)", "part * 16", "part * 4"),
      change("tail +-1", "i < PART; i++", "PART", "PART - 1"),
      change("tail +-1", "i < PART; i++", "PART", "PART + 1"),
      change("missing core", "part += GetBlockNum()", "GetBlockNum()", "GetBlockNum() - 1 + (GetBlockNum() == 1)"),
    ],
  };
}

export const simCases: readonly SimCase[] = [addQueue(), addStatic(), rmsNorm(), softmax(), matmul(), matmulBias(), topk(), countScalar()]; // prettier-ignore
