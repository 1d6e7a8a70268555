/** `tessera chips doctor`: what is installed for the chips, what is missing, and what their devices answer. */
import type { ArgsDef } from "citty";
import pc from "picocolors";
import { surveyChips, type ChipSurvey } from "../device/survey.ts";
import { command } from "./common.ts";

const doctorArgs = {
  json: { type: "boolean", description: "One JSON object on stdout", default: false },
} as const satisfies ArgsDef;

export const doctorCommand = command(
  { name: "doctor", description: "Drivers, tool kits and devices of the chips; runs probes where a device is" },
  doctorArgs,
  async ({ json }) => {
    const surveys = surveyChips();
    const isFine = surveys.every(({ problems }) => problems.length === 0);
    process.stdout.write(json ? `${JSON.stringify({ isFine, chips: surveys })}\n` : surveys.map(textOf).join("\n"));
    process.exitCode = isFine ? 0 : 1;
  },
);

const gib = (bytes: number): string => `${(bytes / 2 ** 30).toFixed(1)} GiB`;

function textOf({ vendor, isInstalled, parts, devices, notes, problems }: ChipSurvey): string {
  const lines = [pc.bold(vendor) + (isInstalled ? "" : ": nothing installed, which is no problem")];
  const missing = new Set<string>();
  for (const { what, found, install } of parts) {
    lines.push(`  ${what.padEnd(16)} ${found ?? pc.dim("not found")}`);
    if (found === undefined) missing.add(install);
  }
  for (const install of missing) lines.push(pc.dim(`  to get it: ${install}`));
  for (const note of notes) lines.push(`  ${note}`);
  for (const device of devices) {
    lines.push(`  ${device.name}: ${device.product}, ${gib(device.freeBytes)} of ${gib(device.totalBytes)} free`);
    for (const { name, decides, outcome, isFine } of device.probes) {
      lines.push(`    ${isFine ? pc.green("ok") : pc.red("no")} ${name}: ${outcome}`, pc.dim(`       decides ${decides}`)); // prettier-ignore
    }
  }
  for (const problem of problems) lines.push(`  ${pc.red("problem")}: ${problem}`);
  return `${lines.join("\n")}\n`;
}
