// A mock libascendcl.so: one device whose kernels run on our simulator. See vendor.h for what it is strict about.
// $TESSERA_MOCK_SOC names the device, $TESSERA_MOCK_DEVICES says how many there are.
#include "vendor.h"
using namespace mock;

enum {
  INVALID_PARAM = 100000, UNINITIALIZE = 100001, REPEAT_INITIALIZE = 100002, RT_PARAM = 107000, DEVICEID = 107001, CONTEXT_NULL = 107002,
  STREAM_CONTEXT = 107003, MEMORY_TYPE = 107016, HANDLE = 107017, OUT_OF_MEMORY = 207001, FAILURE = 500001, AICORE = 507015,
  LOOKUP = 507027, VECTOR_CORE = 507035,
};
static bool isInitialized = false;
static thread_local int device = -1;
static int numDevices() { const char* n = std::getenv("TESSERA_MOCK_DEVICES"); return n ? std::atoi(n) : 1; }

static int refuse(int code, const char* what) { say("%s", what); return code; }
#define READY if (!isInitialized) return refuse(UNINITIALIZE, "aclInit was not called");
#define ON_DEVICE READY if (device < 0) return refuse(CONTEXT_NULL, "no device is set on this thread");
#define STREAM(s) if (!streams.count((Stream*)(s))) return refuse(STREAM_CONTEXT, "no stream of this context");

EXPORT int aclInit(const char*) {
  if (isInitialized) return refuse(REPEAT_INITIALIZE, "aclInit was called before");
  isInitialized = true;
  return 0;
}
EXPORT int aclFinalize() {
  READY
  if (!memory.blocks.empty() || !streams.empty() || !modules.empty()) {
    say("left behind: %d blocks, %d streams, %d binaries", int(memory.blocks.size()), int(streams.size()), int(modules.size()));
    return FAILURE;
  }
  isInitialized = false;
  device = -1;
  return 0;
}
EXPORT const char* aclGetRecentErrMsg() {
  static std::string shown;
  shown.swap(lastMessage);
  lastMessage.clear();
  return shown.empty() ? nullptr : shown.c_str();
}
EXPORT int aclrtGetVersion(int* major, int* minor, int* patch) { *major = 9, *minor = 1, *patch = 0; return 0; }
EXPORT int aclrtGetDeviceCount(unsigned* count) { READY *count = unsigned(numDevices()); return 0; }
EXPORT const char* aclrtGetSocName() {
  if (device < 0) return nullptr;
  const char* name = std::getenv("TESSERA_MOCK_SOC");
  return name ? name : "Ascend910B3";
}
EXPORT int aclrtSetDevice(int index) {
  READY
  if (index < 0 || index >= numDevices()) return refuse(DEVICEID, "no such device");
  device = index;
  return 0;
}
EXPORT int aclrtResetDevice(int index) { ON_DEVICE if (index != device) return DEVICEID; device = -1; return 0; }
EXPORT int aclrtGetMemInfo(int kind, std::size_t* free, std::size_t* total) {
  ON_DEVICE
  if (kind != 1) return INVALID_PARAM;
  *total = memory.capacity, *free = memory.capacity - memory.used;
  return 0;
}
EXPORT int aclrtCreateStream(void** stream) { ON_DEVICE auto* s = new Stream; streams.insert(s); *stream = s; return 0; }
EXPORT int aclrtDestroyStream(void* stream) {
  ON_DEVICE STREAM(stream)
  streams.erase((Stream*)stream);
  delete (Stream*)stream;
  return 0;
}
EXPORT int aclrtSynchronizeStream(void* stream) { ON_DEVICE STREAM(stream) return ((Stream*)stream)->wait(); }

EXPORT int aclrtMalloc(u64* address, std::size_t size, int policy) {
  ON_DEVICE
  if (size == 0 || policy < 0 || policy > 2) return refuse(INVALID_PARAM, "size or policy");
  *address = memory.alloc(size);
  return *address ? 0 : refuse(OUT_OF_MEMORY, "device memory is full");
}
EXPORT int aclrtFree(u64 address) { ON_DEVICE return memory.free(address) ? 0 : refuse(INVALID_PARAM, "not allocated, or freed before"); }

/// The host's pointer to bytes of one side of a copy; null when the side is not what `isDevice` says.
static char* side(u64 address, std::size_t size, bool isDevice) {
  if (isDevice) return memory.range(address, size);
  return memory.isDevice(address) ? nullptr : (char*)std::uintptr_t(address);
}
static int copy(u64 dst, std::size_t dstMax, u64 src, std::size_t count, int kind) {
  if (kind < 0 || kind > 3) return refuse(INVALID_PARAM, "no such kind of copy");
  if (count > dstMax) return refuse(INVALID_PARAM, "destination is too small");
  char *to = side(dst, count, kind == 1 || kind == 3), *from = side(src, count, kind == 2 || kind == 3);
  if (!to || !from) return refuse(MEMORY_TYPE, to ? "source is not what the kind of copy says" : "destination is not what the kind of copy says");
  if (to < from + count && from < to + count) return refuse(INVALID_PARAM, "source and destination overlap");
  const Memory::Open open(memory);
  std::memcpy(to, from, count);
  return 0;
}
EXPORT int aclrtMemcpy(u64 dst, std::size_t dstMax, u64 src, std::size_t count, int kind) { ON_DEVICE return copy(dst, dstMax, src, count, kind); }
EXPORT int aclrtMemcpyAsync(u64 dst, std::size_t dstMax, u64 src, std::size_t count, int kind, void* stream) {
  ON_DEVICE STREAM(stream)
  if (kind != 3) return refuse(MEMORY_TYPE, "host memory is not page-locked");
  ((Stream*)stream)->tasks.push_back([=] { return copy(dst, dstMax, src, count, kind); });
  return 0;
}

EXPORT int aclrtBinaryLoadFromData(const void* data, std::size_t size, const void* options, void** binary) {
  ON_DEVICE
  if (options) return refuse(INVALID_PARAM, "options");
  *binary = loadModule(data, size);
  return *binary ? 0 : LOOKUP;
}
EXPORT int aclrtBinaryUnLoad(void* binary) { ON_DEVICE return unloadModule((Module*)binary) ? 0 : refuse(HANDLE, "no binary"); }
EXPORT int aclrtBinaryGetFunction(void* binary, const char* name, const void** kernel) {
  ON_DEVICE
  if (!modules.count((Module*)binary)) return refuse(HANDLE, "no binary");
  *kernel = findKernel((Module*)binary, name);
  return *kernel ? 0 : refuse(LOOKUP, name);
}

static int runKernel(Enter enter, int numBlocks, const std::vector<u64>& words) {
  char report[2048] = "";
  const int code = enter(words.data(), resolve, blockAt, numBlocks, -1, report, sizeof report);
  if (code == 0) return 0;
  say("%s", report);
  return code == 2 ? AICORE : VECTOR_CORE;
}
static int enqueue(void* stream, Enter enter, unsigned numBlocks, std::vector<u64> words) {
  if (numBlocks == 0 || numBlocks > 65535) return refuse(INVALID_PARAM, "number of blocks");
  ((Stream*)stream)->tasks.push_back([=] { return runKernel(enter, int(numBlocks), words); });
  return 0;
}
#define KERNEL(k) if (!kernels.count((const Kernel*)(k))) return refuse(HANDLE, "no kernel");

EXPORT int aclrtLaunchKernelWithArgsArray(void* kernel, unsigned numBlocks, void* stream, void* config, void** args) {
  ON_DEVICE STREAM(stream) KERNEL(kernel)
  if (config) return refuse(INVALID_PARAM, "config");
  const auto* k = (const Kernel*)kernel;
  std::vector<u64> words(64);
  words.resize(k->pack(args, words.data()));
  return enqueue(stream, k->enter, numBlocks, words);
}
/// How many arguments a kernel takes: packing tells, given something to pack.
static int numArgsOf(const Kernel* k) {
  u64 zero = 0, words[64];
  std::vector<void*> args(64, &zero);
  return k->pack(args.data(), words);
}
EXPORT int aclrtLaunchKernelWithHostArgs(void* kernel, unsigned numBlocks, void* stream, void* config, void* args, std::size_t size, void* holes, std::size_t numHoles) {
  ON_DEVICE STREAM(stream) KERNEL(kernel)
  const auto* k = (const Kernel*)kernel;
  if (config || holes || numHoles) return refuse(INVALID_PARAM, "config or placeholders");
  if (size != std::size_t(8 * numArgsOf(k))) return refuse(RT_PARAM, "size of the arguments");
  if (memory.isDevice(u64(std::uintptr_t(args)))) return refuse(MEMORY_TYPE, "arguments in device memory");
  const u64* words = (const u64*)args;
  return enqueue(stream, k->enter, numBlocks, std::vector<u64>(words, words + size / 8));
}
EXPORT int aclrtLaunchKernel(void* kernel, unsigned numBlocks, u64 args, std::size_t size, void* stream) {
  ON_DEVICE STREAM(stream) KERNEL(kernel)
  const auto* k = (const Kernel*)kernel;
  if (size != std::size_t(8 * numArgsOf(k))) return refuse(RT_PARAM, "size of the arguments");
  if (numBlocks == 0 || numBlocks > 65535) return refuse(INVALID_PARAM, "number of blocks");
  if (!memory.range(args, size)) return refuse(MEMORY_TYPE, "arguments are not in device memory");
  // Read when the kernel runs, as the chip does.
  ((Stream*)stream)->tasks.push_back([=] {
    const u64* words = (const u64*)memory.range(args, size);
    if (!words) return refuse(AICORE, "arguments were freed before the kernel ran");
    return runKernel(k->enter, int(numBlocks), std::vector<u64>(words, words + size / 8));
  });
  return 0;
}
EXPORT void tesseraMockLaunch(Enter enter, int numBlocks, void* stream, const u64* words, int numWords) {
  if (streams.count((Stream*)stream)) enqueue(stream, enter, unsigned(numBlocks), std::vector<u64>(words, words + numWords));
}
