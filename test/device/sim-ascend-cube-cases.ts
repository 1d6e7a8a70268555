/**
 * Kernels in the way of others for LoadData of feature maps (conv, matmul_load3d), numbers of four bits (int4_matmul,
 * int4_cast) and order between blocks (relay, in_turn), with the mutations that must not pass.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { f16FromBits, f16ToBits } from "../../src/base/f16.ts";
import { normals } from "../../src/base/prng.ts";
import type { SimCase } from "./sim-ascend-cases.ts";
import { change, drop, dropPair, swap } from "./sim-mutants.ts";

const sourceOf = (name: string): string => readFileSync(join(import.meta.dirname, "ascend", `${name}.cpp`), "utf8");
function random(n: number, seed: number): Float32Array {
  const out = new Float32Array(n);
  normals(out, seed);
  return out;
}
const halves = (x: Float32Array): Uint16Array => Uint16Array.from(x, f16ToBits);
const fromHalves = (x: Uint16Array): Float32Array => Float32Array.from(x, f16FromBits);
/** Whole numbers from -8 to 7. */
const nibbles = (n: number, seed: number): Int32Array => Int32Array.from(random(n, seed), (v) => Math.max(-8, Math.min(7, Math.round(v * 4)))); // prettier-ignore
/** Two a byte, the low half first, as 32-bit words. */
function pack(x: ArrayLike<number>): Int32Array {
  const bytes = new Uint8Array(x.length / 2);
  for (let i = 0; i < x.length; i++) bytes[i >> 1]! |= (x[i]! & 15) << (4 * (i & 1));
  return new Int32Array(bytes.buffer);
}

function conv(): SimCase {
  const [images, C1, H, W, KH, KW, N, OH, OW] = [7, 2, 9, 7, 3, 3, 32, 5, 5];
  const [x, w] = [halves(random(images * C1 * H * W * 16, 21)), halves(random(C1 * KH * KW * N * 16, 22))];
  const [xf, wf] = [fromHalves(x), fromHalves(w)];
  const y = new Float32Array(images * OH * OW * N);
  for (let i = 0; i < images; i++)
    for (let place = 0; place < OH * OW; place++)
      for (let tap = 0; tap < C1 * KH * KW; tap++) {
        const [c1, fy, fx] = [Math.floor(tap / (KH * KW)), Math.floor(tap / KW) % KH, tap % KW];
        // Strides 2 and 1, dilations 1 and 2, one row and column of padding.
        const [row, column] = [Math.floor(place / OW) * 2 + fy - 1, (place % OW) + fx * 2 - 1];
        if (row < 0 || column < 0 || row >= H || column >= W) continue;
        for (let n = 0; n < N; n++)
          for (let c = 0; c < 16; c++)
            y[(i * OH * OW + place) * N + n]! += xf[(((i * C1 + c1) * H + row) * W + column) * 16 + c]! * wf[(tap * N + n) * 16 + c]!; // prettier-ignore
      }
  return {
    name: "conv",
    source: sourceOf("conv"),
    kind: "cube",
    args: ["x", "w", "y", "images"],
    values: [x, w, new Float32Array(y.length).fill(77), images],
    expected: [{ arg: 2, values: y, tolerance: 1e-4 }],
    mutants: [
      dropPair("MTE2_MTE1", "0"),
      dropPair("MTE1_M", "0"),
      dropPair("M_MTE1", "0"),
      dropPair("M_FIX", "0"),
      dropPair("FIX_M", "0"),
      dropPair("MTE1_MTE2", "0"),
      change("padding", "pads[4] = {1, 1, 1, 1}", "1", "0"),
      change("padding", "false, half(0)}", "half(0)", "half(1)"),
      change("tail +-1", "C1 * 16, PART, PLACES", "PLACES", "16"),
      change("tail +-1", "C1 * 16, PART, PLACES", "PART", "PART - 16"),
      change("tail +-1", "MmadParams{PLACES, N", "PLACES", "PLACES - 1"),
      change("tail +-1", "LoadData3DParamsV2<half>{pads, H,", "H", "H + 2"),
      change("stride unit", " 0, 1, 2, KW", "1", "2"),
      change("stride unit", "KW, KH, 2, 1, false", "2", "1"),
      change("stride unit", "static_cast<uint16_t>(part * PART)", "part * PART", "part * PART * 2"),
      change("stride unit", "C1 * 16, PART", "C1 * 16", "16"),
      change("shrink a buffer", "A2, 0, ROWS * PART", "ROWS * PART", "PLACES * PART"),
      change("shrink a buffer", "TPosition::A1, 0, C1 * H * W * 16", "C1 * H", "H"),
      change("overlap two", "TPosition::B1, 8192", "8192", "4000"),
      change("missing core", "image += GetBlockNum()", "GetBlockNum()", "GetBlockNum() + 1"),
    ],
  };
}

function matmulLoad3d(): SimCase {
  const [M, K, N] = [48, 32, 64];
  const [a, b] = [halves(random(K * M, 23)), halves(random(K * N, 24))];
  const [af, bf] = [fromHalves(a), fromHalves(b)];
  const c = new Float32Array(M * N);
  for (let d = 0; d < K; d++)
    for (let i = 0; i < M; i++) for (let j = 0; j < N; j++) c[i * N + j]! += af[d * M + i]! * bf[d * N + j]!;
  return {
    name: "matmul_load3d",
    source: sourceOf("matmul_load3d"),
    kind: "cube",
    args: ["a", "b", "c"],
    values: [a, b, new Float32Array(M * N).fill(77)],
    expected: [{ arg: 2, values: c, tolerance: 1e-4 }],
    mutants: [
      dropPair("MTE2_MTE1", "0"),
      dropPair("MTE1_M", "0"),
      dropPair("M_FIX", "0"),
      swap("transposes", "left.enTranspose = true;", "left.enTranspose = false;"),
      swap("tail +-1", "right.kExtension = N;", "right.kExtension = N - 16;"),
      swap("tail +-1", "right.mExtension = K;", "right.mExtension = K + 16;"),
      swap("tail +-1", "left.kStartPt = tile * 16;", "left.kStartPt = tile * 16 + 8;"),
      swap("stride unit", "left.l1H = K;", "left.l1H = K * 2;"),
      swap("stride unit", "right.channelSize = N;", "right.channelSize = N / 2;"),
      swap("missing", "left.l1W = 1;", "left.l1W = 0;"),
      change("shrink a buffer", "B2, 0, K * N", "K * N", "K * N - 256"),
      change("alignment", "A2, 0, K * 16", "0", "64"),
    ],
  };
}

function int4Matmul(): SimCase {
  const [m, K, N] = [53, 192, 48];
  const [a, b] = [nibbles(m * K, 25), nibbles(N * K, 26)];
  const c = new Int32Array(m * N);
  for (let i = 0; i < m; i++)
    for (let j = 0; j < N; j++) for (let d = 0; d < K; d++) c[i * N + j]! += a[i * K + d]! * b[j * K + d]!;
  return {
    name: "int4_matmul",
    source: sourceOf("int4_matmul"),
    kind: "cube",
    args: ["a", "b", "c", "m"],
    values: [pack(a), pack(b), new Int32Array(m * N).fill(77), m],
    expected: [{ arg: 2, values: c, tolerance: 0 }],
    mutants: [
      dropPair("MTE2_MTE1", "0"),
      dropPair("MTE2_MTE1", "1"),
      dropPair("MTE1_M", "0"),
      dropPair("MTE1_MTE2", "0"),
      dropPair("M_MTE1", "0"),
      dropPair("M_FIX", "0"),
      dropPair("FIX_M", "0"),
      change("tail +-1", "rows, K, 0, K, 16", "rows", "rows - 1"),
      change("tail +-1", "MmadParams{16, N, K}", "K", "K - 1"),
      change("stride unit", "b2[part * N * 64]", "N * 64", "N * 32"),
      change("stride unit", "aGm[i * K]", "i * K", "i * K / 2"),
      change("stride unit", " 0, K, N, 1, 0", "K", "K / 2"),
      change("shrink a buffer", "A1, 0, 16 * K", "16 * K", "16 * K - 64"),
      change("shrink a buffer", "B2, 0, N * K", "N * K", "N * K / 2"),
      change("overlap two", "B1, 1536, N", "1536", "1536 - 32"),
      change("missing core", "i += GetBlockNum() * 16", "16", "32"),
    ],
  };
}

/** `bits`: 8 or 4 a number. */
function matmulKn(bits: 8 | 4): SimCase {
  const [m, K, N] = [37, 128, 128];
  const [a, b] = [nibbles(m * K, 30), nibbles(K * N, 31)];
  const c = new Int32Array(m * N);
  for (let i = 0; i < m; i++)
    for (let d = 0; d < K; d++) for (let j = 0; j < N; j++) c[i * N + j]! += a[i * K + d]! * b[d * N + j]!;
  const packed = (x: Int32Array): Int32Array => (bits === 4 ? pack(x) : new Int32Array(Int8Array.from(x).buffer));
  return {
    name: "matmul_kn",
    source: sourceOf("matmul_kn"),
    kind: "cube",
    args: ["a", "b", "c", "m", "bits"],
    values: [packed(a), packed(b), new Int32Array(m * N).fill(77), m, bits],
    expected: [{ arg: 2, values: c, tolerance: 0 }],
    mutants: [
      dropPair("MTE2_MTE1", "1"),
      dropPair("MTE1_M", "0"),
      change("stride unit", "{i, N / C0, K / C0", "K / C0", "1"),
      change("stride unit", "C0 / 16 - 1, 0, 0", "C0 / 16 - 1", "0"),
      change("stride unit", "b2[i * C0 * N]", "i * C0 * N", "i * C0 * 16"),
      change("tail +-1", "{i, N / C0, K / C0", "N / C0", "N / C0 - 1"),
      change("shrink a buffer", "B2, 0, K * N", "K * N", "K * N / 2"),
    ],
  };
}

function int4Cast(): SimCase {
  const n = 128 * 11;
  // Also ties, and what saturates.
  const x = halves(random(n, 27).map((v, i) => (i % 7 === 0 ? Math.round(v * 6) + 0.5 : v * 6)));
  const even = (v: number): number => (Math.abs(v % 1) === 0.5 ? 2 * Math.round(v / 2) : Math.round(v));
  const q = Int32Array.from(fromHalves(x), (v) => Math.max(-8, Math.min(7, even(v))));
  return {
    name: "int4_cast",
    source: sourceOf("int4_cast"),
    kind: "vector",
    args: ["x", "q", "r", "tiles"],
    values: [x, new Int32Array(n / 8).fill(77), new Uint16Array(n).fill(77), n / 128],
    expected: [
      { arg: 1, values: pack(q), tolerance: 0 },
      { arg: 2, values: Float32Array.from(q), tolerance: 0 },
    ],
    mutants: [
      drop("drop one barrier", "PipeBarrier<PIPE_V>();"),
      drop("drop one sync", "in.FreeTensor(xLocal);"),
      drop("drop one sync", "packed.EnQue(bytes);"),
      change("tail +-1", "RoundMode::CAST_RINT, TILE", "TILE", "TILE - 2"),
      change("tail +-1", "RoundMode::CAST_RINT, TILE", "RoundMode::CAST_RINT", "RoundMode::CAST_ROUND"),
      change("tail +-1", "CAST_NONE, TILE", "TILE", "TILE + 1"),
      change("stride unit", "pipe.InitBuffer(packed, 2, TILE / 2)", "TILE / 2", "TILE / 4"),
      change("stride unit", "qGm[t * TILE / 2]", "t * TILE / 2", "t * TILE"),
      change("missing core", "t += GetBlockNum()", "GetBlockNum()", "GetBlockNum() + 1"),
    ],
  };
}

function relay(): SimCase {
  const [rows, width] = [23, 64];
  const x = Float32Array.from(random(rows * width, 28), (v) => Math.round(v * 8));
  const z = new Float32Array(rows * width);
  for (let i = 0; i < z.length; i++) z[i] = x[i]! + (i < width ? 0 : z[i - width]!);
  const last = Float32Array.from(z, (_, i) => z[(rows - 1) * width + (i % width)]!);
  return {
    name: "relay",
    source: sourceOf("relay"),
    kind: "vector",
    args: ["x", "z", "last", "flags", "rows"],
    values: [x, new Float32Array(z.length).fill(77), new Float32Array(z.length).fill(77), new Int32Array(1024), rows],
    expected: [
      { arg: 1, values: z, tolerance: 0 },
      { arg: 2, values: last, tolerance: 0 },
    ],
    mutants: [
      drop("drop one sync", "IBWait(flagGm, sync, (row - 1) % blocks, 0);"),
      drop("drop one sync", "IBSet(flagGm, sync, block, 0);"),
      drop("drop one sync", "SyncAll(flagGm[512], sync);"),
      dropPair("MTE2_V", "0"),
      dropPair("V_MTE3", "0"),
      dropPair("MTE3_MTE2", "0"),
      swap("swap event id", "IBSet(flagGm, sync, block, 0);", "IBSet(flagGm, sync, block, 1);"),
      swap("swap event id", "IBWait(flagGm, sync, (row - 1) % blocks, 0);", "IBWait(flagGm, sync, row % blocks, 0);"),
      swap(
        "swap event id",
        "IBWait(flagGm, sync, (row - 1) % blocks, 0);",
        "IBWait(flagGm, sync, (row + 1) % blocks, 0);",
      ),
      change("shrink a buffer", "VECCALC, 512, 32 * 8", "32 * 8", "16"),
      change("shrink a buffer", "(__gm__ int32_t*)flags, 1024", "1024", "520"),
    ],
  };
}

function inTurn(): SimCase {
  const [rounds, width] = [23, 64];
  // An order of additions that rounds differently from any other.
  const x = Float32Array.from(random(rounds * width, 29), (v, i) => v * 10 ** (i % 7));
  const sum = new Float32Array(width);
  for (let i = 0; i < x.length; i++) sum[i % width]! += x[i]!;
  return {
    name: "in_turn",
    source: sourceOf("in_turn"),
    kind: "vector",
    args: ["x", "sum", "order", "rounds"],
    values: [x, new Float32Array(width), new Int32Array(20 * 8), rounds],
    expected: [{ arg: 1, values: sum, tolerance: 0 }],
    mutants: [
      drop("drop one sync", "InitDetermineComputeWorkspace(orderGm, sync);"),
      drop("drop one sync", "WaitPreBlock(orderGm, sync);"),
      drop("drop one sync", "NotifyNextBlock(orderGm, sync);"),
      dropPair("V_MTE3", "0"),
      change("shrink a buffer", "VECCALC, 512, 20 * 8", "20 * 8", "16"),
      change(
        "missing core",
        "round * GetBlockNum() + GetBlockIdx()",
        "GetBlockIdx()",
        "GetBlockNum() - 1 - GetBlockIdx()",
      ),
    ],
  };
}

export const cubeCases: readonly SimCase[] = [
  conv(),
  matmulLoad3d(),
  int4Matmul(),
  matmulKn(8),
  matmulKn(4),
  int4Cast(),
  relay(),
  inTurn(),
];
