/**
 * Learns BPE merges from a corpus: counts words, then repeatedly joins the most frequent pair, updating only the
 * words that hold it. Ties go to the smaller pair of ids, so the result depends on nothing but the counts.
 * Main functions: `countWords`, `trainBpe`. Source: Sennrich et al. 2016, with the usual inverted index and heap.
 */
import type { Stage } from "./pre-tokenizer.ts";
import { splitWords } from "./tokenizer-file.ts";

/** Adds the words of `text` to `counts`, each `weight` times; cut as our own files say, or by another `split`. */
export function countWords(counts: Map<string, number>, text: string, weight = 1, split: Stage = splitWords): void {
  split(text, (word) => void counts.set(word, (counts.get(word) ?? 0) + weight));
}

/** Key of a pair of ids; ids are below 2^21. */
const pairKey = (a: number, b: number): number => a * 2097152 + b;

interface Candidate {
  readonly a: number;
  readonly b: number;
  readonly count: number;
}

/** Larger count first, then smaller ids. */
const isBefore = (x: Candidate, y: Candidate): boolean =>
  x.count !== y.count ? x.count > y.count : x.a !== y.a ? x.a < y.a : x.b < y.b;

/** Binary heap, first by `isBefore`. */
class Heap {
  private readonly items: Candidate[] = [];

  push(item: Candidate): void {
    const items = this.items;
    let i = items.push(item) - 1;
    while (i > 0) {
      const parent = (i - 1) >> 1;
      if (!isBefore(item, items[parent]!)) break;
      items[i] = items[parent]!;
      i = parent;
    }
    items[i] = item;
  }

  pop(): Candidate | undefined {
    const items = this.items;
    const top = items[0];
    const last = items.pop();
    if (items.length === 0 || last === undefined) return top;
    let i = 0;
    for (;;) {
      let child = 2 * i + 1;
      if (child >= items.length) break;
      if (child + 1 < items.length && isBefore(items[child + 1]!, items[child]!)) child++;
      if (!isBefore(items[child]!, last)) break;
      items[i] = items[child]!;
      i = child;
    }
    items[i] = last;
    return top;
  }
}

export interface BpeTrainOptions {
  /** Ids wanted, the 256 bytes included. */
  readonly vocabSize: number;
  /** Pairs seen less often are not joined. */
  readonly minCount?: number;
  /** Longest token in bytes. */
  readonly maxBytes?: number;
  readonly onProgress?: (done: number, total: number) => void;
}

/** merges[i] makes id 256 + i. Fewer than asked only when no pair is left. */
export function trainBpe(counts: ReadonlyMap<string, number>, options: BpeTrainOptions): [number, number][] {
  const utf8 = new TextEncoder();
  const maxBytes = options.maxBytes ?? 24;
  const words: number[][] = [];
  const weights: number[] = [];
  for (const [word, count] of counts) {
    words.push(Array.from(utf8.encode(word)));
    weights.push(count);
  }
  /** One character per byte. */
  const tokens: string[] = Array.from({ length: 256 }, (_, b) => String.fromCharCode(b));
  const known = new Set(tokens);
  const pairCounts = new Map<number, number>();
  /** Words that hold, or once held, a pair. */
  const holders = new Map<number, number[]>();
  const heap = new Heap();
  const add = (a: number, b: number, change: number, word: number): void => {
    const key = pairKey(a, b);
    const old = pairCounts.get(key) ?? 0;
    pairCounts.set(key, old + change);
    if (change > 0) {
      const list = holders.get(key);
      if (list === undefined) holders.set(key, [word]);
      else if (list[list.length - 1] !== word) list.push(word);
    }
  };
  words.forEach((ids, w) => {
    for (let i = 0; i + 1 < ids.length; i++) add(ids[i]!, ids[i + 1]!, weights[w]!, w);
  });
  for (const [key, count] of pairCounts) heap.push({ a: Math.floor(key / 2097152), b: key % 2097152, count });

  const merges: [number, number][] = [];
  const target = options.vocabSize - 256;
  while (merges.length < target) {
    const top = heap.pop();
    if (top === undefined || top.count < (options.minCount ?? 2)) break;
    const key = pairKey(top.a, top.b);
    const now = pairCounts.get(key) ?? 0;
    if (now !== top.count) {
      // Counts fell since this entry was made: put the true one back.
      if (now > 0) heap.push({ ...top, count: now });
      continue;
    }
    const token = tokens[top.a]! + tokens[top.b]!;
    // The same bytes may be reached by two ways of joining; one token has one id.
    if (token.length > maxBytes || known.has(token)) continue;
    const id = 256 + merges.length;
    merges.push([top.a, top.b]);
    tokens.push(token);
    known.add(token);
    const touched = new Map<number, [number, number]>();
    const change = (a: number, b: number, by: number, word: number): void => {
      add(a, b, by, word);
      if (by > 0) touched.set(pairKey(a, b), [a, b]);
    };
    for (const w of new Set(holders.get(key))) {
      const ids = words[w]!;
      const weight = weights[w]!;
      let out = 0;
      for (let i = 0; i < ids.length; i++) {
        if (i + 1 < ids.length && ids[i] === top.a && ids[i + 1] === top.b) {
          // ids[0..out) is done, ids[i..] is still old.
          if (out > 0) {
            change(ids[out - 1]!, top.a, -weight, w);
            change(ids[out - 1]!, id, weight, w);
          }
          if (i + 2 < ids.length) {
            change(top.b, ids[i + 2]!, -weight, w);
            change(id, ids[i + 2]!, weight, w);
          }
          ids[out++] = id;
          i++;
        } else ids[out++] = ids[i]!;
      }
      ids.length = out;
    }
    pairCounts.delete(key);
    holders.delete(key);
    for (const [pair, [a, b]] of touched) {
      const count = pairCounts.get(pair) ?? 0;
      if (count > 0) heap.push({ a, b, count });
    }
    if (merges.length % 256 === 0) options.onProgress?.(merges.length, target);
  }
  return merges;
}
