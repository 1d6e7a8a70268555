/** The interpreter as a device: slow, exact, the judge of every other target. */
import { interpret } from "../tile/interpret.ts";
import type { TileProgram } from "../tile/ir.ts";
import { memoryOf, type Memory } from "../tile/memory.ts";
import type { BufferArg } from "./device.ts";
import { HostDevice, type HostKernel } from "./host-device.ts";

export const interpreted =
  (program: TileProgram): HostKernel =>
  (grid, args) => {
    const memory: Record<string, Memory> = {};
    const numbers: Record<string, number> = {};
    program.params.forEach((p, i) => {
      if (p.kind === "buffer") {
        const { buffer, byteOffset } = args[i] as BufferArg;
        memory[p.name] = memoryOf(buffer.bytes!, byteOffset, p.dtype);
      } else numbers[p.name] = p.kind === "scalar" ? Math.fround(args[i] as number) : (args[i] as number);
    });
    return () => interpret(program, grid, { memory, numbers });
  };
export const openInterpreter = (): HostDevice => new HostDevice("interpreter", interpreted);
