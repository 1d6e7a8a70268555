/**
 * Mutants of what a list kernel adds to its programs (tile/emit/ascend/list.ts, tile/emit/mlu/list.ts), in either language:
 * how it walks its records, what it hands over, who takes part and where all meet. Main function: `listMutants`.
 */
import { mutant, type Mutant, type MutationKind } from "./mutant.ts";

/** Texts that the first group of a pattern becomes; a group that stands often is changed in all places at once with `together`. */
interface Change {
  readonly kind: MutationKind;
  readonly pattern: RegExp;
  readonly become: readonly ((text: string) => string)[];
  readonly together?: boolean;
}
const changes: readonly Change[] = [
  // One launch more or fewer; the first record left out.
  { kind: "tail one longer or shorter", pattern: /launch < (\w+);/g, become: [(n) => `${n} + 1`, (n) => `${n} - 1`] },
  { kind: "shrink or overlap a buffer", pattern: /SetGlobalBuffer\(\(__gm__ \w+\*\)(list)\);/g, become: [(list) => `${list} + 8`, (list) => `${list} - 8`] }, // prettier-ignore
  { kind: "shrink or overlap a buffer", pattern: /switch \((?:list\[|words\.GetValue\()(at)[\])]/g, become: [(at) => `${at} + 1`] }, // prettier-ignore
  // A record's length, in words and in bytes.
  { kind: "count one longer or shorter", pattern: /at \+= (\d+);/g, become: [(n) => `${n} + 1`, (n) => `${n} - 1`] },
  { kind: "stride in the wrong unit", pattern: /at \+= (\d+);/g, become: [(n) => `${n} * 8`] },
  { kind: "stride in the wrong unit", pattern: /numbers\.GetValue\((2 \* \(at \+ \d+\))\)/g, become: [(at) => at.replace("2 * ", "")] }, // prettier-ignore
  { kind: "stride in the wrong unit", pattern: /(\*\(const float\*\)\(list \+ at \+ \d+\))/g, become: [(at) => at.replace("(list", "((const float*)list")] }, // prettier-ignore
  // An argument's neighbour in its place.
  { kind: "tail one longer or shorter", pattern: /(?:words\.GetValue\(|list\[)(at \+ \d+)[\])]/g, become: [(at) => `${at} + 1`, (at) => `${at} - 1`] }, // prettier-ignore
  { kind: "tail one longer or shorter", pattern: /(?:numbers\.GetValue\(2 \* \(|\(list \+ )(at \+ \d+)\)/g, become: [(at) => `${at} + 1`, (at) => `${at} - 1`] }, // prettier-ignore
  { kind: "shrink or overlap a buffer", pattern: /, (workspace)\);/g, become: [(w) => `${w} + 32`], together: true },
  // All meet, and not only some; what a core knew of memory is forgotten (that mutant is the language's own).
  { kind: "drop one synchronisation", pattern: /(SyncAll<\w+>\(\);)/g, become: [() => ";"] },
  { kind: "swap ids", pattern: /(SyncAll<true>\(\);)/g, become: [() => "SyncAll<false>();"] },
  { kind: "swap ids", pattern: /(SyncAll<false>\(\);)/g, become: [() => "SyncAll<true>();"] },
  { kind: "swap ids", pattern: /(__sync_all\(\);)/g, become: [() => "__sync_all_ipu();", () => "__sync_cluster();", () => "__sync_all_mpu();"] }, // prettier-ignore
  // A core that leaves, programs that run on the other kind of core too, or on memory cores.
  { kind: "one core missing or extra", pattern: /(InitSocState\(\);)/g, become: [(init) => `${init} if (GetBlockIdx() == 0) return;`] }, // prettier-ignore
  { kind: "one core missing or extra", pattern: /if \((__is_ipu\(\))\) run/g, become: [() => "true", (isCore) => `${isCore} && taskId != 0`], together: true }, // prettier-ignore
  { kind: "one core missing or extra", pattern: /if (ASCEND_IS_AI[CV]) \{/g, become: [() => "true"], together: true },
];

export const listMutants = (source: string): Mutant[] =>
  changes.flatMap(({ kind, pattern, become, together = false }) => {
    const places = [...source.matchAll(pattern)].map((m) => {
      const start = m.index + m[0].indexOf(m[1]!);
      return { start, end: start + m[1]!.length, text: m[1]! };
    });
    const groups = together && places.length > 0 ? [places] : places.map((p) => [p]);
    return become.flatMap((text) => groups.map((group) => mutant(kind, source, ...group.map((p) => ({ ...p, text: text(p.text) }))))); // prettier-ignore
  });
