// One matrix product of oneDNN (Debian: libdnnl-dev) as four C functions, for bench/gemm.ts only.
//   C[m,n] = op(A) op(B), all of one element type, operands row-major or transposed; `packed` lets the library choose
//   the layout of B, which is then made once, before anything is timed.
// Sources: oneDNN developer guide, primitives "Matrix Multiplication" and "Reorder"; both major versions of the API.
#include <oneapi/dnnl/dnnl.hpp>
#include <cstdint>
#include <unordered_map>
using namespace dnnl;

struct Product {
  matmul primitive;
  std::unordered_map<int, memory> args;
};
static engine& cpu() { static engine e(engine::kind::cpu, 0); return e; }
static stream& queue() { static stream s(cpu()); return s; }

extern "C" {
int onednn_version() { return dnnl_version()->major * 100 + dnnl_version()->minor; }
void* onednn_open(int isHalf, int64_t m, int64_t n, int64_t k, int transA, int transB, int packed, uintptr_t a, uintptr_t b, uintptr_t c) {
  try {
    auto type = isHalf ? memory::data_type::bf16 : memory::data_type::f32;
    using tag = memory::format_tag;
    memory::desc src({m, k}, type, transA ? tag::ba : tag::ab), plain({k, n}, type, transB ? tag::ba : tag::ab);
    memory::desc weights = packed ? memory::desc({k, n}, type, tag::any) : plain, dst({m, n}, type, tag::ab);
#if DNNL_VERSION_MAJOR >= 3
    matmul::primitive_desc pd(cpu(), src, weights, dst);
#else
    matmul::primitive_desc pd(matmul::desc(src, weights, dst), cpu());
#endif
    memory w(plain, cpu(), (void*)b);
    if (pd.weights_desc() != plain) {
      memory own(pd.weights_desc(), cpu());
      reorder(w, own).execute(queue(), w, own);
      queue().wait();
      w = own;
    }
    return new Product{matmul(pd), {{DNNL_ARG_SRC, memory(src, cpu(), (void*)a)}, {DNNL_ARG_WEIGHTS, w}, {DNNL_ARG_DST, memory(dst, cpu(), (void*)c)}}};
  } catch (const error&) {
    return nullptr;
  }
}
void onednn_run(void* handle) {
  Product* p = (Product*)handle;
  p->primitive.execute(queue(), p->args);
  queue().wait();
}
void onednn_close(void* handle) { delete (Product*)handle; }
}
