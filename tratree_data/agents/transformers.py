"""A model in process through transformers, on a CPU or a GPU: batches of all waiting requests, each with its own seed.

A logits processor samples with one random generator per row, so that what a request draws does not depend on the rest of its batch (except
for the last digits of the logits, which padding may change).
"""

from dataclasses import dataclass
from typing import Any

from tratree_data.agents import Request, Response, chat, needs_tools, parse_response, response_of_message
from tratree_data.errors import BadInputError, missing_package
from tratree_data.models.chat_templates import CHAT_TEMPLATE
from tratree_data.models.find import need_model, quiet
from tratree_data.models.tool_calls import need_tools, parse_message

LARGEST_WINDOW = 10**9
"""Tokenizers without a limit have a number above this."""


class TransformersAgent:
    name = "transformers"
    batched = True
    wants_actions = False

    def __init__(
        self,
        model: str,
        *,
        lora: str = "",
        device: str = "",
        dtype: str = "auto",
        chat_template: str = "",
        window: int = 0,
        batch: int = 32,
        form: str = "react",
    ) -> None:
        """`chat_template=chatml` is for a model without one; `window` limits the context; `batch` the rows of one pass.

        `form=chat` offers the environment's tools in the model's own format; `react` expects 'Thought: … Action: …'.
        """
        self.calls_tools = needs_tools(form)
        self.model: str | None = f"{model}+{lora}" if lora else model
        self.path, self.lora, self.device, self.dtype = model, lora, device, dtype
        self.chat_template, self.wanted_window, self.batch = chat_template, window, batch
        self.network: Any = None

    def act(self, requests: list[Request]) -> list[Response]:
        self._load()
        prompts = [self._tokens(request) for request in requests]
        answers = answers_without_room(prompts, self.window)
        open_rows = sorted((i for i, answer in enumerate(answers) if answer is None), key=lambda i: len(prompts[i]))
        for start in range(0, len(open_rows), self.batch):
            rows = open_rows[start : start + self.batch]
            for i, answer in zip(rows, self._generate([prompts[i] for i in rows], [requests[i].sampling for i in rows]), strict=True):
                answers[i] = answer
        return [answer for answer in answers if answer is not None]

    def close(self) -> None:
        self.network = None

    def _load(self) -> None:
        if self.network is not None:
            return
        try:
            import torch
            from transformers import AutoModelForCausalLM, AutoTokenizer
        except ImportError as error:
            raise missing_package("transformers", "train") from error
        need_model(self.path)
        try:
            with quiet():
                self.tokenizer = AutoTokenizer.from_pretrained(self.path)
                network = AutoModelForCausalLM.from_pretrained(self.path, dtype=self.dtype)
        except (OSError, ValueError) as error:
            raise BadInputError(
                f"{self.path} is not a model that transformers can load: {error}.\nNext: name a model's folder or Hub id"
            ) from error
        if self.lora:
            from peft import PeftModel

            network = PeftModel.from_pretrained(network, self.lora)
        self.template = chat_template_of(self.tokenizer, self.path, self.chat_template)
        if self.calls_tools:
            need_tools(self.tokenizer, self.template, self.path)
        self.network = network.to(self.device or ("cuda" if torch.cuda.is_available() else "cpu")).eval()
        self.window = context_window(self.network.config, self.tokenizer, self.wanted_window)
        ends = self.network.generation_config.eos_token_id
        self.ends = {self.tokenizer.eos_token_id, *(ends if isinstance(ends, list) else [ends])} - {None}
        self.padding = self.tokenizer.pad_token_id if self.tokenizer.pad_token_id is not None else (min(self.ends) if self.ends else 0)

    def _tokens(self, request: Request) -> list[int]:
        return prompt_tokens(request, self.tokenizer, self.template)

    def _generate(self, prompts: list[list[int]], samplings: list[dict[str, Any]]) -> list[Response]:
        """One padded pass; every row stops at its own limit."""
        import torch
        from transformers import LogitsProcessorList

        longest = max(map(len, prompts))
        limits = [min(int(s.get("max_tokens", 512)), self.window - len(prompt)) for s, prompt in zip(samplings, prompts, strict=True)]
        inputs = torch.tensor([[self.padding] * (longest - len(prompt)) + prompt for prompt in prompts], device=self.network.device)
        mask = torch.tensor([[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts], device=self.network.device)
        sampler = Sampler(
            [Draw(s, limit, self.network.device) for s, limit in zip(samplings, limits, strict=True)], self.ends, self.padding
        )
        with torch.inference_mode():
            output = self.network.generate(
                input_ids=inputs,
                attention_mask=mask,
                do_sample=False,
                temperature=None,
                top_p=None,
                top_k=None,
                max_new_tokens=max(limits),
                logits_processor=LogitsProcessorList([sampler]),
                pad_token_id=self.padding,
                eos_token_id=sorted(self.ends) or None,
            )
        return [
            self._response(output[row, longest:].tolist(), prompt, limit, draw)
            for row, (prompt, limit, draw) in enumerate(zip(prompts, limits, sampler.rows, strict=True))
        ]

    def _response(self, tokens: list[int], prompt: list[int], limit: int, draw: "Draw") -> Response:
        end = next((i + 1 for i, token in enumerate(tokens) if token in self.ends), len(tokens))
        count = min(end, limit)
        written = tokens[: count - 1] if count and tokens[count - 1] in self.ends else tokens[:count]
        return response_of_tokens(
            written,
            self.tokenizer,
            self.calls_tools,
            prompt_tokens=len(prompt),
            completion_tokens=count,
            logprob=float(sum(draw.logprobs[:count])),
        )


@dataclass
class Draw:
    """How a row samples, and the log-probability of each of its tokens under the unchanged model."""

    sampling: dict[str, Any]
    limit: int
    device: Any

    def __post_init__(self) -> None:
        import torch

        self.generator = torch.Generator(device="cpu").manual_seed(int(self.sampling.get("seed", 0)))
        self.logprobs: list[float] = []

    def token(self, logits: Any) -> int:
        import torch

        logits = logits.float().cpu()
        choice = self._sampled(logits)
        self.logprobs.append(float(torch.log_softmax(logits, -1)[choice]))
        return choice

    def _sampled(self, logits: Any) -> int:
        import torch

        temperature = float(self.sampling.get("temperature", 1.0))
        if temperature == 0:
            return int(logits.argmax())
        probabilities, order = torch.softmax(logits / temperature, -1).sort(descending=True, stable=True)
        kept = probabilities.cumsum(-1) - probabilities < float(self.sampling.get("top_p", 1.0))
        kept[0] = True
        if self.sampling.get("top_k"):
            kept[int(self.sampling["top_k"]) :] = False
        return int(order[torch.multinomial(probabilities * kept, 1, generator=self.generator)])


class Sampler:
    """Draws each row's token and makes it the only greedy choice; a row that has ended draws nothing more."""

    def __init__(self, rows: list[Draw], ends: set[int], padding: int) -> None:
        self.rows, self.ends, self.padding = rows, ends, padding
        self.over = [False] * len(rows)

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        chosen = scores.new_full(scores.shape, float("-inf"))
        for i, row in enumerate(self.rows):
            token = self._forced() if self.over[i] else row.token(scores[i])
            self.over[i] = self.over[i] or token in self.ends or len(row.logprobs) >= row.limit
            chosen[i, token] = 0.0
        return chosen

    def _forced(self) -> int:
        """What a finished row continues with: an end token, so that `generate` stops as soon as all have ended."""
        return min(self.ends) if self.ends else self.padding


def prompt_tokens(request: Request, tokenizer: Any, template: str | None = None) -> list[int]:
    """The conversation up to the agent's turn, with the tools that it may call."""
    tools = {"tools": list(request.tools)} if request.tools else {}
    text = tokenizer.apply_chat_template(
        chat(request, decode=True), chat_template=template, add_generation_prompt=True, tokenize=False, **tools
    )
    tokens: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    return tokens


def answers_without_room(prompts: list[list[int]], window: int) -> list[Response | None]:
    """The answer to each prompt that fills the window, so that the model cannot answer; None for the others."""
    return [Response("", "", "", len(prompt), 0, stop_reason="context_overflow") if len(prompt) >= window else None for prompt in prompts]


def response_of_tokens(written: list[int], tokenizer: Any, calls_tools: bool, **facts: Any) -> Response:
    """The tokens' text, without the one that ends the turn; the marks of calls may be special tokens."""
    if calls_tools:
        return response_of_message(parse_message(tokenizer.decode(written, skip_special_tokens=False), tokenizer), **facts)
    text = tokenizer.decode(written, skip_special_tokens=True)
    return Response(text, *parse_response(text), **facts)


def chat_template_of(tokenizer: Any, model: str, chosen: str) -> str:
    """The model's own chat template, or the one that the user chose for a model without one."""
    if chosen == "chatml":
        return CHAT_TEMPLATE
    if chosen:
        raise BadInputError(
            f"chat_template must be chatml, not {chosen!r}.\nNext: save a template into the model's tokenizer, or leave it out"
        )
    if not tokenizer.chat_template:
        raise BadInputError(
            f"{model} has no chat template, and the agent needs one to talk to it.\n"
            "Next: add chat_template=chatml to --agent, or set tokenizer.chat_template and save the tokenizer"
        )
    return str(tokenizer.chat_template)


def context_window(config: Any, tokenizer: Any, wanted: int) -> int:
    """The largest number of tokens that fit, prompt and answer together."""
    limits = [getattr(config.get_text_config(), "max_position_embeddings", None), tokenizer.model_max_length, wanted]
    return min(int(limit) for limit in limits if limit and limit < LARGEST_WINDOW)
