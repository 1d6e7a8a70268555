// What a vector function may do, one case each: y says what came of it, or the case breaks a rule.
#include "kernel_operator.h"
using namespace AscendC;

constexpr uint32_t N = 512;
constexpr Reg::CastTrait EVEN = {Reg::RegLayout::ZERO, Reg::SatMode::NO_SAT, Reg::MaskMergeMode::ZEROING, RoundMode::CAST_RINT};
constexpr Reg::CastTrait ODD = {Reg::RegLayout::ONE, Reg::SatMode::NO_SAT, Reg::MaskMergeMode::ZEROING, RoundMode::CAST_RINT};
constexpr Reg::CastTrait MERGED = {Reg::RegLayout::ONE, Reg::SatMode::NO_SAT, Reg::MaskMergeMode::MERGING, RoundMode::CAST_RINT};
constexpr Reg::CastTrait QUARTER = {Reg::RegLayout::ZERO, Reg::SatMode::NO_SAT, Reg::MaskMergeMode::ZEROING, RoundMode::CAST_TRUNC};

__simd_callee__ inline void Keep(__ubuf__ float* y, Reg::RegTensor<float>& r)
{
    Reg::MaskReg all = Reg::CreateMask<float>();
    Reg::StoreAlign(y, r, all);
}

__simd_vf__ inline void Case(__ubuf__ float* y, __ubuf__ float* x, int32_t rule, uint32_t count)
{
    using namespace AscendC::Reg;
    RegTensor<float> a, b, c;
    RegTensor<half> h;
    RegTensor<int32_t> i;
    MaskReg all = CreateMask<float>();
    MaskReg some = UpdateMask<float>(count);
    MaskReg found;
    switch (rule) {
        case 1: LoadAlign<float, LoadDist::DIST_BRC_B32>(a, x + 3); Keep(y, a); break;
        case 2: LoadAlign<float, LoadDist::DIST_DINTLV_B32>(a, b, x); Sub(b, b, a, all); Keep(y, b); Keep(y + 64, a); break;
        case 3: LoadAlign(a, x); LoadAlign(b, x + 64); StoreAlign<float, StoreDist::DIST_INTLV_B32>(y, a, b, all); break;
        case 4: LoadAlign(a, x); LoadAlign(b, x + 64); Interleave(a, b, a, b); Keep(y, a); DeInterleave(a, b, a, b); Keep(y + 64, b); break;
        case 5: LoadAlign<float, LoadDist::DIST_E2B_B32>(a, x); Keep(y, a); LoadAlign<float, LoadDist::DIST_BLK>(a, x); Keep(y + 64, a); break;
        case 6: LoadAlign(a, x); ReduceDataBlock<ReduceType::MAX>(b, a, all); Keep(y, b); Reduce<ReduceType::MIN>(b, a, some); StoreAlign<float, StoreDist::DIST_FIRST_ELEMENT_B32>(y + 64, b, all); break;
        case 7: LoadAlign(a, x); Duplicate<float, MaskMergeMode::MERGING>(a, 5.0f, some); Keep(y, a); Adds(a, a, 1.0f, some); Keep(y + 64, a); break;
        case 8: LoadAlign(a, x); LoadAlign(b, x + 64); Cast<half, float, EVEN>(h, a, all); Cast<half, float, MERGED>(h, b, all); Cast<float, half, EVEN>(b, h, all); Keep(y, b); Cast<float, half, ODD>(c, h, all); Keep(y + 64, c); break;
        case 9: LoadAlign(a, x); Cast<int32_t, float, QUARTER>(i, a, all); Muls(i, i, 3, all); Cast<float, int32_t, EVEN>(a, i, all); Keep(y, a); break;
        case 10: {
            UnalignRegForLoad in;
            UnalignRegForStore out;
            __ubuf__ float* to = y + 1;
            LoadUnAlignPre(in, x + 5);
            LoadUnAlign(a, in, x + 5);
            StoreUnAlign(to, a, out, 10);
            StoreUnAlignPost(to, out, 0);
            break;
        }
        case 11: {
            __ubuf__ float* from = x;
            LoadAlign<float, DataCopyMode::DATA_BLOCK_COPY, PostLiteral::POST_MODE_UPDATE>(a, from, 2, 1, all);
            LoadAlign<float, DataCopyMode::DATA_BLOCK_COPY>(b, from, 1, all);
            Keep(y, a);
            Keep(y + 64, b);
            break;
        }
        // A mask that numbers decide: only the lanes it has are written.
        case 12: Duplicate(a, -1.0f); Keep(y, a); LoadAlign(b, x); Compares<float, CMPMODE::GT>(found, b, 2.0f, some); LocalMemBar<MemType::VEC_STORE, MemType::VEC_STORE>(); StoreAlign(y, b, found); break;
        case 13: LoadAlign(a, x); Compares<float, CMPMODE::GT>(found, a, 60.0f, all); Not(found, found, all); Select(b, a, a, found); Muls(b, b, 2.0f, found); Keep(y, b); break;
        case 14: LoadAlign(a, x); Duplicate(b, 2.0f); Duplicate(c, 1.0f); MulAddDst(c, a, b, all); Keep(y, c); MulDstAdd(c, b, a, all); Keep(y + 64, c); break;
        // In place, where each value stored was loaded from there, and another register over what was stored there.
        case 15: for (uint16_t n = 0; n < 4; n++) { LoadAlign(a, x + n * 64); Adds(b, a, 1.0f, all); StoreAlign(x + n * 64, b, all); } LocalMemBar<MemType::VEC_STORE, MemType::VEC_LOAD>(); LoadAlign(c, x + 64); Keep(y, c); break;
        case 16: LoadAlign(a, x); Keep(y, a); LoadAlign(b, y); Keep(y + 64, b); break;
        case 17: LoadAlign(a, x); LoadAlign(b, x + 64); StoreAlign(x, b, all); Keep(y, a); break;
        case 18: LoadAlign(a, x); LoadAlign(b, x + 64); StoreAlign(y, a, all); StoreAlign(y, b, all); break;
        case 19: LoadAlign(a, x); Keep(y, a); LoadAlign(a, y); Keep(y + 64, a); break;
        case 20: LoadAlign(a, x + 4); Keep(y, a); break;
        case 21: LoadAlign(a, x + 3 * N); Keep(y, a); break;
        case 22: LoadAlign(a, x); StoreAlign(y + N - 32, a, all); break;
        case 23: LoadAlign(a, x + N - 32); Keep(y, a); break;
        case 24: LoadAlign(a, x + N - 32); Keep(y, a); Adds(a, a, 0.0f, some); Keep(y, a); break;
        case 25: Adds(a, b, 1.0f, some); Keep(y, a); break;
        case 26: LoadAlign(a, x); StoreAlign(y, a, found); break;
        case 27: { UnalignRegForStore out; __ubuf__ float* to = y + 1; LoadAlign(a, x); StoreUnAlign(to, a, out, 10); break; }
        case 28: { UnalignRegForLoad in; LoadUnAlign(a, in, x + 5); Keep(y, a); break; }
        case 29: if (x[1] == 1.0f) { LoadAlign(a, x); Keep(y, a); } break;
        case 30: LoadAlign(a, x); Duplicate(b, 2.0f); for (uint16_t n = 0; n < 64; n++) { Add(a, a, b, all); } Keep(y, a); break;
        case 34: Arange(i, 7); Cast<float, int32_t, EVEN>(a, i, all); Keep(y, a); LoadAlign(b, x); Axpy(b, a, 2.0f, all); Keep(y + 64, b); break;
        case 35: LoadAlign(a, x); Adds(a, a, -32.0f, all); LeakyRelu(a, a, 0.5f, all); Keep(y, a); break;
        // Every second of 64 numbers; then by a place in the register.
        case 36: Arange(i, 0); Muls(i, i, 2, all); Gather(a, x + 1, (RegTensor<uint32_t>&)i, all); Keep(y, a); Arange(i, -63); Muls(i, i, -1, all); Gather(b, a, (RegTensor<uint32_t>&)i); Keep(y + 64, b); break;
        case 37: Arange(i, 500); Gather(a, x, (RegTensor<uint32_t>&)i, all); Keep(y, a); break;
        // The first ten of a 16-bit mask, of 32 bits.
        case 38: { uint32_t ten = 10; found = UpdateMask<half>(ten); UnPack(found, found); LoadAlign(a, x); Adds(a, a, 1.0f, found); Keep(y, a); Pack(found, found); LoadAlign(b, x); Cast<half, float, EVEN>(h, b, all); Adds(h, h, half(1), found); Cast<float, half, EVEN>(b, h, all); Keep(y + 64, b); break; }
        case 39: {
            RegTensor<uint32_t> wide;
            RegTensor<uint16_t> narrow;
            Duplicate(wide, 0x50003u);
            Pack(narrow, wide);
            UnPack(wide, narrow);
            Cast<float, int32_t, EVEN>(a, (RegTensor<int32_t>&)wide, all);
            Keep(y, a);
            break;
        }
        case 40: { MaskReg d0, d1; found = CreateMask<float, MaskPattern::VL2>(); Interleave<float>(d0, d1, found, all); LoadAlign(a, x); Adds(a, a, 1.0f, d0); Keep(y, a); DeInterleave<float>(d0, d1, d0, d1); LoadAlign(a, x); Adds(a, a, 1.0f, d0); Keep(y + 64, a); break; }
        // A comparison's bits by way of UB; four bits of the mask stand for a number of 32 bits.
        case 41: LoadAlign(a, x); Compares<float, CMPMODE::GE>(found, a, 60.0f, all); StoreAlign<uint8_t>((__ubuf__ uint8_t*)(y + 128), found); LocalMemBar<MemType::VEC_STORE, MemType::VEC_LOAD>(); LoadAlign<uint8_t>(some, (__ubuf__ uint8_t*)(y + 128)); Select(b, a, b, some); Adds(b, b, 1.0f, some); Keep(y, b); break;
        case 42: LoadAlign(a, x); Compares<float, CMPMODE::GE>(found, a, 60.0f, all); StoreAlign<uint8_t>((__ubuf__ uint8_t*)(y + 128), found); LoadAlign<uint8_t>(some, (__ubuf__ uint8_t*)(y + 128)); Adds(a, a, 1.0f, some); Keep(y, a); break;
    }
}

extern "C" __global__ __aicore__ void reg_rules(GM_ADDR x, GM_ADDR y, int64_t rule)
{
    GlobalTensor<float> xGm, yGm;
    xGm.SetGlobalBuffer((__gm__ float*)x, N);
    yGm.SetGlobalBuffer((__gm__ float*)y, N);
    LocalTensor<float> a(TPosition::VECIN, 0, N);
    LocalTensor<float> b(TPosition::VECOUT, 2048, N);
    DataCopy(a, xGm, N);
    DataCopy(b, yGm, N);
    SetFlag<HardEvent::MTE2_V>(0);
    WaitFlag<HardEvent::MTE2_V>(0);
    __ubuf__ float* from = (__ubuf__ float*)a.GetPhyAddr();
    __ubuf__ float* to = (__ubuf__ float*)b.GetPhyAddr();
    uint32_t count = 10;
    if (rule == 31) {
        Reg::RegTensor<float> r;
        Reg::LoadAlign(r, from);
    } else if (rule == 32) {
        Case(to, from, 1, count);
    } else if (rule == 33) {
        asc_vf_call<Case>(to, (__ubuf__ float*)x, 20, count);
    } else {
        asc_vf_call<Case>(to, from, int32_t(rule), count);
    }
    // The call has its own copies.
    from = nullptr;
    count = 0;
    SetFlag<HardEvent::V_MTE3>(0);
    WaitFlag<HardEvent::V_MTE3>(0);
    DataCopy(yGm, b, N);
    PipeBarrier<PIPE_ALL>();
}
