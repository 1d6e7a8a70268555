/**
 * What devices in this process's own memory share: buffers are ArrayBuffers, launches run at once,
 * capture records a list of launches. The interpreter and the js target differ in how they compile only.
 * Freed blocks are kept by size: a step asks for the same sizes again, and fresh memory would have to be cleared.
 */
import { dtypes, type DType, type TypedArray } from "../base/dtype.ts";
import { CapacityError, DeviceError } from "../base/errors.ts";
import type { TileProgram } from "../tile/ir.ts";
import type { Device, DeviceBuffer, DeviceProperties, Executable, LaunchArg, LaunchGraph } from "./device.ts";
import { sizeClass } from "./size-class.ts";

/** Binds arguments, in the order of the parameters, to a launch that may run many times. */
export type HostKernel = (grid: readonly number[], args: readonly LaunchArg[]) => () => void;
interface HostExecutable extends Executable {
  readonly bind: HostKernel;
}
interface HostGraph extends LaunchGraph {
  readonly launches: (() => void)[];
}

/** Memory that outlives the buffers made on it, with the views that kernels asked for. */
interface Block {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly views: Map<DType, TypedArray>;
}

class HostBuffer implements DeviceBuffer {
  readonly device: Device;
  readonly sizeBytes: number;
  readonly handle: number;
  readonly block: Block;
  constructor(device: Device, sizeBytes: number, handle: number, block: Block) {
    this.device = device;
    this.sizeBytes = sizeBytes;
    this.handle = handle;
    this.block = block;
  }
  get bytes(): Uint8Array {
    return this.block.bytes.subarray(0, this.sizeBytes);
  }
}

/** The whole block under a buffer as elements of `dtype`. */
export function elementsOf(buffer: DeviceBuffer, dtype: DType): TypedArray {
  const { bytes, views } = (buffer as HostBuffer).block;
  let view = views.get(dtype);
  if (!view) views.set(dtype, (view = new dtypes[dtype].storage(bytes.buffer)));
  return view;
}

export class HostDevice implements Device {
  readonly properties: DeviceProperties;
  private readonly compile: (program: TileProgram) => HostKernel;
  private readonly pool = new Map<number, Block[]>();
  private recording: (() => void)[] | undefined;
  private nextHandle = 1;

  constructor(
    target: string,
    compile: (program: TileProgram) => HostKernel,
    properties: DeviceProperties = { name: target, target, numThreads: 1, features: [] },
  ) {
    this.properties = properties;
    this.compile = compile;
  }

  alloc(sizeBytes: number): DeviceBuffer {
    const size = sizeClass(sizeBytes);
    const block = this.pool.get(size)?.pop() ?? this.newBlock(size);
    return new HostBuffer(this, sizeBytes, this.nextHandle++, block);
  }
  private newBlock(size: number): Block {
    try {
      return { bytes: new Uint8Array(size), views: new Map() };
    } catch (cause) {
      throw new CapacityError(`alloc: ${size} bytes refused by the JavaScript heap (${String(cause)})`);
    }
  }
  free(buffer: DeviceBuffer): void {
    const { block } = buffer as HostBuffer;
    const list = this.pool.get(block.bytes.length);
    if (list) list.push(block);
    else this.pool.set(block.bytes.length, [block]);
  }
  copyIn(dst: DeviceBuffer, dstOffset: number, src: ArrayBufferView): void {
    dst.bytes!.set(new Uint8Array(src.buffer, src.byteOffset, src.byteLength), dstOffset);
  }
  copyOut(src: DeviceBuffer, srcOffset: number, dst: ArrayBufferView): void {
    const out = new Uint8Array(dst.buffer, dst.byteOffset, dst.byteLength);
    out.set(src.bytes!.subarray(srcOffset, srcOffset + out.length));
  }
  copyWithin(dst: DeviceBuffer, dstOffset: number, src: DeviceBuffer, srcOffset: number, sizeBytes: number): void {
    const copy = (): void => dst.bytes!.set(src.bytes!.subarray(srcOffset, srcOffset + sizeBytes), dstOffset);
    this.recording?.push(copy);
    copy();
  }
  build(programs: readonly TileProgram[]): HostExecutable[] {
    return programs.map((program) => ({ program, bind: this.compile(program) }));
  }
  launch(executable: Executable, grid: readonly number[], args: Readonly<Record<string, LaunchArg>>): void {
    const { program, bind } = executable as HostExecutable;
    const { params } = program;
    const values: LaunchArg[] = [];
    for (let i = 0; i < params.length; i++) {
      const { name, kind } = params[i]!;
      const value = args[name];
      if (value === undefined)
        throw new DeviceError(`launch ${program.name}: expected argument "${name}" (${kind})`, { backend: this.properties.name }); // prettier-ignore
      values.push(value);
    }
    const launch = bind(grid, values);
    this.recording?.push(launch);
    launch();
  }
  capture(record: () => void): HostGraph {
    const launches: (() => void)[] = [];
    this.recording = launches;
    try {
      record();
    } finally {
      this.recording = undefined;
    }
    return { launches, numLaunches: launches.length, dispose: () => void (launches.length = 0) };
  }
  replay(graph: LaunchGraph): void {
    for (const launch of (graph as HostGraph).launches) launch();
  }
  synchronize(): void {}
  dispose(): void {
    this.pool.clear();
  }
}
