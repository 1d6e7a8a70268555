/**
 * Kernels that others wrote, as sources for a simulator: one file with one entry function, unchanged but for a few
 * steps of text. The function is called `ts_kernel`; the file stands in a namespace of its own, after its includes,
 * so that many files make one translation unit; a host function's `k<<<blocks, ub, stream>>>(args)` becomes
 * `::sim::Host{blocks, ub, stream}.run(k, args)`. A vendor compiles a mixed kernel once a core; where a file asks the
 * preprocessor which core that is, it stands there twice. Main function: `foreignKernel`.
 */
import { RequestError } from "../../base/errors.ts";
import { sha256 } from "../cpu/library-cache.ts";
import { SYMBOL } from "../cpu/toolchain.ts";
import type { SimSource } from "./sim-device.ts";

/** A launch: the kernel's name with its template arguments, then the configuration. */
const LAUNCH = /([A-Za-z_]\w*(?:\s*<[^<>;{}]*>)?)\s*<<<((?:[^<>;]|<(?!<)|>(?!>))*)>>>\s*\(/g;

/** The kind of core is a constant for the vendor's compiler, which sees one at a time. */
const CONSTANT_KIND =
  /\bif\s+constexpr\s*(?=\(\s*(?:!\s*)?(?:AscendC::)?(?:g_coreType\b|ASCEND_IS_(?:NOT_)?AI[CV]\b))/g;
/** Macros of the vendor's compiler for the kind of core. */
const CORE_MACRO = /\b__DAV_(?:C220_)?(?:CUBE|VEC)__\b/;

export const rewriteLaunches = (source: string): string => source.replace(LAUNCH, "::sim::Host{$2}.run($1, ");

/** What marks a kind, most telling first; a file with marks of both cores is mixed. */
const explicitKinds: readonly (readonly [RegExp, string])[] = [
  [/KERNEL_TYPE_MIX_AIC_1_1|__mix__\s*\(\s*1\s*,\s*1\s*\)/, "mix11"],
  [/KERNEL_TYPE_MIX_AIC_1_2|__mix__\s*\(\s*1\s*,\s*2\s*\)/, "mix"],
  [/KERNEL_TYPE_AIC_ONLY|KERNEL_TYPE_MIX_AIC_1_0|__cube__|__mix__\s*\(\s*1\s*,\s*0\s*\)/, "cube"],
  [/KERNEL_TYPE_AIV_ONLY|KERNEL_TYPE_MIX_AIV_1_0|__vector__|__mix__\s*\(\s*0\s*,\s*1\s*\)/, "vector"],
];
const usesCube = /\b(Mmad|Fixpipe|LoadData\w*)\b/;
const splits = /\bASCEND_IS_(?:NOT_)?AI[CV]\b|\bg_coreType\b|\bCrossCore(Set|Wait)Flag\b|\bffts_cross_core_sync\b/;
const splitsByMacro = /__DAV_(?:C220_)?CUBE__[^]*__DAV_(?:C220_)?VEC__|__DAV_(?:C220_)?VEC__[^]*__DAV_(?:C220_)?CUBE__/;

/** The kind a kernel declares, or the one its instructions ask for. */
export function kindOf(source: string): string {
  for (const [mark, kind] of explicitKinds) if (mark.test(source)) return kind;
  if (!usesCube.test(source)) return "vector";
  return splits.test(source) || splitsByMacro.test(source) ? "mix" : "cube";
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
  const body = rewriteLaunches(source.replace(/^[ \t]*#[ \t]*include[^\n]*$/gm, "")).replace(CONSTANT_KIND, "if ");
  const space = `tessera_${sha256(source + entry).slice(0, 16)}`;
  const inSpace = (name: string, text: string): string => `namespace ${name} {\n#line 1 "${entry}"\n${text}\n}\n`;
  /** The file as the vendor's compiler sees it on one kind of core, its entry by another name. */
  const forCore = (core: "CUBE" | "VEC", symbol: string): string => {
    const macros = [`__DAV_${core}__`, `__DAV_C220_${core}__`];
    return `${macros.map((m) => `#define ${m}\n`).join("")}${inSpace(`${space}_${core}`, body.replace(name, symbol).replace(/\bextern\s+"C"\s+(?!\{)/g, ""))}${macros.map((m) => `#undef ${m}\n`).join("")}`; // prettier-ignore
  };
  let text: string;
  if (!CORE_MACRO.test(body)) text = inSpace(space, `${body.replace(name, SYMBOL)}\nTESSERA_SIM_ENTRY(${SYMBOL})`);
  else if (!kind.startsWith("mix"))
    text = forCore(kind === "cube" ? "CUBE" : "VEC", SYMBOL) + `namespace ${space}_${kind === "cube" ? "CUBE" : "VEC"} {\nTESSERA_SIM_ENTRY(${SYMBOL})\n}\n`; // prettier-ignore
  else
    text = `${forCore("CUBE", `${space}_c`)}${forCore("VEC", `${space}_v`)}TESSERA_SIM_SPLIT_ENTRY(${SYMBOL}, ${space}_CUBE::${space}_c, ${space}_VEC::${space}_v)\n`; // prettier-ignore
  return { name: entry, source, kind, args, unit: `${includes.join("\n")}\n${text}` };
}
