// A mock libcndrv.so: contexts, modules and launches on our simulator, and the memory and queues that libcnrt.so hands
// out. $TESSERA_MOCK_ISA is the device's instruction set, $TESSERA_MOCK_DEVICES says how many devices there are.
#include "vendor.h"
using namespace mock;

enum {
  NOT_INITIALIZED = 100002, INVALID_DEVICE = 100005, INVALID_VALUE = 100006, INVALID_HANDLE = 100014, NOT_PERMITTED = 100051,
  QUEUE_INVALID = 100060, OUT_OF_MEMORY = 100100, INVALID_ADDRESS = 100102, ILLEGAL_ADDRESS = 100131, INVOKE_ERROR = 100200,
  CONTEXT_INVALID = 100201, INVALID_FATBIN = 100300, NOT_FOUND = 100301, INVALID_KERNEL = 100302,
};
static bool isInitialized = false;
static thread_local void* context = nullptr;
static int shared = 0;
static int contextObject;
static int numDevices() { const char* n = std::getenv("TESSERA_MOCK_DEVICES"); return n ? std::atoi(n) : 1; }
#define READY if (!isInitialized) return NOT_INITIALIZED;
#define IN_CONTEXT READY if (context != &contextObject) return CONTEXT_INVALID;

EXPORT int cnInit(unsigned flags) { if (flags) return INVALID_VALUE; isInitialized = true; return 0; }
EXPORT int cnDeviceGet(int* device, int index) { READY if (index < 0 || index >= numDevices()) return INVALID_DEVICE; *device = index; return 0; }
EXPORT int cnDeviceGetName(char* name, unsigned size, int device) {
  READY
  if (device < 0 || device >= numDevices()) return INVALID_DEVICE;
  const char* isa = std::getenv("TESSERA_MOCK_ISA");
  const std::string text = isa && std::string(isa) == "592" ? "MLU590-M9" : "MLU370-X8";
  if (size <= text.size()) return INVALID_VALUE;
  std::strcpy(name, text.c_str());
  return 0;
}
EXPORT int cnSharedContextAcquire(void** out, int device) { READY if (device < 0 || device >= numDevices()) return INVALID_DEVICE; shared++; *out = &contextObject; return 0; }
EXPORT int cnSharedContextRelease(int) { READY if (shared == 0) return CONTEXT_INVALID; if (--shared == 0) context = nullptr; return 0; }
EXPORT int cnCtxSetCurrent(void* c) { READY if (c != &contextObject || shared == 0) return CONTEXT_INVALID; context = c; return 0; }
EXPORT int cnModuleLoadFatBinary(const void* data, void** module) {
  IN_CONTEXT
  // A fat binary says its own size; the mock compiler of CNRTC wrote it before the library.
  u64 size;
  if (std::memcmp(data, "MOCKFAT", 8) != 0) return INVALID_FATBIN;
  std::memcpy(&size, (const char*)data + 8, 8);
  *module = loadModule((const char*)data + 16, size);
  return *module ? 0 : INVALID_FATBIN;
}
EXPORT int cnModuleUnload(void* module) { IN_CONTEXT return unloadModule((Module*)module) ? 0 : INVALID_HANDLE; }
EXPORT int cnModuleGetKernel(void* module, const char* name, const void** kernel) {
  IN_CONTEXT
  if (!modules.count((Module*)module)) return INVALID_HANDLE;
  *kernel = findKernel((Module*)module, name);
  return *kernel ? 0 : NOT_FOUND;
}

static int enqueue(void* queue, Enter enter, int numBlocks, int kind, std::vector<u64> words) {
  ((Stream*)queue)->tasks.push_back([=] {
    char report[2048] = "";
    const int code = enter(words.data(), resolve, blockAt, numBlocks, kind, report, sizeof report);
    if (code) say("%s", report);
    return code == 0 ? 0 : code == 2 ? int(ILLEGAL_ADDRESS) : int(INVOKE_ERROR);
  });
  return 0;
}
EXPORT int cnInvokeKernel(const void* kernel, unsigned x, unsigned y, unsigned z, int kernelClass, unsigned reserve, void* queue, void** args, void** extra) {
  IN_CONTEXT
  if (!kernels.count((const Kernel*)kernel)) return INVALID_KERNEL;
  if (!streams.count((Stream*)queue)) return QUEUE_INVALID;
  if (x == 0 || y == 0 || z == 0 || reserve || extra || !args) return INVALID_VALUE;
  int kind = -1;
  for (const auto [from, to] : {std::pair{1, 0}, {4, 1}, {8, 2}, {16, 4}, {32, 8}, {64, 16}})
    if (from == kernelClass) kind = to;
  if (kind < 0 || (kind > 0 && x % (4 * kind))) return INVALID_VALUE;
  const auto* k = (const Kernel*)kernel;
  std::vector<u64> words(64);
  words.resize(k->pack(args, words.data()));
  return enqueue(queue, k->enter, int(x * y * z), kind, words);
}
EXPORT void tesseraMockLaunch(Enter enter, int numBlocks, void* queue, const u64* words, int numWords) {
  if (streams.count((Stream*)queue)) enqueue(queue, enter, numBlocks, 0, std::vector<u64>(words, words + numWords));
}

// For libcnrt.so, which has the device of this thread.
EXPORT int mluDevices() { return numDevices(); }
EXPORT u64 mluAlloc(u64 size) { return memory.alloc(size); }
EXPORT int mluFree(u64 address) { return memory.free(address) ? 0 : INVALID_ADDRESS; }
EXPORT void mluMemory(std::size_t* free, std::size_t* total) { *total = memory.capacity, *free = memory.capacity - memory.used; }
EXPORT void* mluQueue() { auto* s = new Stream; streams.insert(s); return s; }
EXPORT int mluQueueDestroy(void* q) { if (!streams.erase((Stream*)q)) return QUEUE_INVALID; delete (Stream*)q; return 0; }
EXPORT int mluQueueWait(void* q) { return streams.count((Stream*)q) ? ((Stream*)q)->wait() : QUEUE_INVALID; }
EXPORT int mluCopy(u64 dst, u64 src, std::size_t count, int kind) {
  if (kind < 0 || kind > 2) return INVALID_VALUE;
  const auto side = [&](u64 at, bool isDevice) -> char* {
    if (isDevice) return memory.range(at, count);
    return memory.isDevice(at) ? nullptr : (char*)std::uintptr_t(at);
  };
  char *to = side(dst, kind != 2), *from = side(src, kind != 0);
  if (!to || !from) return INVALID_ADDRESS;
  if (to < from + count && from < to + count) return INVALID_VALUE;
  const Memory::Open open(memory);
  std::memcpy(to, from, count);
  return 0;
}
EXPORT int mluCopyLater(u64 dst, u64 src, std::size_t count, void* q, int kind) {
  if (!streams.count((Stream*)q)) return QUEUE_INVALID;
  if (kind != 1) return NOT_PERMITTED;
  ((Stream*)q)->tasks.push_back([=] { return mluCopy(dst, src, count, kind); });
  return 0;
}
EXPORT const char* mluMessage() { return lastMessage.c_str(); }
/// What a process has not given back: blocks, queues and modules.
EXPORT int tesseraMockLeft() { return int(memory.blocks.size() + streams.size() + modules.size()); }
