/** The ends of UB and L1 are the system's, and those of instructions with scratch: a tensor that reaches there is refused. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { findCompiler } from "../../src/device/cpu/toolchain.ts";
import { foreignKernel } from "../../src/device/sim/foreign.ts";
import { openSim } from "../../src/device/sim/open-sim.ts";
import { SimulationError } from "../../src/device/sim/violation.ts";

const skip = findCompiler() ? false : "no C++ compiler";
const kernelOf = (kind: string, body: string): string => `#include "kernel_operator.h"
using namespace AscendC;
extern "C" __global__ __aicore__ void reserved(int64_t bytes) {
  KERNEL_TASK_TYPE_DEFAULT(${kind});
  InitSocState();
  ${body}
  PipeBarrier<PIPE_ALL>();
}`;
const ub = "LocalTensor<uint8_t> t(TPosition::VECCALC, 0, bytes); (void)t;";
const inVector = kernelOf("KERNEL_TYPE_AIV_ONLY", ub);
const inMix = kernelOf("KERNEL_TYPE_MIX_AIC_1_2", `if ASCEND_IS_AIV { ${ub} }`);
const inL1 = kernelOf("KERNEL_TYPE_AIC_ONLY", "LocalTensor<uint8_t> t(TPosition::A1, 0, bytes); (void)t;");
const withSelect = kernelOf(
  "KERNEL_TYPE_AIV_ONLY",
  `LocalTensor<float> a(TPosition::VECCALC, 0, 64), b(TPosition::VECCALC, 256, 64);
  LocalTensor<uint8_t> mask(TPosition::VECCALC, 512, 32), last(TPosition::VECCALC, 1024, bytes - 1024);
  (void)last;
  Duplicate(a, 1.0f, 64);
  Duplicate(b, 2.0f, 64);
  Duplicate(mask.ReinterpretCast<uint16_t>(), (uint16_t)0x5555, 16);
  PipeBarrier<PIPE_V>();
  Select(a, mask, a, b, SELMODE::VSEL_TENSOR_TENSOR_MODE, 64);`,
);

const K = 1024;
/** Bytes that a kernel of a chip may use at most. */
const rows = [
  ["sim:ascend-910b", "UB alone", inVector, 192 * K],
  ["sim:ascend-910b", "UB of a mixed kernel", inMix, 192 * K - 256],
  ["sim:ascend-910b", "UB beside Select of two tensors", withSelect, 184 * K],
  ["sim:ascend-910b", "L1", inL1, 512 * K - 256],
  ["sim:ascend-950", "UB alone", inVector, 253_952],
  ["sim:ascend-950", "UB beside Select of two tensors", withSelect, 253_952],
] as const;

for (const name of ["sim:ascend-910b", "sim:ascend-950"] as const)
  test(`${name}: the last byte that kernels may use, and the one after it`, { skip }, () => {
    const device = openSim(name);
    const own = rows.filter(([chip]) => chip === name);
    const kernels = device.compileKernels(own.map(([, , source]) => foreignKernel(source, "reserved", ["bytes"])));
    own.forEach(([, what, , bytes], i) => {
      device.run(kernels[i]!, [bytes], { numBlocks: 1 });
      const check = (e: unknown): boolean => e instanceof SimulationError && e.rule === "capacity";
      assert.throws(() => device.run(kernels[i]!, [bytes + 32], { numBlocks: 1 }), check, what);
    });
  });
