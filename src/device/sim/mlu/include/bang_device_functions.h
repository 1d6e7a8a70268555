// The same, under the name by which the toolkit includes its built-in functions.
#pragma once
#include "bang.h"
