"""Golden logits of random V4 configs from transformers (CPU, eager): in float32, and in bfloat16.

Configs are drawn from a seeded generator, one for each line of KINDS, so that every mix of layer kinds is there twice or
more; weights and token ids come from shared.py, so the file holds logits only. Writes test/golden/v4/hf.safetensors
(`<case>.<sequence>.f32`, and without choices `.smooth_f32`, `.smooth_bf16`) and hf.json (configs, seeds, lengths).

    python tools/reference/hf_golden.py
"""

import copy
import json
import random

import torch
from safetensors.torch import save_file
from transformers import DeepseekV4ForCausalLM

import shared
from v4_golden import BASE, OUT, make_hf_config, official_name, watch_routing, watch_selection

W, C, H = "window", "csa", "hca"
# One line per case: the kinds of its layers, and the heavy ratio.
KINDS = [
    ([W], 0), ([C], 0), ([H], 2), ([W, C], 0), ([W, H], 3), ([C, H], 5), ([W, C, H], 16),
    ([H, C, W], 6), ([C, C, H], 7), ([H, H, W], 10), ([C, W, C], 0), ([W, W], 0), ([H, C], 32), ([C, C], 0),
    ([H], 64), ([W, C, H, C], 9), ([H, W, C, H], 12), ([C, H, C], 128), ([W, H, C], 13), ([C, H], 24),
]  # fmt: skip


def draw(number, kinds, heavy):
    """A random config: odd sizes, and lengths that touch every boundary of windows and groups."""
    r = random.Random(number)
    rope = r.choice([2, 4, 6, 8])
    groups = r.choice([1, 2, 3])
    experts = r.choice([3, 4, 5, 7, 9])
    window = r.choice([3, 4, 5, 8, 11, 16])
    c = {
        **BASE,
        "vocab_size": r.choice([29, 40, 53]),
        "hidden_size": r.choice([20, 28, 33, 48]),
        "num_attention_heads": groups * r.choice([1, 2, 3]),
        "head_dim": rope + r.choice([2, 5, 8, 10]),
        "qk_rope_head_dim": rope,
        "q_lora_rank": r.choice([9, 16, 20]),
        "o_groups": groups,
        "o_lora_rank": r.choice([5, 8, 12]),
        "sliding_window": window,
        "n_routed_experts": experts,
        "num_experts_per_tok": r.randint(1, min(experts, 4)),
        "moe_intermediate_size": r.choice([7, 12, 16]),
        "routed_scaling_factor": r.choice([1.0, 1.5, 2.5]),
        "swiglu_limit": r.choice([0.5, 2.0, 10.0]),
        "index_n_heads": 8,
        "index_head_dim": rope + r.choice([1, 4, 8]),
        "index_topk": r.choice([1, 2, 3, 5, 512]),
        "hc_mult": r.choice([1, 2, 3, 4]),
        "hc_sinkhorn_iters": r.choice([1, 3, 20]),
        "compress_rope_theta": r.choice([10000.0, 40000.0, 160000.0]),
        "rope_scaling": r.choice([None, BASE["rope_scaling"], dict(factor=4, original_max_position_embeddings=32, beta_fast=16, beta_slow=2)]),
        "compress_ratios": [{W: 0, C: 4, H: heavy}[kind] for kind in kinds],
        "num_hash_layers": r.randint(0, len(kinds)),
    }  # fmt: skip
    if c["index_topk"] == 512:
        # Where the indexer selects, few heads would leave many entries with a score of exactly 0, all tied.
        c["index_n_heads"] = r.choice([1, 2, 5])
    unit = heavy or (4 if C in kinds else window)
    around = [1, unit - 1, unit, unit + 1, window, window + 1, 2 * unit + 3, 3 * window + 2, 4 * window + r.randint(0, 3)]
    lengths = sorted({max(1, n) for n in r.sample(around, 4)} | {2 * max(unit, window) + number % 4})
    return c, [n for n in lengths if n <= 300]


def weights_for(model, c, seed, sharp):
    """The shared weights as a transformers state dict."""
    ours = {k: torch.from_numpy(v) for k, v in shared.official_weights(c, seed, sharp).items()}
    out = {}
    for name, t in model.state_dict().items():
        if name.endswith("mlp.experts.gate_up_proj"):
            p = f"layers.{name.split('.')[2]}.ffn.experts"
            out[name] = torch.stack([torch.cat([ours.pop(f"{p}.{e}.{w}.weight") for w in ("w1", "w3")]) for e in range(t.shape[0])])
        elif name.endswith("mlp.experts.down_proj"):
            p = f"layers.{name.split('.')[2]}.ffn.experts"
            out[name] = torch.stack([ours.pop(f"{p}.{e}.w2.weight") for e in range(t.shape[0])])
        else:
            out[name] = ours.pop(official_name(name))
    assert not ours, list(ours)
    return out


def as_bf16(model):
    """bfloat16 but for the modules transformers keeps in float32."""
    model = model.to(torch.bfloat16)
    for name, module in model.named_modules():
        if name.rsplit(".", 1)[-1] in model._keep_in_fp32_modules_strict:
            module.float()
    for name, p in list(model.named_parameters()) + list(model.named_buffers()):
        if name.rsplit(".", 1)[-1] in model._keep_in_fp32_modules_strict or "inv_freq" in name:
            p.data = p.data.float()
    return model


@torch.no_grad()
def run(name, c, lengths, seed, sharp, tensors, model, gaps):
    """Adds the case's logits; False where a choice is a near tie."""
    gaps.clear()
    state = weights_for(model, c, seed, sharp)
    model.load_state_dict(state)
    ids = [torch.from_numpy(shared.token_ids(c, seed, s, n))[None] for s, n in enumerate(lengths)]
    wide = [model(x, use_cache=False).logits[0].contiguous() for x in ids]
    gap = min(gaps, default=1.0)
    if gap < 1e-5:
        return False
    top2 = torch.cat(wide).topk(2, -1).values
    if float((top2[:, 0] - top2[:, 1]).min()) < 1e-3 * float(torch.cat(wide).abs().max()):
        return False
    exact = copy.deepcopy(model).double()
    size = max(float(w.abs().max()) for w in wide)
    f64 = max(float((exact(x, use_cache=False).logits[0] - w).abs().max()) for x, w in zip(ids, wide)) / size
    print(f"{name}: lengths {lengths}, smallest gap {gap:.1e}, f32 - f64 {f64:.1e}", end=", ", flush=True)
    for s, logits in enumerate(wide):
        tensors[f"{name}.{s}.f32"] = logits
    return True


@torch.no_grad()
def run_bf16(name, c, lengths, seed, sharp, tensors):
    """In bf16, rounding decides near ties, so here no choice is left: every entry is attended to, experts come from tables."""
    c = {**c, "index_topk": 512, "num_hash_layers": len(c["compress_ratios"])}
    model = DeepseekV4ForCausalLM(make_hf_config(c)).float().eval()
    model.load_state_dict(weights_for(model, c, seed, sharp))
    half = as_bf16(copy.deepcopy(model))
    apart, size = 0.0, 0.0
    for s, n in enumerate(lengths):
        x = torch.from_numpy(shared.token_ids(c, seed, s, n))[None]
        wide, narrow = model(x, use_cache=False).logits[0], half(x, use_cache=False).logits[0].to(torch.bfloat16)
        tensors[f"{name}.{s}.smooth_f32"] = wide.contiguous()
        tensors[f"{name}.{s}.smooth_bf16"] = narrow.contiguous()
        apart, size = max(apart, float((narrow.float() - wide).abs().max())), max(size, float(wide.abs().max()))
    print(f"bf16 - f32 {apart / size:.1e}", flush=True)


def main():
    torch.set_num_threads(1)
    tensors, cases = {}, []
    for number, (kinds, heavy) in enumerate(KINDS):
        c, lengths = draw(number, kinds, heavy)
        name = f"{number:02d}-" + "-".join(k if k != H else f"hca{heavy}" for k in kinds)
        model, gaps = DeepseekV4ForCausalLM(make_hf_config(c)).float().eval(), []
        watch_selection(model, gaps)
        watch_routing(model, c, gaps)
        tries = range(number * 1000, number * 1000 + 1000)
        seed = next(s for s in tries if run(name, c, lengths, s, 4.0, tensors, model, gaps))
        run_bf16(name, c, lengths, seed, 4.0, tensors)
        text = {k: v for k, v in c.items() if v is not None}
        text["num_hidden_layers"] = len(kinds)
        cases.append({"name": name, "seed": seed, "sharp": 4.0, "lengths": lengths, "config": text})
    OUT.mkdir(parents=True, exist_ok=True)
    save_file(tensors, OUT / "hf.safetensors")
    (OUT / "hf.json").write_text(json.dumps({"cases": cases}, indent=1) + "\n")


if __name__ == "__main__":
    main()
