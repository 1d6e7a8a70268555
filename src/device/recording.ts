/**
 * A planning device that also keeps what was asked of it, in order: launches with grid and arguments, copies inside the
 * device, and transfers to and from the host. Small contents that the host wrote are remembered, and what launches make of
 * known integers alone is computed, so that a routing plan has its numbers wherever it is made. Everything else that a
 * launch or a copy writes is unknown. Main class: `RecordingDevice`; a cost model reads its `events`.
 */
import type { TileProgram } from "../tile/ir.ts";
import type { BufferArg, DeviceBuffer, DeviceProperties, Executable, LaunchArg } from "./device.ts";
import { openJs } from "./js/js-device.ts";
import { PlanningDevice } from "./planning.ts";

/** What a buffer was allocated for, as the caller says. */
export type BufferUse = "weights" | "state" | "step";

export interface RecordedBuffer extends DeviceBuffer {
  readonly use: BufferUse;
  /** All bytes, where they are known and few. */
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

/** Larger contents are of no interest to an index. Rest that nothing wrote is zeros, as everywhere on a planning device. */
const MAX_CONTENTS = 1 << 20;

interface RecordedArg {
  readonly buffer: RecordedBuffer;
}

export class RecordingDevice extends PlanningDevice {
  /** Of buffers allocated from now on. */
  use: BufferUse = "weights";
  readonly events: DeviceEvent[] = [];
  private readonly host = openJs();
  private readonly computed = new Map<TileProgram, Executable>();

  constructor(properties: DeviceProperties) {
    super(properties);
  }
  override alloc(sizeBytes: number): RecordedBuffer {
    return { device: this, sizeBytes, bytes: undefined, handle: 0, use: this.use, contents: undefined };
  }
  override copyIn(dst: DeviceBuffer, dstOffset: number, src: ArrayBufferView): void {
    this.events.push({ kind: "upload", sizeBytes: src.byteLength });
    const to = dst as RecordedBuffer;
    if (dst.sizeBytes > MAX_CONTENTS || (to.contents === undefined && src.byteLength < dst.sizeBytes)) return;
    to.contents ??= new Uint8Array(dst.sizeBytes);
    to.contents.set(new Uint8Array(src.buffer, src.byteOffset, src.byteLength), dstOffset);
  }
  override copyOut(src: DeviceBuffer, srcOffset: number, dst: ArrayBufferView): void {
    this.events.push({ kind: "download", sizeBytes: dst.byteLength });
    const out = new Uint8Array(dst.buffer, dst.byteOffset, dst.byteLength).fill(0);
    const known = (src as RecordedBuffer).contents?.subarray(srcOffset, srcOffset + out.length);
    if (known) out.set(known);
  }
  override copyWithin(dst: DeviceBuffer, _at: number, _src: DeviceBuffer, _from: number, sizeBytes: number): void {
    this.events.push({ kind: "copy", sizeBytes });
    (dst as RecordedBuffer).contents = undefined;
  }
  override launch({ program }: Executable, grid: readonly number[], args: Readonly<Record<string, LaunchArg>>): void {
    const [x = 1, y = 1, z = 1] = grid;
    this.events.push({ kind: "launch", program, grid: [x, y, z], args });
    const buffers = program.params.flatMap((p) => (p.kind === "buffer" ? [{ ...p, ...(args[p.name] as BufferArg & RecordedArg) }] : [])); // prettier-ignore
    const written = buffers.filter((b) => b.mode !== "in");
    const isKnown = buffers.every((b) => b.dtype === "i32" && (b.mode === "in" ? b.buffer.contents !== undefined : b.buffer.sizeBytes <= MAX_CONTENTS)); // prettier-ignore
    if (isKnown)
      this.compute(program, grid, args, written.map((b) => b.buffer)); // prettier-ignore
    else for (const { buffer } of written) buffer.contents = undefined;
  }

  /** The launch on a host device, on copies of what is known. */
  private compute(
    program: TileProgram,
    grid: readonly number[],
    args: Readonly<Record<string, LaunchArg>>,
    written: readonly RecordedBuffer[],
  ): void {
    const host = this.host;
    const copies = new Map<DeviceBuffer, DeviceBuffer>();
    const copyOf = (from: RecordedBuffer): DeviceBuffer => {
      let copy = copies.get(from);
      if (copy === undefined) {
        copies.set(from, (copy = host.alloc(from.sizeBytes)));
        host.copyIn(copy, 0, from.contents ?? new Uint8Array(from.sizeBytes));
      }
      return copy;
    };
    let executable = this.computed.get(program);
    if (!executable) this.computed.set(program, (executable = host.build([program])[0]!));
    host.launch(executable, grid, Object.fromEntries(Object.entries(args).map(([name, a]) => [name, typeof a === "number" ? a : { buffer: copyOf(a.buffer as RecordedBuffer), byteOffset: a.byteOffset }]))); // prettier-ignore
    for (const buffer of written) host.copyOut(copyOf(buffer), 0, (buffer.contents = new Uint8Array(buffer.sizeBytes)));
    for (const copy of copies.values()) host.free(copy);
  }
}
