// y = (x + x) * 2 in bf16: only 950 has the instructions.
#include "kernel_operator.h"
using namespace AscendC;

extern "C" __global__ __aicore__ void bf16_950(GM_ADDR x, GM_ADDR y)
{
    GlobalTensor<bfloat16_t> xGm, yGm;
    xGm.SetGlobalBuffer((__gm__ bfloat16_t*)x, 256);
    yGm.SetGlobalBuffer((__gm__ bfloat16_t*)y, 256);
    LocalTensor<bfloat16_t> a(TPosition::VECIN, 0, 256);
    DataCopy(a, xGm, 256);
    SetFlag<HardEvent::MTE2_V>(0);
    WaitFlag<HardEvent::MTE2_V>(0);
    Add(a, a, a, 256);
    Muls(a, a, bfloat16_t(2.0f), 256);
    SetFlag<HardEvent::V_MTE3>(0);
    WaitFlag<HardEvent::V_MTE3>(0);
    DataCopy(yGm, a, 256);
    PipeBarrier<PIPE_ALL>();
}
