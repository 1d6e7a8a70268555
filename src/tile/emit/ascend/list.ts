/**
 * Many tile programs as one Ascend C kernel that runs a list of launches from device memory, one after the other, with a
 * barrier of all cores between them: what would be a hundred launches of the host is one.
 * A record of the list is 8-byte words: which program, its arguments in order (a float in the low half of its word), the
 * grid. Arguments: the list, how many records, then the workspace where there is one. Main function: `emitAscendList`.
 */
import type { Chip } from "../../chips/types.ts";
import type { TileProgram } from "../../ir.ts";
import { ascendBody, isMixed, kernelTypes, onlyOn, type AscendBody, type AscendKernel } from "./ascend.ts";

/** A parameter as the list holds it at word `at + i`. */
function fromWord(param: string, i: number): string {
  if (param.startsWith("GM_ADDR")) return `(GM_ADDR)words.GetValue(at + ${i})`;
  return param.startsWith("float") ? `numbers.GetValue(2 * (at + ${i}))` : `words.GetValue(at + ${i})`;
}
const isWorkspace = (param: string): boolean => param === "GM_ADDR workspace";

/** Vector cores work alone only if no program needs a cube core. On 2201 a mixed list has one of them for each cube core. */
function kindOf(bodies: readonly AscendBody[], chip: Chip): AscendKernel["kind"] {
  const [kind, ...others] = new Set(bodies.map((b) => b.kind));
  if (others.length === 0 && (kind === "vector" || kind === "cube")) return kind;
  return chip.arch.matrix.vectorPath === "direct" ? "mix" : "mix11";
}

export function emitAscendList(programs: readonly TileProgram[], chip: Chip, entry: string): AscendKernel {
  const alone = programs.map((program) => ascendBody(program, chip));
  const kind = kindOf(alone, chip);
  // With both vector cores in a block, programs that leave one idle say so.
  const bodies = kind === "mix" ? programs.map((program) => ascendBody(program, chip, 2)) : alone;
  const workspaceBytesPerBlock = Math.max(0, ...bodies.map((b) => b.workspaceBytesPerBlock));
  const names = programs.map((program, i) => `run${i}_${program.name.replace(/\W/g, "_")}`);
  const functions = bodies.flatMap((body, i) => {
    const own = isMixed(kind) && !isMixed(body.kind) ? onlyOn(body.kind === "cube" ? "AIC" : "AIV", body.text) : body.text; // prettier-ignore
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
    `    SyncAll<${isMixed(kind) ? "false" : "true"}>();`,
    "    DataCacheCleanAndInvalid<int64_t, CacheLine::ENTIRE_DATA_CACHE, DcciDst::CACHELINE_OUT>(words);",
    "  }",
    "  PipeBarrier<PIPE_ALL>();",
    "}",
    "",
  ].join("\n");
  return { source, entry, kind, workspaceBytesPerBlock };
}
