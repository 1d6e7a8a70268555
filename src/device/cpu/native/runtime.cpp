// The native side of the cpu device: thread pool, launches, aligned memory, library loading, CPU probe.
// One launch block is a row of doubles: [function, numPrograms0..2, scratchBytes, flags, numArgs, args...]; addresses
// are exact in a double, so JavaScript writes one Float64Array and makes one call.
// The pool: a 64-bit ticket (job number, programs left) is the only queue. A worker that takes part of a job by
// compare-and-swap may use the job's fields until it reports, because the caller cannot finish before that.
#include <dlfcn.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#if defined(__linux__)
#include <linux/futex.h>
#include <sys/syscall.h>
#endif
#if defined(__x86_64__)
#include <cpuid.h>
#endif

typedef void (*KernelFn)(const double* args, long long p0, long long p1, long long p2, char* scratch);
enum { kFn, kN0, kN1, kN2, kScratch, kFlags, kNumArgs, kHeader };

static const long kSpinNs = 8000;  // bounded: a competing process costs at most this much
static int numWorkers = 0;
static pthread_t workers[256];

alignas(64) static volatile uint64_t ticket = 0;   // job number << 32 | programs left
alignas(64) static volatile uint32_t pending = 0;  // programs not yet finished
alignas(64) static volatile uint32_t wakeWord = 0;
alignas(64) static volatile uint32_t sleepers = 0;
static volatile uint32_t callerSleeps = 0;
static volatile int stopping = 0;
static const double* job;
static long jobTotal;

struct Scratch { char* p; size_t size; };
static __thread Scratch scratch;

static char* scratchOf(size_t need) {
  if (scratch.size < need) {
    free(scratch.p);
    size_t size = (need + 4095) & ~(size_t)4095;
    if (posix_memalign((void**)&scratch.p, 4096, size)) abort();
    scratch.size = size;
  }
  return scratch.p;
}

static void futexWait(volatile uint32_t* word, uint32_t value) {
#if defined(__linux__)
  syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, 0, 0, 0);
#else
  (void)word; (void)value; struct timespec t = {0, 50000}; nanosleep(&t, 0);
#endif
}
static void futexWake(volatile uint32_t* word, int count) {
#if defined(__linux__)
  syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, count, 0, 0, 0);
#else
  (void)word; (void)count;
#endif
}
static inline void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}
static long nowNs() {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000000L + t.tv_nsec;
}

static void runRange(const double* j, long from, long to) {
  KernelFn fn = (KernelFn)(uintptr_t)j[kFn];
  long n0 = (long)j[kN0], n1 = (long)j[kN1];
  char* s = scratchOf((size_t)j[kScratch]);
  long p0 = from % n0, rest = from / n0, p1 = rest % n1, p2 = rest / n1;
  for (long i = from; i < to; i++) {
    fn(j + kHeader, p0, p1, p2, s);
    if (++p0 == n0) { p0 = 0; if (++p1 == n1) { p1 = 0; p2++; } }
  }
}

// Takes programs of the current job until none are left.
static void work() {
  for (;;) {
    uint64_t t = __atomic_load_n(&ticket, __ATOMIC_ACQUIRE);
    uint32_t left = (uint32_t)t;
    if (left == 0) return;
    uint32_t take = left / (uint32_t)(4 * (numWorkers + 1));
    if (take == 0) take = 1;
    if (!__atomic_compare_exchange_n(&ticket, &t, t - take, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)) continue;
    long from = jobTotal - (long)left;
    runRange(job, from, from + take);
    if (__atomic_sub_fetch(&pending, take, __ATOMIC_ACQ_REL) == 0 && __atomic_load_n(&callerSleeps, __ATOMIC_SEQ_CST))
      futexWake(&pending, 1);
  }
}

static void* workerMain(void*) {
  uint32_t seen = 0;
  while (!stopping) {
    long until = 0;
    bool got = false;
    for (int i = 0;; i++) {
      if ((uint32_t)__atomic_load_n(&ticket, __ATOMIC_ACQUIRE) != 0) { got = true; break; }
      relax();
      if ((i & 31) == 0) {
        long now = nowNs();
        if (until == 0) until = now + kSpinNs;
        else if (now > until) break;
      }
    }
    if (got) { work(); continue; }
    __atomic_add_fetch(&sleepers, 1, __ATOMIC_SEQ_CST);
    seen = __atomic_load_n(&wakeWord, __ATOMIC_SEQ_CST);
    if ((uint32_t)__atomic_load_n(&ticket, __ATOMIC_SEQ_CST) == 0 && !stopping) futexWait(&wakeWord, seen);
    __atomic_sub_fetch(&sleepers, 1, __ATOMIC_SEQ_CST);
  }
  return 0;
}

static void launchBlock(const double* j) {
  long total = (long)j[kN0] * (long)j[kN1] * (long)j[kN2];
  if (total <= 0) return;
  if (total == 1 || numWorkers == 0 || j[kFlags] != 0 || total > 0x7fffffffL) { runRange(j, 0, total); return; }
  job = j;
  jobTotal = total;
  __atomic_store_n(&pending, (uint32_t)total, __ATOMIC_RELAXED);
  uint64_t number = (ticket >> 32) + 1;
  __atomic_store_n(&ticket, (number << 32) | (uint64_t)total, __ATOMIC_SEQ_CST);
  if (__atomic_load_n(&sleepers, __ATOMIC_SEQ_CST)) {
    __atomic_add_fetch(&wakeWord, 1, __ATOMIC_SEQ_CST);
    futexWake(&wakeWord, total - 1 < numWorkers ? (int)(total - 1) : numWorkers);
  }
  work();
  long until = 0;
  for (int i = 0; __atomic_load_n(&pending, __ATOMIC_ACQUIRE) != 0; i++) {
    relax();
    if ((i & 31) != 0) continue;
    long now = nowNs();
    if (until == 0) until = now + kSpinNs;
    if (now <= until) continue;
    __atomic_store_n(&callerSleeps, 1, __ATOMIC_SEQ_CST);
    for (uint32_t p; (p = __atomic_load_n(&pending, __ATOMIC_SEQ_CST)) != 0;) futexWait(&pending, p);
    __atomic_store_n(&callerSleeps, 0, __ATOMIC_SEQ_CST);
  }
}

extern "C" {
int ts_start(int threads) {
  stopping = 0;
  for (int i = numWorkers; i < threads - 1 && i < 256; i++) {
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, 4 << 20);
    if (pthread_create(&workers[i], &attr, workerMain, 0)) break;
    numWorkers = i + 1;
  }
  return numWorkers + 1;
}
void ts_stop() {
  stopping = 1;
  __atomic_add_fetch(&wakeWord, 1, __ATOMIC_SEQ_CST);
  futexWake(&wakeWord, numWorkers);
  for (int i = 0; i < numWorkers; i++) pthread_join(workers[i], 0);
  numWorkers = 0;
}
void ts_launch(uintptr_t block) { launchBlock((const double*)block); }
// Blocks of a recorded list lie one after the other.
void ts_replay(uintptr_t list, int count) {
  const double* j = (const double*)list;
  for (int i = 0; i < count; i++) { launchBlock(j); j += kHeader + (long)j[kNumArgs]; }
}

uintptr_t ts_alloc(double size) {
  void* p = 0;
  size_t n = ((size_t)size + 63) & ~(size_t)63;
  bool large = n >= (4u << 20);
  if (posix_memalign(&p, large ? (2u << 20) : 64, n)) return 0;
#if defined(MADV_HUGEPAGE)
  if (large) madvise(p, n, MADV_HUGEPAGE);
#endif
  return (uintptr_t)p;
}
void ts_free(uintptr_t p) { free((void*)p); }
void ts_copy(uintptr_t dst, uintptr_t src, double n) { memmove((void*)dst, (void*)src, (size_t)n); }
static void copyKernel(const double* a, long long, long long, long long, char*) {
  memmove((void*)(uintptr_t)a[0], (void*)(uintptr_t)a[1], (size_t)a[2]);
}
uintptr_t ts_copy_kernel() { return (uintptr_t)copyKernel; }
void ts_copy_in(uintptr_t dst, const void* src, double n) { memcpy((void*)dst, src, (size_t)n); }
void ts_copy_out(void* dst, uintptr_t src, double n) { memcpy(dst, (void*)src, (size_t)n); }

uintptr_t ts_open(const char* path, int global) { return (uintptr_t)dlopen(path, RTLD_NOW | (global ? RTLD_GLOBAL : RTLD_LOCAL)); }
uintptr_t ts_symbol(uintptr_t lib, const char* name) { return (uintptr_t)dlsym((void*)lib, name); }
const char* ts_error() { const char* e = dlerror(); return e ? e : ""; }

// Feature names separated by blanks, only those the operating system also saves the registers of.
const char* ts_probe() {
  static char out[256];
  out[0] = 0;
#if defined(__x86_64__)
  unsigned a, b, c, d;
  if (!__get_cpuid(1, &a, &b, &c, &d)) return out;
  bool osxsave = c & (1u << 27), fma = c & (1u << 12), f16c = c & (1u << 29), avx = c & (1u << 28);
  if (c & (1u << 19)) strcat(out, "sse4.1 ");
  if (!osxsave || !avx) return out;
  unsigned lo, hi;
  asm volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
  if ((lo & 6) != 6) return out;
  strcat(out, "avx ");
  if (fma) strcat(out, "fma ");
  if (f16c) strcat(out, "f16c ");
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return out;
  if (b & (1u << 5)) strcat(out, "avx2 ");
  if (b & (1u << 8)) strcat(out, "bmi2 ");
  bool zmm = (lo & 0xe6) == 0xe6 && (b & (1u << 16));
  if (zmm) strcat(out, "avx512f ");
  if (zmm && (b & (1u << 17))) strcat(out, "avx512dq ");
  if (zmm && (b & (1u << 30))) strcat(out, "avx512bw ");
  if (zmm && (b & (1u << 31))) strcat(out, "avx512vl ");
  bool amx = (lo & (3u << 17)) == (3u << 17) && (d & (1u << 24)) && (d & (1u << 22));
  unsigned a1, b1, c1, d1;
  if (zmm && __get_cpuid_count(7, 1, &a1, &b1, &c1, &d1) && (a1 & (1u << 5))) strcat(out, "avx512bf16 ");
#if defined(__linux__)
  // ARCH_REQ_XCOMP_PERM for XTILEDATA: the kernel must agree to save the tile registers.
  if (amx && syscall(SYS_arch_prctl, 0x1023, 18) == 0) strcat(out, "amx-tile amx-bf16 ");
#endif
#elif defined(__aarch64__)
  strcat(out, "neon ");
#endif
  return out;
}
}
