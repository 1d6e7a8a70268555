// z[i] = x[index[i]] by one thread an element, its block's sum by a tree over UB, and a histogram of the indices mod 16.
#include "kernel_operator.h"
#include "simt_api/device_sync_functions.h"
#include "simt_api/device_atomic_functions.h"
using namespace AscendC;

constexpr uint32_t THREADS = 512;

__simt_callee__ inline float ValueAt(__gm__ float* x, int32_t at) { return x[at]; }

__simt_vf__ __launch_bounds__(512) inline void GatherValues(__ubuf__ float* z, __ubuf__ float* tree, __gm__ float* x, __ubuf__ int32_t* index, __gm__ float* sums, __gm__ int32_t* bins, uint32_t count)
{
    uint32_t i = threadIdx.x + threadIdx.y * blockDim.x;
    float value = 0;
    if (i < count) {
        value = ValueAt(x, index[i]);
        z[i] = value;
        asc_atomic_add(bins + index[i] % 16, 1);
    }
    tree[i] = value;
    asc_syncthreads();
    for (uint32_t width = THREADS / 2; width > 0; width /= 2) {
        if (i < width) tree[i] += tree[i + width];
        asc_syncthreads();
    }
    if (i == 0) sums[blockIdx.x] = tree[0];
}

extern "C" __global__ __aicore__ void simt_gather(GM_ADDR x, GM_ADDR index, GM_ADDR z, GM_ADDR sums, GM_ADDR bins, int64_t total)
{
    GlobalTensor<int32_t> indexGm;
    GlobalTensor<float> zGm;
    indexGm.SetGlobalBuffer((__gm__ int32_t*)index, total);
    zGm.SetGlobalBuffer((__gm__ float*)z, total);
    LocalTensor<int32_t> a(TPosition::VECIN, 0, 512);
    LocalTensor<float> b(TPosition::VECOUT, 2048, 512);
    LocalTensor<float> tree(TPosition::VECCALC, 4096, 512);
    int64_t at = GetBlockIdx() * 500;
    if (at >= total) return;
    uint32_t count = total - at < 500 ? total - at : 500;
    DataCopyPad(a, indexGm[at], {1, uint32_t(count * 4), 0, 0, 0}, {false, 0, 0, 0});
    SetFlag<HardEvent::MTE2_V>(0);
    WaitFlag<HardEvent::MTE2_V>(0);
    asc_vf_call<GatherValues>(dim3{64, 8, 1}, (__ubuf__ float*)b.GetPhyAddr(), (__ubuf__ float*)tree.GetPhyAddr(), (__gm__ float*)x, (__ubuf__ int32_t*)a.GetPhyAddr(), (__gm__ float*)sums, (__gm__ int32_t*)bins + 16 * GetBlockIdx(), count);
    SetFlag<HardEvent::V_MTE3>(0);
    WaitFlag<HardEvent::V_MTE3>(0);
    DataCopyPad(zGm[at], b, {1, uint32_t(count * 4), 0, 0, 0});
    PipeBarrier<PIPE_ALL>();
}
