// Rules of the cube core: `rule` picks one. A is one fractal of ones, B one of twos.
#include "kernel_operator.h"
using namespace AscendC;

constexpr IsResetLoad3dConfig KEEPS_MAP{false, true};

extern "C" __global__ __aicore__ void cube_rules(GM_ADDR x, GM_ADDR y, int64_t rule, float scale)
{
    GlobalTensor<half> xGm, hGm;
    GlobalTensor<float> yGm;
    xGm.SetGlobalBuffer((__gm__ half*)x, 512);
    yGm.SetGlobalBuffer((__gm__ float*)y, 256);
    hGm.SetGlobalBuffer((__gm__ half*)y, 256);
    LocalTensor<half> a1(TPosition::A1, 0, 256), b1(TPosition::B1, 512, 256), a2(TPosition::A2, 0, 256), b2(TPosition::B2, 0, 256);
    LocalTensor<float> c(TPosition::CO1, 0, 256);
    LocalTensor<int8_t> a8(TPosition::A2, 0, 512), b8(TPosition::B2, 0, 512);
    LocalTensor<int32_t> c8(TPosition::CO1, 0, 256);
    DataCopy(a1, xGm, 256);
    DataCopy(b1, xGm[256], 256);
    SetFlag<HardEvent::MTE2_MTE1>(0);
    WaitFlag<HardEvent::MTE2_MTE1>(0);
    LoadData(a2, a1, LoadData2DParams{0, 1, 1, 0, 0, false, 0});
    LoadData(b2, b1, LoadData2DParams{0, 1, 1, 0, 0, true, 0});
    SetFlag<HardEvent::MTE1_M>(0);
    WaitFlag<HardEvent::MTE1_M>(0);
    switch (rule) {
        case 0: Mmad(c, a2, b2, MmadParams{16, 16, 16}); break;
        case 1: Mmad(LocalTensor<float>(TPosition::CO1, 64, 256), a2, b2, MmadParams{16, 16, 16}); break;
        case 2: Mmad(c, a2, b2, MmadParams{16, 16, 4096}); break;
        case 3: Mmad(c, a2, b2, MmadParams{16, 32, 16}); break;
        case 4: Mmad(c, a2, b2, MmadParams{16, 16, 16, 0, false, false}); break;
        case 5: Adds(LocalTensor<float>(TPosition::VECIN, 0, 64), LocalTensor<float>(TPosition::VECIN, 0, 64), 1.0f, 64); break;
        case 6: SetFlag<HardEvent::MTE2_V>(0); break;
        case 18:
        case 19:
        case 7: Mmad(c8, a8, b8, MmadParams{16, 16, 32}); break;
        case 8: Mmad(c, a2, b2, MmadParams{16, 16, 16}); break;
        case 9: Mmad(c, a2, b2, MmadParams{1, 16, 16}); break;
        case 10:
        case 11: // A without L1
            SetFlag<HardEvent::MTE1_MTE2>(0);
            WaitFlag<HardEvent::MTE1_MTE2>(0);
            LoadData(a2, xGm, LoadData2DParams{0, 1, 1, 0, 0, false, 0});
            if (rule == 10) {
                SetFlag<HardEvent::MTE2_M>(0);
                WaitFlag<HardEvent::MTE2_M>(0);
            }
            Mmad(c, a2, b2, MmadParams{16, 16, 16});
            break;
        case 12:
        case 13: { // a map that SetFmatrix gave, or did not
            uint8_t pads[4] = {0, 0, 0, 0};
            LoadData3DParamsV2<half> p;
            p.channelSize = 16;
            p.kExtension = 16;
            p.mExtension = 16;
            if (rule == 12) SetFmatrix(4, 4, pads, FmatrixMode::FMATRIX_LEFT);
            PipeBarrier<PIPE_MTE1>();
            LoadData<half, KEEPS_MAP>(a2, a1, p);
            SetFlag<HardEvent::MTE1_M>(0);
            WaitFlag<HardEvent::MTE1_M>(0);
            Mmad(c, a2, b2, MmadParams{16, 16, 16});
            break;
        }
        case 21: Mmad(c, a2, b2, MmadParams{16, 16, 16, 1}); break;
        case 20:
        case 14:
        case 15: Mmad(c, a2, b2, MmadParams{16, 16, 16}); break;
        case 16: { LocalTensor<int32_t> ub(TPosition::VECCALC, 0, 8); GlobalTensor<int32_t> gm; gm.SetGlobalBuffer((__gm__ int32_t*)y, 256); IBSet(gm, ub, 0, 0); break; }
        case 17: LoadData(b2.ReinterpretCast<int8_t>(), b1.ReinterpretCast<int8_t>(), LoadData3DParamsV2<int8_t>()); break;
    }
    SetFlag<HardEvent::M_FIX>(0);
    WaitFlag<HardEvent::M_FIX>(0);
    if (rule == 18 || rule == 19) { // a scale a column: device memory, L1, the buffer of Fixpipe
        GlobalTensor<uint64_t> wordGm;
        wordGm.SetGlobalBuffer((__gm__ uint64_t*)y, 16);
        LocalTensor<uint64_t> words(TPosition::A1, 4096, 16), table(TPosition::C2PIPE2GM, 0, 16);
        for (int i = 0; i < 16; i++) {
            float value = i + 1;
            uint32_t word;
            memcpy(&word, &value, 4);
            wordGm.SetValue(i, word);
        }
        DataCacheCleanAndInvalid<uint64_t, CacheLine::ENTIRE_DATA_CACHE, DcciDst::CACHELINE_OUT>(wordGm);
        SetFlag<HardEvent::S_MTE2>(0);
        WaitFlag<HardEvent::S_MTE2>(0);
        DataCopy(words, wordGm, 16);
        SetFlag<HardEvent::MTE2_FIX>(0);
        WaitFlag<HardEvent::MTE2_FIX>(0);
        DataCopy(table, words, 16);
        if (rule == 18) PipeBarrier<PIPE_FIX>();
        Fixpipe<half, int32_t, CFG_ROW_MAJOR>(hGm, c8, table, FixpipeParamsV220(16, 16, 16, 16, false, VDEQF16));
    } else if (rule == 7) {
        uint32_t word;
        memcpy(&word, &scale, 4);
        Fixpipe<half, int32_t, CFG_ROW_MAJOR>(hGm, c8, FixpipeParamsV220(16, 16, 16, 16, false, DEQF16, word));
    } else if (rule == 8) {
        Fixpipe<half, float, CFG_ROW_MAJOR>(hGm, c, FixpipeParamsV220(16, 16, 16, 16, false));
    } else if (rule == 20) { // columns in groups of eight
        FixpipeParamsV220 p(16, 8, 16, 16, false);
        p.isChannelSplit = true;
        Fixpipe<float, float, CFG_NZ>(yGm, c, p);
    } else if (rule == 14 || rule == 15) {
        SetFixpipeNz2ndFlag(1, 0, 0);
        DataCopy(yGm, c, DataCopyCO12DstParams(16, 16, 16, 16, rule == 14 ? NoQuant : F322F16, 0, false, true));
    } else if (rule == 9) {
        Fixpipe<float, float, CFG_ROW_MAJOR>(yGm, c, FixpipeParamsV220(16, 1, 16, 16, false));
    } else {
        Fixpipe<float, float, CFG_ROW_MAJOR>(yGm, c, FixpipeParamsV220(16, 16, 16, 16, false));
    }
    PipeBarrier<PIPE_ALL>();
}
