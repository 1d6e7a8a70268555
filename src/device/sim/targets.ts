/**
 * The simulated chips: a chip's target, and which headers of ours stand for its tool kit. Main table: `simTargets`.
 * Figures come from the chip tables; a header takes them as macros.
 */
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { spaceOf, type AscendSpace, type ChipName } from "../../tile/chips/types.ts";
import { chipTargets, type ChipTarget } from "../chip-targets.ts";
import { mluRuntime } from "./mlu/runtime.ts";

export interface SimTarget extends ChipTarget {
  /** Folders of headers, and the one that a kernel includes. */
  readonly folders: readonly string[];
  readonly header: string;
  readonly flags: readonly string[];
  /** Cores to choose tiles for; 1 where kernels have their own sizes. */
  readonly numThreads: number;
  /** Kinds of kernels as the headers number them. */
  readonly kinds: Readonly<Record<string, number>>;
}

const here = dirname(fileURLToPath(import.meta.url));
const engine = join(here, "engine");

/** vector: on the vector cores; cube: on the matrix cores; mix: a block is one matrix core and its two vector cores. */
const ascendKinds = { vector: 0, cube: 1, mix: 2, mix11: 3 } as const;

function ascend(name: ChipName, npuArch: number): SimTarget {
  const target = chipTargets[name];
  const size = (space: AscendSpace): string => `-DASC_${space}_BYTES=${spaceOf(target.chip, space).sizeBytes}`;
  return {
    ...target,
    folders: [join(here, "ascend", "include"), engine],
    header: "kernel_operator.h",
    flags: [
      `-D__NPU_ARCH__=${npuArch}`,
      `-DASC_CUBE_CORES=${target.cores.matrix}`,
      `-DASC_VECTOR_CORES=${target.cores.vector}`,
      ...(["UB", "L1", "L0A", "L0B", "L0C"] as const).map(size),
    ],
    numThreads: 1,
    kinds: ascendKinds,
  };
}

/** The number of clusters that meet in a job; cores of a block never do. */
const mluKinds = { block: 0, union1: 1, union2: 2, union4: 4, union8: 8, union16: 16 } as const;

function mlu(name: ChipName, arch: number): SimTarget {
  return {
    ...chipTargets[name],
    folders: [join(here, "mlu", "include"), join(here, "mlu", "include", "bang")],
    header: "bang.h",
    get flags() {
      return [`-D__BANG_ARCH__=${arch}`, "-Wl,--no-as-needed", mluRuntime()];
    },
    numThreads: chipTargets[name].cores.vector,
    kinds: mluKinds,
  };
}

export const simTargets: Readonly<Record<`sim:${ChipName}`, SimTarget>> = {
  "sim:ascend-910b": ascend("ascend-910b", 2201),
  "sim:ascend-910c": ascend("ascend-910c", 2201),
  "sim:ascend-950": ascend("ascend-950", 3510),
  "sim:mlu-370": mlu("mlu-370", 372),
  "sim:mlu-590": mlu("mlu-590", 592),
};
