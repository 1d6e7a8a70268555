/** What only an Ascend chip can tell, in Ascend C. The last one may stop the device, so it comes last. */
import { chipProbes, rsqrtWithin, someNumbers, type Probe } from "../driver/probes.ts";

/** y = f(x) of 64 floats on one vector core; flags of MTE2 and MTE3 have the number `id`. */
const vectorKernel = (compute: string, id: number): string => `#include "kernel_operator.h"
using namespace AscendC;

extern "C" __global__ __aicore__ void ts_kernel(GM_ADDR x, GM_ADDR y) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  InitSocState();
  GlobalTensor<float> from, to;
  from.SetGlobalBuffer((__gm__ float*)x, 64);
  to.SetGlobalBuffer((__gm__ float*)y, 64);
  LocalTensor<float> a(TPosition::VECIN, 0, 64), b(TPosition::VECOUT, 256, 64);
  DataCopy(a, from, 64);
  SetFlag<HardEvent::MTE2_V>(${id});
  WaitFlag<HardEvent::MTE2_V>(${id});
  ${compute}
  SetFlag<HardEvent::V_MTE3>(${id});
  WaitFlag<HardEvent::V_MTE3>(${id});
  DataCopy(to, b, 64);
  PipeBarrier<PIPE_ALL>();
}
`;
const text = (name: string, compute: string, id: number): Probe["source"] => ({ text: { name, source: vectorKernel(compute, id), kind: "vector" } }); // prettier-ignore

export const ascendProbes: readonly Probe[] = [
  ...chipProbes,
  {
    name: "precision of Rsqrt",
    decides: "whether norms may use Rsqrt instead of Sqrt and Div",
    source: text("probe_rsqrt", "Rsqrt(b, a, 64);", 0),
    inputs: [someNumbers],
    output: { count: 64, dtype: "f32" },
    outcomes: [
      { says: "as good as f32: it may be used", holds: rsqrtWithin(2 ** -21), isFine: true },
      { says: "an estimate of about half precision: Sqrt and Div stay", holds: rsqrtWithin(2 ** -8), isFine: true },
    ],
  },
  {
    name: "limit of event ids",
    decides: "whether flags 6 and 7, which the guide reserves, work for kernels (emitted ones use 0 to 5)",
    source: text("probe_events", "Adds(b, a, 1.0f, 64);", 7),
    inputs: [someNumbers],
    output: { count: 64, dtype: "f32" },
    outcomes: [{ says: "flag 7 works", holds: (out) => out.every((y, i) => y === Math.fround(someNumbers[i]! + 1)), isFine: true }], // prettier-ignore
    refusal: "flag 7 is refused",
  },
];
