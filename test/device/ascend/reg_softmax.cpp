// Softmax of rows: the largest and the sum by reductions of a register, the exponentials in UB between two passes.
#include "kernel_operator.h"
using namespace AscendC;

constexpr uint32_t WIDTH = 200, PITCH = 256;

__simd_vf__ inline void SoftmaxRow(__ubuf__ float* y, __ubuf__ float* x)
{
    using namespace AscendC::Reg;
    RegTensor<float> part, top, best, sum, one;
    MaskReg all = CreateMask<float, MaskPattern::ALL>();
    MaskReg first = CreateMask<float, MaskPattern::VL1>();
    MaskReg mask;
    Duplicate(best, -3.0e38f);
    uint32_t left = WIDTH;
    for (uint16_t i = 0; i < 4; i++) {
        mask = UpdateMask<float>(left);
        LoadAlign(part, x + i * 64);
        Reduce<ReduceType::MAX>(top, part, mask);
        Max(best, best, top, first);
    }
    Duplicate(best, best, all);
    Duplicate(sum, 0.0f);
    left = WIDTH;
    for (uint16_t i = 0; i < 4; i++) {
        mask = UpdateMask<float>(left);
        LoadAlign(part, x + i * 64);
        ExpSub(part, part, best, mask);
        Reduce<ReduceType::SUM>(one, part, mask);
        Add(sum, sum, one, first);
        StoreAlign(y + i * 64, part, mask);
    }
    Duplicate(sum, sum, all);
    LocalMemBar<MemType::VEC_STORE, MemType::VEC_LOAD>();
    left = WIDTH;
    for (uint16_t i = 0; i < 4; i++) {
        mask = UpdateMask<float>(left);
        LoadAlign(top, y + i * 64);
        Div(top, top, sum, mask);
        StoreAlign(y + i * 64, top, mask);
    }
}

extern "C" __global__ __aicore__ void reg_softmax(GM_ADDR x, GM_ADDR y, int64_t rows)
{
    GlobalTensor<float> xGm, yGm;
    xGm.SetGlobalBuffer((__gm__ float*)x, rows * WIDTH);
    yGm.SetGlobalBuffer((__gm__ float*)y, rows * WIDTH);
    TPipe pipe;
    TQue<TPosition::VECIN, 1> in;
    TQue<TPosition::VECOUT, 1> out;
    pipe.InitBuffer(in, 2, PITCH * sizeof(float));
    pipe.InitBuffer(out, 2, PITCH * sizeof(float));
    DataCopyExtParams row{1, WIDTH * sizeof(float), 0, 0, 0};
    DataCopyPadExtParams<float> pad{false, 0, 0, 0};
    for (int64_t r = GetBlockIdx(); r < rows; r += GetBlockNum()) {
        LocalTensor<float> a = in.AllocTensor<float>();
        DataCopyPad(a, xGm[r * WIDTH], row, pad);
        in.EnQue(a);
        a = in.DeQue<float>();
        LocalTensor<float> b = out.AllocTensor<float>();
        asc_vf_call<SoftmaxRow>((__ubuf__ float*)b.GetPhyAddr(), (__ubuf__ float*)a.GetPhyAddr());
        out.EnQue(b);
        in.FreeTensor(a);
        b = out.DeQue<float>();
        DataCopyPad(yGm[r * WIDTH], b, row);
        out.FreeTensor(b);
    }
}
