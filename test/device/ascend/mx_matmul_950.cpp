// c[m, n] f32 = a[m, k] . b[n, k]^T of FP8 (bits = 8) or FP4 (bits = 4), each 32 numbers along k with a power of two.
#include "kernel_operator.h"
using namespace AscendC;

constexpr int K = 192, N = 48, M = 32, GROUPS = K / 64;

// Rows whose k pairs lie together become fractals of 16 rows by a pair.
__aicore__ inline void loadScales(const LocalTensor<fp8_e8m0_t>& to, GM_ADDR from, uint32_t rows)
{
    GlobalTensor<half> pairs;
    pairs.SetGlobalBuffer((__gm__ half*)from, rows * GROUPS);
    DataCopy(to.ReinterpretCast<half>(), pairs, Dn2NzParams{1, GROUPS, rows, 0, GROUPS, GROUPS, 1, 0});
}

// T: of a in L1, U: of b in L1. Two FP4 numbers go as one byte.
template <class T, class TMx, class U, class UMx, int PER_BYTE>
__aicore__ inline void multiply(GM_ADDR a, GM_ADDR sa, GM_ADDR b, GM_ADDR sb, GM_ADDR c, int64_t m)
{
    constexpr uint16_t BYTES = K / PER_BYTE, STEPS = BYTES / 32;
    GlobalTensor<T> aGm;
    GlobalTensor<U> bGm;
    GlobalTensor<float> cGm;
    aGm.SetGlobalBuffer((__gm__ T*)a, m * BYTES);
    bGm.SetGlobalBuffer((__gm__ U*)b, N * BYTES);
    cGm.SetGlobalBuffer((__gm__ float*)c, m * N);
    LocalTensor<T> a1(TPosition::A1, 0, M * BYTES);
    LocalTensor<U> b1(TPosition::B1, 8192, N * BYTES);
    LocalTensor<fp8_e8m0_t> sa1(TPosition::A1, 32768, M * K / 32), sb1(TPosition::B1, 36864, N * K / 32);
    LocalTensor<TMx> a2(TPosition::A2, 0, M * BYTES);
    LocalTensor<UMx> b2(TPosition::B2, 1024, N * BYTES);
    LocalTensor<float> sum(TPosition::CO1, 0, M * N);
    DataCopy(b1, bGm, Nd2NzParams{1, N, BYTES, 0, BYTES, N, 1, 0});
    loadScales(sb1, sb, N);
    SetFlag<HardEvent::MTE2_MTE1>(1);
    WaitFlag<HardEvent::MTE2_MTE1>(1);
    LoadData(b2, b1, sb1, LoadData2DParamsV2{0, 0, N / 16, STEPS, N / 16, N / 16, false, 0}, LoadData2DMxParams{0, 0, N / 16, GROUPS, GROUPS, GROUPS});
    for (int64_t i = GetBlockIdx() * M; i < m; i += GetBlockNum() * M) {
        uint16_t rows = m - i < M ? m - i : M;
        DataCopy(a1, aGm[i * BYTES], Nd2NzParams{1, rows, BYTES, 0, BYTES, M, 1, 0});
        loadScales(sa1, sa + i * K / 32, rows);
        SetFlag<HardEvent::MTE2_MTE1>(0);
        WaitFlag<HardEvent::MTE2_MTE1>(0);
        LoadData(a2, a1, sa1, LoadData2DParamsV2{0, 0, M / 16, STEPS, M / 16, M / 16, false, 0}, LoadData2DMxParams{0, 0, M / 16, GROUPS, GROUPS, GROUPS});
        SetFlag<HardEvent::MTE1_MTE2>(0);
        WaitFlag<HardEvent::MTE1_MTE2>(0);
        SetFlag<HardEvent::MTE1_M>(0);
        WaitFlag<HardEvent::MTE1_M>(0);
        Mmad(sum, a2, b2, MmadParams{M, N, K});
        SetFlag<HardEvent::M_MTE1>(0);
        WaitFlag<HardEvent::M_MTE1>(0);
        SetFlag<HardEvent::M_FIX>(0);
        WaitFlag<HardEvent::M_FIX>(0);
        Fixpipe<float, float, CFG_ROW_MAJOR>(cGm[i * N], sum, FixpipeParamsV220(N, rows, M, N, false));
        SetFlag<HardEvent::FIX_M>(0);
        WaitFlag<HardEvent::FIX_M>(0);
    }
    PipeBarrier<PIPE_ALL>();
}
extern "C" __global__ __aicore__ void mx_matmul(GM_ADDR a, GM_ADDR sa, GM_ADDR b, GM_ADDR sb, GM_ADDR c, int64_t m, int64_t bits)
{
    KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIC_ONLY);
    if (bits == 8) multiply<fp8_e4m3fn_t, mx_fp8_e4m3_t, fp8_e5m2_t, mx_fp8_e5m2_t, 1>(a, sa, b, sb, c, m);
    if (bits == 4) multiply<fp4x2_e2m1_t, fp4x2_e2m1_t, fp4x2_e1m2_t, fp4x2_e1m2_t, 2>(a, sa, b, sb, c, m);
}
