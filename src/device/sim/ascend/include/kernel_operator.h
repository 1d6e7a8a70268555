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
#include "asc-sort.h"
