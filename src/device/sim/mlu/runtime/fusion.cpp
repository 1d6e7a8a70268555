// Two element-wise ops in one. Rounded once, at the end.
#include "machine.h"

using namespace bang;

namespace {
template <class A>
A fused(mluFusionOp_t op, A a, A b, A c) {
  const bool adds = op <= FUSION_FAM, subtracts = op >= FUSION_FSA && op <= FUSION_FSM;
  const A first = adds ? a + b : subtracts ? a - b : a * b;
  switch (op) {
    case FUSION_FAA: case FUSION_FSA: case FUSION_FMA: return first + c;
    case FUSION_FAS: case FUSION_FSS: case FUSION_FMS: return first - c;
    default: return first * c;
  }
}
template <class T>
void fuse(mluFusionOp_t which, T* d, const T* a, const Operand<T>& b, const Operand<T>& c, int n, int m, int line) {
  const char* op = "__bang_fusion";
  if (m <= 0 || n % m != 0) return report("count", op, line, "expected the long count to be a multiple of the short one, got " + std::to_string(n) + " and " + std::to_string(m));
  // A number takes the place of a, which is read anyway.
  const auto use = [&](const Operand<T>& x) { return x.vector ? reads(x.vector, m, sizeof(T)) : reads(a, n, sizeof(T)); };
  if (!begin_vector(op, line, {writes(d, n, sizeof(T)), reads(a, n, sizeof(T)), use(b), use(c)})) return;
  using A = std::conditional_t<std::is_integral_v<T>, T, float>;
  for (int i = 0; i < n; i++) d[i] = (T)fused<A>(which, (A)a[i], (A)(b.vector ? b.vector[i % m] : b.number), (A)(c.vector ? c.vector[i % m] : c.number));
  spread(d, sizeof(T), n, {reads(a, n, sizeof(T)), use(b), use(c)});
}
}  // namespace

#define X(T)                                                                                                           \
  void __bang_fusion(mluFusionOp_t op, T* d, const T* a, Operand<T> b, Operand<T> c, int n, Line line) { fuse(op, d, a, b, c, n, n, line); } \
  void __bang_fusion(mluFusionOp_t op, T* d, const T* a, Operand<T> b, Operand<T> c, int n, int m, Line line) { fuse(op, d, a, b, c, n, m, line); }
BANG_ARITHMETIC(X)
#undef X
