/**
 * Variables with a memory qualifier inside templates become parts of a pool (include/bang/launch.h, BANG_POOL), line for
 * line. Main function: `poolVariables`.
 */
import { blanked, closing } from "./braces.ts";

const memoryOf: Readonly<Record<string, string>> = { __nram__: "nram", __wram__: "wram", __mlu_shared__: "sram" };

/** Qualifier, type, name, dimensions, perhaps initial values. */
const declaration =
  /\b(__nram__|__wram__|__mlu_shared__)(\s+)((?:const\s+)?[\w:]+(?:\s*<[^<>;{}]*>)?)\s+(\w+)\s*((?:\[[^\]]*\]\s*)+)(?:=\s*(\{[^;]*\}))?\s*;/g;

/** Bodies of templates, from brace to brace. */
function bodies(source: string): [start: number, end: number][] {
  const text = blanked(source);
  const out: [number, number][] = [];
  for (const { index } of text.matchAll(/\btemplate\s*(?=<)/g)) {
    let at = closing(text, text.indexOf("<", index), "<", ">");
    while (at < text.length && text[at] !== "{" && text[at] !== ";")
      at = text[at] === "(" ? closing(text, at, "(", ")") : at + 1;
    if (text[at] === "{") out.push([at, closing(text, at, "{", "}")]);
  }
  return out;
}

const numLines = (text: string): number => text.split("\n").length;

/** `pools`: the memories that need one. */
export function poolVariables(source: string): { text: string; pools: string[] } {
  const ranges = bodies(source);
  const pools = new Set<string>();
  const text = source.replace(
    declaration,
    (
      all: string,
      q: string,
      space: string,
      type: string,
      name: string,
      dims: string,
      init: string | undefined,
      at: number,
    ) => {
      if (!ranges.some(([start, end]) => start <= at && at < end)) return all;
      const memory = memoryOf[q]!;
      pools.add(memory);
      const values = init === undefined ? "" : ` { const ${type} ts_initial ${dims} = ${init}; memcpy(${name}, ts_initial, sizeof ts_initial); }`; // prettier-ignore
      const out = `auto& ${name} =${space}bang_place_${memory}<${type}${dims.trimEnd()}, __COUNTER__>("${name}");${values}`;
      return out + "\n".repeat(Math.max(0, numLines(all) - numLines(out)));
    },
  );
  return { text, pools: [...pools] };
}
