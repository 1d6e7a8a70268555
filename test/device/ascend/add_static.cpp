// z = x + y in float: addresses and flags by hand, two buffers each, any length.
#include "kernel_operator.h"
using namespace AscendC;

constexpr uint32_t TILE = 256;

extern "C" __global__ __aicore__ void add_static(GM_ADDR x, GM_ADDR y, GM_ADDR z, int64_t n)
{
    InitSocState();
    GlobalTensor<float> xGm, yGm, zGm;
    xGm.SetGlobalBuffer((__gm__ float*)x, n);
    yGm.SetGlobalBuffer((__gm__ float*)y, n);
    zGm.SetGlobalBuffer((__gm__ float*)z, n);
    LocalTensor<float> xLocal[2] = {LocalTensor<float>(TPosition::VECIN, 0, TILE), LocalTensor<float>(TPosition::VECIN, 1024, TILE)};
    LocalTensor<float> yLocal[2] = {LocalTensor<float>(TPosition::VECIN, 2048, TILE), LocalTensor<float>(TPosition::VECIN, 3072, TILE)};
    LocalTensor<float> zLocal[2] = {LocalTensor<float>(TPosition::VECOUT, 4096, TILE), LocalTensor<float>(TPosition::VECOUT, 5120, TILE)};

    SetFlag<HardEvent::V_MTE2>(EVENT_ID0);
    SetFlag<HardEvent::V_MTE2>(EVENT_ID1);
    SetFlag<HardEvent::MTE3_V>(EVENT_ID0);
    SetFlag<HardEvent::MTE3_V>(EVENT_ID1);
    int64_t tiles = (n + TILE - 1) / TILE;
    int32_t turn = 0;
    for (int64_t t = GetBlockIdx(); t < tiles; t += GetBlockNum()) {
        int32_t b = turn & 1;
        uint32_t len = n - t * TILE < TILE ? n - t * TILE : TILE;
        DataCopyExtParams copy{1, static_cast<uint32_t>(len * sizeof(float)), 0, 0, 0};
        DataCopyPadExtParams<float> pad{false, 0, 0, 0};
        WaitFlag<HardEvent::V_MTE2>(b);
        DataCopyPad(xLocal[b], xGm[t * TILE], copy, pad);
        DataCopyPad(yLocal[b], yGm[t * TILE], copy, pad);
        SetFlag<HardEvent::MTE2_V>(b);
        WaitFlag<HardEvent::MTE2_V>(b);
        WaitFlag<HardEvent::MTE3_V>(b);
        Add(zLocal[b], xLocal[b], yLocal[b], len);
        SetFlag<HardEvent::V_MTE2>(b);
        SetFlag<HardEvent::V_MTE3>(b);
        WaitFlag<HardEvent::V_MTE3>(b);
        DataCopyPad(zGm[t * TILE], zLocal[b], copy);
        SetFlag<HardEvent::MTE3_V>(b);
        turn++;
    }
    WaitFlag<HardEvent::V_MTE2>(EVENT_ID0);
    WaitFlag<HardEvent::V_MTE2>(EVENT_ID1);
    WaitFlag<HardEvent::MTE3_V>(EVENT_ID0);
    WaitFlag<HardEvent::MTE3_V>(EVENT_ID1);
    PipeBarrier<PIPE_ALL>();
}
