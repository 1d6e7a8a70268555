/** `tessera chips`: emit, a kernel as a chip's source beside its tile program; the others are in files of their own. */
import { defineCommand, type ArgsDef } from "citty";
import { simTargets } from "../device/sim/targets.ts";
import { RequestError } from "../base/errors.ts";
import { allCases } from "../kernels/all-cases.ts";
import { chips } from "../tile/chips/chips.ts";
import type { ChipName } from "../tile/chips/types.ts";
import { printProgram } from "../tile/print.ts";
import { checkCommand } from "./chips-check.ts";
import { doctorCommand } from "./chips-doctor.ts";
import { profileCommand } from "./chips-profile.ts";
import { runCommand } from "./chips-run.ts";
import { command, oneOf } from "./common.ts";

const chipNames = Object.keys(chips) as ChipName[];

const kernelArgs = {
  kernel: { type: "string", description: "Name of a kernel, e.g. rms_norm", required: true },
  chip: { type: "string", description: `One of ${chipNames.join(", ")}`, required: true },
  json: { type: "boolean", description: "One JSON object a program on stdout", default: false },
} as const satisfies ArgsDef;

const emitCommand = command(
  { name: "emit", description: "Source of a kernel for a chip, beside its tile program" },
  kernelArgs,
  async (args) => {
    const name = oneOf("chip", args.chip, chipNames);
    const { chip, emit } = simTargets[`sim:${name}`];
    const programs = allCases.flatMap((c) => c.programs(chip));
    const found = programs.filter((p) => p.name === args.kernel);
    const names = [...new Set(programs.map((p) => p.name))].toSorted();
    if (found.length === 0) throw new RequestError(`--kernel: expected one of ${names.join(", ")}, got "${args.kernel}"`, "kernel"); // prettier-ignore
    for (const program of found) {
      const tile = printProgram(program);
      const { source } = emit(program, program.name, chip);
      process.stdout.write(args.json ? `${JSON.stringify({ kernel: program.name, chip: chip.name, tile, source })}\n` : `${tile}\n${source}\n`); // prettier-ignore
    }
  },
);

export const chipsCommand = defineCommand({
  meta: { name: "chips", description: "What kernels become on the chips of the tables" },
  subCommands: {
    emit: emitCommand,
    run: runCommand,
    check: checkCommand,
    doctor: doctorCommand,
    profile: profileCommand,
  },
});
