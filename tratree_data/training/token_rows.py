"""Conversations as token rows: which tokens a model learns from, and what happens to those that are too long.

Only what the agent itself wrote is supervised; the prompt and every observation are context. The chat template's `{% generation %}`
markers say which tokens those are, the same way for imitation and for preferences. TRL silently cuts a long row at any token; here it is
cut after an agent's turn, or dropped, and every such row is recorded.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tratree_data.messages import Message, stored_row_message
from tratree_data.models.chat_templates import Spans, Tools, agent_mask, render
from tratree_data.training.step_weights import token_weights


@dataclass
class Lengths:
    """What was too long, row by row."""

    max_length: int | None
    too_long: str = "cut"
    offset: int = 0
    rows: list[dict[str, Any]] = field(default_factory=list)
    longest: int = 0

    def note(self, row: int, part: str, done: str, tokens: int, kept: int) -> None:
        self.rows.append({"row": self.offset + row, "part": part, "done": done, "tokens": tokens, "kept_tokens": kept})

    def count(self, done: str) -> int:
        return len({row["row"] for row in self.rows if row["done"] == done})


def tokenize(
    tokenizer: Any,
    template: str,
    conversations: Sequence[Sequence[Message]],
    prompts: Sequence[Spans] | None = None,
    tools: Sequence[Tools] | None = None,
) -> tuple[list[list[int]], list[list[int]]]:
    """(ids, mask) of each conversation with its tools; the mask is 1 on what the agent wrote, its end-of-turn token included.

    Of `prompts`, the spans that each conversation's prompt has, as many turns at its start are left out of the mask.
    """
    if not conversations:
        return [], []
    texts, spans = render(tokenizer, template, conversations, tools=tools)
    encoded = tokenizer(texts, add_special_tokens=False)
    skipped = [len(prompt) for prompt in prompts] if prompts is not None else [0] * len(texts)
    masks = [agent_mask(encoded, i, text, found[skip:]) for i, (text, found, skip) in enumerate(zip(texts, spans, skipped, strict=True))]
    return encoded["input_ids"], masks


def turn_ends(mask: Sequence[int]) -> list[int]:
    """The positions just after each run of the agent's tokens."""
    return [i for i in range(1, len(mask) + 1) if mask[i - 1] and (i == len(mask) or not mask[i])]


def fit(ids: list[int], mask: list[int], start: int, limit: int | None) -> int:
    """How many tokens to keep: all, or up to the end of the last turn of the agent that fits; 0 if none after `start` does."""
    if limit is None or len(ids) <= limit:
        return len(ids) if any(mask[start:]) else 0
    return max((end for end in turn_ends(mask) if start < end <= limit), default=0)


def demonstration_rows(
    tokenizer: Any,
    template: str,
    demonstrations: Sequence[tuple[Sequence[Message]]],
    lengths: Lengths,
    tools: Sequence[Tools] | None = None,
    weights: Sequence[Sequence[float]] | None = None,
) -> list[dict[str, Any]]:
    """Rows for SFTTrainer: `input_ids` and `labels`, -100 where nothing is learnt, and each token's weight if steps have `weights`."""
    rows = []
    conversations = [messages for (messages,) in demonstrations]
    for row, (ids, mask) in enumerate(zip(*tokenize(tokenizer, template, conversations, tools=tools), strict=True)):
        if weights is not None and len(weights[row]) != len(turn_ends(mask)):
            lengths.note(row, "turns and weighted steps differ in number", "dropped", len(ids), 0)
            continue
        kept = _keep(lengths, row, "messages", ids=ids, mask=mask)
        if kept:
            labels = [token if learnt else -100 for token, learnt in zip(ids[:kept], mask, strict=False)]
            made = {"input_ids": ids[:kept], "labels": labels}
            rows.append(made if weights is None else {**made, "weights": token_weights(mask[:kept], turn_ends(mask), weights[row])})
    return rows


def labelled_rows(
    tokenizer: Any,
    template: str,
    steps: Sequence[tuple[Sequence[Message], Sequence[Message], bool]],
    lengths: Lengths,
    tools: Sequence[Tools] | None = None,
) -> list[dict[str, Any]]:
    """Rows for KTOTrainer, which makes the tokens itself: a completion is one turn of the agent, kept whole or dropped."""
    rows = []
    ids, masks = tokenize(tokenizer, template, [[*prompt, *completion] for prompt, completion, _ in steps], tools=tools)
    for row, (prompt, completion, label) in enumerate(steps):
        lengths.longest = max(lengths.longest, len(ids[row]))
        if len(ids[row]) <= (lengths.max_length or len(ids[row])) and any(masks[row]):
            rows.append(
                {
                    "prompt": list(map(stored_row_message, prompt)),
                    "completion": list(map(stored_row_message, completion)),
                    "label": label,
                    "tools": json.dumps(tools[row]) if tools is not None and tools[row] else None,
                }
            )
        else:
            lengths.note(row, "completion", "dropped", len(ids[row]), 0)
    return rows


def preference_rows(
    tokenizer: Any,
    template: str,
    pairs: Sequence[tuple[Sequence[Message], Sequence[Message], Sequence[Message]]],
    lengths: Lengths,
    tools: Sequence[Tools] | None = None,
) -> list[dict[str, Any]]:
    """Rows for DPOTrainer: ids of prompt, chosen and rejected, and the mask of what the agent wrote in the last two."""
    opened, spans = render(tokenizer, template, [prompt for prompt, _, _ in pairs], to_answer=True, tools=tools)
    prompts = tokenizer(opened, add_special_tokens=False)["input_ids"]
    chosen_ids, chosen_masks = tokenize(tokenizer, template, [[*prompt, *chosen] for prompt, chosen, _ in pairs], spans, tools)
    rejected_ids, rejected_masks = tokenize(tokenizer, template, [[*prompt, *rejected] for prompt, _, rejected in pairs], spans, tools)
    rows = []
    for row, prompt in enumerate(prompts):
        shared = min(common_prefix(prompt, chosen_ids[row]), common_prefix(prompt, rejected_ids[row]))
        chosen = _keep(lengths, row, "chosen", ids=chosen_ids[row], mask=chosen_masks[row], start=shared)
        rejected = _keep(lengths, row, "rejected", ids=rejected_ids[row], mask=rejected_masks[row], start=shared)
        if chosen and chosen_ids[row][:chosen] == rejected_ids[row][:rejected]:
            lengths.note(row, "both sides are the same", "dropped", len(chosen_ids[row]), 0)
        elif chosen and rejected:
            rows.append(
                {
                    "prompt_ids": prompt[:shared],
                    "chosen_ids": chosen_ids[row][shared:chosen],
                    "rejected_ids": rejected_ids[row][shared:rejected],
                    "chosen_mask": chosen_masks[row][shared:chosen],
                    "rejected_mask": rejected_masks[row][shared:rejected],
                }
            )
    return rows


def common_prefix(left: Sequence[int], right: Sequence[int]) -> int:
    for i, (a, b) in enumerate(zip(left, right, strict=False)):
        if a != b:
            return i
    return min(len(left), len(right))


def _keep(lengths: Lengths, row: int, part: str, *, ids: list[int], mask: list[int], start: int = 0) -> int:
    lengths.longest = max(lengths.longest, len(ids))
    kept = fit(ids, mask, start, lengths.max_length)
    if kept < len(ids) and lengths.too_long == "drop":
        kept = 0
    if kept < len(ids):
        lengths.note(row, part, "cut" if kept else "dropped", len(ids), kept)
    return kept
