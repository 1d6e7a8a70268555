/**
 * Mutations of a kernel's source, all compiled at once: a text that some mutation replaces becomes a choice on the
 * kernel's last argument, so that one build holds the kernel and everything it must not be taken for.
 * Main function: `withMutants`.
 */
import assert from "node:assert/strict";

export interface Edit {
  /** A text of the source; every occurrence is replaced. Of a statement it has the semicolon. */
  readonly find: string;
  readonly with: string;
  /** Where: the edit applies inside these texts only. */
  readonly in?: string;
  /** Which occurrence, from 0; all when absent. */
  readonly nth?: number;
}
export interface Mutant {
  /** The row of the mutation table it belongs to. */
  readonly kind: string;
  readonly edits: readonly Edit[];
}

export const drop = (kind: string, ...texts: string[]): Mutant => ({ kind, edits: texts.map((find) => ({ find, with: ";" })) }); // prettier-ignore
/** Deletes every set and wait of an event with this id text. */
export const dropPair = (event: string, ...ids: string[]): Mutant =>
  drop("drop one sync", ...ids.flatMap((id) => [`SetFlag<HardEvent::${event}>(${id});`, `WaitFlag<HardEvent::${event}>(${id});`])); // prettier-ignore
/** One mutation for each of `count` barriers of a pipe. */
export const dropBarriers = (pipe: string, count: number): Mutant[] =>
  Array.from({ length: count }, (_, nth) => ({ kind: "drop one barrier", edits: [{ find: `PipeBarrier<PIPE_${pipe}>();`, with: ";", nth }] })); // prettier-ignore
/** One statement for another. */
export const swap = (kind: string, find: string, replacement: string): Mutant => ({ kind, edits: [{ find, with: replacement }] }); // prettier-ignore
/** One expression for another, in a context that is no whole statement of another mutation. */
export const change = (kind: string, context: string, find: string, replacement: string): Mutant => ({
  kind,
  edits: [{ in: context, find, with: replacement }],
});

interface Choice {
  readonly start: number;
  readonly text: string;
  readonly options: { readonly id: number; readonly text: string }[];
}

function placesOf(source: string, { find, in: context, nth }: Edit): number[] {
  const places: number[] = [];
  const outer = context ?? find;
  for (let at = source.indexOf(outer); at >= 0; at = source.indexOf(outer, at + 1)) places.push(at + outer.indexOf(find)); // prettier-ignore
  assert.ok(places.length > 0, `mutation: expected the text "${outer}" in the kernel`);
  return nth === undefined ? places : [places[nth]!];
}

/** The source with a last argument `mutant`: 0 is the kernel itself, i + 1 the i-th mutation. */
export function withMutants(source: string, entry: string, mutants: readonly Mutant[]): string {
  const choices = new Map<number, Choice>();
  mutants.forEach((mutant, i) => {
    for (const edit of mutant.edits)
      for (const start of placesOf(source, edit)) {
        const choice = choices.get(start) ?? { start, text: edit.find, options: [] };
        assert.equal(choice.text, edit.find, "mutation: two edits of one place must replace the same text");
        choices.set(start, { ...choice, options: [...choice.options, { id: i + 1, text: edit.with }] });
      }
  });
  let out = source;
  let next = source.length;
  for (const { start, text, options } of [...choices.values()].sort((a, b) => b.start - a.start)) {
    assert.ok(start + text.length <= next, `mutation: "${text}" has another mutation inside`);
    next = start;
    const isStatement = text.endsWith(";");
    const chosen = options.reduce(
      (rest, o) => (isStatement ? `if (mutant == ${o.id}) { ${o.text} } else { ${rest} }` : `(mutant == ${o.id} ? (${o.text}) : (${rest}))`), // prettier-ignore
      text,
    );
    out = out.slice(0, start) + chosen + out.slice(start + text.length);
  }
  const head = new RegExp(`(extern "C" __global__ __aicore__ void ${entry}\\([^)]*)\\)\\n\\{`);
  assert.match(out, head);
  return out
    .replace("using namespace AscendC;", "using namespace AscendC; static int64_t mutant = 0;")
    .replace(head, "$1, int64_t chosen)\n{ mutant = chosen;")
    .replace(/^void \w+_do[\s\S]*/m, "");
}
