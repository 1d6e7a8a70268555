// What a launcher's file needs of the host's header.
#pragma once
#include <cstdint>
typedef struct { std::uint32_t x, y, z; } cnrtDim3_t;
typedef void* cnrtQueue_t;
enum { cnrtFuncTypeBlock = 1 };
