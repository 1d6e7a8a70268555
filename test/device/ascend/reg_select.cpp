// y = x where |x| < limit, else twice y of before; and of each register how many were kept, by a store of one element.
#include "kernel_operator.h"
using namespace AscendC;

__simd_vf__ inline void KeepSmall(__ubuf__ float* y, __ubuf__ float* counts, __ubuf__ float* x, float limit, uint16_t times)
{
    Reg::RegTensor<float> value, other, size, kept, one, zero;
    Reg::MaskReg all = Reg::CreateMask<float>();
    Reg::MaskReg isSmall, isPositive, both;
    Reg::Duplicate(one, 1.0f, all);
    Reg::Duplicate(zero, 0.0f, all);
    for (uint16_t i = 0; i < times; i++) {
        Reg::AddrReg offset = Reg::CreateAddrReg<float>(i, 64);
        Reg::LoadAlign(value, x, offset);
        Reg::LoadAlign(other, y, offset);
        Reg::Abs(size, value, all);
        Reg::Compares<float, CMPMODE::LT>(isSmall, size, limit, all);
        Reg::Compare<float, CMPMODE::GE>(isPositive, value, zero, all);
        Reg::And(both, isSmall, isPositive, all);
        Reg::Muls(other, other, 2.0f, all);
        Reg::Select(other, value, other, isSmall);
        Reg::StoreAlign(y, other, offset, all);
        Reg::Select(kept, one, zero, both);
        Reg::Reduce<Reg::ReduceType::SUM>(kept, kept, all);
        Reg::StoreAlign<float, Reg::StoreDist::DIST_FIRST_ELEMENT_B32>(counts + i, kept, all);
    }
}

extern "C" __global__ __aicore__ void reg_select(GM_ADDR x, GM_ADDR y, GM_ADDR counts, float limit)
{
    GlobalTensor<float> xGm, yGm, countsGm;
    xGm.SetGlobalBuffer((__gm__ float*)x, 512);
    yGm.SetGlobalBuffer((__gm__ float*)y, 512);
    countsGm.SetGlobalBuffer((__gm__ float*)counts, 8);
    LocalTensor<float> a(TPosition::VECIN, 0, 512);
    LocalTensor<float> b(TPosition::VECCALC, 2048, 512);
    LocalTensor<float> c(TPosition::VECOUT, 4096, 8);
    if (GetBlockIdx() > 0) return;
    DataCopy(a, xGm, 512);
    DataCopy(b, yGm, 512);
    SetFlag<HardEvent::MTE2_V>(0);
    WaitFlag<HardEvent::MTE2_V>(0);
    asc_vf_call<KeepSmall>((__ubuf__ float*)b.GetPhyAddr(), (__ubuf__ float*)c.GetPhyAddr(), (__ubuf__ float*)a.GetPhyAddr(), limit, uint16_t(8));
    SetFlag<HardEvent::V_MTE3>(0);
    WaitFlag<HardEvent::V_MTE3>(0);
    DataCopy(yGm, b, 512);
    DataCopy(countsGm, c, 8);
    PipeBarrier<PIPE_ALL>();
}
