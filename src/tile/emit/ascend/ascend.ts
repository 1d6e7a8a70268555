/**
 * Tile program -> Ascend C text for one chip: a kernel whose blocks take the programs of the grid in turn. Addresses are
 * the plan's (no queues), synchronisation is explicit. Programs without dots run on the vector cores; where there are dots
 * the cube core takes its loads, products and their stores, and tiles pass through a workspace in device memory or, on
 * 3510, from one core's memory to the other's; there both vector cores of a block share what can be cut in halves.
 * Arguments: the program's parameters in order, three grid sizes, then the workspace where there is one.
 * Main function: `emitAscend`. Meaning: interpret.ts. Source: the public Ascend C programming guide.
 */
import type { Chip } from "../../chips/types.ts";
import type { Param, Stmt, TileProgram, TileValue } from "../../ir.ts";
import { lower } from "../../passes.ts";
import { LineWriter } from "../c-like/line-writer.ts";
import { typeNames } from "./buffers.ts";
import { hasWork, type Node } from "./code.ts";
import { CubeCore } from "./cube.ts";
import { Handover } from "./handover.ts";
import { turnOf, type Places } from "./places.ts";
import { Plan } from "./plan.ts";
import { synchronise } from "./sync.ts";
import { wordOf } from "./transfer.ts";
import { HALF, VectorCore } from "./vector.ts";

export interface AscendKernel {
  readonly source: string;
  readonly entry: string;
  /** mix: a block is a cube core and its two vector cores; mix11: and one of them. */
  readonly kind: "vector" | "cube" | "mix" | "mix11";
  /** Device memory that every block needs beside the arguments. */
  readonly workspaceBytesPerBlock: number;
}

export const kernelTypes = { vector: "KERNEL_TYPE_AIV_ONLY", cube: "KERNEL_TYPE_AIC_ONLY", mix: "KERNEL_TYPE_MIX_AIC_1_2", mix11: "KERNEL_TYPE_MIX_AIC_1_1" } as const; // prettier-ignore

const argumentOf = (p: Param): string =>
  p.kind === "buffer" ? `GM_ADDR ${p.name}` : p.kind === "index" ? `int64_t ${p.name}` : `float ${p.name}`;

/** What a core does at a statement; a tile that is none of its business it passes over. */
interface Core {
  let(tile: TileValue): void;
  store(stmt: Extract<Stmt, { kind: "store" }>, at: number): void;
  scatter(stmt: Extract<Stmt, { kind: "scatter" }>, at: number): void;
  /** Around a loop: a carried tile takes its first value, or that of the next turn. */
  carry(slot: number, value: number, when: "before" | "next"): void;
  /** After the statements that may read a tile. */
  leave(tile: TileValue): void;
  readonly places: Places;
}

/** Code of a loop's turn, with the halves that it takes first. */
function turn(core: Core, loop: string, body: readonly Node[]): Pick<Extract<Node, { kind: "block" }>, "body" | "turns"> & { step: string } {
  const lines = core.places.turnLines(loop);
  if (lines.length === 0) return { body, turns: undefined, step: "" };
  return { body: [{ kind: "instr", lines, accesses: [] }, ...body], turns: loop, step: `, ${turnOf(loop)}++` };
} // prettier-ignore

/** The statements of one core. */
function statements(plan: Plan, core: Core, stmts: readonly Stmt[]): void {
  const { scalars, homes } = plan;
  for (const s of plan.scheduled(stmts)) {
    const at = homes.live.positionOf(s);
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
        const body = scalars.scoped(() => statements(plan, core, s.body));
        if (hasWork(body)) scalars.nodes.push({ kind: "block", head: `if (${cond}) `, body, repeats: false });
        break;
      }
      case "loop": {
        const carry = (values: readonly number[], when: "before" | "next"): void =>
          values.forEach((value, slot) => {
            const tile = homes.live.carryOf(`${s.id}:${slot}`);
            if (tile !== undefined) core.carry(tile, value, when);
          });
        const [start, end] = [scalars.index(s.start), scalars.index(s.end, 1)];
        carry(s.init, "before");
        const body = scalars.scoped(() => {
          statements(plan, core, s.body);
          carry(s.next, "next");
        });
        const i = `i${s.id}`;
        const { step, ...rest } = turn(core, String(s.id), body);
        if (hasWork(body)) scalars.nodes.push({ kind: "block", head: `for (int64_t ${i} = ${start}; ${i} < ${end}; ${i} += ${s.step}${step}) `, ...rest, repeats: true }); // prettier-ignore
      }
    }
  }
  for (const s of stmts) if (s.kind === "let") core.leave(s.tile);
}

/** Of code of which one of two vector cores has no part: only what the cores tell each other, and what that depends on. */
function flagsOnly(nodes: readonly Node[]): Node[] {
  const tells = (n: Node): boolean => n.kind === "instr" ? n.lines.some((l) => l.includes("CrossCore")) : n.kind === "block" && n.body.some(tells); // prettier-ignore
  return nodes.flatMap((n): Node[] => {
    if (n.kind === "comment") return [];
    if (n.kind === "instr") return n.accesses.every((a) => a.pipe === "S") ? [n] : [];
    return tells(n) ? [{ ...n, body: flagsOnly(n.body) }] : [];
  });
}

/** How the text of a core finds the programs that are its own. */
interface Share {
  readonly start: string;
  readonly step: string;
}
const ALONE: Share = { start: "GetBlockIdx()", step: "GetBlockNum()" };

/** The text of one core: its views of device memory, its places, the loop over programs. */
function emitCore(
  plan: Plan,
  name: "cube" | "vector",
  core: Core,
  handover: Handover,
  share: Share,
  isOneOfTwo: boolean,
): string | undefined {
  const { program } = plan.lowering;
  const body = plan.scalars.scoped(() => statements(plan, core, program.body));
  if (!hasWork(body)) return undefined;
  const out = new LineWriter();
  if (plan.isHalved && name === "vector") out.add(`const int64_t ${HALF} = GetSubBlockIdx();`);
  const text = JSON.stringify(body);
  for (const p of program.params)
    for (const suffix of ["Gm", "Cube"]) {
      if (p.kind !== "buffer" || !new RegExp(`\\b${p.name}${suffix}\\b`).test(text)) continue;
      // The vector core copies words.
      const type = suffix === "Gm" ? wordOf(p.dtype) : typeNames[p.dtype];
      out.add(
        `GlobalTensor<${type}> ${p.name}${suffix};`,
        `${p.name}${suffix}.SetGlobalBuffer((__gm__ ${type}*)${p.name});`,
      );
    }
  out.add(
    "// Places, in bytes; tiles whose lives do not meet share theirs, turns of a loop take the halves of both by turns.",
    ...core.places.declarations.values(),
  );
  const [open, close] = [handover.open(name, share.start), handover.close(name)];
  if (open.length) out.add("// Slots between the cores; what a core reads is free to be written at first.", ...open);
  const { step, ...rest } = turn(core, "grid", [...programIds(body), ...body]);
  const head = `for (int64_t pid = ${share.start}; pid < gridX * gridY * gridZ; pid += ${share.step}${step}) `;
  const grid: Node[] = [{ kind: "block", head, ...rest, repeats: true, isGrid: true }];
  if (isOneOfTwo) {
    out.block("if (GetSubBlockIdx() == 0) ", () => synchronise(grid, out, plan.inOrder));
    out.add("// The other vector core has no part in this; its flags count all the same.");
    out.block("else ", () => synchronise(flagsOnly(grid), out, plan.inOrder));
  } else synchronise(grid, out, plan.inOrder);
  if (close.length) out.add("// No flag is left behind.", ...close);
  return String(out);
}

/** A program as the text of a function: what a kernel is made of, alone or in a list (list.ts). */
export interface AscendBody {
  readonly kind: AscendKernel["kind"];
  /** `type name` of every parameter, three grid sizes, and the workspace where there is one. */
  readonly params: readonly string[];
  readonly text: string;
  readonly workspaceBytesPerBlock: number;
}

export const isMixed = (kind: AscendKernel["kind"]): boolean => kind === "mix" || kind === "mix11";
export const onlyOn = (core: "AIC" | "AIV", text: string): string => `  if ASCEND_IS_${core} {\n${text.replaceAll(/^/gm, "  ")}\n  }`; // prettier-ignore

/** `vectorCores`: so many of a block run the text where a list needs both for another program. */
export function ascendBody(program: TileProgram, chip: Chip, vectorCores?: 1 | 2): AscendBody {
  const plan = new Plan(lower(program, chip));
  const handover = new Handover(plan);
  const [cubeCore, vectorCore] = [new CubeCore(plan, handover), new VectorCore(plan, handover)];
  // Once for the slots that both cores must know.
  for (const core of [cubeCore, vectorCore]) plan.scalars.scoped(() => statements(plan, core, plan.lowering.program.body)); // prettier-ignore
  const cube = emitCore(plan, "cube", cubeCore, handover, ALONE, false);
  const ofTwo = (vectorCores ?? (plan.isHalved ? 2 : 1)) === 2;
  const share = !ofTwo ? ALONE : cube === undefined ? { ...ALONE, step: "2 * GetBlockNum()" } : { ...ALONE, start: "GetBlockIdx() / 2" }; // prettier-ignore
  const vector = emitCore(plan, "vector", vectorCore, handover, share, ofTwo && cube !== undefined && !plan.isHalved);
  const kind = cube === undefined ? "vector" : vector === undefined ? "cube" : ofTwo ? "mix" : "mix11";
  const text = isMixed(kind) ? `${onlyOn("AIC", cube!)}\n${onlyOn("AIV", vector!)}` : (cube ?? vector ?? "");
  const workspace = handover.workspaceBytes > 0 ? ["GM_ADDR workspace"] : [];
  const params = [...program.params.map(argumentOf), "int64_t gridX", "int64_t gridY", "int64_t gridZ", ...workspace];
  return { kind, params, text, workspaceBytesPerBlock: handover.workspaceBytes };
}

/** `entry` names the function. */
export function emitAscend(program: TileProgram, chip: Chip, entry = `${program.name.replace(/\W/g, "_")}_kernel`): AscendKernel {
  const { kind, params, text, workspaceBytesPerBlock } = ascendBody(program, chip);
  const source = [
    `// ${program.name} for ${chip.name}`,
    '#include "kernel_operator.h"',
    "using namespace AscendC;",
    "",
    `extern "C" __global__ __aicore__ void ${entry}(${params.join(", ")}) {`,
    `  KERNEL_TASK_TYPE_DEFAULT(${kernelTypes[kind]});`,
    "  InitSocState();",
    text,
    "  PipeBarrier<PIPE_ALL>();",
    "}",
    "",
  ].join("\n");
  return { source, entry, kind, workspaceBytesPerBlock };
} // prettier-ignore

/** The position of a program in the grid, as far as its statements ask for it. */
function programIds(body: readonly Node[]): Node[] {
  const text = JSON.stringify(body);
  const forms = ["pid % gridX", "pid / gridX % gridY", "pid / (gridX * gridY)"];
  const lines = forms.flatMap((form, axis) => (new RegExp(`\\bp${axis}\\b`).test(text) ? [`const int64_t p${axis} = ${form};`] : [])); // prettier-ignore
  return lines.length ? [{ kind: "instr", lines, accesses: [] }] : [];
}
