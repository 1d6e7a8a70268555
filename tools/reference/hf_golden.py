"""Golden logits of random V4 configs from transformers (CPU, eager) in float32, and what rounding does to them.

Configs are drawn from a seeded generator, one for each line of KINDS, so that every mix of layer kinds is there twice or
more; weights and token ids come from shared.py. Writes test/golden/v4/hf.safetensors: `<case>.<sequence>.f32` logits, and
what layers chose and by which scores, `.entry.<layer>`, `.entry_scores.<layer>` and the same of experts. hf.json has configs,
seeds, lengths, and how far random rounding (random_rounding.py) in float32 and in bfloat16 takes logits and scores when the
choices are kept: with choices free, one entry more or less would be all that bfloat16 shows.

    python tools/reference/hf_golden.py
"""

import copy
import json
import random

import torch
from safetensors.torch import save_file
from transformers import DeepseekV4ForCausalLM
from transformers.models.deepseek_v4.modeling_deepseek_v4 import DeepseekV4TopKRouter

import shared
from random_rounding import ALARM, SEEDS, RandomRounding, margin
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


class Choices:
    """Watches what a model chooses and by which scores, or (`forced`) chooses for it. Keys are (kind, layer)."""

    def __init__(self, model):
        self.scores, self.chosen, self.forced = {}, {}, None
        for i, layer in enumerate(model.model.layers):
            compressor, gate = layer.self_attn.compressor, layer.mlp.gate
            if hasattr(compressor, "indexer"):
                compressor.indexer.scorer.register_forward_hook(lambda m, a, out, i=i: self.scores.update({("entry", i): out}))
                compressor.indexer.register_forward_hook(lambda m, a, out, i=i: self.entries(i, out))
            if isinstance(gate, DeepseekV4TopKRouter):
                gate.register_forward_hook(lambda m, a, out, i=i: self.experts(i, m, *out))

    def entries(self, i, chosen):
        """[B,T,k], -1 where fewer are visible; no choice where all are taken."""
        if chosen.shape[-1] < self.scores["entry", i].shape[-1]:
            self.chosen["entry", i] = chosen
        else:
            del self.scores["entry", i]
        return chosen if self.forced is None else self.forced.get(("entry", i), chosen).expand(*chosen.shape)

    def experts(self, i, gate, logits, weights, chosen):
        """[B*T,k]; weights follow from the forced choice as they do from the gate's own."""
        self.scores["expert", i] = gate.score_fn(logits) + gate.e_score_correction_bias
        self.chosen["expert", i] = chosen
        if self.forced is None:
            return logits, weights, chosen
        forced = self.forced["expert", i]
        chosen = forced.repeat(len(chosen) // len(forced), 1)
        weights = gate.score_fn(logits).gather(1, chosen)
        return logits, weights / (weights.sum(-1, keepdim=True) + 1e-20) * gate.routed_scaling_factor, chosen


@torch.no_grad()
def run(name, c, lengths, seed, sharp, tensors):
    """Adds the case's logits, choices and scores -> the model and what it chose; None where a choice is a near tie."""
    model, gaps = DeepseekV4ForCausalLM(make_hf_config(c)).float().eval(), []
    watch_selection(model, gaps)
    watch_routing(model, c, gaps)
    choices = Choices(model)
    model.load_state_dict(weights_for(model, c, seed, sharp))
    wide, made = [], []
    for s, n in enumerate(lengths):
        choices.scores, choices.chosen = {}, {}
        wide.append(model(torch.from_numpy(shared.token_ids(c, seed, s, n))[None], use_cache=False).logits[0])
        made.append((choices.chosen, choices.scores))
    if min(gaps, default=1.0) < 1e-5:
        return None
    top2 = torch.cat(wide).topk(2, -1).values
    if float((top2[:, 0] - top2[:, 1]).min()) < 1e-3 * float(torch.cat(wide).abs().max()):
        return None
    print(f"{name}: lengths {lengths}, smallest gap {min(gaps, default=1.0):.1e}", end=", ", flush=True)
    for s, (logits, (chosen, scores)) in enumerate(zip(wide, made)):
        tensors[f"{name}.{s}.f32"] = logits.contiguous()
        for (kind, layer), which in chosen.items():
            tensors[f"{name}.{s}.{kind}.{layer}"] = which.reshape(-1, which.shape[-1]).to(torch.int32)
            tensors[f"{name}.{s}.{kind}_scores.{layer}"] = scores[kind, layer].reshape(len(logits), -1).contiguous()
    return model, wide, made


def visible(scores, kind):
    """Scores [..,T,E] of entries that do not exist yet count as 0."""
    if kind == "expert":
        return scores
    t, e = torch.arange(scores.shape[-2])[:, None], torch.arange(scores.shape[-1])[None]
    return scores * (e < (t + 1) // 4)


@torch.no_grad()
def rounding_of(model, c, lengths, seed, wide, made):
    """How far SEEDS draws of a precision's rounding errors take logits (and bf16 scores), with the choices kept; the largest."""
    out = {}
    for key, narrow in (("f32", torch.float32), ("bf16", torch.bfloat16)):
        own = as_bf16(copy.deepcopy(model)) if key == "bf16" else copy.deepcopy(model)
        # The copy's hooks still belong to the model's.
        for m in own.modules():
            m._forward_hooks.clear()
        choices = Choices(own)
        distances, squares, nearest, total, scores = [], torch.zeros(SEEDS), 0.0, 0, {}
        for s, n in enumerate(lengths):
            ids = torch.from_numpy(shared.token_ids(c, seed, s, n))[None].expand(SEEDS, -1)
            choices.forced, choices.scores = made[s][0], {}
            with RandomRounding(narrow, seed * 100 + s):
                drawn = own(ids, position_ids=torch.arange(n)[None].repeat(SEEDS, 1), use_cache=False).logits
            off = drawn.float() - wide[s]
            distances.append(off.abs().amax((1, 2)) / wide[s].abs().max())
            squares += (off * off).sum((1, 2))
            total += wide[s].numel()
            if key == "bf16":
                for (kind, layer), exact in made[s][1].items():
                    at, exact = f"{kind}.{layer}", visible(exact.reshape(n, -1), kind)
                    far = (visible(choices.scores[kind, layer].float().reshape(SEEDS, n, -1), kind) - exact).abs().amax((1, 2))
                    scores[at] = torch.maximum(scores.get(at, torch.zeros(SEEDS)), far)
                nearest += float(((own(ids[:1], use_cache=False).logits[0].float() - wide[s]) ** 2).sum())
        if key == "f32":
            out["f32"] = float(torch.stack(distances).max())
        else:
            out["bf16"] = float((squares / total).sqrt().max())
            out["scores"] = {at: float(d.max()) for at, d in scores.items()}
            # transformers itself rounds to nearest, and is a further draw.
            out["nearest"] = (nearest / total) ** 0.5 / out["bf16"]
    print(f"f32 {out['f32']:.1e}, bf16 {out['bf16']:.1e}, to nearest {out['nearest']:.2f} of it", flush=True)
    assert out["nearest"] <= margin(), "the reference is outside its own bound"
    return out


def main():
    torch.set_num_threads(1)
    tensors, cases = {}, []
    for number, (kinds, heavy) in enumerate(KINDS):
        c, lengths = draw(number, kinds, heavy)
        name = f"{number:02d}-" + "-".join(k if k != H else f"hca{heavy}" for k in kinds)
        for seed in range(number * 1000, number * 1000 + 1000):
            found = run(name, c, lengths, seed, 4.0, tensors)
            if found:
                break
        text = {k: v for k, v in c.items() if v is not None}
        text["num_hidden_layers"] = len(kinds)
        rounding = rounding_of(found[0], c, lengths, seed, *found[1:])
        cases.append({"name": name, "seed": seed, "sharp": 4.0, "lengths": lengths, "rounding": rounding, "config": text})
    OUT.mkdir(parents=True, exist_ok=True)
    save_file(tensors, OUT / "hf.safetensors")
    text = {"draws": SEEDS, "alarm": ALARM, "margin": margin(), "cases": cases}
    (OUT / "hf.json").write_text(json.dumps(text, indent=1) + "\n")


if __name__ == "__main__":
    main()
