// The machine's arithmetic peak, measured: nothing but multiply-adds on registers, on all threads at once.
// Main function: bench_peak. Rates in FLOP/s, two a multiply-add: by the wall clock, and by the time that the threads
// really ran (CLOCK_THREAD_CPUTIME_ID), which other work on the machine leaves alone.
#include "tessera.h"
#include <pthread.h>
#include <time.h>

#if defined(__AVX512F__)
enum { kLanes = 16 };
#elif defined(__AVX__)
enum { kLanes = 8 };
#else
enum { kLanes = 4 };
#endif
typedef float vf __attribute__((vector_size(kLanes * 4)));
enum { kChains = 12 };  // independent sums: more than latency times units of any core we know

static double secondsOf(clockid_t clock) {
  timespec t;
  clock_gettime(clock, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

// Each returns the operations of `turns` turns; `seed` keeps the loop from being computed at compile time.
static double fma32(i64 turns, float seed, float* out) {
  vf acc[kChains], x = 1 - seed - vf{}, y = seed - vf{};
#pragma GCC unroll 12
  for (int c = 0; c < kChains; c++) acc[c] = x * (float)(c + 1);  // unlike, or the compiler merges them
  for (i64 i = 0; i < turns; i++) {
#pragma GCC unroll 12
    for (int c = 0; c < kChains; c++) acc[c] = acc[c] * x + y;
  }
#pragma GCC unroll 12
  for (int c = 0; c < kChains; c++) *out += acc[c][0];
  return (double)turns * kChains * kLanes * 2;
}
#if defined(__AVX512BF16__)
static double pairs512(i64 turns, float seed, float* out) {
  u32 half = ts_to_bf16(seed);
  vf acc[kChains], x = ts_f(half << 16 | half) - vf{};  // no tiny halves: some cores are slow on those
#pragma GCC unroll 12
  for (int c = 0; c < kChains; c++) acc[c] = x * (float)(c + 1);  // unlike, or the compiler merges them
  for (i64 i = 0; i < turns; i++) {
#pragma GCC unroll 12
    for (int c = 0; c < kChains; c++) asm volatile("vdpbf16ps %1, %1, %0" : "+v"(acc[c]) : "v"(x));
  }
#pragma GCC unroll 12
  for (int c = 0; c < kChains; c++) *out += acc[c][0];
  return (double)turns * kChains * kLanes * 4;
}
#endif
#if defined(__AMX_BF16__)
static double tiles(i64 turns, float, float*) {
  struct alignas(64) { u8 palette, start, zero[14]; u16 bytes[16]; u8 rows[16]; } config = {};
  config.palette = 1;
  for (int t = 0; t < 8; t++) config.bytes[t] = 64, config.rows[t] = 16;
  asm volatile("ldtilecfg %0\n tilezero %%tmm4\n tilezero %%tmm5\n tilezero %%tmm6\n tilezero %%tmm7" ::"m"(config));
  asm volatile("tilezero %tmm0\n tilezero %tmm1\n tilezero %tmm2\n tilezero %tmm3");
  for (i64 i = 0; i < turns; i++)
    asm volatile("tdpbf16ps %tmm6, %tmm4, %tmm0\n tdpbf16ps %tmm7, %tmm4, %tmm1\n tdpbf16ps %tmm6, %tmm5, %tmm2\n tdpbf16ps %tmm7, %tmm5, %tmm3");
  asm volatile("tilerelease");
  return (double)turns * 4 * 16 * 16 * 32 * 2;
}
#endif

typedef double (*Loop)(i64, float, float*);
static const struct { const char* name; Loop run; } loops[] = {
  {"f32", fma32},
#if defined(__AVX512BF16__)
  {"vdpbf16ps", pairs512},
#endif
#if defined(__AMX_BF16__)
  {"amx", tiles},
#endif
};

struct Task { Loop run; double seconds, operations, cpuSeconds; float sink; };
static void* work(void* p) {
  Task* t = (Task*)p;
  double start = secondsOf(CLOCK_MONOTONIC), cpu = secondsOf(CLOCK_THREAD_CPUTIME_ID);
  do {  // until it has run for so long; on a machine that never lets it, until ten times as much has passed
    t->operations += t->run(20000, 1e-3f, &t->sink);
    t->cpuSeconds = secondsOf(CLOCK_THREAD_CPUTIME_ID) - cpu;
  } while (t->cpuSeconds < t->seconds && secondsOf(CLOCK_MONOTONIC) - start < 10 * t->seconds);
  return 0;
}

extern "C" {
const char* bench_peak_name(int kind) { return kind < (int)(sizeof loops / sizeof *loops) ? loops[kind].name : ""; }
// rates[0] by the wall clock, rates[1] by the threads' own time.
void bench_peak(int kind, int threads, double seconds, double* rates) {
  if (threads > 256) threads = 256;
  static Task tasks[256];
  pthread_t ids[256];
  double start = secondsOf(CLOCK_MONOTONIC), operations = 0, cpuSeconds = 0;
  for (int i = 0; i < threads; i++) {
    tasks[i] = {loops[kind].run, seconds, 0, 0, 0};
    if (pthread_create(&ids[i], 0, work, &tasks[i])) { threads = i; break; }
  }
  for (int i = 0; i < threads; i++) {
    pthread_join(ids[i], 0);
    operations += tasks[i].operations;
    cpuSeconds += tasks[i].cpuSeconds;
  }
  rates[0] = operations / (secondsOf(CLOCK_MONOTONIC) - start);
  rates[1] = operations / cpuSeconds * threads;
}
}
