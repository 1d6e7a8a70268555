// BANG C as a host C++ compiler sees it: what a kernel may say. What it means, and every rule of the programming model,
// is in the runtime library that the kernel is linked with (../runtime). Written from facts about names, parameters and
// memories only; which of them are inferred is said where they are.
//
// A translation unit defines __BANG_ARCH__ (372 or 592). Ops on element types that the architecture lacks are errors
// of the compiler, as in the real tool chain.
#pragma once
#include <algorithm>
#include <cfloat>
#include <climits>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <type_traits>
#include <utility>

// What the runtime library defines is visible, whatever the flags say of the kernel's own symbols.
#pragma GCC visibility push(default)
#include "bang/types.h"
#include "cnrt.h"
#include "bang/copy.h"
#include "bang/gather.h"
#include "bang/sync.h"
#include "bang/vector.h"
#include "bang/fusion.h"
#include "bang/bits.h"
#include "bang/rearrange.h"
#include "bang/layout.h"
#include "bang/atomic.h"
#include "bang/convert.h"
#include "bang/scalar.h"
#include "bang/matrix.h"
#include "bang/launch.h"
#pragma GCC visibility pop
