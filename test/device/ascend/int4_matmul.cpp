// c[m, n] int32 = a[m, k] int4 . b[n, k] int4, two numbers a byte; tiles of 16 rows, k at once.
#include "kernel_operator.h"
using namespace AscendC;

constexpr int K = 192, N = 48;

extern "C" __global__ __aicore__ void int4_matmul(GM_ADDR a, GM_ADDR b, GM_ADDR c, int64_t m)
{
    KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIC_ONLY);
    GlobalTensor<int4b_t> aGm, bGm;
    GlobalTensor<int32_t> cGm;
    aGm.SetGlobalBuffer((__gm__ int4b_t*)a, m * K);
    bGm.SetGlobalBuffer((__gm__ int4b_t*)b, N * K);
    cGm.SetGlobalBuffer((__gm__ int32_t*)c, m * N);
    LocalTensor<int4b_t> a1(TPosition::A1, 0, 16 * K), b1(TPosition::B1, 1536, N * K);
    LocalTensor<int4b_t> a2(TPosition::A2, 0, 16 * K), b2(TPosition::B2, 0, N * K);
    LocalTensor<int32_t> sum(TPosition::CO1, 0, 16 * N);
    DataCopy(b1, bGm, Nd2NzParams{1, N, K, 0, K, N, 1, 0});
    SetFlag<HardEvent::MTE2_MTE1>(1);
    WaitFlag<HardEvent::MTE2_MTE1>(1);
    for (int part = 0; part < K / 64; part++)
        LoadData(b2[part * N * 64], b1[part * N * 64], LoadData2DParams{0, N / 16, 1, 0, 0, false, 0});
    for (int64_t i = GetBlockIdx() * 16; i < m; i += GetBlockNum() * 16) {
        uint16_t rows = m - i < 16 ? m - i : 16;
        DataCopy(a1, aGm[i * K], Nd2NzParams{1, rows, K, 0, K, 16, 1, 0});
        SetFlag<HardEvent::MTE2_MTE1>(0);
        WaitFlag<HardEvent::MTE2_MTE1>(0);
        LoadData(a2, a1, LoadData2DParams{0, K / 64, 1, 0, 0, false, 0});
        SetFlag<HardEvent::MTE1_MTE2>(0);
        WaitFlag<HardEvent::MTE1_MTE2>(0);
        SetFlag<HardEvent::MTE1_M>(0);
        WaitFlag<HardEvent::MTE1_M>(0);
        Mmad(sum, a2, b2, MmadParams{16, N, K});
        SetFlag<HardEvent::M_MTE1>(0);
        WaitFlag<HardEvent::M_MTE1>(0);
        SetFlag<HardEvent::M_FIX>(0);
        WaitFlag<HardEvent::M_FIX>(0);
        Fixpipe<int32_t, int32_t, CFG_ROW_MAJOR>(cGm[i * N], sum, FixpipeParamsV220(N, rows, 16, N, false));
        SetFlag<HardEvent::FIX_M>(0);
        WaitFlag<HardEvent::FIX_M>(0);
    }
    PipeBarrier<PIPE_ALL>();
}
