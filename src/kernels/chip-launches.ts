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
import { isWithin, type KernelCase } from "./case.ts";
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

/**
 * Of each kernel of inference at most `perKernel` programs: grids of several turns first, then the longest text, and the
 * shortest. Of a program the launch with most turns of its loops: most programs, then most bytes.
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
    const ends = sorted.length > 1 ? [sorted[0]!, sorted.at(-1)!, ...sorted.slice(1, -1)] : sorted;
    return [kernel, ends.slice(0, perKernel)];
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

const isNear = (got: ArrayLike<number>, want: ArrayLike<number>, tolerance: KernelCase["tolerance"]): boolean => {
  if (got.length !== want.length) return false;
  for (let i = 0; i < got.length; i++)
    if (!Object.is(got[i], want[i]) && !isWithin(got[i]!, want[i]!, tolerance)) return false;
  return true;
};

/** How the bytes of a launch compare with those of the kernel as emitted. */
export function compareBytes({ dtype, after }: Bytes, got: Uint8Array, tolerance: KernelCase["tolerance"]): "same" | "near" | "wrong" {
  if (Buffer.compare(got, after) === 0) return "same";
  const widen = { f32: (b: Uint8Array) => new Float32Array(b.buffer, 0, b.length >> 2), bf16: (b: Uint8Array) => bf16ToF32(new Uint16Array(b.buffer, 0, b.length >> 1)), f16: (b: Uint8Array) => Float32Array.from(new Uint16Array(b.buffer, 0, b.length >> 1), f16FromBits) } as Partial<Record<DType, (b: Uint8Array) => Float32Array>>; // prettier-ignore
  const floats = widen[dtype];
  if (!floats || after.length % dtypes[dtype].size !== 0) return "wrong";
  return isNear(floats(got), floats(after), tolerance) ? "near" : "wrong";
} // prettier-ignore
