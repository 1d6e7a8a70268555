// Conversions. `pos` is the exponent of a fixed-point integer: real = integer * 2^pos. Suffix: rn nearest even, tz
// towards zero, rd down, ru up.
#pragma once
#include "types.h"

void __bang_half2float(float* dst, const half* src, int n, BANG_LINE);
void __bang_bfloat162float(float* dst, const bfloat16_t* src, int n, BANG_LINE);
#define BANG_NARROW(suffix)                                                                                            \
  void __bang_float2half##suffix(half* dst, const float* src, int n, BANG_LINE);                                       \
  void __bang_float2bfloat16##suffix(bfloat16_t* dst, const float* src, int n, BANG_LINE);                             \
  void __bang_float2int32##suffix(int32_t* dst, const float* src, int n, int pos, BANG_LINE);                          \
  void __bang_float2int16##suffix(int16_t* dst, const float* src, int n, int pos, BANG_LINE);                          \
  void __bang_float2int8##suffix(int8_t* dst, const float* src, int n, int pos, BANG_LINE);
BANG_NARROW(_rn)
BANG_NARROW(_tz)
BANG_NARROW(_rd)
BANG_NARROW(_ru)
#undef BANG_NARROW
void __bang_float2half(half* dst, const float* src, int n, BANG_LINE);
void __bang_float2bfloat16(bfloat16_t* dst, const float* src, int n, BANG_LINE);
void __bang_int322float(float* dst, const int32_t* src, int n, int pos, BANG_LINE);
void __bang_int162float(float* dst, const int16_t* src, int n, int pos, BANG_LINE);
void __bang_int82float(float* dst, const int8_t* src, int n, int pos, BANG_LINE);
void __bang_int82half(half* dst, const int8_t* src, int n, int pos, BANG_LINE);
