// Atomics: a core does the whole of one before another core goes on, so that only their order is open.
#include "machine.h"

using namespace bang;

namespace {
template <class T, class F>
void reduce(const char* op, T* global, const T* s, int n, int line, F f) {
  const Region there{(const char*)global, (int64_t)n * (int64_t)sizeof(T), 0, 1};
  if (machine.is_checked()) {
    if (!begin_vector(op, line, {reads(s, n, sizeof(T))}) || !is_inside(op, line, there, GDRAM, true)) return;
    const Use use{there, true, sizeof(T)};
    check_pending(op, line, &use, 1, COMPUTE);
    if (!Known(s, n, sizeof(T)).all()) report("unwritten", op, line, "adds bytes of " + name_of(s) + " that nothing has written", s);
  }
  for (int i = 0; i < n; i++) global[i] = (T)f(global[i], s[i]);
  yield_sometimes();
}
template <class T, class F>
void exchange(const char* op, T* d, T* global, const T* s, int n, int line, F f) {
  if (machine.is_checked()) {
    const Use there{{(const char*)global, (int64_t)n * (int64_t)sizeof(T), 0, 1}, true, sizeof(T)};
    if (!begin_vector(op, line, {writes(d, n, sizeof(T))}) || !is_inside(op, line, there.region, GDRAM, true)) return;
    check_pending(op, line, &there, 1, COMPUTE);
  }
  for (int i = 0; i < n; i++) {
    const T old = global[i], own = s[i];
    global[i] = (T)f(old, own);
    d[i] = old;
  }
  settle(d, (int64_t)n * sizeof(T), true);
  yield_sometimes();
}
template <class T, class F>
void exchange_vector(const char* op, T* d, T* global, const T* s, int n, int line, F f) {
  if (machine.is_checked()) {
    if (!begin_vector(op, line, {reads(s, n, sizeof(T))})) return;
    if (!Known(s, n, sizeof(T)).all()) report("unwritten", op, line, "gives bytes of " + name_of(s) + " that nothing has written", s);
  }
  exchange(op, d, global, s, n, line, f);
}
}  // namespace

#define ADD(a, b) (a) + (b)
#define MAX_OF(a, b) (a) > (b) ? (a) : (b)
#define MIN_OF(a, b) (a) < (b) ? (a) : (b)
#define SECOND(a, b) (b)
#define AND(a, b) (a) & (b)
#define OR(a, b) (a) | (b)
#define XOR(a, b) (a) ^ (b)
#define REDUCE(name, F, T)                                                                                             \
  void __bang_atomic_reduce_##name(T* g, const T* s, int n, Line line) {                                               \
    reduce("__bang_atomic_reduce_" #name, g, s, n, line, [](T a, T b) { return F(a, b); });                            \
  }
#define EXCHANGE(name, F, T)                                                                                           \
  void __bang_atomic_##name(T* d, T* g, const T* s, int n, Line line) {                                                \
    exchange_vector("__bang_atomic_" #name, d, g, s, n, line, [](T a, T b) { return F(a, b); });                       \
  }                                                                                                                    \
  void __bang_atomic_##name(T* d, T* g, T value, Line line) {                                                          \
    exchange("__bang_atomic_" #name, d, g, &value, 1, line, [](T a, T b) { return F(a, b); });                         \
  }
#define X(T)                                                                                                           \
  REDUCE(add, ADD, T) REDUCE(max, MAX_OF, T) REDUCE(min, MIN_OF, T)                                                    \
  EXCHANGE(add, ADD, T) EXCHANGE(max, MAX_OF, T) EXCHANGE(min, MIN_OF, T) EXCHANGE(exch, SECOND, T)
BANG_FLOATS(X)
BANG_ATOMIC_INTEGERS(X)
#undef X
#define X(T) EXCHANGE(and, AND, T) EXCHANGE(or, OR, T) EXCHANGE(xor, XOR, T)
BANG_ATOMIC_INTEGERS(X)
#undef X
#undef ADD
#undef MAX_OF
#undef MIN_OF
#undef SECOND
#undef AND
#undef OR
#undef XOR
#undef REDUCE
#undef EXCHANGE
