// c[m, n] int32 = a[m, k] . b[k, n] of int8 (bits = 8) or int4 (bits = 4): b is transposed in squares on its way to L0B.
#include "kernel_operator.h"
using namespace AscendC;

constexpr int K = 128, N = 128;

template <class T, int C0>
__aicore__ inline void multiply(GM_ADDR a, GM_ADDR b, GM_ADDR c, int64_t m)
{
    GlobalTensor<T> aGm, bGm;
    GlobalTensor<int32_t> cGm;
    aGm.SetGlobalBuffer((__gm__ T*)a, m * K);
    bGm.SetGlobalBuffer((__gm__ T*)b, K * N);
    cGm.SetGlobalBuffer((__gm__ int32_t*)c, m * N);
    LocalTensor<T> a1(TPosition::A1, 0, 16 * K), b1(TPosition::B1, 4096, K * N);
    LocalTensor<T> a2(TPosition::A2, 0, 16 * K), b2(TPosition::B2, 0, K * N);
    LocalTensor<int32_t> sum(TPosition::CO1, 0, 16 * N);
    DataCopy(b1, bGm, Nd2NzParams{1, K, N, 0, N, K, 1, 0});
    SetFlag<HardEvent::MTE2_MTE1>(1);
    WaitFlag<HardEvent::MTE2_MTE1>(1);
    for (uint16_t i = 0; i < K / C0; i++)
        LoadDataWithTranspose(b2[i * C0 * N], b1, LoadData2dTransposeParams{i, N / C0, K / C0, C0 / 16 - 1, 0, 0});
    for (int64_t i = GetBlockIdx() * 16; i < m; i += GetBlockNum() * 16) {
        uint16_t rows = m - i < 16 ? m - i : 16;
        DataCopy(a1, aGm[i * K], Nd2NzParams{1, rows, K, 0, K, 16, 1, 0});
        SetFlag<HardEvent::MTE2_MTE1>(0);
        WaitFlag<HardEvent::MTE2_MTE1>(0);
        LoadData(a2, a1, LoadData2DParams{0, K / C0, 1, 0, 0, false, 0});
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
extern "C" __global__ __aicore__ void matmul_kn(GM_ADDR a, GM_ADDR b, GM_ADDR c, int64_t m, int64_t bits)
{
    KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIC_ONLY);
    if (bits == 8) multiply<int8_t, 32>(a, b, c, m);
    if (bits == 4) multiply<int4b_t, 64>(a, b, c, m);
}
