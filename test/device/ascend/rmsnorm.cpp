// out = x / sqrt(mean(x^2) + eps) * w by rows; x and out are bf16, w is float. Columns are padded to 16 with zeros.
#include "kernel_operator.h"
using namespace AscendC;

class RmsNorm {
public:
    __aicore__ inline RmsNorm(GM_ADDR x, GM_ADDR w, GM_ADDR out, int64_t rows, int64_t cols, float eps) : rows(rows), cols(cols), eps(eps)
    {
        padded = (cols + 15) / 16 * 16;
        xGm.SetGlobalBuffer((__gm__ bfloat16_t*)x, rows * cols);
        outGm.SetGlobalBuffer((__gm__ bfloat16_t*)out, rows * cols);
        wGm.SetGlobalBuffer((__gm__ float*)w, cols);
        pipe.InitBuffer(inQueue, 2, padded * sizeof(bfloat16_t));
        pipe.InitBuffer(outQueue, 2, padded * sizeof(bfloat16_t));
        pipe.InitBuffer(weightBuf, padded * sizeof(float));
        pipe.InitBuffer(xBuf, padded * sizeof(float));
        pipe.InitBuffer(squareBuf, padded * sizeof(float));
        pipe.InitBuffer(sumBuf, 32);
        pipe.InitBuffer(workBuf, 256);
    }
    __aicore__ inline void Process()
    {
        LocalTensor<float> weight = weightBuf.Get<float>();
        DataCopyPad(weight, wGm, {1, static_cast<uint32_t>(cols * sizeof(float)), 0, 0, 0}, {false, 0, 0, 0});
        for (int64_t row = GetBlockIdx(); row < rows; row += GetBlockNum()) {
            Load(row);
            Compute(weight);
            Store(row);
        }
    }

private:
    __aicore__ inline void Load(int64_t row)
    {
        LocalTensor<bfloat16_t> x = inQueue.AllocTensor<bfloat16_t>();
        DataCopyExtParams copy{1, static_cast<uint32_t>(cols * sizeof(bfloat16_t)), 0, 0, 0};
        DataCopyPadExtParams<bfloat16_t> pad{true, 0, static_cast<uint8_t>(padded - cols), bfloat16_t(0.0f)};
        DataCopyPad(x, xGm[row * cols], copy, pad);
        inQueue.EnQue(x);
    }
    __aicore__ inline void Compute(LocalTensor<float>& weight)
    {
        LocalTensor<float> xf = xBuf.Get<float>(), square = squareBuf.Get<float>(), sum = sumBuf.Get<float>(), work = workBuf.Get<float>();
        LocalTensor<bfloat16_t> x = inQueue.DeQue<bfloat16_t>();
        Cast(xf, x, RoundMode::CAST_NONE, padded);
        PipeBarrier<PIPE_V>();
        inQueue.FreeTensor(x);
        Mul(square, xf, xf, padded);
        PipeBarrier<PIPE_V>();
        ReduceSum(sum, square, work, padded);
        event_t summed = static_cast<event_t>(GetTPipePtr()->FetchEventID(HardEvent::V_S));
        SetFlag<HardEvent::V_S>(summed);
        WaitFlag<HardEvent::V_S>(summed);
        float scale = 1.0f / sqrt(sum.GetValue(0) / cols + eps);
        Muls(xf, xf, scale, cols);
        PipeBarrier<PIPE_V>();
        Mul(xf, xf, weight, cols);
        PipeBarrier<PIPE_V>();
        LocalTensor<bfloat16_t> out = outQueue.AllocTensor<bfloat16_t>();
        Cast(out, xf, RoundMode::CAST_RINT, cols);
        PipeBarrier<PIPE_V>();
        outQueue.EnQue(out);
    }
    __aicore__ inline void Store(int64_t row)
    {
        LocalTensor<bfloat16_t> out = outQueue.DeQue<bfloat16_t>();
        DataCopyPad(outGm[row * cols], out, {1, static_cast<uint32_t>(cols * sizeof(bfloat16_t)), 0, 0, 0});
        outQueue.FreeTensor(out);
    }

    TPipe pipe;
    TQue<TPosition::VECIN, 2> inQueue;
    TQue<TPosition::VECOUT, 2> outQueue;
    TBuf<TPosition::VECCALC> weightBuf, xBuf, squareBuf, sumBuf, workBuf;
    GlobalTensor<bfloat16_t> xGm, outGm;
    GlobalTensor<float> wGm;
    int64_t rows, cols, padded;
    float eps;
};

extern "C" __global__ __aicore__ void rmsnorm(GM_ADDR x, GM_ADDR w, GM_ADDR out, int64_t rows, int64_t cols, float eps)
{
    RmsNorm op(x, w, out, rows, cols, eps);
    op.Process();
}
