"""Golden hashes of the numeric primitives: SHA-256 over the result bits for every bf16 number, or a million random ones.

E4M3 is torch's own float8_e4m3fn; E2M1 is the nearest of its 16 values by exhaustive comparison. Inputs come from
shared.py's counter-based bits, so the file holds hashes only. Writes test/golden/primitives.json.

    python tools/reference/primitives_golden.py
"""

import hashlib
import json

import numpy as np
import torch

import shared
from v4_golden import OUT

COUNT = 1 << 20


def every_bf16():
    """All finite bf16 numbers in the order of their bits, as float32."""
    x = (np.arange(65536, dtype=np.uint32) << 16).view(np.float32)
    return x[np.isfinite(x)]


def random_f32(seed):
    """Random signs and mantissas, exponents within 2^-15..2^16."""
    bits = shared.random_bits(seed, COUNT)
    exponent = np.uint32(112) + ((bits >> np.uint32(23)) & np.uint32(31))
    return ((bits & np.uint32(0x807FFFFF)) | (exponent << np.uint32(23))).view(np.float32)


def random_bf16(seed):
    return shared.to_bf16(random_f32(seed))


def e4m3_codes(x):
    t = torch.from_numpy(np.ascontiguousarray(x, np.float32)).clamp(-448, 448)
    return t.to(torch.float8_e4m3fn).view(torch.uint8).numpy()


E2M1 = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6], np.float64)


def e2m1_codes(x):
    size = np.minimum(np.abs(x.astype(np.float64)), 6)
    away = np.abs(size[..., None] - E2M1)
    # Of two equally near codes the even one: odd codes lose a tie by a hair.
    code = np.argmin(away + 1e-12 * (np.arange(8) % 2), -1)
    return (code | np.where(np.signbit(x), 8, 0)).astype(np.uint8)


def pow2ceil(y):
    """By the exponent field, up when any mantissa bit is set."""
    bits = np.ascontiguousarray(y, np.float32).view(np.uint32)
    exponent = ((bits >> 23) & 255).astype(np.int64) - 127 + ((bits & 0x7FFFFF) != 0)
    return np.ldexp(np.float32(1), exponent).astype(np.float32)


def qdq(x, block, kind):
    """Rows of x [.., n], n a multiple of the block."""
    largest, least = (448, 1e-4) if kind == "e4m3" else (6, 6 * 2.0**-126)
    blocks = np.ascontiguousarray(x, np.float32).reshape(-1, block)
    amax = np.maximum(np.abs(blocks).max(-1, keepdims=True), np.float32(least))
    scale = pow2ceil(amax * np.float32(1 / largest))
    v = blocks / scale
    if kind == "e4m3":
        rounded = torch.from_numpy(e4m3_codes(v)).view(torch.float8_e4m3fn).float().numpy()
    else:
        codes = e2m1_codes(v)
        rounded = np.where(codes & 8, -1, 1).astype(np.float32) * E2M1[codes & 7].astype(np.float32)
    return shared.to_bf16(rounded * scale).reshape(x.shape)


def digest(a):
    return hashlib.sha256(np.ascontiguousarray(a).tobytes()).hexdigest()


def main():
    positive = np.abs(random_f32(3))
    out = {
        "bf16 of random f32": digest(torch.from_numpy(random_f32(2)).to(torch.bfloat16).view(torch.int16).numpy()),
        "e4m3 of every bf16": digest(e4m3_codes(every_bf16())),
        "e2m1 of every bf16": digest(e2m1_codes(every_bf16())),
        "pow2ceil of random": digest(pow2ceil(positive)),
        # + 0 makes -0 into 0: the sign of a zero is not part of the contract.
        "qdq8 blocks of 64": digest(qdq(random_bf16(4), 64, "e4m3") + np.float32(0)),
        "qdq8 blocks of 128": digest(qdq(random_bf16(5), 128, "e4m3") + np.float32(0)),
        "qdq4 blocks of 32": digest(qdq(random_bf16(6), 32, "e2m1") + np.float32(0)),
    }  # fmt: skip
    path = OUT.parent / "primitives.json"
    path.write_text(json.dumps(out, indent=1) + "\n")
    print(f"{path}: {len(out)} hashes")


if __name__ == "__main__":
    main()
