/**
 * The promise of a state as a property: however a sequence is cut into calls, and whatever drafts were tried and taken
 * back on the way, every token's logits have the bits of one call. Lengths lie around the boundaries that have gone wrong
 * elsewhere: groups of 4 (vllm-project/vllm#55927: a wrong token where the length is 3 mod 4), heavy blocks, windows, the
 * indexer's choice, and the turns of the attention kernel.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { openCpu } from "../../src/device/cpu/cpu-device.ts";
import { PlanningDevice } from "../../src/device/planning.ts";
import type { V4State } from "../../src/model/state.ts";
import { V4 } from "../../src/model/v4.ts";
import * as t from "../../src/tensor/ops.ts";
import { Tensor } from "../../src/tensor/tensor.ts";
import { activationDType } from "../../src/train/language.ts";
import { openTestDevice } from "../tensor/device.ts";
import { someIds, tinyConfig } from "./tiny.ts";

const device = openTestDevice();
/** Window 8, groups of 4 and 16, three entries chosen; 64 keys are one turn of attention. */
const config = tinyConfig({ max_position_embeddings: 256, compress_ratios: [0, 4, 16, 4] });
const vocab = config.vocab_size;
const MAX_DRAFT = 5;
const LONGEST = 150;

/** Start values are small; larger ones make every part count. */
function network(dtype: "f32" | "bf16"): V4 {
  const model = new V4(device, config, { seed: 3, dtype });
  for (const [name, p] of model.namedParameters())
    if (p.dtype === "f32" && p.ndim >= 2 && !name.includes("hc_"))
      p.copyFrom((p.toArray() as Float32Array).map((x) => x * 8));
  return model;
}

function logitsOf(model: V4, state: V4State, ids: Int32Array): Float32Array {
  using _scope = t.tensorScope();
  const { hidden } = t.noGrad(() => model.forward(Tensor.from(model.device, ids, [1, ids.length]), { state }));
  return t.noGrad(() => model.logits(hidden)).toArray() as Float32Array;
}

/** A cut of the sequence: how many tokens, and how many drafts are tried and taken back after them. */
interface Step {
  readonly tokens: number;
  readonly drafts: number;
  readonly keep: number;
}
const aStep = fc.record({
  tokens: fc.constantFrom(1, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 64, 65),
  drafts: fc.integer({ min: 0, max: MAX_DRAFT }),
  keep: fc.integer({ min: 0, max: MAX_DRAFT }),
});
/** Group, heavy block, window, turn; and three around each. */
const aLength = fc
  .tuple(fc.constantFrom(4, 8, 12, 16, 32, 64, 72, 80, 128, 144), fc.integer({ min: -2, max: 3 }))
  .map(([at, by]) => Math.max(1, at + by));

/** Compiles what the property will need a dozen kernels at a time; the few it forgets compile when they come. */
async function prepare(dtype: "f32" | "bf16"): Promise<void> {
  const cpu = openCpu();
  await cpu?.prepare(
    `state property ${dtype}`,
    () => {
      const planning = new PlanningDevice(cpu.properties);
      const model = new V4(planning, config, { dtype, init: "zeros" });
      for (const n of [1, 2, 3, 5, 9, 17, 31, 65]) {
        const state = model.newState();
        for (const tokens of [n, n, 40, n]) logitsOf(model, state, new Int32Array(tokens));
      }
      return planning.programs;
    },
    () => {},
  );
}

const bf16 = activationDType(device) === "bf16";
for (const dtype of ["f32", "bf16"] as const)
  test(
    `${dtype}: any cut with any drafts taken back has the bits of one call`,
    { skip: dtype === "bf16" && !bf16 ? "this machine has no bf16 products" : false },
    async () => {
      await prepare(dtype);
      const model = network(dtype);
      const ids = someIds(LONGEST, 50, 3);
      const drafts = someIds(LONGEST, 50, 8);
      const one = model.newState();
      const whole = logitsOf(model, one, ids);
      one.dispose();
      const same = (got: Float32Array, at: number, what: string): void => {
        const wrong = got.findIndex((x, i) => !Object.is(x, whole[at * vocab + i]!));
        assert.equal(wrong, -1, `${what}: position ${at + Math.floor(wrong / vocab)}, logit ${wrong % vocab}: ${got[wrong]} for ${whole[at * vocab + wrong]}`); // prettier-ignore
      };
      const follow = (length: number, steps: readonly Step[]): void => {
        const state = model.newState(1, { maxDraft: MAX_DRAFT });
        for (let i = 0; state.length < length; i++) {
          const { tokens, drafts: count, keep } = steps[i % steps.length]!;
          const at = state.length;
          const end = Math.min(length, at + tokens);
          same(logitsOf(model, state, ids.slice(at, end)), at, `${end - at} tokens`);
          // Drafts of which the first few happen to be right.
          const right = Math.min(keep, count, length - end);
          const tried = Int32Array.from([...ids.slice(end, end + right), ...drafts.slice(0, count - right)]);
          if (tried.length === 0) continue;
          same(logitsOf(model, state, tried).slice(0, right * vocab), end, `${right} of ${count} drafts`);
          state.rollback(end + right);
        }
        state.dispose();
      };
      fc.assert(fc.property(aLength, fc.array(aStep, { minLength: 1, maxLength: 6 }), follow), {
        numRuns: 20,
        seed: 4,
      });
    },
  );
