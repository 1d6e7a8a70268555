/** A small grammar for tests: text ids 0..39, specials 40..49, codes from 50 as in test/model/tiny.ts. */
import type { Grammar } from "../../src/engine/modality.ts";

export const END = 1;
export const NULL = 2;

export const grammar: Grammar = {
  boi: 40,
  eoi: 41,
  bov: 42,
  eov: 43,
  vpad: 44,
  styles: new Map([
    ["flat", 45],
    ["round", 46],
  ]),
  sizes: new Map([[47, { rows: 4, cols: 4 }]]),
  frames: new Map([[48, 2]]),
  codes: { start: 50, end: 70 },
};
export const plan = { size: 47, frames: 48 };
