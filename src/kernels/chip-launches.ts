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
import { longLaunches, type LongLaunch } from "./chip-turns.ts";
import { toHost } from "./nd-array.ts";

/** A kernel case, or a launch for mutants only. */
export interface NamedCase<C extends LongLaunch> {
  readonly name: string;
  readonly c: C;
}
/** A buffer of a launch as it is before. */
interface Bytes {
  readonly dtype: DType;
  readonly before: Uint8Array;
}
/** A program's launch: an argument is a number, or a position among recorded buffers with an offset. */
export interface RecordedCall {
  readonly program: TileProgram;
  readonly grid: readonly number[];
  readonly args: readonly (number | { readonly buffer: number; readonly byteOffset: number })[];
}
export interface RecordedLaunch {
  /** One, or those of a list. */
  readonly calls: readonly RecordedCall[];
  readonly buffers: readonly Bytes[];
  readonly tolerance: KernelCase["tolerance"];
  /** Of a list: the forms that its programs take are those for this grid, not for their own. */
  readonly formsFor?: readonly [number, number, number];
}

/** What memory holds before anyone has written it: in no type a number that a kernel would compute. */
const STALE = 0x7f;

export const trainingKernels: ReadonlySet<string> = new Set(allCases.flatMap((c) => c.training ?? []));
/** What a chip is checked with: without "long", which takes minutes and no other path. */
const casesOf = (chip: Chip): NamedCase<KernelCase>[] =>
  allCases
    .filter(({ onlyWhere = () => true }) => onlyWhere(chip))
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

export interface Planned<C extends LongLaunch = LongLaunch> extends NamedCase<C> {
  readonly launches: LaunchPlan["launches"];
  /** Of the launches with more turns. */
  readonly isLong: boolean;
  /** Text by program. */
  readonly sources: ReadonlyMap<TileProgram, string>;
  /** A kernel of training that the chip has no lowering for: the case cannot run there. */
  readonly refused?: string;
}
export const planCases = (target: SimTarget): Planned<KernelCase>[] =>
  casesOf(target.chip).map((c) => planCase(c, target));
/** What mutants run on: the kernel cases, and launches with more turns. */
export const planLaunches = (target: SimTarget): Planned[] => [
  ...planCases(target),
  ...longLaunches(target.chip).map((c) => planCase({ name: `turns: ${c.name}`, c }, target, true)),
];
function planCase<C extends LongLaunch>(
  { name, c }: NamedCase<C>,
  { chip, emit }: SimTarget,
  isLong = false,
): Planned<C> {
  const device = new LaunchPlan({ name: "none", target: "none", numThreads: 1, features: [], chip });
  c.run(device);
  const sources = new Map<TileProgram, string>();
  let refused: string | undefined;
  for (const p of device.programs)
    try {
      sources.set(p, emit(p, "ts_kernel", chip).source);
    } catch (error) {
      if (!(error instanceof CompileError && trainingKernels.has(p.name))) throw error;
      refused ??= p.name;
    }
  return { name, c, isLong, launches: device.launches, sources, ...(refused !== undefined && { refused }) };
}

/** A program of a kernel with the launch of it that takes most turns of its loops. */
interface Candidate {
  readonly planned: Planned;
  readonly index: number;
  /** Of those with more turns; then programs of the grid, and bytes for each of them: inner loops take turns over these. */
  readonly isLong: boolean;
  readonly grid: readonly number[];
  readonly programs: number;
  readonly bytes: number;
}
/** Turns in which what takes two places by turns takes the first again. */
const ENOUGH_TURNS = 3;
/** Below 0 where `a` takes more turns. */
const byTurns = (a: Candidate, b: Candidate): number =>
  Number(b.isLong) - Number(a.isLong) || Math.min(b.programs, ENOUGH_TURNS) - Math.min(a.programs, ENOUGH_TURNS);
/** Launches of one program that are tried at most, where one does not say enough. */
const MOST_LAUNCHES = 5;
/** A text's forms of statements: its lines without numbers. */
const formsOf = (source: string): Set<string> => new Set(source.split("\n").filter((line) => !/^\s*(\/\/|$)/.test(line)).map((line) => line.trim().replace(/\d+/g, ""))); // prettier-ignore

/** Of one program, that with most turns first, then most bytes. */
export type Launches = readonly { readonly planned: Planned; readonly index: number }[];
/**
 * Of each kernel of inference so many programs that every form of statement in any of them is in one of these, at most
 * `perKernel`: those with most turns first, then with most forms that are new, then with most bytes.
 */
export function chooseCases(planned: readonly Planned[], perKernel: number): Map<string, Launches[]> {
  const byKernel = new Map<string, Map<string, Candidate[]>>();
  for (const p of planned)
    p.launches.forEach(({ program, grid, bytes }, index) => {
      if (trainingKernels.has(program.name)) return;
      const texts = byKernel.get(program.name) ?? new Map<string, Candidate[]>();
      byKernel.set(program.name, texts);
      const source = p.sources.get(program)!;
      const programs = numPrograms(grid);
      const candidate = { planned: p, index, isLong: p.isLong, grid, programs, bytes: bytes / Math.max(1, programs) };
      texts.set(source, [...(texts.get(source) ?? []), candidate]);
    });
  return new Map([...byKernel].map(([kernel, texts]) => [kernel, coverForms(texts, perKernel)]));
} // prettier-ignore
/** Those that differ in grid or sizes, in order. */
function distinct(launches: readonly Candidate[]): Candidate[] {
  const sorted = launches.toSorted((a, b) => byTurns(a, b) || b.bytes - a.bytes);
  const keys = sorted.map(({ grid, bytes }) => `${grid.join(" ")} ${bytes}`);
  return sorted.filter((_, i) => keys.indexOf(keys[i]!) === i).slice(0, MOST_LAUNCHES);
}
function coverForms(texts: ReadonlyMap<string, readonly Candidate[]>, limit: number): Launches[] {
  const left = [...texts].map(([source, launches]) => ({ launches: distinct(launches), forms: formsOf(source) }));
  const seen = new Set<string>();
  const chosen: Launches[] = [];
  while (chosen.length < limit) {
    const rated = left
      .map((c) => ({ ...c, fresh: [...c.forms].filter((f) => !seen.has(f)).length }))
      .filter((c) => c.fresh > 0);
    const best = rated.toSorted((a, b) => byTurns(a.launches[0]!, b.launches[0]!) || b.fresh - a.fresh || b.launches[0]!.bytes - a.launches[0]!.bytes)[0]; // prettier-ignore
    if (!best) break;
    chosen.push(best.launches);
    for (const f of best.forms) seen.add(f);
  }
  return chosen;
}

/** Calls with the buffers that they share. */
class Recording {
  readonly calls: RecordedCall[] = [];
  readonly kept: Bytes[] = [];
  private readonly buffers: DeviceBuffer[] = [];
  /** A buffer's bytes are kept when it is first seen: what no call has touched is as it was before the first. */
  add(program: TileProgram, grid: readonly number[], args: Readonly<Record<string, LaunchArg>>): void {
    const values = program.params.map((p) => {
      const arg = args[p.name]!;
      if (typeof arg === "number") return arg;
      let at = this.buffers.indexOf(arg.buffer);
      if (at < 0) {
        at = this.buffers.push(arg.buffer) - 1;
        this.kept.push({ dtype: p.kind === "buffer" ? p.dtype : "u8", before: Uint8Array.from(arg.buffer.bytes!) });
      }
      return { buffer: at, byteOffset: arg.byteOffset };
    });
    this.calls.push({ program, grid, args: values });
  }
}
/** The interpreter with a chip's tiles, keeping what its launches began with: no text of the chip need be compiled for it. */
export class LaunchRecorder extends HostDevice {
  /** One for each launch, or one for all. */
  readonly recordings: Recording[] = [];
  private readonly isList: boolean;
  constructor(chip: Chip, isList = false) {
    super("interpreter", interpreted, { name: "recorder", target: "interpreter", numThreads: 1, features: [], chip });
    this.isList = isList;
  }
  override alloc(sizeBytes: number): DeviceBuffer {
    const buffer = super.alloc(sizeBytes);
    buffer.bytes!.fill(STALE);
    return buffer;
  }
  override launch(executable: Executable, grid: readonly number[], args: Readonly<Record<string, LaunchArg>>): void {
    if (!this.isList || this.recordings.length === 0) this.recordings.push(new Recording());
    this.recordings.at(-1)!.add(executable.program, grid, args);
    super.launch(executable, grid, args);
  }
}
/** With `isList` all launches as one. */
export function recordLaunches(chip: Chip, c: LongLaunch, isList = false): RecordedLaunch[] {
  const device = new LaunchRecorder(chip, isList);
  c.run(device);
  return device.recordings.map(({ calls, kept }) => ({ calls, buffers: kept, tolerance: c.tolerance }));
}

/** Bytes by which a buffer may begin off the line of memory that cores must not share; every type's elements lie at their sizes. */
const OFF_LINE = 4;
/** The same launch with every buffer so many bytes on. */
export const offTheLine = ({ calls, buffers, tolerance }: RecordedLaunch): RecordedLaunch => ({
  calls: calls.map((c) => ({ ...c, args: c.args.map((a) => (typeof a === "number" ? a : { ...a, byteOffset: a.byteOffset + OFF_LINE })) })),
  buffers: buffers.map(({ dtype, before }) => ({ dtype, before: Uint8Array.from(Buffer.concat([new Uint8Array(OFF_LINE), before])) })),
  tolerance,
}); // prettier-ignore

/** Whether a device's outputs of a case are those of the reference. */
export function isRight(device: Device, c: KernelCase): boolean {
  const want = c.expected();
  return c.run(device).every((array, i) => {
    const raw = toHost(array);
    return isNear(array.dtype === "bf16" ? bf16ToF32(raw as Uint16Array) : (raw as Float32Array), want[i]!, c.tolerance);
  });
} // prettier-ignore

export const isNear = (
  got: ArrayLike<number>,
  want: ArrayLike<number>,
  tolerance: KernelCase["tolerance"],
): boolean => {
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
/** Where a buffer stands among those of a launch. */
interface Place {
  readonly isInLaterHalf: boolean;
  /** The last that the kernel reads. */
  readonly isLastInput: boolean;
}
/** Changes the floats of one buffer of a launch. */
export type Change = (floats: Float32Array, place: Place) => void;
/** Other numbers for a launch: another one is the largest, or beyond a bound. */
export const otherNumbers: readonly Change[] = [
  (floats) => void floats.reverse(),
  // A power of two keeps every digit.
  (floats) => floats.forEach((x, i) => (floats[i] = x * 1024)),
  // Products of an early and a late buffer, and what late ones bound, are far below 0: only what is masked is below them.
  (floats, { isInLaterHalf }) => floats.forEach((x, i) => (floats[i] = Math.abs(x) * (isInLaterHalf ? -4096 : 4096))),
  // Exponentials of them are tiny, and not nothing beside 1.
  (floats) => floats.forEach((x, i) => (floats[i] = Math.abs(x) * -16)),
  // Products with the last one and whatever else is compared with them are below 0 by hundreds: exponents relative to
  // anything but their own maximum vanish, where nearer numbers would only round differently.
  (floats, { isLastInput }) => floats.forEach((x, i) => (floats[i] = Math.abs(x) * (isLastInput ? 1 / 16 : -4096))),
];
/** The buffers of a launch before it with their floats changed. */
export function changedBytes({ calls, buffers }: RecordedLaunch, change: Change): Uint8Array[] {
  const { program, args } = calls[0]!;
  const last = program.params.findLastIndex((p) => p.kind === "buffer" && p.mode !== "out" && dtypes[p.dtype].size > 1);
  const lastInput = args[last];
  return buffers.map(({ dtype, before }, i) => {
    const bytes = before.slice();
    const isInLaterHalf = i >= Math.floor(buffers.length / 2);
    const isLastInput = typeof lastInput === "object" && lastInput.buffer === i;
    if (bytes.length % dtypes[dtype].size === 0) changeFloats[dtype]?.(bytes, (floats) => change(floats, { isInLaterHalf, isLastInput })); // prettier-ignore
    return bytes;
  });
}

/** How the bytes of a buffer compare with those that the kernel as emitted leaves. */
export function compareBytes(dtype: DType, after: Uint8Array, got: Uint8Array, tolerance: KernelCase["tolerance"]): "same" | "near" | "wrong" {
  if (Buffer.compare(got, after) === 0) return "same";
  const widen = { f32: (b: Uint8Array) => new Float32Array(b.buffer, 0, b.length >> 2), bf16: (b: Uint8Array) => bf16ToF32(new Uint16Array(b.buffer, 0, b.length >> 1)), f16: (b: Uint8Array) => Float32Array.from(new Uint16Array(b.buffer, 0, b.length >> 1), f16FromBits) } as Partial<Record<DType, (b: Uint8Array) => Float32Array>>; // prettier-ignore
  const floats = widen[dtype];
  if (!floats || after.length % dtypes[dtype].size !== 0) return "wrong";
  return isNear(floats(got), floats(after), tolerance) ? "near" : "wrong";
} // prettier-ignore
