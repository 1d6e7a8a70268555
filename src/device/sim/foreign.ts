/**
 * Kernels that others wrote, as sources for a simulator: one file with one entry function, unchanged but for three
 * steps of text. The function is called `ts_kernel`; the file stands in a namespace of its own, after its includes,
 * so that many files make one translation unit; a host function's `k<<<blocks, ub, stream>>>(args)` becomes
 * `::sim::Host{blocks, ub, stream}.run(k, args)`. Main function: `foreignKernel`.
 */
import { RequestError } from "../../base/errors.ts";
import { sha256 } from "../cpu/library-cache.ts";
import { SYMBOL } from "../cpu/toolchain.ts";
import type { SimSource } from "./sim-device.ts";

/** A launch: the kernel's name with its template arguments, then the configuration. */
const LAUNCH = /([A-Za-z_]\w*(?:\s*<[^<>;{}]*>)?)\s*<<<((?:[^<>;]|<(?!<)|>(?!>))*)>>>\s*\(/g;

export const rewriteLaunches = (source: string): string => source.replace(LAUNCH, "::sim::Host{$2}.run($1, ");

/** What marks a kind, most telling first; a file with marks of both cores is mixed. */
const explicitKinds: readonly (readonly [RegExp, string])[] = [
  [/KERNEL_TYPE_MIX_AIC_1_1|__mix__\s*\(\s*1\s*,\s*1\s*\)/, "mix11"],
  [/KERNEL_TYPE_MIX_AIC_1_2|__mix__\s*\(\s*1\s*,\s*2\s*\)/, "mix"],
  [/KERNEL_TYPE_AIC_ONLY|KERNEL_TYPE_MIX_AIC_1_0|__cube__/, "cube"],
  [/KERNEL_TYPE_AIV_ONLY|KERNEL_TYPE_MIX_AIV_1_0|__vector__/, "vector"],
];
const usesCube = /\b(Mmad|Fixpipe|LoadData\w*)\b/;
const splits = /\bASCEND_IS_AI[CV]\b|\bg_coreType\b|\bCrossCore(Set|Wait)Flag\b/;

/** The kind a kernel declares, or the one its instructions ask for. */
export function kindOf(source: string): string {
  for (const [mark, kind] of explicitKinds) if (mark.test(source)) return kind;
  if (!usesCube.test(source)) return "vector";
  return splits.test(source) ? "mix" : "cube";
}

/** `entry` is the kernel's function, or a host function that launches kernels (it must then contain a launch). */
export function foreignKernel(
  source: string,
  entry: string,
  args: readonly string[],
  kind = kindOf(source),
): SimSource {
  // prettier-ignore
  const name = new RegExp(`\\b${entry}\\b`, "g");
  if (source.search(name) < 0)
    throw new RequestError(`kernel source: expected a function ${entry}, found none`, "entry");
  // Includes stay at the top; their lines stay as empty lines, so that reports count lines of the file.
  const includes = source.match(/^[ \t]*#[ \t]*include[^\n]*$/gm) ?? [];
  const body = rewriteLaunches(source.replace(/^[ \t]*#[ \t]*include[^\n]*$/gm, "")).replace(name, SYMBOL);
  const space = `tessera_${sha256(source + entry).slice(0, 16)}`;
  return { name: entry, source, kind, args, unit: `${includes.join("\n")}\nnamespace ${space} {\n#line 1 "${entry}"\n${body}\nTESSERA_SIM_ENTRY(${SYMBOL})\n}\n` }; // prettier-ignore
}
