/**
 * From the name that a device gives itself (aclrtGetSocName) to its chip, its cores and the compiler's option.
 * Source: platform_config of the public CANN runtime; a 910C shows itself as two devices, one for each die.
 * Main function: `socOf`.
 */
import { DeviceError } from "../../base/errors.ts";
import type { ChipName } from "../../tile/chips/types.ts";
import type { Cores } from "../chip-targets.ts";

export interface Soc {
  readonly pattern: RegExp;
  readonly chip: ChipName;
  /** Value of --npu-arch. */
  readonly npuArch: string;
  readonly cores: Cores;
}

const pairs = (matrix: number): Cores => ({ matrix, vector: 2 * matrix });

/** First match counts. How a 950 spells its name is not confirmed, so only its digits are read. */
export const socs: readonly Soc[] = [
  { pattern: /^Ascend910B[12]/, chip: "ascend-910b", npuArch: "dav-2201", cores: pairs(24) },
  { pattern: /^Ascend910B[34]/, chip: "ascend-910b", npuArch: "dav-2201", cores: pairs(20) },
  { pattern: /^Ascend910_93(9|8)\d/, chip: "ascend-910c", npuArch: "dav-2201", cores: pairs(24) },
  { pattern: /^Ascend910_93(7|6)\d/, chip: "ascend-910c", npuArch: "dav-2201", cores: pairs(20) },
  { pattern: /^Ascend950.*95(9\d|A1)/, chip: "ascend-950", npuArch: "dav-3510", cores: pairs(36) },
  { pattern: /^Ascend950.*958\d/, chip: "ascend-950", npuArch: "dav-3510", cores: pairs(32) },
  { pattern: /^Ascend950/, chip: "ascend-950", npuArch: "dav-3510", cores: pairs(28) },
];

export function socOf(name: string): Soc {
  const soc = socs.find(({ pattern }) => pattern.test(name));
  if (!soc) throw new DeviceError(`ascend: expected a device of Ascend 910B, 910C or 950, got "${name}"`, { backend: "ascend" }); // prettier-ignore
  return soc;
}
