/**
 * A planning device that also keeps what was asked of it, in order: launches with grid and arguments, copies inside the
 * device, and transfers to and from the host. Small contents that the host wrote are remembered, so that a routing plan
 * made on the host reads its own numbers. Main class: `RecordingDevice`; a cost model reads its `events`.
 */
import type { TileProgram } from "../tile/ir.ts";
import type { DeviceBuffer, DeviceProperties, Executable, LaunchArg } from "./device.ts";
import { PlanningDevice } from "./planning.ts";

/** What a buffer was allocated for, as the caller says. */
export type BufferUse = "weights" | "state" | "step";

export interface RecordedBuffer extends DeviceBuffer {
  readonly use: BufferUse;
  /** What the host wrote from the first byte on; absent where it wrote nothing, or much. */
  contents: Uint8Array | undefined;
}

export type DeviceEvent =
  | {
      readonly kind: "launch";
      readonly program: TileProgram;
      readonly grid: readonly [number, number, number];
      readonly args: Readonly<Record<string, LaunchArg>>;
    }
  | { readonly kind: "copy" | "upload" | "download"; readonly sizeBytes: number };

/** Larger contents are of no interest to an index. */
const MAX_CONTENTS = 1 << 20;

export class RecordingDevice extends PlanningDevice {
  /** Of buffers allocated from now on. */
  use: BufferUse = "weights";
  readonly events: DeviceEvent[] = [];

  constructor(properties: DeviceProperties) {
    super(properties);
  }
  override alloc(sizeBytes: number): RecordedBuffer {
    return { device: this, sizeBytes, bytes: undefined, handle: 0, use: this.use, contents: undefined };
  }
  override copyIn(dst: DeviceBuffer, dstOffset: number, src: ArrayBufferView): void {
    this.events.push({ kind: "upload", sizeBytes: src.byteLength });
    if (dstOffset === 0 && dst.sizeBytes <= MAX_CONTENTS)
      (dst as RecordedBuffer).contents = new Uint8Array(src.buffer, src.byteOffset, src.byteLength).slice();
  }
  override copyOut(src: DeviceBuffer, srcOffset: number, dst: ArrayBufferView): void {
    this.events.push({ kind: "download", sizeBytes: dst.byteLength });
    const out = new Uint8Array(dst.buffer, dst.byteOffset, dst.byteLength).fill(0);
    const known = (src as RecordedBuffer).contents?.subarray(srcOffset, srcOffset + out.length);
    if (known) out.set(known);
  }
  override copyWithin(_dst: DeviceBuffer, _at: number, _src: DeviceBuffer, _from: number, sizeBytes: number): void {
    this.events.push({ kind: "copy", sizeBytes });
  }
  override launch({ program }: Executable, grid: readonly number[], args: Readonly<Record<string, LaunchArg>>): void {
    const [x = 1, y = 1, z = 1] = grid;
    this.events.push({ kind: "launch", program, grid: [x, y, z], args });
  }
}
