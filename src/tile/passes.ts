/**
 * From tile IR to a program with a place for everything on one chip: a named, ordered list of passes. Each takes the
 * state so far and adds to it, each can be printed, and the verifier runs on the program after each. The Ascend and MLU
 * emitters begin where this list ends. Main function: `lower`; `explain` is the text of all stages.
 */
import { CompileError } from "../base/errors.ts";
import { capacityOf, type Chip, type Space } from "./chips/types.ts";
import { doubleBuffer } from "./double-buffer.ts";
import { noCluster, planCluster, printCluster, type ClusterDecision } from "./cluster.ts";
import type { TileProgram, TileValue } from "./ir.ts";
import { legaliseDTypes, type LegalProgram } from "./legality.ts";
import { choosePipelines, noPipelines, printPipeline, type PipelinePlan } from "./pipeline.ts";
import { opName, printProgram, printTile } from "./print.ts";
import { assignMemorySpaces, type MemoryPlan, type Placement } from "./spaces.ts";
import { verify } from "./verify.ts";
import { tilesOf } from "./walk.ts";

/** A program on its way to a chip; `memory` is empty until spaces are assigned. */
export interface Lowering extends LegalProgram {
  readonly chip: Chip;
  readonly overlap: PipelinePlan;
  readonly cluster: ClusterDecision;
  readonly memory: MemoryPlan;
}

export interface Pass {
  readonly name: string;
  run(state: Lowering): Lowering;
  /** What the pass added, as deterministic text. */
  print(state: Lowering): string;
}

const percent = (bytes: number, capacity: number): string => `${((bytes / capacity) * 100).toFixed(1)}%`;
const byId = (program: TileProgram): Map<number, TileValue> => new Map(tilesOf(program).map((t) => [t.id, t]));
const nameOf = (tiles: ReadonlyMap<number, TileValue>, p: Placement): string =>
  `%${p.tile} ${opName(tiles.get(p.tile)!.op)} ${p.part}`;
const spacesIn = (memory: MemoryPlan): Space[] => (Object.keys(memory.peakBytes) as Space[]).toSorted();

function checkCapacity(state: Lowering): Lowering {
  const { chip, program, memory } = state;
  const fail = (where: string, message: string): never => {
    throw new CompileError(`capacity: kernel ${program.name} on ${chip.name}: ${where}: ${message}`, { pass: "checkCapacity", target: chip.name }); // prettier-ignore
  };
  const tiles = byId(program);
  for (const tile of tiles.values()) {
    const { op, shape } = tile;
    if (op.kind === "dot") {
      const a = tiles.get(op.a)!;
      const largest = Math.max(...shape, ...a.shape);
      if (largest > chip.arch.matrix.maxDim) fail(`dot %${tile.id}`, `expected m, n and k of at most ${chip.arch.matrix.maxDim}, got ${largest}`); // prettier-ignore
    }
  }
  for (const space of spacesIn(memory)) {
    const [peak, capacity] = [memory.peakBytes[space]!, capacityOf(chip, space)];
    if (peak <= capacity) continue;
    const worst = memory.placements.filter((p) => p.space === space).toSorted((p, q) => q.bytes - p.bytes);
    const names = worst.slice(0, 3).map((p) => `${nameOf(tiles, p)} ${p.bytes}`);
    fail(space, `expected at most ${capacity} bytes, got ${peak} (largest: ${names.join(", ")})`);
  }
  return state;
}

export const passes: readonly Pass[] = [
  { name: "verify", run: (state) => state, print: ({ program }) => printProgram(program) },
  {
    name: "legaliseDTypes",
    run: (state) => ({ ...state, ...legaliseDTypes(state.program, state.chip) }),
    print: ({ program, casts, expansions, assumptions }) => {
      const tiles = byId(program);
      return [
        ...casts.map((c) => `cast for ${c.op}: ${printTile(tiles.get(c.tile)!)}  # ${c.by}`),
        ...[...expansions].map(([id, e]) => `expand %${id} ${opName(tiles.get(id)!.op)}: ${e.into}`),
        ...assumptions.map((a) => `assume ${a}`),
        "",
      ].join("\n");
    },
  },
  {
    name: "pipelineCopies",
    run: (state) => ({ ...state, overlap: choosePipelines(state, state.chip, (p) => assignMemorySpaces(state, state.chip, p)) }), // prettier-ignore
    print: ({ program, overlap }) => {
      const tiles = byId(program);
      const tile = (id: number): string => `%${id} ${opName(tiles.get(id)!.op)}`;
      return [...overlap.pipelines.map((p) => printPipeline(p, tile)), ...overlap.notes, ""].join("\n");
    },
  },
  {
    name: "shareLoads",
    run: (state) => ({ ...state, cluster: planCluster(state.program, state.chip, state.overlap) }),
    print: ({ program, cluster }) => {
      const tiles = byId(program);
      return [...printCluster(cluster, (id) => `%${id} ${opName(tiles.get(id)!.op)}`), ""].join("\n");
    },
  },
  {
    name: "assignMemorySpaces",
    run: (state) => ({ ...state, memory: assignMemorySpaces(state, state.chip, state.overlap.pipelines) }),
    print: ({ program, memory }) => {
      const tiles = byId(program);
      return [
        ...memory.placements.map((p) => `${p.space} ${p.offset}..${p.offset + p.bytes} live ${p.from}..${p.to} ${nameOf(tiles, p)}`), // prettier-ignore
        ...(memory.workspaceBytes > 0 ? [`workspace ${memory.workspaceBytes}`] : []),
        "",
      ].join("\n");
    },
  },
  {
    name: "doubleBuffer",
    run: (state) => ({ ...state, memory: doubleBuffer(state, state.chip, state.overlap.pipelines) }),
    print: ({ program, memory }) => {
      const tiles = byId(program);
      return [
        ...memory.buffering.map((b) => `${b.space} ${b.refusal === undefined ? "two" : "one"} of ${b.bytes} in turns of ${b.turns === "grid" ? "the grid" : `loop ${b.turns}`}: %${b.tile} ${opName(tiles.get(b.tile)!.op)} ${b.part}${b.refusal === undefined ? "" : `  # ${b.refusal}`}`), // prettier-ignore
        ...memory.placements.filter((p) => p.turns !== undefined).map((p) => `${p.space} ${p.offset}..${p.offset + p.bytes} live ${p.from}..${p.to} ${nameOf(tiles, p)}`), // prettier-ignore
        "",
      ].join("\n");
    },
  },
  {
    name: "checkCapacity",
    run: checkCapacity,
    print: ({ chip, memory }) =>
      [
        ...spacesIn(memory).map((s) => `${s} ${memory.peakBytes[s]} of ${capacityOf(chip, s)} = ${percent(memory.peakBytes[s]!, capacityOf(chip, s))}`), // prettier-ignore
        "",
      ].join("\n"),
  },
];

/** Runs the list; throws CompileError where the program is malformed, has an op without a lowering, or does not fit. */
export function lower(program: TileProgram, chip: Chip, onStage: (pass: Pass, state: Lowering) => void = () => {}): Lowering {
  let state: Lowering = {
    chip,
    program,
    casts: [],
    expansions: new Map(),
    assumptions: [],
    overlap: noPipelines,
    cluster: noCluster,
    memory: { placements: [], peakBytes: {}, workspaceBytes: 0, buffering: [] },
  };
  for (const pass of passes) {
    state = pass.run(state);
    verify(state.program);
    onStage(pass, state);
  }
  return state;
} // prettier-ignore

/** Of a lowering with a cluster plan, the form whose programs begin together: nothing is loaded from one to the next. */
export function ofTeams(planned: Lowering): Lowering {
  const pipelines = planned.overlap.pipelines.filter((p) => p.loop !== undefined);
  const memory = assignMemorySpaces(planned, planned.chip, pipelines);
  return { ...planned, overlap: { ...planned.overlap, pipelines }, memory };
}

/** Every stage of a lowering, for readers. */
export function explain(program: TileProgram, chip: Chip): string {
  const out: string[] = [];
  lower(program, chip, (pass, state) => out.push(`== ${pass.name} on ${chip.name}`, pass.print(state)));
  return out.join("\n");
}
