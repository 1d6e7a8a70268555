/**
 * Launches of kernel cases with a chip's programs, kept with the bytes before, so that one can be run on its simulator
 * with any text. Main functions: `chooseCases` (which cases launch a kernel), `recordLaunches`.
 */
import { bf16ToF32 } from "../base/bf16.ts";
import { dtypes, type DType } from "../base/dtype.ts";
import { CompileError } from "../base/errors.ts";
import { f16FromBits } from "../base/f16.ts";
import type { Device, DeviceBuffer, Executable, LaunchArg } from "../device/device.ts";
import { HostDevice } from "../device/host-device.ts";
import { interpreted } from "../device/interpreter.ts";
import { PlanningDevice } from "../device/planning.ts";
import type { SimTarget } from "../device/sim/targets.ts";
import type { Chip } from "../tile/chips/types.ts";
import type { TileProgram } from "../tile/ir.ts";
import { allCases } from "./all-cases.ts";
import { isWithin, type KernelCase } from "./case.ts";
import { toHost } from "./nd-array.ts";

export interface NamedCase {
  readonly name: string;
  readonly c: KernelCase;
}
/** A buffer of a launch as it is before. */
interface Bytes {
  readonly dtype: DType;
  readonly before: Uint8Array;
}
export interface RecordedLaunch {
  readonly program: TileProgram;
  readonly grid: readonly number[];
  /** A number, or a position in `buffers` with an offset. */
  readonly args: readonly (number | { readonly buffer: number; readonly byteOffset: number })[];
  readonly buffers: readonly Bytes[];
  readonly tolerance: KernelCase["tolerance"];
}

/** What memory holds before anyone has written it: in no type a number that a kernel would compute. */
const STALE = 0x7f;

export const trainingKernels: ReadonlySet<string> = new Set(allCases.flatMap((c) => c.training ?? []));
/** What a chip is checked with: without what simulates roundings, which no chip runs, and "long", which takes minutes and no other path. */
const casesOf = (chip: Chip): readonly NamedCase[] =>
  allCases
    .filter(({ simulation, onlyWhere = () => true }) => simulation === undefined && onlyWhere(chip))
    .flatMap(({ op, cases }) => cases.filter((c) => c.name !== "long").map((c) => ({ name: `${op}: ${c.name}`, c })));

/** Programs with their grids, nothing run. */
class LaunchPlan extends PlanningDevice {
  readonly launches: { readonly program: TileProgram; readonly grid: readonly number[]; readonly bytes: number }[] = [];
  override launch(
    executable: Executable,
    grid: readonly number[] = [],
    args: Readonly<Record<string, LaunchArg>> = {},
  ): void {
    const bytes = Object.values(args).reduce<number>(
      (n, a) => n + (typeof a === "number" ? 0 : a.buffer.sizeBytes - a.byteOffset),
      0,
    );
    this.launches.push({ program: executable.program, grid, bytes });
  }
}
const numPrograms = (grid: readonly number[]): number => grid.reduce((a, b) => a * b, 1);

export interface Planned extends NamedCase {
  readonly launches: LaunchPlan["launches"];
  /** Text by program. */
  readonly sources: ReadonlyMap<TileProgram, string>;
  /** A kernel of training that the chip has no lowering for. */
  readonly refused?: string;
}
export const planCases = (target: SimTarget): Planned[] => casesOf(target.chip).map((c) => planCase(c, target));
function planCase({ name, c }: NamedCase, { chip, emit }: SimTarget): Planned {
  const device = new LaunchPlan({ name: "none", target: "none", numThreads: 1, features: [], chip });
  c.run(device);
  const sources = new Map<TileProgram, string>();
  for (const p of device.programs)
    try {
      sources.set(p, emit(p, "ts_kernel", chip).source);
    } catch (error) {
      if (!(error instanceof CompileError && trainingKernels.has(p.name))) throw error;
      return { name, c, launches: [], sources, refused: p.name };
    }
  return { name, c, launches: device.launches, sources };
}

/** What a case launches before the first kernel of training, which nothing here runs. */
function inferenceOf({ launches }: Planned): Planned["launches"] {
  const end = launches.findIndex(({ program }) => trainingKernels.has(program.name));
  return end < 0 ? launches : launches.slice(0, end);
}

/**
 * Of each kernel of inference at most `perKernel` programs: grids of several turns first, of those the longest text; then
 * the most bytes per program of the grid, whose loops take turns; then the shortest text. Of a program the launch with most turns of its loops: most programs, then most bytes.
 */
export function chooseCases(planned: readonly Planned[], perKernel: number): Map<string, { planned: Planned; index: number }[]> {
  const byKernel = new Map<string, Map<string, { planned: Planned; index: number; turns: number; bytes: number }>>();
  for (const p of planned)
    inferenceOf(p).forEach(({ program, grid, bytes }, index) => {
      const texts = byKernel.get(program.name) ?? new Map<string, { planned: Planned; index: number; turns: number; bytes: number }>();
      byKernel.set(program.name, texts);
      const source = p.sources.get(program)!;
      const known = texts.get(source);
      const turns = Math.min(numPrograms(grid), 4);
      if (!known || turns > known.turns || (turns === known.turns && bytes > known.bytes)) texts.set(source, { planned: p, index, turns, bytes });
    });
  return new Map([...byKernel].map(([kernel, texts]) => {
    const sorted = [...texts].toSorted(([a, x], [b, y]) => Number(y.turns > 1) - Number(x.turns > 1) || b.length - a.length).map(([, launch]) => launch);
    const perProgram = ({ planned: p, index, bytes }: (typeof sorted)[number]): number => bytes / Math.max(1, numPrograms(p.launches[index]!.grid));
    const heaviest = sorted.slice(1).toSorted((a, b) => perProgram(b) - perProgram(a)).slice(0, 1);
    return [kernel, [...new Set([sorted[0]!, ...heaviest, sorted.at(-1)!, ...sorted])].slice(0, perKernel)];
  }));
} // prettier-ignore

/** The interpreter with a chip's tiles, keeping what its launches began with: no text of the chip need be compiled for it. */
export class LaunchRecorder extends HostDevice {
  readonly launches: Omit<RecordedLaunch, "tolerance">[] = [];
  constructor(chip: Chip) {
    super("interpreter", interpreted, { name: "recorder", target: "interpreter", numThreads: 1, features: [], chip });
  }
  override alloc(sizeBytes: number): DeviceBuffer {
    const buffer = super.alloc(sizeBytes);
    buffer.bytes!.fill(STALE);
    return buffer;
  }
  override launch(executable: Executable, grid: readonly number[], args: Readonly<Record<string, LaunchArg>>): void {
    const { program } = executable;
    const buffers: DeviceBuffer[] = [];
    const types: DType[] = [];
    const values = program.params.map((p) => {
      const arg = args[p.name]!;
      if (typeof arg === "number") return arg;
      let at = buffers.indexOf(arg.buffer);
      if (at < 0) {
        at = buffers.push(arg.buffer) - 1;
        types.push(p.kind === "buffer" ? p.dtype : "u8");
      }
      return { buffer: at, byteOffset: arg.byteOffset };
    });
    const before = buffers.map((b, i) => ({ dtype: types[i]!, before: Uint8Array.from(b.bytes!) }));
    super.launch(executable, grid, args);
    this.launches.push({ program, grid, args: values, buffers: before });
  }
}
export function recordLaunches(chip: Chip, c: KernelCase): RecordedLaunch[] {
  const device = new LaunchRecorder(chip);
  c.run(device);
  return device.launches.map((l) => ({ ...l, tolerance: c.tolerance }));
}

/** Whether a device's outputs of a case are those of the reference. */
export function isRight(device: Device, c: KernelCase): boolean {
  const want = c.expected();
  return c.run(device).every((array, i) => {
    const raw = toHost(array);
    return isNear(array.dtype === "bf16" ? bf16ToF32(raw as Uint16Array) : (raw as Float32Array), want[i]!, c.tolerance);
  });
} // prettier-ignore

const isNear = (got: ArrayLike<number>, want: ArrayLike<number>, tolerance: KernelCase["tolerance"]): boolean => {
  if (got.length !== want.length) return false;
  for (let i = 0; i < got.length; i++)
    if (!Object.is(got[i], want[i]) && !isWithin(got[i]!, want[i]!, tolerance)) return false;
  return true;
};

/** Changes the floats of a buffer in place; none for other types. */
const changeFloats: Partial<Record<DType, (bytes: Uint8Array, change: (floats: Float32Array) => void) => void>> = {
  f32: (bytes, change) => change(new Float32Array(bytes.buffer)),
  bf16: (bytes, change) => {
    const bits = new Uint16Array(bytes.buffer);
    const words = Uint32Array.from(bits, (b) => b << 16);
    change(new Float32Array(words.buffer));
    for (const [i, word] of words.entries()) bits[i] = word >>> 16;
  },
};
/** Changes the floats of one buffer of a launch; `isLater`: of the second half of its buffers. */
export type Change = (floats: Float32Array, isLater: boolean) => void;
/** Other numbers for a launch: another one is the largest, or beyond a bound. */
export const otherNumbers: readonly Change[] = [
  (floats) => void floats.reverse(),
  // A power of two keeps every digit.
  (floats) => floats.forEach((x, i) => (floats[i] = x * 1024)),
  // Products of an early and a late buffer, and what late ones bound, are far below 0: only what is masked is below them.
  (floats, isLater) => floats.forEach((x, i) => (floats[i] = Math.abs(x) * (isLater ? -4096 : 4096))),
];
/** The buffers of a launch before it with their floats changed. */
export const changedBytes = ({ buffers }: RecordedLaunch, change: Change): Uint8Array[] =>
  buffers.map(({ dtype, before }, i) => {
    const bytes = before.slice();
    const isLater = i >= Math.floor(buffers.length / 2);
    if (bytes.length % dtypes[dtype].size === 0) changeFloats[dtype]?.(bytes, (floats) => change(floats, isLater));
    return bytes;
  });

/** How the bytes of a buffer compare with those that the kernel as emitted leaves. */
export function compareBytes(dtype: DType, after: Uint8Array, got: Uint8Array, tolerance: KernelCase["tolerance"]): "same" | "near" | "wrong" {
  if (Buffer.compare(got, after) === 0) return "same";
  const widen = { f32: (b: Uint8Array) => new Float32Array(b.buffer, 0, b.length >> 2), bf16: (b: Uint8Array) => bf16ToF32(new Uint16Array(b.buffer, 0, b.length >> 1)), f16: (b: Uint8Array) => Float32Array.from(new Uint16Array(b.buffer, 0, b.length >> 1), f16FromBits) } as Partial<Record<DType, (b: Uint8Array) => Float32Array>>; // prettier-ignore
  const floats = widen[dtype];
  if (!floats || after.length % dtypes[dtype].size !== 0) return "wrong";
  return isNear(floats(got), floats(after), tolerance) ? "near" : "wrong";
} // prettier-ignore
