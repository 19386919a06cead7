"""A user's function as an agent: `answer(messages)` writes 'Thought: … Action: …', `answer(messages, tools)` may call tools."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from tratree_data.agents import Request, Response, chat, name_of, parse_response, response_of_message
from tratree_data.errors import BadInputError


class FunctionAgent:
    """Called from several threads at once; the function returns a text or a message in OpenAI's form."""

    batched = False
    wants_actions = False

    def __init__(self, answer: Callable[..., Any]) -> None:
        if not callable(answer):
            raise BadInputError(
                f"{answer!r} is not an agent.\n"
                "Next: pass a function of messages and tools, or an object with the members of tratree_data.agents.Agent"
            )
        self.answer = answer
        self.name = name_of(answer)
        self.model: str | None = getattr(answer, "model", None)
        self.calls_tools = _parameters(answer) > 1

    def act(self, requests: list[Request]) -> list[Response]:
        return [self._act(request) for request in requests]

    def _act(self, request: Request) -> Response:
        messages = chat(request)
        answer = self.answer(messages, list(request.tools)) if self.calls_tools else self.answer(messages)
        if isinstance(answer, Mapping) and self.calls_tools:
            return response_of_message(answer)
        text = (answer.get("content") or "") if isinstance(answer, Mapping) else answer
        if not isinstance(text, str):
            raise TypeError(f"{self.name} returned {type(answer).__name__}, but must return a text or a message")
        if self.calls_tools:
            return response_of_message({"content": text})
        return Response(text, *parse_response(text))

    def close(self) -> None:
        pass


def _parameters(answer: Callable[..., Any]) -> int:
    """How many arguments it takes by position."""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(parameter.kind in kinds for parameter in inspect.signature(answer).parameters.values())
