/**
 * BANG C kernels that others wrote, as sources for the simulator. A memory qualifier on a variable becomes a section of
 * the host compiler; on what is pointed to (casts, parameters, local pointers) it says nothing there and is taken out.
 * A variable inside a template, which g++ puts into no section, becomes a part of a pool. Counts need no padding there, as
 * public kernels go without; and a file that never names the memory core has none, since public kernels for clusters that
 * only compute do not send it away. Main function: `bangKernel`.
 */
import { SYMBOL } from "../../cpu/toolchain.ts";
import { foreignKernel } from "../foreign.ts";
import type { SimSource } from "../sim-device.ts";
import { withoutLaunches } from "./host-part.ts";
import { poolVariables } from "./pool-variables.ts";

const qualifier = "__(?:nram|wram|mlu_shared|ldram|gdram)__";
/** In `(q T*)x`, `f(q T* x)` and `q T* p`: whatever the qualifier is before a type with a star. */
const pointed = new RegExp(
  `\\b${qualifier}\\s+(?=(?:const\\s+)?[\\w:]+(?:\\s*<[^<>;(){}]*>)?(?:\\s+const)?\\s*[*&])`,
  "g",
);
const afterType = new RegExp(`\\b${qualifier}\\s*(?=\\*)`, "g");

export const stripPointed = (source: string): string => source.replace(pointed, "").replace(afterType, "");

/** A qualifier has a static of its own; what the assembler calls sync is __sync. */
const plain = (source: string): string =>
  stripPointed(source)
    .replace(new RegExp(`\\b(?:static|extern)\\s+(?=${qualifier})`, "g"), "")
    .replace(new RegExp(`\\b(${qualifier})\\s+static\\b`, "g"), "$1")
    .replace(/\b(?:__)?asm(?:__)?\s+(?:__)?volatile(?:__)?\s*\(\s*"sync\s*;[^"]*"\s*(?::\s*)*\)/g, "__sync()");

/**
 * `entry`: the kernel's function, of a template with its arguments (`scale<float>`). kind: block, union1, union2, union4,
 * union8 or union16.
 */
export function bangKernel(source: string, entry: string, args: readonly string[], kind: string): SimSource {
  const [name = entry] = entry.split("<");
  const { text, pools } = poolVariables(plain(withoutLaunches(source)));
  const kernel = foreignKernel(text, name.trim(), args, kind);
  const names = /\b__is_[im]pu\b|\b__sync_all_mpu\b|\bcoreId\s*[!=]=\s*(?:0x80|128)\b/.test(source);
  const lenient = `static constexpr BangChecks bang_checks = bang_lenient;${names ? "" : " static constexpr bool bang_has_memory_core = false;"}`;
  const memories = source.includes("__mlu_shared__") ? ["nram", "sram"] : ["nram"];
  const zones = (at: string): string => memories.map((memory) => `BANG_RED_ZONE(${memory}, ${at})`).join(" ");
  const head = [
    lenient,
    zones("start"),
    ...pools.map((memory) => `BANG_POOL(${memory}, BANG_POOL_BYTES_${memory})`),
  ].join(" ");
  // Nameless, so that helpers which nothing calls are left out.
  let unit = kernel
    .unit!.replace(/^(namespace \w+ \{)$/m, `$1 namespace { ${head}`)
    .replace(/\}\n$/, `${zones("end")}\n}}\n`);
  if (name !== entry)
    unit = unit
      .replaceAll(new RegExp(`\\b${SYMBOL}\\b`, "g"), "ts_template")
      .replace(
        /TESSERA_SIM_ENTRY\(ts_template\)/,
        `static constexpr auto* ${SYMBOL} = &ts_template${entry.slice(name.length)};\n$&`,
      )
      .replace("TESSERA_SIM_ENTRY(ts_template)", `TESSERA_SIM_ENTRY(${SYMBOL})`);
  return { ...kernel, name: entry, source, unit };
}
