// One small kernel a rule: `rule` picks what goes wrong (or, for the numeric ones, what is computed).
#include "kernel_operator.h"
using namespace AscendC;

// Deeper than any stack.
__aicore__ inline int64_t depth(volatile int64_t* above, int64_t n)
{
    volatile int64_t own[64] = {n};
    return n < 0 ? *above : own[n % 64] + depth(own, n + 1);
}

extern "C" __global__ __aicore__ void rules(GM_ADDR x, GM_ADDR y, int64_t n, int64_t rule)
{
    GlobalTensor<float> xGm, yGm;
    xGm.SetGlobalBuffer((__gm__ float*)x, n);
    yGm.SetGlobalBuffer((__gm__ float*)y);
    LocalTensor<float> a(TPosition::VECIN, 0, 256), b(TPosition::VECOUT, 1024, 256), w(TPosition::VECCALC, 2048, 256);
    DataCopy(a, xGm, 256);
    SetFlag<HardEvent::MTE2_V>(0);
    WaitFlag<HardEvent::MTE2_V>(0);
    SetFlag<HardEvent::MTE2_S>(0);
    WaitFlag<HardEvent::MTE2_S>(0);
    auto store = [&](uint32_t count) {
        SetFlag<HardEvent::V_MTE3>(0);
        WaitFlag<HardEvent::V_MTE3>(0);
        DataCopy(yGm, b, count);
    };
    switch (rule) {
        case 0: // a right one
            Adds(b, a, 1.0f, 256);
            store(256);
            break;
        case 1: SetFlag<HardEvent::MTE2_V>(1); break;
        case 2: SetFlag<HardEvent::MTE2_V>(1); SetFlag<HardEvent::MTE2_V>(1); break;
        case 3: WaitFlag<HardEvent::MTE2_V>(1); break;
        case 4: SetFlag<HardEvent::MTE2_V>(7); break;
        case 5: DataCopy(a, xGm, 255); break;
        case 6: DataCopy(a, xGm, {4096, 1, 0, 0}); break;
        case 7: Adds(b, a, 1.0f, 64, 300, {1, 1, 8, 8}); break;
        case 8: Adds(b, a, 1.0f, 65, 1, {1, 1, 8, 8}); break;
        case 9: DataCopyPad(a, xGm, {1, 32, 0, 0, 0}, {true, 4, 5, 0.0f}); break;
        case 10: DataCopyPad(a, xGm, {1, 2097152, 0, 0, 0}, {false, 0, 0, 0.0f}); break;
        case 11: Adds(b[3], a, 1.0f, 64); break;
        case 12: Adds(a[8], a, 1.0f, 64); break;
        case 13: { LocalTensor<float> big(TPosition::VECIN, 196608 - 32, 16); break; }
        case 14: // one element past the end of the argument
            Adds(b, a, 1.0f, 256);
            SetFlag<HardEvent::V_MTE3>(0);
            WaitFlag<HardEvent::V_MTE3>(0);
            DataCopyPad(yGm[1], b, {1, 1024, 0, 0, 0});
            break;
        case 15: // reads what nothing wrote
            Adds(b, w, 1.0f, 256);
            store(256);
            break;
        case 16: w.GetValue(0); break;
        case 17: // the scalar's store is not seen without a flag
            a.SetValue(0, 3.0f);
            Adds(b, a, 1.0f, 256);
            break;
        case 18: CrossCoreSetFlag<2, PIPE_MTE3>(0); break;
        case 19: CrossCoreWaitFlag(3); break;
        case 20: Compare(w.ReinterpretCast<uint8_t>(), a, a, CMPMODE::LT, 60); break;
        case 21: { LocalTensor<int32_t> i = a.ReinterpretCast<int32_t>(); Compare(w.ReinterpretCast<uint8_t>(), i, i, CMPMODE::LT, 64); break; }
        case 22: { LocalTensor<half> l1(TPosition::A1, 0, 256), l0(TPosition::A2, 0, 256); LoadData(l0, l1, LoadData2DParams{0, 1, 1, 0, 0, false, 0}); break; }
        case 23: SyncAll(); break;
        case 24: { TPipe pipe; TQue<TPosition::VECIN, 1> q; pipe.InitBuffer(q, 1, 64); auto t = q.AllocTensor<float>(); break; }
        case 25: { TPipe pipe; TQue<TPosition::VECIN, 1> q; pipe.InitBuffer(q, 1, 64); q.DeQue<float>(); break; }
        case 26: { TPipe pipe; TQue<TPosition::VECIN, 1> q; pipe.InitBuffer(q, 9, 64); break; }
        case 27: yGm.SetValue(0, 5.0f); break;
        case 28: { // an old copy in the data cache
            float old = yGm.GetValue(0);
            Adds(b, a, old + 1.0f, 256);
            store(256);
            SetFlag<HardEvent::MTE3_S>(0);
            WaitFlag<HardEvent::MTE3_S>(0);
            yGm.GetValue(0);
            break;
        }
        case 29: DataCopy(a, xGm, 256); DataCopy(yGm, a, 256); break;
        case 30: Adds(b, a, 1.0f, 256); Muls(b, b, 2.0f, 256); store(256); break;
        case 37: Adds(b, a, 1.0f, 256); Muls(a, a, 2.0f, 256); store(256); break; // the second reads too what it writes
        case 31: // repeats one after the other: 1e8 + 1 + ... keeps to the left
            ReduceSum(b, a, w, 256);
            SetFlag<HardEvent::V_MTE3>(0);
            WaitFlag<HardEvent::V_MTE3>(0);
            DataCopyPad(yGm, b, {1, 4, 0, 0, 0});
            break;
        case 32: { // every block adds to the same place
            Adds(b, a, 0.0f, 256);
            SetAtomicAdd<float>();
            store(256);
            SetAtomicNone();
            break;
        }
        case 33: { // a gather out of its source
            LocalTensor<uint32_t> offsets = w.ReinterpretCast<uint32_t>();
            Duplicate(offsets, 1024u, 256);
            PipeBarrier<PIPE_V>();
            Gather(b, a, offsets, 0, 64);
            break;
        }
        case 34: { // a merge over one of its lists
            uint16_t lengths[4] = {16, 16, 0, 0};
            Adds(b, a, 1.0f, 256);
            PipeBarrier<PIPE_V>();
            MrgSort(b, MrgSortSrcList<float>(b, b[64], b, b), MrgSort4Info(lengths, false, 3, 1));
            break;
        }
        case 35:
        case 36: { // a mask of four lanes that were loaded and others that were not: right for four, wrong for five
            LocalTensor<float> part(TPosition::VECIN, 3072, 64);
            LocalTensor<uint8_t> mask = w.ReinterpretCast<uint8_t>();
            DataCopyPad(part, xGm, {1, 16, 0, 0, 0}, {false, 0, 0, 0.0f});
            SetFlag<HardEvent::MTE2_V>(1);
            WaitFlag<HardEvent::MTE2_V>(1);
            Compare(mask, part, part, CMPMODE::EQ, 64);
            PipeBarrier<PIPE_V>();
            Not(mask.ReinterpretCast<uint16_t>(), mask.ReinterpretCast<uint16_t>(), 16);
            PipeBarrier<PIPE_V>();
            Select(b, mask, a, 7.0f, SELMODE::VSEL_TENSOR_SCALAR_MODE, 64);
            SetFlag<HardEvent::V_MTE3>(0);
            WaitFlag<HardEvent::V_MTE3>(0);
            DataCopyPad(yGm, b, {1, static_cast<uint32_t>(rule == 35 ? 16 : 20), 0, 0, 0});
            break;
        }
        case 38: store(static_cast<uint32_t>(256 / (n - 256))); break;
        case 39: yGm.SetValue(0, *reinterpret_cast<volatile float*>(n)); break;
        case 40: yGm.SetValue(0, static_cast<float>(depth(&n, n))); break;
    }
    PipeBarrier<PIPE_ALL>();
}
