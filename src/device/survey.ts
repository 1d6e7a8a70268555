/**
 * What this machine has of the chips' software and devices: device nodes, libraries, compilers, versions, devices and,
 * where there are some, the results of the probes. Nothing installed is nothing broken; what is installed and fails is a
 * problem. Main function: `surveyChips`.
 */
import { readdirSync } from "node:fs";
import { ascendDevices, ascendLibrary, openAscend } from "./ascend/ascend-device.ts";
import { findBisheng } from "./ascend/compiler.ts";
import { ascendClPlace, ascendRtcPlace } from "./ascend/ffi.ts";
import { ascendProbes } from "./ascend/probes.ts";
import type { ChipDevice } from "./driver/chip-device.ts";
import { findLibrary, type LibraryPlace } from "./driver/library.ts";
import { versionOf } from "./driver/offline.ts";
import { runProbes, type Probe, type ProbeReport } from "./driver/probes.ts";
import { findCncc } from "./mlu/compiler.ts";
import { cndrvPlace, cnrtcPlace, cnrtPlace } from "./mlu/ffi.ts";
import { mluDevices, mluLibrary, openMlu } from "./mlu/mlu-device.ts";
import { mluProbes } from "./mlu/probes.ts";

export interface Part {
  readonly what: string;
  /** Where, or with what version; undefined: not there. */
  readonly found: string | undefined;
  readonly install: string;
}
export interface DeviceReport {
  readonly name: string;
  readonly product: string;
  readonly freeBytes: number;
  readonly totalBytes: number;
  readonly probes: readonly ProbeReport[];
}
export interface ChipSurvey {
  readonly vendor: string;
  readonly isInstalled: boolean;
  readonly parts: readonly Part[];
  readonly devices: readonly DeviceReport[];
  /** Facts that are no failures. */
  readonly notes: readonly string[];
  /** What is installed and does not work. */
  readonly problems: readonly string[];
}

interface Vendor {
  readonly name: string;
  readonly nodes: RegExp;
  readonly libraries: readonly LibraryPlace[];
  readonly compiler: { readonly name: string; readonly find: () => string | undefined };
  readonly version: () => string;
  readonly devices: () => readonly { index: number; product: string; freeBytes: number; totalBytes: number }[];
  readonly open: (index: number) => ChipDevice;
  readonly probes: readonly Probe[];
}

const vendors: readonly Vendor[] = [
  {
    name: "ascend",
    nodes: /^davinci(\d+|_manager)$/,
    libraries: [ascendClPlace, ascendRtcPlace],
    compiler: { name: "bisheng", find: findBisheng },
    version: () => `CANN runtime ${ascendLibrary().version}`,
    devices: () => ascendDevices().map(({ soc, ...rest }) => ({ ...rest, product: soc })),
    open: openAscend,
    probes: ascendProbes,
  },
  {
    name: "mlu",
    nodes: /^cambricon/,
    libraries: [cnrtPlace, cndrvPlace, cnrtcPlace],
    compiler: { name: "cncc", find: findCncc },
    version: () => `CNRT ${mluLibrary().version}`,
    devices: () => mluDevices().map(({ name, isa, numCores, ...rest }) => ({ ...rest, product: `${name}, mtp_${isa}, ${numCores} cores` })), // prettier-ignore
    open: openMlu,
    probes: mluProbes,
  },
];

export const surveyChips = (): ChipSurvey[] => vendors.map(survey);

const textOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

function survey(vendor: Vendor): ChipSurvey {
  const nodes = deviceNodes(vendor.nodes);
  const driver = vendor.libraries[0]!;
  const compiler = vendor.compiler.find();
  const parts: Part[] = [
    { what: "device nodes", found: nodes.length ? nodes.join(" ") : undefined, install: driver.install },
    ...vendor.libraries.map((place) => ({ what: place.file, found: findLibrary(place), install: place.install })),
    { what: vendor.compiler.name, found: compiler && `${compiler} (${versionOf(compiler)})`, install: driver.install },
  ];
  const isInstalled = parts.some(({ found }) => found !== undefined);
  const report = { vendor: vendor.name, isInstalled, parts };
  if (findLibrary(driver) === undefined) return { ...report, devices: [], notes: [], problems: nodes.length ? [`device nodes are there, but ${driver.file} is not: ${driver.install}`] : [] }; // prettier-ignore
  try {
    const found = vendor.devices();
    const notes = [vendor.version(), ...(found.length ? [] : ["no device"])];
    const problems: string[] = [];
    const devices = found.map(({ index, product, freeBytes, totalBytes }) => {
      const name = `${vendor.name}:${index}`;
      const probes = probe(vendor, index, (problem) => problems.push(`${name}: ${problem}`));
      return { name, product, freeBytes, totalBytes, probes };
    });
    return { ...report, devices, notes, problems };
  } catch (error) {
    // A machine that only compiles has no devices to ask for.
    const [notes, problems] = nodes.length ? [[], [textOf(error)]] : [[`no device nodes, so no devices: ${textOf(error)}`], []]; // prettier-ignore
    return { ...report, devices: [], notes, problems };
  }
}

function probe(vendor: Vendor, index: number, onProblem: (text: string) => void): ProbeReport[] {
  try {
    const device = vendor.open(index);
    const reports = runProbes(device, vendor.probes);
    for (const { name, outcome, isFine } of reports) if (!isFine) onProblem(`${name}: ${outcome}`);
    device.dispose();
    return reports;
  } catch (error) {
    onProblem(textOf(error));
    return [];
  }
}

function deviceNodes(pattern: RegExp): string[] {
  try {
    return readdirSync("/dev").filter((name) => pattern.test(name)).toSorted().map((name) => `/dev/${name}`); // prettier-ignore
  } catch {
    return [];
  }
}
