/**
 * Tile program -> Ascend C text for one chip: a kernel whose blocks take the programs of the grid in turn. Addresses are
 * the plan's (no queues), synchronisation is explicit. Programs without dots run on the vector cores; where there are dots
 * the cube core takes its loads, products and their stores, and tiles pass through a workspace in device memory.
 * Arguments: the program's parameters in order, three grid sizes, then the workspace where there is one.
 * Main function: `emitAscend`. Meaning: interpret.ts. Source: the public Ascend C programming guide.
 */
import type { Chip } from "../../chips/types.ts";
import type { Param, Stmt, TileProgram } from "../../ir.ts";
import { lower } from "../../passes.ts";
import { LineWriter } from "../c-like/line-writer.ts";
import { typeNames } from "./buffers.ts";
import type { Node } from "./code.ts";
import { Plan } from "./plan.ts";
import { synchronise } from "./sync.ts";
import { VectorCore } from "./vector.ts";

export interface AscendKernel {
  readonly source: string;
  readonly entry: string;
  /** mix11: a block is a cube core and one vector core. */
  readonly kind: "vector" | "cube" | "mix11";
  /** Device memory that every block needs beside the arguments. */
  readonly workspaceBytesPerBlock: number;
}

const kernelTypes = { vector: "KERNEL_TYPE_AIV_ONLY", cube: "KERNEL_TYPE_AIC_ONLY", mix11: "KERNEL_TYPE_MIX_AIC_1_1" } as const; // prettier-ignore

const argumentOf = (p: Param): string =>
  p.kind === "buffer" ? `GM_ADDR ${p.name}` : p.kind === "index" ? `int64_t ${p.name}` : `float ${p.name}`;

/** The statements of one core, in text order; positions count as in liveness.ts. */
function statements(plan: Plan, core: VectorCore, stmts: readonly Stmt[], clock: { at: number }): void {
  const { scalars, homes } = plan;
  for (const s of stmts) {
    const at = clock.at++;
    switch (s.kind) {
      case "let":
        core.let(s.tile);
        break;
      case "store":
        core.store(s, at);
        break;
      case "scatter":
        core.scatter(s, at);
        break;
      case "if": {
        const cond = scalars.index(s.cond);
        const body = scalars.scoped(() => statements(plan, core, s.body, clock));
        scalars.nodes.push({ kind: "block", head: `if (${cond}) `, body, repeats: false });
        break;
      }
      case "loop": {
        const carries = s.init.map((_, slot) => homes.live.carryOf(`${s.id}:${slot}`));
        const [start, end] = [scalars.index(s.start), scalars.index(s.end, 1)];
        s.init.forEach((init, slot) => {
          if (carries[slot] !== undefined && homes.isVector(carries[slot])) core.carry(carries[slot], init);
        });
        const body = scalars.scoped(() => {
          statements(plan, core, s.body, clock);
          s.next.forEach((next, slot) => {
            if (carries[slot] !== undefined && homes.isVector(carries[slot])) core.carry(carries[slot], next);
          });
        });
        clock.at++;
        const i = `i${s.id}`;
        scalars.nodes.push({ kind: "block", head: `for (int64_t ${i} = ${start}; ${i} < ${end}; ${i} += ${s.step}) `, body, repeats: true }); // prettier-ignore
      }
    }
  }
}

export function emitAscend(program: TileProgram, chip: Chip, entry = `${program.name.replace(/\W/g, "_")}_kernel`): AscendKernel {
  const plan = new Plan(lower(program, chip));
  const core = new VectorCore(plan);
  const body = plan.scalars.scoped(() => statements(plan, core, plan.lowering.program.body, { at: 0 }));
  const kind = "vector";
  const out = new LineWriter();
  out.add(`KERNEL_TASK_TYPE_DEFAULT(${kernelTypes[kind]});`, "InitSocState();");
  for (const p of program.params)
    if (p.kind === "buffer") {
      const type = p.dtype === "bf16" ? "uint16_t" : typeNames[p.dtype];
      out.add(`GlobalTensor<${type}> ${p.name}Gm;`, `${p.name}Gm.SetGlobalBuffer((__gm__ ${type}*)${p.name});`);
    }
  out.add("// Places in the unified buffer; tiles whose lives do not meet share theirs.", ...core.declarations.values());
  const grid: Node[] = [{ kind: "block", head: "for (int64_t pid = GetBlockIdx(); pid < gridX * gridY * gridZ; pid += GetBlockNum()) ", body: [...programIds(body), ...body], repeats: true, isGrid: true }]; // prettier-ignore
  synchronise(grid, out);
  out.add("PipeBarrier<PIPE_ALL>();");
  const args = [...program.params.map(argumentOf), "int64_t gridX", "int64_t gridY", "int64_t gridZ"];
  const source = [
    `// ${program.name} for ${chip.name}`,
    '#include "kernel_operator.h"',
    "using namespace AscendC;",
    "",
    `extern "C" __global__ __aicore__ void ${entry}(${args.join(", ")}) {`,
    String(out),
    "}",
    "",
  ].join("\n");
  return { source, entry, kind, workspaceBytesPerBlock: 0 };
} // prettier-ignore

/** The position of a program in the grid, as far as its statements ask for it. */
function programIds(body: readonly Node[]): Node[] {
  const text = JSON.stringify(body);
  const forms = ["pid % gridX", "pid / gridX % gridY", "pid / (gridX * gridY)"];
  const lines = forms.flatMap((form, axis) => (new RegExp(`\\bp${axis}\\b`).test(text) ? [`const int64_t p${axis} = ${form};`] : [])); // prettier-ignore
  return lines.length ? [{ kind: "instr", lines, accesses: [] }] : [];
}
