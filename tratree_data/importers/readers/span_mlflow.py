"""Spans of MLflow → the attributes of OpenTelemetry's GenAI convention.

MLflow writes every attribute as JSON: a model call has its request in `mlflow.spanInputs` and its answer in `mlflow.spanOutputs`, or, in
version 2, the whole conversation in `mlflow.chat.messages`.
"""

import json
from contextlib import suppress
from typing import Any

from tratree_data.importers import log_records

MODEL_CALLS = ("CHAT_MODEL", "LLM")
KIND, GIVEN, MADE, CHAT = "mlflow.spanType", "mlflow.spanInputs", "mlflow.spanOutputs", "mlflow.chat.messages"
ITSELF = (GIVEN, MADE, CHAT, "mlflow.chat.tools", "tools")
"""Attributes that are read as messages and tools."""


def is_mlflow(value: dict[str, Any]) -> bool:
    return isinstance(log_records.at(value, "attributes", KIND), str) and all(
        isinstance(value.get(key), str) for key in ("trace_id", "span_id")
    )


def genai_attributes(attributes: dict[str, Any]) -> dict[str, Any]:
    """What the span says, with its messages under GenAI's names if it is a model call."""
    found = {key: _value(item) for key, item in attributes.items()}
    if found.get(KIND) not in MODEL_CALLS:
        return found
    asked = found.get(GIVEN)
    messages = log_records.at(asked, "messages") if isinstance(asked, dict) else asked
    answers = _answers(found.get(MADE))
    chat = found.get(CHAT)
    if not answers and isinstance(chat, list) and chat:
        messages, answers = chat[:-1], chat[-1:]
    if not isinstance(messages, list) or not answers:
        return found
    said = {
        "gen_ai.input.messages": messages,
        "gen_ai.output.messages": answers,
        "gen_ai.system_instructions": log_records.at(asked, "system"),
        "gen_ai.tool.definitions": log_records.at(asked, "tools") or found.get("mlflow.chat.tools"),
    }
    rest = {key: item for key, item in found.items() if key not in ITSELF}
    return rest | {name: json.dumps(item) for name, item in said.items() if item} | _model(asked)


def _model(asked: Any) -> dict[str, Any]:
    model = log_records.at(asked, "model")
    return {"gen_ai.request.model": model} if isinstance(model, str) else {}


def _answers(made: Any) -> list[Any]:
    """Messages of OpenAI's choices, Anthropic's answer, or the message itself."""
    choices = log_records.at(made, "choices")
    if isinstance(choices, list):
        return [message for choice in choices if (message := log_records.at(choice, "message")) is not None]
    return [{"role": made["role"], "content": made.get("content"), **_calls(made)}] if log_records.at(made, "role") else []


def _calls(made: dict[str, Any]) -> dict[str, Any]:
    return {"tool_calls": made["tool_calls"]} if made.get("tool_calls") else {}


def _value(item: Any) -> Any:
    if isinstance(item, str):
        with suppress(ValueError, RecursionError):
            return json.loads(item)
    return item
