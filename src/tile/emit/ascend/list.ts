/**
 * Many tile programs as one Ascend C kernel that runs a list of launches from device memory, one after the other, with a
 * barrier of all cores between them: what would be a hundred launches of the host is one.
 * A record of the list is 8-byte words: which program, its arguments in order (a float in the low half of its word), the
 * grid. Arguments: the list, how many records, then the workspace where there is one. Main function: `emitAscendList`.
 */
import type { Chip } from "../../chips/types.ts";
import type { TileProgram } from "../../ir.ts";
import { ascendBody, kernelTypes, onlyOn, type AscendBody, type AscendKernel } from "./ascend.ts";

/** A parameter as the list holds it at word `at + i`. */
function fromWord(param: string, i: number): string {
  if (param.startsWith("GM_ADDR")) return `(GM_ADDR)words.GetValue(at + ${i})`;
  return param.startsWith("float") ? `numbers.GetValue(2 * (at + ${i}))` : `words.GetValue(at + ${i})`;
}
const isWorkspace = (param: string): boolean => param === "GM_ADDR workspace";

/** Vector cores work alone only if no program needs a cube core: a mixed kernel has as many of the one as of the other. */
const kindOf = (bodies: readonly AscendBody[]): AscendKernel["kind"] =>
  bodies.every((b) => b.kind === "vector") ? "vector" : bodies.every((b) => b.kind === "cube") ? "cube" : "mix11";

export function emitAscendList(programs: readonly TileProgram[], chip: Chip, entry: string): AscendKernel {
  const bodies = programs.map((program) => ascendBody(program, chip));
  const kind = kindOf(bodies);
  const workspaceBytesPerBlock = Math.max(0, ...bodies.map((b) => b.workspaceBytesPerBlock));
  const names = programs.map((program, i) => `run${i}_${program.name.replace(/\W/g, "_")}`);
  const functions = bodies.flatMap((body, i) => {
    const own = kind === "mix11" && body.kind !== "mix11" ? onlyOn(body.kind === "cube" ? "AIC" : "AIV", body.text) : body.text; // prettier-ignore
    return [`__aicore__ inline void ${names[i]}(${body.params.join(", ")}) {`, own, "}", ""];
  });
  const cases = bodies.flatMap(({ params }, i) => {
    const args = params.map((p, j) => (isWorkspace(p) ? "workspace" : fromWord(p, j + 1)));
    const length = 1 + params.filter((p) => !isWorkspace(p)).length;
    return [
      `      case ${i}:`,
      `        ${names[i]}(${args.join(", ")});`,
      `        at += ${length};`,
      "        break;",
    ];
  });
  const workspace = workspaceBytesPerBlock > 0 ? ", GM_ADDR workspace" : "";
  const source = [
    `// a list of launches for ${chip.name}`,
    '#include "kernel_operator.h"',
    "using namespace AscendC;",
    "",
    ...functions,
    `extern "C" __global__ __aicore__ void ${entry}(GM_ADDR list, int64_t numLaunches${workspace}) {`,
    `  KERNEL_TASK_TYPE_DEFAULT(${kernelTypes[kind]});`,
    "  InitSocState();",
    "  GlobalTensor<int64_t> words;",
    "  words.SetGlobalBuffer((__gm__ int64_t*)list);",
    "  GlobalTensor<float> numbers;",
    "  numbers.SetGlobalBuffer((__gm__ float*)list);",
    "  for (int64_t launch = 0, at = 0; launch < numLaunches; launch++) {",
    "    switch (words.GetValue(at)) {",
    ...cases,
    "    }",
    "    // What one launch wrote the next may read on any core, with scalar loads too.",
    "    PipeBarrier<PIPE_ALL>();",
    `    SyncAll<${kind === "mix11" ? "false" : "true"}>();`,
    "    DataCacheCleanAndInvalid<int64_t, CacheLine::ENTIRE_DATA_CACHE, DcciDst::CACHELINE_OUT>(words);",
    "  }",
    "  PipeBarrier<PIPE_ALL>();",
    "}",
    "",
  ].join("\n");
  return { source, entry, kind, workspaceBytesPerBlock };
}
