// C[m,n] float = A[m,k] half . B[k,n] half in tiles of 16 x n, k in steps of 32 through two buffers of L1, L0A and L0B.
#include "kernel_operator.h"
using namespace AscendC;

constexpr uint32_t TM = 16;
constexpr uint32_t TK = 32;
constexpr uint32_t TN = 48;

extern "C" __global__ __aicore__ void matmul(GM_ADDR a, GM_ADDR b, GM_ADDR c, int64_t m, int64_t k)
{
    KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIC_ONLY);
    GlobalTensor<half> aGm, bGm;
    GlobalTensor<float> cGm;
    aGm.SetGlobalBuffer((__gm__ half*)a, m * k);
    bGm.SetGlobalBuffer((__gm__ half*)b, k * TN);
    cGm.SetGlobalBuffer((__gm__ float*)c, m * TN);
    LocalTensor<half> a1[2] = {LocalTensor<half>(TPosition::A1, 0, TM * TK), LocalTensor<half>(TPosition::A1, 1024, TM * TK)};
    LocalTensor<half> b1[2] = {LocalTensor<half>(TPosition::B1, 2048, TK * TN), LocalTensor<half>(TPosition::B1, 5120, TK * TN)};
    LocalTensor<half> a2[2] = {LocalTensor<half>(TPosition::A2, 0, TM * TK), LocalTensor<half>(TPosition::A2, 1024, TM * TK)};
    LocalTensor<half> b2[2] = {LocalTensor<half>(TPosition::B2, 0, TK * TN), LocalTensor<half>(TPosition::B2, 3072, TK * TN)};
    LocalTensor<float> acc(TPosition::CO1, 0, TM * TN);

    SetFlag<HardEvent::MTE1_MTE2>(0);
    SetFlag<HardEvent::MTE1_MTE2>(1);
    SetFlag<HardEvent::M_MTE1>(0);
    SetFlag<HardEvent::M_MTE1>(1);
    SetFlag<HardEvent::FIX_M>(0);
    uint32_t turn = 0;
    for (int64_t i = GetBlockIdx() * TM; i < m; i += GetBlockNum() * TM) {
        uint16_t rows = m - i < TM ? m - i : TM;
        WaitFlag<HardEvent::FIX_M>(0);
        for (int64_t d = 0; d < k; d += TK) {
            uint32_t s = turn++ & 1;
            uint16_t depth = k - d < TK ? k - d : TK;
            uint16_t filled = (depth + 15) / 16 * 16;
            WaitFlag<HardEvent::MTE1_MTE2>(s);
            if (filled != depth) {
                InitConstValue(a1[s], {1, static_cast<uint16_t>(TM * TK * sizeof(half) / 32), 0, half(0)});
                InitConstValue(b1[s], {1, static_cast<uint16_t>(TK * TN * sizeof(half) / 32), 0, half(0)});
                PipeBarrier<PIPE_MTE2>();
            }
            DataCopy(a1[s], aGm[i * k + d], Nd2NzParams{1, rows, depth, 0, static_cast<uint16_t>(k), TM, 1, 0});
            DataCopy(b1[s], bGm[d * TN], Nd2NzParams{1, depth, TN, 0, TN, filled, 1, 0});
            SetFlag<HardEvent::MTE2_MTE1>(s);
            WaitFlag<HardEvent::MTE2_MTE1>(s);
            WaitFlag<HardEvent::M_MTE1>(s);
            LoadData(a2[s], a1[s], LoadData2DParams{0, static_cast<uint8_t>(filled / 16), 1, 0, 0, false, 0});
            for (uint16_t f = 0; f < filled / 16; f++) {
                LoadData(b2[s][f * 16 * TN], b1[s][f * 256], LoadData2DParams{0, TN / 16, static_cast<uint16_t>(filled / 16), 0, 0, true, 0});
            }
            SetFlag<HardEvent::MTE1_MTE2>(s);
            SetFlag<HardEvent::MTE1_M>(s);
            WaitFlag<HardEvent::MTE1_M>(s);
            MmadParams product;
            product.m = TM;
            product.n = TN;
            product.k = filled;
            product.cmatrixInitVal = d == 0;
            Mmad(acc, a2[s], b2[s], product);
            PipeBarrier<PIPE_M>();
            SetFlag<HardEvent::M_MTE1>(s);
        }
        SetFlag<HardEvent::M_FIX>(0);
        WaitFlag<HardEvent::M_FIX>(0);
        FixpipeParamsV220 out;
        out.nSize = TN;
        out.mSize = rows;
        out.srcStride = TM;
        out.dstStride = TN;
        Fixpipe<float, float, CFG_ROW_MAJOR>(cGm[i * TN], acc, out);
        SetFlag<HardEvent::FIX_M>(0);
    }
    WaitFlag<HardEvent::MTE1_MTE2>(0);
    WaitFlag<HardEvent::MTE1_MTE2>(1);
    WaitFlag<HardEvent::M_MTE1>(0);
    WaitFlag<HardEvent::M_MTE1>(1);
    WaitFlag<HardEvent::FIX_M>(0);
    PipeBarrier<PIPE_ALL>();
}
