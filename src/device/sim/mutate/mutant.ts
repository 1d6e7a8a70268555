/**
 * Mutations of a kernel's text: what is changed, and one source that holds the kernel with all of its mutants, chosen
 * by a last argument, so that a single build serves the whole matrix. Knows no chip: ascend.ts and mlu.ts make mutants.
 * Main function: `withMutants`.
 */
import { CompileError } from "../../../base/errors.ts";
import { SYMBOL } from "../../cpu/toolchain.ts";

/** The rows of the mutation table. */
export const mutationKinds = [
  "drop one synchronisation",
  "swap ids",
  "shrink or overlap a buffer",
  "tail one longer or shorter",
  "stride in the wrong unit",
  "drop the fill of a padded tail",
  "drop a barrier of one pipe",
  "skip the flush of the data cache",
  "one core missing or extra",
  "bf16 arithmetic",
  "row-major copy to WRAM",
  "count one longer or shorter",
  "two cores in one line",
  "copy in the wrong direction",
  "scalar read of WRAM",
  "m = 1",
] as const;
export type MutationKind = (typeof mutationKinds)[number];

/** Characters [start, end) of the source become `text`. A range that ends in ";" is a statement, else an expression. */
export interface Edit {
  readonly start: number;
  readonly end: number;
  readonly text: string;
}
export interface Mutant {
  readonly kind: MutationKind;
  /** Line of the source, from 1, and what happens there. */
  readonly where: string;
  readonly edits: readonly Edit[];
  /** It must not compile, so it cannot share a build with others. */
  readonly mustNotCompile?: boolean;
}

export const lineOf = (source: string, at: number): number => source.slice(0, at).split("\n").length;
/** A mutant of one kind; what it does is read from its first edit. */
export function mutant(kind: MutationKind, source: string, ...edits: readonly Edit[]): Mutant {
  const short = (text: string): string => (text.length > 90 ? `${text.slice(0, 87)}...` : text);
  const [first] = edits as [Edit];
  const old = source.slice(first.start, first.end);
  return { kind, where: `line ${lineOf(source, first.start)}: ${short(old)} -> ${short(first.text) || "nothing"}${edits.length > 1 ? `, and ${edits.length - 1} more` : ""}`, edits }; // prettier-ignore
}

/** All edits of one range. */
interface Place {
  readonly start: number;
  readonly end: number;
  readonly options: { readonly id: number; readonly text: string }[];
  readonly inner: Place[];
}

/** Ranges as a forest: outer ones first, each with those inside of it. */
function placesOf(mutants: readonly Mutant[]): Place[] {
  const byRange = new Map<string, Place>();
  mutants.forEach(({ edits, where }, i) => {
    for (const { start, end, text } of edits) {
      if (end <= start) throw new CompileError(`mutation ${where}: expected a range of the text, got [${start}, ${end})`, { pass: "mutate", target: "text" }); // prettier-ignore
      const key = `${start} ${end}`;
      const place = byRange.get(key) ?? { start, end, options: [], inner: [] };
      byRange.set(key, place);
      place.options.push({ id: i + 1, text });
    }
  });
  const roots: Place[] = [];
  const open: Place[] = [];
  for (const place of [...byRange.values()].toSorted((a, b) => a.start - b.start || b.end - a.end)) {
    while (open.length > 0 && open.at(-1)!.end <= place.start) open.pop();
    const outer = open.at(-1);
    if (outer && place.end > outer.end) throw new CompileError(`mutation: expected ranges inside each other or apart, got [${outer.start}, ${outer.end}) and [${place.start}, ${place.end})`, { pass: "mutate", target: "text" }); // prettier-ignore
    (outer?.inner ?? roots).push(place);
    open.push(place);
  }
  return roots;
}

function render(source: string, from: number, to: number, places: readonly Place[]): string {
  let out = "";
  let at = from;
  for (const { start, end, options, inner } of places) {
    const plain = render(source, start, end, inner);
    const isStatement = source[end - 1] === ";";
    const chosen = options.reduce(
      (rest, { id, text }) => (isStatement ? `if (mutant == ${id} && ::sim::reached()) { ${text || ";"} } else { ${rest} }` : `(mutant == ${id} && ::sim::reached() ? (${text}) : (${rest}))`), // prettier-ignore
      plain,
    );
    out += source.slice(at, start) + chosen;
    at = end;
  }
  return out + source.slice(at, to);
}

/** A loop's head: its line, its variable, and where its condition and its step end. */
interface Loop {
  readonly name: string;
  readonly condition: number;
  readonly step: number;
  readonly end: number;
}
function loopHeads(source: string): Loop[] {
  return [...source.matchAll(/\bfor \(\w+ (\w+) = /g)].flatMap((match) => {
    const marks: number[] = [];
    let depth = 0;
    for (let i = match.index + match[0].length; marks.length < 3; i++) {
      const c = source[i]!;
      if (depth === 0 && (c === ";" || c === ")")) marks.push(i);
      else depth += c === "(" ? 1 : c === ")" ? -1 : 0;
    }
    const [condition = 0, step = 0, end = 0] = marks;
    return [{ name: `${lineOf(source, match.index)} ${match[1]}`, condition, step, end }];
  });
}
/**
 * The loops of a text whose number of turns is not written there, but those of one statement, in which nothing is
 * ordered. A run of it with mutants counts those that came to a third turn, in which what takes two places by turns takes
 * the first again.
 */
export const loopsOf = (source: string): string[] => [
  ...new Set(
    loopHeads(source)
      .filter((l) => !/^\s*\w+ < \d+$/.test(source.slice(l.condition + 1, l.step)) && /^\s*\{/.test(source.slice(l.end + 1)))
      .map((l) => l.name),
  ),
]; // prettier-ignore
function countTurns(text: string, names: readonly string[]): string {
  let out = text;
  for (const { name, condition, step, end } of loopHeads(text)
    .toReversed()
    .filter((l) => names.includes(l.name)))
    out = `${out.slice(0, condition)}; ::sim::goesOn(${names.indexOf(name)}, ${out.slice(condition + 1, step).trim()}); ${out.slice(step + 1, end).trim()}, ::sim::turned()${out.slice(end)}`;
  return out;
}

/** Functions of a list: the programs that its entry calls. */
const functionHead = /^(?:__aicore__ inline|__mlu_func__) void (\w+)\(/gm;
const functionsOf = (source: string): string[] => [...source.matchAll(functionHead)].map((m) => m[1]!);
/**
 * More programs, and larger numbers, than any launch of a list that is mutated has: a grid or the end of a loop read from a
 * wrong place, such as an address, would keep a simulator for days, and a grid without programs would divide by its sizes.
 */
const [MOST_PROGRAMS, MOST_NUMBER] = [1000, 1e6];
/** Which mutant it is as a first argument, where the function is defined and where it is called; a launch without programs or without an end is left out. */
function passMutant(text: string, name: string): string {
  const called = text.replace(new RegExp(`(void )?\\b${name}\\(`, "g"), (_all, isHead: string | undefined) => `${isHead ?? ""}${name}(${isHead ? "int64_t " : ""}mutant, `); // prettier-ignore
  return called.replace(new RegExp(`^.* void ${name}\\(([^)]*)\\) \\{`, "m"), (all, params: string) => {
    const numbers = [...params.matchAll(/\bint64_t (\w+)/g)].map((m) => m[1]!).filter((n) => n !== "mutant");
    const programs = numbers.slice(-3).map((n) => `(double)${n}`).join(" * "); // prettier-ignore
    const isShort = [`${programs} >= 1`, `${programs} <= ${MOST_PROGRAMS}`, ...numbers.map((n) => `${n} <= ${MOST_NUMBER}`)]; // prettier-ignore
    return `${all} if (!(${isShort.join(" && ")})) return;`;
  });
}
/** Characters [start, end) of each of them. */
export function rangesOfFunctions(source: string): { readonly start: number; readonly end: number }[] {
  return [...source.matchAll(functionHead)].map(({ index }) => ({
    start: index,
    end: source.indexOf("\n}\n", index) + 2,
  }));
}

/** The source with a last argument `mutant`: 0 is the kernel itself, i + 1 the i-th mutant. Lines keep their numbers. Turns of loops are counted where asked. */
export function withMutants(source: string, mutants: readonly Mutant[], countsTurns = false): string {
  const text = render(source, 0, source.length, placesOf(mutants));
  const out = countsTurns ? countTurns(text, loopsOf(source)) : text;
  const head = new RegExp(`\\b${SYMBOL}\\(([^)]*)\\)`);
  if (!head.test(out)) throw new CompileError(`mutation: expected a function ${SYMBOL}, found none`, { pass: "mutate", target: "text" }); // prettier-ignore
  const entry = out.replace(head, (_all, args: string) => `${SYMBOL}(${args}${args.trim() ? ", " : ""}int64_t mutant)`);
  return functionsOf(source).reduce(passMutant, entry);
}

/** The source of one mutant alone. */
export function applyMutant(source: string, { edits }: Mutant): string {
  let out = source;
  for (const { start, end, text } of edits.toSorted((a, b) => b.start - a.start)) out = out.slice(0, start) + text + out.slice(end); // prettier-ignore
  return out;
}
