"""Any OpenAI-compatible server (vLLM, SGLang, llama.cpp, transformers serve, hosted): many requests at once, with patience for failures.

The key comes from an environment variable and is removed from every message. Requests are retried with growing pauses, a server's
Retry-After applies to all of them, and a server that answers no request for `patience` seconds ends the run.
"""

import asyncio
import itertools
import json
import os
import random
import re
import threading
import time
from email.utils import parsedate_to_datetime
from typing import Any

from tratree_data.agents import Request, Response, chat, needs_tools, parse_response, response_of_message
from tratree_data.errors import BadInputError, missing_package

OVERFLOW = re.compile(
    r"context.{0,20}(length|window)|maximum.{0,20}(length|tokens)|too long|max_model_len|exceeds? .{0,40}tokens", re.IGNORECASE
)
REFUSED = {401: "the key was refused", 403: "the key does not allow this", 404: "the model or address does not exist"}
LONGEST_PAUSE_SECONDS = 30.0
CLIENTS = 8
"""Each has its own pool: the cost of a request grows with the connections in its pool."""


class OpenAIAgent:
    name = "openai"
    batched = False
    wants_actions = False

    def __init__(
        self,
        model: str,
        *,
        base_url: str = "",
        api_key_variable: str = "OPENAI_API_KEY",
        logprobs: bool = True,
        requests_per_minute: float = 0,
        time_out: float = 120,
        patience: float = 120,
        form: str = "react",
    ) -> None:
        """`time_out`: seconds for one answer; `patience`: seconds without any answer before the server counts as away.

        `form=chat` offers the environment's tools and expects calls; `react` expects 'Thought: … Action: …'.
        """
        self.calls_tools = needs_tools(form)
        self.model: str | None = model
        self.base_url = base_url or os.environ.get("OPENAI_BASE_URL", "")
        if "@" in self.base_url.partition("://")[2].partition("/")[0]:
            raise BadInputError(f"base_url must not contain a password.\nNext: export {api_key_variable}=… instead")
        self.key = os.environ.get(api_key_variable, "")
        if not self.key and not self.base_url:
            raise BadInputError(
                f"{api_key_variable} is not set, and no base_url names a server.\n"
                f"Next: export {api_key_variable}=…, or name a server: model={model},base_url=http://127.0.0.1:8000/v1"
            )
        self.logprobs, self.time_out, self.patience = logprobs, float(time_out), float(patience)
        self.seconds_between = 60 / requests_per_minute if requests_per_minute else 0.0
        self.limit_name = "max_tokens"
        self.next_start = 0.0
        self.last_answer = 0.0
        self.lock = threading.Lock()
        self.loop: asyncio.AbstractEventLoop | None = None
        self.clients: itertools.cycle[Any] = itertools.cycle(())

    def act(self, requests: list[Request]) -> list[Response]:
        loop = self._running_loop()
        futures = [asyncio.run_coroutine_threadsafe(self._answer(request), loop) for request in requests]
        return [future.result() for future in futures]

    def close(self) -> None:
        with self.lock:
            loop, self.loop = self.loop, None
        if loop is not None:
            loop.call_soon_threadsafe(loop.stop)

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        with self.lock:
            if self.loop is None:
                self.clients = itertools.cycle(self._make_clients())
                self.last_answer = time.monotonic()
                self.loop = asyncio.new_event_loop()
                threading.Thread(target=self.loop.run_forever, daemon=True, name="openai").start()
            return self.loop

    def _make_clients(self) -> list[Any]:
        try:
            from openai import AsyncOpenAI
        except ImportError as error:
            raise missing_package("openai", "agents") from error
        options = {"api_key": self.key or "none", "base_url": self.base_url or None, "timeout": self.time_out, "max_retries": 0}
        return [AsyncOpenAI(**options) for _ in range(CLIENTS)]

    async def _answer(self, request: Request) -> Response:
        """Asks until there is an answer, or the server has been silent for too long."""
        began, tries = time.monotonic(), 0
        while True:
            await self._turn()
            try:
                answer = await self._post(self._arguments(request))
                self.last_answer = time.monotonic()
                return answer
            except Exception as error:
                pause = self._pause_after(error, tries)
                if isinstance(pause, Response):
                    return pause
                tries += 1
                silent = time.monotonic() - max(began, self.last_answer)
                if silent + pause > self.patience:
                    return Response(f"no answer for {silent:.0f} s, last: {self._scrub(error)}", "", "", stop_reason="server_unavailable")
                await asyncio.sleep(pause)

    async def _post(self, arguments: dict[str, Any]) -> Response:
        """The client's raw request: the typed one takes twice as long, and we need only four fields."""
        from httpx2 import Response as RawResponse

        raw = await next(self.clients).post("/chat/completions", body=arguments, cast_to=RawResponse)
        return read_completion(json.loads(raw.content), tools=bool(arguments.get("tools")))

    def _arguments(self, request: Request) -> dict[str, Any]:
        sampling = request.sampling
        arguments: dict[str, Any] = {"model": self.model, "messages": chat(request)}
        arguments |= {name: sampling[name] for name in ("temperature", "top_p", "top_k", "seed") if name in sampling}
        if "max_tokens" in sampling:
            arguments[self.limit_name] = sampling["max_tokens"]
        if request.tools:
            arguments["tools"] = list(request.tools)
        if self.logprobs:
            arguments["logprobs"] = True
        return arguments

    async def _turn(self) -> None:
        """Waits for this request's place: the rate limit's, or the end of a pause that the server asked for."""
        now = time.monotonic()
        start = max(now, self.next_start)
        self.next_start = start + self.seconds_between if self.seconds_between else max(self.next_start, 0.0)
        if start > now:
            await asyncio.sleep(start - now)

    def _pause_after(self, error: Exception, tries: int) -> float | Response:
        """How long to wait before the next try, or the end of the episode; raises what no retry can fix."""
        import openai

        backoff: float = min(LONGEST_PAUSE_SECONDS, 0.25 * 2**tries) * random.uniform(0.75, 1.25)
        if not isinstance(error, openai.APIStatusError):
            if isinstance(error, openai.APIError | ValueError | UnreadableAnswerError):  # no connection, time-out, garbage
                return backoff
            raise error
        status, text = error.status_code, self._scrub(error)
        if status in REFUSED:
            raise BadInputError(
                f"The server refused the request: {REFUSED[status]} ({text}).\nNext: fix --agent openai:… or its variable"
            ) from error
        if status == 400 and "logprob" in text and self.logprobs:
            self.logprobs = False
            return 0.0
        if status == 400 and "max_completion_tokens" in text and self.limit_name == "max_tokens":  # hosted models that reason
            self.limit_name = "max_completion_tokens"
            return 0.0
        if status in {400, 413, 422} and OVERFLOW.search(text):
            return Response("", "", "", stop_reason="context_overflow")
        if status in {408, 409, 425, 429} or status >= 500:
            asked: float = retry_after(error.response.headers.get("retry-after"))
            if asked:
                self.next_start = max(self.next_start, time.monotonic() + asked)
            return max(backoff, asked)
        return Response(text, "", "", stop_reason="agent_error")

    def _scrub(self, error: Exception) -> str:
        text = f"{type(error).__name__}: {error}"
        return (text.replace(self.key, "•••") if self.key else text)[:500]


class UnreadableAnswerError(Exception):
    """An answer that is not a chat completion."""


def read_completion(completion: Any, tools: bool = False) -> Response:
    """The first choice; its log-probability is the sum over its tokens. If tools were offered, it is a message that may call them."""
    try:
        choice = completion["choices"][0]
        tokens = (choice.get("logprobs") or {}).get("content")
        usage = completion.get("usage") or {}
        facts: dict[str, Any] = {
            "prompt_tokens": usage.get("prompt_tokens"),
            "completion_tokens": usage.get("completion_tokens"),
            "logprob": float(sum(token["logprob"] for token in tokens)) if tokens else None,
        }
        if tools:
            return response_of_message(choice["message"], **facts)
        text = choice["message"].get("content") or ""
        return Response(text, *parse_response(text), **facts)
    except (AttributeError, IndexError, KeyError, TypeError) as error:
        raise UnreadableAnswerError(f"the answer is not a chat completion ({type(error).__name__}: {error})") from error


def retry_after(header: str | None) -> float:
    """Seconds to wait, from a header with seconds or a date; 0 if it is unreadable."""
    if not header:
        return 0.0
    try:
        return max(0.0, float(header))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(header).timestamp() - time.time())
    except ValueError:
        return 0.0
