"""Does a checkpoint exported in the transformers layout give our logits in transformers?

    ./bin/tessera export --layout transformers --out exported
    python tools/reference/check_export.py exported assets/model    # needs torch and transformers, see README.md

Loads the export with from_pretrained (every weight must be used and none made up), runs fixed text prompts in float32 on the
CPU, and sets their logits beside ours, which it asks of print-logits.ts. Also greedy ids, one by one.
"""

import base64
import json
import subprocess
import sys

import numpy as np
import torch
from transformers import AutoModelForCausalLM


@torch.no_grad()
def main():
    exported, folder = sys.argv[1:3]
    ours = json.loads(subprocess.check_output(["node", "--import", "tsx", "tools/reference/print-logits.ts", folder]))
    model, info = AutoModelForCausalLM.from_pretrained(
        exported, dtype=torch.float32, attn_implementation="eager", output_loading_info=True
    )
    assert not any(info.values()), info
    model.eval()
    vocab = ours["vocab_size"]
    for prompt in ours["prompts"]:
        ids = torch.tensor([prompt["ids"]])
        theirs = model(ids, use_cache=False).logits[0].numpy()
        mine = np.frombuffer(base64.b64decode(prompt["logits"]), np.float32).reshape(-1, vocab)
        worst = float(np.abs(mine - theirs).max() / np.abs(theirs).max())
        same = float((mine.argmax(-1) == theirs.argmax(-1)).mean())
        greedy = []
        for _ in prompt["greedy"]:
            row = model(torch.tensor([prompt["ids"] + greedy]), use_cache=False).logits[0, -1]
            greedy.append(int(row.argmax()))
        agree = greedy == prompt["greedy"]
        print(f"{ids.shape[1]} tokens: worst difference {worst:.2e} of the largest logit, same best id {same:.1%}, {len(greedy)} greedy ids {'equal' if agree else 'differ'}")
        assert worst < 1e-4 and agree


if __name__ == "__main__":
    main()
