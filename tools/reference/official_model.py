"""DeepSeek-V4 as the official inference code computes it, in plain torch on one sequence, from the written description.

bf16 tensors are float32 tensors whose values are rounded by `bf` at every point where the official code rounds; FP8 and
FP4 are simulated by rounding to their values. The official code leaves the order of its float32 sums open; with `order`, a
generator, every sum is taken in a random one, so that many runs show what that freedom changes.
"""

import numpy as np
import torch

from primitives_golden import qdq

KEY_BLOCK = 64


def bf(x):
    return x.to(torch.bfloat16).to(torch.float32)


def fake(x, block, kind, width=None):
    """QDQ over the first `width` of the last axis; a short last block is padded with zeros, which no scale sees."""
    n = x.shape[-1] if width is None else width
    pad = -n % block
    y = torch.nn.functional.pad(x[..., :n], (0, pad)).numpy()
    y = torch.from_numpy(qdq(y, block, kind))[..., :n]
    return torch.cat([y, x[..., n:]], -1)


def fake_square(w):
    """A weight [N,K] through FP8 with one scale for 128 x 128."""
    out = w.clone()
    for r in range(0, w.shape[0], 128):
        for c in range(0, w.shape[1], 128):
            part = w[r : r + 128, c : c + 128]
            flat = part.reshape(1, -1).numpy()
            out[r : r + 128, c : c + 128] = torch.from_numpy(qdq(flat, flat.shape[1], "e4m3")).reshape(part.shape)
    return out


class Official:
    def __init__(self, c, weights):
        self.c, self.order = c, None
        self.w = {k: torch.from_numpy(v) for k, v in weights.items()}
        for name in self.w:
            if name.endswith(("wq_a.weight", "wq_b.weight", "attn.wkv.weight", "wo_a.weight", "wo_b.weight")) or "shared_experts" in name:
                self.w[name] = fake_square(self.w[name])
            elif ".experts." in name:
                self.w[name] = fake(self.w[name], 32, "e2m1")

    def shuffle(self, n):
        return slice(None) if self.order is None else torch.randperm(n, generator=self.order)

    def dot(self, a, b):
        """a . b^T."""
        at = self.shuffle(a.shape[-1])
        return a[..., at] @ b[..., at].transpose(-1, -2)

    def sum(self, x, axis=-1, keepdim=False):
        return x.movedim(axis, 0)[self.shuffle(x.shape[axis])].movedim(0, axis).sum(axis, keepdim=keepdim)

    def mean(self, x):
        return self.sum(x, keepdim=True) / x.shape[-1]

    def linear(self, x, name):
        return bf(self.dot(x, self.w[f"{name}.weight"]))

    def norm(self, x, name):
        y = x * torch.rsqrt(self.mean(x * x) + self.c["rms_norm_eps"])
        return bf(y * self.w[f"{name}.weight"])

    def freqs(self, compressed):
        c = self.c
        r, base = c["qk_rope_head_dim"], c["compress_rope_theta"] if compressed else c["rope_theta"]
        f = 1.0 / (base ** (torch.arange(0, r, 2, dtype=torch.float32) / r))
        scaling = c.get("rope_scaling") if compressed else None
        if scaling:
            at = lambda turns: r * np.log(scaling["original_max_position_embeddings"] / (turns * 2 * np.pi)) / (2 * np.log(base))
            low, high = max(np.floor(at(scaling["beta_fast"])), 0), min(np.ceil(at(scaling["beta_slow"])), r - 1)
            ramp = ((torch.arange(r // 2, dtype=torch.float32) - low) / max(high - low, 0.001)).clamp(0, 1)
            f = f / scaling["factor"] * ramp + f * (1 - ramp)
        return f

    def rope(self, x, positions, freqs, inverse=False):
        """x [T,..,D]: the last dims in pairs (2i, 2i+1); angles are float32 products."""
        r = 2 * len(freqs)
        angle = torch.outer(positions.float(), freqs).reshape(len(positions), *[1] * (x.dim() - 2), -1)
        cos, sin = angle.cos(), angle.sin() * (-1 if inverse else 1)
        a, b = x[..., -r::2], x[..., -r + 1 :: 2]
        turned = torch.stack([a * cos - b * sin, a * sin + b * cos], -1).flatten(-2)
        return torch.cat([x[..., :-r], bf(turned)], -1)

    def hc(self, h, prefix):
        """h [T,n,D] -> the sublayer's input and how to write back."""
        c, n = self.c, self.c["hc_mult"]
        flat = h.flatten(1)
        r = torch.rsqrt(self.mean(flat * flat) + c["rms_norm_eps"])
        mix = self.dot(flat, self.w[f"{prefix}_fn"]) * r
        scale, base = self.w[f"{prefix}_scale"], self.w[f"{prefix}_base"]
        if len(scale) == 1:
            pre = torch.sigmoid(mix * scale + base) + c["hc_eps"]
            return bf((pre[..., None] * h).sum(1))
        pre = torch.sigmoid(mix[:, :n] * scale[0] + base[:n]) + c["hc_eps"]
        post = 2 * torch.sigmoid(mix[:, n : 2 * n] * scale[1] + base[n : 2 * n])
        comb = (mix[:, 2 * n :] * scale[2] + base[2 * n :]).reshape(-1, n, n)
        comb = torch.softmax(comb, -1) + c["hc_eps"]
        comb = comb / (comb.sum(1, keepdim=True) + c["hc_eps"])
        for _ in range(c["hc_sinkhorn_iters"] - 1):
            comb = comb / (comb.sum(2, keepdim=True) + c["hc_eps"])
            comb = comb / (comb.sum(1, keepdim=True) + c["hc_eps"])
        write = lambda f: bf(post[..., None] * f[:, None] + torch.einsum("tjk,tjd->tkd", comb, h))
        return bf((pre[..., None] * h).sum(1)), write

    def entries(self, x, prefix, ratio, dim, freqs):
        """Compressed entries [E,dim] before their own quantisation; everything up to the norm is float32."""
        kv = self.dot(x, self.w[f"{prefix}.wkv.weight"])
        score = self.dot(x, self.w[f"{prefix}.wgate.weight"]) + self.w[f"{prefix}.ape"][torch.arange(len(x)) % ratio]
        out = []
        for j in range(len(x) // ratio):
            now = slice(j * ratio, (j + 1) * ratio)
            if ratio == 4:
                k, s = kv[now, dim:], score[now, dim:]
                if j > 0:
                    before = slice((j - 1) * ratio, j * ratio)
                    k, s = torch.cat([kv[before, :dim], k]), torch.cat([score[before, :dim], s])
            else:
                k, s = kv[now], score[now]
            out.append(self.sum(torch.softmax(s, 0) * k, 0))
        if not out:
            return torch.zeros(0, dim)
        y = self.norm(bf(torch.stack(out)), f"{prefix}.norm")
        return self.rope(y, torch.arange(len(out)) * ratio, freqs)

    def hadamard(self, x):
        n = x.shape[-1]
        h = torch.ones(1, 1)
        while len(h) < n:
            h = torch.cat([torch.cat([h, h], 1), torch.cat([h, -h], 1)])
        return bf(self.dot(x, h) * n**-0.5)

    def index_choice(self, x, qr, prefix, freqs):
        """Per token the chosen entries, best first."""
        c, dim, heads = self.c, self.c["index_head_dim"], self.c["index_n_heads"]
        prepare = lambda v: fake(self.hadamard(v), 32, "e2m1")
        keys = prepare(self.entries(x, f"{prefix}.compressor", 4, dim, freqs))
        q = self.linear(fake(qr, 128, "e4m3"), f"{prefix}.wq_b").reshape(len(x), heads, dim)
        q = prepare(self.rope(q, torch.arange(len(x)), freqs))
        w = bf(self.linear(x, f"{prefix}.weights_proj") * (dim**-0.5 * heads**-0.5))
        products = bf(torch.relu(bf(self.dot(q, keys))) * w[..., None])
        score = bf(self.sum(products, 1))
        choice, gaps = [], []
        for t in range(len(x)):
            visible = score[t, : (t + 1) // 4]
            order = torch.argsort(visible, descending=True, stable=True)
            k = c["index_topk"]
            if len(order) > k:
                gaps.append(float((visible[order[k - 1]] - visible[order[k]]) / visible.abs().max()))
            choice.append(order[:k])
        return choice, gaps

    def attend(self, q, slots, valid, sink):
        """q [H,d], slots [n,d]; the online softmax over blocks of 64 slots -> [H,d]."""
        top = torch.full((len(q), 1), float("-inf"))
        den, acc = torch.zeros(len(q), 1), torch.zeros_like(q)
        for i in range(0, len(slots), KEY_BLOCK):
            k = slots[i : i + KEY_BLOCK]
            logits = self.dot(q, k) * self.c["head_dim"] ** -0.5
            logits = logits.masked_fill(~valid[i : i + KEY_BLOCK], float("-inf"))
            new = torch.maximum(top, logits.max(-1, keepdim=True).values)
            p = torch.exp(logits - new)
            shrink = torch.exp(top - new)
            den = den * shrink + self.sum(p, keepdim=True)
            acc = acc * shrink + self.dot(bf(p), k.T)
            top = new
        return bf(acc / (den + torch.exp(sink[:, None] - top)))

    def attention(self, x, layer):
        c, p = self.c, f"layers.{layer}.attn"
        ratio, heads, dim, window = c["compress_ratios"][layer], c["num_attention_heads"], c["head_dim"], c["sliding_window"]
        freqs, at = self.freqs(ratio > 0), torch.arange(len(x))
        shared = fake(x, 128, "e4m3")
        qr = self.norm(self.linear(shared, f"{p}.wq_a"), f"{p}.q_norm")
        q = self.linear(fake(qr, 128, "e4m3"), f"{p}.wq_b").reshape(len(x), heads, dim)
        mean = bf(self.mean(bf(q * q)))
        q = bf(q * bf(torch.rsqrt(bf(mean + c["rms_norm_eps"]))))
        q = self.rope(q, at, freqs)
        store = lambda v: fake(v, 64, "e4m3", dim - c["qk_rope_head_dim"])
        kv = store(self.rope(self.norm(self.linear(shared, f"{p}.wkv"), f"{p}.kv_norm"), at, freqs))
        entries, choice = torch.zeros(0, dim), None
        if ratio:
            entries = store(self.entries(x, f"{p}.compressor", ratio, dim, freqs))
        if ratio == 4:
            choice, gaps = self.index_choice(x, qr, f"{p}.indexer", freqs)
            self.gaps += gaps
        out = []
        for t in range(len(x)):
            first = max(0, t - window + 1)
            near = torch.arange(first, first + min(len(x), window))
            seen = near <= t
            near = near.clamp(max=len(x) - 1)
            far = choice[t] if choice is not None else torch.arange((t + 1) // ratio if ratio else 0)
            far = far[self.shuffle(len(far))]
            slots = torch.cat([kv[near], entries[far]])
            valid = torch.cat([seen, torch.ones(len(far), dtype=torch.bool)])
            out.append(self.attend(q[t], slots, valid, self.w[f"{p}.attn_sink"]))
        o = self.rope(torch.stack(out), at, freqs, inverse=True).reshape(len(x), c["o_groups"], -1)
        wo_a = self.w[f"{p}.wo_a.weight"].reshape(c["o_groups"], c["o_lora_rank"], -1)
        low = torch.cat([bf(self.dot(o[:, g], wo_a[g])) for g in range(c["o_groups"])], -1)
        return self.linear(fake(low, 128, "e4m3"), f"{p}.wo_b")

    def expert(self, x, prefix, factor=None):
        limit = self.c["swiglu_limit"]
        shared = fake(x, 128, "e4m3")
        a, b = self.linear(shared, f"{prefix}.w1"), self.linear(shared, f"{prefix}.w3")
        g = torch.nn.functional.silu(a.clamp(max=limit)) * b.clamp(-limit, limit)
        if factor is not None:
            g = g * factor
        return self.linear(fake(bf(g), 128, "e4m3"), f"{prefix}.w2")

    def moe(self, x, ids, layer):
        c, p, k = self.c, f"layers.{layer}.ffn", self.c["num_experts_per_tok"]
        s = torch.sqrt(torch.nn.functional.softplus(self.dot(x, self.w[f"{p}.gate.weight"])))
        if f"{p}.gate.tid2eid" in self.w:
            chosen = self.w[f"{p}.gate.tid2eid"][ids]
        else:
            best = (s + self.w[f"{p}.gate.bias"]).sort(-1, descending=True)
            chosen = best.indices[:, :k]
            if k < s.shape[1]:
                self.gaps.append(float((best.values[:, k - 1] - best.values[:, k]).min()))
        factors = s.gather(1, chosen)
        factors = factors / factors.sum(-1, keepdim=True) * c["routed_scaling_factor"]
        y = torch.zeros_like(x)
        for e in torch.arange(c["n_routed_experts"])[self.shuffle(c["n_routed_experts"])].tolist():
            rows, slot = torch.where(chosen == e)
            if len(rows):
                y[rows] += self.expert(x[rows], f"{p}.experts.{e}", factors[rows, slot, None])
        return bf(y + self.expert(x, f"{p}.shared_experts"))

    @torch.no_grad()
    def logits(self, ids):
        """ids [T] -> float32 [T,V]. Afterwards `gaps` holds how clear each choice was, and `sizes` the sums of magnitudes
        [T,V] behind the logits."""
        c, self.gaps = self.c, []
        ids = torch.as_tensor(ids)
        h = self.w["embed.weight"][ids][:, None].expand(-1, c["hc_mult"], -1)
        for i in range(len(c["compress_ratios"])):
            x, write = self.hc(h, f"layers.{i}.hc_attn")
            h = write(self.attention(self.norm(x, f"layers.{i}.attn_norm"), i))
            x, write = self.hc(h, f"layers.{i}.hc_ffn")
            h = write(self.moe(self.norm(x, f"layers.{i}.ffn_norm"), ids, i))
        x = self.norm(self.hc(h, "hc_head"), "norm")
        self.sizes = x.abs() @ self.w["head.weight"].abs().T
        return self.dot(x, self.w["head.weight"])
