/**
 * A device that runs nothing: memory has no contents (it reads as zeros), launches are dropped, and the programs that
 * were built are listed. Running a model on it with the shapes of real work tells which kernels that work needs.
 * Main function: `PlanningDevice`; engine/ahead.ts runs the model.
 */
import { HostDevice } from "./host-device.ts";
import type { TileProgram } from "../tile/ir.ts";
import type { DeviceBuffer, DeviceProperties, Executable, LaunchArg } from "./device.ts";

export class PlanningDevice extends HostDevice {
  readonly programs: TileProgram[];

  /** Kernels may depend on the device they are for, so it passes for that one. */
  constructor(properties: DeviceProperties) {
    const programs: TileProgram[] = [];
    super(
      properties.target,
      (program) => {
        programs.push(program);
        return () => () => {};
      },
      properties,
    );
    this.programs = programs;
  }

  override alloc(sizeBytes: number): DeviceBuffer {
    return { device: this, sizeBytes, bytes: undefined, handle: 0 };
  }
  override free(): void {}
  override copyIn(_dst: DeviceBuffer, _dstOffset: number, _src: ArrayBufferView): void {}
  override copyOut(_src: DeviceBuffer, _srcOffset: number, dst: ArrayBufferView): void {
    new Uint8Array(dst.buffer, dst.byteOffset, dst.byteLength).fill(0);
  }
  override copyWithin(_dst: DeviceBuffer, _at: number, _src: DeviceBuffer, _from: number, _sizeBytes: number): void {}
  override launch(
    _executable: Executable,
    _grid: readonly number[],
    _args: Readonly<Record<string, LaunchArg>>,
  ): void {}
}
