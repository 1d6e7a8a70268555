// Bytes that belong to no variable: gaps between variables, and the zones that a kernel by others has before and after its
// own. Ops never touch them, so what changed there was written by plain stores of scalar code.
#include "machine.h"
#include <algorithm>

namespace bang {
bool is_red(const Object& o) { return o.name.compare(0, 9, "bang_red_") == 0; }

namespace {
/// `before`: the variable that a store went past.
bool is_untouched(const char* from, const char* to, const Object* before) {
  const char* pattern = (const char*)&unknown_word;
  for (const char* p = from; p < to; p++)
    if (*p != pattern[(uintptr_t)p & 3]) {
      report("bounds", "scalar code", 0, std::string("writes beyond a variable") + (before ? ", perhaps " + before->name + " of " + std::to_string(before->size) + " bytes" : ""), p);
      return false;
    }
  return true;
}
void check(const Memory& memory) {
  const auto& all = *machine.objects;
  const Object* last = nullptr;
  for (auto& o : all) {
    if (o.base < memory.base || o.base >= memory.base + memory.size) continue;
    if (last && last->base + last->size < o.base && !is_untouched(last->base + last->size, o.base, last)) return;
    if (is_red(o) && !is_untouched(o.base, o.base + o.size, last)) return;
    if (!last || o.base + o.size > last->base + last->size) last = &o;
  }
}
/// Parts of a pool begin at multiples of 128; what no part has taken is red.
void check_pool(const char* base, const Pool& pool) {
  for (auto& [at, o] : pool.objects)
    if (!is_untouched(at + o.size, at + (o.size + 127) / 128 * 128, &o)) return;
  is_untouched(base + std::min(pool.used, pool.size), base + std::min(pool.used + 128, pool.size), nullptr);
}
}  // namespace

void check_red_zones() {
  if (!machine.is_checked() || machine.num_reports > 0) return;
  check(machine.nram);
  if (machine.config.clusters > 0) check(machine.sram);
  for (auto& [base, pool] : pools) {
    const Space s = space_of(base);
    if (s == NRAM || (s == SRAM && machine.config.clusters > 0)) check_pool(base, pool);
  }
}
}  // namespace bang
