"""A Llama of a few thousand weights and its tokenizer, made and trained here in seconds, that plays the corridor well."""

from pathlib import Path
from typing import Any

from helpers import corridor
from tratree_data.messages import conversation

LENGTHS = range(1, 7)


def games() -> list[list[dict[str, str]]]:
    """The perfect game of every length, as conversations."""
    found = []
    for length in LENGTHS:
        game = corridor.Corridor()
        start = game.reset(f"train-0-{length}")
        observation, steps = start.observation, []
        for action in ["right"] * length + ["take"]:
            steps.append((observation, "On." if action == "right" else "Here.", action))
            observation = game.step(action).observation
        found.append(conversation(game.prompt, start.instruction, steps))
    return found


def make_tiny_llama(folder: Path, *, steps: int = 60, seed: int = 0) -> Path:
    import torch

    from tratree_data.experiments.small_models import make_model, make_tokenizer

    torch.set_num_threads(1)
    conversations = games()
    tokenizer = make_tokenizer(message["content"] for game in conversations for message in game)
    make_model(folder, tokenizer, width=64, layers=2, seed=seed)
    if steps:
        train(folder, tokenizer, conversations, steps)
    return folder


def train(folder: Path, tokenizer: Any, conversations: list[list[dict[str, str]]], steps: int) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    encoded = tokenizer.apply_chat_template(conversations, return_dict=True, return_assistant_tokens_mask=True)
    rows = list(zip(encoded["input_ids"], encoded["assistant_masks"], strict=True))
    longest = max(len(ids) for ids, _ in rows)
    ids = torch.tensor([row + [tokenizer.pad_token_id] * (longest - len(row)) for row, _ in rows])
    labels = torch.tensor(
        [[t if m else -100 for t, m in zip(row, mask, strict=True)] + [-100] * (longest - len(row)) for row, mask in rows]
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(steps):
        loss = model(input_ids=ids, attention_mask=(ids != tokenizer.pad_token_id).long(), labels=labels).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.save_pretrained(folder)
    print(f"loss {float(loss.detach()):.4f} after {steps} steps")
