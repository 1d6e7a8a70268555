/**
 * Byte-pair merging of one word (a piece of the pre-split text), and the reversible byte <-> character table of
 * byte-level vocabularies. Shared by the tokenizer and its trainer. Main function: `mergeWord`.
 * Source: the byte table is GPT-2's: printable Latin-1 stays, the other 68 bytes move to U+0100 and up.
 */

function byteCharacters(): string[] {
  const table: string[] = Array.from({ length: 256 }, () => "");
  let next = 256;
  for (let b = 0; b < 256; b++) {
    const printable = (b >= 0x21 && b <= 0x7e) || (b >= 0xa1 && b <= 0xac) || (b >= 0xae && b <= 0xff);
    table[b] = String.fromCharCode(printable ? b : next++);
  }
  return table;
}

/** byteToChar[b] is the character that stands for byte b in tokenizer.json. */
export const byteToChar: readonly string[] = byteCharacters();

export const charToByte: ReadonlyMap<string, number> = new Map(byteToChar.map((c, b) => [c, b]));

/** Key of a pair of ids; ids are below 2^21. */
export const pairKey = (a: number, b: number): number => a * 2097152 + b;

export interface Merge {
  readonly rank: number;
  readonly id: number;
}

/** Merges `ids` in place by lowest rank first, leftmost on ties; returns the new length. */
export function mergeWord(ids: number[], merges: ReadonlyMap<number, Merge>): number {
  let length = ids.length;
  while (length > 1) {
    let best: Merge | undefined;
    for (let i = 0; i + 1 < length; i++) {
      const merge = merges.get(pairKey(ids[i]!, ids[i + 1]!));
      if (merge && (best === undefined || merge.rank < best.rank)) best = merge;
    }
    if (best === undefined) break;
    let out = 0;
    for (let i = 0; i < length; i++) {
      const joins = i + 1 < length && merges.get(pairKey(ids[i]!, ids[i + 1]!)) === best;
      ids[out++] = joins ? best.id : ids[i]!;
      if (joins) i++;
    }
    length = out;
  }
  ids.length = length;
  return length;
}
