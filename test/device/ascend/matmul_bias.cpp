// C = A . B^T + bias on cube and vector cores: the cube leaves 16-row tiles in a workspace of two slots a block, its two
// vector cores add the bias to eight rows each. A is [m,32] half, B is [16,32] half (one row per output column).
#include "kernel_operator.h"
using namespace AscendC;

constexpr uint32_t K = 32;
constexpr uint32_t N = 16;
constexpr uint32_t TM = 16;
constexpr uint16_t FULL = 0;
constexpr uint16_t EMPTY = 1;

__aicore__ inline void Multiply(GM_ADDR a, GM_ADDR b, GM_ADDR workspace, int64_t m)
{
    GlobalTensor<half> aGm, bGm;
    GlobalTensor<float> slots;
    aGm.SetGlobalBuffer((__gm__ half*)a, m * K);
    bGm.SetGlobalBuffer((__gm__ half*)b, N * K);
    slots.SetGlobalBuffer((__gm__ float*)workspace + block_idx * 2 * TM * N, 2 * TM * N);
    LocalTensor<half> a1(TPosition::A1, 0, TM * K), b1(TPosition::B1, 1024, N * K);
    LocalTensor<half> a2(TPosition::A2, 0, TM * K), b2(TPosition::B2, 0, N * K);
    LocalTensor<float> c(TPosition::CO1, 0, TM * N);
    DataCopy(b1, bGm, Nd2NzParams{1, N, K, 0, K, N, 1, 0});
    SetFlag<HardEvent::MTE1_MTE2>(0);
    SetFlag<HardEvent::M_MTE1>(0);
    SetFlag<HardEvent::FIX_M>(0);
    uint32_t turn = 0;
    for (int64_t i = block_idx * TM; i < m; i += GetBlockNum() * TM, turn++) {
        uint16_t rows = m - i < TM ? m - i : TM;
        WaitFlag<HardEvent::MTE1_MTE2>(0);
        DataCopy(a1, aGm[i * K], Nd2NzParams{1, rows, K, 0, K, TM, 1, 0});
        SetFlag<HardEvent::MTE2_MTE1>(0);
        WaitFlag<HardEvent::MTE2_MTE1>(0);
        WaitFlag<HardEvent::M_MTE1>(0);
        LoadData(a2, a1, LoadData2DParams{0, K / 16, 1, 0, 0, false, 0});
        LoadData(b2, b1, LoadData2DParams{0, K / 16, 1, 0, 0, false, 0});
        SetFlag<HardEvent::MTE1_MTE2>(0);
        SetFlag<HardEvent::MTE1_M>(0);
        WaitFlag<HardEvent::MTE1_M>(0);
        WaitFlag<HardEvent::FIX_M>(0);
        Mmad(c, a2, b2, MmadParams{TM, N, K, 0, false, true});
        SetFlag<HardEvent::M_MTE1>(0);
        SetFlag<HardEvent::M_FIX>(0);
        WaitFlag<HardEvent::M_FIX>(0);
        if (turn >= 2) {
            CrossCoreWaitFlag(EMPTY);
        }
        Fixpipe<float, float, CFG_ROW_MAJOR>(slots[(turn & 1) * TM * N], c, FixpipeParamsV220(N, rows, TM, N, false));
        CrossCoreSetFlag<2, PIPE_FIX>(FULL);
        SetFlag<HardEvent::FIX_M>(0);
    }
    // What the vector cores have set last and nobody needed.
    for (uint32_t i = 0; i < (turn < 2 ? turn : 2); i++) {
        CrossCoreWaitFlag(EMPTY);
    }
    WaitFlag<HardEvent::MTE1_MTE2>(0);
    WaitFlag<HardEvent::M_MTE1>(0);
    WaitFlag<HardEvent::FIX_M>(0);
}

__aicore__ inline void AddBias(GM_ADDR bias, GM_ADDR c, GM_ADDR workspace, int64_t m)
{
    int64_t block = GetBlockIdx() / 2;
    GlobalTensor<float> slots, biasGm, cGm;
    slots.SetGlobalBuffer((__gm__ float*)workspace + block * 2 * TM * N, 2 * TM * N);
    biasGm.SetGlobalBuffer((__gm__ float*)bias, N);
    cGm.SetGlobalBuffer((__gm__ float*)c, m * N);
    LocalTensor<float> tile(TPosition::VECIN, 0, TM / 2 * N), row(TPosition::VECIN, 1024, N), out(TPosition::VECOUT, 2048, TM / 2 * N);
    DataCopy(row, biasGm, N);
    SetFlag<HardEvent::V_MTE2>(0);
    SetFlag<HardEvent::MTE3_V>(0);
    uint32_t turn = 0;
    for (int64_t i = block * TM; i < m; i += GetBlockNum() * TM, turn++) {
        int64_t first = i + GetSubBlockIdx() * (TM / 2);
        int64_t left = m - first;
        uint32_t rows = left < 0 ? 0 : left < TM / 2 ? left : TM / 2;
        CrossCoreWaitFlag(FULL);
        WaitFlag<HardEvent::V_MTE2>(0);
        if (rows > 0) {
            DataCopy(tile, slots[(turn & 1) * TM * N + GetSubBlockIdx() * (TM / 2) * N], rows * N);
        }
        CrossCoreSetFlag<2, PIPE_MTE2>(EMPTY);
        SetFlag<HardEvent::MTE2_V>(0);
        WaitFlag<HardEvent::MTE2_V>(0);
        WaitFlag<HardEvent::MTE3_V>(0);
        Add(out, tile, row, N, rows, {1, 1, 1, 2, 2, 0});
        SetFlag<HardEvent::V_MTE2>(0);
        SetFlag<HardEvent::V_MTE3>(0);
        WaitFlag<HardEvent::V_MTE3>(0);
        if (rows > 0) {
            DataCopy(cGm[first * N], out, rows * N);
        }
        SetFlag<HardEvent::MTE3_V>(0);
    }
    WaitFlag<HardEvent::V_MTE2>(0);
    WaitFlag<HardEvent::MTE3_V>(0);
}

extern "C" __global__ __aicore__ void matmul_bias(GM_ADDR a, GM_ADDR b, GM_ADDR bias, GM_ADDR c, int64_t m, GM_ADDR workspace)
{
    KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_MIX_AIC_1_2);
    if ASCEND_IS_AIC {
        Multiply(a, b, workspace, m);
    }
    if ASCEND_IS_AIV {
        AddBias(bias, c, workspace, m);
    }
    PipeBarrier<PIPE_ALL>();
}
