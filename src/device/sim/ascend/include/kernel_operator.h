/**
 * Ascend C for a host compiler: the header a kernel includes. Every name is the public one; the programming model
 * behind it is enforced (see asc-*.h), and `SIM_FAST` turns the checks off. Written from the public documentation.
 */
#pragma once
#include "asc-axes.h"
#include "asc-conv.h"
#include "asc-misc.h"
#include "asc-operators.h"
#include "asc-pool.h"
#include "asc-quant.h"
#include "asc-sort.h"
#if __NPU_ARCH__ == 3510
#include "asc-register-moves.h"
#include "asc-simt.h"
#else
#define ASC_NO_VECTOR_FUNCTION _Pragma("GCC error \"vector functions on registers and threads: only 950 (NpuArch 3510) has them\"")
#define __simd_vf__ ASC_NO_VECTOR_FUNCTION
#define __simd_callee__ ASC_NO_VECTOR_FUNCTION
#define __VEC_SCOPE__ ASC_NO_VECTOR_FUNCTION
#define __simt_vf__ ASC_NO_VECTOR_FUNCTION
#define __simt_callee__ ASC_NO_VECTOR_FUNCTION
#define __launch_bounds__(...)
#endif
