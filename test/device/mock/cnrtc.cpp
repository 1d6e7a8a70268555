// A mock libcnrtc.so: sources go to the compile command of vendor.h; a binary says its size, as a fat binary does.
#include "vendor.h"
using namespace mock;

enum { ALREADY = 2, SOURCE_NULL = 3, DOUBLE_FREE = 4, NO_CODE = 5, PARAM = 6, COMPILE = 10, BIN_NO_CODE = 11, SIZE_NO_CODE = 13, LOG_NO_CODE = 15 };
static bool isKnown(void* p) { return programs.count((Program*)p) > 0; }

EXPORT int cnrtcVersion(int* major, int* minor) { *major = 0, *minor = 5; return 0; }
EXPORT const char* cnrtcTransStatusToString(int) { return "mock"; }
EXPORT int cnrtcCreateCodeV2(void** code, const char* source, int type, const char* name, int numHeaders, const char** headers, const char** names) {
  if (*code) return ALREADY;
  if (!source) return SOURCE_NULL;
  if (type != 0 || name || numHeaders || headers || names) return PARAM;
  auto* p = new Program{source, "", {}};
  programs.insert(p);
  *code = p;
  return 0;
}
EXPORT int cnrtcDestroyCode(void** code) {
  if (!isKnown(*code)) return DOUBLE_FREE;
  programs.erase((Program*)*code);
  delete (Program*)*code;
  *code = nullptr;
  return 0;
}
EXPORT int cnrtcCompileCode(void* code, int numOptions, const char** options) {
  if (!isKnown(code)) return NO_CODE;
  bool isFat = false, hasArch = false;
  for (int i = 0; i < numOptions; i++) {
    const std::string option = options[i];
    isFat |= option == "--bang-fatbin-only";
    hasArch |= option == "--bang-mlu-arch=mtp_372" || option == "--bang-mlu-arch=mtp_592";
  }
  if (!isFat || !hasArch) return PARAM;
  return compile((Program*)code) ? 0 : COMPILE;
}
EXPORT int cnrtcGetFatBinarySize(void* code, unsigned* size) {
  if (!isKnown(code)) return SIZE_NO_CODE;
  *size = unsigned(((Program*)code)->binary.size() + 16);
  return 0;
}
EXPORT int cnrtcGetFatBinary(void* code, char* data) {
  if (!isKnown(code)) return BIN_NO_CODE;
  const auto& binary = ((Program*)code)->binary;
  const u64 size = binary.size();
  std::memcpy(data, "MOCKFAT", 8);
  std::memcpy(data + 8, &size, 8);
  std::memcpy(data + 16, binary.data(), size);
  return 0;
}
EXPORT int cnrtcGetCompilationLogSize(void* code, unsigned* size) { if (!isKnown(code)) return LOG_NO_CODE; *size = unsigned(((Program*)code)->log.size()); return 0; }
EXPORT int cnrtcGetCompilationLog(void* code, char* log) {
  if (!isKnown(code)) return LOG_NO_CODE;
  std::memcpy(log, ((Program*)code)->log.data(), ((Program*)code)->log.size());
  return 0;
}
EXPORT int tesseraMockPrograms() { return int(programs.size()); }
