/**
 * Element-wise functions of the vendor's library (not instructions): exact to the element type here, in a few ulps there.
 * They may use a scratch tensor and leave anything in it; a dependent instruction after them needs its barrier as always.
 */
#pragma once
#include "asc-gather.h"

namespace AscendC {
inline const LocalTensor<u8>* noScratch() { return nullptr; }
/** dst[i] = f(sources[i]...) for i < count; the scratch tensor is lost. */
template <class T, class F, class... S>
void libraryOp(const char* op, sim::At at, const LocalTensor<u8>* tmp, const LocalTensor<T>& d, u32 count, F f, const LocalTensor<S>&... sources) {
  static_assert(isOneOf<T, half, float>, "the library function has no form, and there is no instruction, for this element type on this architecture");
  Checked k{op, at, {}};
  require(count <= d.GetSize(), "range", k, "the count %u is more than the destination's %u elements", count, d.GetSize());
  const Walk w = Walk::linear(count);
  (exactOverlap(k, w, d, sources), ...);
  if (tmp) scratch(k, *tmp, tmp->GetSize());
  lanes<T, F, S...>(k, w, operand(k, w, d, 1, 8, sim::writes, "destination"), f, from<S>(operand(k, w, sources, 1, 8, sim::reads, "source"))...);
}
#define ASC_LIBRARY(Name, expression)                                                                                                              \
  template <class T, bool reuses = false>                                                                                                          \
  void Name(const LocalTensor<T>& d, const LocalTensor<T>& a, const LocalTensor<u8>& tmp, u32 count, SIM_AT) {                                     \
    libraryOp(#Name, at, &tmp, d, count, [](T v) -> T { const double x = double(v); return T(float(expression)); }, a);                            \
  }                                                                                                                                                \
  template <class T, bool reuses = false>                                                                                                          \
  void Name(const LocalTensor<T>& d, const LocalTensor<T>& a, const LocalTensor<u8>& tmp, SIM_AT) { Name<T, reuses>(d, a, tmp, a.GetSize(), at); } \
  template <class T, bool reuses = false>                                                                                                          \
  void Name(const LocalTensor<T>& d, const LocalTensor<T>& a, u32 count, SIM_AT) {                                                                 \
    libraryOp(#Name, at, noScratch(), d, count, [](T v) -> T { const double x = double(v); return T(float(expression)); }, a);                     \
  }                                                                                                                                                \
  template <class T, bool reuses = false>                                                                                                          \
  void Name(const LocalTensor<T>& d, const LocalTensor<T>& a, SIM_AT) { Name<T, reuses>(d, a, a.GetSize(), at); }
ASC_LIBRARY(Sigmoid, 1 / (1 + std::exp(-x)))
ASC_LIBRARY(Silu, x / (1 + std::exp(-x)))
ASC_LIBRARY(Gelu, x * 0.5 * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x))))
ASC_LIBRARY(FasterGelu, x / (1 + std::exp(-1.702 * x)))
ASC_LIBRARY(Tanh, std::tanh(x))
ASC_LIBRARY(Sinh, std::sinh(x))
ASC_LIBRARY(Cosh, std::cosh(x))
ASC_LIBRARY(Sin, std::sin(x))
ASC_LIBRARY(Cos, std::cos(x))
ASC_LIBRARY(Tan, std::tan(x))
ASC_LIBRARY(Asin, std::asin(x))
ASC_LIBRARY(Acos, std::acos(x))
ASC_LIBRARY(Atan, std::atan(x))
ASC_LIBRARY(Asinh, std::asinh(x))
ASC_LIBRARY(Acosh, std::acosh(x))
ASC_LIBRARY(Atanh, std::atanh(x))
ASC_LIBRARY(Erf, std::erf(x))
ASC_LIBRARY(Erfc, std::erfc(x))
ASC_LIBRARY(Lgamma, std::lgamma(x))
ASC_LIBRARY(Log, std::log(x))
ASC_LIBRARY(Log2, std::log2(x))
ASC_LIBRARY(Log10, std::log10(x))
ASC_LIBRARY(Floor, std::floor(x))
ASC_LIBRARY(Ceil, std::ceil(x))
ASC_LIBRARY(Trunc, std::trunc(x))
ASC_LIBRARY(Round, std::nearbyint(x))
ASC_LIBRARY(Frac, x - std::trunc(x))
ASC_LIBRARY(Sign, x > 0 ? 1 : x < 0 ? -1 : x)

/** With a scalar: min(x, y), max(x, y). */
#define ASC_CLAMP(Name, expression)                                                                                                       \
  template <class T, bool reuses = false>                                                                                                 \
  void Name(const LocalTensor<T>& d, const LocalTensor<T>& a, const LocalTensor<u8>& tmp, Same<T> y, u32 count, SIM_AT) {                 \
    libraryOp(#Name, at, &tmp, d, count, [y](T x) -> T { return expression; }, a);                                                        \
  }                                                                                                                                       \
  template <class T, bool reuses = false>                                                                                                 \
  void Name(const LocalTensor<T>& d, const LocalTensor<T>& a, Same<T> y, u32 count, SIM_AT) {                                             \
    libraryOp(#Name, at, noScratch(), d, count, [y](T x) -> T { return expression; }, a);                                                 \
  }
ASC_CLAMP(ClampMax, x > y ? y : x)
ASC_CLAMP(ClampMin, x < y ? y : x)
#undef ASC_CLAMP

/** x * sigmoid(scale * x). */
template <class T, bool reuses = false>
void Swish(const LocalTensor<T>& d, const LocalTensor<T>& a, u32 count, Same<T> scale, SIM_AT) {
  libraryOp("Swish", at, noScratch(), d, count, [s = float(scale)](T x) -> T { return T(float(x) / (1 + std::exp(-s * float(x)))); }, a);
}
/** a * swish(b). */
template <class T, bool reuses = false>
void SwiGLU(const LocalTensor<T>& d, const LocalTensor<T>& a, const LocalTensor<T>& b, const float& beta, u32 count, SIM_AT) {
  libraryOp("SwiGLU", at, noScratch(), d, count, [beta](T x, T y) -> T { return T(float(x) * float(y) / (1 + std::exp(-beta * float(y)))); }, a, b);
}
template <class T, bool reuses = false>
void SwiGLU(const LocalTensor<T>& d, const LocalTensor<T>& a, const LocalTensor<T>& b, const float& beta, const LocalTensor<u8>& tmp, u32 count, SIM_AT) {
  libraryOp("SwiGLU", at, &tmp, d, count, [beta](T x, T y) -> T { return T(float(x) * float(y) / (1 + std::exp(-beta * float(y)))); }, a, b);
}
template <class T, bool reuses = false>
void SwiGLU(const LocalTensor<T>& d, const LocalTensor<T>& a, const LocalTensor<T>& b, const float& beta, SIM_AT) {
  SwiGLU<T, reuses>(d, a, b, beta, a.GetSize(), at);
}
template <class T, bool reuses = false>
void Power(const LocalTensor<T>& d, const LocalTensor<T>& a, const LocalTensor<T>& b, u32 count, SIM_AT) {
  libraryOp("Power", at, noScratch(), d, count, [](T x, T y) -> T { return T(std::pow(float(x), float(y))); }, a, b);
}
template <class T, bool reuses = false>
void Power(const LocalTensor<T>& d, const LocalTensor<T>& a, const LocalTensor<T>& b, const LocalTensor<u8>& tmp, u32 count, SIM_AT) {
  libraryOp("Power", at, &tmp, d, count, [](T x, T y) -> T { return T(std::pow(float(x), float(y))); }, a, b);
}
}  // namespace AscendC
