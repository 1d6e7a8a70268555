/**
 * Ascend C for a host compiler: the header a kernel includes. Every name is the public one; the programming model
 * behind it is enforced (see asc-*.h), and `SIM_FAST` turns the checks off. Written from the public documentation.
 */
#pragma once
#include "asc-cast.h"
#include "asc-conv.h"
#include "asc-fixpipe.h"
#include "asc-sort.h"

namespace AscendC {
/** What a kernel prints goes nowhere. */
template <class... A>
void printf(const char*, A...) {}
template <class T>
void DumpTensor(const T&, u32, u32) {}
}  // namespace AscendC
