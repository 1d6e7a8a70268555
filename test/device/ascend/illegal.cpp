// None of these calls has an instruction on 2201: every line must be refused by the compiler.
#include "kernel_operator.h"
using namespace AscendC;

void illegal(LocalTensor<float> f, LocalTensor<half> h, LocalTensor<bfloat16_t> b, LocalTensor<int8_t> i8, LocalTensor<int32_t> i32, LocalTensor<uint8_t> u8, LocalTensor<int4b_t> i4, LocalTensor<int16_t> i16, GlobalTensor<bfloat16_t> bGm)
{
    Add(b, b, b, 64);
    Mul(i8, i8, i8, 64);
    Div(i32, i32, i32, 64);
    Exp(b, b, 64);
    Muls(b, b, bfloat16_t(2.0f), 64);
    Cast(b, h, RoundMode::CAST_RINT, 64);
    Cast(i8, f, RoundMode::CAST_RINT, 64);
    Duplicate(i8, 0, 64);
    ReduceSum(b, b, b, 64);
    Select(i32, u8, i32, i32, SELMODE::VSEL_TENSOR_TENSOR_MODE, 64);
    Compare(u8, b, b, CMPMODE::EQ, 128);
    Mmad(f, f, h, MmadParams{});
    Fixpipe<bfloat16_t, int32_t>(bGm, i32, FixpipeParamsV220{});
    Cast(i4, f, RoundMode::CAST_RINT, 64);
    Cast(f, i4, RoundMode::CAST_NONE, 64);
    Mmad(i32, i4, i8, MmadParams{});
    LoadData(i16, i16, LoadData3DParamsV2<int16_t>());
    Axpy(h, f, 1.0f, 64);
    AddReluCast(f, h, h, 64);
    Sigmoid(b, b, 64);
    SetAtomicMax<uint8_t>();
}
