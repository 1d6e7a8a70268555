// Variables of function templates: g++ puts them into no section that it is told, so a kernel that has any brings a pool, and
// each takes its part of it when it is first reached.
#include "machine.h"
#include <algorithm>

namespace bang {
std::map<const char*, Pool> pools;

bool register_pool(const char* base, int64_t size) {
  pools[base] = {size};
  return true;
}
char* claim(char* base, int64_t bytes, const char* name) {
  Pool& pool = pools[base];
  const int64_t at = pool.used;
  pool.used += (bytes + 127) / 128 * 128;
  if (pool.used > pool.size) {
    report("capacity", name, 0, "expected at most " + std::to_string(pool.size) + " bytes, got " + std::to_string(pool.used));
    return base;
  }
  pool.objects[base + at] = {base + at, bytes, name};
  return base + at;
}
}  // namespace bang
