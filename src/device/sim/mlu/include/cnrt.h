// Names of the host's runtime, so that a file with a host's part compiles; functions that launch are taken out before
// (../host-part.ts). Nothing here runs: the simulator enters the kernel itself.
#pragma once
#include "bang/types.h"

typedef int cnrtRet_t;
enum { cnrtSuccess = 0 };
typedef struct cnrtQueue* cnrtQueue_t;
typedef struct cnrtNotifier* cnrtNotifier_t;
struct cnrtDim3_t {
  unsigned x, y, z;
};
enum cnrtFunctionType_t {
  cnrtFuncTypeBlock = 1,
  cnrtFuncTypeUnion1 = 4,
  cnrtFuncTypeUnion2 = 8,
  cnrtFuncTypeUnion4 = 16,
  cnrtFuncTypeUnion8 = 32,
  cnrtFuncTypeUnion16 = 64,
};
typedef cnrtFunctionType_t cnrtFunctionType;
#define CNRT_FUNC_TYPE_BLOCK cnrtFuncTypeBlock
#define CNRT_FUNC_TYPE_UNION1 cnrtFuncTypeUnion1
#define CNRT_FUNC_TYPE_UNION2 cnrtFuncTypeUnion2
#define CNRT_FUNC_TYPE_UNION4 cnrtFuncTypeUnion4
#define CNRT_FUNC_TYPE_UNION8 cnrtFuncTypeUnion8
enum cnrtMemTransDir_t {
  cnrtMemcpyHostToDev, cnrtMemcpyDevToDev, cnrtMemcpyDevToHost, cnrtMemcpyHostToHost, cnrtMemcpyPeerToPeer
};
#define CNRT_CHECK(call) (void)(call)
#define BANG_HOST_CALL(name)                                                                                           \
  template <class... A>                                                                                                \
  cnrtRet_t name(A&&...) {                                                                                             \
    return -1;                                                                                                         \
  }
BANG_HOST_CALL(cnrtSetDevice)
BANG_HOST_CALL(cnrtGetDevice)
BANG_HOST_CALL(cnrtQueueCreate)
BANG_HOST_CALL(cnrtQueueSync)
BANG_HOST_CALL(cnrtQueueDestroy)
BANG_HOST_CALL(cnrtMalloc)
BANG_HOST_CALL(cnrtFree)
BANG_HOST_CALL(cnrtMemcpy)
BANG_HOST_CALL(cnrtMemcpyAsync)
BANG_HOST_CALL(cnrtMemset)
BANG_HOST_CALL(cnrtNotifierCreate)
BANG_HOST_CALL(cnrtNotifierDestroy)
BANG_HOST_CALL(cnrtPlaceNotifier)
BANG_HOST_CALL(cnrtWaitNotifier)
BANG_HOST_CALL(cnrtNotifierDuration)
BANG_HOST_CALL(cnrtNotifierElapsedTime)
BANG_HOST_CALL(cnrtInvokeKernel)
#undef BANG_HOST_CALL
