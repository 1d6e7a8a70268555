// The same, under another name by which kernels include it.
#pragma once
#include "bang.h"
