"""What the reference scripts and the tests share: weights and token ids that both sides compute from a seed.

Every number is a pure function of (seed, name, index), made with integer arithmetic and a few exactly rounded float64
operations, so that Python and TypeScript agree bit for bit and a golden file holds outputs only. The TypeScript twins
are src/base/prng.ts (`randomBits`) and src/model/golden-weights.ts (everything else here).
"""

import numpy as np

U32 = np.uint32


def mix(x):
    x = np.asarray(x, U32)
    with np.errstate(over="ignore"):
        x = x ^ (x >> U32(17))
        x = x * U32(0xED5AD4BB)
        x = x ^ (x >> U32(11))
        x = x * U32(0xAC4C1B51)
        x = x ^ (x >> U32(15))
        x = x * U32(0x31848BAB)
        return x ^ (x >> U32(14))


def random_bits(seed, count):
    """randomBits(seed, 0..count-1), seed below 2^32."""
    key = mix(mix(U32(seed)))
    with np.errstate(over="ignore"):
        return mix(mix(np.arange(count, dtype=U32) ^ key) + key)


def stream_of(seed, name):
    """FNV-1a of "seed/name"."""
    h = 0x811C9DC5
    for byte in f"{seed}/{name}".encode():
        h = (h ^ byte) * 0x01000193 & 0xFFFFFFFF
    return h


def spread(seed, name, count):
    """`count` float64 of mean 0 and variance 1: a triangular distribution, the sum of two uniforms."""
    u = (random_bits(stream_of(seed, name), 2 * count) >> U32(8)).astype(np.float64) / 16777216
    return (u[0::2] + u[1::2] - 1) * np.sqrt(6.0)


def below(seed, name, count, limit):
    """`count` integers in [0, limit)."""
    return (random_bits(stream_of(seed, name), count) % U32(limit)).astype(np.int64)


# Kept f32 in the official files; everything else is bf16.
WIDE = ("hc_", "attn_sink", "ape", "gate.bias")


def is_wide(name):
    return name.rsplit(".", 1)[-1].startswith(WIDE[:3]) or name.endswith(WIDE[3])


def mean_and_spread(name, shape, sharp):
    """Sizes at which every part shows in the logits; `sharp` widens what feeds a softmax."""
    leaf = name.rsplit(".", 1)[-1]
    if "norm" in name:
        return 1.0, 0.2
    if leaf.endswith("_scale"):
        return 0.8, 0.2
    if leaf.endswith("_base") or leaf in ("ape", "attn_sink"):
        return 0.0, 0.7
    if name.endswith("gate.bias"):
        return 0.0, 0.3
    if name in ("embed.weight", "head.weight"):
        return 0.0, 0.3
    if name.endswith(("wgate.weight", "wq_b.weight")):
        return 0.0, np.sqrt(sharp / shape[-1])
    return 0.0, np.sqrt(1.0 / shape[-1])


def to_bf16(x):
    """float32 -> the nearest bf16, as float32."""
    u = np.ascontiguousarray(x, np.float32).view(U32)
    with np.errstate(over="ignore"):
        return ((u + U32(0x7FFF) + ((u >> U32(16)) & U32(1))) & U32(0xFFFF0000)).view(np.float32)


def weight(seed, name, shape, sharp, experts=0):
    """One tensor under its official name, float32 (bf16 values where the official files have bf16) or int64 (tid2eid)."""
    count = int(np.prod(shape))
    if name.endswith("tid2eid"):
        rows, k = shape
        first = below(seed, name, rows, experts)
        return (first[:, None] + np.arange(k)) % experts
    mean, std = mean_and_spread(name, shape, sharp)
    x = (spread(seed, name, count) * std + mean).astype(np.float32).reshape(shape)
    return x if is_wide(name) else to_bf16(x)


def official_shapes(c):
    """Official name -> shape of every tensor of a config (without MTP)."""
    d, heads, dim = c["hidden_size"], c["num_attention_heads"], c["head_dim"]
    n, inter, experts, k = c["hc_mult"], c["moe_intermediate_size"], c["n_routed_experts"], c["num_experts_per_tok"]
    out = {"embed.weight": (c["vocab_size"], d), "head.weight": (c["vocab_size"], d), "norm.weight": (d,)}
    out.update({"hc_head_fn": (n, n * d), "hc_head_base": (n,), "hc_head_scale": (1,)})

    def compressor(prefix, ratio, width):
        coff = 2 if ratio == 4 else 1
        out[f"{prefix}.ape"] = (ratio, coff * width)
        out[f"{prefix}.wkv.weight"] = (coff * width, d)
        out[f"{prefix}.wgate.weight"] = (coff * width, d)
        out[f"{prefix}.norm.weight"] = (width,)

    for i, ratio in enumerate(c["compress_ratios"]):
        p = f"layers.{i}"
        for part in ("attn", "ffn"):
            out[f"{p}.{part}_norm.weight"] = (d,)
            out[f"{p}.hc_{part}_fn"] = ((2 + n) * n, n * d)
            out[f"{p}.hc_{part}_base"] = ((2 + n) * n,)
            out[f"{p}.hc_{part}_scale"] = (3,)
        a = f"{p}.attn"
        out[f"{a}.wq_a.weight"] = (c["q_lora_rank"], d)
        out[f"{a}.q_norm.weight"] = (c["q_lora_rank"],)
        out[f"{a}.wq_b.weight"] = (heads * dim, c["q_lora_rank"])
        out[f"{a}.wkv.weight"] = (dim, d)
        out[f"{a}.kv_norm.weight"] = (dim,)
        out[f"{a}.wo_a.weight"] = (c["o_groups"] * c["o_lora_rank"], heads * dim // c["o_groups"])
        out[f"{a}.wo_b.weight"] = (d, c["o_groups"] * c["o_lora_rank"])
        out[f"{a}.attn_sink"] = (heads,)
        if ratio:
            compressor(f"{a}.compressor", ratio, dim)
        if ratio == 4:
            out[f"{a}.indexer.wq_b.weight"] = (c["index_n_heads"] * c["index_head_dim"], c["q_lora_rank"])
            out[f"{a}.indexer.weights_proj.weight"] = (c["index_n_heads"], d)
            compressor(f"{a}.indexer.compressor", 4, c["index_head_dim"])
        f = f"{p}.ffn"
        out[f"{f}.gate.weight"] = (experts, d)
        if i < c["num_hash_layers"]:
            out[f"{f}.gate.tid2eid"] = (c["vocab_size"], k)
        else:
            out[f"{f}.gate.bias"] = (experts,)
        for part in [f"{f}.experts.{e}" for e in range(experts)] + [f"{f}.shared_experts"]:
            out[f"{part}.w1.weight"] = (inter, d)
            out[f"{part}.w2.weight"] = (d, inter)
            out[f"{part}.w3.weight"] = (inter, d)
    return out


def official_weights(c, seed, sharp):
    return {
        name: weight(seed, name, shape, sharp, c["n_routed_experts"]) for name, shape in official_shapes(c).items()
    }


def token_ids(c, seed, sequence, length):
    return below(seed, f"ids.{sequence}", length, c["vocab_size"])
