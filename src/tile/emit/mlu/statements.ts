/**
 * Statements of a tile program as BANG C, and which programs a task runs: alone (Block), or four neighbours at a time on
 * the cores of a cluster (Union1, cluster.ts). There the list is at team level, where all cores and the memory core pass,
 * until `byCores` hands a piece to those that have a program. Main class: `Statements`.
 */
import { CORES, type ClusterPlan } from "../../cluster.ts";
import type { Stmt } from "../../ir.ts";
import { lineRule } from "../../lines.ts";
import type { Pipeline } from "../../pipeline.ts";
import { opName } from "../../print.ts";
import { scatter, store } from "./copy.ts";
import { fill, type MluEmission } from "./emission.ts";
import { groupEnd } from "./group.ts";
import { teamTurns } from "./team-turns.ts";
import { compute, uniform } from "./tile-ops.ts";
import { movedBy, turns } from "./turns.ts";
import { canDefer } from "./vector.ts";

/** What a reader sees above a run of statements of one kind. */
type Stage = "load" | "compute" | "store";
const stageOf = (s: Stmt): Stage | undefined => {
  if (s.kind === "store" || s.kind === "scatter") return "store";
  if (s.kind !== "let") return undefined;
  const { kind } = s.tile.op;
  return kind === "load" || kind === "gather" ? "load" : "compute";
};

export class Statements {
  private readonly e: MluEmission;
  private readonly cluster: ClusterPlan | undefined;
  /** Whether all cores of the cluster pass here, with a program or without. */
  private isTeam = false;
  /** `cluster`: the form for Union1. */
  constructor(e: MluEmission, cluster?: ClusterPlan) {
    this.e = e;
    this.cluster = cluster;
  }

  /** The programs of a task, one after another or with their copies beside each other. */
  programs(body: readonly Stmt[]): void {
    const { e } = this;
    if (this.cluster) return this.teams(body, this.cluster.axis);
    const indices = (id: string): string => `const int64_t p0 = ${id} % grid_x, p1 = ${id} / grid_x % grid_y, p2 = ${id} / (grid_x * grid_y);`; // prettier-ignore
    const pipeline = this.pipelineOf(undefined);
    const isOneCore = lineRule(e.state.program).isNever;
    if (!pipeline) {
      const each = (from: string, to: string): void =>
        e.out.block(`for (int64_t id = ${from}; id < ${to}; ++id) `, () => {
          e.out.add(indices("id"));
          this.list(body);
        });
      if (isOneCore) return each("0", "num_programs");
      return e.out.block("for (int64_t first = taskId * group; first < num_programs; first += taskDim * group) ", () =>
        each("first", groupEnd(e.state.program, "num_programs")),
      );
    }
    const [start, step] = isOneCore
      ? ["0", "id = next++"]
      : ["taskId * group", "id = next, next += (next + 1) % group != 0 ? 1 : 1 + (taskDim - 1) * group"];
    turns(
      e,
      pipeline,
      {
        name: "",
        head: `for (int64_t turn = 0, id = -1, next = ${start}; id < num_programs; ++turn, ${step}) `,
        hasNext: "next < num_programs",
        nextIndices: indices("next"),
        indices: indices("id"),
      },
      () => this.list(body.filter((s) => !movedBy(pipeline, s))),
    );
  }
  /** Teams of neighbours along `axis`, one core each. Those past the end of the grid have no program, nor has the memory core. */
  private teams(body: readonly Stmt[], axis: number): void {
    const { e } = this;
    const grid = ["grid_x", "grid_y", "grid_z"];
    const dims = grid.map((g, d) => (d === axis ? "team_rows" : g));
    const at = [`team % ${dims[0]}`, `team / ${dims[0]} % ${dims[1]}`, `team / (${dims[0]} * ${dims[1]})`];
    const ids = at.map((text, d) => `p${d} = ${d === axis ? `${text} * lanes + lane` : text}`);
    e.out.add(
      `// The cores of a cluster take neighbours along ${"xyz"[axis]}; the memory core brings what all of them load.`,
      `const int64_t lanes = group < num_programs ? ${CORES} : 1, lane = __is_ipu() ? coreId : 0;`,
      `const int64_t team_rows = (${grid[axis]} + lanes - 1) / lanes, num_teams = ${dims.join(" * ")};`,
      `const int64_t cluster = taskId / ${CORES}, num_clusters = taskDim / ${CORES};`,
    );
    e.out.block("for (int64_t first = cluster * group; first < num_teams; first += num_clusters * group) ", () =>
      e.out.block(`for (int64_t team = first; team < ${groupEnd(e.state.program, "num_teams")}; ++team) `, () => {
        e.out.add(`const int64_t ${ids.join(", ")};`);
        e.out.add(`const bool has_work = __is_ipu() && lane < lanes && p${axis} < ${grid[axis]};`);
        this.isTeam = true;
        this.list(body);
      }),
    );
  }
  /** For those that have a program. */
  private byCores(body: () => void): void {
    if (!this.isTeam) return body();
    this.isTeam = false;
    this.e.scope("if (has_work) ", body);
    this.isTeam = true;
  }
  /** Whether cores meet in a statement. */
  private isMeeting(s: Stmt): boolean {
    if (s.kind === "loop" && this.cluster!.loops.has(s.id)) return true;
    return (s.kind === "loop" || s.kind === "if") && s.body.some((x) => this.isMeeting(x));
  }
  private teamList(stmts: readonly Stmt[]): void {
    let run: Stmt[] = [];
    const flush = (): void => {
      const [numbers, work] = [run.filter((s) => this.isNumber(s)), run.filter((s) => !this.isNumber(s))];
      run = [];
      // Numbers may be read where the cores meet.
      for (const s of numbers) this.stmt(s);
      if (work.some((s) => this.isShown(s))) this.byCores(() => this.list(work));
    };
    for (const s of stmts)
      if (this.isMeeting(s)) {
        flush();
        this.stmt(s);
      } else run.push(s);
    flush();
  }
  private isNumber(s: Stmt): boolean {
    return s.kind === "let" && this.e.isUniform(s.tile.id);
  }
  private pipelineOf(loop: number | undefined): Pipeline | undefined {
    return this.e.state.overlap.pipelines.find((p) => p.loop === loop);
  }

  list(stmts: readonly Stmt[]): void {
    if (this.isTeam) return this.teamList(stmts);
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
    if (s.init.length > 0) this.byCores(() => s.init.forEach((id, slot) => move(slot, id)));
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
        if (s.next.length > 0) this.byCores(moveAll);
      });
    }
    const next = `next${s.id}`;
    const rounds = {
      name: String(s.id),
      head: `for (int64_t turn${s.id} = 0, ${next} = ${start}; ${next} < ${end} + ${s.step}; ++turn${s.id}, ${next} += ${s.step}) `,
      hasNext: `${next} < ${end}`,
      nextIndices: `const int64_t l${s.id} = ${next};`,
      indices: `const int64_t l${s.id} = ${next} - ${s.step};`,
    };
    const body = (): void => {
      this.list(s.body.filter((x) => !movedBy(pipeline, x)));
      moveAll();
    };
    if (!this.isTeam) return turns(e, pipeline, rounds, body);
    this.isTeam = false;
    const ahead = {
      hasFirst: `${start} < ${end}`,
      firstIndices: `const int64_t l${s.id} = ${start};`,
      hasAfter: `${next} + ${s.step} < ${end}`,
      afterIndices: `const int64_t l${s.id} = ${next} + ${s.step};`,
    };
    teamTurns(e, pipeline, this.cluster!, { ...rounds, ...ahead }, body);
    this.isTeam = true;
  }
}
