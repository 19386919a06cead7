"""What a training token of a pretrained model costs on one core: float32, its matrices multiplied in bfloat16, all in bfloat16.

    python benchmarks/pretrained.py smollm2-135m

Processor seconds, so other work on the machine matters less; two rows of 415 tokens, of which every fourth is learnt, the second of two
passes. The results are in benchmarks/results/pretrained.json.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from peft import LoraConfig, get_peft_model

from tratree_data.models.loading import load_model

RESULTS = Path(__file__).parent / "results" / "pretrained.json"
ROWS, LENGTH = 2, 415
WAYS = {
    "float32": (False, "highest"),
    "float32, matrices multiplied in bfloat16": (False, "medium"),
    "bfloat16": (True, "highest"),
}


def main(folder: str) -> None:
    torch.set_num_threads(1)
    found = {}
    for name, way in WAYS.items():
        found[name] = cost(folder, *way)
        print(name, found[name], flush=True)
        RESULTS.write_text(json.dumps({"rows": ROWS, "tokens_a_row": LENGTH, "milliseconds_a_token": found}, indent=1) + "\n")


def cost(folder: str, bf16: bool, precision: str) -> dict[str, float]:
    """Milliseconds of processor time per token, forward and backward."""
    torch.set_float32_matmul_precision(precision)
    base = load_model(folder, bf16=bf16)
    model = get_peft_model(base, LoraConfig(r=32, lora_alpha=64, target_modules="all-linear"))
    torch.manual_seed(0)
    ids = torch.randint(0, base.config.vocab_size, (ROWS, LENGTH))
    for _ in range(2):
        started = time.process_time()
        loss = _loss(model, ids, bf16)
        read = time.process_time()
        loss.backward()
        ended = time.process_time()
    per_token = 1000 / ids.numel()
    return {"forward": round(per_token * (read - started), 2), "backward": round(per_token * (ended - read), 2)}


def _loss(model: Any, ids: torch.Tensor, bf16: bool) -> torch.Tensor:
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
        decoder = model.get_base_model()
        states = decoder.model(input_ids=ids, use_cache=False).last_hidden_state[:, :-1][:, ::4]
        logits = decoder.lm_head(states).float()
        return F.cross_entropy(logits.flatten(0, 1), ids[:, 1:][:, ::4].flatten())


if __name__ == "__main__":
    main(sys.argv[1])
