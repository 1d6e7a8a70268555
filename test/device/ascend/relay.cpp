// z[row] = z[row - 1] + x[row], rows dealt to blocks in turn: each waits for the flag of the block before it. Then all
// meet through device memory, and each copies the last row to its place in `last`.
#include "kernel_operator.h"
using namespace AscendC;

constexpr int WIDTH = 64;

extern "C" __global__ __aicore__ void relay(GM_ADDR x, GM_ADDR z, GM_ADDR last, GM_ADDR flags, int64_t rows)
{
    GlobalTensor<float> xGm, zGm, lastGm;
    GlobalTensor<int32_t> flagGm;
    xGm.SetGlobalBuffer((__gm__ float*)x, rows * WIDTH);
    zGm.SetGlobalBuffer((__gm__ float*)z, rows * WIDTH);
    lastGm.SetGlobalBuffer((__gm__ float*)last, rows * WIDTH);
    flagGm.SetGlobalBuffer((__gm__ int32_t*)flags, 1024);
    LocalTensor<float> a(TPosition::VECIN, 0, WIDTH), b(TPosition::VECIN, 256, WIDTH);
    LocalTensor<int32_t> sync(TPosition::VECCALC, 512, 32 * 8);
    int64_t blocks = GetBlockNum(), block = GetBlockIdx();
    for (int64_t row = block; row < rows; row += blocks) {
        DataCopy(a, xGm[row * WIDTH], WIDTH);
        if (row > 0) {
            if (blocks > 1) {
                IBWait(flagGm, sync, (row - 1) % blocks, 0);
            } else {
                PipeBarrier<PIPE_ALL>();
            }
            DataCopy(b, zGm[(row - 1) * WIDTH], WIDTH);
            SetFlag<HardEvent::MTE2_V>(0);
            WaitFlag<HardEvent::MTE2_V>(0);
            Add(a, a, b, WIDTH);
            SetFlag<HardEvent::V_MTE3>(0);
            WaitFlag<HardEvent::V_MTE3>(0);
        }
        else {
            SetFlag<HardEvent::MTE2_MTE3>(0);
            WaitFlag<HardEvent::MTE2_MTE3>(0);
        }
        DataCopy(zGm[row * WIDTH], a, WIDTH);
        if (blocks > 1 && row + 1 < rows) {
            IBSet(flagGm, sync, block, 0);
        } else {
            PipeBarrier<PIPE_ALL>();
        }
    }
    SyncAll(flagGm[512], sync);
    for (int64_t row = block; row < rows; row += blocks) {
        DataCopy(b, zGm[(rows - 1) * WIDTH], WIDTH);
        SetFlag<HardEvent::MTE2_MTE3>(0);
        WaitFlag<HardEvent::MTE2_MTE3>(0);
        DataCopy(lastGm[row * WIDTH], b, WIDTH);
        SetFlag<HardEvent::MTE3_MTE2>(0);
        WaitFlag<HardEvent::MTE3_MTE2>(0);
    }
    PipeBarrier<PIPE_ALL>();
}
