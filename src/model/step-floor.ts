/**
 * The least that one step must read: every weight that it uses once, in the format in which a chip keeps it, and the keys
 * and entries that its tokens look at. Main function: `floorOf`.
 * Source: shapes of storage.ts; distinct experts of B tokens are E (1 - (1 - k/E)^B) in the mean, as tokens choose freely.
 */
import { bytesOf } from "../nn/safetensors.ts";
import type { ChipName } from "../tile/chips/types.ts";
import { CSA_RATIO, type V4Config } from "./config.ts";
import { storedAs, weightsOf, type Storage, type Weight } from "./storage.ts";
import type { StepShape } from "./step-plan.ts";

/** How a chip keeps the weights of products, and a sequence's keys. */
export type WeightFormat = "bf16" | "W8A8" | "native";
export const weightFormatOf: Readonly<Record<ChipName, WeightFormat>> = {
  "ascend-910b": "W8A8",
  "ascend-910c": "W8A8",
  "ascend-950": "native",
  "mlu-370": "W8A8",
  "mlu-590": "W8A8",
};

const product = (shape: readonly number[]): number => shape.reduce((p, n) => p * n, 1);

/** Bytes of one weight. W8A8: a byte a number and an f32 scale a row. */
function bytesIn(format: WeightFormat, w: Weight, storage: Storage): number {
  const count = product(w.shape);
  if (format === "native") return storedAs(w, storage).reduce((s, t) => s + bytesOf(t), 0);
  if (w.role === "wide") return 4 * count;
  if (w.role === "ids") return 0;
  return format === "W8A8" && w.role !== "half" ? count + 4 * w.shape[0]! : 2 * count;
}

/** Of an entry or a key of the window, and of an index key. */
const keyBytes = (c: V4Config, format: WeightFormat): { entry: number; index: number } =>
  format === "native"
    ? { entry: c.head_dim + c.qk_rope_head_dim + 8, index: c.index_head_dim + 4 }
    : { entry: 2 * c.head_dim, index: format === "W8A8" ? c.index_head_dim + 2 : 2 * c.index_head_dim };

export interface Floor {
  readonly format: WeightFormat;
  readonly dense: number;
  readonly experts: number;
  /** Mean number of different experts a layer uses. */
  readonly distinctExperts: number;
  readonly keys: number;
  readonly total: number;
}

export function floorOf(c: V4Config, storage: Storage, shape: StepShape, format: WeightFormat): Floor {
  const tokens = shape.batch * shape.tokens;
  const { n_routed_experts: e, num_experts_per_tok: k } = c;
  const distinctExperts = e * (1 - (1 - k / e) ** tokens);
  let [dense, experts] = [0, 0];
  for (const w of weightsOf(c, { kind: "none" })) {
    const bytes = bytesIn(format, w, storage);
    if (w.name === "embed.weight") dense += 2 * c.hidden_size * tokens;
    else if (w.name.includes(".experts.")) experts += (bytes * distinctExperts) / e;
    else if (w.role !== "ids" && !w.name.startsWith("embed_visual")) dense += bytes;
  }
  const { entry, index } = keyBytes(c, format);
  const length = shape.context + shape.tokens;
  let perSequence = 0;
  for (const ratio of c.compress_ratios.slice(0, c.num_hidden_layers)) {
    perSequence += Math.min(c.sliding_window, length) * entry;
    if (ratio === 0) continue;
    const entries = Math.floor(length / ratio);
    perSequence += (ratio === CSA_RATIO ? Math.min(entries, c.index_topk) : entries) * entry;
    if (ratio === CSA_RATIO && entries > c.index_topk) perSequence += entries * index;
  }
  const keys = shape.batch * perSequence;
  return { format, dense, experts, distinctExperts, keys, total: dense + experts + keys };
}
