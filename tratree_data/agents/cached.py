"""A model in this process that keeps each episode's keys and values between steps, so that only new text is read at every step.

It works with any transformers model and is meant for small ones, where many episodes are played at once and most of the work would be
reading the same history again. What a request samples depends only on its own seed, not on its batch.
"""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import numpy as np

from tratree_data.agents import Request, Response, chat, needs_tools
from tratree_data.agents.transformers import response_of_tokens
from tratree_data.errors import missing_package
from tratree_data.models.find import need_model, quiet
from tratree_data.models.tool_calls import need_tools

EPISODES_KEPT = 1024


@dataclass
class Prompt:
    """A prompt that the model has read: its text, its tokens, and one (keys, values) pair per layer, each [heads, tokens, size]."""

    text: str = ""
    length: int = 0
    layers: tuple[tuple[Any, Any], ...] = ()


class CachedAgent:
    name = "cached"
    batched = True
    wants_actions = False

    def __init__(self, model: str, batch: int = 64, label: str = "", form: str = "react") -> None:
        self.calls_tools = needs_tools(form)
        self.folder, self.batch = model, batch
        self.model = label or model
        self.loaded: tuple[Any, Any] | None = None
        self.kept: OrderedDict[tuple[str, str, int], Prompt] = OrderedDict()

    def act(self, requests: list[Request]) -> list[Response]:
        responses: list[Response] = []
        for start in range(0, len(requests), self.batch):
            responses += self._act_together(requests[start : start + self.batch])
        return responses

    def close(self) -> None:
        self.loaded = None
        self.kept.clear()

    def _load(self) -> tuple[Any, Any]:
        if self.loaded is None:
            try:
                from tratree_data.models.loading import load_model, load_tokenizer
            except ModuleNotFoundError as error:
                raise missing_package(str(error.name), "train") from error
            need_model(self.folder)
            with quiet():
                self.loaded = (load_model(self.folder).eval(), load_tokenizer(self.folder))
            if self.calls_tools:
                need_tools(self.loaded[1], self.loaded[1].chat_template, self.folder)
        return self.loaded

    def _act_together(self, requests: list[Request]) -> list[Response]:
        import torch

        model, tokenizer = self._load()
        texts = [prompt_text(request, tokenizer) for request in requests]
        befores = [self._before(request, text) for request, text in zip(requests, texts, strict=True)]
        parts = [text[len(before.text) :] for before, text in zip(befores, texts, strict=True)]
        new = tokenizer(parts, add_special_tokens=False)["input_ids"]
        with torch.inference_mode():
            reading = Reading(model, befores, new)
            for i, request in enumerate(requests):
                self.kept[_episode(request)] = Prompt(texts[i], befores[i].length + len(new[i]), reading.layers_of(i))
            while len(self.kept) > EPISODES_KEPT:
                self.kept.popitem(last=False)
            written, logprobs = reading.write([request.sampling for request in requests], tokenizer.eos_token_id)
        return [
            response_of_tokens(
                ids[:-1] if ids and ids[-1] == tokenizer.eos_token_id else ids,
                tokenizer,
                self.calls_tools,
                prompt_tokens=before.length + len(part),
                completion_tokens=len(ids),
                logprob=logprob,
            )
            for ids, before, part, logprob in zip(written, befores, new, logprobs, strict=True)
        ]

    def _before(self, request: Request, text: str) -> Prompt:
        """What was read of this episode so far, if it is still cached and the new prompt begins with it."""
        kept = self.kept.pop(_episode(request), None)
        return kept if kept is not None and len(kept.text) < len(text) and text.startswith(kept.text) else Prompt()


class Reading:
    """A batch in the model: first reading its prompts, then writing token by token."""

    def __init__(self, model: Any, befores: list[Prompt], new: list[list[int]]) -> None:
        import torch
        from transformers import DynamicCache

        self.model = model
        self.lengths = torch.tensor([before.length + len(ids) for before, ids in zip(befores, new, strict=True)])
        read, most = max(before.length for before in befores), max(map(len, new))
        self.mask = torch.zeros(len(new), read + most, dtype=torch.long)
        ids = torch.zeros(len(new), most, dtype=torch.long)
        positions = torch.zeros(len(new), most, dtype=torch.long)
        for i, (before, tokens) in enumerate(zip(befores, new, strict=True)):
            self.mask[i, read - before.length : read] = 1
            self.mask[i, read + most - len(tokens) :] = 1
            ids[i, most - len(tokens) :] = torch.tensor(tokens)
            positions[i, most - len(tokens) :] = torch.arange(before.length, before.length + len(tokens))
        self.cache = DynamicCache(config=model.config)
        if read:
            for layer in range(model.config.num_hidden_layers):
                self.cache.update(_stack(befores, layer, 0, read), _stack(befores, layer, 1, read), layer)
        self.logits = self._forward(ids, positions)

    def layers_of(self, row: int) -> tuple[tuple[Any, Any], ...]:
        """The keys and values of one prompt, without the batch's padding."""
        where = self.mask[row].bool()
        return tuple((layer.keys[row][:, where], layer.values[row][:, where]) for layer in self.cache.layers)

    def write(self, samplings: list[dict[str, Any]], end: int) -> tuple[list[list[int]], list[float]]:
        """(tokens, their total log-probability) of each row, up to its end-of-turn token or its max_tokens."""
        import torch

        generators = [np.random.default_rng(int(sampling.get("seed", 0))) for sampling in samplings]
        limits = [int(sampling.get("max_tokens", 512)) for sampling in samplings]
        written: list[list[int]] = [[] for _ in samplings]
        logprobs = [0.0] * len(samplings)
        open_rows = set(range(len(samplings)))
        positions = self.lengths.clone()
        while True:
            scores = torch.log_softmax(self.logits.float(), -1).numpy()
            tokens = np.full(len(samplings), end)
            for row in sorted(open_rows):
                token = choose(scores[row], samplings[row], generators[row])
                tokens[row] = token
                written[row].append(token)
                logprobs[row] += float(scores[row, token])
                if token == end or len(written[row]) >= limits[row]:
                    open_rows.remove(row)
            if not open_rows:
                return written, logprobs
            self.mask = torch.cat([self.mask, torch.ones(len(samplings), 1, dtype=torch.long)], 1)
            self.logits = self._forward(torch.from_numpy(tokens)[:, None], positions[:, None])
            positions = positions + 1

    def _forward(self, ids: Any, positions: Any) -> Any:
        output = self.model(
            input_ids=ids, attention_mask=self.mask, position_ids=positions, past_key_values=self.cache, use_cache=True, logits_to_keep=1
        )
        return output.logits[:, -1]


def choose(scores: np.ndarray, sampling: dict[str, Any], generator: np.random.Generator) -> int:
    """One token from log-probabilities, by temperature, top_k and top_p; temperature 0 takes the best."""
    temperature = float(sampling.get("temperature", 1.0))
    if temperature == 0:
        return int(scores.argmax())
    scaled = scores / temperature
    probabilities = np.exp(scaled - scaled.max())
    order = np.argsort(-probabilities, kind="stable")
    probabilities = probabilities[order] / probabilities.sum()
    cumulative = np.cumsum(probabilities)
    most = min(len(order), int(sampling.get("top_k") or len(order)))
    kept = max(1, min(most, int(np.searchsorted(cumulative, float(sampling.get("top_p", 1.0))) + 1)))
    return int(order[min(kept - 1, np.searchsorted(cumulative[:kept], generator.random() * cumulative[kept - 1], side="right"))])


def prompt_text(request: Request, tokenizer: Any) -> str:
    """The whole conversation up to the agent's turn."""
    tools = {"tools": list(request.tools)} if request.tools else {}
    return str(tokenizer.apply_chat_template(chat(request, decode=True), tokenize=False, add_generation_prompt=True, **tools))


def _episode(request: Request) -> tuple[str, str, int]:
    return request.environment, request.task_id, request.attempt


def _stack(befores: list[Prompt], layer: int, part: int, length: int) -> Any:
    """One layer's keys (0) or values (1) of all rows, padded on the left to `length`."""
    import torch

    some = next(before.layers[layer][part] for before in befores if before.layers)
    stacked = some.new_zeros(len(befores), some.shape[0], length, some.shape[2])
    for row, before in enumerate(befores):
        if before.layers:
            stacked[row, :, length - before.length :] = before.layers[layer][part]
    return torch.as_tensor(stacked)
