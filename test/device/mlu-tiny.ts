/**
 * Small BANG C kernels, one for each thing that others may write: each must give the right bytes on the chips that have
 * it, in several orders, and each of its mutations must be rejected or give others. Main function: `tinyTests`.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { CompileError } from "../../src/base/errors.ts";
import { findCompiler } from "../../src/device/cpu/toolchain.ts";
import { bangKernel } from "../../src/device/sim/mlu/foreign.ts";
import { openSim } from "../../src/device/sim/open-sim.ts";
import type { SimDevice, SimKernel } from "../../src/device/sim/sim-device.ts";
import { SimulationError } from "../../src/device/sim/violation.ts";

export type Values = Float32Array | Uint16Array | Int16Array | Int32Array | Uint32Array | Int8Array | Uint8Array;
type ChipName = "sim:mlu-370" | "sim:mlu-590";

export interface Tiny {
  readonly name: string;
  /** A file of BANG C whose kernel is `tiny`, or `entry`. */
  readonly source: string;
  readonly entry?: string;
  /** In the order of the arguments; the first is the output. */
  readonly values: readonly (Values | number)[];
  readonly expected: ArrayLike<number>;
  /** Relative to 1 or the value, whichever is larger. */
  readonly tolerance?: number;
  /** block by default. */
  readonly kind?: string;
  readonly tasks?: number;
  /** The chips that have it; the others' compiler must refuse it. Both by default. */
  readonly chips?: readonly ChipName[];
  /** Texts that occur once and what stands there instead; each must be caught. */
  readonly mutants: readonly (readonly [find: string, replacement: string])[];
}

const bothChips: readonly ChipName[] = ["sim:mlu-370", "sim:mlu-590"];
const seeds = [0, 1, 2, 3];

/** The first value that is wrong, or undefined. Throws SimulationError. */
function wrongAfter(device: SimDevice, kernel: SimKernel, c: Tiny, seed: number): string | undefined {
  const args = c.values.map((v) => {
    if (typeof v === "number") return v;
    const buffer = device.alloc(v.byteLength);
    device.copyIn(buffer, 0, v);
    return { buffer, byteOffset: 0 };
  });
  try {
    device.run(kernel, args, { numBlocks: c.tasks ?? 1, seed });
    const [first] = args;
    const got = (c.values[0] as Values).slice();
    if (typeof first === "object") device.copyOut(first.buffer, 0, got);
    for (let i = 0; i < c.expected.length; i++) {
      const [g, w] = [got[i]!, c.expected[i]!];
      if (!Object.is(g, w) && !(Math.abs(g - w) <= (c.tolerance ?? 0) * Math.max(1, Math.abs(w)))) return `element ${i}: expected ${w}, got ${g}`; // prettier-ignore
    }
    return undefined;
  } finally {
    for (const a of args) if (typeof a === "object") device.free(a.buffer);
  }
}

function caught(device: SimDevice, kernel: SimKernel, c: Tiny): string | undefined {
  for (const seed of seeds)
    try {
      if (wrongAfter(device, kernel, c, seed) !== undefined) return "wrong answer";
    } catch (error) {
      if (!(error instanceof SimulationError)) throw error;
      return error.rule;
    }
  return undefined;
}

export function tinyTests(title: string, cases: readonly Tiny[]): void {
  const skip = findCompiler() ? false : "sim:mlu: no C++ compiler";
  const sourceOf = (c: Tiny, text = c.source) => bangKernel(text, c.entry ?? "tiny", c.values.map((_, i) => `arg${i}`), c.kind ?? "block"); // prettier-ignore
  const has = (c: Tiny, chip: ChipName): boolean => (c.chips ?? bothChips).includes(chip);
  for (const chip of bothChips)
    test(`${chip}: ${title}`, { skip }, () => {
      const device = openSim(chip);
      const mine = cases.filter((c) => has(c, chip));
      const mutants = mine.flatMap((c) => c.mutants.map(([find, replacement]) => ({ c, find, replacement })));
      for (const { c, find } of mutants) assert.equal(c.source.split(find).length, 2, `${c.name}: expected the text "${find}" once`); // prettier-ignore
      const kernels = device.compileKernels([
        ...mine.map((c) => sourceOf(c)),
        ...mutants.map(({ c, find, replacement }) =>
          sourceOf(
            c,
            c.source.replace(find, () => replacement),
          ),
        ),
      ]);
      const wrong: string[] = [];
      mine.forEach((c, i) => {
        for (const seed of seeds)
          try {
            const difference = wrongAfter(device, kernels[i]!, c, seed);
            if (difference !== undefined) wrong.push(`${c.name}, seed ${seed}: ${difference}`);
          } catch (error) {
            if (!(error instanceof SimulationError)) throw error;
            wrong.push(`${c.name}, seed ${seed}: ${error.message}`);
          }
      });
      assert.deepEqual(wrong, []);
      const missed = mutants.filter(({ c }, i) => caught(device, kernels[mine.length + i]!, c) === undefined);
      assert.deepEqual(missed.map(({ c, find, replacement }) => `${c.name}: ${find} -> ${replacement}`), []); // prettier-ignore
      for (const c of cases)
        if (!has(c, chip)) assert.throws(() => device.compileKernels([sourceOf(c)]), CompileError, `${c.name}: expected an error of the compiler`); // prettier-ignore
    });
}

/** Values without a pattern that a mistake could share. */
export const wave = (n: number, scale = 4): Float32Array => Float32Array.from({ length: n }, (_, i) => Math.fround(Math.sin(i * 1.7 + 0.3) * scale)); // prettier-ignore
export const unset = (n: number): Float32Array => new Float32Array(n).fill(77);
