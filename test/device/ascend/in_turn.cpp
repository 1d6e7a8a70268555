// sum += x[row] for every row, in the order of the rows: blocks add to one place in device memory in turn.
#include "kernel_operator.h"
using namespace AscendC;

constexpr int WIDTH = 64;

extern "C" __global__ __aicore__ void in_turn(GM_ADDR x, GM_ADDR sum, GM_ADDR order, int64_t rounds)
{
    GlobalTensor<float> xGm, sumGm;
    GlobalTensor<int32_t> orderGm;
    xGm.SetGlobalBuffer((__gm__ float*)x, rounds * WIDTH);
    sumGm.SetGlobalBuffer((__gm__ float*)sum, WIDTH);
    orderGm.SetGlobalBuffer((__gm__ int32_t*)order, 20 * 8);
    LocalTensor<float> a(TPosition::VECIN, 0, WIDTH), b(TPosition::VECIN, 256, WIDTH);
    LocalTensor<int32_t> sync(TPosition::VECCALC, 512, 20 * 8);
    InitDetermineComputeWorkspace(orderGm, sync);
    for (int64_t round = 0; round * GetBlockNum() < rounds; round++) {
        int64_t row = round * GetBlockNum() + GetBlockIdx();
        WaitPreBlock(orderGm, sync);
        if (row < rounds) {
            DataCopy(a, xGm[row * WIDTH], WIDTH);
            DataCopy(b, sumGm, WIDTH);
            SetFlag<HardEvent::MTE2_V>(0);
            WaitFlag<HardEvent::MTE2_V>(0);
            Add(b, b, a, WIDTH);
            SetFlag<HardEvent::V_MTE3>(0);
            WaitFlag<HardEvent::V_MTE3>(0);
            DataCopy(sumGm, b, WIDTH);
        }
        NotifyNextBlock(orderGm, sync);
    }
    PipeBarrier<PIPE_ALL>();
}
