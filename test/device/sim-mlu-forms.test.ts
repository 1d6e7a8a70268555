/** Ways in which others write a file: templates, tables, qualifiers, the assembler's sync, a host's part. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { withoutLaunches } from "../../src/device/sim/mlu/host-part.ts";
import { poolVariables } from "../../src/device/sim/mlu/pool-variables.ts";
import { tinyTests, unset, wave, type Tiny } from "./mlu-tiny.ts";

const n = 100;
const x = wave(n);

const template: Tiny = {
  name: "a template with its own memory, launched by a host function",
  entry: "scaled<float, 3>",
  source: `#include <bang.h>
#include <cnrt.h>
template <typename T>
__mlu_func__ bool isFloat() { return false; }
template <>
__mlu_func__ bool isFloat<float>() { return true; }
template <typename T, int factor>
__mlu_global__ void scaled(T* y, const T* x, size_t n) {
  __nram__ T buffer[128];
  __nram__ T result[128];
  if (!isFloat<T>()) return;
  __memcpy_async(buffer, x, n * sizeof(T), GDRAM2NRAM);
  __asm__ volatile("sync;\\n\\t");
  __bang_mul_scalar(result, buffer, T(factor), n);
  __sync_compute();
  __memcpy_async(y, result, n * sizeof(T), NRAM2GDRAM);
}
template __mlu_global__ void scaled<float, 3>(float* y, const float* x, size_t n);
void launch(cnrtDim3_t dim, cnrtFunctionType_t type, cnrtQueue_t queue, float* y, float* x) {
  scaled<float, 3><<<dim, type, queue>>>(y, x, 100);
  CNRT_CHECK(cnrtQueueSync(queue));
}
`,
  values: [unset(n), x, n],
  expected: x.map((v) => Math.fround(v * 3)),
  mutants: [
    ['  __asm__ volatile("sync;\\n\\t");\n', ""],
    ["  __sync_compute();\n", ""],
    ["T buffer[128]", "T buffer[99]"],
    ["T result[128]", "T result[96]"],
    ["T result[128]", "T result[200000]"],
    ["x, n * sizeof(T)", "x, (n + 1) * sizeof(T)"],
    ["if (!isFloat<T>())", "if (isFloat<T>())"],
  ],
};

const table: Tiny = {
  name: "tables with values",
  source: `#include "mlu.h"
__nram__ static float scale[4] = {1, 2, 4, 8};
__nram__ int8_t room[4096];
template <class T>
__mlu_func__ void mask(T* to, uint32_t* at, int n) {
  __nram__ int32_t words[64] = {0, (int32_t)0xffffffff};
  __bang_lut((int32_t*)at, at, words, n, 64);
  __bang_band((int8_t*)to, (int8_t*)to, (int8_t*)at, n * sizeof(T));
}
__mlu_entry__ void tiny(float* y, float* x) {
  float* a = (float*)room;
  uint32_t* at = (uint32_t*)(room + 2048);
  __memcpy(a, x, 100 * sizeof(float), GDRAM2NRAM);
  for (int i = 0; i < 100; ++i) at[i] = i % 2;
  mask(a, at, 100);
  __bang_cycle_mul(a, a, scale, 100, 4);
  __memcpy(y, a, 100 * sizeof(float), NRAM2GDRAM);
}
`,
  values: [unset(n), x],
  expected: x.map((v, i) => (i % 2) * Math.fround(v * 2 ** (i % 4))),
  mutants: [
    ["scale[4] = {1, 2, 4, 8}", "scale[4]"],
    ["words[64] = {0, (int32_t)0xffffffff}", "words[64]"],
    ["words, n, 64", "words, n, 65"],
    ["i % 2", "i"],
    ["room + 2048", "room + 384"],
  ],
};

const scalars: Tiny = {
  name: "scalar code on NRAM, SRAM and device memory",
  kind: "union1",
  tasks: 4,
  source: `#include <bang.h>
__mlu_shared__ float partial[4];
__nram__ float a[32];
__mlu_const__ float bias = 0.5f;
__mlu_device__ float square(float v) { return powf(v, 2.0f); }
__mlu_global__ void tiny(float* y, const float* x) {
  __ldram__ float kept[4];
  if (__is_ipu()) {
    __memcpy(a, x + coreId * 25, 25 * sizeof(float), GDRAM2NRAM);
    kept[0] = 0;
    for (int i = 0; i < 25; ++i) kept[0] += square(a[i]) + bias;
    partial[coreId] = kept[0];
  }
  __sync_cluster();
  if (__is_ipu() && coreId == 0) {
    float total = 0;
    for (int c = 0; c < coreDim; ++c) total += __load_sram(partial + c);
    y[0] = __half2float(__float2half_rn(1.0f)) * total + __float2int32_rd(2.5f);
  }
  __bang_printf("%d", 0 * taskId);
}
`,
  values: [unset(1), x],
  expected: [x.reduce((s, v) => s + v * v + 0.5, 3)],
  tolerance: 1e-5,
  mutants: [
    ["  __sync_cluster();\n", ""],
    ["coreId * 25", "coreId * 24"],
    ["coreId * 25", "coreId * 26"],
    ["partial[coreId] =", "if (coreId) partial[coreId] ="],
    ["partial[4]", "partial[3]"],
    ["a[32]", "a[24]"],
    ["kept[0] = 0;", "kept[0] = 0; a[-1] = 0;"],
    ["kept[0] = 0;", "kept[0] = 0; a[32] = 0;"],
  ],
};
const flags: Tiny = {
  name: "pipes that are waited for by name",
  source: `#include <bang.h>
__nram__ float a[128];
__mlu_global__ void tiny(float* y, const float* x) {
  __memcpy_async(a, x, 100 * sizeof(float), GDRAM2NRAM);
  __sync_io_move_compute(true, false, false, false, false, true);
  __bang_add_scalar(a, a, 1, 100);
  __sync_io_move_compute(false, false, true, true, false, false);
  __memcpy_async(y, a, 100 * sizeof(float), NRAM2GDRAM);
  __sync_copy_nram_to_dram();
}
`,
  values: [unset(n), x],
  expected: x.map((v) => Math.fround(v + 1)),
  mutants: [
    ["(true, false, false, false, false, true)", "(false, true, false, true, false, true)"],
    ["(false, false, true, true, false, false)", "(true, true, false, true, true, true)"],
    ["__sync_io_move_compute(true, false, false, false, false, true)", "__sync_copy_sram_to_nram()"],
  ],
};
tinyTests("forms of files", [template, table, scalars, flags]);

const gates: readonly (readonly [string, string])[] = [
  ["division", "__bang_div(d, a, b, 64);"],
  ["integers without a sign", "__bang_add((uint32_t*)d, (uint32_t*)a, (uint32_t*)b, 64);"],
  ["shifts", "__bang_srl((uint32_t*)d, (uint32_t*)a, 2, 64);"],
  ["bf16 vectors", "__bang_add((bfloat16_t*)d, (bfloat16_t*)a, (bfloat16_t*)b, 64);"],
  ["gather", "__gather(d, y, (unsigned*)b, 4, GDRAM2NRAM, 4, 1);"],
  ["bf16 fusion", "__bang_fusion(FUSION_FMA, (bfloat16_t*)d, (bfloat16_t*)a, (bfloat16_t*)b, (bfloat16_t)1.0f, 64, 64);"],
  ["bf16 products", "__bang_reshape_filter((bfloat16_t*)d, (bfloat16_t*)a, 64, 1, 1, 32);"],
]; // prettier-ignore
tinyTests(
  "what MLU370 lacks",
  gates.map(([name, body]) => ({
    name,
    source: `#include <bang.h>
__nram__ float a[2048]; __nram__ float b[2048]; __nram__ float d[2048];
__mlu_entry__ void tiny(float* y) {
  __bang_write_zero(a, 2048); __bang_write_zero(b, 2048);
  ${body}
  y[0] = 1;
}
`,
    values: [unset(1)],
    expected: [1],
    chips: ["sim:mlu-590"] as const,
    mutants: [],
  })),
);

test("lines and names of a file stay where they are", () => {
  const source = "template <class T>\nvoid f() {\n  __nram__ T a[4],\n      b[4];\n  __nram__ T c[8] = {1,\n    2};\n}\nvoid g() { __nram__ int d[4]; }\n"; // prettier-ignore
  const { text, pools } = poolVariables(source);
  assert.deepEqual(pools, ["nram"]);
  assert.equal(text.split("\n").length, source.split("\n").length);
  assert.match(text, /auto& c = bang_place_nram<T\[8\], __COUNTER__>\("c"\);/);
  assert.match(text, /void g\(\) \{ __nram__ int d\[4\]; \}/);
});

test("functions that launch are taken out, whatever they call", () => {
  const source = "namespace a {\n#define K 1\nint f(int x) { return x; }\nunknown_t main(other_t q)\n{\n  k<<<dim, type, q>>>(1); // }\n}\n__mlu_global__ void k(int n) {}\n}\n"; // prettier-ignore
  assert.equal(withoutLaunches(source), "namespace a {\n#define K 1\nint f(int x) { return x; }\n\n\n\n\n__mlu_global__ void k(int n) {}\n}\n"); // prettier-ignore
  assert.equal(withoutLaunches("template <class T>\nvoid g(T* y) { h<T><<<1, 2, 3>>>(y); }\nint after;\n"), "\n\nint after;\n"); // prettier-ignore
});
