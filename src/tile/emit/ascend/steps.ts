/**
 * Vector instructions one after the other: text and what each touches. Main class: `Steps`.
 * Fill, copy and the arithmetic of masks, which are packed bits, have their forms here.
 */
import { dtypes, type DType } from "../../../base/dtype.ts";
import { as, asIntegers, asLanes16, at, literal, touch, typeNames, type Buf } from "./buffers.ts";
import type { Rows } from "../../padding.ts";
import type { Access, Node, Pipe } from "./code.ts";

const textOf = (x: Buf | string): string => (typeof x === "string" ? x : x.text);
const isBuf = (x: Buf | string): x is Buf => typeof x !== "string";

export class Steps {
  private readonly sink: { readonly nodes: Node[] };
  constructor(sink: { readonly nodes: Node[] }) {
    this.sink = sink;
  }
  get nodes(): Node[] {
    return this.sink.nodes;
  }

  comment(text: string): void {
    this.nodes.push({ kind: "comment", text });
  }
  /** `name(dst, ...args);` on the vector pipe. */
  op(name: string, dst: Buf, ...args: readonly (Buf | string)[]): void {
    const line = `${name}(${[dst, ...args].map(textOf).join(", ")});`;
    this.nodes.push({ kind: "instr", lines: [line], accesses: [touch("V", dst, true), ...args.filter(isBuf).map((a) => touch("V", a, false))] }); // prettier-ignore
  }
  /** The same for every row, `head` being the loop; rows do not touch each other. */
  rows(count: number, line: string, dst: Buf, ...reads: readonly Buf[]): void {
    const loop = count === 1 ? line.replaceAll(/\[r \* \d+\]/g, "") : `for (int32_t r = 0; r < ${count}; r++) ${line}`;
    this.lines([loop], [touch("V", dst, true), ...reads.map((x) => touch("V", x, false))]);
  }
  /** `settles`: a pipe that has done all it was given when the lines end, as after a barrier. */
  lines(lines: readonly string[], accesses: readonly Access[], settles?: Pipe): void {
    this.nodes.push({ kind: "instr", lines, accesses, settles });
  }

  /** `count` elements of one number; `value` is text, or a constant. */
  fill(dst: Buf, value: number | string, count: number): void {
    const { dtype } = dst;
    if (dtypes[dtype].size === 1) {
      if (typeof value !== "number") throw new Error("fill: expected a constant byte");
      const byte = value & 255;
      return this.op("Duplicate", asLanes16(dst), `(uint16_t)${byte * 257}`, String(count / 2));
    }
    if (typeof value === "string") return this.op("Duplicate", dst, value, String(count));
    this.op("Duplicate", dtype === "bf16" ? asLanes16(dst) : dst, literal(value, dtype), String(count));
  }
  /** The same bits; elements of 1 byte go in pairs. */
  copy(dst: Buf, src: Buf, count: number): void {
    if (dst.from === src.from && dst.memory === src.memory) return;
    const n = dtypes[dst.dtype].size === 1 ? count / 2 : count;
    this.op("Adds", asIntegers(dst), asIntegers(src), "0", String(n));
  }
  cast(dst: Buf, src: Buf, mode: string, count: number): void {
    this.op("Cast", dst, src, `RoundMode::CAST_${mode}`, String(count));
  }

  /** Lanes of a tile that the next instructions leave out: every lane of a tile is written before it is read. */
  clearPadding(dst: Buf, { rows, length, pitch }: Rows, written = length): void {
    if (written < pitch) this.fill(dst, 0, rows * pitch);
  }

  // ---- masks: bit i of a mask is about lane i of the tile ----
  private bits(name: string, dst: Buf, args: readonly Buf[], lanes: number): void {
    this.op(name, asLanes16(dst), ...args.map(asLanes16), String(Math.ceil(lanes / 16)));
  }
  not = (dst: Buf, x: Buf, lanes: number): void => this.bits("Not", dst, [x], lanes);
  and = (dst: Buf, a: Buf, b: Buf, lanes: number): void => this.bits("And", dst, [a, b], lanes);
  or = (dst: Buf, a: Buf, b: Buf, lanes: number): void => this.bits("Or", dst, [a, b], lanes);
  /** Instructions compare 256 bytes at a time; the lanes behind the tile are room that belongs to it, cleared first. */
  compare(mode: string, dst: Buf, a: Buf, b: Buf | string, lanes: number): void {
    const step = 256 / dtypes[a.dtype].size;
    const n = String(Math.ceil(lanes / step) * step);
    const rest = Number(n) - lanes;
    if (rest > 0) for (const x of new Set([a, b])) if (isBuf(x)) this.op("Duplicate", at(x, String(lanes)), literal(0, x.dtype), String(rest)); // prettier-ignore
    this.op(isBuf(b) ? "Compare" : "Compares", dst, a, b, `CMPMODE::${mode}`, n);
  }
  select(dst: Buf, mask: Buf, a: Buf, b: Buf | string, lanes: number): void {
    const mode = isBuf(b) ? "VSEL_TENSOR_TENSOR_MODE" : "VSEL_TENSOR_SCALAR_MODE";
    this.op("Select", dst, mask, a, b, `SELMODE::${mode}`, String(lanes));
  }
}

/** A tensor over bytes of a scratch area. */
export const part = (area: Buf, dtype: DType, fromByte: number, bytes: number): Buf => {
  const whole = as(area, dtype);
  const element = fromByte / dtypes[dtype].size;
  return { ...at(whole, String(element)), from: area.from + fromByte, to: area.from + fromByte + bytes };
};
export const declare = (b: Buf, position: string, count: number): string =>
  `LocalTensor<${typeNames[b.dtype]}> ${b.text}(TPosition::${position}, ${b.from}, ${count});`;
