// y = 2x + 1 of bf16, computed in float: half a register of bf16 is unpacked, widened, narrowed again and packed.
#include "kernel_operator.h"
using namespace AscendC;

constexpr Reg::CastTrait WIDEN = {Reg::RegLayout::ZERO, Reg::SatMode::UNKNOWN, Reg::MaskMergeMode::ZEROING, RoundMode::UNKNOWN};
constexpr Reg::CastTrait NARROW = {Reg::RegLayout::ZERO, Reg::SatMode::NO_SAT, Reg::MaskMergeMode::ZEROING, RoundMode::CAST_RINT};

extern "C" __global__ __aicore__ void reg_cast(GM_ADDR x, GM_ADDR y, int64_t total)
{
    GlobalTensor<bfloat16_t> xGm, yGm;
    xGm.SetGlobalBuffer((__gm__ bfloat16_t*)x, total);
    yGm.SetGlobalBuffer((__gm__ bfloat16_t*)y, total);
    LocalTensor<bfloat16_t> a(TPosition::VECIN, 0, 512);
    LocalTensor<bfloat16_t> b(TPosition::VECOUT, 1024, 512);
    SetFlag<HardEvent::MTE3_V>(1);
    SetFlag<HardEvent::V_MTE2>(1);
    for (int64_t at = GetBlockIdx() * 512; at < total; at += GetBlockNum() * 512) {
        uint32_t count = total - at < 512 ? total - at : 512;
        WaitFlag<HardEvent::V_MTE2>(1);
        DataCopyPad(a, xGm[at], {1, uint32_t(count * 2), 0, 0, 0}, {false, 0, 0, bfloat16_t()});
        SetFlag<HardEvent::MTE2_V>(1);
        WaitFlag<HardEvent::MTE2_V>(1);
        WaitFlag<HardEvent::MTE3_V>(1);
        __ubuf__ bfloat16_t* from = (__ubuf__ bfloat16_t*)a.GetPhyAddr();
        __ubuf__ bfloat16_t* to = (__ubuf__ bfloat16_t*)b.GetPhyAddr();
        uint32_t left = count;
        uint16_t times = (count + 63) / 64;
        __VEC_SCOPE__
        {
            MicroAPI::RegTensor<bfloat16_t> narrow;
            MicroAPI::RegTensor<float> wide;
            for (uint16_t i = 0; i < times; i++) {
                MicroAPI::MaskReg mask = MicroAPI::UpdateMask<float>(left);
                MicroAPI::DataCopy<bfloat16_t, MicroAPI::PostLiteral::POST_MODE_UPDATE, MicroAPI::LoadDist::DIST_UNPACK_B16>(narrow, from, 64);
                MicroAPI::Cast<float, bfloat16_t, WIDEN>(wide, narrow, mask);
                MicroAPI::Muls(wide, wide, 2.0f, mask);
                MicroAPI::Adds(wide, wide, 1.0f, mask);
                MicroAPI::Cast<bfloat16_t, float, NARROW>(narrow, wide, mask);
                MicroAPI::DataCopy<bfloat16_t, MicroAPI::PostLiteral::POST_MODE_UPDATE, MicroAPI::StoreDist::DIST_PACK_B32>(to, narrow, 64, mask);
            }
        }
        SetFlag<HardEvent::V_MTE2>(1);
        SetFlag<HardEvent::V_MTE3>(1);
        WaitFlag<HardEvent::V_MTE3>(1);
        DataCopyPad(yGm[at], b, {1, uint32_t(count * 2), 0, 0, 0});
        SetFlag<HardEvent::MTE3_V>(1);
    }
    WaitFlag<HardEvent::V_MTE2>(1);
    WaitFlag<HardEvent::MTE3_V>(1);
    PipeBarrier<PIPE_ALL>();
}
