/** Every op's cases in one list: the tests and the legality check walk it. A new op adds its line here. */
import type { OpCases } from "./case.ts";
import { cases as appendRows } from "./append-rows.ts";
import { cases as compressPool } from "./compress-pool.ts";
import { cases as conv } from "./conv.ts";
import { cases as crossEntropy } from "./cross-entropy.ts";
import { cases as elementwise } from "./elementwise.ts";
import { cases as embedding } from "./embedding.ts";
import { cases as fp8Matmul } from "./fp8-matmul.ts";
import { cases as groupedMatmul } from "./grouped-matmul.ts";
import { cases as hadamard } from "./hadamard.ts";
import { cases as hcProject } from "./hc-project.ts";
import { cases as hyperConnection } from "./hyper-connection-backward.ts";
import { cases as indexer } from "./indexer.ts";
import { cases as intMatmul } from "./int-matmul.ts";
import { cases as layout } from "./layout.ts";
import { cases as matmul } from "./matmul.ts";
import { cases as moe } from "./moe.ts";
import { cases as moePlan } from "./moe-plan.ts";
import { cases as narrowMatmul, fp8Cases as narrowMatmulFp8 } from "./narrow-matmul.ts";
import { cases as norm } from "./norm.ts";
import { cases as optim } from "./optim.ts";
import { cases as quantize } from "./quantize.ts";
import { cases as quantizeRows } from "./quantize-rows.ts";
import { cases as reduce } from "./reduce.ts";
import { cases as rope } from "./rope.ts";
import { cases as roundFp8 } from "./round-fp8.ts";
import { cases as slotAttention } from "./slot-attention.ts";
import { cases as softmax } from "./softmax.ts";
import { cases as sparseAttention } from "./sparse-attention-backward.ts";
import { cases as swiglu } from "./swiglu.ts";
import { cases as topkIndices } from "./topk-indices.ts";
import { cases as workLists } from "./work-list.ts";

export const allCases: readonly OpCases[] = [
  appendRows,
  compressPool,
  conv,
  crossEntropy,
  elementwise,
  embedding,
  fp8Matmul,
  groupedMatmul,
  hadamard,
  hcProject,
  hyperConnection,
  indexer,
  intMatmul,
  layout,
  matmul,
  moe,
  moePlan,
  narrowMatmul,
  narrowMatmulFp8,
  norm,
  optim,
  quantize,
  quantizeRows,
  reduce,
  rope,
  roundFp8,
  slotAttention,
  softmax,
  sparseAttention,
  swiglu,
  topkIndices,
  workLists,
];
