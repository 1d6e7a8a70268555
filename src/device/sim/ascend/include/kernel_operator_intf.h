/** The same by the name that parts of a library include. */
#pragma once
#include "kernel_operator.h"
