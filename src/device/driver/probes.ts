/**
 * Small kernels whose results decide what no public document states. Each says what it decides and what every possible
 * result means; one whose meaning is not fine says that the emitted kernels are wrong on this device.
 * Main functions: `chipProbes` (those of every chip), `runProbes`. A chip's own are in its folder.
 */
import { f16FromBits } from "../../base/f16.ts";
import { DeviceError, TesseraError } from "../../base/errors.ts";
import { kernel } from "../../tile/builder.ts";
import type { TileProgram } from "../../tile/ir.ts";
import type { DeviceBuffer } from "../device.ts";
import { addressWord } from "../launch-list.ts";
import type { ChipDevice } from "./chip-device.ts";
import type { ChipSource } from "./kernel-binaries.ts";

export interface Outcome {
  readonly says: string;
  readonly holds: (out: Float32Array) => boolean;
  /** Whether the emitted kernels are right when it is so. */
  readonly isFine: boolean;
}
export interface Probe {
  readonly name: string;
  readonly decides: string;
  /** Reads `x0`, `x1`, ... and writes `y`; a kernel in the chip's language takes their addresses in this order. */
  readonly source: { readonly program: TileProgram } | { readonly text: ChipSource } | { readonly list: Turns };
  readonly inputs: readonly Float32Array[];
  readonly output: { readonly count: number; readonly dtype: "f32" | "f16" };
  /** First match counts. */
  readonly outcomes: readonly Outcome[];
  /** What it means when the device refuses to run it, if that may be. */
  readonly refusal?: string;
}
/** A program of one input launched `count` times as a list, each on what the one before wrote. */
export interface Turns {
  readonly program: TileProgram;
  readonly grid: readonly number[];
  /** Odd, so that the last one writes `y`. */
  readonly count: number;
}
export interface ProbeReport {
  readonly name: string;
  readonly decides: string;
  readonly outcome: string;
  readonly isFine: boolean;
}

/** In order; their kernels are compiled together, unless one does not compile: then each says so itself. */
export function runProbes(device: ChipDevice, probes: readonly Probe[]): ProbeReport[] {
  try {
    device.build(probes.flatMap(({ source }) => ("program" in source ? [source.program] : [])));
    device.buildSources(probes.flatMap(({ source }) => ("text" in source ? [source.text] : [])));
  } catch (error) {
    if (!(error instanceof TesseraError)) throw error;
  }
  return probes.map((probe) => runProbe(device, probe));
}

function runProbe(device: ChipDevice, probe: Probe): ProbeReport {
  const { name, decides, refusal } = probe;
  try {
    const out = resultOf(device, probe);
    const outcome = probe.outcomes.find(({ holds }) => holds(out));
    if (outcome) return { name, decides, outcome: outcome.says, isFine: outcome.isFine };
    return {
      name,
      decides,
      outcome: `none of the expected results: ${out.slice(0, 8).join(", ")}, ...`,
      isFine: false,
    };
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    const isExpected = refusal !== undefined && error instanceof DeviceError;
    return { name, decides, outcome: isExpected ? `${refusal} (${error.message})` : error.message, isFine: isExpected };
  }
}

function resultOf(device: ChipDevice, { source, inputs, output }: Probe): Float32Array {
  const { count, dtype } = output;
  const buffers: DeviceBuffer[] = [];
  const alloc = (sizeBytes: number): DeviceBuffer => {
    const buffer = device.alloc(sizeBytes);
    buffers.push(buffer);
    return buffer;
  };
  try {
    const args = inputs.map((values) => {
      const buffer = alloc(values.byteLength);
      device.copyIn(buffer, 0, values);
      return { buffer, byteOffset: 0 };
    });
    const raw = dtype === "f32" ? new Float32Array(count) : new Uint16Array(count);
    const y = { buffer: alloc(raw.byteLength), byteOffset: 0 };
    if ("program" in source) {
      const named = Object.fromEntries(args.map((arg, i) => [`x${i}`, arg]));
      device.launch(device.build([source.program])[0]!, [1], { ...named, y });
    } else if ("list" in source) {
      const { program, grid, count } = source.list;
      device.fuse([program]);
      const [run] = device.build([program]);
      for (let i = 0; i < count; i++) device.launch(run!, grid, i % 2 === 0 ? { x0: args[0]!, y } : { x0: y, y: args[0]! }); // prettier-ignore
    } else device.start(device.buildSources([source.text])[0]!, 1, [...args, y].map(addressWord));
    device.copyOut(y.buffer, 0, raw);
    return raw instanceof Uint16Array ? Float32Array.from(raw, f16FromBits) : raw;
  } finally {
    for (const buffer of buffers) device.free(buffer);
  }
}

const upTo = (count: number, at: (i: number) => number): Float32Array => Float32Array.from({ length: count }, (_, i) => at(i)); // prettier-ignore
const equals =
  (want: readonly number[]) =>
  (out: Float32Array): boolean =>
    want.every((w, i) => Object.is(out[i], w));

const addOne = kernel("probe_launch", (k) => {
  const [x, y] = [k.view(k.buffer("x0", "f32"), [64]), k.view(k.buffer("y", "f32", "out"), [64])];
  k.store(y, [0], k.load(x, [0], [64]).add(1));
});
/** Every program takes what its right neighbour wrote before, and adds one. */
const NEIGHBOURS = 96;
const fromNeighbour = kernel("probe_list", (k) => {
  const [x, y] = [k.view(k.buffer("x0", "f32"), [NEIGHBOURS * 16]), k.view(k.buffer("y", "f32", "out"), [NEIGHBOURS * 16])]; // prettier-ignore
  const p = k.programId(0);
  k.store(y, [p.mul(16)], k.load(x, [p.add(1).mod(NEIGHBOURS).mul(16)], [16]).add(1));
});
const NUM_TURNS = 65;
const toHalf = kernel("probe_cast", (k) => {
  const [x, y] = [k.view(k.buffer("x0", "f32"), [64]), k.view(k.buffer("y", "f16", "out"), [64])];
  k.store(y, [0], k.load(x, [0], [64]).cast("f16"));
});
/** y [16, n] = half(x0 [16, k]) . half(x1 [n, k])^T; `after` works on the product where it is made. */
const product = (name: string, k: number, n: number, isMixed = false): TileProgram =>
  kernel(name, (b) => {
    const a = b.load(b.view(b.buffer("x0", "f32"), [16, k]), [0, 0], [16, k]).cast("f16");
    const c = b.load(b.view(b.buffer("x1", "f32"), [n, k]), [0, 0], [n, k]).cast("f16");
    const out = b.dot(a, c, { transB: true });
    b.store(b.view(b.buffer("y", "f32", "out"), [16, n]), [0, 0], isMixed ? out.max(0).mul(2) : out);
  });

const identity = upTo(64 * 64, (i) => (i % 64 === Math.floor(i / 64) ? 1 : 0));
/** Values that say where they were: column, and row above them. */
const places = upTo(16 * 64, (i) => (i % 64) + 64 * Math.floor(i / 64) - 512);
/** A tie that goes down, one that goes up, a negative one, and what is too large. */
const ties = [1 + 2 ** -11, 1 + 3 * 2 ** -11, -1 - 2 ** -11, 70000];
/** 2^24 and fifteen ones. */
const largeThenSmall = upTo(16 * 16, (i) => (i % 16 === 0 ? 4096 : 1));

export const chipProbes: readonly Probe[] = [
  {
    name: "launch",
    decides: "whether a kernel is compiled, loaded and run at all",
    source: { program: addOne },
    inputs: [upTo(64, (i) => i)],
    output: { count: 64, dtype: "f32" },
    outcomes: [{ says: "runs", holds: (out) => out.every((y, i) => y === i + 1), isFine: true }],
  },
  {
    name: "rounding of casts",
    decides: "how f32 becomes f16: ties, and what is too large",
    source: { program: toHalf },
    inputs: [upTo(64, (i) => ties[i % 4]!)],
    output: { count: 64, dtype: "f16" },
    outcomes: [
      { says: "to nearest, ties to even; too large is infinity", holds: equals([1, 1 + 2 ** -9, -1, Infinity]), isFine: true }, // prettier-ignore
      {
        says: "to nearest, ties to even; too large is 65504",
        holds: equals([1, 1 + 2 ** -9, -1, 65504]),
        isFine: true,
      },
      { says: "ties away from zero", holds: equals([1 + 2 ** -10, 1 + 2 ** -9, -1 - 2 ** -10]), isFine: false },
      { says: "towards zero", holds: equals([1, 1 + 2 ** -10, -1]), isFine: false },
    ],
  },
  {
    name: "layout of the right operand",
    decides: "whether a product with the identity gives its left operand back (on MLU: the lanes of WRAM)",
    source: { program: product("probe_identity", 64, 64) },
    inputs: [places, identity],
    output: { count: 16 * 64, dtype: "f32" },
    outcomes: [
      { says: "every column in its place", holds: (out) => out.every((y, i) => y === places[i]), isFine: true },
      {
        says: "columns are permuted, the same in every row: the layout is another one",
        holds: (out) => out.every((y, i) => out[i % 64] === y - 64 * Math.floor(i / 64)) && new Set(out.subarray(0, 64)).size === 64, // prettier-ignore
        isFine: false,
      },
    ],
  },
  {
    name: "rounding of products",
    decides: "how many roundings a sum of 16 products has (2^24 and fifteen ones)",
    source: { program: product("probe_rounding", 16, 16) },
    inputs: [largeThenSmall, largeThenSmall],
    output: { count: 16 * 16, dtype: "f32" },
    outcomes: [
      { says: "one for the whole sum", holds: ([y]) => y === 2 ** 24 + 16, isFine: true },
      { says: "one at every addition, in order", holds: ([y]) => y === 2 ** 24, isFine: true },
      { says: "in a tree, or in groups", holds: ([y]) => y! > 2 ** 24 && y! < 2 ** 24 + 16, isFine: true },
    ],
  },
  {
    name: "both cores",
    decides: "whether a product whose operands and result the vector unit works on is handed over (on Ascend: by flags and a workspace)", // prettier-ignore
    source: { program: product("probe_mixed", 64, 64, true) },
    inputs: [places, identity],
    output: { count: 16 * 64, dtype: "f32" },
    outcomes: [{ says: "handed over", holds: (out) => out.every((y, i) => y === 2 * Math.max(places[i]!, 0)), isFine: true }], // prettier-ignore
  },
  {
    name: "lists of launches",
    decides: "whether cores of one kernel meet at its barriers and then see each other's writes (generate --fuse)",
    source: { list: { program: fromNeighbour, grid: [NEIGHBOURS], count: NUM_TURNS } },
    inputs: [upTo(NEIGHBOURS * 16, (i) => i)],
    output: { count: NEIGHBOURS * 16, dtype: "f32" },
    outcomes: [
      { says: "they do", holds: (out) => out.every((y, i) => y === ((i + 16 * NUM_TURNS) % (NEIGHBOURS * 16)) + NUM_TURNS), isFine: true }, // prettier-ignore
      { says: "cores run ahead of each other: launches must stay alone", holds: (out) => out.every(Number.isFinite), isFine: false }, // prettier-ignore
    ],
    refusal: "refused: launches must stay alone",
  },
];

/** 64 numbers from 0.01 to 100. */
export const someNumbers = upTo(64, (i) => 0.01 * 10 ** (i / 16));
/** The largest relative error of 1 / sqrt is at most `bound`. */
export const rsqrtWithin = (bound: number) => (out: Float32Array): boolean =>
  out.every((y, i) => Math.abs(y * Math.sqrt(someNumbers[i]!) - 1) <= bound); // prettier-ignore
