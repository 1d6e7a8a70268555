// y[i, place, n] = sum over (c1, filter row, filter column, c0) of x . w: a convolution as a product of what LoadData makes
// of the feature map. x is [images, C1, H, W, 16] half, w is [C1 * KH * KW, N, 16] half, y is [images, OH * OW, N] float.
#include "kernel_operator.h"
using namespace AscendC;

constexpr int C1 = 2, H = 9, W = 7, KH = 3, KW = 3, N = 32, OH = 5, OW = 5;
constexpr int PLACES = OH * OW, DEPTH = C1 * KH * KW * 16, PART = DEPTH / 2, ROWS = 32;

extern "C" __global__ __aicore__ void conv(GM_ADDR x, GM_ADDR w, GM_ADDR y, int64_t images)
{
    GlobalTensor<half> xGm, wGm;
    GlobalTensor<float> yGm;
    xGm.SetGlobalBuffer((__gm__ half*)x, images * C1 * H * W * 16);
    wGm.SetGlobalBuffer((__gm__ half*)w, DEPTH * N);
    yGm.SetGlobalBuffer((__gm__ float*)y, images * PLACES * N);
    LocalTensor<half> map(TPosition::A1, 0, C1 * H * W * 16), weights(TPosition::B1, 8192, DEPTH * N);
    LocalTensor<half> a2(TPosition::A2, 0, ROWS * PART), b2(TPosition::B2, 0, PART * N);
    LocalTensor<float> sum(TPosition::CO1, 0, ROWS * N);
    uint8_t pads[4] = {1, 1, 1, 1};
    DataCopy(weights, wGm, DEPTH * N);
    for (int64_t image = GetBlockIdx(); image < images; image += GetBlockNum()) {
        DataCopy(map, xGm[image * C1 * H * W * 16], C1 * H * W * 16);
        SetFlag<HardEvent::MTE2_MTE1>(0);
        WaitFlag<HardEvent::MTE2_MTE1>(0);
        for (uint16_t part = 0; part < 2; part++) {
            LoadData(a2, map, LoadData3DParamsV2<half>{pads, H, W, C1 * 16, PART, PLACES, static_cast<uint16_t>(part * PART), 0, 1, 2, KW, KH, 2, 1, false, false, half(0)});
            LoadData(b2, weights[part * PART * N], LoadData2DParams{0, PART / 16 * N / 16, 1, 0, 0, false, 0});
            SetFlag<HardEvent::MTE1_M>(0);
            WaitFlag<HardEvent::MTE1_M>(0);
            Mmad(sum, a2, b2, MmadParams{PLACES, N, PART, 0, false, part == 0});
            SetFlag<HardEvent::M_MTE1>(0);
            WaitFlag<HardEvent::M_MTE1>(0);
        }
        SetFlag<HardEvent::MTE1_MTE2>(0);
        WaitFlag<HardEvent::MTE1_MTE2>(0);
        SetFlag<HardEvent::M_FIX>(0);
        WaitFlag<HardEvent::M_FIX>(0);
        Fixpipe<float, float, CFG_ROW_MAJOR>(yGm[image * PLACES * N], sum, FixpipeParamsV220(N, PLACES, ROWS, N, false));
        SetFlag<HardEvent::FIX_M>(0);
        WaitFlag<HardEvent::FIX_M>(0);
    }
    PipeBarrier<PIPE_ALL>();
}
