/**
 * Cambricon MLU cores: mtp_372 (MLU370) and mtp_592 (MLU590). Vectors and the left operand live in NRAM, the right one
 * in WRAM, products come back to NRAM. What the four cores of a cluster load alike waits in its SRAM.
 * Sources: capacities and arch guards of the public mlu-ops repository (April 2026), instruction names and dtypes of
 * the MIT-licensed bang_device_functions.h and of public kernels; the vendor's manual is not public, so an op that
 * none of them shows has no row.
 */
import type { DType } from "../../base/dtype.ts";
import {
  either,
  expand,
  native,
  type Arch,
  type CastTable,
  type MluSpace,
  type OpRow,
  type VectorTable,
  type WidenTable,
} from "./types.ts";

const K = 1024;
const floats: readonly DType[] = ["f16", "f32"];
const integers: readonly DType[] = ["i32", "u32", "i8", "u8"];
const words: readonly DType[] = ["f32", "i32", "u32", "bool"];
const all: readonly DType[] = ["f32", "f16", "bf16", "i32", "u32", "i8", "u8", "e4m3", "bool"];

const vector372: VectorTable = {
  unary: {
    neg: native(...floats),
    abs: native(...floats),
    // The active_exp of 372 clips its input.
    exp: expand("mul_scalar by log2(e), pow2", floats),
    log: native(...floats),
    sqrt: native(...floats),
    rsqrt: native(...floats),
    recip: native(...floats),
    sin: native(...floats),
    cos: native(...floats),
    tanh: native(...floats),
    sigmoid: native(...floats),
    floor: native(...floats),
    round: expand("float2int32_rn, int322float", ["f32"], 1),
    not: either(native("bool"), expand("bnot", integers)),
  },
  binary: {
    add: native(...floats),
    sub: native(...floats),
    mul: native(...floats),
    div: expand("recip, mul", floats, 1),
    min: native(...floats),
    max: native(...floats),
    mod: expand("recip, mul, floor, mul, sub, one correction", ["f32"], 2),
    and: either(native("bool"), expand("band", integers)),
    or: either(native("bool"), expand("bor", integers)),
    xor: either(native("bool"), expand("bxor", integers)),
    shl: native(),
    shr: native(),
  },
  compare: {
    eq: native(...floats),
    ne: native(...floats),
    lt: native(...floats),
    le: native(...floats),
    gt: native(...floats),
    ge: native(...floats),
  },
  reduce: { sum: native(...floats), max: native(...floats), min: native(...floats), argmax: native(...floats) },
  other: {
    full: native(...all),
    iota: expand("a scalar loop over the first row", ["i32"]),
    // A mask has 4 bytes an element, and so has what it picks from.
    select: expand("mask to all bits, band, bnot, band, bor", words, 2),
    broadcast: native(...all),
    transpose: native(...all),
    cumsum: expand("a scalar loop over NRAM", ["f32", "i32"]),
    topk: expand("k times argmax of what is left", ["f32"], 2),
    unpack: native(),
    random: native(),
  },
  scalarOperand: { binary: new Set(["add", "sub", "mul", "min", "max"]), compare: true, select: false },
};

const casts: CastTable = {
  f32: {
    f16: { by: "float2half_rn" },
    bf16: { by: "float2bfloat16_rn" },
    i32: { by: "float2int32_tz" },
    i8: { by: "float2int8_tz", assumes: "values within i8" },
    bool: { by: "ne_scalar 0" },
  },
  f16: { f32: { by: "half2float" }, bool: { by: "ne_scalar 0" } },
  bf16: { f32: { by: "bfloat162float" } },
  i32: { f32: { by: "int322float" }, u32: { by: "same bits" } },
  u32: { i32: { by: "same bits", onTheWay: "values below 2^31" } },
  i8: { f32: { by: "int82float" }, f16: { by: "int82half" }, u8: { by: "same bits", onTheWay: "values not negative" } },
  u8: { i8: { by: "same bits", onTheWay: "values below 128" } },
  // A comparison gives 0 or 1 in the type it compared.
  bool: { f32: { by: "nothing: masks are 0 and 1 in f32" }, f16: { by: "float2half_rn" } },
  e4m3: {},
};

const widen: WidenTable = {
  f32: [],
  bf16: [{ to: "f32" }],
  f16: [{ to: "f32" }],
  e4m3: [],
  i32: [{ to: "f32", assumes: "integers below 2^24" }],
  u32: [
    { to: "i32", assumes: "integers below 2^31" },
    { to: "f32", assumes: "integers below 2^24" },
  ],
  i8: [{ to: "f32", assumes: "results within i8" }],
  u8: [{ to: "f32", assumes: "results within u8" }],
  bool: [{ to: "f32" }],
};

export const mlu372: Arch<MluSpace> = {
  name: "MLU mtp_372",
  source: "mlu-ops kernel.h and header constants of the toolkit",
  spaces: {
    // 128 KB of NRAM hold the scalar stack. Public kernels keep counts to multiples of 128 bytes, so rows are too.
    NRAM: { sizeBytes: 768 * K, reservedBytes: 128 * K, alignBytes: 128, rowBytes: 128 },
    WRAM: { sizeBytes: 1024 * K, reservedBytes: 0, alignBytes: 64, rowBytes: 64 },
    SRAM: { sizeBytes: 4096 * K, reservedBytes: 128 * K, alignBytes: 128, rowBytes: 128 },
  },
  roles: { vector: "NRAM", stage: "NRAM", left: "NRAM", right: "WRAM", product: "NRAM" },
  maskBits: 32,
  vector: vector372,
  casts,
  widen,
  matrix: {
    dtypes: ["f32", "f16", "i8"],
    m: 1,
    n: 64,
    kBytes: 128,
    transposeSquare: undefined,
    intSums: "f32",
    accumulates: false,
    // No public limit.
    maxDim: Number.POSITIVE_INFINITY,
    vectorPath: "same memory",
  },
  stridedElementBytes: (n) => n,
};

/** 592 adds bf16 and full-range i32 arithmetic, bf16 products, a real division. */
const wide = (row: OpRow): OpRow => either(native(...row.native, "bf16", "i32"), row);
const { add, sub, mul, min, max } = vector372.binary;

export const mlu592: Arch<MluSpace> = {
  ...mlu372,
  name: "MLU mtp_592",
  spaces: {
    NRAM: { ...mlu372.spaces.NRAM, sizeBytes: 512 * K },
    WRAM: { ...mlu372.spaces.WRAM, sizeBytes: 512 * K },
    SRAM: { ...mlu372.spaces.SRAM, sizeBytes: 2048 * K },
  },
  vector: {
    ...vector372,
    unary: { ...vector372.unary, exp: native(...floats) },
    binary: {
      ...vector372.binary,
      add: wide(add),
      sub: wide(sub),
      mul: wide(mul),
      min: wide(min),
      max: wide(max),
      div: native(...floats),
      mod: expand("div, floor, mul, sub, one correction", ["f32"], 2),
    },
  },
  matrix: { ...mlu372.matrix, dtypes: ["f32", "f16", "bf16", "i8"] },
};
