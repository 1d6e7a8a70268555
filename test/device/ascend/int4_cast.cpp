// q = x in int4 (two a byte), r = q in half again; whole tiles of 128 numbers.
#include "kernel_operator.h"
using namespace AscendC;

constexpr int TILE = 128;

extern "C" __global__ __aicore__ void int4_cast(GM_ADDR x, GM_ADDR q, GM_ADDR r, int64_t tiles)
{
    GlobalTensor<half> xGm, rGm;
    GlobalTensor<int8_t> qGm;
    xGm.SetGlobalBuffer((__gm__ half*)x, tiles * TILE);
    qGm.SetGlobalBuffer((__gm__ int8_t*)q, tiles * TILE / 2);
    rGm.SetGlobalBuffer((__gm__ half*)r, tiles * TILE);
    TPipe pipe;
    TQue<TPosition::VECIN, 1> in;
    TQue<TPosition::VECOUT, 1> packed, back;
    pipe.InitBuffer(in, 2, TILE * sizeof(half));
    pipe.InitBuffer(packed, 2, TILE / 2);
    pipe.InitBuffer(back, 2, TILE * sizeof(half));
    for (int64_t t = GetBlockIdx(); t < tiles; t += GetBlockNum()) {
        LocalTensor<half> xLocal = in.AllocTensor<half>();
        DataCopy(xLocal, xGm[t * TILE], TILE);
        in.EnQue(xLocal);
        xLocal = in.DeQue<half>();
        LocalTensor<int8_t> bytes = packed.AllocTensor<int8_t>();
        LocalTensor<half> rLocal = back.AllocTensor<half>();
        LocalTensor<int4b_t> codes = bytes.ReinterpretCast<int4b_t>();
        Cast(codes, xLocal, RoundMode::CAST_RINT, TILE);
        PipeBarrier<PIPE_V>();
        Cast(rLocal, codes, RoundMode::CAST_NONE, TILE);
        packed.EnQue(bytes);
        back.EnQue(rLocal);
        in.FreeTensor(xLocal);
        bytes = packed.DeQue<int8_t>();
        rLocal = back.DeQue<half>();
        DataCopy(qGm[t * TILE / 2], bytes, TILE / 2);
        DataCopy(rGm[t * TILE], rLocal, TILE);
        packed.FreeTensor(bytes);
        back.FreeTensor(rLocal);
    }
}
