"""Training speed of the same network in transformers on PyTorch (bf16, eager), for `tessera bench train`.

Reads one JSON object on stdin: the hub config plus {batch, length, steps}. Prints one JSON object:
{tokens_per_s, step_s, loss_first, loss_last, torch, transformers}. References only; nothing in the project needs it.
"""

import json
import sys
import time

import torch
import transformers
from transformers import DeepseekV4Config, DeepseekV4ForCausalLM


def main() -> None:
    request = json.load(sys.stdin)
    batch, length, steps = request.pop("batch"), request.pop("length"), request.pop("steps")
    dtype = getattr(torch, request.pop("dtype", "bfloat16"))
    torch.manual_seed(0)
    torch.set_num_threads(request.pop("threads", 2))
    config = DeepseekV4Config(**request, attn_implementation="eager")
    model = DeepseekV4ForCausalLM(config).to(dtype)
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    ids = torch.randint(0, config.vocab_size, (batch, length))
    losses, times = [], []
    for _ in range(steps + 1):
        start = time.perf_counter()
        loss = model(input_ids=ids, labels=ids, use_cache=False).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        times.append(time.perf_counter() - start)
        losses.append(float(loss.detach()))
    step_s = sorted(times[1:])[len(times[1:]) // 2]
    print(json.dumps({
        "tokens_per_s": batch * length / step_s,
        "step_s": step_s,
        "loss_first": losses[0],
        "loss_last": losses[-1],
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }))


main()
