/**
 * Launches of kernel cases on a simulated chip, kept with the bytes before and after, so that one can be run again with
 * another text. Main functions: `chooseCases` (which cases launch a kernel), `recordLaunches`.
 */
import { bf16ToF32 } from "../base/bf16.ts";
import { dtypes, type DType } from "../base/dtype.ts";
import { CompileError } from "../base/errors.ts";
import { f16FromBits } from "../base/f16.ts";
import type { DeviceBuffer, Executable, LaunchArg } from "../device/device.ts";
import { PlanningDevice } from "../device/planning.ts";
import { openSim } from "../device/sim/open-sim.ts";
import { SimDevice } from "../device/sim/sim-device.ts";
import type { SimTarget } from "../device/sim/targets.ts";
import type { TileProgram } from "../tile/ir.ts";
import { allCases } from "./all-cases.ts";
import type { KernelCase } from "./case.ts";
import { toHost } from "./nd-array.ts";

export interface NamedCase {
  readonly name: string;
  readonly c: KernelCase;
}
/** A buffer of a launch: its bytes before and, by the kernel as emitted, after. */
interface Bytes {
  readonly dtype: DType;
  readonly before: Uint8Array;
  readonly after: Uint8Array;
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
/** Without what simulates roundings, which no chip runs, and "long", which takes minutes and no other path. */
export const chipCases: readonly NamedCase[] = allCases
  .filter(({ simulation }) => simulation === undefined)
  .flatMap(({ op, cases }) => cases.filter((c) => c.name !== "long").map((c) => ({ name: `${op}: ${c.name}`, c })));

/** Programs with their grids and the bytes of their buffers, nothing run. */
class LaunchPlan extends PlanningDevice {
  readonly launches: { readonly program: TileProgram; readonly grid: readonly number[]; readonly bytes: number }[] = [];
  override launch(
    executable: Executable,
    grid: readonly number[] = [],
    args: Readonly<Record<string, LaunchArg>> = {},
  ): void {
    const sizes = Object.values(args).map((a) => (typeof a === "number" ? 0 : a.buffer.sizeBytes));
    this.launches.push({ program: executable.program, grid, bytes: sizes.reduce((a, b) => a + b, 0) });
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
export function planCase({ name, c }: NamedCase, { chip, emit }: SimTarget): Planned {
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

/** Where a program is launched: the `index`-th launch of a case. */
export interface LaunchSite {
  readonly planned: Planned;
  readonly index: number;
}
/** Launches of one text that are tried: a mutant that the first cannot show, another may. */
const launchesOfText = 6;

/**
 * Of each kernel of inference at most `perKernel` programs, each with its launches: grids of several turns first, one of
 * each size before a second. Of the programs first the longest text with such a grid, then the one with the most bytes
 * per program of its grid, whose loops take turns, then the shortest text.
 */
export function chooseCases(planned: readonly Planned[], perKernel: number): Map<string, LaunchSite[][]> {
  type Site = LaunchSite & { readonly turns: number; readonly again: number; readonly bytes: number };
  const byKernel = new Map<string, Map<string, Site[]>>();
  for (const p of planned)
    inferenceOf(p).forEach(({ program, grid, bytes }, index) => {
      const texts = byKernel.get(program.name) ?? new Map<string, Site[]>();
      byKernel.set(program.name, texts);
      const source = p.sources.get(program)!;
      const known = texts.get(source) ?? [];
      const turns = Math.min(numPrograms(grid), 12);
      const again = known.filter((k) => k.turns === turns).length;
      texts.set(source, [...known, { planned: p, index, turns, again, bytes: bytes / numPrograms(grid) }]);
    });
  return new Map([...byKernel].map(([kernel, texts]) => {
    const lists = [...texts].map(([text, sites]) => ({
      length: text.length,
      isTurning: sites.some((s) => s.turns > 1),
      bytes: Math.max(...sites.map((s) => s.bytes)),
      sites: sites.toSorted((x, y) => x.again - y.again || y.turns - x.turns).slice(0, launchesOfText),
    }));
    const byLength = lists.toSorted((a, b) => Number(b.isTurning) - Number(a.isTurning) || b.length - a.length);
    const heaviest = byLength.slice(1).toSorted((a, b) => b.bytes - a.bytes)[0];
    const ends = new Set([byLength[0]!, ...(heaviest ? [heaviest] : []), byLength.at(-1)!, ...byLength]);
    return [kernel, [...ends].slice(0, perKernel).map(({ sites }) => sites)];
  }));
} // prettier-ignore

/** A simulator that keeps what its launches read and wrote. */
export class LaunchRecorder extends SimDevice {
  readonly launches: Omit<RecordedLaunch, "tolerance">[] = [];
  /** Leaves out the kernels of training. */
  isInference = false;
  private isLeftOut({ name }: TileProgram): boolean {
    return this.isInference && trainingKernels.has(name);
  }
  override build(programs: readonly TileProgram[]): ReturnType<SimDevice["build"]> {
    const built = super.build(programs.filter((p) => !this.isLeftOut(p)));
    return programs.map((program) => (this.isLeftOut(program) ? { program, bind: () => () => {} } : built.shift()!));
  }
  override alloc(sizeBytes: number): DeviceBuffer {
    const buffer = super.alloc(sizeBytes);
    this.copyIn(buffer, 0, new Uint8Array(sizeBytes).fill(STALE));
    return buffer;
  }
  override launch(executable: Executable, grid: readonly number[], args: Readonly<Record<string, LaunchArg>>): void {
    const { program } = executable;
    if (this.isLeftOut(program)) return;
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
    const read = (): Uint8Array[] => buffers.map((b) => Uint8Array.from(b.bytes!));
    const before = read();
    super.launch(executable, grid, args);
    const after = read();
    this.launches.push({ program, grid, args: values, buffers: before.map((bytes, i) => ({ dtype: types[i]!, before: bytes, after: after[i]! })) }); // prettier-ignore
  }
}

/** Runs a case with every rule checked; what it launched, and whether its outputs are those of the reference. */
export function recordLaunches(device: LaunchRecorder, c: KernelCase): { launches: RecordedLaunch[]; isRight: boolean } {
  device.launches.length = 0;
  const outputs = c.run(device);
  const want = c.expected();
  const isRight = outputs.every((array, i) => {
    const raw = toHost(array);
    return isNear(array.dtype === "bf16" ? bf16ToF32(raw as Uint16Array) : (raw as Float32Array), want[i]!, c.tolerance);
  });
  return { launches: device.launches.map((l) => ({ ...l, tolerance: c.tolerance })), isRight };
} // prettier-ignore
export const openRecorder = (name: string): LaunchRecorder => openSim(name, {}, LaunchRecorder);

const isNear = (got: ArrayLike<number>, want: ArrayLike<number>, { rtol, atol }: KernelCase["tolerance"]): boolean => {
  if (got.length !== want.length) return false;
  for (let i = 0; i < got.length; i++) {
    const [g, w] = [got[i]!, want[i]!];
    // Nothing but itself is near an infinity, though infinity times rtol is as far as anything.
    if (!(Object.is(g, w) || g === w || (Number.isFinite(w) && Math.abs(g - w) <= atol + rtol * Math.abs(w)))) return false;
  }
  return true;
}; // prettier-ignore

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

/** How the bytes of a launch compare with those of the kernel as emitted. */
export function compareBytes({ dtype, after }: Bytes, got: Uint8Array, tolerance: KernelCase["tolerance"]): "same" | "near" | "wrong" {
  if (Buffer.compare(got, after) === 0) return "same";
  const widen = { f32: (b: Uint8Array) => new Float32Array(b.buffer, 0, b.length >> 2), bf16: (b: Uint8Array) => bf16ToF32(new Uint16Array(b.buffer, 0, b.length >> 1)), f16: (b: Uint8Array) => Float32Array.from(new Uint16Array(b.buffer, 0, b.length >> 1), f16FromBits) } as Partial<Record<DType, (b: Uint8Array) => Float32Array>>; // prettier-ignore
  const floats = widen[dtype];
  if (!floats || after.length % dtypes[dtype].size !== 0) return "wrong";
  return isNear(floats(got), floats(after), tolerance) ? "near" : "wrong";
} // prettier-ignore
