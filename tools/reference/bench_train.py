"""Training steps of the same network in transformers on PyTorch (eager), the peer of `tessera bench train`.

A worker: one JSON object a line on stdin, one a line on stdout. First {config, batch, length, threads, dtype}, answered by
{torch, transformers, parameters}; then {steps} as often as wanted, answered by {seconds, cpu_seconds, loss}, lists with one
entry a step but for the loss, which is the last one. A step is forward, backward, clipping and AdamW.
References only; nothing in the project needs it.
"""

import json
import sys
import time

import torch
import transformers
from transformers import DeepseekV4ForCausalLM
from v4_golden import make_hf_config


def answer(value):
    print(json.dumps(value), flush=True)


def main():
    request = json.loads(sys.stdin.readline())
    torch.manual_seed(0)
    torch.set_num_threads(request["threads"])
    ours = {"rope_scaling": None, **request["config"]}
    ours["compress_ratios"] = ours["compress_ratios"][: ours.pop("num_hidden_layers")]
    for key in ("swiglu_limit", "routed_scaling_factor", "rope_theta", "compress_rope_theta"):
        ours[key] = float(ours[key])  # JSON writes 10.0 as 10
    config = make_hf_config(ours)
    model = DeepseekV4ForCausalLM(config).to(getattr(torch, request["dtype"]))
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    answer({
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "parameters": sum(p.numel() for p in model.parameters()),
    })
    ids = torch.randint(0, config.vocab_size, (request["batch"], request["length"]))
    for line in sys.stdin:
        seconds, cpu_seconds = [], []
        for _ in range(json.loads(line)["steps"]):
            start, cpu_start = time.perf_counter(), time.process_time()
            loss = model(input_ids=ids, labels=ids, use_cache=False).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            seconds.append(time.perf_counter() - start)
            cpu_seconds.append(time.process_time() - cpu_start)
        answer({"seconds": seconds, "cpu_seconds": cpu_seconds, "loss": float(loss.detach())})


if __name__ == "__main__":
    main()
