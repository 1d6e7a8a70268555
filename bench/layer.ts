/**
 * Layers of V4-Flash at their true size, run from a file in the released storage: attention of each kind, and a MoE layer
 * of which only the experts that tokens are routed to are read. Held against layer-reference.ts. The file (3.8 GB of noise)
 * is made in a temporary folder and removed. Main function: `benchLayers`.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { normals } from "../src/base/prng.ts";
import type { Device } from "../src/device/device.ts";
import { openDevice } from "../src/device/open.ts";
import { Attention } from "../src/model/attention.ts";
import { Init } from "../src/model/init.ts";
import { Gate, SharedExpert } from "../src/model/moe.ts";
import { ropeTables } from "../src/model/rope.ts";
import { readRows } from "../src/model/stored.ts";
import { fillFrom } from "../src/model/weights.ts";
import type { Module } from "../src/nn/module.ts";
import { openTensors, type TensorSet } from "../src/nn/tensor-set.ts";
import * as t from "../src/tensor/ops.ts";
import { Parameter, Tensor, zeros } from "../src/tensor/tensor.ts";
import { attentionLayers, flash, MOE_LAYER, writeLayers } from "./layer-file.ts";
import { attentionReference, moeReference } from "./layer-reference.ts";

/** Tokens of each attention: past the window, four groups of four, past the first heavy entry. */
const TOKENS = { window: 130, csa: 18, hca: 130 } as const;
const MOST_TOKENS = 130;
/** Of which the reference computes so many, and the MoE layer sees so many. */
const CHECKED = 2;

export interface LayerRow {
  readonly name: "window" | "csa" | "hca" | "moe";
  readonly tokens: number;
  readonly seconds: number;
  /** Largest difference to the reference, as a share of its largest number. */
  readonly worst: number;
  /** Of the process so far. */
  readonly peakBytes: number;
}

export interface LayerReport {
  readonly fileBytes: number;
  readonly expertsRead: number;
  readonly rows: readonly LayerRow[];
  readonly device: string;
}

export function benchLayers(options: { readonly onRow?: (row: LayerRow) => void } = {}): LayerReport {
  const dir = mkdtempSync(join(tmpdir(), "tessera-layer-"));
  try {
    const path = join(dir, "layers.safetensors");
    const fileBytes = writeLayers(path);
    using file = openTensors(path);
    const device = openDevice();
    const x = new Float32Array(MOST_TOKENS * flash.hidden_size);
    normals(x, 3);
    const rows: LayerRow[] = [];
    const add = (
      name: LayerRow["name"],
      tokens: number,
      run: () => Float32Array,
      reference: () => Float64Array[],
    ): void => {
      // prettier-ignore
      const start = performance.now();
      const got = run();
      const seconds = (performance.now() - start) / 1000;
      const row = { name, tokens, seconds, worst: worstOf(got, reference()), peakBytes: process.resourceUsage().maxRSS * 1024 }; // prettier-ignore
      rows.push(row);
      options.onRow?.(row);
    };
    const wide = Array.from({ length: MOST_TOKENS }, (_, i) => Float64Array.from(x.subarray(i * flash.hidden_size, (i + 1) * flash.hidden_size))); // prettier-ignore
    for (const [name, layer] of Object.entries(attentionLayers) as ["window" | "csa" | "hca", number][]) {
      const ratio = flash.compress_ratios[layer]!;
      const prefix = `layers.${layer}.attn`;
      const tokens = TOKENS[name];
      add(name, tokens, () => attention(device, file, prefix, ratio, x.subarray(0, tokens * flash.hidden_size)), () => attentionReference(file, prefix, wide.slice(0, tokens), ratio, flash, CHECKED)); // prettier-ignore
    }
    const prefix = `layers.${MOE_LAYER}.ffn`;
    const few = x.subarray(-CHECKED * flash.hidden_size);
    let expertsRead = 0;
    add("moe", CHECKED, () => moe(device, file, prefix, few, (n) => (expertsRead = n)), () => moeReference(file, prefix, wide.slice(-CHECKED), flash)); // prettier-ignore
    return { fileBytes, expertsRead, rows, device: device.properties.name };
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

/** got: all rows or the last ones; expected: the last ones. */
function worstOf(got: Float32Array, expected: readonly Float64Array[]): number {
  const last = got.subarray(got.length - expected.length * expected[0]!.length);
  let [worst, largest] = [0, 0];
  expected.forEach((row, r) => {
    row.forEach((v, i) => {
      worst = Math.max(worst, Math.abs(v - last[r * row.length + i]!));
      largest = Math.max(largest, Math.abs(v));
    });
  });
  return worst / largest;
}

/** The tensors below a prefix, under the rest of their names. */
function below(file: TensorSet, prefix: string): TensorSet {
  const inside = [...file.tensors.values()].filter((s) => s.name.startsWith(`${prefix}.`));
  return {
    ...file,
    tensors: new Map(inside.map((s) => [s.name.slice(prefix.length + 1), s])),
    readBytes: (name, begin, end) => file.readBytes(`${prefix}.${name}`, begin, end),
  };
}

const freed = (module: Module): void => module.namedParameters().forEach(([, p]) => p.dispose());

function attention(device: Device, file: TensorSet, prefix: string, ratio: number, x: Float32Array): Float32Array {
  using _scope = t.tensorScope();
  const init = new Init(device, { seed: 0, kind: "zeros", numLayers: 1 });
  const module = new Attention(init, flash, ratio, ropeTables(device, flash));
  fillFrom(below(file, prefix), module);
  const input = Tensor.from(device, x, [1, x.length / flash.hidden_size, flash.hidden_size]);
  const out = t.noGrad(() => module.forward(input, 0)).toArray() as Float32Array;
  freed(module);
  return out;
}

function moe(
  device: Device,
  file: TensorSet,
  prefix: string,
  x: Float32Array,
  onExperts: (count: number) => void,
): Float32Array {
  // prettier-ignore
  using _scope = t.tensorScope();
  const init = new Init(device, { seed: 0, kind: "zeros", numLayers: 1 });
  const [gate, shared] = [new Gate(init, flash, false), new SharedExpert(init, flash)];
  fillFrom(below(file, `${prefix}.gate`), gate);
  fillFrom(below(file, `${prefix}.shared_experts`), shared);
  const input = Tensor.from(device, x, [CHECKED, flash.hidden_size]);
  return t.noGrad(() => {
    const routing = gate.forward(input, zeros(device, [CHECKED], { dtype: "i32" }));
    const indices = routing.indices.toArray() as Int32Array;
    const used = [...new Set(indices)].sort((a, b) => a - b);
    onExperts(used.length);
    const stack = (which: string, rows: number, cols: number): Parameter => {
      const p = new Parameter(zeros(device, [used.length, rows, cols]));
      used.forEach((e, i) => device.copyIn(p.data.buffer, i * rows * cols * 4, readRows(file, { name: `${prefix}.experts.${e}.${which}.weight`, shape: [rows, cols] }))); // prettier-ignore
      return p;
    };
    const { hidden_size: d, moe_intermediate_size: width, swiglu_limit: limit } = flash;
    const [w1, w3, w2] = [stack("w1", width, d), stack("w3", width, d), stack("w2", d, width)];
    const own = Tensor.from(device, indices.map((e) => used.indexOf(e)), routing.indices.shape, "i32"); // prettier-ignore
    const routed = t.moeExperts(input, w1, w3, w2, { weights: routing.weights, indices: own }, { limit });
    const out = t.add(routed, shared.forward(input)).toArray() as Float32Array;
    for (const p of [w1, w2, w3]) p.dispose();
    for (const module of [gate, shared]) freed(module);
    return out;
  });
}
