/** One of the headers of the thread interface; all of it is in one place here. */
#pragma once
#include "../kernel_operator.h"
