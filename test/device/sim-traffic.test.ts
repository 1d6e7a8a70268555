/**
 * The cost model's bytes against the simulators' own counters: every kernel case on 910B and MLU370 with every rule
 * checked, launch by launch. Skipped by name without a C++ compiler.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { CompileError } from "../../src/base/errors.ts";
import { findCompiler } from "../../src/device/cpu/toolchain.ts";
import type { BufferArg, LaunchArg } from "../../src/device/device.ts";
import { PlanningDevice } from "../../src/device/planning.ts";
import { openSim } from "../../src/device/sim/open-sim.ts";
import { allCases } from "../../src/kernels/all-cases.ts";
import { loweringOf } from "../../src/tile/cost.ts";
import type { TileProgram } from "../../src/tile/ir.ts";
import { memoryOf } from "../../src/tile/memory.ts";
import { sumOf, trafficOf } from "../../src/tile/traffic.ts";

const skip = findCompiler() ? false : "no C++ compiler";
const cases = allCases
  .filter(({ simulation }) => simulation === undefined)
  .flatMap(({ op, cases: list, onlyWhere = () => true }) =>
    list.filter((c) => c.name !== "long").map((c) => ({ name: `${op}: ${c.name}`, c, onlyWhere })),
  );

for (const name of ["sim:ascend-910b", "sim:mlu-370"] as const)
  test(`${name}: the model's bytes are those that the simulator counts`, { skip }, () => {
    const device = openSim(name);
    const { chip } = device.target;
    const runnable = cases.filter(({ c, onlyWhere }) => {
      if (!onlyWhere(chip)) return false;
      const planning = new PlanningDevice({ name: "none", target: "none", numThreads: 1, features: [], chip });
      c.run(planning);
      return planning.programs.every((p) => canEmit(p, () => device.target.emit(p, "k", chip)));
    });
    const planning = new PlanningDevice(device.properties);
    for (const { c } of runnable) c.run(planning);
    device.build([...new Set(planning.programs)]);

    const wrong: string[] = [];
    let launches = 0;
    const plain = device.launch.bind(device);
    device.launch = (executable, grid, args) => {
      const [x = 1, y = 1, z = 1] = grid;
      const { program } = executable;
      // Before the launch, which may overwrite what it reads.
      const model = trafficOf(loweringOf(program, chip), { grid: [x, y, z], numbers: numbersOf(args), read: readerOf(program, args) }); // prettier-ignore
      plain(executable, grid, args);
      launches++;
      const got = [sumOf(model.read) + model.workspaceRead, sumOf(model.written) + model.workspaceWritten];
      const { bytesIn, bytesOut } = device.lastRun!;
      if (got[0] !== bytesIn || got[1] !== bytesOut) wrong.push(`${program.name} ${grid}: model ${got}, counted ${bytesIn},${bytesOut}`); // prettier-ignore
    };
    for (const { c } of runnable) c.run(device);
    assert.ok(launches > 100, `expected the launches of all cases, got ${launches}`);
    assert.deepEqual(wrong, []);
  });

function canEmit(_program: TileProgram, emit: () => unknown): boolean {
  try {
    emit();
    return true;
  } catch (error) {
    if (error instanceof CompileError) return false;
    throw error;
  }
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
