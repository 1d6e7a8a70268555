/**
 * The k largest of every row: runs of 32 are sorted (Sort32), then merged four by four (MrgSort) as pairs of score and
 * position, and one half of the pairs is picked out (GatherMask). Equal scores keep their order, so the lowest position
 * comes first. Main function: `emitTopk`.
 */
import type { DType } from "../../../base/dtype.ts";
import { roundUp, type Rows } from "../../padding.ts";
import { at, literal, touch, type Buf } from "./buffers.ts";
import { part, type Steps } from "./steps.ts";

export interface Topk {
  readonly steps: Steps;
  readonly dst: Buf;
  readonly to: Rows;
  readonly src: Buf;
  readonly from: Rows;
  readonly k: number;
  readonly part: "values" | "indices";
  /** Two lists of pairs, 16 bytes an element of a row. */
  readonly area: Buf;
  readonly refuse: (op: string, dtype: DType, reason: string) => never;
}
/** Longest run that one merge takes. */
const MAX_RUN = 4095;

export function emitTopk(t: Topk): void {
  const { steps, dst, to, src, from, k, area, refuse } = t;
  const n = roundUp(from.length, 32);
  if (n * 16 > area.to - area.from) return refuse("topk", src.dtype, `of rows of ${from.length}: expected ${n * 16} bytes of scratch, got ${area.to - area.from}`); // prettier-ignore
  steps.clearPadding(dst, to);
  const lists = [part(area, "f32", 0, n * 8), part(area, "f32", n * 8, n * 8)] as const;
  // Positions and the row with its padding wait where the first merge will write.
  const positions = part(area, "u32", n * 8, n * 4);
  const scores = part(area, "f32", n * 12, n * 4);
  const i32 = part(area, "i32", n * 8, n * 4);
  const lines: string[] = [];
  const add = (...more: string[]): void =>
    void more.forEach((line) => lines.push(`  ${line}`, "  PipeBarrier<PIPE_V>();"));
  if (n > from.length) add(`Duplicate(${scores.text}, ${literal(Number.NEGATIVE_INFINITY, "f32")}, ${n});`);
  add(`Adds(${scores.text}, ${src.text}[r * ${from.pitch}], 0.0f, ${from.length});`);
  add(`CreateVecIndex(${i32.text}, (int32_t)0, ${n});`);
  add(`Sort32(${lists[0].text}, ${scores.text}, ${positions.text}, ${n / 32});`);
  let numMerges = 0;
  let [now, runs]: [0 | 1, number[]] = [0, Array<number>(n / 32).fill(32)];
  while (runs.length > 1) {
    const next: number[] = [];
    let start = 0;
    for (let i = 0; i < runs.length; i += 4) {
      const group = runs.slice(i, i + 4);
      const total = group.reduce((a, b) => a + b, 0);
      const [a, b] = [lists[now], lists[now === 0 ? 1 : 0]];
      const offset = (elements: number): string => String(elements * 2);
      if (group.length === 1)
        add(`Adds(${shifted(b, offset(start))}, ${shifted(a, offset(start))}, 0.0f, ${total * 2});`);
      else {
        if (Math.max(...group) > MAX_RUN) return refuse("topk", src.dtype, `of rows of ${from.length}, merges take runs of at most ${MAX_RUN}`); // prettier-ignore
        const starts = group.map((_, j) => start + group.slice(0, j).reduce((x, y) => x + y, 0));
        const sources = [0, 1, 2, 3].map((j) => shifted(a, offset(starts[j] ?? starts[0]!)));
        const lengths = [0, 1, 2, 3].map((j) => group[j] ?? 0);
        const name = `lengths${numMerges++}`;
        lines.push(`  const uint16_t ${name}[4] = {${lengths.join(", ")}};`);
        add(`MrgSort(${shifted(b, offset(start))}, MrgSortSrcList<float>(${sources.join(", ")}), MrgSort4Info(${name}, false, ${2 ** group.length - 1}, 1));`); // prettier-ignore
      }
      next.push(total);
      start += total;
    }
    [now, runs] = [now === 0 ? 1 : 0, next];
  }
  const pattern = t.part === "values" ? 1 : 2;
  const picked = t.part === "values" ? lists[now] : part(area, "i32", now * n * 8, n * 8);
  lines.push(`  GatherMask(${dst.text}[r * ${to.pitch}], ${picked.text}, (uint8_t)${pattern}, true, ${k * 2}, GatherMaskParams{1, 1, 8, 0}, kept);`, "  PipeBarrier<PIPE_V>();"); // prettier-ignore
  steps.lines([`for (int32_t r = 0; r < ${from.rows}; r++) {`, "  uint64_t kept = 0;", ...lines, "}"], [touch("V", src, false), touch("V", area, true), touch("V", dst, true)], "V"); // prettier-ignore
}

/** A tensor `elements` further on; its text may already end in an index. */
function shifted(b: Buf, elements: string): string {
  const match = /^(.*)\[(\d+)\]$/.exec(b.text);
  return match ? `${match[1]}[${Number(match[2]) + Number(elements)}]` : at(b, elements).text;
}
