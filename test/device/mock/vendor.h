// What the mock libraries of both vendors share. Strict where a real one may be lenient, so that mistakes of a driver
// are seen: device memory has addresses of its own that are no host pointers, work runs when it is waited for and not
// before, what was freed is gone, and every handle is known.
#pragma once
#include <dlfcn.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#define EXPORT extern "C" __attribute__((visibility("default")))

namespace mock {
using u64 = std::uint64_t;

/// What a kernel's library exports beside the kernel: see entry.h.
typedef int (*Enter)(const u64* words, int (*resolve)(u64, u64*, void**), int (*blockAt)(int, u64*, void**), int numBlocks, int kind, char* report, int bytes);
typedef int (*Pack)(void* const* args, u64* words);
struct Kernel {
  Enter enter;
  Pack pack;
};

/// Addresses of its own, which the host cannot touch but while work runs (`Open`): a driver that takes one for its own
/// memory ends with a fault, and a kernel may follow an address that it has read.
struct Memory {
  static constexpr u64 SPACE = u64(1) << 36;
  u64 base = 0, next = 0;
  u64 used = 0;
  u64 capacity = u64(1) << 30;
  int numOpen = 0;
  /// Sizes by address.
  std::map<u64, u64> blocks;

  Memory() {
    base = next = u64(std::uintptr_t(mmap(nullptr, SPACE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)));
  }
  u64 alloc(u64 size) {
    // A gap after every block: what runs over meets nobody.
    const u64 room = (size + 4095) / 4096 * 4096 + 65536;
    if (used + size > capacity || next + room > base + SPACE) return 0;
    const u64 at = next;
    next += room, used += size;
    blocks.emplace(at, size);
    const Open open(*this);
    std::memset((void*)std::uintptr_t(at), 0x7f, size);
    return at;
  }
  bool free(u64 at) {
    auto it = blocks.find(at);
    if (it == blocks.end()) return false;
    used -= it->second;
    madvise((void*)std::uintptr_t(at), (it->second + 4095) / 4096 * 4096, MADV_DONTNEED);
    blocks.erase(it);
    return true;
  }
  /// `address` and the bytes from there to the end of its block, or null.
  char* find(u64 address, u64* rest) {
    auto it = blocks.upper_bound(address);
    if (it == blocks.begin()) return nullptr;
    --it;
    if (address >= it->first + it->second) return nullptr;
    *rest = it->second - (address - it->first);
    return (char*)std::uintptr_t(address);
  }
  char* range(u64 address, u64 size) {
    u64 rest = 0;
    char* p = find(address, &rest);
    return p && size <= rest ? p : nullptr;
  }
  /// Whether an address is one of ours, alive or not.
  bool isDevice(u64 address) const { return address >= base && address < next; }

  struct Open {
    Memory& m;
    explicit Open(Memory& memory) : m(memory) { if (m.numOpen++ == 0) m.protect(PROT_READ | PROT_WRITE); }
    ~Open() { if (--m.numOpen == 0) m.protect(PROT_NONE); }
  };
  void protect(int how) { mprotect((void*)std::uintptr_t(base), next - base, how); }
};
inline Memory memory;
inline int resolve(u64 address, u64* size, void** host) {
  char* p = memory.find(address, size);
  *host = p;
  return p ? 0 : 1;
}

/// The block with a number, which a kernel may reach by an address that it reads; 1 after the last.
inline int blockAt(int number, u64* size, void** host) {
  if (number >= int(memory.blocks.size())) return 1;
  const auto& [at, bytes] = *std::next(memory.blocks.begin(), number);
  *size = bytes, *host = (void*)std::uintptr_t(at);
  return 0;
}

inline std::string lastMessage;
inline void say(const char* text, ...) {
  char out[4096];
  va_list list;
  va_start(list, text);
  std::vsnprintf(out, sizeof out, text, list);
  va_end(list);
  lastMessage = out;
}

/// Work in order; a task returns a status.
struct Stream {
  std::deque<std::function<int()>> tasks;
  int wait() {
    const Memory::Open open(memory);
    while (!tasks.empty()) {
      auto task = std::move(tasks.front());
      tasks.pop_front();
      if (int code = task()) {
        tasks.clear();
        return code;
      }
    }
    return 0;
  }
};
inline std::set<Stream*> streams;

struct Module {
  void* library = nullptr;
  std::map<std::string, std::unique_ptr<Kernel>> kernels;
};
inline std::set<Module*> modules;
inline std::set<const Kernel*> kernels;

/// For mkstemp and mkdtemp, where temporary files go.
inline std::string temporary() {
  return (std::filesystem::temp_directory_path() / "tessera-mock-XXXXXX").string();
}

inline Module* loadModule(const void* data, std::size_t size) {
  if (size < 4 || std::memcmp(data, "\177ELF", 4) != 0) return nullptr;
  std::string path = temporary();
  const int fd = mkstemp(path.data());
  if (fd < 0 || write(fd, data, size) != ssize_t(size)) return nullptr;
  close(fd);
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library) say("%s", dlerror());
  unlink(path.c_str());
  if (!library) return nullptr;
  auto* m = new Module{library, {}};
  modules.insert(m);
  return m;
}
inline const Kernel* findKernel(Module* m, const std::string& name) {
  auto& slot = m->kernels[name];
  if (!slot) {
    auto enter = (Enter)dlsym(m->library, (name + "_enter").c_str());
    auto pack = (Pack)dlsym(m->library, (name + "_pack").c_str());
    if (!enter || !pack) return nullptr;
    slot = std::make_unique<Kernel>(Kernel{enter, pack});
    kernels.insert(slot.get());
  }
  return slot.get();
}
/// The library stays: what a simulator keeps in it may still be referred to.
inline bool unloadModule(Module* m) {
  if (!modules.erase(m)) return false;
  for (auto& [name, k] : m->kernels) kernels.erase(k.get());
  delete m;
  return true;
}

/// A run-time compilation: the command of $TESSERA_MOCK_COMPILER with the source, the output and the options.
struct Program {
  std::string source, log;
  std::vector<char> binary;
};
inline std::set<Program*> programs;

inline std::string readAll(const std::string& path) {
  std::string text;
  if (FILE* f = std::fopen(path.c_str(), "rb")) {
    char part[65536];
    std::size_t n;
    while ((n = std::fread(part, 1, sizeof part, f)) > 0) text.append(part, n);
    std::fclose(f);
  }
  return text;
}
inline bool compile(Program* p) {
  const char* command = std::getenv("TESSERA_MOCK_COMPILER");
  if (!command) {
    p->log = "no TESSERA_MOCK_COMPILER";
    return false;
  }
  std::string base = temporary();
  if (!mkdtemp(base.data())) return false;
  if (FILE* f = std::fopen((base + "/in.cpp").c_str(), "wb")) {
    std::fwrite(p->source.data(), 1, p->source.size(), f);
    std::fclose(f);
  }
  const int code = std::system((std::string(command) + " " + base + "/in.cpp " + base + "/out >" + base + "/log 2>&1").c_str());
  p->log = readAll(base + "/log");
  const std::string out = code == 0 ? readAll(base + "/out") : "";
  p->binary.assign(out.begin(), out.end());
  for (const char* name : {"/in.cpp", "/out", "/log"}) unlink((base + name).c_str());
  rmdir(base.c_str());
  return code == 0;
}
}  // namespace mock
