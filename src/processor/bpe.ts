/**
 * Byte-pair merging of one word (a piece of the pre-split text), and the reversible byte <-> character table of
 * byte-level vocabularies. Main class: `Merger`.
 * Source: the byte table is GPT-2's: printable Latin-1 stays, the other 68 bytes move to U+0100 and up. The order of
 * merging (lowest rank first, leftmost on ties, a new pair at once in line) is that of Hugging Face's tokenizers.
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

/** Two ids that join to a third. */
export interface Merge {
  readonly left: number;
  readonly right: number;
  readonly id: number;
}

/** Positions are below 2^31 and ranks below 2^21, so both fit one exact double: order by rank, then from the left. */
const RANK = 2 ** 31;

export class Merger {
  /** Open-addressing table of pairs; slot s holds left, right, rank and id at 4s. An empty slot has left -1. */
  private readonly table: Int32Array;
  private readonly mask: number;
  private heap = new Float64Array(64);
  private size = 0;
  /** Doubly linked list over a word's positions; of a pair at a position its rank (-1: none) and id. */
  private next = new Int32Array(64);
  private previous = new Int32Array(64);
  private rank = new Int32Array(64);
  private joined = new Int32Array(64);

  /** Merges in rank order; of two for one pair the later counts. */
  constructor(merges: readonly Merge[]) {
    let slots = 16;
    while (slots < merges.length * 2) slots *= 2;
    this.mask = slots - 1;
    this.table = new Int32Array(slots * 4).fill(-1);
    merges.forEach(({ left, right, id }, rank) => this.table.set([left, right, rank, id], this.slotOf(left, right)));
  }

  /** Merges `ids[0..length)` in place; returns the new length. */
  merge(ids: Int32Array, length: number): number {
    if (length < 2) return length;
    if (this.next.length < length) this.grow(length);
    const { next, previous, rank, joined } = this;
    for (let i = 0; i < length; i++) {
      previous[i] = i - 1;
      next[i] = i + 1;
    }
    for (let i = 0; i + 1 < length; i++) this.consider(ids, i, i + 1);
    rank[length - 1] = -1;
    while (this.size > 0) {
      const key = this.pop();
      const r = Math.floor(key / RANK);
      const i = key - r * RANK;
      // The pair that stood here may be gone.
      if (rank[i] !== r) continue;
      const j = next[i]!;
      ids[i] = joined[i]!;
      rank[j] = -1;
      const after = (next[i] = next[j]!);
      if (after < length) {
        previous[after] = i;
        this.consider(ids, i, after);
      } else rank[i] = -1;
      if (previous[i]! >= 0) this.consider(ids, previous[i]!, i);
    }
    let out = 0;
    for (let i = 0; i < length; i = next[i]!) ids[out++] = ids[i]!;
    return out;
  }

  /** Notes the pair of positions i and j, if it merges. */
  private consider(ids: Int32Array, i: number, j: number): void {
    const at = this.slotOf(ids[i]!, ids[j]!);
    const { table } = this;
    if (table[at] === -1) this.rank[i] = -1;
    else {
      this.rank[i] = table[at + 2]!;
      this.joined[i] = table[at + 3]!;
      this.push(table[at + 2]! * RANK + i);
    }
  }

  /** Where the pair is, or would be. */
  private slotOf(left: number, right: number): number {
    const { table, mask } = this;
    let hash = Math.imul(left, 0x9e3779b1) ^ Math.imul(right, 0x85ebca6b);
    hash ^= hash >>> 15;
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      const at = slot * 4;
      if (table[at] === -1 || (table[at] === left && table[at + 1] === right)) return at;
    }
  }

  private push(key: number): void {
    if (this.size === this.heap.length) {
      const larger = new Float64Array(this.size * 2);
      larger.set(this.heap);
      this.heap = larger;
    }
    const { heap } = this;
    let i = this.size++;
    while (i > 0) {
      const parent = (i - 1) >> 1;
      if (heap[parent]! <= key) break;
      heap[i] = heap[parent]!;
      i = parent;
    }
    heap[i] = key;
  }

  private pop(): number {
    const { heap } = this;
    const top = heap[0]!;
    const last = heap[--this.size]!;
    let i = 0;
    for (;;) {
      let child = 2 * i + 1;
      if (child >= this.size) break;
      if (child + 1 < this.size && heap[child + 1]! < heap[child]!) child++;
      if (heap[child]! >= last) break;
      heap[i] = heap[child]!;
      i = child;
    }
    heap[i] = last;
    return top;
  }

  private grow(length: number): void {
    const size = length * 2;
    this.next = new Int32Array(size);
    this.previous = new Int32Array(size);
    this.rank = new Int32Array(size);
    this.joined = new Int32Array(size);
  }
}
