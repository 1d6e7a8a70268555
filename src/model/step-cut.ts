/**
 * How a step is cut over the cards of a group: of each weight and kernel what one card does, and what the cards tell each
 * other. The plan is one table. Weights that read one input x are cut by outputs and gathered in ONE collective a layer: at
 * batch 1 that costs the 0.9 ms that it saves and moves 0.7 GB a card less. What needs collectives of its own is an option,
 * taken only where the whole step is faster or would move more than `MOST_BYTES` of the floor without it, and where launches stay few. Hyper-connections'
 * weights (138 MB) stay on every card: two more collectives a layer would save 0.1 ms. Main parts: `cuts`, `collectivesOf`.
 */
import { dtypes } from "../base/dtype.ts";
import type { Chip } from "../tile/chips/types.ts";
import { assumptions, linkRate } from "../tile/cost-table.ts";
import { exactly, over, plus, type Range } from "../tile/range.ts";
import { CSA_RATIO, type V4Config } from "./config.ts";
import type { StepShape } from "./step-plan.ts";

/** Bytes of a step over those of its floor that a plan should keep to. */
export const MOST_BYTES = 1.15;
/** Launches a layer that a plan should keep to, those of collectives with them. */
export const MOST_LAUNCHES = 12;

/**
 * `heads`, `vocabulary`, `experts`: whole ones, each card's own; `outputs`, `inputs`: of the matrix; `tokens`: each card has
 * its own sequences; `whole`: on every card.
 */
export type CutBy = "heads" | "vocabulary" | "experts" | "outputs" | "inputs" | "tokens" | "whole";
/** `sequences`: attention's core, where there are as many as cards; `streams`: the residual streams, likewise. */
export const options = ["router", "sequences", "streams"] as const;
export type CutOption = (typeof options)[number];
export type Choice = readonly CutOption[];

export interface Cut {
  /** Labels of weights within a layer, or kernels by how their names begin. */
  readonly weights?: readonly string[];
  readonly kernels?: readonly string[];
  readonly by: CutBy;
  /** The collective that makes the cards' results one again. */
  readonly joined?: CollectiveName;
  /** Only with, or only without an option. */
  readonly where?: { readonly option: CutOption; readonly is: boolean };
}

const attention = ["sparse_attention"] as const;
const core = ["index_scores", "topk", "append_rows", "compress_pool", "map_copy"] as const;
const streamKernels = ["hc_project", "hc_split", "hc_finish", "hc_pre", "hc_post"] as const;
const streamNorms = ["attn_norm", "ffn_norm", "norm"] as const;
const indexHeads = ["attn.indexer.wq_b", "attn.indexer.weights_proj"] as const;
const withOption = (option: CutOption) => ({ option, is: true }) as const;
const without = (option: CutOption) => ({ option, is: false }) as const;

const table: readonly Cut[] = [
  { weights: ["attn.wq_b", "attn.wo_a"], by: "heads" },
  { weights: ["attn.wo_b"], by: "inputs", joined: "attention" },
  { weights: ["attn.wq_a", "attn.wkv", "attn.compressor.wkv", "attn.compressor.wgate", "attn.indexer.compressor.wkv", "attn.indexer.compressor.wgate"], by: "outputs", joined: "projections" }, // prettier-ignore
  { weights: indexHeads, by: "heads", joined: "index scores", where: without("sequences") },
  { weights: indexHeads, by: "heads", joined: "queries", where: withOption("sequences") },
  { kernels: [...core, ...attention], by: "heads", where: without("sequences") },
  { kernels: core, by: "tokens", where: withOption("sequences") },
  { kernels: attention, by: "tokens", joined: "values", where: withOption("sequences") },
  { kernels: streamKernels, weights: streamNorms, by: "whole", where: without("streams") },
  { kernels: streamKernels, by: "tokens", where: withOption("streams") },
  { weights: streamNorms, by: "tokens", joined: "streams", where: withOption("streams") },
  { weights: ["ffn.gate"], by: "whole", where: without("router") },
  { weights: ["ffn.gate"], by: "outputs", joined: "router", where: withOption("router") },
  { weights: ["ffn.experts.w1", "ffn.experts.w2", "ffn.experts.w3"], by: "experts" },
  { kernels: ["combine_rows"], by: "experts", joined: "feed-forward" },
  { weights: ["ffn.shared_experts.w1", "ffn.shared_experts.w3"], by: "outputs" },
  { weights: ["ffn.shared_experts.w2"], by: "inputs", joined: "feed-forward" },
  { weights: ["embed"], by: "whole" },
  { weights: ["head"], by: "vocabulary", joined: "logits" },
];
export const cutsOf = (choice: Choice): readonly Cut[] => table.filter(({ where }) => !where || choice.includes(where.option) === where.is); // prettier-ignore

/** Who does what under a choice; a weight's row stands before a kernel's. */
export function cutter(choice: Choice): (kernel: string, label: string | undefined) => Cut | undefined {
  const rows = cutsOf(choice);
  return (kernel, label) => rows.find((r) => label !== undefined && r.weights?.includes(label)) ?? rows.find((r) => r.kernels?.some((name) => kernel.startsWith(name))); // prettier-ignore
}

/** All choices that a step has. */
export function choicesOf(parts: number, { batch }: StepShape): Choice[] {
  if (parts === 1) return [[]];
  const free = options.filter((option) => option === "router" || batch >= parts);
  return Array.from({ length: 2 ** free.length }, (_, bits) => free.filter((_option, i) => (bits >> i) % 2 === 1));
}

/** Cards that a step can be cut over. */
export function tensorParts(c: V4Config, cards: number): number {
  for (let n = cards; n > 1; n--)
    if (cards % n === 0 && [c.num_attention_heads, c.o_groups, c.index_n_heads, c.vocab_size, c.moe_intermediate_size, c.n_routed_experts].every((x) => x % n === 0)) return n; // prettier-ignore
  return 1;
}

/** The network of one card, as far as it has fewer of something; its launches are planned at these shapes. */
export const cardConfig = (c: V4Config, parts: number): V4Config => ({
  ...c,
  num_attention_heads: c.num_attention_heads / parts,
  o_groups: c.o_groups / parts,
  index_n_heads: c.index_n_heads / parts,
  vocab_size: c.vocab_size / parts,
});

interface Product {
  readonly grid: readonly [number, number, number];
  readonly numbers: Readonly<Record<string, number>>;
}
/**
 * Of a product y [m,n] = x [m,k] . w [n,k]^T that was planned whole, what one card does. Its tiles stay those of the whole
 * product, larger than a card would choose. wo_b's inputs are the card's own groups of heads already.
 */
export function cutProduct<L extends Product>(launch: L, by: CutBy | undefined, label: string | undefined, parts: number): L {
  const { grid: [x, y, z], numbers } = launch; // prettier-ignore
  const { n, k } = numbers;
  if (by === "outputs" && n !== undefined) return { ...launch, grid: [Math.ceil(x / parts), y, z], numbers: { ...numbers, n: Math.ceil(n / parts) } };
  if (by === "inputs" && k !== undefined && label !== "attn.wo_b") return { ...launch, numbers: { ...numbers, k: Math.ceil(k / parts) } };
  return launch;
} // prettier-ignore

export type CollectiveName = "attention" | "feed-forward" | "projections" | "index scores" | "queries" | "values" | "streams" | "router" | "logits"; // prettier-ignore
/** Bytes that a card sends, of those of the whole result, with n cards in a ring. */
const sent = {
  "all-reduce": (n: number) => (2 * (n - 1)) / n,
  "reduce-scatter": (n: number) => (n - 1) / n,
  "all-gather": (n: number) => (n - 1) / n,
  "all-to-all": (n: number) => (n - 1) / n / n,
} as const;

export interface Collective {
  readonly name: CollectiveName;
  readonly kind: keyof typeof sent;
  /** In one step, and of these before the first layer or after the last. */
  readonly count: number;
  readonly atEnds: number;
  /** Of the results, all of them together. */
  readonly bytes: number;
  readonly seconds: Range;
}

/** What the cards of a group tell each other in one step. */
export function collectivesOf(c: V4Config, chip: Chip, parts: number, shape: StepShape, choice: Choice): Collective[] {
  if (parts === 1) return [];
  const [rows, half, wide] = [shape.batch * shape.tokens, dtypes.bf16.size, dtypes.f32.size];
  const ratios = c.compress_ratios.slice(0, c.num_hidden_layers);
  const each = ratios.length;
  const numIndexed = ratios.filter((r) => r === CSA_RATIO).length;
  const widthOf = (ratio: number): number => {
    const width = (dim: number): number => 2 * (ratio === CSA_RATIO ? 2 : 1) * dim;
    return c.q_lora_rank + c.head_dim + (ratio > 0 ? width(c.head_dim) : 0) + (ratio === CSA_RATIO ? width(c.index_head_dim) : 0); // prettier-ignore
  };
  const projected = ratios.reduce((sum, ratio) => sum + widthOf(ratio), 0);
  const entries = Math.floor((shape.context + shape.tokens) / CSA_RATIO);
  const hidden = each * rows * c.hidden_size * half;
  const queries = each * rows * c.num_attention_heads * c.head_dim * half;
  const indexQueries = numIndexed * rows * c.index_n_heads * (c.index_head_dim + 1) * half;
  const scores = entries > c.index_topk ? numIndexed : 0;
  const has = (option: CutOption): boolean => choice.includes(option);
  const sum = has("streams") ? "reduce-scatter" : "all-reduce";
  const list: readonly (readonly [CollectiveName, Collective["kind"], number, number])[] = [
    ["attention", sum, each, hidden],
    ["feed-forward", sum, each, hidden],
    ...(has("streams") ? [["streams", "all-gather", 2 * each + 1, 2 * hidden + rows * c.hidden_size * half] as const] : []), // prettier-ignore
    ["projections", "all-gather", each, projected * rows * half],
    ...(has("sequences")
      ? ([
          ["queries", "all-to-all", each, queries + indexQueries],
          ["values", "all-to-all", each, queries],
        ] as const) // prettier-ignore
      : ([["index scores", "all-reduce", scores, scores * rows * entries * wide]] as const)),
    ...(has("router") ? [["router", "all-gather", each, each * rows * c.n_routed_experts * wide] as const] : []),
    ["logits", "all-gather", 1, shape.batch * c.vocab_size * wide],
  ];
  const needed = list.filter(([, , count]) => count > 0);
  const ends: Readonly<Partial<Record<CollectiveName, number>>> = { streams: 1, logits: 1 };
  return needed.map(([name, kind, count, bytes]) => ({ name, kind, count, atEnds: ends[name] ?? 0, bytes, seconds: plus(exactly(count * assumptions.collectiveSeconds.value), over(sent[kind](parts) * bytes, linkRate(chip))) })); // prettier-ignore
}
