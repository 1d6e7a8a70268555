/**
 * Many tile programs as one BANG C kernel that runs a list of launches from device memory, one after the other, with a
 * barrier of all cores between them. All clusters are one job (UnionN), since only cores of a job meet.
 * A record of the list is 8-byte words: which program, its arguments in order (a float in the low half of its word), the
 * grid. Arguments: the list, how many records. Main function: `emitMluList`.
 */
import type { Chip } from "../../chips/types.ts";
import type { TileProgram } from "../../ir.ts";
import { arenas, mluBody, mluIncludes } from "../mlu.ts";

/** A parameter as the list holds it at word `at + i`. */
function fromWord(param: string, i: number): string {
  const type = param.slice(0, param.lastIndexOf(" "));
  if (type.endsWith("*")) return `(${type})list[at + ${i}]`;
  return type === "float" ? `*(const float*)(list + at + ${i})` : `list[at + ${i}]`;
}

export function emitMluList(programs: readonly TileProgram[], chip: Chip, entry: string): { readonly source: string } {
  const bodies = programs.map((program) => mluBody(program, chip));
  const largest = (size: "nramBytes" | "wramBytes"): number => Math.max(0, ...bodies.map((b) => b[size]));
  const names = programs.map((program, i) => `run${i}_${program.name.replace(/\W/g, "_")}`);
  const functions = bodies.flatMap(({ params, text }, i) => [`__mlu_func__ void ${names[i]}(${params.join(", ")}) {`, text, "}", ""]); // prettier-ignore
  const cases = bodies.flatMap(({ params }, i) => [
    `      case ${i}:`,
    `        ${names[i]}(${params.map((p, j) => fromWord(p, j + 1)).join(", ")});`,
    `        at += ${1 + params.length};`,
    "        break;",
  ]);
  const source = [
    `// a list of launches for ${chip.arch.name}`,
    ...mluIncludes,
    "",
    "// Programs take turns in the same memories.",
    ...arenas({ nramBytes: largest("nramBytes"), wramBytes: largest("wramBytes"), sramBytes: 0 }),
    "",
    ...functions,
    `extern "C" __mlu_global__ void ${entry}(const int64_t* list, int64_t num_launches) {`,
    "  // Memory cores have nothing to do, and the barriers are of the others.",
    "  if (__is_mpu()) return;",
    "  for (int64_t launch = 0, at = 0; launch < num_launches; ++launch) {",
    "    switch (list[at]) {",
    ...cases,
    "    }",
    "    // What one launch wrote the next may read on any core.",
    "    __sync();",
    "    __sync_all_ipu();",
    "  }",
    "}",
    "",
  ].join("\n");
  return { source };
}
