// Two element-wise ops in one: FUSION_F<first><second>, A add, S subtract, M multiply; dst = (a first b) second c.
#pragma once
#include "types.h"

enum mluFusionOp_t { FUSION_FAA, FUSION_FAS, FUSION_FAM, FUSION_FSA, FUSION_FSS, FUSION_FSM, FUSION_FMA, FUSION_FMS };

namespace bang {
/// The second and third operand: a vector or a number.
template <class T>
struct Operand {
  const T* vector = nullptr;
  T number{};
  Operand(const T* p) : vector(p) {}
  template <class S, class = std::enable_if_t<std::is_convertible_v<S, float> && !std::is_pointer_v<S>>>
  Operand(S x) : number((T)x) {}
};
}  // namespace bang

#define X(T)                                                                                                           \
  void __bang_fusion(mluFusionOp_t op, T* dst, const T* a, bang::Operand<T> b, bang::Operand<T> c, int n, BANG_LINE);   \
  /* Vectors b and c have n_short elements, which are repeated: n is a multiple of it. */                              \
  void __bang_fusion(mluFusionOp_t op, T* dst, const T* a, bang::Operand<T> b, bang::Operand<T> c, int n, int n_short, \
                     BANG_LINE);
BANG_ARITHMETIC(X)
#undef X
