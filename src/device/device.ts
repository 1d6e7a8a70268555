/**
 * What a device is: memory, and launches of built tile programs. It knows no op and no dtype policy.
 * Implementations: cpu/ (C++ through koffi), js/ (emitted JavaScript), interpreter.ts (the definition, slow).
 * Launches run in the order they were made; `synchronize` waits for all of them.
 */
import type { Chip } from "../tile/chips/types.ts";
import type { TileProgram } from "../tile/ir.ts";

/** A block of device memory. On host-visible devices `bytes` is the memory itself. */
export interface DeviceBuffer {
  readonly device: Device;
  readonly sizeBytes: number;
  /** Live view, present where the device shares memory with the host (cpu, js, interpreter). */
  readonly bytes: Uint8Array | undefined;
  /** Address or handle in the device's own terms. */
  readonly handle: number;
}

/** A buffer with a byte offset (a multiple of the element size). */
export interface BufferArg {
  readonly buffer: DeviceBuffer;
  readonly byteOffset: number;
}

export type LaunchArg = BufferArg | number;

export interface Executable {
  readonly program: TileProgram;
}

/** A recorded list of launches that replays in one call. */
export interface LaunchGraph {
  readonly numLaunches: number;
  dispose(): void;
}

export interface DeviceProperties {
  readonly name: string;
  readonly target: string;
  readonly numThreads: number;
  /** e.g. ["avx2", "fma"] */
  readonly features: readonly string[];
  /** The chip whose memories and instructions its programs must fit; absent on hosts, which take any program. */
  readonly chip?: Chip;
}

export interface Device {
  readonly properties: DeviceProperties;
  /** 64-byte aligned, contents undefined. Throws CapacityError. */
  alloc(sizeBytes: number): DeviceBuffer;
  free(buffer: DeviceBuffer): void;
  copyIn(dst: DeviceBuffer, dstOffset: number, src: ArrayBufferView): void;
  copyOut(src: DeviceBuffer, srcOffset: number, dst: ArrayBufferView): void;
  copyWithin(dst: DeviceBuffer, dstOffset: number, src: DeviceBuffer, srcOffset: number, sizeBytes: number): void;
  /** Compiles (or finds in the cache) a list of programs; one call with many programs builds few translation units. */
  build(programs: readonly TileProgram[]): Executable[];
  /** Runs grid[0]*grid[1]*grid[2] programs; args by parameter name, every parameter present. */
  launch(executable: Executable, grid: readonly number[], args: Readonly<Record<string, LaunchArg>>): void;
  /**
   * From now on launches of these programs wait and run as one kernel, before anything else the device is asked for.
   * Chips only, where the start of a launch costs as much as a small launch does. Replaces an earlier list.
   */
  fuse?(programs: readonly TileProgram[]): void;
  capture(record: () => void): LaunchGraph;
  replay(graph: LaunchGraph): void;
  synchronize(): void;
  dispose(): void;
}
