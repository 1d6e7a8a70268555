/**
 * Between UB and registers: aligned loads and stores with their distributions, blocks with strides, unaligned streams.
 * A load takes a whole register: what lies behind the tensor is nobody's and stays poison. A store writes masked lanes.
 * Facts: hiascend.com, API pages atlasascendc_api_07_0319 to 0324.
 * Main functions: `LoadAlign`, `StoreAlign` (older name of both: `DataCopy`), `LoadUnAlign`, `StoreUnAlign`.
 */
#pragma once
#include "asc-vector-function.h"

namespace AscendC::Reg {
enum class LoadDist {
  DIST_NORM, DIST_BRC_B8, DIST_BRC_B16, DIST_BRC_B32, DIST_US_B8, DIST_US_B16, DIST_DS_B8, DIST_DS_B16, DIST_UNPACK_B8, DIST_UNPACK_B16, DIST_UNPACK_B32,
  DIST_UNPACK4_B8, DIST_BLK, DIST_E2B_B16, DIST_E2B_B32, DIST_DINTLV_B8, DIST_DINTLV_B16, DIST_DINTLV_B32
};
enum class StoreDist {
  DIST_NORM, DIST_NORM_B8, DIST_NORM_B16, DIST_NORM_B32, DIST_FIRST_ELEMENT_B8, DIST_FIRST_ELEMENT_B16, DIST_FIRST_ELEMENT_B32, DIST_PACK_B16, DIST_PACK_B32, DIST_PACK_B64, DIST_PACK4_B32,
  DIST_INTLV_B8, DIST_INTLV_B16, DIST_INTLV_B32
};
enum class DataCopyMode { DATA_BLOCK_COPY };

/** How a load spreads bytes: `from(j)` is the byte of memory that byte j of the registers takes, -1: zero. */
struct LoadRow {
  enum Way { plain, broadcast, up, down, unpack, block, blocks, pairs } way;
  u32 unit, bytes, align;
  constexpr int from(u32 j) const {
    const u32 n = j / unit, b = j % unit;
    switch (way) {
      case broadcast: return int(b);
      case up: return int(n / 2 * unit + b);
      case down: return int(2 * n * unit + b);
      case unpack: return n % (VL / bytes) ? -1 : int(n / (VL / bytes) * unit + b);
      case block: return int(j % 32);
      case blocks: return int(j / 32 * unit + b);
      case pairs: return int((j < VL ? 2 * n : 2 * (n - VL / unit) + 1) * unit + b);
      default: return int(j);
    }
  }
};
constexpr LoadRow loadRow(LoadDist d) {
  switch (d) {
    case LoadDist::DIST_BRC_B8: return {LoadRow::broadcast, 1, 1, 1};
    case LoadDist::DIST_BRC_B16: return {LoadRow::broadcast, 2, 2, 2};
    case LoadDist::DIST_BRC_B32: return {LoadRow::broadcast, 4, 4, 4};
    case LoadDist::DIST_US_B8: return {LoadRow::up, 1, 128, 32};
    case LoadDist::DIST_US_B16: return {LoadRow::up, 2, 128, 32};
    case LoadDist::DIST_DS_B8: return {LoadRow::down, 1, 512, 32};
    case LoadDist::DIST_DS_B16: return {LoadRow::down, 2, 512, 32};
    case LoadDist::DIST_UNPACK_B8: return {LoadRow::unpack, 1, 128, 32};
    case LoadDist::DIST_UNPACK_B16: return {LoadRow::unpack, 2, 128, 32};
    case LoadDist::DIST_UNPACK_B32: return {LoadRow::unpack, 4, 128, 32};
    case LoadDist::DIST_UNPACK4_B8: return {LoadRow::unpack, 1, 64, 32};
    case LoadDist::DIST_BLK: return {LoadRow::block, 32, 32, 32};
    case LoadDist::DIST_E2B_B16: return {LoadRow::blocks, 2, 16, 16};
    case LoadDist::DIST_E2B_B32: return {LoadRow::blocks, 4, 32, 32};
    case LoadDist::DIST_DINTLV_B8: return {LoadRow::pairs, 1, 512, 32};
    case LoadDist::DIST_DINTLV_B16: return {LoadRow::pairs, 2, 512, 32};
    case LoadDist::DIST_DINTLV_B32: return {LoadRow::pairs, 4, 512, 32};
    default: return {LoadRow::plain, 32, VL, 32};
  }
}
/** Bytes of UB into one register, or into two of which the second counts from byte 256. */
template <class U, class... Second>
void loadBytes(const char* op, const void* p, const LoadRow& row, sim::At at, U& dst, Second&... second) {
  Place place{};
  if constexpr (isFast) place = {const_cast<u8*>(static_cast<const u8*>(p)), nullptr, row.bytes, false};
  else {
    VectorFunction& f = inFunction(op, at);
    place = f.touch(op, p, row.bytes, row.align, sim::reads, dst.origin, at);
    ((second.origin.loads = dst.origin.loads), ...);
    if (!f.runs) return;
  }
  const auto fill = [&](auto& reg, u32 base) {
    for (u32 j = 0; j < VL; j++) {
      const int from = row.from(base + j);
      const bool isInside = from < int(place.usable);
      reg.data[j] = from < 0 ? 0 : isInside ? place.data[from] : sim::current.poison;
      if constexpr (!isFast) reg.taint[j] = from < 0 ? 0 : !isInside ? u8(sim::unwritten) : u8(place.taint[from] | (place.isForeign ? sim::foreign : 0));
    }
  };
  fill(dst, 0);
  (fill(second, VL), ...);
}

/** How a store takes bytes: units of `lane` bytes of the register give their low `unit` bytes. */
struct StoreRow {
  u32 lane, unit, align;
  bool isFirst, isPair;
};
constexpr StoreRow storeRow(StoreDist d, u32 element) {
  switch (d) {
    case StoreDist::DIST_NORM_B8: return {1, 1, 32, false, false};
    case StoreDist::DIST_NORM_B16: return {2, 2, 32, false, false};
    case StoreDist::DIST_NORM_B32: return {4, 4, 32, false, false};
    case StoreDist::DIST_FIRST_ELEMENT_B8: return {1, 1, 1, true, false};
    case StoreDist::DIST_FIRST_ELEMENT_B16: return {2, 2, 2, true, false};
    case StoreDist::DIST_FIRST_ELEMENT_B32: return {4, 4, 4, true, false};
    case StoreDist::DIST_PACK_B16: return {2, 1, 32, false, false};
    case StoreDist::DIST_PACK_B32: return {4, 2, 32, false, false};
    case StoreDist::DIST_PACK_B64: return {8, 4, 32, false, false};
    case StoreDist::DIST_PACK4_B32: return {4, 1, 32, false, false};
    case StoreDist::DIST_INTLV_B8: return {1, 1, 32, false, true};
    case StoreDist::DIST_INTLV_B16: return {2, 2, 32, false, true};
    case StoreDist::DIST_INTLV_B32: return {4, 4, 32, false, true};
    default: return {element, element, 32, false, false};
  }
}
/** A run of lanes that a store may write; `source(i)` is the byte of the registers under byte i of it. */
template <class O, class F>
void storeRun(const char* op, u8* p, u64 bytes, sim::At at, O& origin, F&& source) {
  Place place{p, nullptr, bytes, false};
  if constexpr (!isFast) {
    VectorFunction& f = inFunction(op, at);
    place = f.touch(op, p, bytes, 1, sim::writes, origin, at);
    if (!f.runs) return;
  }
  for (u64 i = 0; i < bytes; i++) source(i, place);
}
/** The registers and the mask decide together what is stored. */
struct Stored { RegOrigin origin; };
template <Register U>
void storeLanes(const char* op, const void* to, const StoreRow& row, sim::At at, U& src, U& second, const MaskReg& mask) {
  u8* const p = static_cast<u8*>(const_cast<void*>(to));
  Stored stored{src.origin};
  follow(stored, src, second, mask);
  if constexpr (!isFast) {
    VectorFunction& f = inFunction(op, at);
    const u64 start = u64(p - f.ub().data);
    if (start < f.ub().sizeBytes && start % row.align) sim::fail("alignment", at, f.ub().range(start, VL), sim::format("%s: the address must be a multiple of %u bytes", op, row.align));
  }
  const u32 lanes = row.isFirst ? 1 : VL / row.lane, copies = row.isPair ? 2 : 1;
  for (u32 i = 0; i < lanes;) {
    if (!mask.mayHave(i, row.lane)) {
      i++;
      continue;
    }
    u32 stop = i;
    while (stop < lanes && mask.mayHave(stop, row.lane)) stop++;
    const u32 step = row.unit * copies;
    storeRun(op, p + i * step, u64(stop - i) * step, at, stored.origin, [&, i](u64 b, const Place& place) {
      const u32 lane = i + u32(b / step), part = u32(b % step);
      const U& from = part >= row.unit ? second : src;
      const u32 byte = lane * row.lane + part % row.unit;
      if (mask.has(lane, row.lane)) place.data[b] = from.data[byte];
      if constexpr (!isFast) {
        if (mask.has(lane, row.lane)) place.taint[b] = from.taint[byte];
        place.taint[b] |= mask.taintOf(lane, row.lane);
      }
    });
    i = stop;
  }
}
/** What a form with a stride does with its address. */
template <PostLiteral post, class P>
P* moved(P*& p, std::int64_t elements) {
  P* const old = p;
  if constexpr (post == PostLiteral::POST_MODE_UPDATE) return p += elements, old;
  else return p + elements;
}
template <class T, Register U, class P>
constexpr bool fits = (std::is_same_v<T, DefaultType> || std::is_same_v<T, P>)&&sizeof(typename U::ActualT) == sizeof(P);
#define ASC_REG_FITS static_assert(fits<T, U, std::remove_cv_t<P>>, "registers: the address and the register have elements of one size, of the type that is named")

#define ASC_REG_LOAD(Name)                                                                                                              \
  template <class T = DefaultType, LoadDist dist = LoadDist::DIST_NORM, Register U, class P>                                               \
  void Name(U& dst, P* p, SIM_AT) {                                                                                                     \
    static_assert(fits<T, U, P> || (loadRow(dist).way == LoadRow::unpack && sizeof(typename U::ActualT) * loadRow(dist).bytes == sizeof(P) * VL), #Name ": the register has elements of another size"); \
    static_assert(loadRow(dist).way != LoadRow::pairs, #Name ": this distribution fills two registers");                               \
    loadBytes(#Name, p, loadRow(dist), at, dst);                                                                                        \
  }                                                                                                                                     \
  template <class T = DefaultType, PostLiteral post, LoadDist dist = LoadDist::DIST_NORM, Register U, class P>                             \
  void Name(U& dst, P*& p, std::int32_t stride, SIM_AT) { Name<T, dist>(dst, moved<post>(p, stride), at); }                             \
  template <class T = DefaultType, LoadDist dist = LoadDist::DIST_NORM, Register U, class P>                                               \
  void Name(U& dst, P* p, AddrReg offset, SIM_AT) { Name<T, dist>(dst, p + offset.elements, at); }                                      \
  template <class T = DefaultType, LoadDist dist, Register U, class P>                                                                     \
  void Name(U& dst0, U& dst1, P* p, SIM_AT) {                                                                                           \
    ASC_REG_FITS;                                                                                                                       \
    static_assert(loadRow(dist).way == LoadRow::pairs, #Name ": this distribution fills one register");                                \
    loadBytes(#Name, p, loadRow(dist), at, dst0, dst1);                                                                                 \
  }                                                                                                                                     \
  template <class T = DefaultType, PostLiteral post, LoadDist dist, Register U, class P>                                                   \
  void Name(U& dst0, U& dst1, P*& p, std::int32_t stride, SIM_AT) { Name<T, dist>(dst0, dst1, moved<post>(p, stride), at); }            \
  template <class T = DefaultType, LoadDist dist, Register U, class P>                                                                     \
  void Name(U& dst0, U& dst1, P* p, AddrReg offset, SIM_AT) { Name<T, dist>(dst0, dst1, p + offset.elements, at); }
#define ASC_REG_STORE(Name)                                                                                                             \
  template <class T = DefaultType, StoreDist dist = StoreDist::DIST_NORM, Register U, class P>                                             \
  void Name(P* p, U& src, const MaskReg& mask, SIM_AT) {                                                                                \
    constexpr StoreRow row = storeRow(dist, sizeof(typename U::ActualT));                                                               \
    static_assert(std::is_same_v<T, DefaultType> || std::is_same_v<T, P>, #Name ": the address is of another type than is named");     \
    static_assert(sizeof(P) == row.lane || sizeof(P) == row.unit, #Name ": the address has elements of another size");                 \
    static_assert(!row.isPair, #Name ": this distribution takes two registers");                                                       \
    storeLanes(#Name, p, row, at, src, src, mask);                                                                                      \
  }                                                                                                                                     \
  template <class T = DefaultType, PostLiteral post, StoreDist dist = StoreDist::DIST_NORM, Register U, class P>                           \
  void Name(P*& p, U& src, std::int32_t stride, const MaskReg& mask, SIM_AT) { Name<T, dist>(moved<post>(p, stride), src, mask, at); }  \
  template <class T = DefaultType, StoreDist dist = StoreDist::DIST_NORM, Register U, class P>                                             \
  void Name(P* p, U& src, AddrReg offset, const MaskReg& mask, SIM_AT) { Name<T, dist>(p + offset.elements, src, mask, at); }           \
  template <class T = DefaultType, StoreDist dist, Register U, class P>                                                                    \
  void Name(P* p, U& src0, U& src1, const MaskReg& mask, SIM_AT) {                                                                      \
    ASC_REG_FITS;                                                                                                                       \
    static_assert(storeRow(dist, 1).isPair, #Name ": this distribution takes one register");                                           \
    storeLanes(#Name, p, storeRow(dist, 1), at, src0, src1, mask);                                                                      \
  }                                                                                                                                     \
  template <class T = DefaultType, StoreDist dist, Register U, class P>                                                                    \
  void Name(P* p, U& src0, U& src1, AddrReg offset, const MaskReg& mask, SIM_AT) { Name<T, dist>(p + offset.elements, src0, src1, mask, at); }
ASC_REG_LOAD(LoadAlign)
ASC_REG_LOAD(DataCopy)
ASC_REG_STORE(StoreAlign)
ASC_REG_STORE(DataCopy)

/** Blocks of 32 bytes `stride` blocks apart; those without a mask bit are not touched. */
template <Register U>
void loadSpread(const void* p, u32 stride, const MaskReg& mask, sim::At at, U& dst) {
  std::vector<u32> all;
  for (u32 b = 0; b < 8; b++) {
    const u8* const from = static_cast<const u8*>(p) + u64(b) * stride * 32;
    bool isTaken = false;
    for (u32 i = 0; i < 32; i++) isTaken |= mask.mayHave(b * 32 + i, 1);
    if (!isTaken) continue;
    U one;
    loadBytes("LoadAlign", from, {LoadRow::plain, 32, 32, 32}, at, one);
    std::memcpy(dst.data + b * 32, one.data, 32);
    if constexpr (!isFast) std::memcpy(dst.taint + b * 32, one.taint, 32), all.insert(all.end(), one.origin.loads.begin(), one.origin.loads.end());
  }
  if constexpr (!isFast) dst.origin.loads = all;
}
template <class T = DefaultType, DataCopyMode mode, Register U, class P>
void LoadAlign(U& dst, P* p, u32 stride, const MaskReg& mask, SIM_AT) {
  ASC_REG_FITS;
  loadSpread(p, stride, mask, at, dst);
}
template <class T = DefaultType, DataCopyMode mode, PostLiteral post, Register U, class P>
void LoadAlign(U& dst, P*& p, u32 stride, u32 repeatStride, const MaskReg& mask, SIM_AT) {
  LoadAlign<T, mode>(dst, moved<post>(p, std::int64_t(repeatStride) * 32 / std::int64_t(sizeof(P))), stride, mask, at);
}

/** The part of a stream that does not fill 32 bytes yet. */
struct UnalignRegForLoad { bool isReady = false; };
struct UnalignRegForStore { bool isPending = false; };
template <class P>
void LoadUnAlignPre(UnalignRegForLoad& stream, P*) { stream.isReady = true; }
template <class T = DefaultType, Register U, class P>
void LoadUnAlign(U& dst, UnalignRegForLoad& stream, P* p, SIM_AT) {
  ASC_REG_FITS;
  if (!isFast && !stream.isReady) sim::fail("unaligned-load-state", at, "", "LoadUnAlign: LoadUnAlignPre has not prepared the register");
  loadBytes("LoadUnAlign", p, {LoadRow::plain, 32, VL, sizeof(P)}, at, dst);
}
template <class T = DefaultType, PostLiteral post = PostLiteral::POST_MODE_UPDATE, Register U, class P>
void LoadUnAlign(U& dst, UnalignRegForLoad& stream, P*& p, u32 stride, SIM_AT) { LoadUnAlign<T>(dst, stream, moved<post>(p, stride), at); }
/** The first `stride` elements; the last bytes of a stream arrive with StoreUnAlignPost. */
template <class T = DefaultType, PostLiteral post = PostLiteral::POST_MODE_UPDATE, Register U, class P>
void StoreUnAlign(P*& p, U& src, UnalignRegForStore& stream, u32 stride, SIM_AT) {
  ASC_REG_FITS;
  const u32 element = sizeof(P);
  if (!isFast && stride > VL / element) sim::fail("range", at, "", sim::format("StoreUnAlign: a register has %u elements, got %u", VL / element, stride));
  storeLanes("StoreUnAlign", moved<post>(p, stride), {element, element, element, false, false}, at, src, src, maskOf(element, stride));
  if constexpr (!isFast) inFunction("StoreUnAlign", at).pendingStores += !stream.isPending;
  stream.isPending = true;
}
template <class P>
void StoreUnAlignPost(P*&, UnalignRegForStore& stream, std::int32_t, SIM_AT) {
  if constexpr (!isFast) inFunction("StoreUnAlignPost", at).pendingStores -= stream.isPending;
  stream.isPending = false;
}
}  // namespace AscendC::Reg
