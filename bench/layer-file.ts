/**
 * A file with one window, one CSA and one HCA attention layer and one MoE layer of V4-Flash's real shapes in the released
 * storage (e4m3 128 x 128, experts e2m1, power-of-two scales), filled with noise of a useful size. Main function: `writeLayers`.
 */
import { Prng } from "../src/base/prng.ts";
import { parseStored, storedAs, weightsOf, type TensorSpec } from "../src/model/storage.ts";
import { released } from "../src/model/released.ts";
import { asBytes, bytesOf, writeRaw, type RawTensor } from "../src/nn/safetensors.ts";

const json = released["v4-flash"];
export const { config: flash, storage } = parseStored(json, "v4-flash");

/** Layers of the released schedule: 0 window, 2 CSA, 3 HCA, and layer 3's experts. */
export const attentionLayers = { csa: 2, hca: 3, window: 0 } as const;
export const MOE_LAYER = 3;

const isWanted = (name: string): boolean => Object.values(attentionLayers).some((i) => name.startsWith(`layers.${i}.attn.`)) || name.startsWith(`layers.${MOE_LAYER}.ffn.`); // prettier-ignore

const POOL = 1 << 22;

/** Noise per dtype; a tensor takes the pool from its own place on, so no two are alike. */
function pools(): Record<string, Uint8Array> {
  const random = new Prng(11);
  const bytes = (next: () => number): Uint8Array => Uint8Array.from({ length: POOL }, next);
  const normal = (std: number): Float32Array => Float32Array.from({ length: POOL / 4 }, () => (random.uniform() + random.uniform() + random.uniform() - 1.5) * 2 * std); // prettier-ignore
  const halves = new Uint16Array(normal(0.02).length * 2);
  const wide = new Uint32Array(normal(0.02).buffer);
  for (let i = 0; i < halves.length; i++) halves[i] = wide[i % wide.length]! >>> 16;
  return {
    // Sizes below 2, both signs; never the code of NaN.
    F8_E4M3: bytes(() => Math.floor(random.uniform() * 64) | (random.uniform() < 0.5 ? 128 : 0)),
    I8: bytes(() => Math.floor(random.uniform() * 256)),
    // Around 2^-5 for e4m3 and 2^-8 for e2m1: products keep the size of their input.
    scale8: bytes(() => 121 + Math.floor(random.uniform() * 2)),
    scale4: bytes(() => 118 + Math.floor(random.uniform() * 2)),
    BF16: asBytes(halves),
    F32: asBytes(normal(0.5)),
  };
}

/** Returns the size in bytes. */
export function writeLayers(path: string): number {
  const noise = pools();
  const specs = weightsOf(flash, { kind: "none" }).filter((w) => isWanted(w.name)).flatMap((w) => storedAs(w, storage)); // prettier-ignore
  writeRaw(
    path,
    specs.map((spec, i) => filled(spec, noise, i)),
  );
  return specs.reduce((sum, t) => sum + bytesOf(t), 0);
}

function filled(spec: TensorSpec, noise: Record<string, Uint8Array>, salt: number): RawTensor {
  const { name, fileDType } = spec;
  const kind = fileDType === "F8_E8M0" ? (name.includes(".experts.") ? "scale4" : "scale8") : fileDType;
  if (name.endsWith("norm.weight")) return { ...spec, chunks: () => [asBytes(new Uint16Array(spec.shape[0]!).fill(0x3f80))] }; // prettier-ignore
  const pool = noise[kind]!;
  const chunks = function* (): Iterable<Uint8Array> {
    let [left, at] = [bytesOf(spec), ((salt * 40_503) % (POOL / 8)) * 8];
    while (left > 0) {
      const piece = pool.subarray(at, Math.min(POOL, at + left));
      yield piece;
      left -= piece.length;
      at = 0;
    }
  };
  return { ...spec, chunks };
}
