"""What transformers holds after loading: names, shapes and SHA-256 of every tensor of the golden model `all-kinds`.

    python tools/reference/export_golden.py     # needs torch and transformers, see README.md

Writes test/golden/transformers-layout.json. The Node test exports the same golden model in the transformers layout and
must give these names, shapes and bytes; so what transformers reads from our export is the model that made the goldens.
Also exports it here (with ./bin/tessera) and compares from_pretrained's logits with the golden ones.
"""

import hashlib
import json
import shutil
import subprocess
import tempfile
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "test" / "golden"


@torch.no_grad()
def main():
    golden = load_file(GOLDEN / "v4" / "all-kinds.safetensors")
    with tempfile.TemporaryDirectory() as work:
        source, out = Path(work) / "source", Path(work) / "out"
        source.mkdir()
        weights = {k: v for k, v in golden.items() if not k.startswith("golden.")}
        save_file(weights, source / "model.safetensors")
        shutil.copy(GOLDEN / "v4" / "all-kinds.json", source / "config.json")
        subprocess.check_call(["./bin/tessera", "export", "--model", source, "--layout", "transformers", "--out", out], cwd=ROOT)
        model, info = AutoModelForCausalLM.from_pretrained(
            out, dtype=torch.float32, attn_implementation="eager", output_loading_info=True
        )
        assert not any(info.values()), info
        logits = model.eval()(golden["golden.ids"].long(), use_cache=False).logits
    expected = golden["golden.logits"]
    worst = float((logits - expected).abs().max() / expected.abs().max())
    print(f"logits of the export against the golden ones: {worst:.2e} of the largest")
    assert worst < 1e-5
    listing = {}
    for name, t in model.state_dict().items():
        values = t.float() if t.is_floating_point() else t
        listing[name] = [list(t.shape), hashlib.sha256(values.contiguous().numpy().tobytes()).hexdigest()]
    (GOLDEN / "transformers-layout.json").write_text(json.dumps(listing, indent=0) + "\n")
    print(f"{len(listing)} tensors")


if __name__ == "__main__":
    main()
