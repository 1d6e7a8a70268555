/**
 * What real chips share: memory that the host does not see, kernels built by the vendor's compiler, launches that run in
 * order on one stream, workspaces, captured lists of launches. A vendor's device (ascend/, mlu/) says how it allocates,
 * copies, loads, starts and waits.
 * Freed blocks are kept by size; since all work is on one stream, what was freed may be used again at once. A copy from or
 * to the host waits for the stream first, because a vendor's synchronous copy does not.
 */
import { CapacityError, DeviceError } from "../../base/errors.ts";
import type { TileProgram } from "../../tile/ir.ts";
import { verify } from "../../tile/verify.ts";
import type { ChipTarget, Cores, EmittedKernel, Grid } from "../chip-targets.ts";
import { SYMBOL } from "../cpu/toolchain.ts";
import type { Device, DeviceBuffer, DeviceProperties, Executable, LaunchArg, LaunchGraph } from "../device.ts"; // prettier-ignore
import { sizeClass } from "../size-class.ts";
import { argumentWord, LaunchList, LIST_BYTES, wordOf } from "../launch-list.ts";
import { ArgBlock } from "./arg-block.ts";
import { KernelBinaries, type BuiltKernel, type ChipCompiler, type ChipSource } from "./kernel-binaries.ts";

/** A kernel that can be started: the vendor's handle, or the launcher function of a library of the host. */
export interface LoadedKernel {
  readonly name: string;
  readonly kind: string;
  readonly start: (numBlocks: number, args: ArgBlock, numArgs: number) => void;
}
interface ChipExecutable extends Executable {
  readonly kernel: LoadedKernel;
  readonly workspaceBytesPerBlock: number;
  /** For blocks that work together, where a grid has work for them. */
  readonly together?: { readonly kernel: LoadedKernel; readonly blocksFor: (grid: Grid, cores: Cores) => number } | undefined; // prettier-ignore
}
interface ChipGraph extends LaunchGraph {
  readonly steps: (() => void)[];
}

class ChipBuffer implements DeviceBuffer {
  readonly device: Device;
  readonly sizeBytes: number;
  readonly handle: number;
  readonly bytes = undefined;
  constructor(device: Device, sizeBytes: number, handle: number) {
    this.device = device;
    this.sizeBytes = sizeBytes;
    this.handle = handle;
  }
}

const bytesOf = (view: ArrayBufferView): Uint8Array => new Uint8Array(view.buffer, view.byteOffset, view.byteLength);

export abstract class ChipDevice implements Device {
  readonly properties: DeviceProperties;
  readonly target: ChipTarget;
  readonly cores: Cores;
  private readonly binaries: KernelBinaries;
  private readonly pool = new Map<number, number[]>();
  /** All memory that the vendor's library handed out, in use or in the pool. */
  private readonly owned = new Set<number>();
  private readonly args = new ArgBlock();
  private list: LaunchList | undefined;
  /** What the list lies in, and its workspace. */
  private listMemory: readonly { readonly sizeBytes: number; readonly address: number }[] = [];
  private readonly alone = new Map<TileProgram, ChipExecutable>();
  private recording: (() => void)[] | undefined;

  protected constructor(name: string, target: ChipTarget, cores: Cores, compiler: ChipCompiler) {
    this.properties = { name, target: target.chip.name, numThreads: 1, features: [], chip: target.chip };
    this.target = target;
    this.cores = cores;
    this.binaries = new KernelBinaries(compiler);
  }

  /** Undefined when there is no memory left. */
  protected abstract allocate(sizeBytes: number): number | undefined;
  protected abstract release(address: number): void;
  protected abstract copyFromHost(address: number, src: Uint8Array): void;
  protected abstract copyToHost(dst: Uint8Array, address: number): void;
  /** In order with the launches. */
  protected abstract copyOnDevice(dst: number, src: number, sizeBytes: number): void;
  protected abstract load(built: BuiltKernel, source: ChipSource): LoadedKernel;
  protected abstract waitForStream(): void;
  protected abstract close(): void;

  /** Waits for everything that was asked for; errors of kernels come out here. */
  synchronize(): void {
    this.list?.run();
    this.waitForStream();
  }

  alloc(sizeBytes: number): DeviceBuffer {
    return new ChipBuffer(this, sizeBytes, this.take(sizeBytes));
  }
  private take(sizeBytes: number): number {
    const size = sizeClass(sizeBytes);
    let address = this.pool.get(size)?.pop() ?? this.allocate(size);
    if (address === undefined) {
      this.emptyPool();
      address = this.allocate(size);
    }
    if (address === undefined) throw new CapacityError(`alloc: ${size} bytes refused by ${this.properties.name}`);
    this.owned.add(address);
    return address;
  }
  free(buffer: DeviceBuffer): void {
    this.give(buffer.sizeBytes, buffer.handle);
  }
  private give(sizeBytes: number, address: number): void {
    const size = sizeClass(sizeBytes);
    const list = this.pool.get(size);
    if (list) list.push(address);
    else this.pool.set(size, [address]);
  }
  private emptyPool(): void {
    this.synchronize();
    for (const list of this.pool.values()) for (const address of list) this.drop(address);
    this.pool.clear();
  }
  private drop(address: number): void {
    this.release(address);
    this.owned.delete(address);
  }

  copyIn(dst: DeviceBuffer, dstOffset: number, src: ArrayBufferView): void {
    this.checkRange("copyIn", dst, dstOffset, src.byteLength);
    if (src.byteLength === 0) return;
    this.synchronize();
    this.copyFromHost(dst.handle + dstOffset, bytesOf(src));
  }
  copyOut(src: DeviceBuffer, srcOffset: number, dst: ArrayBufferView): void {
    this.checkRange("copyOut", src, srcOffset, dst.byteLength);
    if (dst.byteLength === 0) return;
    this.synchronize();
    this.copyToHost(bytesOf(dst), src.handle + srcOffset);
  }
  copyWithin(dst: DeviceBuffer, dstOffset: number, src: DeviceBuffer, srcOffset: number, sizeBytes: number): void {
    this.checkRange("copyWithin", dst, dstOffset, sizeBytes);
    this.checkRange("copyWithin", src, srcOffset, sizeBytes);
    if (sizeBytes === 0) return;
    this.list?.run();
    const [to, from] = [dst.handle + dstOffset, src.handle + srcOffset];
    // Vendors do not say what a copy onto itself does.
    const overlaps = Math.abs(to - from) < sizeBytes;
    this.step(() => {
      if (!overlaps) return this.copyOnDevice(to, from, sizeBytes);
      const between = this.take(sizeBytes);
      this.copyOnDevice(between, from, sizeBytes);
      this.copyOnDevice(to, between, sizeBytes);
      this.give(sizeBytes, between);
    });
  }
  private checkRange(op: string, { sizeBytes }: DeviceBuffer, offset: number, count: number): void {
    if (offset < 0 || offset + count > sizeBytes)
      throw new DeviceError(`${op}: expected bytes within ${sizeBytes}, got ${offset} + ${count}`, { backend: this.properties.name }); // prettier-ignore
  }

  fuse(programs: readonly TileProgram[]): void {
    this.list?.run();
    programs.forEach(verify);
    const emitted = this.target.emitList(programs, SYMBOL, this.cores);
    const { source, kind, numBlocks, workspaceBytesPerBlock } = emitted;
    const [kernel] = this.buildSources([{ name: "launch_list", source, kind }]);
    const workspaceBytes = workspaceBytesPerBlock * numBlocks;
    for (const { sizeBytes, address } of this.listMemory) this.give(sizeBytes, address);
    this.listMemory = [LIST_BYTES, workspaceBytes].filter((n) => n > 0).map((sizeBytes) => ({ sizeBytes, address: this.take(sizeBytes) })); // prettier-ignore
    const [list, ...workspace] = this.listMemory.map(({ address }) => address);
    this.list = new LaunchList(programs, emitted, this.properties.name, ({ words, numLaunches }) => {
      // The list before may still be read.
      this.waitForStream();
      this.copyFromHost(list!, bytesOf(words));
      this.start(kernel!, numBlocks, [list!, numLaunches, ...workspace].map(wordOf));
    });
  }

  /** Programs of the list are parts of its kernel and get none of their own. */
  build(programs: readonly TileProgram[]): Executable[] {
    const { list } = this;
    if (!list) return this.buildEach(programs);
    const alone = this.buildEach(programs.filter((program) => !list.has(program)));
    return programs.map((program) => (list.has(program) ? { program } : alone.shift()!));
  }
  private buildEach(programs: readonly TileProgram[]): ChipExecutable[] {
    const { target } = this;
    const emitted = programs.map((program) => {
      verify(program);
      return target.emit(program, SYMBOL, target.chip);
    });
    const sources = (of: readonly (Pick<EmittedKernel, "source" | "kind"> | undefined)[]): ChipSource[] =>
      of.flatMap((k, i) => (k ? [{ name: programs[i]!.name, source: k.source, kind: k.kind }] : []));
    const kernels = this.buildSources([...sources(emitted), ...sources(emitted.map((k) => k.together))]);
    const teams = kernels.slice(programs.length);
    return programs.map((program, i) => {
      const { workspaceBytesPerBlock, together } = emitted[i]!;
      return { program, kernel: kernels[i]!, workspaceBytesPerBlock, together: together && { kernel: teams.shift()!, blocksFor: together.blocksFor } }; // prettier-ignore
    });
  }
  /** Kernels in the chip's own language. */
  buildSources(sources: readonly ChipSource[]): LoadedKernel[] {
    return this.binaries.build(sources).map((built, i) => this.load(built, sources[i]!));
  }

  launch(executable: Executable, grid: readonly number[], args: Readonly<Record<string, LaunchArg>>): void {
    const { list } = this;
    if (list?.has(executable.program) && !this.recording) return list.push(executable.program, grid, args);
    list?.run();
    const { program, kernel, workspaceBytesPerBlock, together } = this.aloneOf(executable);
    const [x = 1, y = 1, z = 1] = grid;
    const words = program.params.map((p) => argumentWord(program, p, args[p.name], this.properties.name));
    words.push(wordOf(x), wordOf(y), wordOf(z));
    const numTogether = together?.blocksFor([x, y, z], this.cores) ?? 0;
    if (numTogether > 0) return this.start(together!.kernel, numTogether, words);
    const numBlocks = this.target.numBlocks(kernel.kind, x * y * z, this.cores);
    this.start(kernel, numBlocks, words, workspaceBytesPerBlock * numBlocks);
  }
  /** A kernel on so many blocks; a workspace is made for the launch and its address follows the other arguments. */
  start(kernel: LoadedKernel, numBlocks: number, words: readonly bigint[], workspaceBytes = 0): void {
    if (numBlocks === 0) return;
    const list = BigUint64Array.from(workspaceBytes > 0 ? [...words, 0n] : words);
    this.step(() => {
      const workspace = workspaceBytes > 0 ? this.take(workspaceBytes) : undefined;
      if (workspace !== undefined) list[list.length - 1] = wordOf(workspace);
      this.args.fill(list);
      kernel.start(numBlocks, this.args, list.length);
      if (workspace !== undefined) this.give(workspaceBytes, workspace);
    });
  }
  /** A program that was built as a part of a list and is now launched otherwise gets its own kernel. */
  private aloneOf(executable: Executable): ChipExecutable {
    if ("kernel" in executable) return executable as ChipExecutable;
    let own = this.alone.get(executable.program);
    if (!own) this.alone.set(executable.program, (own = this.buildEach([executable.program])[0]!));
    return own;
  }

  private step(run: () => void): void {
    this.recording?.push(run);
    run();
  }
  capture(record: () => void): ChipGraph {
    this.list?.run();
    const steps: (() => void)[] = [];
    this.recording = steps;
    try {
      record();
    } finally {
      this.recording = undefined;
    }
    return { steps, numLaunches: steps.length, dispose: () => void (steps.length = 0) };
  }
  replay(graph: LaunchGraph): void {
    this.list?.run();
    for (const run of (graph as ChipGraph).steps) run();
  }

  /** Buffers that are still in use go too. */
  dispose(): void {
    this.synchronize();
    for (const address of this.owned) this.drop(address);
    this.pool.clear();
    this.close();
    this.args.dispose();
  }
}
