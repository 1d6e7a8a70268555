// Each block counts the numbers above zero of its part and writes the count by the scalar unit, one cache line a block.
#include "kernel_operator.h"
using namespace AscendC;

constexpr uint32_t PART = 64;

extern "C" __global__ __aicore__ void count_scalar(GM_ADDR x, GM_ADDR counts, int64_t parts)
{
    GlobalTensor<int32_t> xGm, countGm;
    xGm.SetGlobalBuffer((__gm__ int32_t*)x, parts * PART);
    countGm.SetGlobalBuffer((__gm__ int32_t*)counts, parts * 16);
    LocalTensor<int32_t> local(TPosition::VECIN, 0, PART);
    for (int64_t part = GetBlockIdx(); part < parts; part += GetBlockNum()) {
        DataCopy(local, xGm[part * PART], PART);
        SetFlag<HardEvent::MTE2_S>(EVENT_ID0);
        WaitFlag<HardEvent::MTE2_S>(EVENT_ID0);
        int32_t count = 0;
        for (uint32_t i = 0; i < PART; i++) {
            count += local.GetValue(i) > 0 ? 1 : 0;
        }
        countGm.SetValue(part * 16, count);
        DataCacheCleanAndInvalid<int32_t, CacheLine::SINGLE_CACHE_LINE, DcciDst::CACHELINE_OUT>(countGm[part * 16]);
    }
}
