// Softmax of float rows, eight rows at a time: strided copy in, reductions per row, broadcast back by Brcb.
#include "kernel_operator.h"
using namespace AscendC;

constexpr uint32_t ROWS = 8;
constexpr uint32_t WIDTH = 64;

extern "C" __global__ __aicore__ void softmax(GM_ADDR x, GM_ADDR y, int64_t rows, int64_t cols, int64_t pitch)
{
    GlobalTensor<float> xGm, yGm;
    xGm.SetGlobalBuffer((__gm__ float*)x, rows * pitch);
    yGm.SetGlobalBuffer((__gm__ float*)y, rows * cols);
    LocalMemAllocator<Hardware::UB> allocator;
    LocalTensor<float> in = allocator.Alloc<float, ROWS * WIDTH>();
    LocalTensor<float> out = allocator.Alloc<float, ROWS * WIDTH>();
    LocalTensor<float> rowValue = allocator.Alloc<float, ROWS>();
    LocalTensor<float> rowBlock = allocator.Alloc<float, ROWS * 8>();
    SetFlag<HardEvent::V_MTE2>(EVENT_ID0);
    SetFlag<HardEvent::MTE3_V>(EVENT_ID0);
    for (int64_t first = GetBlockIdx() * ROWS; first < rows; first += GetBlockNum() * ROWS) {
        uint16_t count = rows - first < ROWS ? rows - first : ROWS;
        WaitFlag<HardEvent::V_MTE2>(EVENT_ID0);
        Duplicate(in, -10000.0f, ROWS * WIDTH);
        SetFlag<HardEvent::V_MTE2>(EVENT_ID1);
        WaitFlag<HardEvent::V_MTE2>(EVENT_ID1);
        uint32_t rest = (WIDTH - cols) / 8;
        DataCopyPadExtParams<float> pad{true, 0, static_cast<uint8_t>((8 - cols % 8) % 8), -10000.0f};
        DataCopyPad(in, xGm[first * pitch], {count, static_cast<uint32_t>(cols * sizeof(float)), static_cast<uint32_t>((pitch - cols) * sizeof(float)), rest, 0}, pad);
        SetFlag<HardEvent::MTE2_V>(EVENT_ID0);
        WaitFlag<HardEvent::MTE2_V>(EVENT_ID0);
        WholeReduceMax(rowValue, in, WIDTH, ROWS, 1, 1, 8, ReduceOrder::ORDER_ONLY_VALUE);
        PipeBarrier<PIPE_V>();
        Brcb(rowBlock, rowValue, 1, {1, 8});
        PipeBarrier<PIPE_V>();
        WaitFlag<HardEvent::MTE3_V>(EVENT_ID0);
        Sub(out, in, rowBlock, WIDTH, ROWS, {1, 1, 0, 8, 8, 1});
        PipeBarrier<PIPE_V>();
        SetFlag<HardEvent::V_MTE2>(EVENT_ID0);
        Exp(out, out, ROWS * WIDTH);
        PipeBarrier<PIPE_V>();
        WholeReduceSum(rowValue, out, WIDTH, ROWS, 1, 1, 8);
        PipeBarrier<PIPE_V>();
        Brcb(rowBlock, rowValue, 1, {1, 8});
        PipeBarrier<PIPE_V>();
        Div(out, out, rowBlock, WIDTH, ROWS, {1, 1, 0, 8, 8, 1});
        SetFlag<HardEvent::V_MTE3>(EVENT_ID0);
        WaitFlag<HardEvent::V_MTE3>(EVENT_ID0);
        DataCopyPad(yGm[first * cols], out, {count, static_cast<uint32_t>(cols * sizeof(float)), rest, 0, 0});
        SetFlag<HardEvent::MTE3_V>(EVENT_ID0);
    }
    WaitFlag<HardEvent::V_MTE2>(EVENT_ID0);
    WaitFlag<HardEvent::MTE3_V>(EVENT_ID0);
    PipeBarrier<PIPE_ALL>();
}
