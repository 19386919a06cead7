"""A model in process through vLLM: lock-step batches over all waiting episodes, a seed for each request, prefix caching, LoRA.

Every prompt of an episode begins with the previous one, so the prefix cache saves nearly all of the reading.
"""

from typing import Any

from tratree_data.agents import SAMPLING, Request, Response, needs_tools, parse_response, response_of_message
from tratree_data.agents.transformers import answers_without_room, chat_template_of, prompt_tokens
from tratree_data.errors import BadInputError, missing_package
from tratree_data.models.find import need_model
from tratree_data.models.tool_calls import need_tools, parse_message


class VLLMAgent:
    name = "vllm"
    batched = True
    wants_actions = False

    def __init__(self, model: str, *, lora: str = "", chat_template: str = "", window: int = 0, form: str = "react", **engine: Any) -> None:
        """`window` limits the context; `form=chat` offers tools; other options go to vllm.LLM, e.g. tensor_parallel_size."""
        self.calls_tools = needs_tools(form)
        self.model: str | None = f"{model}+{lora}" if lora else model
        self.path, self.lora, self.chat_template, self.window, self.options = model, lora, chat_template, window, engine
        self.engine: Any = None

    def act(self, requests: list[Request]) -> list[Response]:
        self._load()
        from vllm import SamplingParams

        prompts = [self._tokens(request) for request in requests]
        answers = answers_without_room(prompts, self.window)
        rows = [i for i, answer in enumerate(answers) if answer is None]
        settings = []
        for i in rows:
            sampling = {name: value for name, value in requests[i].sampling.items() if name in (*SAMPLING, "seed")}
            sampling["max_tokens"] = min(int(sampling.get("max_tokens", 512)), self.window - len(prompts[i]))
            settings.append(SamplingParams(**sampling, logprobs=0, skip_special_tokens=not self.calls_tools))
        if rows:
            outputs = self.engine.generate(
                [{"prompt_token_ids": prompts[i]} for i in rows], settings, use_tqdm=False, lora_request=self.adapter
            )
            for i, output in zip(rows, outputs, strict=True):
                answers[i] = read_output(output, self.tokenizer if self.calls_tools else None)
        return [answer for answer in answers if answer is not None]

    def close(self) -> None:
        engine, self.engine = self.engine, None
        if engine is not None:
            engine.llm_engine.engine_core.shutdown()

    def _load(self) -> None:
        if self.engine is not None:
            return
        try:
            from vllm import LLM
            from vllm.lora.request import LoRARequest
        except ImportError as error:
            raise missing_package("vllm", "vllm") from error
        need_model(self.path)
        options = {"enable_prefix_caching": True, "seed": 0, **self.options}
        if self.window:
            options["max_model_len"] = self.window
        if self.lora:
            options |= {"enable_lora": True, "max_lora_rank": lora_rank(self.lora)}
        self.engine = LLM(model=self.path, **options)
        self.adapter = LoRARequest("adapter", 1, self.lora) if self.lora else None
        self.tokenizer = self.engine.get_tokenizer()
        self.template = chat_template_of(self.tokenizer, self.path, self.chat_template)
        if self.calls_tools:
            need_tools(self.tokenizer, self.template, self.path)
        self.window = int(self.engine.llm_engine.model_config.max_model_len)

    def _tokens(self, request: Request) -> list[int]:
        return prompt_tokens(request, self.tokenizer, self.template)


def lora_rank(adapter: str) -> int:
    """The rank in the adapter's own file, rounded up to one that vLLM supports."""
    import json
    from pathlib import Path

    file = Path(adapter) / "adapter_config.json"
    if not file.is_file():
        raise BadInputError(f"{adapter} is not a LoRA adapter: it has no adapter_config.json.\nNext: name the folder that training wrote")
    rank = int(json.loads(file.read_text(encoding="utf-8"))["r"])
    return next((size for size in (8, 16, 32, 64, 128, 256) if size >= rank), rank)


def read_output(output: Any, tokenizer: Any = None) -> Response:
    """The one completion of a request; its log-probability is the sum over its tokens. With a tokenizer it may call tools."""
    completion = output.outputs[0]
    logprob = completion.cumulative_logprob
    facts: dict[str, Any] = {
        "prompt_tokens": len(output.prompt_token_ids),
        "completion_tokens": len(completion.token_ids),
        "logprob": float(logprob) if logprob is not None else None,
    }
    if tokenizer is not None:
        ended = tokenizer.eos_token or ""
        return response_of_message(parse_message(completion.text.removesuffix(ended), tokenizer), **facts)
    return Response(completion.text, *parse_response(completion.text), **facts)
