/**
 * Tile program -> BANG C for Cambricon MLU370 and MLU590: one kernel of task type Block. Tasks take programs of the
 * grid in turns, `group` neighbours at a time (mlu/lines.ts says how many must stay together, because cores must not
 * share a 64-byte line of device memory). Tiles are where passes.ts put them: buffers in one NRAM arena, the right
 * operands of products in WRAM.
 * Main function: `emitMlu`. Meaning: interpret.ts. A kernel that has no lowering is a CompileError with op and dtype.
 */
import { isFloat } from "../../base/dtype.ts";
import type { Chip } from "../chips/types.ts";
import type { Param, Stmt, TileProgram, TileValue } from "../ir.ts";
import { lower } from "../passes.ts";
import type { Pipeline } from "../pipeline.ts";
import { opName } from "../print.ts";
import { LineWriter } from "./c-like/line-writer.ts";
import { gather, load, scatter, store } from "./mlu/copy.ts";
import { dot } from "./mlu/dot.ts";
import { fill, MluEmission } from "./mlu/emission.ts";
import { groupLines } from "./mlu/lines.ts";
import { movedBy, turns } from "./mlu/turns.ts";
import { broadcast, cumsum, iota, reduce, reshape, topk, transpose } from "./mlu/shape.ts";
import { elementType, scalarBinary, scalarCompare, scalarText } from "./mlu/types.ts";
import { binary, canDefer, cast, compare, select, unary } from "./mlu/vector.ts";

export interface MluKernel {
  /** Arguments: the program's parameters in order, then three int64_t grid dims. */
  readonly source: string;
  readonly entry: string;
  /** Cores need not meet, so any number of them may run any tasks. */
  readonly taskType: "block";
  readonly nramBytes: number;
  readonly wramBytes: number;
  /** Device memory beyond the arguments. */
  readonly workspaceBytes: number;
}

/** A uniform tile as scalar text. */
function uniform(e: MluEmission, tile: TileValue): string {
  const { op, dtype } = tile;
  const x = (id: number): string => e.number(id);
  const refuse = (): never => e.fail(opName(op), dtype, "no scalar form");
  switch (op.kind) {
    case "full":
      return scalarText(op.value, dtype);
    case "scalar":
      return `s_${op.name}`;
    case "index":
      return `(int32_t)(${e.index(op.value)})`;
    case "broadcast":
    case "reshape":
      return x(op.x);
    case "cast":
      if (isFloat(dtype) || dtype === "bool") return dtype === "bool" ? `(${x(op.x)} != 0 ? 1.0f : 0.0f)` : `(float)${x(op.x)}`; // prettier-ignore
      return `(${elementType[dtype]})${x(op.x)}`;
    case "unary":
      return `(-${x(op.x)})`;
    case "binary":
      return (scalarBinary[op.op] ?? refuse)(x(op.a), x(op.b));
    case "compare":
      return scalarCompare(op.op, x(op.a), x(op.b));
    case "select":
      return `(${x(op.cond)} != 0 ? ${x(op.a)} : ${x(op.b)})`;
    default:
      return refuse();
  }
}

function compute(e: MluEmission, tile: TileValue): void {
  const { op } = tile;
  switch (op.kind) {
    case "load":
      return load(e, tile, op);
    case "gather":
      return gather(e, tile, op, scalarText(op.other, tile.dtype));
    case "unary":
      return unary(e, tile, op);
    case "binary":
      return binary(e, tile, op);
    case "compare":
      return compare(e, tile, op);
    case "select":
      return select(e, tile, op);
    case "cast":
      return cast(e, tile, op);
    case "broadcast":
      return e.deferred.has(tile.id) ? undefined : broadcast(e, tile, op);
    case "reshape":
      return reshape(e, tile, op);
    case "transpose":
      return transpose(e, tile, op);
    case "reduce":
      return reduce(e, tile, op);
    case "cumsum":
      return cumsum(e, tile, op);
    case "iota":
      return iota(e, tile, op);
    case "dot":
      return dot(e, tile, op);
    case "topk":
      return topk(e, tile, op);
    case "random":
      return e.fail("random", tile.dtype, "no integer multiplication to hash with");
    // Carried values are written where their loop starts and ends; the rest is uniform.
    case "carry":
    case "result":
    case "full":
    case "scalar":
    case "index":
  }
}

/** What a reader sees above a run of statements of one kind. */
type Stage = "load" | "compute" | "store";
const stageOf = (s: Stmt): Stage | undefined => {
  if (s.kind === "store" || s.kind === "scatter") return "store";
  if (s.kind !== "let") return undefined;
  const { kind } = s.tile.op;
  return kind === "load" || kind === "gather" ? "load" : "compute";
};

class Statements {
  private readonly e: MluEmission;
  constructor(e: MluEmission) {
    this.e = e;
  }

  /** The programs of a task, one after another or with their copies beside each other. */
  programs(body: readonly Stmt[]): void {
    const { e } = this;
    const indices = (id: string): string => `const int64_t p0 = ${id} % grid_x, p1 = ${id} / grid_x % grid_y, p2 = ${id} / (grid_x * grid_y);`; // prettier-ignore
    const pipeline = this.pipelineOf(undefined);
    if (!pipeline)
      return e.out.block("for (int64_t first = taskId * group; first < num_programs; first += taskDim * group) ", () =>
        e.out.block("for (int64_t id = first; id < std::min<int64_t>(first + group, num_programs); ++id) ", () => {
          e.out.add(indices("id"));
          this.list(body);
        }),
      );
    const step = "id = next, next += (next + 1) % group != 0 ? 1 : 1 + (taskDim - 1) * group";
    turns(
      e,
      pipeline,
      {
        name: "",
        head: `for (int64_t turn = 0, id = -1, next = taskId * group; id < num_programs; ++turn, ${step}) `,
        hasNext: "next < num_programs",
        nextIndices: indices("next"),
        indices: indices("id"),
      },
      () => this.list(body.filter((s) => !movedBy(pipeline, s))),
    );
  }
  private pipelineOf(loop: number | undefined): Pipeline | undefined {
    return this.e.state.overlap.pipelines.find((p) => p.loop === loop);
  }

  list(stmts: readonly Stmt[]): void {
    let stage: Stage | undefined;
    for (const [i, s] of stmts.entries()) {
      const next = stageOf(s);
      if (next !== stage && next && this.isShown(s)) {
        const run = stmts.slice(i, stmts.findIndex((x, j) => j > i && this.isShown(x) && stageOf(x) !== next) >>> 0);
        this.e.out.add(
          `// ${this.title(
            next,
            run.filter((x) => this.isShown(x)),
          )}`,
        );
        stage = next;
      }
      if (!next) stage = undefined;
      const after = stmts.slice(i + 1).find((x) => x.kind !== "let" || !this.e.isUniform(x.tile.id));
      if (s.kind === "let" && after?.kind === "let" && canDefer(this.e, s.tile, after.tile)) this.e.deferred.add(s.tile.id); // prettier-ignore
      this.stmt(s);
    }
  }
  private isShown(s: Stmt): boolean {
    return s.kind !== "let" || (!this.e.isUniform(s.tile.id) && s.tile.op.kind !== "carry" && s.tile.op.kind !== "result" && this.e.isRead(s.tile.id)); // prettier-ignore
  }
  private title(stage: Stage, run: readonly Stmt[]): string {
    const names = run.map((s) => {
      if (s.kind === "store" || s.kind === "scatter") return s.view.buffer;
      const { op, shape } = (s as Extract<Stmt, { kind: "let" }>).tile;
      return op.kind === "load" || op.kind === "gather" ? `${op.view.buffer} [${shape}]` : opName(op);
    });
    const few = names.length > 8 ? [...names.slice(0, 7), "...", names[names.length - 1]!] : names;
    return `${stage} ${few.join(", ")}`;
  }

  private stmt(s: Stmt): void {
    const { e } = this;
    e.at = e.live.positionOf(s);
    switch (s.kind) {
      case "let":
        if (e.isUniform(s.tile.id)) e.uniforms.set(s.tile.id, uniform(e, s.tile));
        else if (e.isRead(s.tile.id)) compute(e, s.tile);
        return;
      case "store":
        return store(e, s);
      case "scatter":
        return scatter(e, s);
      case "if":
        return e.scope(`if (${e.index(s.cond)}) `, () => this.list(s.body));
      case "loop":
        return this.loop(s);
    }
  }

  private loop(s: Extract<Stmt, { kind: "loop" }>): void {
    const { e } = this;
    const carryOf = (slot: number): number | undefined => e.live.carryOf(`${s.id}:${slot}`) ?? e.live.resultOf(`${s.id}:${slot}`); // prettier-ignore
    const slots = s.init.map((_, slot) => carryOf(slot));
    const move = (slot: number, from: number): void => {
      const carry = slots[slot];
      if (carry === undefined || e.joined.has(from)) return;
      const to = e.buffer(carry);
      if (e.isUniform(from)) return e.out.add(fill(to, e.number(from)));
      const x = e.buffer(from);
      if (x.name !== to.name) e.out.add(`__memcpy(${to.name}, ${x.name}, ${to.count * to.size}, NRAM2NRAM);`);
    };
    s.init.forEach((id, slot) => move(slot, id));
    e.openLoop(s.id, s.start);
    const [start, end] = [e.index(s.start), e.index(s.end)];
    const moveAll = (): void =>
      s.next.forEach((id, slot) => {
        const taken = slots.slice(0, slot).some((c) => c !== undefined && e.home(c) === e.home(id));
        if (taken) e.fail("loop", e.tile(id).dtype, "a carried value that becomes another one needs a copy that the plan lacks"); // prettier-ignore
        move(slot, id);
      });
    const pipeline = this.pipelineOf(s.id);
    if (!pipeline) {
      const step = s.step === 1 ? `++l${s.id}` : `l${s.id} += ${s.step}`;
      return e.scope(`for (int64_t l${s.id} = ${start}; l${s.id} < ${end}; ${step}) `, () => {
        this.list(s.body);
        moveAll();
      });
    }
    const next = `next${s.id}`;
    turns(
      e,
      pipeline,
      {
        name: String(s.id),
        head: `for (int64_t turn${s.id} = 0, ${next} = ${start}; ${next} < ${end} + ${s.step}; ++turn${s.id}, ${next} += ${s.step}) `,
        hasNext: `${next} < ${end}`,
        nextIndices: `const int64_t l${s.id} = ${next};`,
        indices: `const int64_t l${s.id} = ${next} - ${s.step};`,
      },
      () => {
        this.list(s.body.filter((x) => !movedBy(pipeline, x)));
        moveAll();
      },
    );
  }
}

const declare = (p: Param): string =>
  p.kind === "buffer"
    ? `${p.dtype === "bool" ? "uint8_t" : (elementType[p.dtype] ?? "uint8_t")}* ${p.name}`
    : p.kind === "scalar"
      ? `float s_${p.name}`
      : `int64_t n_${p.name}`;

export function emitMlu(program: TileProgram, chip: Chip, entry = program.name): MluKernel {
  const state = lower(program, chip);
  const e = new MluEmission(state);
  new Statements(e).programs(state.program.body);
  const { NRAM: nramBytes = 0, WRAM: wramBytes = 0 } = state.memory.peakBytes;
  const params = [...program.params.map(declare), ...["x", "y", "z"].map((axis) => `int64_t grid_${axis}`)];
  const body = new LineWriter();
  if (nramBytes > 0) body.add(`__nram__ char nram[${nramBytes}];`);
  if (wramBytes > 0) body.add(`__wram__ char wram[${wramBytes}];`);
  body.add(...e.declarations(), "", "const int64_t num_programs = grid_x * grid_y * grid_z;");
  body.add("// Cores must not share a 64-byte line of device memory: so many neighbouring programs go to one core.");
  body.add(...groupLines(e, state.program));
  body.add(...e.out.toString().split("\n").map((line) => line.slice(2))); // prettier-ignore
  const source = [
    `// ${program.name}: tile program for ${chip.arch.name}`,
    "#include <bang.h>",
    "#include <algorithm>",
    "#include <cmath>",
    "",
    `extern "C" __mlu_global__ void ${entry}(${params.join(", ")}) {`,
    body.toString(),
    "}",
    "",
  ].join("\n");
  return { source, entry, taskType: "block", nramBytes, wramBytes, workspaceBytes: 0 };
}
