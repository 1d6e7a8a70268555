"""Golden logits of the official numerics (official_model.py) on random configs, each evaluated twice.

The official code fixes where it rounds but not how it sums. `<case>.<sequence>.official` has float32 sums and keys in the
order of the official code, `.other` float64 sums and keys by position: what lies between the two is freedom, not error.
Writes test/golden/v4/official.safetensors and official.json.

    python tools/reference/official_golden.py
"""

import json

import torch
from safetensors.torch import save_file

import shared
from official_model import Math, Official
from v4_golden import BASE, OUT

OWN = {
    **BASE, "vocab_size": 40, "hidden_size": 160, "num_attention_heads": 4, "head_dim": 32, "qk_rope_head_dim": 8,
    "q_lora_rank": 48, "o_lora_rank": 40, "sliding_window": 8, "moe_intermediate_size": 136, "index_n_heads": 8,
    "index_head_dim": 16, "index_topk": 3,
}  # fmt: skip

# Each rounding point weighs in at least one case.
CASES = {
    "window": dict(lengths=[1, 9, 30], config={"compress_ratios": [0], "num_hash_layers": 1}),
    "csa": dict(lengths=[3, 8, 33], config={"compress_ratios": [4], "num_hash_layers": 0}),
    "hca": dict(lengths=[6, 12, 31], config={"compress_ratios": [6], "num_hash_layers": 0, "rope_scaling": None}),
    "wide-heads": dict(
        lengths=[5, 24],
        config={"compress_ratios": [4], "num_hash_layers": 1, "head_dim": 160, "index_head_dim": 64, "qk_rope_head_dim": 16, "num_attention_heads": 2},
    ),
    "long-window": dict(
        lengths=[150], config={"compress_ratios": [5], "num_hash_layers": 1, "sliding_window": 100, "hidden_size": 64, "moe_intermediate_size": 24},
    ),
    "all-kinds": dict(lengths=[4, 29], config={"compress_ratios": [0, 4, 6], "num_hash_layers": 1, "swiglu_limit": 0.5, "hc_mult": 2}),
}  # fmt: skip


def run(name, case, seed, tensors):
    c = {**OWN, **case["config"]}
    weights = shared.official_weights(c, seed, 4.0)
    models = {"official": Official(c, weights), "other": Official(c, weights, Math(torch.float64, by_score=False))}
    for s, n in enumerate(case["lengths"]):
        ids = shared.token_ids(c, seed, s, n)
        for key, model in models.items():
            tensors[f"{name}.{s}.{key}"] = model.logits(ids).contiguous()
            # A choice that one unit of bf16 could turn is no test of anything.
            if min(model.gaps, default=1.0) < 2**-7:
                return False
        a, b = tensors[f"{name}.{s}.official"], tensors[f"{name}.{s}.other"]
        rows = ((a - b).abs().max(-1).values / a.abs().max()).tolist()
        print(f"  {name} {n}: rows equal to 1e-5: {sum(r < 1e-5 for r in rows)}/{n}, worst {max(rows):.1e}", flush=True)
    return True


def main():
    torch.set_num_threads(1)
    tensors, cases = {}, []
    for number, (name, case) in enumerate(CASES.items()):
        seed = next(s for s in range(number * 1000, number * 1000 + 1000) if run(name, case, s, tensors))
        print(name, seed)
        text = {k: v for k, v in {**OWN, **case["config"]}.items() if v is not None}
        text.update(num_hidden_layers=len(text["compress_ratios"]), numerics="official")
        cases.append({"name": name, "seed": seed, "sharp": 4.0, "lengths": case["lengths"], "config": text})
    save_file(tensors, OUT / "official.safetensors")
    (OUT / "official.json").write_text(json.dumps({"cases": cases}, indent=1) + "\n")


if __name__ == "__main__":
    main()
