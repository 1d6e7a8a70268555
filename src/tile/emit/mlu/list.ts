/**
 * Many tile programs as one BANG C kernel that runs a list of launches from device memory, one after the other, with a
 * barrier of all cores between them. All clusters are one job (UnionN), since only cores of a job meet. A program whose
 * neighbours share loads has two cases: for cores alone, and for the teams of clusters (cluster.ts).
 * A record of the list is 8-byte words: which case, the program's arguments in order (a float in the low half of its word),
 * the grid. Arguments: the list, how many records. Main function: `emitMluList`.
 */
import type { Chip } from "../../chips/types.ts";
import type { TileProgram } from "../../ir.ts";
import { arenas, mluBodies, mluIncludes, type MluBody } from "../mlu.ts";

export interface MluList {
  readonly source: string;
  /** By program, of those that have one: the case for teams, and the axis of the grid that they take. The case for cores alone is the program's number. */
  readonly teams: ReadonlyMap<number, { readonly number: number; readonly axis: number }>;
} // prettier-ignore

/** A parameter as the list holds it at word `at + i`. */
function fromWord(param: string, i: number): string {
  const type = param.slice(0, param.lastIndexOf(" "));
  if (type.endsWith("*")) return `(${type})list[at + ${i}]`;
  return type === "float" ? `*(const float*)(list + at + ${i})` : `list[at + ${i}]`;
}

interface Case {
  readonly name: string;
  readonly body: MluBody;
  readonly isTeam: boolean;
}

export function emitMluList(programs: readonly TileProgram[], chip: Chip, entry: string): MluList {
  const all = programs.map((program) => mluBodies(program, chip));
  const names = programs.map((program, i) => `run${i}_${program.name.replace(/\W/g, "_")}`);
  const cases: Case[] = all.map(({ alone }, i) => ({ name: names[i]!, body: alone, isTeam: false }));
  const teams = new Map<number, { number: number; axis: number }>();
  for (const [i, { team }] of all.entries()) {
    if (!team) continue;
    teams.set(i, { number: cases.length, axis: team.axis });
    cases.push({ name: `${names[i]!}_teams`, body: team, isTeam: true });
  }
  const largest = (size: "nramBytes" | "wramBytes" | "sramBytes"): number => Math.max(0, ...cases.map(({ body }) => body[size])); // prettier-ignore
  const functions = cases.flatMap(({ name, body: { params, text } }) => [`__mlu_func__ void ${name}(${params.join(", ")}) {`, text, "}", ""]); // prettier-ignore
  const texts = cases.flatMap(({ name, body: { params }, isTeam }, i) => [
    `      case ${i}:`,
    `        ${isTeam ? "" : "if (__is_ipu()) "}${name}(${params.map((p, j) => fromWord(p, j + 1)).join(", ")});`,
    `        at += ${1 + params.length};`,
    "        break;",
  ]);
  const source = [
    `// a list of launches for ${chip.arch.name}`,
    ...mluIncludes,
    "",
    "// Programs take turns in the same memories.",
    ...arenas({ nramBytes: largest("nramBytes"), wramBytes: largest("wramBytes"), sramBytes: largest("sramBytes") }),
    "",
    ...functions,
    `extern "C" __mlu_global__ void ${entry}(const int64_t* list, int64_t num_launches) {`,
    "  for (int64_t launch = 0, at = 0; launch < num_launches; ++launch) {",
    "    switch (list[at]) {",
    ...texts,
    "    }",
    "    // What one launch wrote the next may read on any core; memory cores wait with the others.",
    "    __sync();",
    "    __sync_all();",
    "  }",
    "}",
    "",
  ].join("\n");
  return { source, teams };
}
