"""Golden files for the V4 network: tiny random DeepseekV4ForCausalLM models, float32, CPU, eager.

Each case writes test/golden/v4/<name>.safetensors (weights under the official DeepSeek names, token ids,
logits, rotary frequencies) and <name>.json (the config in the hub's inference names). Weights that the official
checkpoints keep in bf16 are rounded to bf16 before the run, so the stored file holds exactly what was computed.
The MTP module is not in transformers; mtp_logits() below is a plain reference of it.

    python tools/reference/v4_golden.py        # needs torch and transformers, see README.md
"""

import json
import sys
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from transformers import DeepseekV4Config, DeepseekV4ForCausalLM
from transformers.models.deepseek_v4 import modeling_deepseek_v4 as hf

OUT = Path(__file__).resolve().parents[2] / "test" / "golden" / "v4"

BASE = dict(
    vocab_size=96,
    hidden_size=48,
    num_attention_heads=4,
    head_dim=16,
    qk_rope_head_dim=8,
    q_lora_rank=20,
    o_groups=2,
    o_lora_rank=12,
    sliding_window=8,
    n_routed_experts=5,
    n_shared_experts=1,
    num_experts_per_tok=2,
    moe_intermediate_size=16,
    routed_scaling_factor=1.5,
    swiglu_limit=10.0,
    index_n_heads=8,
    index_head_dim=16,
    index_topk=512,
    hc_mult=4,
    hc_sinkhorn_iters=20,
    hc_eps=1e-6,
    rms_norm_eps=1e-6,
    rope_theta=10000.0,
    compress_rope_theta=160000.0,
    max_position_embeddings=1024,
    rope_scaling=dict(factor=16, original_max_position_embeddings=64, beta_fast=32, beta_slow=1),
    num_nextn_predict_layers=0,
)

# Sequence lengths end inside a group and cross window, CSA and HCA boundaries.
CASES = {
    # Every layer kind; the indexer really selects (4 of up to 16 entries).
    "all-kinds": dict(
        seed=1, batch=2, length=67, sharp=6.0,
        config=dict(compress_ratios=[0, 4, 16, 4, 16], num_hash_layers=2, index_topk=4),
    ),
    # The real heavy ratio, no YaRN, odd sizes, top-3 of 7 experts, two streams; a binding SwiGLU clamp.
    "ratio-128": dict(
        seed=2, batch=1, length=263, sharp=4.0,
        config=dict(
            compress_ratios=[128, 4, 128], num_hash_layers=1, hidden_size=40, num_attention_heads=6, o_groups=3,
            n_routed_experts=7, num_experts_per_tok=3, hc_mult=2, hc_sinkhorn_iters=5, swiglu_limit=0.5,
            sliding_window=16, rope_scaling=None, routed_scaling_factor=2.5,
        ),
    ),
    # Window layers only, one output group, and the MTP module behind them.
    "window-mtp": dict(
        seed=3, batch=2, length=21, sharp=4.0,
        config=dict(compress_ratios=[0, 0], num_hash_layers=0, o_groups=1, num_nextn_predict_layers=1, index_topk=2),
    ),
}


def make_hf_config(c):
    rope = {"rope_type": "default"}
    if c["rope_scaling"]:
        rope = {"rope_type": "yarn", **c["rope_scaling"]}
    kind = {0: "sliding_attention", 4: "compressed_sparse_attention"}
    ratios = c["compress_ratios"]
    heavy = [r for r in ratios if r not in (0, 4)] or [128]
    own = {k: v for k, v in c.items() if k not in ("compress_ratios", "rope_scaling", "num_hash_layers")}
    return DeepseekV4Config(
        **own,
        num_hidden_layers=len(ratios),
        layer_types=[kind.get(r, "heavily_compressed_attention") for r in ratios],
        compress_rates={"compressed_sparse_attention": 4, "heavily_compressed_attention": heavy[0]},
        mlp_layer_types=["hash_moe" if i < c["num_hash_layers"] else "moe" for i in range(len(ratios))],
        rope_parameters=rope,
        bos_token_id=0,
        eos_token_id=1,
        attn_implementation="eager",
        experts_implementation="eager",
    )


def randomize(model, c, generator, sharp):
    """Weights large enough that every part shows in the logits."""
    normal = lambda t, std, mean=0.0: t.copy_(torch.randn(t.shape, generator=generator) * std + mean)
    with torch.no_grad():
        for name, p in list(model.named_parameters()) + list(model.named_buffers()):
            leaf = name.rsplit(".", 1)[-1]
            if "inv_freq" in name:
                continue
            if "tid2eid" in name:
                for row in range(p.shape[0]):
                    p[row] = torch.randperm(c["n_routed_experts"], generator=generator)[: p.shape[1]]
            elif "norm" in name and leaf == "weight":
                normal(p, 0.2, 1.0)
            elif leaf in ("base", "hc_base", "position_bias", "sinks"):
                normal(p, 0.7)
            elif leaf in ("scale", "hc_scale"):
                normal(p, 0.2, 0.8)
            elif leaf == "e_score_correction_bias":
                normal(p, 0.3)
            elif leaf in ("fn", "hc_fn"):
                normal(p, p.shape[-1] ** -0.5)
            elif "lm_head" in name or "embed" in name:
                normal(p, 0.3)
            elif "gate_proj" in name and "experts" not in name or "q_b_proj" in name:
                normal(p, sharp**0.5 * p.shape[-1] ** -0.5)
            else:
                normal(p, p.shape[-1] ** -0.5)
            if not keeps_f32(name):
                p.copy_(p.to(torch.bfloat16).to(p.dtype) if p.is_floating_point() else p)


def keeps_f32(name):
    parts = ("_hc.", "hc_head", "hc_attn", "hc_ffn", "sink", "position_bias", "ape", "correction_bias", "gate.bias")
    return any(s in name for s in parts)


RENAMES = {
    "input_layernorm.weight": "attn_norm.weight",
    "post_attention_layernorm.weight": "ffn_norm.weight",
    "self_attn.q_a_proj.weight": "attn.wq_a.weight",
    "self_attn.q_a_norm.weight": "attn.q_norm.weight",
    "self_attn.q_b_proj.weight": "attn.wq_b.weight",
    "self_attn.kv_proj.weight": "attn.wkv.weight",
    "self_attn.kv_norm.weight": "attn.kv_norm.weight",
    "self_attn.o_a_proj.weight": "attn.wo_a.weight",
    "self_attn.o_b_proj.weight": "attn.wo_b.weight",
    "self_attn.sinks": "attn.attn_sink",
    "self_attn.compressor.kv_proj.weight": "attn.compressor.wkv.weight",
    "self_attn.compressor.gate_proj.weight": "attn.compressor.wgate.weight",
    "self_attn.compressor.position_bias": "attn.compressor.ape",
    "self_attn.compressor.kv_norm.weight": "attn.compressor.norm.weight",
    "self_attn.compressor.indexer.q_b_proj.weight": "attn.indexer.wq_b.weight",
    "self_attn.compressor.indexer.scorer.weights_proj.weight": "attn.indexer.weights_proj.weight",
    "self_attn.compressor.indexer.kv_proj.weight": "attn.indexer.compressor.wkv.weight",
    "self_attn.compressor.indexer.gate_proj.weight": "attn.indexer.compressor.wgate.weight",
    "self_attn.compressor.indexer.position_bias": "attn.indexer.compressor.ape",
    "self_attn.compressor.indexer.kv_norm.weight": "attn.indexer.compressor.norm.weight",
    "mlp.gate.weight": "ffn.gate.weight",
    "mlp.gate.e_score_correction_bias": "ffn.gate.bias",
    "mlp.gate.tid2eid": "ffn.gate.tid2eid",
    "mlp.shared_experts.gate_proj.weight": "ffn.shared_experts.w1.weight",
    "mlp.shared_experts.down_proj.weight": "ffn.shared_experts.w2.weight",
    "mlp.shared_experts.up_proj.weight": "ffn.shared_experts.w3.weight",
}
for part in ("fn", "base", "scale"):
    RENAMES[f"attn_hc.{part}"] = f"hc_attn_{part}"
    RENAMES[f"ffn_hc.{part}"] = f"hc_ffn_{part}"
TOP = {"model.embed_tokens.weight": "embed.weight", "lm_head.weight": "head.weight", "model.norm.weight": "norm.weight"}
for part in ("fn", "base", "scale"):
    TOP[f"model.hc_head.hc_{part}"] = f"hc_head_{part}"


def official_name(name):
    """A transformers name that is not a stacked expert -> the official one."""
    if name in TOP:
        return TOP[name]
    assert name.startswith("model.layers."), name
    _, _, layer, rest = name.split(".", 3)
    return f"layers.{layer}.{RENAMES[rest]}"


def official(model, c):
    """transformers names -> official names; stacked experts come apart."""
    out = {}
    for name, t in model.state_dict().items():
        if name.endswith("mlp.experts.gate_up_proj"):
            prefix = f"layers.{name.split('.')[2]}."
            width = t.shape[1] // 2
            for e in range(t.shape[0]):
                out[f"{prefix}ffn.experts.{e}.w1.weight"] = t[e, :width]
                out[f"{prefix}ffn.experts.{e}.w3.weight"] = t[e, width:]
        elif name.endswith("mlp.experts.down_proj"):
            prefix = f"layers.{name.split('.')[2]}."
            for e in range(t.shape[0]):
                out[f"{prefix}ffn.experts.{e}.w2.weight"] = t[e]
        else:
            out[official_name(name)] = t
    return {k: stored(k, v) for k, v in out.items()}


def stored(name, t):
    t = t.detach().clone().contiguous()
    if t.is_floating_point() and not keeps_f32(name):
        assert torch.equal(t, t.to(torch.bfloat16).float()), name
        return t.to(torch.bfloat16)
    return t


class MtpModule(torch.nn.Module):
    """One MTP stage: a window block on e_proj(enorm(embed(next))) + h_proj(hnorm(stream k)), own collapse and norm."""

    def __init__(self, config):
        super().__init__()
        d, eps = config.hidden_size, config.rms_norm_eps
        self.enorm = hf.DeepseekV4RMSNorm(d, eps)
        self.hnorm = hf.DeepseekV4RMSNorm(d, eps)
        self.e_proj = torch.nn.Linear(d, d, bias=False)
        self.h_proj = torch.nn.Linear(d, d, bias=False)
        self.block = hf.DeepseekV4DecoderLayer(config, config.num_hidden_layers - 1)
        self.hc_head = hf.DeepseekV4HyperHead(config)
        self.norm = hf.DeepseekV4RMSNorm(d, eps)

    def forward(self, model, streams, next_ids):
        rope, positions = model.model.rotary_emb, torch.arange(next_ids.shape[1])[None]
        e = self.e_proj(self.enorm(model.model.embed_tokens(next_ids)))
        x = e[:, :, None] + self.h_proj(self.hnorm(streams))
        t, w = next_ids.shape[1], model.config.sliding_window
        i, j = torch.arange(t)[:, None], torch.arange(t)[None]
        mask = torch.where((j <= i) & (j > i - w), 0.0, float("-inf"))[None, None]
        tables = {"main": rope(e, position_ids=positions, layer_type="main")}
        x = self.block(x, input_ids=next_ids, position_embeddings=tables, position_ids=positions, attention_mask=mask)
        return F.linear(self.norm(self.hc_head(x)), model.lm_head.weight)


def mtp_official(mtp, config):
    """Wraps the block as layer 0 of a stand-in so that official() names it, then renames layers.0 -> mtp.0."""
    out = {}
    for part in ("enorm", "hnorm", "norm", "e_proj", "h_proj"):
        out[f"mtp.0.{part}.weight"] = getattr(mtp, part).weight
    for part in ("fn", "base", "scale"):
        out[f"mtp.0.hc_head_{part}"] = getattr(mtp.hc_head, f"hc_{part}")

    class Shim:
        def state_dict(self):
            return {f"model.layers.0.{k}": v for k, v in mtp.block.state_dict().items()}

    out.update({k.replace("layers.0.", "mtp.0.", 1): v for k, v in official(Shim(), None).items()})
    return {k: v if v.dtype == torch.bfloat16 else stored(k, v) for k, v in out.items()}


def watch_selection(model, gaps):
    """Refuses cases where the indexer's choice hangs on a near tie, which no other summation order could repeat."""

    def hook(module, args, scores):
        topk, ratio = model.config.index_topk, 4
        for b in range(scores.shape[0]):
            for t in range(scores.shape[1]):
                visible = min((t + 1) // ratio, scores.shape[2])
                if visible > topk:
                    best = scores[b, t, :visible].sort(descending=True).values
                    gaps.append(float(best[topk - 1] - best[topk]))

    for m in model.modules():
        if isinstance(m, hf.DeepseekV4IndexerScorer):
            m.register_forward_hook(hook)


def watch_routing(model, c, gaps):
    def hook(module, args, out):
        logits, _, _ = out
        k = c["num_experts_per_tok"]
        best = (module.score_fn(logits) + module.e_score_correction_bias).sort(-1, descending=True).values
        if k < best.shape[1]:
            gaps.append(float((best[:, k - 1] - best[:, k]).min()))

    for m in model.modules():
        if isinstance(m, hf.DeepseekV4TopKRouter):
            m.register_forward_hook(hook)


@torch.no_grad()
def run(name, case):
    c = {**BASE, **case["config"]}
    config = make_hf_config(c)
    generator = torch.Generator().manual_seed(case["seed"])
    model = DeepseekV4ForCausalLM(config).float().eval()
    randomize(model, c, generator, case["sharp"])
    index_gaps, route_gaps = [], []
    watch_selection(model, index_gaps)
    watch_routing(model, c, route_gaps)
    ids = torch.randint(0, c["vocab_size"], (case["batch"], case["length"]), generator=generator)
    streams = []
    model.model.hc_head.register_forward_pre_hook(lambda m, args: streams.append(args[0]))
    logits = model(ids, use_cache=False).logits
    tensors = official(model, c)
    tensors["golden.ids"] = ids.to(torch.int32)
    tensors["golden.logits"] = logits.contiguous()
    rope = model.model.rotary_emb
    tensors["golden.freqs_main"] = rope.main_inv_freq.float().contiguous()
    tensors["golden.freqs_compress"] = rope.compress_inv_freq.float().contiguous()
    if c["num_nextn_predict_layers"]:
        mtp = MtpModule(config).float().eval()
        randomize(mtp, c, generator, case["sharp"])
        watch_routing(mtp, c, route_gaps)
        next_ids = torch.randint(0, c["vocab_size"], ids.shape, generator=generator)
        next_ids[:, :-1] = ids[:, 1:]
        tensors["golden.next_ids"] = next_ids.to(torch.int32)
        tensors["golden.mtp_logits"] = mtp(model, streams[0], next_ids).contiguous()
        tensors.update(mtp_official(mtp, config))
    for what, gaps in (("indexer", index_gaps), ("router", route_gaps)):
        if gaps:
            print(f"  {what}: smallest gap at the cut {min(gaps):.2e}")
            assert min(gaps) > 1e-5, f"{name}: a {what} choice is a near tie; take another seed"
    OUT.mkdir(parents=True, exist_ok=True)
    save_file(tensors, OUT / f"{name}.safetensors")
    text = {k: v for k, v in c.items() if v is not None}
    text["num_hidden_layers"] = len(c["compress_ratios"])
    (OUT / f"{name}.json").write_text(json.dumps(text, indent=1) + "\n")
    size = (OUT / f"{name}.safetensors").stat().st_size
    print(f"{name}: logits std {logits.std():.3f}, {size / 1e6:.2f} MB")


def main(names=()):
    for wanted in names or CASES:
        run(wanted, CASES[wanted])


if __name__ == "__main__":
    main(sys.argv[1:])
