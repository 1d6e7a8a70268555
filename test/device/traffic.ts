/** The cost model's bytes beside what a simulator counts, launch by launch. Main function: `watchTraffic`. */
import assert from "node:assert/strict";
import type { BufferArg, LaunchArg } from "../../src/device/device.ts";
import type { SimDevice } from "../../src/device/sim/sim-device.ts";
import { trafficFor } from "../../src/tile/cost.ts";
import type { TileProgram } from "../../src/tile/ir.ts";
import { memoryOf } from "../../src/tile/memory.ts";
import { sumOf } from "../../src/tile/traffic.ts";

/** From now on every launch of a checked device is held against the model; `wrong` names those that differ. */
export function watchTraffic(device: SimDevice): { launches: number; readonly wrong: string[] } {
  const watched = { launches: 0, wrong: [] as string[] };
  const { chip } = device.target;
  const plain = device.launch.bind(device);
  device.launch = (executable, grid, args) => {
    const [x = 1, y = 1, z = 1] = grid;
    const { program } = executable;
    // Before the launch, which may overwrite what it reads.
    const model = trafficFor(program, chip, {
      grid: [x, y, z],
      numbers: numbersOf(args),
      read: readerOf(program, args),
    });
    plain(executable, grid, args);
    watched.launches++;
    const said = [sumOf(model.read) + model.workspaceRead, sumOf(model.written) + model.workspaceWritten];
    const { bytesIn, bytesOut } = device.lastRun!;
    if (said[0] !== bytesIn || said[1] !== bytesOut) watched.wrong.push(`${program.name} ${grid}: model ${said}, counted ${bytesIn},${bytesOut}`); // prettier-ignore
  };
  return watched;
}

const numbersOf = (args: Readonly<Record<string, LaunchArg>>): Record<string, number> =>
  Object.fromEntries(Object.entries(args).filter((e): e is [string, number] => typeof e[1] === "number"));
const readerOf =
  (program: TileProgram, args: Readonly<Record<string, LaunchArg>>) =>
  (buffer: string, element: number): number => {
    const param = program.params.find((p) => p.name === buffer);
    assert.ok(param?.kind === "buffer");
    const { buffer: memory, byteOffset } = args[buffer] as BufferArg;
    return memoryOf(memory.bytes!, byteOffset, param.dtype).get(element);
  };
