// z = x + y for any number of elements, a register at a time; the last register of a block takes a part by its mask.
#include "kernel_operator.h"
using namespace AscendC;

constexpr uint32_t LANES = 256 / sizeof(float);

template <typename T>
__simd_vf__ inline void AddRegisters(__ubuf__ T* z, __ubuf__ T* x, __ubuf__ T* y, uint32_t left, uint16_t times)
{
    Reg::RegTensor<T> a, b, c;
    for (uint16_t i = 0; i < times; i++) {
        Reg::MaskReg mask = Reg::UpdateMask<T>(left);
        Reg::LoadAlign(a, x + i * LANES);
        Reg::LoadAlign(b, y + i * LANES);
        Reg::Add(c, a, b, mask);
        Reg::StoreAlign(z + i * LANES, c, mask);
    }
}

extern "C" __global__ __aicore__ void reg_add(GM_ADDR x, GM_ADDR y, GM_ADDR z, int64_t total)
{
    GlobalTensor<float> xGm, yGm, zGm;
    xGm.SetGlobalBuffer((__gm__ float*)x, total);
    yGm.SetGlobalBuffer((__gm__ float*)y, total);
    zGm.SetGlobalBuffer((__gm__ float*)z, total);
    LocalTensor<float> a(TPosition::VECIN, 0, 1000);
    LocalTensor<float> b(TPosition::VECIN, 4096, 1000);
    LocalTensor<float> c(TPosition::VECOUT, 8192, 1000);
    SetFlag<HardEvent::MTE3_V>(0);
    SetFlag<HardEvent::V_MTE2>(0);
    for (int64_t at = GetBlockIdx() * 1000; at < total; at += GetBlockNum() * 1000) {
        uint32_t count = total - at < 1000 ? total - at : 1000;
        DataCopyExtParams row{1, uint32_t(count * sizeof(float)), 0, 0, 0};
        DataCopyPadExtParams<float> pad{false, 0, 0, 0};
        WaitFlag<HardEvent::V_MTE2>(0);
        DataCopyPad(a, xGm[at], row, pad);
        DataCopyPad(b, yGm[at], row, pad);
        SetFlag<HardEvent::MTE2_V>(0);
        WaitFlag<HardEvent::MTE2_V>(0);
        WaitFlag<HardEvent::MTE3_V>(0);
        asc_vf_call<AddRegisters<float>>((__ubuf__ float*)c.GetPhyAddr(), (__ubuf__ float*)a.GetPhyAddr(), (__ubuf__ float*)b.GetPhyAddr(), count, uint16_t((count + LANES - 1) / LANES));
        SetFlag<HardEvent::V_MTE2>(0);
        SetFlag<HardEvent::V_MTE3>(0);
        WaitFlag<HardEvent::V_MTE3>(0);
        DataCopyPad(zGm[at], c, row);
        SetFlag<HardEvent::MTE3_V>(0);
    }
    WaitFlag<HardEvent::V_MTE2>(0);
    WaitFlag<HardEvent::MTE3_V>(0);
    PipeBarrier<PIPE_ALL>();
}
