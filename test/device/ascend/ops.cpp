// One instruction or library function each: `op` picks it, `op` + 100 the same with a mistake in it. x and y are 256 floats.
#include "kernel_operator.h"
using namespace AscendC;

constexpr int N = 256;

__aicore__ inline void one(int64_t op, bool isBad, LocalTensor<float> a, LocalTensor<float> b, LocalTensor<float> c)
{
    LocalTensor<float> w(TPosition::VECCALC, 4096, N), v(TPosition::VECCALC, 5120, N);
    LocalTensor<half> h(TPosition::VECCALC, 6144, N), h2(TPosition::VECCALC, 6656, N);
    LocalTensor<uint8_t> tmp(TPosition::VECCALC, 8192, 4096), bits(TPosition::VECCALC, 12288, 256);
    LocalTensor<int8_t> q(TPosition::VECCALC, 12544, N);
    LocalTensor<uint32_t> ids(TPosition::VECCALC, 13312, N);
    LocalTensor<float> sorted(TPosition::VECCALC, 14336, 2 * N);
    LocalTensor<int32_t> whole(TPosition::VECCALC, 16384, N);
    auto next = [&] { if (!isBad) PipeBarrier<PIPE_V>(); };
    switch (op) {
        case 1: Axpy(b, a, 2.0f, 64, 4, {1, 1, 8, static_cast<uint8_t>(isBad ? 255 : 8)}); break;
        case 2: Cast(h, a, RoundMode::CAST_RINT, N); next(); Axpy(b, h, (half)0.5, N); break;
        case 3: MulAddRelu(b, a, c, N); next(); Muls(b, b, 2.0f, N); break;
        case 4: AddReluCast(h, a, c, N); next(); Cast(b, h, RoundMode::CAST_NONE, N); break;
        case 5: SubReluCast(h, a, c, isBad ? N + 16 : N); PipeBarrier<PIPE_V>(); Cast(b, h, RoundMode::CAST_NONE, N); break;
        case 6: // mask register of Compare, Select by it
            Compare(a, c, CMPMODE::GT, static_cast<uint64_t>(64), BinaryRepeatParams());
            next();
            Select(b, a, c, 4, BinaryRepeatParams());
            break;
        case 7: // the register through UB
            Compare(a, c, CMPMODE::LE, static_cast<uint64_t>(64), BinaryRepeatParams());
            PipeBarrier<PIPE_V>();
            GetCmpMask(isBad ? bits[8] : bits);
            PipeBarrier<PIPE_V>();
            Select(b, bits, a, c, SELMODE::VSEL_CMPMASK_SPR, N);
            break;
        case 8: WholeReduceSum<float>(w, a, 64, 4, 1, 1, 8); ReduceRepeat<float, ReduceType::MAX>(w[8], a, 64, 4, 1, 1, 8, ReduceOrder::ORDER_ONLY_VALUE); next(); Adds(b, w, 1.0f, 4); Adds(b[8], w[8], 0.0f, 4); break;
        case 9: { uint64_t mask[2] = {0x5555555555555555ull, 0}; ReduceMax(b, a, w, mask, 4, isBad ? 40 : 8, true); break; }
        case 10: CreateVecIndex(b, 3.0f, static_cast<uint64_t>(64), 4, 1, isBad ? 64 : 8); break;
        case 11: { // rows of 8 from a column of 32
            uint32_t to[2] = {32, 8}, from[2] = {static_cast<uint32_t>(isBad ? 16 : 32), 1};
            Broadcast<float, 2, 1>(b, a, to, from, tmp);
            break;
        }
        case 12: { // 32 rows from one of 8
            uint32_t to[2] = {32, 8}, from[2] = {1, 8};
            Broadcast<float, 2, 0>(b, a, to, from);
            next();
            Adds(b, b, 1.0f, N);
            break;
        }
        case 13: { uint32_t shape[2] = {32, static_cast<uint32_t>(isBad ? 7 : 8)}; ReduceSum<float, Pattern::Reduce::AR>(b, a, tmp, shape, !isBad); break; }
        case 14: { uint32_t shape[2] = {32, 8}; ReduceMax<float, Pattern::Reduce::RA, false>(b, a, isBad ? tmp[16] : tmp, shape, true); break; }
        case 15: Sum(b, a, tmp, SumParams{8, 32, static_cast<uint32_t>(isBad ? 33 : 30)}); break;
        case 16: { static constexpr CumSumConfig config{true, false, false}; LocalTensor<float> none; CumSum<float, config>(b, none, a, {8, static_cast<uint32_t>(isBad ? 31 : 32)}); break; }
        case 17: Sigmoid(b, a, tmp, N); next(); Muls(b, b, 2.0f, N); break;
        case 18: SwiGLU<float, false>(b, a, c, 1.0f, static_cast<uint32_t>(isBad ? N + 8 : N)); break;
        case 19: ClampMax<float>(w, a, tmp, 0.5f, N); next(); ClampMin<float>(b, w, tmp, -0.5f, N); break;
        case 20: // every score with its index, largest first
            CreateVecIndex(ids.ReinterpretCast<int32_t>(), 0, N);
            next();
            { LocalTensor<float> scores; Concat(scores, a, tmp.ReinterpretCast<float>(), N / 32); Sort<float, true>(sorted, scores, ids, w = tmp.ReinterpretCast<float>(), N / 32); }
            PipeBarrier<PIPE_V>();
            Extract(b, ids, sorted, N / 32);
            break;
        case 21: w = a + c; next(); b = w * c; break;
        case 22: bits = a < c; next(); Select(b, bits, a, 0.0f, SELMODE::VSEL_TENSOR_SCALAR_MODE, N); break;
        case 23: // a scalar's view of elements
            SetFlag<HardEvent::V_S>(1);
            WaitFlag<HardEvent::V_S>(1);
            for (int i = 0; i < N; i++) b(i) = a(i) + i;
            if (!isBad) { SetFlag<HardEvent::S_MTE3>(1); WaitFlag<HardEvent::S_MTE3>(1); }
            break;
        case 24: MulCast(q, h, h2, 0); Cast(h, a, RoundMode::CAST_RINT, N); PipeBarrier<PIPE_V>(); MulCast(q, h, h, N); next(); Cast(h, q, RoundMode::CAST_NONE, N); PipeBarrier<PIPE_V>(); Cast(b, h, RoundMode::CAST_NONE, N); break;
        case 25: Cast(whole, a, RoundMode::CAST_RINT, N); next(); ShiftRight(whole, whole, 1, static_cast<uint64_t>(64), 4, {1, 1, 8, 8}, true); PipeBarrier<PIPE_V>(); Cast(b, whole, RoundMode::CAST_NONE, N); break;
        case 26: { // a pool inside the pipe's memory, one that shares its place
            TPipe pipe; TBufPool<TPosition::VECCALC> pool, other; TBuf<TPosition::VECCALC> spare, part;
            pipe.InitBuffer(spare, 20480);
            pipe.InitBufPool(pool, 2048);
            pipe.InitBufPool(other, 2048, pool);
            other.InitBuffer(part, isBad ? 2080 : 1024);
            LocalTensor<float> t = part.Get<float>();
            Adds(t, a, 1.0f, N);
            PipeBarrier<PIPE_V>();
            Adds(b, t, 1.0f, N);
            break;
        }
        case 27: { TQueSync<PIPE_V, PIPE_MTE3> sync; Adds(b, a, 4.0f, N); sync.SetFlag(3); if (!isBad) sync.WaitFlag(3); break; }
        case 28: // GatherMask's count, by itself
            { uint64_t taken = 0; GatherMask(b, a, 2, true, isBad ? 300 : 256, {1, 1, 8, 0}, taken); ASSERT(taken == GetGatherMaskRemainCount()); }
            break;
        case 29: SetAtomicMax<float>(); Adds(b, a, 0.0f, isBad ? N + 8 : N); break;
        case 48: AscendQuant(q, a, tmp, 20.0f, 3.0f, isBad ? N + 32 : N); PipeBarrier<PIPE_V>(); Cast(h, q, RoundMode::CAST_NONE, N); PipeBarrier<PIPE_V>(); Cast(b, h, RoundMode::CAST_NONE, N); break;
        case 49: Cast(whole, a, RoundMode::CAST_RINT, N); next(); AscendDequant(b, whole, c, tmp, {8, 32, 32}); break;
        case 50: // one row taken as eight of 32; of a row that is not whole the rest has no value
            Cast(whole, a, RoundMode::CAST_RINT, N);
            PipeBarrier<PIPE_V>();
            AscendDequant<float, float, DeQuantMode::DEQUANT_WITH_SINGLE_ROW>(b, whole, 0.5f, {1, N, static_cast<uint32_t>(isBad ? 40 : 32)});
            break;
        case 31: { // in place by repeats; moved on by one repeat it would read what it wrote
            Adds(isBad ? a[64] : a, a, 1.0f, 64, isBad ? 3 : 4, {1, 1, 8, 8});
            PipeBarrier<PIPE_V>();
            Adds(b, a, 0.0f, N);
            break;
        }
        case 32: // a running total over repeats, written to the same place
            Adds(b[0], a, 0.0f, 64);
            next();
            Add(b, a[64], b, 64, 3, {1, 1, 1, 0, 8, 0});
            break;
        case 33: { // int16 to int8 with scale and offset
            LocalTensor<int16_t> small(TPosition::VECCALC, 17408, N);
            Cast(whole, a, RoundMode::CAST_RINT, N);
            SetDeqScale(2.0f, static_cast<int16_t>(3), !isBad);
            PipeBarrier<PIPE_V>();
            Cast(small, whole, RoundMode::CAST_NONE, N);
            PipeBarrier<PIPE_V>();
            CastDeq(q, small, N);
            PipeBarrier<PIPE_V>();
            Cast(h, q, RoundMode::CAST_NONE, N);
            PipeBarrier<PIPE_V>();
            Cast(b, h, RoundMode::CAST_NONE, N);
            break;
        }
        case 34: { // int4 there and back by repeats
            LocalTensor<int4b_t> codes(TPosition::VECCALC, 18432, N);
            Cast(h, a, RoundMode::CAST_RINT, N);
            PipeBarrier<PIPE_V>();
            Cast(codes, h, RoundMode::CAST_RINT, 128, 2, {1, 1, 2, 8});
            next();
            Cast(h, codes, RoundMode::CAST_NONE, 128, 2, {1, 1, 8, 2});
            PipeBarrier<PIPE_V>();
            Cast(b, h, RoundMode::CAST_NONE, N);
            break;
        }
        case 35: // rows transposed by addresses that lie in tensors
            {
                LocalTensor<uint64_t> to(TPosition::VECCALC, 18432, 16), rows(TPosition::VECCALC, 18560, 16);
                Cast(h, a, RoundMode::CAST_RINT, N);
                for (int i = 0; i < 16; i++) { rows.SetValue(i, (uint64_t)h[i * 16].GetPhyAddr()); to.SetValue(i, (uint64_t)h2[i * 16].GetPhyAddr()); }
                next();
                TransDataTo5HD<half>(to, rows, TransDataTo5HDParams(false, false, 1, 0, 0));
                PipeBarrier<PIPE_V>();
                Cast(b, h2, RoundMode::CAST_NONE, N);
            }
            break;
        case 36: // counter mode: a count over all repeats, for instructions that do not set it
            SetMaskCount();
            SetVectorMask<float, MaskMode::COUNTER>(0, isBad ? 300 : 200);
            Add<float, false>(b, a, c, MASK_PLACEHOLDER, 1, BinaryRepeatParams());
            SetMaskNorm();
            ResetMask();
            break;
        case 37: // the mask register, then by itself
            SetVectorMask<float>(0, 0xffull);
            Muls<float, false>(b, a, 2.0f, MASK_PLACEHOLDER, 4, {1, 1, 8, static_cast<uint8_t>(isBad ? 16 : 8)});
            ResetMask();
            break;
        case 38: Brcb(b, a, isBad ? 5 : 4, {1, 8}); break;
        case 39: Copy(w, a, static_cast<uint64_t>(64), 4, {1, 1, 8, 8}); next(); Copy(b, w, static_cast<uint64_t>(32), 4, {1, 1, 8, 8}); break;
        case 40: FusedMulAdd(w = b, a, c, N); next(); FusedMulAddRelu(b, c, a, N); break;
        case 41: // indices before values, of every 64
            WholeReduceMin<float>(b, a, 64, 4, 1, 1, isBad ? 80 : 8, ReduceOrder::ORDER_INDEX_VALUE);
            break;
        case 42: BlockReduceMax<float>(w, a, 4, 64, 1, 1, 8); next(); Adds(b, w, 0.0f, 32); break;
        case 43: PairReduceSum<float>(b, a, 4, 64, 1, 1, isBad ? 255 : 8); break;
        case 44: // blocks of 32 bytes, last first
            for (int i = 0; i < 32; i++) ids.SetValue(i, (31 - i) * 32 + (isBad ? 16 : 0));
            SetFlag<HardEvent::S_V>(1);
            WaitFlag<HardEvent::S_V>(1);
            Gatherb(b, a, ids, 4, {1, 8});
            break;
        case 45: { // every third by a mask of bits
            uint64_t taken = 0;
            for (int i = 0; i < 8; i++) ids.SetValue(i, 0x49249249u);
            SetFlag<HardEvent::S_V>(1);
            if (!isBad) WaitFlag<HardEvent::S_V>(1);
            GatherMask(b, a, ids, true, 32, {1, 8, 4, 0}, taken);
            break;
        }
        case 46: ReduceSum<float>(b, a, w, 64, isBad ? 5 : 4, 8); break;
        case 47: Compares(bits, a, 0.5f, CMPMODE::GE, isBad ? 60 : N); PipeBarrier<PIPE_V>(); Select(b, bits, a, c, SELMODE::VSEL_TENSOR_TENSOR_MODE, N); break;
        case 30: Duplicate(whole, 3, N); SetDeqScale((half)0.5); next(); AddDeqRelu(h, whole, whole, N); PipeBarrier<PIPE_V>(); Cast(b, h, RoundMode::CAST_NONE, N); break;
    }
}
extern "C" __global__ __aicore__ void ops(GM_ADDR x, GM_ADDR y, int64_t op)
{
    GlobalTensor<float> xGm, yGm;
    xGm.SetGlobalBuffer((__gm__ float*)x, N);
    yGm.SetGlobalBuffer((__gm__ float*)y, N);
    LocalTensor<float> a(TPosition::VECIN, 0, N), b(TPosition::VECOUT, 1024, N), c(TPosition::VECIN, 2048, N);
    DataCopy(a, xGm, N);
    SetFlag<HardEvent::MTE2_V>(0);
    WaitFlag<HardEvent::MTE2_V>(0);
    SetFlag<HardEvent::MTE2_S>(0);
    WaitFlag<HardEvent::MTE2_S>(0);
    // c is x the other way round about 1, b is zero where the instruction does not write.
    Muls(c, a, -1.0f, N);
    Duplicate(b, 0.0f, N);
    PipeBarrier<PIPE_V>();
    Adds(c, c, 1.0f, N);
    PipeBarrier<PIPE_V>();
    one(op % 100, op >= 100, a, b, c);
    SetFlag<HardEvent::V_MTE3>(0);
    WaitFlag<HardEvent::V_MTE3>(0);
    DataCopy(yGm, b, N);
    SetAtomicNone();
    PipeBarrier<PIPE_ALL>();
}
