/**
 * The host's part of a file: functions that launch a kernel. The simulator enters the kernel itself, so they are taken out,
 * line for line; what they call need not be known. Main function: `withoutLaunches`.
 */
import { blanked, closing } from "./braces.ts";

/** Where the function that holds `at` begins and ends; undefined outside of any. */
function functionAround(text: string, at: number): [number, number] | undefined {
  // The outermost brace after a parameter list: those of namespaces stand after a name.
  const open: number[] = [];
  for (let i = 0; i < at; i++) {
    if (text[i] === "{") open.push(i);
    else if (text[i] === "}") open.pop();
  }
  const start = open.find((brace) => /\)\s*(?:const\s*|noexcept\s*)*$/.test(text.slice(0, brace)));
  if (start === undefined) return undefined;
  // Its head: back to what ends the declaration before it, a line of the preprocessor included.
  const before = text.slice(0, start);
  const head = Math.max(before.lastIndexOf(";"), before.lastIndexOf("}"), ...open.filter((brace) => brace < start));
  const directive = [...before.matchAll(/^[ \t]*#(?:[^\n\\]|\\[^\n]|\\\n)*$/gm)].at(-1);
  return [Math.max(head + 1, directive ? directive.index + directive[0].length : 0), closing(text, start, "{", "}")];
}

export function withoutLaunches(source: string): string {
  const text = blanked(source);
  const cuts: [number, number][] = [];
  for (let at = text.indexOf("<<<"); at >= 0; at = text.indexOf("<<<", at + 3)) {
    const cut = functionAround(text, at);
    if (cut && !cuts.some(([start]) => start === cut[0])) cuts.push(cut);
  }
  return cuts.toReversed().reduce((rest, [start, end]) => rest.slice(0, start) + rest.slice(start, end).replace(/[^\n]/g, "") + rest.slice(end), source); // prettier-ignore
}
