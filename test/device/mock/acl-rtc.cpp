// A mock libacl_rtc.so: sources go to the compile command of vendor.h.
#include "vendor.h"
using namespace mock;

enum { INVALID_PROG = 176000, INVALID_INPUT = 176001, INVALID_OPTION = 176002, COMPILATION = 176003 };
#define PROGRAM(p) if (!programs.count((Program*)(p))) return INVALID_PROG;

EXPORT int aclrtcCreateProg(void** program, const char* source, const char* name, int numHeaders, const char** headers, const char** names) {
  if (!program || !source || !name || numHeaders != 0 || headers || names) return INVALID_INPUT;
  auto* p = new Program{source, "", {}};
  programs.insert(p);
  *program = p;
  return 0;
}
EXPORT int aclrtcCompileProg(void* program, int numOptions, const char** options) {
  PROGRAM(program)
  if (numOptions < 1) return INVALID_OPTION;
  for (int i = 0; i < numOptions; i++)
    if (std::string(options[i]) != "--npu-arch=dav-2201" && std::string(options[i]) != "--npu-arch=dav-3510") return INVALID_OPTION;
  return compile((Program*)program) ? 0 : COMPILATION;
}
EXPORT int aclrtcDestroyProg(void** program) {
  PROGRAM(*program)
  programs.erase((Program*)*program);
  delete (Program*)*program;
  *program = nullptr;
  return 0;
}
EXPORT int aclrtcGetBinDataSize(void* program, std::size_t* size) {
  PROGRAM(program)
  *size = ((Program*)program)->binary.size();
  return *size ? 0 : INVALID_PROG;
}
EXPORT int aclrtcGetBinData(void* program, char* data) {
  PROGRAM(program)
  const auto& binary = ((Program*)program)->binary;
  if (binary.empty()) return INVALID_PROG;
  std::memcpy(data, binary.data(), binary.size());
  return 0;
}
EXPORT int aclrtcGetCompileLogSize(void* program, std::size_t* size) { PROGRAM(program) *size = ((Program*)program)->log.size(); return 0; }
EXPORT int aclrtcGetCompileLog(void* program, char* log) {
  PROGRAM(program)
  std::memcpy(log, ((Program*)program)->log.data(), ((Program*)program)->log.size());
  return 0;
}
EXPORT int tesseraMockPrograms() { return int(programs.size()); }
