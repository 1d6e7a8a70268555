// A mock libcnrt.so above the mock libcndrv.so.
#include "vendor.h"
using namespace mock;

extern "C" {
int mluDevices();
u64 mluAlloc(u64 size);
int mluFree(u64 address);
void mluMemory(std::size_t* free, std::size_t* total);
void* mluQueue();
int mluQueueDestroy(void* q);
int mluQueueWait(void* q);
int mluCopy(u64 dst, u64 src, std::size_t count, int kind);
int mluCopyLater(u64 dst, u64 src, std::size_t count, void* q, int kind);
const char* mluMessage();
}

enum { DEVICE_INVALID = 100005, ARGS_INVALID = 100006, RESOURCE = 100014, NO_MEMORY = 100100, NO_ATTRIBUTE = 632009, DIRECTION = 632013, NO_CONTEXT = 632019 };
static thread_local int device = -1;
#define ON_DEVICE if (device < 0) return NO_CONTEXT;

EXPORT int cnrtGetDeviceCount(unsigned* count) { *count = unsigned(mluDevices()); return 0; }
EXPORT int cnrtSetDevice(int index) { if (index < 0 || index >= mluDevices()) return DEVICE_INVALID; device = index; return 0; }
EXPORT int cnrtGetLibVersion(int* major, int* minor, int* patch) { *major = 6, *minor = 0, *patch = 2; return 0; }
EXPORT const char* cnrtGetErrorStr(int) { return mluMessage(); }
EXPORT int cnrtDeviceGetAttribute(int* value, int attribute, int index) {
  if (index < 0 || index >= mluDevices()) return DEVICE_INVALID;
  const char* isa = std::getenv("TESSERA_MOCK_ISA");
  switch (attribute) {
    case 0x205: *value = 4; return 0;
    case 0x206: *value = 4; return 0;
    case 0x20a: *value = isa ? std::atoi(isa) : 372; return 0;
    default: return NO_ATTRIBUTE;
  }
}
EXPORT int cnrtMemGetInfo(std::size_t* free, std::size_t* total) { ON_DEVICE mluMemory(free, total); return 0; }
EXPORT int cnrtQueueCreate(void** q) { ON_DEVICE *q = mluQueue(); return 0; }
EXPORT int cnrtQueueDestroy(void* q) { ON_DEVICE return mluQueueDestroy(q) ? RESOURCE : 0; }
EXPORT int cnrtQueueSync(void* q) { ON_DEVICE return mluQueueWait(q); }
EXPORT int cnrtMalloc(u64* address, std::size_t size) {
  ON_DEVICE
  if (size == 0) return ARGS_INVALID;
  *address = mluAlloc(size);
  return *address ? 0 : NO_MEMORY;
}
EXPORT int cnrtFree(u64 address) { ON_DEVICE return mluFree(address) ? ARGS_INVALID : 0; }
EXPORT int cnrtMemcpy(u64 dst, u64 src, std::size_t size, int kind) {
  ON_DEVICE
  if (kind < 0 || kind > 2) return DIRECTION;
  return mluCopy(dst, src, size, kind) ? ARGS_INVALID : 0;
}
EXPORT int cnrtMemcpyAsync(u64 dst, u64 src, std::size_t size, void* q, int kind) { ON_DEVICE return mluCopyLater(dst, src, size, q, kind); }
