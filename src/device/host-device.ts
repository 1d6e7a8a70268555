/**
 * What devices in this process's own memory share: buffers are ArrayBuffers, launches run at once,
 * capture records a list of launches. The interpreter and the js target differ in `build` only.
 */
import { CapacityError, DeviceError } from "../base/errors.ts";
import type { TileProgram } from "../tile/ir.ts";
import type { Device, DeviceBuffer, DeviceProperties, Executable, LaunchArg, LaunchGraph } from "./device.ts";

export type HostLaunch = (grid: readonly number[], args: Readonly<Record<string, LaunchArg>>) => void;
interface HostExecutable extends Executable {
  readonly launch: HostLaunch;
}
interface HostGraph extends LaunchGraph {
  readonly launches: readonly (() => void)[];
}

export class HostDevice implements Device {
  readonly properties: DeviceProperties;
  private readonly compile: (program: TileProgram) => HostLaunch;
  private recording: (() => void)[] | undefined;
  private nextHandle = 1;

  constructor(
    target: string,
    compile: (program: TileProgram) => HostLaunch,
    properties: DeviceProperties = { name: target, target, numThreads: 1, features: [] },
  ) {
    this.properties = properties;
    this.compile = compile;
  }

  alloc(sizeBytes: number): DeviceBuffer {
    try {
      const bytes = new Uint8Array(Math.ceil(sizeBytes / 64) * 64);
      return { device: this, sizeBytes, bytes, handle: this.nextHandle++ };
    } catch (cause) {
      throw new CapacityError(`alloc: ${sizeBytes} bytes refused by the JavaScript heap (${String(cause)})`);
    }
  }
  /** The garbage collector frees; nothing to do. */
  free(_buffer: DeviceBuffer): void {}
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
    return programs.map((program) => ({ program, launch: this.compile(program) }));
  }
  launch(executable: Executable, grid: readonly number[], args: Readonly<Record<string, LaunchArg>>): void {
    for (const p of executable.program.params)
      if (args[p.name] === undefined)
        throw new DeviceError(`launch ${executable.program.name}: expected argument "${p.name}" (${p.kind})`, { backend: this.properties.name }); // prettier-ignore
    const { launch } = executable as HostExecutable;
    this.recording?.push(() => launch(grid, args));
    launch(grid, args);
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
  dispose(): void {}
}
