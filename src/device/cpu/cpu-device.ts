/**
 * The cpu device: kernels compiled from C++, launched on a native thread pool.
 * A launch is one row of doubles (see runtime.cpp) in native memory and one FFI call; a captured list of launches
 * is replayed in one call. Freed blocks are kept by size, because a training step asks for the same sizes again.
 * Main function: `openCpu`.
 */
import { availableParallelism } from "node:os";
import { CapacityError, DeviceError } from "../../base/errors.ts";
import { emitCpp, type CppKernel } from "../../tile/emit/cpp.ts";
import type { TileProgram } from "../../tile/ir.ts";
import { verify } from "../../tile/verify.ts";
import type { BufferArg, Device, DeviceBuffer, DeviceProperties, Executable, LaunchArg, LaunchGraph } from "../device.ts"; // prettier-ignore
import { sizeClass } from "../size-class.ts";
import { openRuntime, type Runtime } from "./runtime.ts";
import type { KernelSource, OnProgress } from "./toolchain.ts";

interface CpuExecutable extends Executable {
  readonly address: number;
  readonly scratchBytes: number;
  readonly costNs: number;
}
interface CpuGraph extends LaunchGraph {
  readonly list: number;
}

/** fn, grid x, y, z, scratch bytes, flags, number of arguments. */
const HEADER = 7;
const MAX_ARGS = 64;
/** Below this the caller runs the grid alone: waking a worker costs about as much. */
const SERIAL_NS = 12_000;
/** Node 20 aborts when foreign memory of more than 4 GiB becomes one ArrayBuffer, and its Uint8Array ends there too. */
const MAX_VIEW_BYTES = 2 ** 32 - 1;

class CpuBuffer implements DeviceBuffer {
  readonly device: CpuDevice;
  readonly sizeBytes: number;
  readonly handle: number;
  private view: Uint8Array | undefined;
  constructor(device: CpuDevice, sizeBytes: number, handle: number) {
    this.device = device;
    this.sizeBytes = sizeBytes;
    this.handle = handle;
  }
  get bytes(): Uint8Array | undefined {
    if (this.sizeBytes > this.device.maxViewBytes) return undefined;
    this.view ??= this.device.view(this);
    return this.view;
  }
}

export class CpuDevice implements Device {
  readonly properties: DeviceProperties;
  private readonly runtime: Runtime;
  private readonly pool = new Map<number, number[]>();
  private readonly block: Float64Array;
  private readonly blockAddress: number;
  private recording: number[] | undefined;
  private numRecorded = 0;

  /** A larger buffer has no `bytes` and is copied in windows of this size. */
  readonly maxViewBytes: number;

  constructor(runtime: Runtime, numThreads: number, maxViewBytes = MAX_VIEW_BYTES) {
    this.runtime = runtime;
    this.maxViewBytes = maxViewBytes;
    const started = runtime.start(numThreads);
    this.properties = { name: "cpu", target: "cpu", numThreads: started, features: runtime.features };
    const bytes = (HEADER + MAX_ARGS) * 8;
    this.blockAddress = runtime.alloc(bytes);
    this.block = new Float64Array(runtime.view(this.blockAddress, bytes).buffer);
  }

  view(buffer: DeviceBuffer): Uint8Array {
    return this.runtime.view(buffer.handle, Math.max(1, buffer.sizeBytes)).subarray(0, buffer.sizeBytes);
  }

  alloc(sizeBytes: number): DeviceBuffer {
    const size = sizeClass(sizeBytes);
    let address = this.pool.get(size)?.pop();
    address ??= this.runtime.alloc(size);
    if (address === 0) {
      this.emptyPool();
      address = this.runtime.alloc(size);
    }
    if (address === 0) throw new CapacityError(`alloc: ${sizeBytes} bytes refused by the operating system`);
    return new CpuBuffer(this, sizeBytes, address);
  }
  free(buffer: DeviceBuffer): void {
    const size = sizeClass(buffer.sizeBytes);
    const list = this.pool.get(size);
    if (list) list.push(buffer.handle);
    else this.pool.set(size, [buffer.handle]);
  }
  private emptyPool(): void {
    for (const list of this.pool.values()) for (const address of list) this.runtime.free(address);
    this.pool.clear();
  }

  copyIn(dst: DeviceBuffer, dstOffset: number, src: ArrayBufferView): void {
    checkRange("copyIn", dst, dstOffset, src.byteLength);
    for (const { bytes, at } of this.windows(src))
      this.runtime.copyIn(dst.handle + dstOffset + at, bytes, bytes.length);
  }
  copyOut(src: DeviceBuffer, srcOffset: number, dst: ArrayBufferView): void {
    checkRange("copyOut", src, srcOffset, dst.byteLength);
    for (const { bytes, at } of this.windows(dst))
      this.runtime.copyOut(bytes, src.handle + srcOffset + at, bytes.length);
  }
  private windows({ buffer, byteOffset, byteLength }: ArrayBufferView): { bytes: Uint8Array; at: number }[] {
    const max = this.maxViewBytes;
    if (byteLength <= max) return [{ bytes: new Uint8Array(buffer, byteOffset, byteLength), at: 0 }];
    return Array.from({ length: Math.ceil(byteLength / max) }, (_, i) => {
      const at = i * max;
      return { bytes: new Uint8Array(buffer, byteOffset + at, Math.min(max, byteLength - at)), at };
    });
  }
  copyWithin(dst: DeviceBuffer, dstOffset: number, src: DeviceBuffer, srcOffset: number, sizeBytes: number): void {
    checkRange("copyWithin", dst, dstOffset, sizeBytes);
    checkRange("copyWithin", src, srcOffset, sizeBytes);
    const args = [dst.handle + dstOffset, src.handle + srcOffset, sizeBytes];
    this.recording?.push(this.runtime.copyKernel, 1, 1, 1, 0, 1, args.length, ...args);
    if (this.recording) this.numRecorded++;
    this.runtime.copy(args[0]!, args[1]!, sizeBytes);
  }

  build(programs: readonly TileProgram[]): CpuExecutable[] {
    const { toolchain, isaFlags } = this.runtime;
    const kernels = programs.map(emit);
    const built = toolchain.kernels(kernels, isaFlags, this.properties.numThreads);
    return kernels.map(({ program, scratchBytes, costNs }, i) => {
      const { library, symbol } = built[i]!;
      return { program, scratchBytes, costNs, address: this.runtime.load(library, symbol) };
    });
  }

  /**
   * Compiles what `plan` lists before anything needs it, in few translation units, without holding up this thread.
   * What was planned under `name` is remembered beside the cache: the next start finds it built and does not plan.
   */
  async prepare(name: string, plan: () => TileProgram[], onProgress: OnProgress): Promise<void> {
    const { toolchain, isaFlags } = this.runtime;
    const { cache } = toolchain;
    const record = `plan-${toolchain.keyOf(name, isaFlags)}`;
    const known = (cache.readJson(record) as { kernels?: unknown } | undefined)?.kernels;
    if (Array.isArray(known) && known.every((key) => cache.findKernel(String(key)))) return;
    const kernels = plan().map(emit);
    await toolchain.compileAhead(kernels, isaFlags, this.properties.numThreads, onProgress);
    cache.write(record, { kernels: kernels.map((k) => toolchain.keyOf(k.source, isaFlags)) });
  }

  launch(executable: Executable, grid: readonly number[], args: Readonly<Record<string, LaunchArg>>): void {
    const { program, address, scratchBytes, costNs } = executable as CpuExecutable;
    const { block } = this;
    const [x = 1, y = 1, z = 1] = grid;
    block[0] = address;
    block[1] = x;
    block[2] = y;
    block[3] = z;
    block[4] = scratchBytes;
    block[5] = x * y * z * costNs < SERIAL_NS ? 1 : 0;
    const { params } = program;
    block[6] = params.length;
    for (let i = 0; i < params.length; i++) {
      const arg = args[params[i]!.name];
      if (arg === undefined)
        throw new DeviceError(`launch ${program.name}: expected argument "${params[i]!.name}" (${params[i]!.kind})`, { backend: "cpu" }); // prettier-ignore
      block[HEADER + i] = typeof arg === "number" ? arg : addressOf(arg);
    }
    if (this.recording) {
      for (let i = 0; i < HEADER + params.length; i++) this.recording.push(block[i]!);
      this.numRecorded++;
    }
    this.runtime.launch(this.blockAddress);
  }

  capture(record: () => void): CpuGraph {
    this.recording = [];
    this.numRecorded = 0;
    let rows: number[];
    try {
      record();
    } finally {
      rows = this.recording;
      this.recording = undefined;
    }
    const bytes = Math.max(8, rows.length * 8);
    const list = this.runtime.alloc(bytes);
    this.runtime.copyIn(list, new Uint8Array(Float64Array.from(rows).buffer), rows.length * 8);
    return { list, numLaunches: this.numRecorded, dispose: () => this.runtime.free(list) };
  }
  replay(graph: LaunchGraph): void {
    this.runtime.replay((graph as CpuGraph).list, graph.numLaunches);
  }
  /** Launches return when they are done. */
  synchronize(): void {}
  dispose(): void {
    this.emptyPool();
    this.runtime.free(this.blockAddress);
  }
}

function emit(program: TileProgram): KernelSource & CppKernel & { readonly program: TileProgram } {
  verify(program);
  return { name: program.name, program, ...emitCpp(program, "ts_kernel") };
}

const addressOf = ({ buffer, byteOffset }: BufferArg): number => buffer.handle + byteOffset;

function checkRange(op: string, buffer: DeviceBuffer, offset: number, sizeBytes: number): void {
  if (offset < 0 || offset + sizeBytes > buffer.sizeBytes)
    throw new DeviceError(`${op}: expected bytes within ${buffer.sizeBytes}, got ${offset} + ${sizeBytes}`, { backend: "cpu" }); // prettier-ignore
}

let shared: CpuDevice | undefined;

/** One per process, since the thread pool is; undefined when there is no compiler. */
export function openCpu(): CpuDevice | undefined {
  if (shared) return shared;
  const runtime = openRuntime();
  if (!runtime) return undefined;
  const wanted = Number(process.env["TESSERA_THREADS"] ?? 0);
  return (shared = new CpuDevice(runtime, wanted > 0 ? wanted : availableParallelism()));
}
