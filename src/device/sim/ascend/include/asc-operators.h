/**
 * tensor = a + b: binary instructions and comparisons as operators, over all elements of the left side.
 */
#pragma once
#include "asc-select.h"

namespace AscendC {
#define ASC_OPERATOR(Name, symbol, Instruction)                                                                       \
  template <class T>                                                                                                  \
  struct Name {                                                                                                       \
    LocalTensor<T> a, b;                                                                                              \
    void into(LocalTensor<T>& d) const { Instruction(d, a, b, int(d.GetSize()), self().running); }                    \
  };                                                                                                                  \
  template <class T>                                                                                                  \
  Name<T> operator symbol(const LocalTensor<T>& a, const LocalTensor<T>& b) { return {a, b}; }
ASC_OPERATOR(SumOf, +, Add)
ASC_OPERATOR(DifferenceOf, -, Sub)
ASC_OPERATOR(ProductOf, *, Mul)
ASC_OPERATOR(QuotientOf, /, Div)
ASC_OPERATOR(ConjunctionOf, &, And)
ASC_OPERATOR(DisjunctionOf, |, Or)
#undef ASC_OPERATOR

/** A bit an element of the sources. */
template <class T>
struct ComparisonOf {
  LocalTensor<T> a, b;
  CMPMODE mode;
  template <class U>
  void into(LocalTensor<U>& d) const { Compare(d, a, b, mode, a.GetSize(), self().running); }
};
template <class T>
ComparisonOf<T> operator<(const LocalTensor<T>& a, const LocalTensor<T>& b) { return {a, b, CMPMODE::LT}; }
template <class T>
ComparisonOf<T> operator>(const LocalTensor<T>& a, const LocalTensor<T>& b) { return {a, b, CMPMODE::GT}; }
template <class T>
ComparisonOf<T> operator<=(const LocalTensor<T>& a, const LocalTensor<T>& b) { return {a, b, CMPMODE::LE}; }
template <class T>
ComparisonOf<T> operator>=(const LocalTensor<T>& a, const LocalTensor<T>& b) { return {a, b, CMPMODE::GE}; }
template <class T>
ComparisonOf<T> operator==(const LocalTensor<T>& a, const LocalTensor<T>& b) { return {a, b, CMPMODE::EQ}; }
template <class T>
ComparisonOf<T> operator!=(const LocalTensor<T>& a, const LocalTensor<T>& b) { return {a, b, CMPMODE::NE}; }
}  // namespace AscendC
