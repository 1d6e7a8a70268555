// The 16 largest of each row of 128 floats, with their columns: Sort32, one four-way merge, scores and columns apart.
#include "kernel_operator.h"
using namespace AscendC;

constexpr uint32_t WIDTH = 128;
constexpr uint32_t TOP = 16;

extern "C" __global__ __aicore__ void topk(GM_ADDR x, GM_ADDR values, GM_ADDR columns, int64_t rows)
{
    GlobalTensor<float> xGm, valueGm;
    GlobalTensor<int32_t> columnGm;
    xGm.SetGlobalBuffer((__gm__ float*)x, rows * WIDTH);
    valueGm.SetGlobalBuffer((__gm__ float*)values, rows * TOP);
    columnGm.SetGlobalBuffer((__gm__ int32_t*)columns, rows * TOP);
    LocalTensor<float> scores(TPosition::VECIN, 0, WIDTH);
    LocalTensor<int32_t> index(TPosition::VECCALC, 512, WIDTH);
    LocalTensor<float> sorted(TPosition::VECCALC, 1024, 2 * WIDTH);
    LocalTensor<float> merged(TPosition::VECCALC, 2048, 2 * WIDTH);
    LocalTensor<float> best(TPosition::VECOUT, 3072, TOP);
    LocalTensor<int32_t> bestColumn(TPosition::VECOUT, 3136, TOP);
    CreateVecIndex(index, 0, WIDTH);
    SetFlag<HardEvent::V_MTE2>(EVENT_ID0);
    SetFlag<HardEvent::MTE3_V>(EVENT_ID0);
    for (int64_t row = GetBlockIdx(); row < rows; row += GetBlockNum()) {
        WaitFlag<HardEvent::V_MTE2>(EVENT_ID0);
        DataCopy(scores, xGm[row * WIDTH], WIDTH);
        SetFlag<HardEvent::MTE2_V>(EVENT_ID0);
        WaitFlag<HardEvent::MTE2_V>(EVENT_ID0);
        Sort32(sorted, scores, index.ReinterpretCast<uint32_t>(), WIDTH / 32);
        PipeBarrier<PIPE_V>();
        SetFlag<HardEvent::V_MTE2>(EVENT_ID0);
        uint16_t lengths[4] = {32, 32, 32, 32};
        MrgSort4Info info(lengths, false, 15, 1);
        MrgSort(merged, MrgSortSrcList<float>(sorted, sorted[64], sorted[128], sorted[192]), info);
        PipeBarrier<PIPE_V>();
        WaitFlag<HardEvent::MTE3_V>(EVENT_ID0);
        uint64_t taken = 0;
        GatherMask(best, merged, 1, true, 2 * TOP, {1, 1, 8, 0}, taken);
        GatherMask(bestColumn, merged.ReinterpretCast<int32_t>(), 2, true, 2 * TOP, {1, 1, 8, 0}, taken);
        SetFlag<HardEvent::V_MTE3>(EVENT_ID0);
        WaitFlag<HardEvent::V_MTE3>(EVENT_ID0);
        DataCopy(valueGm[row * TOP], best, TOP);
        DataCopy(columnGm[row * TOP], bestColumn, TOP);
        SetFlag<HardEvent::MTE3_V>(EVENT_ID0);
    }
    WaitFlag<HardEvent::V_MTE2>(EVENT_ID0);
    WaitFlag<HardEvent::MTE3_V>(EVENT_ID0);
    PipeBarrier<PIPE_ALL>();
}
