/**
 * The cpu device: kernels compiled from C++, launched on a native thread pool.
 * A launch is one row of doubles (see runtime.cpp) in native memory and one FFI call; a captured list of launches
 * is replayed in one call. Freed blocks are kept by size, because a training step asks for the same sizes again.
 * Main function: `openCpu`.
 */
import { availableParallelism } from "node:os";
import { CapacityError, DeviceError } from "../../base/errors.ts";
import { emitCpp } from "../../tile/emit/cpp.ts";
import type { TileProgram } from "../../tile/ir.ts";
import { verify } from "../../tile/verify.ts";
import type { BufferArg, Device, DeviceBuffer, DeviceProperties, Executable, LaunchArg, LaunchGraph } from "../device.ts"; // prettier-ignore
import { sizeClass } from "../size-class.ts";
import { openRuntime, type Runtime } from "./runtime.ts";

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
/** Node 20 cannot view more than 4 GiB of foreign memory as one ArrayBuffer. */
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
    if (this.sizeBytes > MAX_VIEW_BYTES) return undefined;
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
  /** Called while kernels are compiled; the CLI shows a bar. */
  onBuild: ((done: number, total: number) => void) | undefined;

  constructor(runtime: Runtime, numThreads: number) {
    this.runtime = runtime;
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
    this.runtime.copyIn(dst.handle + dstOffset, new Uint8Array(src.buffer, src.byteOffset, src.byteLength), src.byteLength); // prettier-ignore
  }
  copyOut(src: DeviceBuffer, srcOffset: number, dst: ArrayBufferView): void {
    checkRange("copyOut", src, srcOffset, dst.byteLength);
    this.runtime.copyOut(new Uint8Array(dst.buffer, dst.byteOffset, dst.byteLength), src.handle + srcOffset, dst.byteLength); // prettier-ignore
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
    for (const program of programs) verify(program);
    const kernels = programs.map((program) => ({ program, ...emitCpp(program, "ts_kernel") }));
    const sources = kernels.map((k) => ({
      name: k.program.name,
      source: `#include "tessera.h"\n${k.source}`,
      flags: this.runtime.isaFlags,
    }));
    const paths = this.runtime.toolchain.libraries(sources, this.properties.numThreads, this.onBuild);
    return kernels.map(({ program, scratchBytes, costNs }, i) => ({
      program,
      scratchBytes,
      costNs,
      address: this.runtime.load(paths[i]!, "ts_kernel"),
    }));
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
