/**
 * A simulator as a device: the emitted source of a chip, unchanged, compiled by the host's C++ compiler against headers
 * of ours that carry the chip's programming model, and launched through one foreign function per kernel.
 * A rule that the kernel breaks comes back as a `SimulationError`. In fast mode nothing is checked.
 * Main functions: `build` and `launch` of tile programs; `compileKernels` and `run` of kernels that others wrote.
 */
import koffi from "koffi";
import { DeviceError } from "../../base/errors.ts";
import type { TileProgram } from "../../tile/ir.ts";
import { verify } from "../../tile/verify.ts";
import type { CpuDevice } from "../cpu/cpu-device.ts";
import { SYMBOL, Toolchain, type Compiler } from "../cpu/toolchain.ts";
import type { BufferArg, DeviceBuffer, Executable, LaunchArg, LaunchGraph } from "../device.ts";
import { HostDevice, type HostKernel } from "../host-device.ts";
import { LaunchList, LIST_BYTES } from "../launch-list.ts";
import type { EmittedKernel, Grid } from "../chip-targets.ts";
import type { SimTarget } from "./targets.ts";
import { parseFigures, parseReport, type RunFigures } from "./violation.ts";

/** A kernel in the chip's own language, whose function is called `ts_kernel` (foreign.ts renames others). */
export interface SimSource {
  readonly name: string;
  readonly source: string;
  readonly kind: string;
  /** Names of the arguments, for messages. */
  readonly args: readonly string[];
  /** What is compiled, where that is not `source` and an entry after it. */
  readonly unit?: string;
}
export interface SimKernel extends SimSource {
  readonly enter: (words: Float64Array, sizes: Float64Array, numArgs: number, launch: Float64Array, report: Uint8Array, reportBytes: number) => number; // prettier-ignore
}

export interface SimOptions {
  /** No checks, immediate execution: for whole models. */
  readonly isFast: boolean;
  /** Draws the order of what the kernel leaves unordered; 0: consumers first, 1: producers first. */
  readonly seed: number;
  /** Count as there what the vendor's compiler inserts by itself; our own kernels must do without. */
  readonly autoSync: boolean;
  /** Report races; off, a test can see which numbers they give. */
  readonly reportRaces: boolean;
  /** What unwritten memory of a core is filled with; 0xff is NaN in every type. */
  readonly poison: number;
  /** Also look for the order of every two accesses by paths instead of clocks, see engine/audit.h. */
  readonly audit: boolean;
}
export interface RunOptions extends Partial<SimOptions> {
  readonly numBlocks: number;
  /** The same along x, y and z, where a kernel asks for its place on each (MLU); all along x by default. */
  readonly dims?: readonly [number, number, number];
  /** Position of an argument whose bytes may not be read before the kernel has written them. */
  readonly workspaceArg?: number;
  /** Device memory that the kernel reaches by addresses which it reads, beside that of its arguments. */
  readonly memory?: readonly BufferArg[];
}

const REPORT_BYTES = 2048;
/** Hidden symbols, since many libraries with the same headers live in one process. */
const flags = ["-std=gnu++20", "-O1", "-fvisibility=hidden", "-fno-gnu-unique", "-ffp-contract=off", "-lm"];

const exact: SimOptions = { isFast: false, seed: 0, autoSync: false, reportRaces: true, poison: 0xff, audit: false };

export class SimDevice extends HostDevice {
  readonly target: SimTarget;
  readonly options: SimOptions;
  /** Figures of the last kernel; none in fast mode. */
  lastRun: RunFigures | undefined;
  /** Of the last kernel: a key of the target's `kinds`. */
  lastKind: string | undefined;
  private readonly toolchain: Toolchain;
  /** Buffers live where foreign code can see them by address. */
  private readonly memory: CpuDevice;
  private readonly flags: readonly string[];
  private readonly report = new Uint8Array(REPORT_BYTES);
  /** What waits to run as one kernel, after `fuse`. */
  list: LaunchList | undefined;
  /** What the list lies in, and its workspace. */
  private listMemory: readonly BufferArg[] = [];

  constructor(
    name: string,
    target: SimTarget,
    memory: CpuDevice,
    compiler: Compiler,
    options: Partial<SimOptions> = {},
  ) {
    // prettier-ignore
    super(name, () => () => () => {}, { name, target: target.chip.name, numThreads: target.numThreads, features: [], chip: target.chip }); // prettier-ignore
    this.target = target;
    this.memory = memory;
    this.options = { ...exact, ...options };
    this.toolchain = new Toolchain(compiler, { folders: target.folders, header: target.header, kernelsPerUnit: 64 });
    this.flags = [...flags, ...target.flags, ...(this.options.isFast ? ["-DSIM_FAST", "-O2"] : [])];
  }

  override alloc(sizeBytes: number): DeviceBuffer {
    return new SimBuffer(this, this.memory.alloc(sizeBytes));
  }
  override free(buffer: DeviceBuffer): void {
    this.memory.free((buffer as SimBuffer).inner);
  }

  override copyIn(dst: DeviceBuffer, dstOffset: number, src: ArrayBufferView): void {
    this.list?.run();
    super.copyIn(dst, dstOffset, src);
  }
  override copyOut(src: DeviceBuffer, srcOffset: number, dst: ArrayBufferView): void {
    this.list?.run();
    super.copyOut(src, srcOffset, dst);
  }
  override copyWithin(dst: DeviceBuffer, dstOffset: number, src: DeviceBuffer, srcOffset: number, sizeBytes: number): void {
    this.list?.run();
    super.copyWithin(dst, dstOffset, src, srcOffset, sizeBytes);
  } // prettier-ignore
  override synchronize(): void {
    this.list?.run();
  }
  override capture(record: () => void): ReturnType<HostDevice["capture"]> {
    const { list } = this;
    list?.run();
    this.list = undefined;
    try {
      return super.capture(record);
    } finally {
      this.list = list;
    }
  }
  override replay(graph: LaunchGraph): void {
    this.list?.run();
    super.replay(graph);
  }
  override launch(executable: Executable, grid: readonly number[], args: Readonly<Record<string, LaunchArg>>): void {
    const { list } = this;
    if (list?.has(executable.program)) return list.push(executable.program, grid, args);
    list?.run();
    super.launch(executable, grid, args);
  }

  fuse(programs: readonly TileProgram[]): void {
    this.list?.run();
    programs.forEach((program) => verify(program));
    const { target } = this;
    const emitted = target.emitList(programs, SYMBOL);
    const { source, kind, numBlocks, workspaceBytesPerBlock } = emitted;
    const args = ["list", "launches", "workspace"];
    const [kernel] = this.compileKernels([{ name: "launch_list", source, kind, args }]);
    for (const { buffer } of this.listMemory) this.free(buffer);
    const workspaceBytes = workspaceBytesPerBlock * numBlocks;
    this.listMemory = [LIST_BYTES, workspaceBytes].filter((n) => n > 0).map((n) => ({ buffer: this.alloc(n), byteOffset: 0 })); // prettier-ignore
    const [list, ...workspace] = this.listMemory;
    this.list = new LaunchList(programs, emitted, this.properties.name, ({ words, numLaunches, memory }) => {
      super.copyIn(list!.buffer, 0, words);
      const options = { numBlocks, memory: [...memory.values()], ...(workspaceBytes > 0 && { workspaceArg: 2 }) };
      this.run(kernel!, [list!, numLaunches, ...workspace], options);
    });
  }

  /** Programs of a list are parts of its kernel; they get one of their own only when they are launched without it. */
  override build(programs: readonly TileProgram[]): (Executable & { readonly bind: HostKernel })[] {
    const alone = programs.filter((program) => !this.list?.has(program));
    const bindings = this.bindingsOf(alone);
    return programs.map((program) => {
      if (!this.list?.has(program)) return { program, bind: bindings.shift()! };
      let own: HostKernel | undefined;
      return { program, bind: (grid, args) => (own ??= this.bindingsOf([program])[0]!)(grid, args) };
    });
  }
  private bindingsOf(programs: readonly TileProgram[]): HostKernel[] {
    const { target } = this;
    const emitted = programs.map((program) => {
      verify(program);
      return target.emit(program, SYMBOL, target.chip);
    });
    const sourceOf = (i: number, { source, kind }: Pick<EmittedKernel, "source" | "kind">): SimSource => ({ name: programs[i]!.name, source, kind, args: argsOf(programs[i]!) }); // prettier-ignore
    const united = emitted.flatMap(({ together }, i) => (together ? [{ i, together }] : []));
    const kernels = this.compileKernels([...emitted.map((k, i) => sourceOf(i, k)), ...united.map(({ i, together }) => sourceOf(i, together))]); // prettier-ignore
    const bindings = programs.map((_, i) => this.bindGrid(kernels[i]!, emitted[i]!.workspaceBytesPerBlock));
    united.forEach(({ i, together }, at) => (bindings[i] = this.bindEither(bindings[i]!, kernels[programs.length + at]!, together.blocksFor))); // prettier-ignore
    return bindings;
  }

  /** By the grid: blocks that work together, or each alone. */
  private bindEither(alone: HostKernel, kernel: SimKernel, blocksFor: (grid: Grid) => number): HostKernel {
    return (grid, args) => {
      const [x = 1, y = 1, z = 1] = grid;
      const numBlocks = blocksFor([x, y, z]);
      return numBlocks === 0 ? alone(grid, args) : () => this.run(kernel, [...args, x, y, z], { numBlocks });
    };
  }

  private bindGrid(kernel: SimKernel, workspaceBytesPerBlock: number): HostKernel {
    return ([x = 1, y = 1, z = 1], args) => {
      const numBlocks = this.target.numBlocks(kernel.kind, x * y * z);
      return () => {
        if (numBlocks === 0) return;
        if (workspaceBytesPerBlock === 0) return void this.run(kernel, [...args, x, y, z], { numBlocks });
        const workspace = this.alloc(workspaceBytesPerBlock * numBlocks);
        const all = [...args, x, y, z, { buffer: workspace, byteOffset: 0 }];
        try {
          this.run(kernel, all, { numBlocks, workspaceArg: all.length - 1 });
        } finally {
          this.free(workspace);
        }
      };
    };
  }

  /** Kernels in the chip's language, compiled a few dozen to a translation unit. */
  compileKernels(sources: readonly SimSource[]): SimKernel[] {
    const built = this.toolchain.kernels(sources.map(withEntry), this.flags, 1);
    return sources.map((source, i) => {
      const { library, symbol } = built[i]!;
      const enter = koffi
        .load(library)
        .func(`int ${symbol}_run(const double*, const double*, int, const double*, void*, int)`) as SimKernel["enter"];
      return { ...source, enter };
    });
  }

  /** Compiles kernels beside this thread; what fails is left to `compileKernels`, which says why. */
  compileAhead(sources: readonly SimSource[]): Promise<void> {
    return this.toolchain.compileAhead(sources.map(withEntry), this.flags, 1, () => {});
  }

  /** Hash of a kernel's text and of all it is compiled with. */
  keyOf(source: SimSource): string {
    return this.toolchain.keyOf(withEntry(source).source, this.flags);
  }

  /** Whether the text of a mutant was reached, see mutate/mutant.ts. Throws SimulationError. */
  run(kernel: SimKernel, args: readonly LaunchArg[], options: RunOptions): boolean {
    const {
      numBlocks,
      seed,
      autoSync,
      reportRaces,
      poison,
      audit,
      workspaceArg = -1,
      memory = [],
      dims = [numBlocks, 1, 1],
    } = { ...this.options, ...options };
    const all = [...args, ...memory];
    const words = Float64Array.from(all, (arg) => (typeof arg === "number" ? arg : arg.buffer.handle + arg.byteOffset)); // prettier-ignore
    const sizes = Float64Array.from(all, (arg) => (typeof arg === "number" ? -1 : sizeOf(arg)));
    this.lastKind = kernel.kind;
    const kind = this.target.kinds[kernel.kind];
    if (kind === undefined) throw new DeviceError(`${kernel.name}: expected a kind of ${Object.keys(this.target.kinds).join(", ")}, got "${kernel.kind}"`, { backend: this.properties.name }); // prettier-ignore
    const launch = Float64Array.of(
      numBlocks,
      kind,
      seed,
      reportRaces ? 1 : 0,
      autoSync ? 1 : 0,
      workspaceArg,
      poison,
      audit ? 1 : 0,
      all.length,
      ...dims,
    );
    const code = kernel.enter(words, sizes, args.length, launch, this.report, REPORT_BYTES);
    const text = Buffer.from(this.report.subarray(0, this.report.indexOf(0))).toString("utf8");
    this.lastRun = code === 1 || this.options.isFast ? undefined : parseFigures(text);
    if (code !== 1) return code === 2;
    throw parseReport(text, kernel, this.properties.name);
  }
}

/** A buffer of the cpu device that belongs to the simulator. */
class SimBuffer implements DeviceBuffer {
  readonly device: SimDevice;
  readonly inner: DeviceBuffer;
  constructor(device: SimDevice, inner: DeviceBuffer) {
    this.device = device;
    this.inner = inner;
  }
  get sizeBytes(): number {
    return this.inner.sizeBytes;
  }
  get handle(): number {
    return this.inner.handle;
  }
  get bytes(): Uint8Array | undefined {
    return this.inner.bytes;
  }
}

const sizeOf = ({ buffer, byteOffset }: BufferArg): number => buffer.sizeBytes - byteOffset;
const argsOf = (program: TileProgram): string[] => [...program.params.map((p) => p.name), "grid x", "grid y", "grid z", "workspace"]; // prettier-ignore

/** Line numbers in reports are those of the source itself. */
const withEntry = ({ name, source, unit }: SimSource): { name: string; source: string } => ({
  name,
  source: unit ?? `#line 1 "${name}"\n${source}\nTESSERA_SIM_ENTRY(${SYMBOL})\n`,
});
