/**
 * Tile IR as text: one line per statement, the same text for the same program. For readers, snapshots and the printed
 * stages of passes.ts; nothing parses it. Main function: `printProgram`.
 */
import type { IndexExpr, IndexOp, Param, Stmt, TileOp, TileProgram, TileValue, View } from "./ir.ts";
import { operandsOf } from "./walk.ts";

const infix: Partial<Record<IndexOp, string>> = {
  add: "+",
  sub: "-",
  mul: "*",
  div: "/",
  mod: "%",
  lt: "<",
  le: "<=",
  eq: "==",
  and: "&",
};

export function printIndex(e: IndexExpr): string {
  switch (e.kind) {
    case "const":
      return String(e.value);
    case "param":
      return e.name;
    case "program":
      return `p${e.axis}`;
    case "loop":
      return `i${e.id}`;
    case "read":
      return `${e.view.buffer}[${e.at.map(printIndex).join(", ")}]`;
    case "bin": {
      const [a, b] = [printIndex(e.a), printIndex(e.b)];
      const sign = infix[e.op];
      return sign ? `(${a} ${sign} ${b})` : `${e.op}(${a}, ${b})`;
    }
  }
}

const list = (xs: readonly IndexExpr[]): string => `[${xs.map(printIndex).join(", ")}]`;

/** buffer[shape] with its strides, and its offset unless that is 0. */
function printView(v: View): string {
  const offset = printIndex(v.offset);
  return `${v.buffer}${list(v.shape)} strides ${list(v.strides)}${offset === "0" ? "" : ` offset ${offset}`}`;
}

/** What an op says beyond its name and the tiles it reads. */
function details(op: TileOp): string {
  switch (op.kind) {
    case "load":
      return ` ${printView(op.view)} at ${list(op.at)}${op.other === 0 ? "" : ` other ${op.other}`}`;
    case "gather":
      return ` ${printView(op.view)} col ${printIndex(op.col)}${op.other === 0 ? "" : ` other ${op.other}`}`;
    case "full":
      return ` ${Object.is(op.value, -0) ? "-0" : op.value}`;
    case "scalar":
      return ` ${op.name}`;
    case "index":
      return ` ${printIndex(op.value)}`;
    case "iota":
    case "reduce":
    case "cumsum":
      return ` axis ${op.axis}`;
    case "transpose":
      return ` [${op.perm.join(", ")}]`;
    case "dot":
      return `${op.transA ? " transA" : ""}${op.transB ? " transB" : ""}`;
    case "topk":
      return ` ${op.k} ${op.part}`;
    case "random":
      return ` seed ${printIndex(op.seed)}`;
    case "carry":
    case "result":
      return ` loop ${op.loop} slot ${op.slot}`;
    default:
      return "";
  }
}

export const opName = (op: TileOp): string => ("op" in op ? (op.kind === "reduce" ? `reduce_${op.op}` : op.op) : op.kind); // prettier-ignore

export const printTile = (tile: TileValue): string => {
  const reads = operandsOf(tile).map((id) => ` %${id}`);
  return `%${tile.id}: ${tile.dtype} [${tile.shape.join(", ")}] = ${opName(tile.op)}${reads.join("")}${details(tile.op)}`;
};

function printStmts(stmts: readonly Stmt[], indent: string, out: string[]): void {
  const tiles = (ids: readonly number[]): string => ids.map((id) => `%${id}`).join(", ");
  for (const s of stmts) {
    switch (s.kind) {
      case "let":
        out.push(indent + printTile(s.tile));
        break;
      case "store":
        out.push(`${indent}store %${s.value} to ${printView(s.view)} at ${list(s.at)}`);
        break;
      case "scatter":
        out.push(`${indent}scatter %${s.value} rows %${s.rows} to ${printView(s.view)} col ${printIndex(s.col)}`);
        break;
      case "if":
        out.push(`${indent}if ${printIndex(s.cond)} {`);
        printStmts(s.body, `${indent}  `, out);
        out.push(`${indent}}`);
        break;
      case "loop":
        out.push(`${indent}for i${s.id} = ${printIndex(s.start)} to ${printIndex(s.end)} step ${s.step} carry (${tiles(s.init)}) {`); // prettier-ignore
        printStmts(s.body, `${indent}  `, out);
        out.push(`${indent}  next (${tiles(s.next)})`, `${indent}}`);
    }
  }
}

const printParam = (p: Param): string =>
  p.kind === "buffer" ? `${p.mode} ${p.name}: ${p.dtype}` : p.kind === "scalar" ? `${p.name}: ${p.dtype}` : p.name;

export function printProgram(program: TileProgram): string {
  const out = [`kernel ${program.name}(${program.params.map(printParam).join(", ")}) {`];
  printStmts(program.body, "  ", out);
  return [...out, "}", ""].join("\n");
}
