// c[m, n] = a[k, m] . b[k, n]: both sides through LoadData of feature maps, a transposed. c is float, in tiles of 16 rows.
#include "kernel_operator.h"
using namespace AscendC;

constexpr int M = 48, K = 32, N = 64;

extern "C" __global__ __aicore__ void matmul_load3d(GM_ADDR a, GM_ADDR b, GM_ADDR c)
{
    KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIC_ONLY);
    GlobalTensor<half> aGm, bGm;
    GlobalTensor<float> cGm;
    aGm.SetGlobalBuffer((__gm__ half*)a, K * M);
    bGm.SetGlobalBuffer((__gm__ half*)b, K * N);
    cGm.SetGlobalBuffer((__gm__ float*)c, M * N);
    LocalTensor<half> a1(TPosition::A1, 0, K * M), b1(TPosition::B1, 4096, K * N);
    LocalTensor<half> a2(TPosition::A2, 0, K * 16), b2(TPosition::B2, 0, K * N);
    LocalTensor<float> c1(TPosition::CO1, 0, 16 * N);
    DataCopy(a1, aGm, Nd2NzParams{1, K, M, 0, M, K, 1, 0});
    DataCopy(b1, bGm, Nd2NzParams{1, K, N, 0, N, K, 1, 0});
    SetFlag<HardEvent::MTE2_MTE1>(0);
    WaitFlag<HardEvent::MTE2_MTE1>(0);
    LoadData3DParamsV2<half> right;
    right.l1H = K;
    right.l1W = 1;
    right.channelSize = N;
    right.kExtension = N;
    right.mExtension = K;
    LoadData(b2, b1, right);
    for (int64_t tile = GetBlockIdx(); tile < M / 16; tile += GetBlockNum()) {
        LoadData3DParamsV2<half> left;
        left.l1W = 1;
        left.l1H = K;
        left.channelSize = M;
        left.kExtension = 16;
        left.kStartPt = tile * 16;
        left.mExtension = K;
        left.enTranspose = true;
        LoadData(a2, a1, left);
        SetFlag<HardEvent::MTE1_M>(0);
        WaitFlag<HardEvent::MTE1_M>(0);
        Mmad(c1, a2, b2, MmadParams{16, N, K});
        SetFlag<HardEvent::M_MTE1>(0);
        WaitFlag<HardEvent::M_MTE1>(0);
        SetFlag<HardEvent::M_FIX>(0);
        WaitFlag<HardEvent::M_FIX>(0);
        Fixpipe<float, float, CFG_ROW_MAJOR>(cGm[tile * 16 * N], c1, FixpipeParamsV220(N, 16, 16, N, false));
        SetFlag<HardEvent::FIX_M>(0);
        WaitFlag<HardEvent::FIX_M>(0);
    }
    PipeBarrier<PIPE_ALL>();
}
