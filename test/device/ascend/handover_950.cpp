// Tiles straight between the two cores of a block, as 950 has it: y = 2 x . x^T of one fractal, three times over.
// `rule` picks one to break.
#include "kernel_operator.h"
using namespace AscendC;

extern "C" __global__ __aicore__ void handover(GM_ADDR x, GM_ADDR y, int64_t rule)
{
    KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_MIX_AIC_1_1);
    LocalTensor<half> l1(TPosition::TSCM, rule == 4 ? 524288 : 0, 256), rows(TPosition::VECCALC, 0, 256);
    LocalTensor<float> product(TPosition::VECCALC, 1024, 256);
    if ASCEND_IS_AIC {
        LocalTensor<half> a2(TPosition::A2, 0, 256), b2(TPosition::B2, 0, 256);
        LocalTensor<float> c(TPosition::CO1, 0, 256);
        CrossCoreSetFlag<0x2, PIPE_MTE1>(1);
        for (int i = 0; i < 3; i++) {
            if (rule == 1) CrossCoreWaitFlag<0x2, PIPE_MTE2>(0);
            else CrossCoreWaitFlag<0x2, PIPE_MTE1>(0);
            LoadData(a2, l1, LoadData2DParams{0, 1, 1, 0, 0, false, 0});
            LoadData(b2, l1, LoadData2DParams{0, 1, 1, 0, 0, false, 0});
            CrossCoreSetFlag<0x2, PIPE_MTE1>(1);
            SetFlag<HardEvent::MTE1_M>(0);
            WaitFlag<HardEvent::MTE1_M>(0);
            Mmad(c, a2, b2, MmadParams{16, 16, 16});
            SetFlag<HardEvent::M_MTE1>(0);
            WaitFlag<HardEvent::M_MTE1>(0);
            SetFlag<HardEvent::M_FIX>(0);
            WaitFlag<HardEvent::M_FIX>(0);
            CrossCoreWaitFlag<0x2, PIPE_FIX>(3);
            if (rule == 7) Fixpipe<float, float, CFG_NZ>(product, c, FixpipeParamsV220(16, 16, 16, 32, false, NoQuant));
            else Fixpipe<float, float, CFG_ROW_MAJOR>(product, c, FixpipeParamsV220(16, 16, 16, rule == 8 ? 12 : 16, false, NoQuant));
            CrossCoreSetFlag<0x2, PIPE_FIX>(2);
            SetFlag<HardEvent::FIX_M>(0);
            WaitFlag<HardEvent::FIX_M>(0);
        }
        CrossCoreWaitFlag<0x2, PIPE_FIX>(3);
    }
    if ASCEND_IS_AIV {
        GlobalTensor<half> xGm;
        GlobalTensor<float> yGm;
        xGm.SetGlobalBuffer((__gm__ half*)x, 256);
        yGm.SetGlobalBuffer((__gm__ float*)y, 768);
        DataCopy(rule == 2 ? l1 : rows, xGm, 256);
        SetFlag<HardEvent::MTE2_V>(0);
        WaitFlag<HardEvent::MTE2_V>(0);
        if (rule == 3) Adds(l1, rows, (half)0, 128);
        SetFlag<HardEvent::MTE2_MTE3>(0);
        WaitFlag<HardEvent::MTE2_MTE3>(0);
        CrossCoreSetFlag<0x2, PIPE_V>(3);
        for (int i = 0; i < 3; i++) {
            CrossCoreWaitFlag<0x2, PIPE_MTE3>(1);
            DataCopy(l1, rows, DataCopyParams{16, 1, 0, 0});
            CrossCoreSetFlag<0x2, PIPE_MTE3>(0);
            PipeBarrier<PIPE_MTE3>();
            if (rule == 5) DataCopy(l1, rows, DataCopyParams{16, 1, 0, 0});
            if (rule == 6) CrossCoreWaitFlag<0x2, PIPE_MTE2>(2);
            else CrossCoreWaitFlag<0x2, PIPE_V>(2);
            Muls(product, product, 2.0f, 256);
            SetFlag<HardEvent::V_MTE3>(0);
            WaitFlag<HardEvent::V_MTE3>(0);
            DataCopy(yGm[i * 256], product, 256);
            CrossCoreSetFlag<0x2, PIPE_MTE3>(3);
        }
        CrossCoreWaitFlag<0x2, PIPE_MTE3>(1);
    }
    PipeBarrier<PIPE_ALL>();
}
