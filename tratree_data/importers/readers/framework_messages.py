"""The messages of frameworks → messages as OpenAI writes them: for each dialect, how to know a message, and how to read a history."""

from collections.abc import Callable, Iterator
from typing import Any

from tratree_data.importers import log_records
from tratree_data.importers.log_records import Unusable
from tratree_data.messages import json_text

JSON = dict[str, Any]
LANGCHAIN_ROLES = {
    "human": "user", "ai": "assistant", "system": "system", "tool": "tool", "function": "tool", "developer": "developer",
    "HumanMessageChunk": "user", "AIMessageChunk": "assistant",
}  # fmt: skip
AUTOGEN = {
    "TextMessage", "ThoughtEvent", "ToolCallRequestEvent", "ToolCallExecutionEvent", "ToolCallSummaryMessage", "StopMessage",
    "HandoffMessage", "MultiModalMessage", "UserMessage", "AssistantMessage", "FunctionExecutionResultMessage", "SystemMessage",
}  # fmt: skip


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json_text(value)


def _known(**facts: Any) -> JSON:
    return {key: value for key, value in facts.items() if value is not None and value != {}}


def _call(identity: Any, name: Any, arguments: Any) -> JSON:
    return {"id": identity, "name": name, "arguments": "{}" if arguments is None else _text(arguments)}


# LangChain: {"type": "ai", "data": {…}}, {"lc": 1, "kwargs": {"type": "ai", …}} or {"type": "ai", "content": …}


def _langchain_data(message: JSON) -> JSON:
    inner = message.get("kwargs") if message.get("lc") else message.get("data")
    return {"type": message.get("type"), **inner} if isinstance(inner, dict) else message


def is_langchain(message: JSON) -> bool:
    data = _langchain_data(message)
    return str(data.get("type")) in LANGCHAIN_ROLES and "content" in data and "role" not in data


def read_langchain(history: list[Any]) -> Iterator[JSON]:
    for item in history:
        data = _langchain_data(log_records.mapping(item, "the message"))
        role = LANGCHAIN_ROLES.get(str(data.get("type")))
        if role is None:
            raise Unusable("unknown_role", f"the message's type is {data.get('type')!r:.40}")
        extra = data.get("additional_kwargs")
        calls = [_call(c.get("id"), c.get("name"), c.get("args")) for c in log_records.mappings(data.get("tool_calls"), "tool_calls")]
        about = data.get("response_metadata")
        broken = log_records.mappings(data.get("invalid_tool_calls"), "invalid_tool_calls")
        calls += [_call(call.get("id"), call.get("name"), call.get("args")) for call in broken]
        content = data.get("content")
        if calls and isinstance(content, list):
            blocks = ("tool_use", "tool_call", "function_call", "input_json_delta")
            content = [part for part in content if log_records.at(part, "type") not in blocks]
        yield _known(
            role=role, content=content, tool_calls=calls or None, tool_call_id=data.get("tool_call_id"), name=data.get("name"),
            reasoning_content=log_records.at(extra, "reasoning_content"), id=data.get("id"), status=data.get("status"),
            usage=data.get("usage_metadata"), model=log_records.at(about, "model_name"),
            stop_reason=log_records.at(about, "finish_reason"), parse_errors=[b.get("error") for b in broken] or None,
        )  # fmt: skip


# Pydantic AI: {"kind": "request" | "response", "parts": [{"part_kind": …}]}


def is_pydantic_ai(message: JSON) -> bool:
    return message.get("kind") in ("request", "response") and isinstance(message.get("parts"), list)


def read_pydantic_ai(history: list[Any]) -> Iterator[JSON]:
    instructed = None
    for item in history:
        message = log_records.mapping(item, "the message")
        parts = log_records.mappings(message.get("parts"), "parts")
        if message.get("kind") == "response":
            yield _pydantic_answer(message, parts)
            continue
        if message.get("instructions") and message["instructions"] != instructed:
            instructed = message["instructions"]
            yield {"role": "system", "content": instructed}
        for part in parts:
            kind, about = part.get("part_kind"), _known(timestamp=part.get("timestamp"))
            if kind == "system-prompt":
                yield {"role": "system", "content": part.get("content"), **about}
            elif kind in ("tool-return", "retry-prompt") and part.get("tool_name"):
                named = {"tool_call_id": part.get("tool_call_id"), "name": part["tool_name"]}
                yield {"role": "tool", "content": _text(part.get("content")), **named, **about, "outcome": part.get("outcome") or kind}
            elif kind == "retry-prompt":
                yield {"role": "user", "content": _text(part.get("content")), **about, "retry": True}
            else:
                yield {"role": "user", "content": _pydantic_content(part), **about}


def _pydantic_content(part: JSON) -> Any:
    content = part.get("content")
    if isinstance(content, list):
        return [item if isinstance(item, str) else {"type": log_records.at(item, "kind"), **item} for item in content]
    return content if isinstance(content, str) else [{"type": part.get("part_kind"), "content": content}]


def _pydantic_answer(message: JSON, parts: list[JSON]) -> JSON:
    content: list[Any] = []
    for part in parts:
        if part.get("part_kind") == "text":
            content.append({"type": "text", "text": part.get("content") or ""})
        elif part.get("part_kind") not in ("thinking", "tool-call"):
            content.append({"type": part.get("part_kind"), **part})
    thoughts = [part["content"] for part in parts if part.get("part_kind") == "thinking" and isinstance(part.get("content"), str)]
    calls = [_call(p.get("tool_call_id"), p.get("tool_name"), p.get("args")) for p in parts if p.get("part_kind") == "tool-call"]
    return _known(
        role="assistant", content=content or None, tool_calls=calls or None, reasoning_content="\n".join(thoughts) or None,
        usage=message.get("usage"), model=message.get("model_name"), timestamp=message.get("timestamp"),
        stop_reason=message.get("finish_reason"),
    )  # fmt: skip


# AutoGen: {"source", "type": "TextMessage" | …, "content"}, of a run's result or of an agent's state


def is_autogen(message: JSON) -> bool:
    return str(message.get("type")) in AUTOGEN and "content" in message


def read_autogen(history: list[Any]) -> Iterator[JSON]:
    """The thought comes before the calls, in a separate message; the summary of a call repeats its results."""
    thought: str | None = None
    for item in history:
        message = log_records.mapping(item, "the message")
        kind, content = message.get("type"), message.get("content")
        about = _known(usage=message.get("models_usage"), created_at=message.get("created_at"), name=message.get("source"))
        if kind == "ThoughtEvent":
            thought = "\n".join(filter(None, (thought, log_records.optional_text(content, "content"))))
        elif kind == "ToolCallSummaryMessage":
            continue
        elif kind in ("ToolCallExecutionEvent", "FunctionExecutionResultMessage"):
            for result in log_records.mappings(content, "content"):
                failed = _known(is_error=result.get("is_error") or None)
                yield {
                    "role": "tool",
                    "content": result.get("content"),
                    "tool_call_id": result.get("call_id"),
                    "name": result.get("name"),
                    **failed,
                }
        elif kind == "SystemMessage":
            yield {"role": "system", "content": content}
        elif kind == "UserMessage" or message.get("source") == "user":
            yield {"role": "user", "content": content, **about}
        else:
            said, thought = message.get("thought") or thought, None
            if isinstance(content, list) and all("arguments" in call for call in content if isinstance(call, dict)):
                calls = [
                    _call(call.get("id"), call.get("name"), call.get("arguments")) for call in log_records.mappings(content, "content")
                ]
                yield {"role": "assistant", "content": said, "tool_calls": calls, **about}
            else:
                yield {"role": "assistant", "content": content, **_known(reasoning_content=said), **about}


# Strands and Bedrock's Converse: {"role", "content": [{"text"}, {"toolUse": {…}}, {"toolResult": {…}}]}, in a session below "message"


def is_converse(message: JSON) -> bool:
    parts = _converse(message).get("content")
    is_kept = "message_id" in message and isinstance(message.get("message"), dict)
    return isinstance(parts, list) and (is_kept or any(log_records.at(part, key) for part in parts for key in ("toolUse", "toolResult")))


def _converse(message: JSON) -> JSON:
    inner = message.get("message")
    return inner if isinstance(inner, dict) else message


def read_converse(history: list[Any]) -> Iterator[JSON]:
    for item in history:
        message = _converse(log_records.mapping(item, "the message"))
        parts = log_records.mappings(message.get("content"), "content")
        for part in parts:
            result = part.get("toolResult")
            if isinstance(result, dict):
                content = [
                    {"type": "text", "text": json_text(found["json"])} if "json" in found else found
                    for found in log_records.mappings(result.get("content"), "toolResult.content")
                ]
                yield {"role": "tool", "content": content, "tool_call_id": result.get("toolUseId"), **_known(status=result.get("status"))}
        calls = [part["toolUse"] for part in parts if isinstance(part.get("toolUse"), dict)]
        thoughts = [log_records.at(part, "reasoningContent", "reasoningText", "text") for part in parts]
        said = [part for part in parts if not {"toolUse", "toolResult", "reasoningContent", "cachePoint"} & part.keys()]
        if said or calls or not parts:
            yield _known(
                role=message.get("role"), content=said or None,
                tool_calls=[_call(call.get("toolUseId"), call.get("name"), call.get("input")) for call in calls] or None,
                reasoning_content="\n".join(thought for thought in thoughts if isinstance(thought, str)) or None,
            )  # fmt: skip


# Google ADK: events {"author", "content": {"role", "parts": [{"text"}, {"functionCall"}, {"functionResponse"}]}}


def is_adk(message: JSON) -> bool:
    return isinstance(message.get("author"), str) and isinstance(log_records.at(message, "content", "parts"), list)


def read_adk(history: list[Any]) -> Iterator[JSON]:
    for item in history:
        event = log_records.mapping(item, "the event")
        parts = log_records.mappings(log_records.at(event, "content", "parts"), "content.parts")
        about = _known(
            timestamp=event.get("timestamp"), model=event.get("model_version") or event.get("modelVersion"), name=event.get("author")
        )
        calls = [found for part in parts if isinstance(found := part.get("functionCall") or part.get("function_call"), dict)]
        results = [found for part in parts if isinstance(found := part.get("functionResponse") or part.get("function_response"), dict)]
        for result in results:
            answer = _text(result.get("response"))
            yield {"role": "tool", "content": answer, "tool_call_id": result.get("id"), "name": result.get("name")}
        texts = [part for part in parts if isinstance(part.get("text"), str)]
        said = [{"type": "text", "text": part["text"]} for part in texts if not part.get("thought")]
        said += [{"type": "file", **found} for part in parts if (found := part.get("inlineData") or part.get("inline_data"))]
        if calls or said or (texts and event.get("author") != "user"):
            yield _known(
                role="user" if event.get("author") == "user" else "assistant", content=said or None,
                tool_calls=[_call(call.get("id"), call.get("name"), call.get("args")) for call in calls] or None,
                reasoning_content="\n".join(part["text"] for part in texts if part.get("thought")) or None,
                usage=event.get("usageMetadata") or event.get("usage_metadata"), **about,
            )  # fmt: skip


# smolagents: the steps of an agent's memory, {"task"} and {"step_number", "model_output_message", "observations", "error"}


def is_smolagents(message: JSON) -> bool:
    return "step_number" in message and "model_output_message" in message


def read_smolagents(history: list[Any]) -> Iterator[JSON]:
    steps = [log_records.mapping(step, "the step") for step in history]
    first = next(step for step in steps if is_smolagents(step))
    yield from log_records.mappings(first.get("model_input_messages"), "model_input_messages")
    for step in steps:
        answer = step.get("model_output_message")
        if not isinstance(answer, dict):
            if "task" in step and step is not steps[0]:
                yield {"role": "user", "content": _text(step["task"])}
            continue
        calls = answer.get("tool_calls") or step.get("tool_calls") or []
        about = _known(usage=step.get("token_usage"), timing=step.get("timing"))
        yield {"role": "assistant", "content": answer.get("content") or step.get("model_output"), "tool_calls": calls, **about}
        heard = [
            text for text in (step.get("observations"), log_records.at(step.get("error"), "message")) if isinstance(text, str) and text
        ]
        if heard:
            only = _known(tool_call_id=log_records.at(calls[0], "id")) if isinstance(calls, list) and len(calls) == 1 else {}
            yield {"role": "tool" if calls else "user", "content": "\n".join(heard), **only}


DIALECTS: dict[str, tuple[Callable[[JSON], bool], Callable[[list[Any]], Iterator[JSON]]]] = {
    "langchain": (is_langchain, read_langchain),
    "pydantic-ai": (is_pydantic_ai, read_pydantic_ai),
    "autogen": (is_autogen, read_autogen),
    "strands": (is_converse, read_converse),
    "google-adk": (is_adk, read_adk),
    "smolagents": (is_smolagents, read_smolagents),
}
