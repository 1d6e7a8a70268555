"""Golden file of DSpark, which is not in transformers: a tiny random target, its drafter, and one greedy draft.

A stage is a window block of transformers whose attention sees keys made from the target's features (all at once, no ring
buffer) and the draft block itself, without a mask. Writes test/golden/v4/dspark.{safetensors,json}; see README.md.

    python tools/reference/dspark_golden.py
"""

import json

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from transformers import DeepseekV4ForCausalLM
from transformers.models.deepseek_v4 import modeling_deepseek_v4 as hf
from v4_golden import BASE, OUT, make_hf_config, official, randomize, stored, watch_routing, watch_selection

STAGES, BLOCK, RANK, NOISE, TARGETS = 3, 5, 12, 95, [0, 1, 2]
LENGTH = 21  # more than the window of 8, and not a multiple of it


class Features:
    """Stands where a cache would: gives the keys of the target's features before the block's own."""

    def __init__(self, keys):
        self.keys = keys

    def update(self, kv, _values, _layer):
        return torch.cat([self.keys, kv], dim=2), None


class Stage(torch.nn.Module):
    def __init__(self, config, d, vocab, index):
        super().__init__()
        eps = config.rms_norm_eps
        self.block = hf.DeepseekV4DecoderLayer(config, 0)
        if index == 0:
            self.main_proj = torch.nn.Linear(len(TARGETS) * d, d, bias=False)
            self.main_norm = hf.DeepseekV4RMSNorm(d, eps)
        if index == STAGES - 1:
            self.norm = hf.DeepseekV4RMSNorm(d, eps)
            self.hc_head = hf.DeepseekV4HyperHead(config)
            self.markov_w1 = torch.nn.Embedding(vocab, RANK)
            self.markov_w2 = torch.nn.Linear(RANK, vocab, bias=False)
            self.confidence = torch.nn.Linear(d + RANK, 1, bias=False)


def tables(rope, x, start, count):
    return rope(x, position_ids=torch.arange(start, start + count)[None], layer_type="main")


def draft(model, stages, features, token, window):
    """-> tokens, logits [5, V], confidence [5], all greedy."""
    rope, last = model.model.rotary_emb, stages[-1]
    length = features.shape[1]
    main = stages[0].main_norm(stages[0].main_proj(features))
    ids = torch.tensor([[token] + [NOISE] * (BLOCK - 1)])
    x = model.model.embed_tokens(ids)[:, :, None].expand(-1, -1, model.config.hc_mult, -1).contiguous()
    for stage in stages:
        attn = stage.block.self_attn
        keys = attn.kv_norm(attn.kv_proj(main))[:, None]
        keys = hf.apply_rotary_pos_emb(keys, *tables(rope, main, 0, length))[:, :, -window:]
        positions = {"main": tables(rope, main, length, BLOCK)}
        x = stage.block(x, input_ids=ids, position_embeddings=positions, position_ids=None, attention_mask=None,
                        past_key_values=Features(keys))
    hidden = last.hc_head(x)[0]
    base = F.linear(last.norm(hidden), model.lm_head.weight)
    tokens, logits, confidence, before = [], [], [], token
    for i in range(BLOCK):
        row = last.markov_w1(torch.tensor(before))
        logits.append(base[i] + last.markov_w2(row))
        confidence.append(torch.sigmoid(last.confidence(torch.cat([hidden[i], row]))[0]))
        before = int(logits[-1].argmax())
        tokens.append(before)
    return tokens, torch.stack(logits), torch.stack(confidence)


def stage_official(stage, index):
    class Shim:
        def state_dict(self):
            return {f"model.layers.0.{k}": v for k, v in stage.block.state_dict().items()}

    out = {k.replace("layers.0.", f"mtp.{index}.", 1): v for k, v in official(Shim(), None).items()}
    names = {"main_proj": "main_proj", "main_norm": "main_norm", "norm": "norm", "markov_w1": "markov_head.markov_w1",
             "markov_w2": "markov_head.markov_w2", "confidence": "confidence_head.proj"}
    for ours, name in names.items():
        if hasattr(stage, ours):
            key = f"mtp.{index}.{name}.weight"
            out[key] = stored(key, getattr(stage, ours).weight)
    if hasattr(stage, "hc_head"):
        for part in ("fn", "base", "scale"):
            key = f"mtp.{index}.hc_head_{part}"
            out[key] = stored(key, getattr(stage.hc_head, f"hc_{part}"))
    return out


@torch.no_grad()
def run():
    c = {**BASE, "compress_ratios": [0, 4, 16], "num_hash_layers": 1}
    config = make_hf_config(c)
    generator = torch.Generator().manual_seed(11)
    model = DeepseekV4ForCausalLM(config).float().eval()
    randomize(model, c, generator, 4.0)
    # Stages are window blocks with a learned router, whatever the target's layers are.
    own = make_hf_config({**c, "compress_ratios": [0], "num_hash_layers": 0})
    stages = [Stage(own, c["hidden_size"], c["vocab_size"], i).float().eval() for i in range(STAGES)]
    gaps = []
    for stage in stages:
        randomize(stage, c, generator, 4.0)
        watch_routing(stage, c, gaps)
    watch_routing(model, c, gaps)
    watch_selection(model, gaps)
    outputs = {}
    for i in TARGETS:
        model.model.layers[i].register_forward_hook(lambda m, a, out, i=i: outputs.__setitem__(i, out))
    ids = torch.randint(0, c["vocab_size"], (1, LENGTH), generator=generator)
    token = int(model(ids, use_cache=False).logits[0, -1].argmax())
    features = torch.cat([outputs[i].mean(2) for i in TARGETS], dim=-1)
    tokens, logits, confidence = draft(model, stages, features, token, c["sliding_window"])
    top = logits.sort(-1, descending=True).values
    assert min(gaps) > 1e-5 and float((top[:, 0] - top[:, 1]).min()) > 1e-3, "a near tie; take another seed"
    tensors = official(model, c)
    for i, stage in enumerate(stages):
        tensors.update(stage_official(stage, i))
    tensors["golden.ids"] = ids.to(torch.int32)
    tensors["golden.features"] = features.contiguous()
    tensors["golden.draft"] = torch.tensor([token, *tokens], dtype=torch.int32)
    tensors["golden.draft_logits"] = logits.contiguous()
    tensors["golden.confidence"] = confidence.contiguous()
    save_file(tensors, OUT / "dspark.safetensors")
    text = {k: v for k, v in c.items() if v is not None}
    text.update(num_hidden_layers=3, num_nextn_predict_layers=1, dspark_block_size=BLOCK, dspark_noise_token_id=NOISE,
                dspark_markov_rank=RANK, dspark_target_layer_ids=TARGETS)
    (OUT / "dspark.json").write_text(json.dumps(text, indent=1) + "\n")
    print(tokens, confidence, (OUT / "dspark.safetensors").stat().st_size)


if __name__ == "__main__":
    run()
