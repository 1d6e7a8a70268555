/**
 * Huawei Ascend AI cores: architecture 2201 (910B, 910C) and 3510 (950). One cube core with L1, L0A, L0B, L0C and two
 * vector cores with a UB each; a program is planned for one cube and one vector core.
 * Sources: capacities from the platform description files of the CANN runtime (platform_config/*.ini, July 2026);
 * instructions, dtypes and alignments from the public Ascend C documentation of CANN 9.1. Facts only, none of its code.
 */
import type { DType } from "../../base/dtype.ts";
import {
  either,
  expand,
  native,
  type Arch,
  type AscendSpace,
  type CastTable,
  type VectorTable,
  type WidenTable,
} from "./types.ts";

const K = 1024;
const floats: readonly DType[] = ["f16", "f32"];
const numbers: readonly DType[] = ["f16", "f32", "i32"];
const words: readonly DType[] = ["f32", "i32", "u32", "f16", "bf16"];
const bytes: readonly DType[] = ["i8", "u8", "e4m3"];
const integers: readonly DType[] = ["i32", "u32", "i8", "u8"];

/** 2201: no bf16, int8 or fp8 arithmetic in the vector unit. */
const vector2201: VectorTable = {
  unary: {
    neg: expand("Muls by -1", numbers),
    abs: either(native(...floats), expand("Muls by -1, Max", ["i32"], 1)),
    exp: native(...floats),
    log: native(...floats),
    sqrt: native(...floats),
    // Rsqrt and Reciprocal are low-precision estimates here.
    rsqrt: expand("Sqrt, Duplicate, Div", floats, 1),
    recip: expand("Duplicate, Div", floats, 1),
    sin: expand("range reduction by Cast RINT, polynomial by Mul and Add", ["f32"], 3),
    cos: expand("range reduction by Cast RINT, polynomial by Mul and Add", ["f32"], 3),
    tanh: expand("Muls, Exp, Adds, Div", ["f32"], 2),
    sigmoid: expand("Muls, Exp, Adds, Div", ["f32"], 1),
    floor: expand("Cast FLOOR to i32, Cast", ["f32"], 1),
    round: expand("Cast RINT to i32, Cast", ["f32"], 1),
    not: either(native("bool"), expand("Not on 16-bit lanes", integers)),
  },
  binary: {
    add: either(native(...numbers), expand("Add of the same bits as i32", ["u32"])),
    sub: either(native(...numbers), expand("Sub of the same bits as i32", ["u32"])),
    mul: either(native(...numbers), expand("Mul of the same bits as i32", ["u32"])),
    div: native(...floats),
    min: native(...numbers),
    max: native(...numbers),
    mod: expand("Div, Cast FLOOR to i32, Cast, Mul, Sub, one correction", ["f32"], 2),
    and: either(native("bool"), expand("And on 16-bit lanes", integers)),
    or: either(native("bool"), expand("Or on 16-bit lanes", integers)),
    xor: expand("Or, And, Not, And", ["bool", ...integers], 1),
    shl: native("i32", "u32"),
    shr: native("i32", "u32"),
  },
  // Of i32 only EQ is an instruction; a <= b is max(a, b) = b, exact for every value.
  compare: {
    eq: native(...numbers),
    ne: either(native(...floats), expand("Compare EQ, Not", ["i32"])),
    le: either(native(...floats), expand("Max, Compare EQ", ["i32"], 1)),
    ge: either(native(...floats), expand("Min, Compare EQ", ["i32"], 1)),
    lt: either(native(...floats), expand("Min, Compare EQ, Not", ["i32"], 1)),
    gt: either(native(...floats), expand("Max, Compare EQ, Not", ["i32"], 1)),
  },
  reduce: { sum: native(...floats), max: native(...floats), min: native(...floats), argmax: native(...floats) },
  other: {
    full: either(native(...words), expand("Duplicate of pairs on 16-bit lanes", ["bool", ...bytes])),
    iota: native("i32"),
    select: either(
      native(...floats),
      expand("Select of the same bits as f32 or f16", ["i32", "u32", "bf16"]),
      expand("And, Not, And, Or", ["bool"], 1),
    ),
    broadcast: native(...words),
    transpose: native(...words, ...bytes),
    cumsum: expand("log2(n) turns of Gather, Add", numbers, 2),
    topk: expand("Sort32, MrgSort, GatherMask", ["f32"]),
    unpack: native(),
    random: expand("Mul, Add, Or, And, Not, ShiftRight of the same bits as i32", ["u32"], 2),
  },
  scalarOperand: { binary: new Set(["add", "sub", "mul", "min", "max"]), compare: true, select: true },
};

const casts2201: CastTable = {
  f32: {
    bf16: { by: "Cast RINT" },
    f16: { by: "Cast RINT" },
    i32: { by: "Cast TRUNC" },
    bool: { by: "Compares NE 0" },
  },
  bf16: { f32: { by: "Cast" }, i32: { by: "Cast TRUNC" } },
  f16: {
    f32: { by: "Cast" },
    i32: { by: "Cast TRUNC" },
    i8: { by: "Cast TRUNC", assumes: "values within i8" },
    u8: { by: "Cast TRUNC", assumes: "values within u8" },
    bool: { by: "Compares NE 0" },
  },
  i32: { f32: { by: "Cast RINT" }, u32: { by: "same bits" }, bool: { by: "Compares EQ 0, Not" } },
  u32: { i32: { by: "same bits", onTheWay: "values below 2^31" } },
  i8: { f16: { by: "Cast" }, u8: { by: "same bits", onTheWay: "values not negative" } },
  u8: { f16: { by: "Cast" }, i8: { by: "same bits", onTheWay: "values below 128" } },
  bool: { f16: { by: "Select of 1 and 0" }, f32: { by: "Select of 1 and 0" } },
  e4m3: {},
};

const widen: WidenTable = {
  f32: [],
  bf16: [{ to: "f32" }],
  f16: [{ to: "f32" }],
  e4m3: [{ to: "f32" }],
  i32: [{ to: "f32", assumes: "integers below 2^24" }],
  u32: [{ to: "i32", assumes: "integers below 2^31" }],
  i8: [{ to: "f16", assumes: "results within i8" }],
  u8: [{ to: "f16", assumes: "results within u8" }],
  bool: [{ to: "f16" }],
};

export const ascend2201: Arch<AscendSpace> = {
  name: "Ascend 2201",
  source: "platform_config of the CANN runtime: Ascend910B*, Ascend910_93*",
  spaces: {
    // 256 B for mixed kernels, 8 KB for instructions with scratch of their own (Select).
    // Compare works on 256 bytes at a time, whatever the tile's length.
    UB: {
      sizeBytes: 192 * K,
      reservedBytes: 256 + 8 * K,
      alignBytes: 256,
      rowBytes: 32,
      rowElements: 16,
      packsColumns: true,
    },
    L1: { sizeBytes: 512 * K, reservedBytes: 256, alignBytes: 32, rowBytes: 32 },
    L0A: { sizeBytes: 64 * K, reservedBytes: 0, alignBytes: 512, rowBytes: 32 },
    L0B: { sizeBytes: 64 * K, reservedBytes: 0, alignBytes: 512, rowBytes: 32 },
    L0C: { sizeBytes: 128 * K, reservedBytes: 0, alignBytes: 1024, rowBytes: 64 },
  },
  roles: { vector: "UB", stage: "L1", left: "L0A", right: "L0B", product: "L0C" },
  maskBits: 1,
  vector: vector2201,
  casts: casts2201,
  widen,
  matrix: {
    dtypes: ["f16", "bf16", "f32", "i8"],
    m: 16,
    n: 16,
    kBytes: 32,
    transposeSquare: { 1: 32, 2: 16, 4: 16 },
    intSums: "i32",
    accumulates: true,
    maxDim: 4095,
    // Between cube and vector cores only through device memory.
    vectorPath: "workspace",
  },
  // A strided copy puts every element into a 32-byte block of its own.
  stridedElementBytes: () => 32,
};

/** What 3510 adds: bf16 and int8 arithmetic, fp8 casts and products, a cast of fp4x2 to bf16, a direct way between L0C and UB. */
const withNarrow = (row: VectorTable["binary"]["add"]): VectorTable["binary"]["add"] =>
  either(native(...row.native, "bf16", "i8"), row);
const { add, sub, mul, min, max } = vector2201.binary;

export const ascend3510: Arch<AscendSpace> = {
  ...ascend2201,
  name: "Ascend 3510",
  source: "platform_config of the CANN runtime: Ascend950*",
  spaces: {
    ...ascend2201.spaces,
    UB: { ...ascend2201.spaces.UB, sizeBytes: 256 * K, reservedBytes: 8 * K },
    L0C: { ...ascend2201.spaces.L0C, sizeBytes: 256 * K },
  },
  vector: {
    ...vector2201,
    binary: {
      ...vector2201.binary,
      add: withNarrow(add),
      sub: withNarrow(sub),
      mul: withNarrow(mul),
      min: withNarrow(min),
      max: withNarrow(max),
    },
    // Cast of fp4x2: its count is of numbers, and the low half of a byte comes first, by our reading.
    other: { ...vector2201.other, unpack: native("i8") },
  },
  casts: {
    ...casts2201,
    f32: { ...casts2201.f32, e4m3: { by: "Cast RINT" } },
    e4m3: { f32: { by: "Cast" } },
  },
  matrix: { ...ascend2201.matrix, dtypes: [...ascend2201.matrix.dtypes, "e4m3"], vectorPath: "direct" },
};
